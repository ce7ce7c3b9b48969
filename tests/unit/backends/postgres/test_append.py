"""The append statement means the same as `apply`, and costs one turn of the wire."""

from __future__ import annotations

import asyncio
import random
import select
import socket
import threading
import time
import uuid
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import ConflictError
from stowfast.abc import Change, Receipt
from stowfast.backends.postgres.committer import Committer
from stowfast.semantics import apply
from tests.unit.backends.postgres.test_faults import opened

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from stowfast.backends.postgres.backend import PostgresBackend
    from tests.services.postgres import PostgresServer

SECOND = 10**6
TURNS_TO_CONNECT = 3
"""The greeting, and two of the password."""
MUTANTS = {
    "next": ("SELECT s.next + %(count)s::bigint AS next", "SELECT s.next + %(count)s::bigint + 1 AS next"),
    "length": ("s.length + %(count)s::bigint AS length", "s.length + 1 AS length"),
    "updated_at": ("GREATEST(s.updated_at, ", "LEAST(s.updated_at, "),
    "expires_at": ("s.expires_at > ", "0 < "),
    "incarnation": ("s.incarnation IS NOT NULL AND", "TRUE AND"),
    "position": (
        "head.next - %(count)s::bigint + e.number - 1, head.updated_at",
        "head.next - %(count)s::bigint + e.number, head.updated_at",
    ),
    "op_id": ("SELECT head.id, %(op_id)s::text", "SELECT head.id, 'another'"),
    "recent": ("c.at >> 26", "s.recent"),
    "checksum of the head: the old one": ("c.at >> 26, s.checksum #", "c.at >> 26, 0 #"),
    "checksum of the head: next before": ("mod(s.next, ", "mod(s.next + 1, "),
    "checksum of the head: length before": ("mod(s.length, ", "mod(s.length + 1, "),
    "checksum of the head: time before": ("# (s.updated_at))", "# (0))"),
    "checksum of the head: next": ("mod(c.next, ", "mod(s.next, "),
    "checksum of the head: length": ("mod(c.length, ", "mod(s.length, "),
    "checksum of the head: time": ("# (c.at))", "# (s.updated_at))"),
    "checksum of an entry: content": ("e.content # ", "0 # "),
    "checksum of an entry: position": (
        "mod(head.next - %(count)s::bigint + e.number - 1, ",
        "mod(head.next - %(count)s::bigint + e.number, ",
    ),
    "checksum of an entry: time": ("# (head.updated_at))", "# (0))"),
}
"""An edit of each expression of the append statement."""


@pytest.fixture
async def backend(postgres_server: PostgresServer) -> AsyncIterator[PostgresBackend]:
    async with opened(postgres_server) as backend:
        yield backend


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
                f"UPDATE {schema}.streams SET updated_at = updated_at + 99999999,"
                " checksum = checksum # updated_at # (updated_at + 99999999) WHERE name = %s",
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
    with backend._database.lend() as connection:
        query = f"SELECT recent FROM {backend._database.statements.schema.as_string()}.streams WHERE name = %s"
        assert connection.execute(query.encode(), [stream]).fetchone() == (receipt.committed_at >> 26,)
    if change.op_id is not None:
        assert await backend.commit(stream, change) == receipt._replace(repeated=True)


async def test_the_statement_means_the_same_as_apply(backend: PostgresBackend) -> None:
    for seed in range(150):
        await means_the_same(backend, seed)


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_wrong_expression_is_found(backend: PostgresBackend, name: str) -> None:
    old, new = (text.encode() for text in MUTANTS[name])
    composed = backend._database.statements._composed
    for statement in ("append", "append_once", "append_alone", "append_once_alone"):
        assert old in composed[statement] or "once" not in statement, "this edits nothing"
        composed[statement] = composed[statement].replace(old, new)
    with pytest.raises((AssertionError, stowfast.StowfastError)):
        await test_the_statement_means_the_same_as_apply(backend)


FLUSH = b"H\x00\x00\x00\x04"
"""https://www.postgresql.org/docs/15/protocol-message-formats.html"""


class Session:
    """One connection, seen from between client and server."""

    def __init__(self, client: socket.socket) -> None:
        self.client = client
        self.turns = 0
        """How often the client spoke after an answer."""
        self.said = b""
        """The words of the client."""


class Wire:
    """Stands between client and server, and counts the turns of each connection.

    Words with `stalled` in them are never passed on, and neither is anything after them.
    """

    def __init__(self, server: PostgresServer) -> None:
        user, _, address = server.endpoint.rpartition("@")
        host, _, port = address.partition(":")
        self._server = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"{user}@127.0.0.1:{self._listener.getsockname()[1]}/postgres"
        self.sessions: list[Session] = []
        self.stalled: bytes | None = None
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()
        for session in self.sessions:
            with suppress(OSError):
                session.client.shutdown(socket.SHUT_RDWR)

    def turns(self, words: bytes = b"") -> int:
        """Count the turns of the connections on which the client has said these words."""
        return sum(session.turns for session in self.sessions if words in session.said)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.sessions.append(Session(client))
                threading.Thread(target=self._serve, args=(client, self.sessions[-1]), daemon=True).start()

    def _serve(self, client: socket.socket, session: Session) -> None:
        with suppress(OSError), client, socket.create_connection(self._server) as server:
            answered = True
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(2**16)
                    if not data:
                        return
                    if ready is client:
                        # A Flush behind a Sync may come after the answer, and gets none: it waits for nothing.
                        session.turns += answered and data != FLUSH
                        answered = answered and data == FLUSH
                        session.said += data
                        if self.stalled is None or self.stalled not in session.said:
                            server.sendall(data)
                    else:
                        answered = True
                        client.sendall(data)


@pytest.fixture
def wire(postgres_server: PostgresServer) -> Iterator[Wire]:
    between = Wire(postgres_server)
    yield between
    between.close()


async def test_an_append_is_one_turn_of_the_wire(postgres_server: PostgresServer, wire: Wire) -> None:
    schema = f"t{uuid.uuid4().hex}"
    async with stowfast.open(postgres_server.url(schema)) as stores:
        await stores.messages.add_messages("c", [{"n": n} for n in range(9)])
    async with stowfast.open(f"{wire.url}?schema={schema}&sslmode=disable&notify=false") as stores:
        await stores.messages.add_message("c", {})  # connects
        await stores.messages.get_messages("c", last=2)
        await stores.messages.add_message("c", {}, op_id="first")
        for number in range(5):
            before = wire.turns()
            await stores.messages.add_message("c", {}, op_id=f"op-{number}" if number % 2 else None)
            assert wire.turns() - before == 1
        before = wire.turns()
        assert len(await stores.messages.get_messages("c", last=3)) == 3
        assert wire.turns() - before == 1
        # None is sent ahead of the others by the event loop.
        stores.backend._group._alone = stores.backend._group._fast = False  # type: ignore[attr-defined]
        before = wire.turns()
        await asyncio.gather(*(stores.messages.add_message(f"other-{number}", {}) for number in range(20)))
        new, before = wire.turns() - before, wire.turns()
        stores.backend._group._alone = stores.backend._group._fast = False  # type: ignore[attr-defined]
        await asyncio.gather(*(stores.messages.add_message(f"other-{number}", {}) for number in range(20)))
        known = wire.turns() - before
        print(f"20 new conversations at once: {new} turns; 20 known ones: {known} turns")
        assert known <= 4
        assert new <= 8
        before = wire.turns()
        changes = [(f"batch/{number}", Change([b"x"])) for number in range(20)]
        changes += [("batch/0", Change([b"y"], op_id="op")), ("missing", Change([b"z"], expect=7))]
        receipts = await stores.backend.commit_many(changes)
        assert wire.turns() - before == 3, "the locks, the new rows, all else with the COMMIT"
        assert [type(one) for one in receipts] == [Receipt] * 21 + [ConflictError]
        assert await stores.backend.heads(["missing"]) == [None]


async def test_no_append_waits_for_a_hint(postgres_server: PostgresServer, wire: Wire) -> None:
    """No hint is ever answered, and none is sent on the connection of the commits."""
    schema = f"t{uuid.uuid4().hex}"
    stores = await stowfast.open(f"{wire.url}?schema={schema}&sslmode=disable")
    await stores.messages.add_message("c", {})
    await stores.messages.add_message("c", {})  # its statement is prepared
    wire.stalled = b"pg_notify"
    for _ in range(20):
        before = wire.turns(b"WITH head")
        await stores.messages.add_message("c", {})
        assert wire.turns(b"WITH head") - before == 1
    await stores.close()
    assert [session for session in wire.sessions if b"WITH head" in session.said and b"pg_notify" in session.said] == []
    for _ in range(2_000):
        if any(b"pg_notify" in session.said for session in wire.sessions):
            break
        await asyncio.sleep(0.01)
    else:
        pytest.fail("no hint was sent")
    async with stowfast.open(postgres_server.url(schema)) as others:
        assert await others.messages.count("c") == 22


async def test_the_hints_of_many_commits_go_together(wire: Wire) -> None:
    async with stowfast.open(f"{wire.url}?schema=t{uuid.uuid4().hex}&sslmode=disable") as stores:
        await stores.messages.add_message("c", {})
        began = time.monotonic()
        for _ in range(200):
            await stores.messages.add_message("c", {})
        most = (time.monotonic() - began) / 0.018 + 2  # they are 20 ms apart
        hints = wire.turns(b"pg_notify") - TURNS_TO_CONNECT
        print(f"200 appends, {hints} hints")
        assert 1 <= hints <= most
