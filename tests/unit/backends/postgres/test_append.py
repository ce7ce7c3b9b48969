"""The append statement means the same as `apply`, and costs one turn of the wire."""

from __future__ import annotations

import asyncio
import random
import select
import socket
import threading
import uuid
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast.abc import Change
from stowfast.backends.postgres.backend import PostgresBackend
from stowfast.backends.postgres.committer import Committer
from stowfast.semantics import apply

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.services.postgres import PostgresServer

SECOND = 10**6
MUTANTS = {
    "next": ("SET next = s.next + %(count)s::bigint", "SET next = s.next + %(count)s::bigint + 1"),
    "length": ("length = s.length + %(count)s::bigint", "length = s.length + 1"),
    "updated_at": ("updated_at = GREATEST(s.updated_at, ", "updated_at = LEAST(s.updated_at, "),
    "expires_at": ("s.expires_at > ", "0 < "),
    "incarnation": ("s.incarnation IS NOT NULL AND", "TRUE AND"),
    "position": ("head.next - %(count)s::bigint + e.number - 1", "head.next - %(count)s::bigint + e.number"),
    "op_id": ("SELECT head.id, %(op_id)s::text", "SELECT head.id, 'another'"),
}


@pytest.fixture
async def backend(postgres_server: PostgresServer) -> AsyncIterator[PostgresBackend]:
    address, _, query = postgres_server.url().partition("?")
    opened = await PostgresBackend.open(address, schema=query.partition("=")[2])
    yield opened
    await opened.close()


async def means_the_same(backend: PostgresBackend, seed: int) -> None:
    """Append to streams of every kind by the statement, and compare the heads and the entries with those of `apply`."""
    chance = random.Random(seed)
    now = await backend.now()
    stream = f"notes/{uuid.uuid4().hex}"
    kind = chance.choice(("plain", "expiring", "expired", "deleted", "missing", "ahead", "with gaps"))
    first = Change([b"x"] * chance.randrange(1, 5), labels={"k": "v"}, note=b"note")
    if kind != "missing":
        await backend.commit(stream, first)
    more = {
        "expiring": Change(expires_at=now + 3_600 * SECOND),
        "expired": Change(expires_at=now - SECOND),
        "deleted": Change(delete=True),
        "with gaps": Change(cut_from=1),
    }
    if kind in more:
        await backend.commit(stream, more[kind])
    if kind == "ahead":
        with backend._database.lend() as connection:
            schema = backend._database.statements.schema.as_string()
            connection.execute(
                f"UPDATE {schema}.streams SET updated_at = updated_at + 9999999 WHERE name = %s",
                [stream],
            )
    (before,) = await backend.heads([stream])
    change = Change([b"%d" % n for n in range(chance.randrange(1, 6))], op_id=chance.choice((None, "op")))
    receipt = Committer._append(backend._committer, stream, change)
    if before is None:
        assert receipt is None, f"a stream that is {kind} goes the general way"
        return
    assert isinstance(receipt, stowfast.abc.Receipt), receipt
    effect = apply(stream, before, change, now=receipt.committed_at, incarnation=lambda: "none")
    head, entries = await backend.read(stream)
    expected = effect.head
    if expected is not None and change.op_id is not None:
        expected = expected._replace(revision=before.revision)
    assert (head, receipt) == (expected, effect.receipt), kind
    added = [entry for entry in entries if entry.position >= receipt.first]
    assert [entry.data for entry in added] == list(change.entries)
    assert [entry.position for entry in added] == list(range(receipt.first, receipt.next))
    assert {(entry.created_at, entry.op_id) for entry in added} == {(receipt.committed_at, change.op_id)}
    assert receipt.committed_at >= before.updated_at
    if change.op_id is not None:
        assert await backend.commit(stream, change) == receipt._replace(repeated=True)


async def test_the_statement_means_the_same_as_apply(backend: PostgresBackend) -> None:
    for seed in range(150):
        await means_the_same(backend, seed)


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_wrong_expression_is_found(backend: PostgresBackend, name: str) -> None:
    from psycopg import sql

    old, new = MUTANTS[name]
    composed: dict[str, Any] = backend._database.statements._composed
    for statement in ("append", "append_once", "append_alone", "append_once_alone"):
        text = composed[statement].as_string()
        composed[statement] = sql.SQL(text.replace("{", "{{").replace("}", "}}").replace(old, new)).format()
    with pytest.raises((AssertionError, stowfast.StowfastError)):
        await test_the_statement_means_the_same_as_apply(backend)


@contextmanager
def counted(host: str, port: int) -> Iterator[tuple[int, list[int]]]:
    """Stand between client and server, and count the turns: how often the client speaks after an answer."""
    listener = socket.create_server(("127.0.0.1", 0))
    turns = [0]

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection((host, port)) as server, suppress(OSError):
            answered = True
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(2**16)
                    if not data:
                        return
                    if ready is client:
                        turns[0] += answered
                        answered = False
                        server.sendall(data)
                    else:
                        answered = True
                        client.sendall(data)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], turns
    finally:
        listener.close()


async def test_an_append_is_one_turn_of_the_wire(postgres_server: PostgresServer) -> None:
    user, _, address = postgres_server.endpoint.rpartition("@")
    host, _, port = address.partition(":")
    schema = f"t{uuid.uuid4().hex}"
    async with stowfast.open(postgres_server.url(schema)) as stores:
        await stores.messages.add_messages("c", [{"n": n} for n in range(9)])
    with counted(host, int(port)) as (port_between, turns):
        url = f"{user}@{host}:{port_between}/postgres?schema={schema}&sslmode=disable"
        async with stowfast.open(url) as stores:
            await stores.messages.add_message("c", {})  # connects
            await stores.messages.get_messages("c", last=2)
            await stores.messages.add_message("c", {}, op_id="first")
            for number in range(5):
                turns[0] = 0
                await stores.messages.add_message("c", {}, op_id=f"op-{number}" if number % 2 else None)
                assert turns[0] == 1
            turns[0] = 0
            assert len(await stores.messages.get_messages("c", last=3)) == 3
            assert turns[0] == 1
            turns[0] = 0
            await asyncio.gather(*(stores.messages.add_message(f"other-{number}", {}) for number in range(20)))
            new = turns[0]
            turns[0] = 0
            await asyncio.gather(*(stores.messages.add_message(f"other-{number}", {}) for number in range(20)))
            print(f"20 new conversations at once: {new} turns; 20 known ones: {turns[0]} turns")
            assert turns[0] <= 4
