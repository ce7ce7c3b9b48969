"""An append sent by an event loop, and taken over by a thread if the answer takes long."""

from __future__ import annotations

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from stowfast import UnavailableError
from stowfast.abc import Change, Receipt
from stowfast.backends.postgres.committer import Committer
from stowfast.backends.postgres.connection import BoundedConnection
from tests.unit.backends.postgres.test_faults import opened, schema_of, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.backends.postgres.backend import PostgresBackend
    from tests.services.postgres import PostgresServer

WAITS = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND pid = %s"


async def warm(backend: PostgresBackend) -> None:
    """Let each commit count as fast, so that the next append is sent from the loop, and connect."""
    backend._group._inline_below = 60
    for data in (b"0", b"1"):
        await backend.commit("c", Change([data]))
        with backend._group._lock:  # until the thread has left it
            pass


def pid_of(backend: PostgresBackend) -> int:
    connection = backend._committer._connection
    assert connection is not None
    return connection.info.backend_pid


async def found(backend: PostgresBackend) -> list[bytes]:
    return [entry.data for entry in (await backend.read("c")).entries]


@asynccontextmanager
async def held(server: PostgresServer, backend: PostgresBackend) -> AsyncIterator[psycopg.Connection[Any]]:
    """Hold the lock of the stream in another session, until the end of the block or a ROLLBACK."""
    with psycopg.connect(server.url().partition("?")[0], autocommit=True) as other:
        other.execute("BEGIN")
        other.execute(f"SELECT 1 FROM {schema_of(backend)}.streams WHERE name = 'c' FOR UPDATE".encode())
        yield other


async def sent(other: psycopg.Connection[Any], backend: PostgresBackend, change: Change) -> asyncio.Task[Receipt]:
    """Begin a commit to the locked stream, and return it once it waits in the server."""
    call = asyncio.create_task(backend.commit("c", change))
    await wait_for(other, WAITS, pid_of(backend))
    return call


async def test_a_lone_append_needs_no_other_thread(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stowfast.backends.postgres.append._BRIEF_SECONDS", 60.0)
    runs: list[int] = []

    def run(self: Committer, works: Any) -> Any:
        runs.append(threading.get_ident())
        return waits(self, works)

    waits = Committer.run
    monkeypatch.setattr(Committer, "run", run)
    async with opened(postgres_server) as backend:
        await warm(backend)
        before = len(runs)
        for n in range(2, 9):
            receipt = await backend.commit("c", Change([b"%d" % n], op_id=f"op{n}" if n % 2 else None))
            assert (receipt.first, receipt.next) == (n, n + 1)
        assert len(runs) == before
        assert threading.get_ident() not in runs
        assert await found(backend) == [b"%d" % n for n in range(9)]


async def test_the_loop_goes_on_while_an_append_waits_for_a_lock(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as backend:
        await warm(backend)
        async with held(postgres_server, backend) as other:
            call = await sent(other, backend, Change([b"2"]))
            behind = [asyncio.create_task(backend.commit("c", Change([b"%d" % n]))) for n in range(3, 6)]
            elsewhere = asyncio.create_task(asyncio.to_thread(backend._group.commit_here, ("d", Change([b"d"]))))
            await asyncio.sleep(0)
            assert not call.done()
            other.execute("ROLLBACK")
            receipts = await asyncio.gather(call, *behind)
            await elsewhere
        assert [receipt.first for receipt in receipts] == [2, 3, 4, 5]
        assert await found(backend) == [b"%d" % n for n in range(6)]
        assert [entry.data for entry in (await backend.read("d")).entries] == [b"d"]


async def test_a_cancelled_append_that_was_sent_is_made_once(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as backend:
        await warm(backend)
        async with held(postgres_server, backend) as other:
            call = await sent(other, backend, Change([b"2"], op_id="op"))
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            other.execute("ROLLBACK")
        assert (await backend.commit("c", Change([b"3"]))).first == 3
        assert (await backend.commit("c", Change([b"2"], op_id="op"))).repeated
        assert await found(backend) == [b"0", b"1", b"2", b"3"]


async def test_a_closing_waits_for_an_append_that_was_sent(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as backend:
        await warm(backend)
        async with held(postgres_server, backend) as other:
            call = await sent(other, backend, Change([b"2"]))
            closing = asyncio.create_task(backend.close())
            await asyncio.sleep(0)
            other.execute("ROLLBACK")
            assert (await call).first == 2
            await closing


@pytest.mark.parametrize("op_id", [None, "op"])
async def test_an_append_whose_connection_ends_after_it_was_sent_is_repeated_by_op_id_alone(
    postgres_server: PostgresServer, op_id: str | None
) -> None:
    async with opened(postgres_server) as backend:
        await warm(backend)
        async with held(postgres_server, backend) as other:
            call = await sent(other, backend, Change([b"2"], op_id=op_id))
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid_of(backend)])
            other.execute("ROLLBACK")
            if op_id is None:
                with pytest.raises(UnavailableError, match="may be stored"):
                    await call
            else:
                assert (await call).first == 2
        assert await found(backend) == [b"0", b"1", b"2"][: 2 + (op_id is not None)]
        await backend.commit("c", Change([b"3"]))


async def test_the_first_append_to_a_stream_goes_the_general_way(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stowfast.backends.postgres.append._BRIEF_SECONDS", 60.0)
    async with opened(postgres_server) as backend:
        await warm(backend)
        for n in range(3):
            assert (await backend.commit(f"new/{n}", Change([b"x"]))).first == 0
            backend._group._fast = backend._group._alone = True
            assert (await backend.commit(f"new/{n}", Change([b"y"], op_id="y"))).first == 1
            assert (await backend.commit(f"new/{n}", Change([b"y"], op_id="y"))).repeated


async def test_an_interrupt_while_the_loop_waits_leaves_no_call_on_the_connection(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: BoundedConnection, wanted: int, timeout: float) -> int:
        if timeout and self is backend._committer._connection:  # and not a connection of a thread behind
            monkeypatch.undo()
            raise KeyboardInterrupt
        return ready(self, wanted, timeout)

    ready = BoundedConnection._ready
    async with opened(postgres_server) as backend:
        await warm(backend)
        async with held(postgres_server, backend) as other:  # else the answer may be there before anybody waits
            monkeypatch.setattr(BoundedConnection, "_ready", interrupted)
            with pytest.raises(KeyboardInterrupt):
                backend._committer.begin("c", Change([b"2"]))
            assert backend._committer._connection is None
            other.execute("ROLLBACK")
        assert (await backend.commit("c", Change([b"3"]))).first in {2, 3}


async def test_a_call_without_its_answer_is_not_followed_by_another_one(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as backend:
        await warm(backend)
        async with held(postgres_server, backend) as other:
            rest = backend._committer.begin("c", Change([b"2"]))  # and nobody waits for it
            assert callable(rest)
            connection = backend._committer._connection
            assert connection is not None
            assert not connection.is_quiet()
            other.execute("ROLLBACK")
        assert (await backend.commit("c", Change([b"3"]))).first in {2, 3}


async def test_what_a_cancelled_commit_leaves_behind_is_begun_by_the_closing(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as backend:
        await backend.commit("c", Change([b"x"] * 2_000))
        async with held(postgres_server, backend) as other:
            call = await sent(other, backend, Change(delete=True))
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            other.execute("ROLLBACK")
    assert not backend._committer.left_garbage
    rows = f"SELECT count(*) FROM {schema_of(backend)}.entries"
    with psycopg.connect(postgres_server.url().partition("?")[0]) as other:
        assert other.execute(rows.encode()).fetchone() == (0,)
