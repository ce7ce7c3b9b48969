"""Behind PgBouncer in transaction mode: found out at the opening, and nothing of a session is relied on."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast.abc import Change
from stowfast.testing.data.messages import say
from tests.services.between import between
from tests.services.pgbouncer import pooled
from tests.unit.backends.postgres.test_faults import opened

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services.postgres import PostgresServer

WRITERS = 8
TURNS = 25


@pytest.fixture(scope="module")
def pooler(postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    with pooled(postgres_server, size=3) as server:
        yield server


async def test_a_pooler_is_found_out(postgres_server: PostgresServer, pooler: PostgresServer) -> None:
    for server, is_direct in ((postgres_server, True), (pooler, False)):
        async with stowfast.open(server.url()) as stores:
            backend: Any = stores.backend
            assert backend._database.is_direct is is_direct
            with backend._database.connect() as connection:
                assert connection.prepare_threshold == (0 if is_direct else None)


async def test_writers_share_the_connections_of_a_pooler(pooler: PostgresServer) -> None:
    """More clients than the pooler has connections: each transaction of a client may be on another one."""
    url = pooler.url(f"t{uuid.uuid4().hex}")

    async def write(number: int) -> None:
        async with stowfast.open(url) as stores:
            for turn in range(TURNS):
                op_id = f"{number}-{turn}" if turn % 2 else None
                await stores.messages.add_message("shared", say(turn), op_id=op_id)
                await stores.messages.add_messages(f"own/{number}", [say(turn), say(turn)])
                if turn % 5 == 0:
                    assert await stores.messages.count(f"own/{number}") == 2 * (turn + 1)
                    await stores.documents.put(f"large/{number}", "x" * 300_000)

    await asyncio.gather(*(write(number) for number in range(WRITERS)))
    async with stowfast.open(url) as stores:
        positions = [entry.position async for entry in stores.messages.entries("shared")]
        assert positions == list(range(WRITERS * TURNS))
        assert len(await stores.documents.list(order="id")) == WRITERS


@pytest.mark.parametrize("place", ["direct", "pooled"])
async def test_an_append_is_one_turn_of_the_wire(
    postgres_server: PostgresServer, pooler: PostgresServer, place: str
) -> None:
    with between(pooler if place == "pooled" else postgres_server) as (proxy, url):
        async with opened(postgres_server, url) as backend:
            for op_id in (None, "0"):  # each prepares its statement
                await backend.commit("c/0", Change([b"0"], op_id=op_id))
            await backend.commit("c/0", Change([b"0"], op_id="1"))
            for change in (Change([b"1"]), Change([b"1"], op_id="2")):
                before = proxy.turns
                await backend.commit("c/0", change)
                assert proxy.turns == before + 1
            before = proxy.turns
            await backend.commit("c/0", Change([b"1"], labels={"k": "v"}))
            assert proxy.turns == before + 2


async def test_waits_poll_behind_a_pooler(postgres_server: PostgresServer, pooler: PostgresServer) -> None:
    """A pooler lets a session listen and delivers nothing, so nobody listens."""
    schema = f"t{uuid.uuid4().hex}"
    async with stowfast.open(pooler.url(schema)) as here, stowfast.open(pooler.url(schema)) as other:
        backend: Any = here.backend
        waiting = asyncio.ensure_future(backend.wait("messages/c", incarnation=None, next=0, timeout=60))
        for _ in range(2_000):
            if backend._poller._waiting:
                break
            await asyncio.sleep(0.01)
        await other.messages.add_message("c", say(0))
        assert await waiting
        channel = backend._poller._listener._channel
        assert postgres_server.run(f"SELECT 1 FROM pg_stat_activity WHERE query LIKE '%{channel}\"'") == []
