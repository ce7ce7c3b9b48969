"""Every call ends where the server stands still, or where another session holds a lock."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

import stowfast
from stowfast import InvalidError, UnavailableError
from stowfast.abc import Change, Query, Receipt
from stowfast.backends.postgres.backend import PostgresBackend
from stowfast.backends.postgres.connection import BoundedConnection
from tests.services.between import between
from tests.services.pgbouncer import pooled
from tests.services.postgres import NAMED
from tests.unit.backends.postgres.test_faults import opened, schema_of, wait_for

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterator

    from tests.services.postgres import PostgresServer

TIMEOUT = 2
BOUND = 3 * TIMEOUT + 3
"""One call that waits its timeout, two seconds more, and a new connection; and a busy machine."""


async def pieces() -> AsyncIterator[bytes]:
    for _ in range(3):
        yield b"x" * 1_000_000


async def ended(call: Awaitable[Any]) -> Any:
    """Return the outcome of a call, or its error."""
    try:
        return await call
    except stowfast.StowfastError as error:
        return error


async def whole(backend: PostgresBackend, blob: str) -> bytes:
    return b"".join([piece async for piece in backend.read_blob("c/0", blob)])


async def test_an_opening_ends_where_the_server_says_nothing_after_the_handshake(
    postgres_server: PostgresServer,
) -> None:
    with between(postgres_server) as (proxy, url):
        proxy.silent_from = b"pg_backend_pid"
        with pytest.raises(UnavailableError, match="no answer"):
            await asyncio.wait_for(PostgresBackend.open(url, timeout=TIMEOUT, sslmode="disable"), BOUND)


async def test_each_call_and_the_end_end_where_the_server_stands_still(postgres_server: PostgresServer) -> None:
    with between(postgres_server) as (proxy, url):
        async with asyncio.timeout(2 * BOUND), opened(postgres_server, url, timeout=TIMEOUT) as backend:
            blob = await backend.write_blob("c/0", pieces())
            await backend.commit("c/0", Change([b"0"], blobs=[blob]))
            await asyncio.gather(*(backend.read("c/0") for _ in range(8)))
            proxy.silent = True
            began = time.monotonic()
            works = [("c/1", Change([b"1"], op_id="op")), ("c/2", Change([b"1"]))]
            commits = asyncio.gather(backend.commit_many(works), ended(backend.commit("c/0", Change([b"1"]))))
            found = await asyncio.gather(
                ended(backend.wait("c/0", incarnation=None, next=0, timeout=60)),
                ended(backend.read("c/0")),
                ended(backend.streams(Query("c/"))),
                ended(backend.remembered("c/0")),
                ended(backend.now()),
                ended(backend.sweep()),
                ended(backend.write_blob("c/3", pieces())),
                ended(whole(backend, blob)),
                *(ended(backend.heads(["c/0"])) for _ in range(100)),
            )
            assert time.monotonic() - began < BOUND
            assert {type(one) for one in found} == {UnavailableError}
            many, one = await commits
            assert {type(one) for one in (*many, one)} == {UnavailableError}
            assert time.monotonic() - began < BOUND
            proxy.silent = False
            assert [one.data for one in (await backend.read("c/0")).entries] == [b"0"]
            assert (await backend.commit("c/0", Change([b"1"]))).first == 1


async def test_the_end_of_a_store_ends_where_the_server_stands_still(postgres_server: PostgresServer) -> None:
    with between(postgres_server) as (proxy, url):
        async with opened(postgres_server, url, timeout=TIMEOUT) as backend:
            await backend.commit("c/0", Change([b"0"]))
            assert len((await backend.read("c/0")).entries) == 1
            proxy.silent = True
            began = time.monotonic()
            calls = [
                asyncio.create_task(ended(call))
                for call in (
                    backend.commit("c/0", Change([b"1"], op_id="op")),
                    backend.wait("c/0", incarnation=None, next=1, timeout=60),
                    backend.write_blob("c/0", pieces()),
                    *(backend.read("c/0") for _ in range(8)),
                )
            ]
            await asyncio.sleep(0)  # each has begun
        assert time.monotonic() - began < BOUND
        assert {type(one) for one in await asyncio.gather(*calls)} <= {UnavailableError, InvalidError, bool}


async def test_a_process_that_stands_still_in_a_transaction_keeps_others_waiting_for_a_while_alone(
    postgres_server: PostgresServer,
) -> None:
    with between(postgres_server) as (proxy, url):
        async with opened(postgres_server) as other:
            schema = schema_of(other).strip('"')
            backend = await PostgresBackend.open(url, schema=schema, sslmode="disable", notify=False)
            assert backend._database.limits[1] == "10000"
            backend._database.limits[1] = "1500"
            await other.commit_many([("c/0", Change([b"0"])), ("c/1", Change([b"0"]))])
            proxy.silent_from = b"AS m (id"  # of the first write
            batch = [("c/0", Change([b"1"])), ("c/1", Change([b"1"]))]
            stands = asyncio.create_task(backend.commit_many(batch))
            for _ in range(1_000):
                if proxy.silent:
                    break
                await asyncio.sleep(0.01)
            assert proxy.silent
            began = time.monotonic()
            assert (await other.commit("c/0", Change([b"2"]))).first == 1
            print(f"an append waited {time.monotonic() - began:.1f} s for a process that stood still for 1.5 s")
            assert time.monotonic() - began < BOUND
            assert {type(one) for one in await stands} == {UnavailableError}
            proxy.silent, proxy.silent_from = False, b""
            assert [one.data for one in (await other.read("c/0")).entries] == [b"0", b"2"]
            assert (await backend.commit("c/0", Change([b"3"]))).first == 2
            await backend.close()


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    """Let a process of the server stand still."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def committing(backend: PostgresBackend) -> int:
    connection = backend._committer._connection
    assert connection is not None
    return connection.info.backend_pid


@pytest.mark.skipif(bool(os.environ.get(NAMED)), reason="a process of the server is stopped")
@pytest.mark.parametrize("op_id", [None, "op"])
async def test_a_commit_that_a_stopped_process_holds_is_unknown_and_made_once(
    postgres_server: PostgresServer, op_id: str | None
) -> None:
    async with opened(postgres_server, timeout=TIMEOUT) as backend:
        await backend.commit("c/0", Change([b"0"], op_id=op_id and "first"))  # it prepares the statement of the append
        pid = committing(backend)
        with stopped(pid):
            began = time.monotonic()
            with pytest.raises(UnavailableError, match="may be stored"):
                await backend.commit("c/0", Change([b"1"], op_id=op_id))
            assert time.monotonic() - began < BOUND
            assert backend._committer._connection is None
        with psycopg.connect(f"{postgres_server.endpoint}/postgres", autocommit=True) as other:
            await wait_for(other, "SELECT 1 WHERE NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = %s)", pid)
        if op_id is not None:
            assert (await backend.commit("c/0", Change([b"1"], op_id=op_id))).repeated
        assert [one.data for one in (await backend.read("c/0")).entries] == [b"0", b"1"]


@pytest.fixture(params=["direct", "pooled"])
def server(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[PostgresServer]:
    if request.param == "direct":
        yield postgres_server
        return
    with pooled(postgres_server, size=3) as pooler:
        yield pooler


@pytest.mark.parametrize(
    "lock", ["SELECT FROM {}.streams WHERE name = 'c/0' FOR UPDATE", "LOCK {}.streams IN EXCLUSIVE MODE"]
)
async def test_a_lock_of_another_session_ends_a_commit_and_nothing_is_stored(
    server: PostgresServer, postgres_server: PostgresServer, lock: str
) -> None:
    async with opened(server, timeout=TIMEOUT) as backend:
        await backend.commit("c/0", Change([b"0"]))
        await backend.commit("c/1", Change([b"0"]))
        schema = schema_of(backend)
        with psycopg.connect(f"{postgres_server.endpoint}/postgres") as other:
            other.execute(lock.format(schema).encode())
            for works in (
                [("c/0", Change([b"1"]))],
                [("c/0", Change([b"1"], op_id="op"))],
                [("c/0", Change([b"1"])), ("c/0", Change([b"1"])), ("c/1", Change([b"1"])), ("c/0", Change([b"1"]))],
            ):
                began = time.monotonic()
                outcomes = await backend.commit_many(works)
                assert time.monotonic() - began < BOUND
                for (name, _), outcome in zip(works, outcomes, strict=True):
                    if name == "c/1" and lock.startswith("SELECT"):
                        assert isinstance(outcome, Receipt)  # it waited for the other, and is made
                        continue
                    assert isinstance(outcome, UnavailableError)
                    assert "nothing was stored: another session holds a lock" in str(outcome)
                    assert "pg_blocking_pids" in str(outcome)
            # No session of ours waits any more, so the end of the lock lets nothing late in.
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation IN (SELECT oid FROM pg_class"
            found = postgres_server.run(f"{waiting} WHERE relnamespace = '{schema}'::regnamespace)")
            assert found == [(0,)]
        assert [one.data for one in (await backend.read("c/0")).entries] == [b"0"]
        assert not (await backend.commit("c/0", Change([b"1"], op_id="op"))).repeated


async def test_a_read_of_a_locked_table_ends(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server, timeout=TIMEOUT) as backend:
        await backend.commit("c/0", Change([b"0"]))
        with psycopg.connect(f"{postgres_server.endpoint}/postgres") as other:
            other.execute(f"LOCK {schema_of(backend)}.streams IN ACCESS EXCLUSIVE MODE".encode())
            with pytest.raises(UnavailableError, match="another session holds a lock"):
                await asyncio.wait_for(backend.read("c/0"), BOUND)
        assert len((await backend.read("c/0")).entries) == 1


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers with signals")
def test_many_signals_keep_no_call_from_its_end(postgres_server: PostgresServer) -> None:
    """As from a profiler: a wait begun anew with each of them would never end."""
    ticks = 0

    def tick(*_: object) -> None:
        nonlocal ticks
        ticks += 1

    with between(postgres_server) as (proxy, url), stowfast.sync.open(f"{url}?sslmode=disable&timeout=1") as stores:
        stores.messages.add_message("c", {})
        before = signal.signal(signal.SIGALRM, tick)
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
            proxy.silent = True
            for call in (stores.messages.get_messages, lambda context: stores.messages.add_message(context, {})):
                began = time.monotonic()
                with pytest.raises(UnavailableError, match=r"no answer|connect"):
                    call("c")
                assert time.monotonic() - began < BOUND
            assert ticks > 50
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
            proxy.silent = False


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timers with signals")
def test_a_signal_handler_that_takes_longer_than_the_patience_loses_no_answer(postgres_server: PostgresServer) -> None:
    with BoundedConnection.connect(f"{postgres_server.endpoint}/postgres", autocommit=True) as connection:
        connection.patience = 1
        before = signal.signal(signal.SIGALRM, lambda *_: time.sleep(2))
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            assert connection.execute("SELECT 1 FROM pg_sleep(0.5)").fetchone() == (1,)
        finally:
            signal.signal(signal.SIGALRM, before)
