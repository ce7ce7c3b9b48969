"""Waiting for the commits of other processes: one query for all streams of a process, and hints to ask sooner."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import InvalidError
from stowfast.abc import Change
from stowfast.backends.postgres.backend import PostgresBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

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
    await until(lambda: len(here._poller._waiting) == WAITERS)
    here._poller._hurry(None)  # as when the connection for hints comes: from then on they are due together
    asked.clear()
    await until(lambda: sum(asked) >= 4 * WAITERS)
    assert pollers() == 1
    print(f"{WAITERS} waiters, {len(asked)} queries, of {asked} streams")
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


@asynccontextmanager
async def opened(server: PostgresServer, count: int, **options: Any) -> AsyncIterator[list[PostgresBackend]]:
    """Open backends of one schema, as processes would."""
    address, _, query = server.url().partition("?")
    backends = [await PostgresBackend.open(address, schema=query.partition("=")[2], **options) for _ in range(count)]
    try:
        yield backends
    finally:
        for backend in backends:
            await backend.close()


async def until(true: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never came")


def listening(server: PostgresServer, backend: PostgresBackend) -> list[int]:
    """Return the server's processes that listen for this backend."""
    channel = backend._poller._listener._channel
    return [pid for (pid,) in server.run(f"SELECT pid FROM pg_stat_activity WHERE query = 'LISTEN \"{channel}\"'")]


async def wakes_by_a_hint(here: PostgresBackend, other: PostgresBackend, stream: str) -> None:
    """Wait until the connection for hints stands, put off all queries by an hour, and commit elsewhere."""
    waiting = asyncio.ensure_future(here.wait(stream, incarnation=None, next=0, timeout=60))
    poller = here._poller
    await until(lambda: bool(poller._waiting and poller._listener._connection))
    with poller._lock:
        for awaited in poller._waiting.values():
            awaited.due += 3_600
    poller._bell.ring()  # type: ignore[union-attr]
    await other.commit(stream, Change([b"x"]))
    assert await asyncio.wait_for(waiting, 40)


async def test_a_hint_ends_a_wait_before_the_next_query(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server, 2) as (here, other):
        await wakes_by_a_hint(here, other, "c/0")
        assert len(listening(postgres_server, here)) == 1, "of those that wait alone"


async def test_a_hint_of_too_many_streams_wakes_for_any(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server, 2) as (here, other):
        many = [(f"many/{number}", Change([b"x"])) for number in range(900)]
        waiting = asyncio.ensure_future(here.wait("many/899", incarnation=None, next=0, timeout=60))
        await until(lambda: bool(here._poller._waiting and here._poller._listener._connection))
        with here._poller._lock:
            for awaited in here._poller._waiting.values():
                awaited.due += 3_600
        await other.commit_many(many)
        assert await asyncio.wait_for(waiting, 40)


async def test_a_listener_that_dies_comes_back(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server, 2) as (here, other):
        await wakes_by_a_hint(here, other, "c/0")
        (pid,) = listening(postgres_server, here)
        lost = here._poller._listener._connection
        waiting = asyncio.ensure_future(here.wait("c/1", incarnation=None, next=0, timeout=60))
        postgres_server.run(f"SELECT pg_terminate_backend({pid}, 20000)")
        await until(lambda: here._poller._listener._connection not in {None, lost})
        assert not waiting.done()
        await other.commit("c/1", Change([b"x"]))
        assert await waiting
        await wakes_by_a_hint(here, other, "c/2")
        assert pid not in listening(postgres_server, here)


async def test_without_hints_waits_poll(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server, 2, notify=False) as (here, other):
        waiting = asyncio.ensure_future(here.wait("c/0", incarnation=None, next=0, timeout=60))
        await until(lambda: bool(here._poller._waiting))
        await other.commit("c/0", Change([b"x"]))
        assert await waiting
        assert listening(postgres_server, here) == []
        assert (here._hints, other._hints) == (None, None)
