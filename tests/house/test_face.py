"""`import stowfast` is enough for everything public, and loads no more than it must."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.registry import BACKENDS

if TYPE_CHECKING:
    from pathlib import Path

AT_FIRST_USE = ["aws", "sync", "testing"]


def run(*arguments: str) -> str:
    done = subprocess.run([sys.executable, *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "use",
    ["sync.open('memory:').__enter__().close()", "testing.BACKEND[0].__name__", "aws.S3MessageStore.__name__"],
    ids=["sync", "testing", "aws"],
)
def test_one_import_is_enough(use: str) -> None:
    run("-c", f"import stowfast; stowfast.{use}")


def test_the_import_alone_loads_none_of_them() -> None:
    script = f"import stowfast, sys; print([n for n in {AT_FIRST_USE} if f'stowfast.{{n}}' in sys.modules])"
    assert run("-c", script).strip() == "[]"


def test_a_file_is_opened_without_slow_modules_that_it_does_not_need(tmp_path: Path) -> None:
    slow = {"lzma", "bz2", "pathlib", "random", "tempfile", "urllib.parse", "stowfast.records"}
    url = f"sqlite:///{tmp_path}/agent.db"
    script = f"import stowfast, sys; stowfast.sync.open({url!r}).close(); print(sorted({slow} & set(sys.modules)))"
    # Alone: what the environment itself loads at the start is not ours.
    before = run("-c", f"import asyncio, sqlite3, sys; print(sorted({slow} & set(sys.modules)))")
    assert run("-c", script) == before


def test_a_dir_lists_them() -> None:
    assert set(AT_FIRST_USE) <= set(dir(stowfast))


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'absent'"):
        _ = stowfast.absent  # type: ignore[attr-defined]


def test_the_package_runs_as_a_command() -> None:
    assert "Usage: " in re.sub(r"\x1b\[[0-9;]*m", "", run("-m", "stowfast", "--help"))


def test_the_docstring_of_open_names_every_scheme() -> None:
    page = stowfast.open.__doc__ or ""
    rows = re.findall(r"^ *\| `(\w+)` \| `(\w+):", page, re.MULTILINE)
    assert [scheme for scheme, _ in rows] == list(BACKENDS)
    assert all(scheme == shown for scheme, shown in rows)
    assert "`stowfast.backends`" in page
