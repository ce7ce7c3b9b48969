"""The peers' environments: each made from a lock file with hashes, apart from the project's own environment."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import venv
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HOME", "ROOT", "make_home", "new_folder", "peers_python"]

ROOT: Final = Path(__file__).resolve().parents[2]
HOME: Final = ROOT / ".bench"
"""The folder of all files that the bench makes. Git ignores it."""


@contextmanager
def new_folder() -> Iterator[Path]:
    """Make a folder on the disk of the repository, and remove it at the end.

    The system's temporary folder may be memory: there fsync costs nothing.
    """
    make_home()
    with tempfile.TemporaryDirectory(dir=HOME) as folder:
        yield Path(folder)


def peers_python(lock: str) -> Path:
    """Return the interpreter of the environment of one lock file in `requirements/`.

    The environment is made if it is missing, or was made from another lock file or by another Python.
    """
    requirements = ROOT / "requirements" / f"{lock}.txt"
    home = HOME / ("venv" if lock == "bench-peers" else f"venv-{lock.removeprefix('bench-')}")
    python = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    stamp = home / "made-from"
    made_from = f"{sys.version} {hashlib.sha256(requirements.read_bytes()).hexdigest()}"
    if stamp.exists() and stamp.read_text(encoding="utf-8") == made_from:
        return python
    print(f"installing the peers into {home.relative_to(ROOT)}, once ...", file=sys.stderr)
    make_home()
    venv.create(home, clear=True, with_pip=True)
    options = ("--quiet", "--only-binary", ":all:", "--no-deps", "--require-hashes", "--requirement", str(requirements))
    subprocess.run([str(python), "-m", "pip", "install", *options], check=True)
    stamp.write_text(made_from, encoding="utf-8")
    return python


def make_home() -> None:
    """Make `HOME`, unless it is there."""
    HOME.mkdir(exist_ok=True)
    (HOME / ".gitignore").write_text("*\n", encoding="utf-8")
