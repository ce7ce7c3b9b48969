"""The documentation runs: every Python block, and every `$ stowfast` line, in the order of the page.

A block fenced as `python no-run` is only compiled, one fenced as `console no-run` is only read. Each page gets a
directory and a namespace of its own, as at a prompt; everything left open by a page is closed after it.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if page.is_file()]
FENCE = re.compile(
    r"^(?P<indent> *)```(?P<language>\w+)(?P<info>[^\n`]*)\n(?P<text>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """One fenced block. `line` is the line of its first text, for the error message."""

    page: Path
    line: int
    language: str
    runs: bool
    text: str


def blocks_of(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        line = text.count("\n", 0, match.start("text")) + 1
        inner = re.sub(f"^{match['indent']}", "", match["text"], flags=re.MULTILINE)
        yield Block(page, line, match["language"], "no-run" not in match["info"].split(), inner)


def compiled(block: Block) -> types.CodeType:
    # Compiled as the page, at its own line: a traceback shows the page's text.
    padded = "\n" * (block.line - 1) + block.text
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    try:
        code: types.CodeType = compile(padded, str(block.page), "exec", flags=flags, dont_inherit=True)
    except SyntaxError as error:
        raise AssertionError(f"{block.page.relative_to(ROOT)}:{error.lineno}: {error.msg}") from None
    return code


def commands_of(block: Block) -> Iterator[tuple[int, str]]:
    joined = re.sub(r"\\\n *", lambda match: " " * len(match[0]), block.text)
    for match in re.finditer(r"^\$ (stowfast\b.*)$", joined, re.MULTILINE):
        yield block.line + block.text.count("\n", 0, match.start()), match[1]


def run_python(block: Block, module: types.ModuleType, runner: asyncio.Runner) -> None:
    code = compiled(block)
    try:
        # Only a block that awaits runs in the loop: `asyncio.run` in another one must work as it would for a reader.
        if code.co_flags & inspect.CO_COROUTINE:
            runner.run(eval(code, vars(module)))
        else:
            exec(code, vars(module))
    except Exception as error:
        trace = error.__traceback__
        line = block.line
        while trace:
            if trace.tb_frame.f_code.co_filename == str(block.page):
                line = trace.tb_lineno
            trace = trace.tb_next
        raise AssertionError(f"{block.page.relative_to(ROOT)}:{line}: {type(error).__name__}: {error}") from error


def run_commands(block: Block, folder: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    for line, command in commands_of(block):
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],  # a page shows pipes and quotes as a shell reads them
            cwd=folder,
            env={**os.environ, "PATH": path, "NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,  # on a machine that may be busy
            check=False,
        )
        where = f"{block.page.relative_to(ROOT)}:{line}"
        assert done.returncode == 0, f"{where}: {command}\n{done.stdout}{done.stderr}"


def close_what_is_open(module: types.ModuleType, runner: asyncio.Runner) -> None:
    for value in list(vars(module).values()):
        if type(value).__module__.startswith("stowfast") and hasattr(value, "close"):
            closing: Any = value.close()
            if inspect.iscoroutine(closing):
                runner.run(closing)


@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if any(block.language in {"python", "console", "bash"} for block in blocks_of(page))],
    ids=lambda page: str(page.relative_to(ROOT)),
)
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)  # so that the classes a page makes can be looked up
    monkeypatch.chdir(tmp_path)
    with asyncio.Runner() as runner:
        try:
            for block in blocks_of(page):
                if block.language == "python" and block.runs:
                    run_python(block, module, runner)
                elif block.language == "python":
                    compiled(block)
                elif block.language in {"console", "bash"} and block.runs:
                    run_commands(block, tmp_path)
        finally:
            close_what_is_open(module, runner)
