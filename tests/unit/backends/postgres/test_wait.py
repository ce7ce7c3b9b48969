"""Waiting for the commits of other processes: one query for all streams of a process."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import InvalidError
from stowfast.abc import Change
from stowfast.backends.postgres.backend import PostgresBackend

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.services.postgres import PostgresServer

WAITERS = 40


def pollers() -> int:
    return sum(thread.name == "stowfast-wait" for thread in threading.enumerate())


async def test_many_waiters_ask_in_one_query(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    address, _, query = postgres_server.url().partition("?")
    schema = query.partition("=")[2]
    here = await PostgresBackend.open(address, schema=schema)
    other = await PostgresBackend.open(address, schema=schema)
    asked: list[int] = []
    look: Any = here._poller._heads

    def counted(streams: Sequence[str]) -> Any:
        asked.append(len(streams))
        return look(streams)

    monkeypatch.setattr(here._poller, "_heads", counted)
    waits = [asyncio.ensure_future(here.wait(f"c/{n}", incarnation=None, next=0, timeout=20)) for n in range(WAITERS)]
    await asyncio.sleep(1)  # the time that is measured
    assert pollers() == 1
    print(f"{WAITERS} waiters, {len(asked)} queries a second, of {asked} streams")
    assert len(asked) < WAITERS / 2
    await other.commit_many([(f"c/{n}", Change([b"x"])) for n in range(WAITERS)])
    assert await asyncio.gather(*waits) == [True] * WAITERS
    waiting = asyncio.ensure_future(here.wait("c/new", incarnation=None, next=0, timeout=20))
    for _ in range(1_000):
        if here._poller._waiting:
            break
        await asyncio.sleep(0.01)
    await other.close()
    await here.close()
    with pytest.raises(InvalidError, match="closed"):
        await waiting
    assert pollers() == 0
