"""Typed programs pass both type checkers in strict mode: messages may be TypedDicts, and answers have their types."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
PROGRAMS = Path(__file__).with_name("programs.py")


def test_programs_of_users_pass_mypy_in_strict_mode() -> None:
    command = [sys.executable, "-m", "mypy", "--strict", str(PROGRAMS.relative_to(ROOT))]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_programs_of_users_pass_pyright_in_strict_mode(tmp_path: Path) -> None:
    (tmp_path / "programs.py").write_text(PROGRAMS.read_text(encoding="utf-8"), encoding="utf-8")
    assert pyright(tmp_path) == []


def test_pyright_sees_the_types_of_the_library(tmp_path: Path) -> None:
    program = "import stowfast.sync\nstowfast.sync.open('memory:').messages.add_message('c', 'no message')\n"
    (tmp_path / "programs.py").write_text(program, encoding="utf-8")
    assert [one["rule"] for one in pyright(tmp_path)] == ["reportArgumentType"]


def pyright(folder: Path) -> list[dict[str, Any]]:
    # A folder of its own: pyright would otherwise look for settings in the folders above.
    settings = {"include": ["programs.py"], "typeCheckingMode": "strict", "extraPaths": [str(ROOT / "src")]}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, cwd=folder)
    answer = json.loads(done.stdout)
    assert answer["summary"]["filesAnalyzed"] == 1, done.stdout + done.stderr
    found: list[dict[str, Any]] = answer["generalDiagnostics"]
    return found
