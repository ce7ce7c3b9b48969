"""Typed programs pass a type checker in strict mode: messages may be TypedDicts, and answers have their types."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_programs_of_users_pass_mypy_in_strict_mode() -> None:
    programs = Path(__file__).with_name("programs.py").relative_to(ROOT)
    command = [sys.executable, "-m", "mypy", "--strict", str(programs)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
