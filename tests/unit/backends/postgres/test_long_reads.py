"""A long stream is read once more, while the server still sends. The answer is that of one moment."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.pq import TransactionStatus

import stowfast
from stowfast import DamagedError, UnavailableError
from stowfast.abc import Change, Entry, Origin, Receipt, Window
from stowfast.backends.postgres import connection as connections
from stowfast.backends.postgres import read as reading
from stowfast.backends.postgres.backend import PostgresBackend
from stowfast.backends.postgres.rows import entries_of
from stowfast.testing.data.messages import say
from tests.services.between import between
from tests.services.pgbouncer import pooled
from tests.unit.backends.postgres.test_faults import opened, schema_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from tests.services.postgres import PostgresServer

COUNT = 2_500
WINDOWS = [
    Window(),
    Window(start=10),
    Window(start=2_400),
    Window(stop=1_001),
    Window(limit=1_000),
    Window(limit=1_001),
    Window(limit=2_499),
    Window(start=700, stop=2_300, limit=1_500),
    Window(limit=2_000, newest=True),
    Window(start=-1, stop=10**30),
]

pytestmark = pytest.mark.skipif(
    not psycopg.capabilities.has_stream_chunked(), reason="the driver's library is older than PostgreSQL 17"
)


@pytest.fixture
async def backend(postgres_server: PostgresServer) -> AsyncIterator[PostgresBackend]:
    async with opened(postgres_server) as backend:
        for start in range(0, COUNT, 500):
            op_id = None if start % 1_000 else f"op-{start}"
            await backend.commit("c", Change([b"%d" % n for n in range(start, start + 500)], op_id=op_id))
        yield backend


@pytest.mark.parametrize("window", WINDOWS)
async def test_a_long_read_is_as_one_of_an_older_library(
    backend: PostgresBackend, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = await backend.read("c", window)
    monkeypatch.setattr(reading, "_is_sent_in_parts", lambda: False)
    assert await backend.read("c", window) == found
    start, stop = max(window.start or 0, 0), min(COUNT if window.stop is None else window.stop, COUNT)
    wanted = list(range(start, stop))
    if window.limit is not None:
        wanted = wanted[-window.limit :] if window.newest else wanted[: window.limit]
    assert [(entry.position, entry.data) for entry in found.entries] == [(n, b"%d" % n) for n in wanted]


CHANGES = {
    "append": (Change([b"new"]), COUNT + 1),
    "cut": (Change(cut_from=1_500), 1_500),
    "cut below the first part": (Change(cut_from=5), 5),
    "replaced": (Change([b"other"] * 2_000, cut_from=500), 2_500),
    "dropped": (Change(drop_before=900), COUNT - 900),
    "summary": (Change(base=1_200, note=b"summary"), COUNT - 1_200),
    "deleted": (Change(delete=True), 0),
}


@pytest.mark.parametrize("name", CHANGES)
async def test_a_change_between_the_two_readings_is_seen_whole(
    backend: PostgresBackend, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, count = CHANGES[name]
    await seen_whole(backend, [change], count, monkeypatch)


async def test_a_stream_begun_again_between_the_two_readings_is_the_new_one(
    backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    await seen_whole(backend, [Change(delete=True), Change([b"another life"] * 1_700)], 1_700, monkeypatch)


@pytest.mark.parametrize("count", [COUNT, 500, 1_000])
async def test_a_copy_begun_again_with_the_same_incarnation_and_revision_is_the_new_one(
    backend: PostgresBackend, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (head,) = await backend.heads(["c"])
    assert head is not None
    entries = [Entry(n, b"of another copy", head.created_at, None) for n in range(count)]
    origin = Origin(head._replace(next=count, length=count), entries)
    await seen_whole(backend, [Change(delete=True), Change(origin=origin)], count, monkeypatch)


async def seen_whole(
    backend: PostgresBackend, changes: list[Change], count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commit changes on another connection between the two readings, and compare the answer with a read after them."""
    read_long = reading._read_long
    struck = 0

    def strike(*given: Any) -> Any:
        nonlocal struck
        struck += 1
        assert given[0].info.transaction_status == TransactionStatus.IDLE, "the first reading holds no transaction open"
        for change in changes:
            (made,) = backend._committer.run([("c", change)])
            assert isinstance(made, Receipt), made
        return read_long(*given)

    monkeypatch.setattr(reading, "_read_long", strike)
    found = await backend.read("c")
    assert struck == 1
    monkeypatch.undo()
    assert found == await backend.read("c")
    assert len(found.entries) == count


async def test_damage_behind_the_first_thousand_is_said_at_once_and_the_next_read_goes_on(
    backend: PostgresBackend,
) -> None:
    schema = schema_of(backend)
    with backend._database.lend() as connection:
        connection.execute(f"UPDATE {schema}.entries SET data = 'x' WHERE position = 1100".encode())
    began = time.monotonic()
    with pytest.raises(DamagedError, match="position 1100"):
        await backend.read("c")
    assert time.monotonic() - began < 20
    assert len((await backend.read("c", Window(stop=1_100))).entries) == 1_100


async def test_missing_entries_behind_the_first_thousand_are_missed(backend: PostgresBackend) -> None:
    schema = schema_of(backend)
    with backend._database.lend() as connection:
        connection.execute(f"DELETE FROM {schema}.entries WHERE position = 1999".encode())
    with pytest.raises(DamagedError, match="of 2,500 entries"):
        await backend.read("c")


async def test_an_interrupt_between_the_rows_ends_at_once_and_the_next_read_goes_on(
    backend: PostgresBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StoppedError(BaseException):
        pass

    def checked(stream: str, rows: Iterable[Any]) -> Iterator[Entry]:
        for number, entry in enumerate(entries_of(stream, rows)):
            if number == 300:
                raise StoppedError
            yield entry

    monkeypatch.setattr(reading, "entries_of", checked)
    asked: list[object] = []
    monkeypatch.setattr(psycopg.Connection, "cancel_safe", lambda *_, **__: asked.append("cancel"))
    began = time.monotonic()
    with pytest.raises(StoppedError):
        await backend.read("c")
    assert time.monotonic() - began < 20
    assert not asked
    monkeypatch.undo()
    assert len((await backend.read("c")).entries) == COUNT


@pytest.mark.parametrize("fault", ["silent", "slow"])
async def test_a_long_read_ends_where_the_server_stands_still_between_the_rows(
    postgres_server: PostgresServer, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or where it sends a little now and then: all parts share one patience."""
    schema = f"t{uuid.uuid4().hex}"
    filled = await PostgresBackend.open(postgres_server.url(schema).partition("?")[0], schema=schema)
    await filled.commit("c", Change([b"x" * 4_000] * COUNT))
    await filled.close()
    with between(postgres_server) as (proxy, url):
        backend = await PostgresBackend.open(url, schema=schema, timeout=0.3, sslmode="disable", notify=False)
        try:
            monkeypatch.setattr(connections, "_SLOWNESS", 2)
            checked = 0

            def counted(stream: str, rows: Iterable[Any]) -> Iterator[Entry]:
                nonlocal checked
                for entry in entries_of(stream, rows):
                    checked += 1
                    if fault == "slow":
                        proxy.pause = 0.5
                    proxy.silent = fault == "silent"
                    yield entry

            monkeypatch.setattr(reading, "entries_of", counted)
            began = time.monotonic()
            with pytest.raises(UnavailableError):
                await backend.read("c")
            took = time.monotonic() - began
            proxy.silent, proxy.pause = False, 0
            print(f"{fault}: ended after {took:.1f} s and {checked} entries")
            assert 0 < checked < COUNT
            assert took < 15
            monkeypatch.undo()
            assert len((await backend.read("c")).entries) == COUNT
        finally:
            await backend.close()


async def test_readers_of_a_long_stream_share_the_connections_of_a_pooler(postgres_server: PostgresServer) -> None:
    """While a writer appends: each answer has all entries, without a gap."""
    with pooled(postgres_server, size=3) as pooler:
        url = pooler.url(f"t{uuid.uuid4().hex}")
        async with stowfast.open(url) as stores, stowfast.open(url) as others:
            await stores.messages.add_messages("c", [say(n) for n in range(COUNT)])
            added = COUNT
            reads = [asyncio.ensure_future(others.messages.get_messages("c")) for _ in range(6)]
            while not all(read.done() for read in reads):
                await stores.messages.add_message("c", say(added))
                added += 1
            for found in await asyncio.gather(*reads):
                assert found == [say(n) for n in range(len(found))]
                assert COUNT <= len(found) <= added
            assert len(await others.messages.get_messages("c")) == added
