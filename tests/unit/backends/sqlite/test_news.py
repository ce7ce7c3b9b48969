"""News for waiters: a commit wakes those who wait for its stream, and nobody else."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest

from stowfast.abc import Change
from stowfast.backends.sqlite.backend import SQLiteBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from stowfast.answers import Answer

STREAMS = [f"s/{number}" for number in range(30)]
SECONDS = 10


@pytest.fixture
async def backend(tmp_path: Path) -> AsyncIterator[SQLiteBackend]:
    backend = await SQLiteBackend.open(f"sqlite:///{tmp_path}/agent.db")
    yield backend
    await backend.close()


def woken(answers: dict[str, Answer[bool]]) -> set[str]:
    found = set()
    for stream, answer in answers.items():
        try:
            found.add(stream) if answer.wait(0) else None
        except TimeoutError:
            continue
    return found


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_commit_wakes_those_who_wait_for_its_stream(
    backend: SQLiteBackend, tmp_path: Path, elsewhere: bool
) -> None:
    answers = {stream: backend._news.subscribe(stream, None, 0) for stream in STREAMS}
    other = await SQLiteBackend.open(f"sqlite:///{tmp_path}/agent.db") if elsewhere else backend
    for stream in ("s/nobody", "s/7", "s/8"):
        await other.commit(stream, Change(entries=(b"news",)))
    for stream in ("s/7", "s/8"):
        assert answers[stream].wait(SECONDS)
    assert woken(answers) == {"s/7", "s/8"}
    if elsewhere:
        await other.close()


async def test_a_waiter_that_knows_the_newest_state_is_not_woken(backend: SQLiteBackend, tmp_path: Path) -> None:
    known = await backend.commit("s/1", Change(entries=(b"old",)))
    answers = {"s/1": backend._news.subscribe("s/1", known.incarnation, known.next)}
    answers["s/2"] = backend._news.subscribe("s/2", None, 0)
    other = await SQLiteBackend.open(f"sqlite:///{tmp_path}/agent.db")
    await other.commit("s/2", Change(entries=(b"news",)))
    assert answers["s/2"].wait(SECONDS)
    assert woken(answers) == {"s/2"}
    await other.commit("s/1", Change(delete=True))
    assert answers["s/1"].wait(SECONDS)
    await other.close()


async def test_beside_damage_everybody_looks(backend: SQLiteBackend, tmp_path: Path) -> None:
    known = await backend.commit("s/1", Change(entries=(b"old",), labels={"a": "b"}))
    answers = {"s/1": backend._news.subscribe("s/1", known.incarnation, known.next)}
    answers["s/2"] = backend._news.subscribe("s/2", None, 0)
    connection = sqlite3.connect(tmp_path / "agent.db")
    connection.execute("UPDATE streams SET labels = '[]' WHERE name = 's/1'")
    connection.commit()
    connection.close()
    assert all(answer.wait(SECONDS) for answer in answers.values())


async def test_a_forgotten_waiter_is_not_kept(backend: SQLiteBackend) -> None:
    for _ in range(3):
        assert not await backend.wait("s/1", incarnation=None, next=0, timeout=0.01)
    assert backend._news._waiters.all() == {}
