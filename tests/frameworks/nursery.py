"""Scripts in processes that are forked from one in which the framework is imported already.

A framework takes one to four seconds to import, and most of our children are killed within a tenth of one. A forked
child is a process like any other: it opens its own place, and it can be killed.
"""

from __future__ import annotations

import ast
import os
import runpy
import sys
import warnings
from multiprocessing import get_context
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerProcess

_FORKING: Final = get_context("forkserver")


def start(path: str, arguments: tuple[str, ...], output: Connection, given: Connection) -> ForkServerProcess:
    """Run the script of a file in a process of its own. It prints to `output` and reads from `given`."""
    # The first script of the tests says what is imported before the forks. Another one imports what it has beside it.
    _FORKING.set_forkserver_preload(["tests.frameworks.nursery", *_imports(path)])
    process = _FORKING.Process(target=_run, args=(path, arguments, dict(os.environ), output, given))
    process.start()
    return process


def _imports(path: str) -> list[str]:
    """Return the modules that a script imports before it does anything."""
    with open(path, encoding="utf-8") as file:
        statements = ast.parse(file.read()).body
    found: list[str] = []
    for one in statements:
        if isinstance(one, ast.Import):
            found += [name.name for name in one.names]
        elif isinstance(one, ast.ImportFrom) and one.module and one.module != "__future__":
            found.append(one.module)
    return found


def _run(
    path: str, arguments: tuple[str, ...], environment: dict[str, str], output: Connection, given: Connection
) -> None:
    """Become the script."""
    for number, pipe in ((0, given), (1, output)):
        os.dup2(pipe.fileno(), number)
        pipe.close()
    sys.stdin, sys.stdout = open(0, closefd=False), open(1, "w", closefd=False)  # noqa: SIM115
    os.environ.clear()
    os.environ.update(environment)
    warnings.simplefilter("ignore")
    sys.argv = [path, *arguments]
    runpy.run_path(path, run_name="__main__")
    sys.stdout.flush()
