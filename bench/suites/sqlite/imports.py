"""The time of `import stowfast` in a fresh interpreter, and the drivers and frameworks it imports."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median
from typing import Any, Final

from bench.harness.peers import ROOT

__all__ = ["measure_import"]

UNWANTED: Final = (
    "sqlite3", "aiosqlite", "psycopg", "asyncpg", "boto3", "botocore", "aiohttp", "httpx", "obstore", "sqlalchemy",
    "pydantic", "agents", "openai", "langchain_core", "langgraph", "a2a", "mcp", "typer", "rich", "fastapi",
)  # fmt: skip
"""Drivers, frameworks and tools. Each may be imported when its backend is opened or its adapter used, not before."""

_UNWANTED_CODE = f"import sys, stowfast; print(*sorted({set(UNWANTED)!r} & set(sys.modules)))"


def measure_import(runs: int) -> dict[str, Any]:
    """Time fresh interpreters, from start to exit, with the import and without, taking turns. In milliseconds."""
    times: dict[str, list[float]] = {"import stowfast": [], "pass": []}
    for _ in range(runs):
        for code, taken in times.items():
            began = time.perf_counter()
            done = _python(code)
            taken.append((time.perf_counter() - began) * 1e3)
            if done.returncode:
                return {"error": done.stderr.strip().splitlines()[-1]}
    return {
        "stowfast": median(times["import stowfast"]),
        "bare": median(times["pass"]),
        "spread": (min(times["import stowfast"]), max(times["import stowfast"])),
        "unwanted": _python(_UNWANTED_CODE).stdout.split(),
    }


def _python(code: str) -> subprocess.CompletedProcess[str]:
    # Not in the root of the repository: a user's folder has no `src` and no `tests`.
    return subprocess.run([sys.executable, "-c", code], cwd=ROOT / "bench", capture_output=True, text=True, check=False)
