"""The time of `import stowfast`, and of a file opened, in a fresh interpreter; the drivers and frameworks imported."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any, Final

from bench.harness.peers import ROOT

__all__ = ["measure_import"]

UNWANTED: Final = (
    "sqlite3", "aiosqlite", "psycopg", "asyncpg", "boto3", "botocore", "aiohttp", "httpx", "obstore", "sqlalchemy",
    "pydantic", "agents", "openai", "langchain_core", "langgraph", "a2a", "mcp", "typer", "rich", "fastapi",
)  # fmt: skip
"""Drivers, frameworks and tools. Each may be imported when its backend is opened or its adapter used, not before."""

_UNWANTED_CODE = f"import sys, stowfast; print(*sorted({set(UNWANTED)!r} & set(sys.modules)))"


_USUAL: Final = "import asyncio, sqlite3, json"
"""The modules of Python that a program with SQLite and an event loop imports anyway."""
_CODES: Final = {
    "bare": "pass",
    "usual": _USUAL,
    "stowfast": "import stowfast",
    "first_open": f"{_USUAL}, stowfast\nstowfast.sync.open('sqlite:///{{file}}').close()",
}


def measure_import(runs: int) -> dict[str, Any]:
    """Time fresh interpreters, from start to exit, taking turns. In milliseconds: medians, and each turn.

    `first_open` is the usual imports, ours, and a file opened and closed.
    """
    times: dict[str, list[float]] = {name: [] for name in _CODES}
    with TemporaryDirectory() as folder:
        for _ in range(runs + 1):
            for name, code in _CODES.items():
                began = time.perf_counter()
                done = _python(code.format(file=Path(folder, "agent.db")), folder)
                times[name].append((time.perf_counter() - began) * 1e3)
                if done.returncode:
                    return {"error": done.stderr.strip().splitlines()[-1]}
        unwanted = _python(_UNWANTED_CODE, folder).stdout.split()
    times = {name: taken[1:] for name, taken in times.items()}  # the first turn compiles
    return {**{name: median(taken) for name, taken in times.items()}, "turns": times, "unwanted": unwanted}


def _python(code: str, folder: str) -> subprocess.CompletedProcess[str]:
    # With compiled modules, as an installed package has them, whatever the caller's environment forbids.
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    # Not in the root of the repository: a user's folder has no `src` and no `tests`.
    return subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT / "bench", env=inherited | {"PYTHONPYCACHEPREFIX": folder},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
