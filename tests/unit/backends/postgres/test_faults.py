"""Connections lost at the worst moment, damaged rows, and a sweep beside a commit."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from stowfast import ConflictError, DamagedError, UnavailableError
from stowfast.abc import Change, Receipt
from stowfast.backends.postgres.backend import PostgresBackend
from stowfast.backends.postgres.sweep import sweep
from stowfast.blocking import run_in_place
from tests.services.between import between

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.services.postgres import PostgresServer


@asynccontextmanager
async def opened(server: PostgresServer, url: str | None = None, **options: Any) -> AsyncIterator[PostgresBackend]:
    address, _, query = server.url().partition("?")
    # The answer to a hint looks like that to an append, and would be cut in its place.
    parameters = {"sslmode": "disable", "notify": "false"} if url else {}
    backend = await PostgresBackend.open(url or address, schema=query.partition("=")[2], **options, **parameters)
    try:
        yield backend
    finally:
        await backend.close()


def schema_of(backend: PostgresBackend) -> str:
    name: str = backend._database.statements.schema.as_string()
    return name


async def wait_for(connection: psycopg.Connection[Any], query: str, key: int) -> None:
    for _ in range(1_000):
        if connection.execute(query, [key]).fetchone():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"never: {query}")


def connection_of(backend: PostgresBackend) -> psycopg.Connection[Any]:
    connection = backend._committer._connection
    assert connection is not None
    return connection


def batch() -> list[tuple[str, Change]]:
    """Six changes of three streams; each second one has an op_id."""
    return [(f"c/{n % 3}", Change([b"%d" % n], op_id=f"op{n}" if n % 2 else None)) for n in range(6)]


async def found(backend: PostgresBackend) -> list[bytes]:
    return sorted([entry.data for n in range(3) for entry in (await backend.read(f"c/{n}"))[1]])


async def test_a_batch_whose_answer_is_lost_is_repeated_by_op_id_alone(postgres_server: PostgresServer) -> None:
    with between(postgres_server) as (proxy, url):
        async with opened(postgres_server, url) as backend:
            proxy.lose_answer = b"COMMIT\0"
            outcomes = await backend.commit_many(batch())
            assert proxy.cuts == 1
            for n, outcome in enumerate(outcomes):
                if n % 2:
                    assert isinstance(outcome, Receipt)
                    assert outcome.repeated
                else:
                    assert isinstance(outcome, UnavailableError)
                    assert "may be stored" in str(outcome)
            assert await found(backend) == [b"%d" % n for n in range(6)]


async def test_an_append_whose_answer_is_lost_is_repeated_by_op_id_alone(postgres_server: PostgresServer) -> None:
    with between(postgres_server) as (proxy, url):
        async with opened(postgres_server, url) as backend:
            await backend.commit("c/0", Change([b"0"]))
            proxy.lose_answer = b"SELECT 1\0"
            assert (await backend.commit("c/0", Change([b"1"], op_id="1"))).repeated
            proxy.lose_answer = b"SELECT 1\0"
            with pytest.raises(UnavailableError, match="may be stored"):
                await backend.commit("c/0", Change([b"2"]))
            assert proxy.cuts == 2
            assert await found(backend) == [b"0", b"1", b"2"]


@pytest.mark.parametrize("word", [b"BEGIN", b"FOR NO KEY UPDATE"])
async def test_a_batch_that_lost_its_connection_before_its_commit_is_made(
    postgres_server: PostgresServer, word: bytes
) -> None:
    with between(postgres_server) as (proxy, url):
        async with opened(postgres_server, url) as backend:
            proxy.lose_call = word
            outcomes = await backend.commit_many(batch())
            assert proxy.cuts == 1
            assert [type(outcome) for outcome in outcomes] == [Receipt] * 6
            assert await found(backend) == [b"%d" % n for n in range(6)]


async def test_a_read_that_lost_its_connection_is_made_once_more(postgres_server: PostgresServer) -> None:
    with between(postgres_server) as (proxy, url):
        async with opened(postgres_server, url) as backend:
            await backend.commit("c/0", Change([b"0"]))
            proxy.lose_call = b"REPEATABLE READ"
            assert await found(backend) == [b"0"]
            assert proxy.cuts == 1


async def test_a_server_that_is_away_is_waited_for_once_for_all_changes(postgres_server: PostgresServer) -> None:
    with between(postgres_server) as (proxy, url):
        async with opened(postgres_server, url, timeout=1) as backend:
            proxy.lose_answer = b"COMMIT\0"
            proxy.close()
            began = time.monotonic()
            outcomes = await backend.commit_many([(f"c/{n}", Change([b""], op_id="op")) for n in range(30)])
            assert time.monotonic() - began < 5
            assert all(isinstance(outcome, UnavailableError) for outcome in outcomes)


async def test_connections_that_ended_while_idle_are_not_noticed(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as backend:
        await backend.commit("c/0", Change([b"0"]))
        assert await found(backend) == [b"0"]
        for n in range(1, 4):
            postgres_server.run(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE query LIKE"
                f" '%{schema_of(backend).strip(chr(34))}%' AND pid <> pg_backend_pid()",
            )
            await backend.commit("c/0", Change([b"%d" % n]))  # without an op_id
            assert await found(backend) == [b"%d" % one for one in range(n + 1)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork beside threads, from Python 3.12 on
async def test_a_forked_child_that_closes_leaves_the_connections_of_its_parent(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server, notify=False) as backend:  # a hint would use the connections of the pool
        await backend.commit("c", Change([b"1"]))
        await backend.read("c")
        before = [connection_of(backend), backend._database._idle[0][1]]
        child = os.fork()
        if child == 0:
            run_in_place(backend.close())
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0  # noqa: ASYNC222 - for a moment
        for connection in before:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        await backend.commit("c", Change([b"2"]))
        assert len((await backend.read("c")).entries) == 2
        assert [connection_of(backend), backend._database._idle[0][1]] == before


async def test_a_stream_that_cannot_be_begun_ends_the_commit_with_an_error(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server, timeout=0.3) as backend:
        schema = schema_of(backend)
        postgres_server.run(
            f"CREATE FUNCTION {schema}.never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            f"CREATE TRIGGER never BEFORE INSERT ON {schema}.streams FOR EACH ROW EXECUTE FUNCTION {schema}.never()",
        )
        with pytest.raises(UnavailableError, match="nothing was stored"):
            await backend.commit("c/0", Change([b"1"]))
        postgres_server.run(f"DROP FUNCTION {schema}.never() CASCADE")
        assert (await backend.commit("c/0", Change([b"1"]))).first == 0


async def test_a_damaged_stream_does_not_stop_the_others_of_its_batch(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as backend:
        await backend.commit("c/1", Change([b"0"], labels={"k": "v"}))
        await backend.commit("c/2", Change([b"0"]))
        schema = schema_of(backend)
        postgres_server.run(
            f"UPDATE {schema}.streams SET labels = 'no JSON' WHERE name = 'c/1'",
            f"UPDATE {schema}.streams SET next = 0, length = 0 WHERE name = 'c/2'",
        )
        outcomes = await backend.commit_many([(f"c/{n}", Change([b"1"])) for n in range(4)])
        assert [type(outcome) for outcome in outcomes] == [Receipt, DamagedError, DamagedError, Receipt]
        with pytest.raises(DamagedError):
            await backend.commit("c/2", Change([b"1"]))
        # Each can be deleted, and begins anew.
        for name in ("c/1", "c/2"):
            with pytest.raises(DamagedError):
                await backend.commit(name, Change(delete=True, expect=1))
            await backend.commit(name, Change(delete=True))
            await backend.commit(name, Change([b"new"]))
            assert [entry.data for entry in (await backend.read(name)).entries] == [b"new"]


async def test_a_server_that_became_read_only_is_left(postgres_server: PostgresServer) -> None:
    async with opened(postgres_server) as owner:
        await owner.commit("c/0", Change([b"0"]))
        schema = schema_of(owner)
        role = schema.strip('"')
        postgres_server.run(
            f"CREATE ROLE {role} LOGIN PASSWORD 'role'",
            f"GRANT USAGE ON SCHEMA {schema} TO {role}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
        )
        host = postgres_server.endpoint.rpartition("@")[2]
        backend = await PostgresBackend.open(f"postgresql://{role}:role@{host}/postgres", schema=role, timeout=0.3)
        try:
            postgres_server.run(f"ALTER ROLE {role} SET default_transaction_read_only = on")
            with pytest.raises(UnavailableError, match="not the primary"):
                await backend.read("c/0")
            with pytest.raises(UnavailableError, match="not the primary"):
                await backend.commit("c/0", Change([b"1"]))
            postgres_server.run(f"ALTER ROLE {role} RESET default_transaction_read_only")
            assert (await backend.commit("c/0", Change([b"1"]))).first == 1
        finally:
            await backend.close()
            postgres_server.run(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


async def test_a_sweep_that_saw_a_blob_before_its_entry_leaves_it(postgres_server: PostgresServer) -> None:
    """The sweep stands still after its snapshot was taken and before its rows are locked; the entry comes between."""

    async def pieces() -> AsyncIterator[bytes]:
        yield b"kept"

    async with opened(postgres_server) as backend:
        schema, statements = schema_of(backend), backend._database.statements
        blob = await backend.write_blob("c/0", pieces())
        postgres_server.run(f"UPDATE {schema}.blobs SET written_at = 1")
        key = hash(schema) & 0xFFFF
        whole = statements["orphans"]
        paused = whole.decode().replace(
            "SELECT b.id FROM", f"WITH p AS MATERIALIZED (SELECT pg_advisory_lock({key})) SELECT b.id FROM p,"
        )
        paused = paused.replace("FOR NO KEY UPDATE", "FOR NO KEY UPDATE OF b")
        assert paused.count("MATERIALIZED") == 1
        statements._composed["orphans"] = paused.encode()
        with psycopg.connect(f"{postgres_server.endpoint}/postgres", autocommit=True) as gate:
            gate.execute(f"SELECT pg_advisory_lock({key})")
            thread = threading.Thread(target=sweep, args=(backend._database,))
            thread.start()
            await wait_for(
                gate, "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = %s", key
            )
            await backend.commit("c/0", Change([b"entry"], blobs=[blob]))
            gate.execute(f"SELECT pg_advisory_unlock({key})")
            thread.join(30)
        # The connection keeps the lock of this test, and the next sweep may have another connection.
        statements._composed["orphans"] = whole
        assert b"".join([piece async for piece in backend.read_blob("c/0", blob)]) == b"kept"
        other = await backend.write_blob("c/0", pieces())
        postgres_server.run(f"UPDATE {schema}.blobs SET written_at = 1 WHERE name = '{other}'")
        assert (await backend.sweep()).blobs == 1
        with pytest.raises(ConflictError):
            await backend.commit("c/0", Change([b"entry"], blobs=[other]))


SWALLOWED = [
    # a table, and a change that writes to it
    ("entries", Change([b"1"])),
    ("entries", Change([b"1"], op_id="op")),
    ("entries", Change([b"1", b"2"])),
    ("entries", Change([b"1"], labels={"k": "v"})),
    ("operations", Change([b"1"], op_id="op")),
    ("operations", Change(op_id="op", labels={"k": "v"})),
    ("streams", Change([b"1"], labels={"k": "v"})),
    ("streams", Change([b"1"])),
    ("streams", Change(delete=True)),
]


@pytest.mark.parametrize(("table", "change"), SWALLOWED)
async def test_a_trigger_of_others_that_swallows_rows_is_said_and_nothing_is_stored(
    postgres_server: PostgresServer, table: str, change: Change
) -> None:
    async with opened(postgres_server, timeout=0.3) as backend:
        schema = schema_of(backend)
        await backend.commit("c/0", Change([b"0"]))
        await backend.commit("c/1", Change([b"0"]))
        postgres_server.run(
            f"CREATE FUNCTION {schema}.never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            f"CREATE TRIGGER never BEFORE INSERT OR UPDATE ON {schema}.{table} FOR EACH ROW"
            f" EXECUTE FUNCTION {schema}.never()",
        )
        with pytest.raises(DamagedError, match=r"nothing was stored: .* a trigger that is not ours"):
            await backend.commit("c/0", change)
        together = await backend.commit_many([("c/0", change), ("c/1", change)])
        assert [type(one) for one in together] == [DamagedError] * 2
        postgres_server.run(f"DROP FUNCTION {schema}.never() CASCADE")
        assert [one.data for one in (await backend.read("c/0")).entries] == [b"0"]
        assert await backend.remembered("c/0") == {}
        assert (await backend.commit("c/0", change)).repeated is False


async def test_a_trigger_that_swallows_pieces_of_a_blob_is_said(postgres_server: PostgresServer) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        yield b"body"

    async with opened(postgres_server) as backend:
        schema = schema_of(backend)
        postgres_server.run(
            f"CREATE FUNCTION {schema}.never() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            f"CREATE TRIGGER never BEFORE INSERT ON {schema}.chunks FOR EACH ROW EXECUTE FUNCTION {schema}.never()",
        )
        with pytest.raises(DamagedError, match="a trigger that is not ours"):
            await backend.write_blob("c/0", pieces())


MEMORY = """
import asyncio, sys
from stowfast.backends.postgres.backend import PostgresBackend
from stowfast.abc import Change
def peak():  # no getrusage: a child begins with the peak of its parent
    with open('/proc/self/status') as status:
        return next(int(line.split()[1]) // 1024 for line in status if line.startswith('VmHWM'))
async def main():
    url, schema, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
    backend = await PostgresBackend.open(url, schema=schema)
    async def pieces():
        piece = bytes(range(256)) * 256
        for _ in range(size // len(piece)):
            yield piece
    before = peak()
    blob = await backend.write_blob("c", pieces())
    await backend.commit("c", Change([b""], blobs=[blob]))
    read = 0
    async for piece in backend.read_blob("c", blob):
        read += len(piece)
    await backend.close()
    print(read, before, peak())
asyncio.run(main())
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_a_blob_takes_constant_memory(postgres_server: PostgresServer) -> None:
    address, _, query = postgres_server.url().partition("?")
    size = 64 * 2**20
    command = [sys.executable, "-c", MEMORY, address, query.partition("=")[2], str(size)]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=100).stdout
    read, before, peak = map(int, told.split())
    print(f"{read} bytes read, {before} MiB at the start, {peak} MiB at the peak")
    assert read == size
    assert peak < 96
