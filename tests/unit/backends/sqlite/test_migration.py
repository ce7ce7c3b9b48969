"""A file of an older version is migrated at its opening, with all its content, by any process."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.backends.sqlite import schema

if TYPE_CHECKING:
    from pathlib import Path

STEP = """
CREATE TABLE later (note TEXT);
INSERT INTO later VALUES ('a; b');
"""


def version(path: Path) -> int:
    with closing(sqlite3.connect(path)) as file:
        found: int = file.execute("PRAGMA user_version").fetchone()[0]
        return found


async def opened(path: Path) -> stowfast.Stores:
    return await stowfast.open(f"sqlite:///{path}")


async def test_a_step_is_done_once_and_keeps_what_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "agent.db"
    async with stowfast.open(f"sqlite:///{path}") as stores:
        await stores.messages.add_message("ctx-1", {"role": "user", "content": "hi"})
    before = version(path)
    monkeypatch.setattr("stowfast.backends.sqlite.migration.MIGRATIONS", (*schema.MIGRATIONS, STEP))

    openings = await asyncio.gather(*(opened(path) for _ in range(4)))
    for stores in openings:
        assert await stores.messages.get_messages("ctx-1") == [{"role": "user", "content": "hi"}]
        await stores.close()

    assert version(path) == before + 1
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT note FROM later").fetchall() == [("a; b",)]


async def test_a_step_that_fails_leaves_the_file_at_its_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agent.db"
    async with stowfast.open(f"sqlite:///{path}") as stores:
        await stores.messages.add_message("ctx-1", {"n": 1})
    before = version(path)
    with monkeypatch.context() as patch:
        patch.setattr(
            "stowfast.backends.sqlite.migration.MIGRATIONS",
            (*schema.MIGRATIONS, "CREATE TABLE later (x);\nCREATE TABLE later (x);\n"),
        )
        with pytest.raises(stowfast.DamagedError):
            await stowfast.open(f"sqlite:///{path}")
    assert version(path) == before
    async with stowfast.open(f"sqlite:///{path}") as stores:
        assert await stores.messages.get_messages("ctx-1") == [{"n": 1}]
