"""Every planted damage is found, nothing is written, and equal places have one digest."""

from __future__ import annotations

import hashlib
import random
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import DamagedError, moving
from stowfast.abc import Change
from tests.services.faulty_s3.server import FaultyS3
from tests.unit.moving.places import fill, fill_by_long_work

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.postgres import PostgresServer

DAMAGES = 50
STATEMENTS = (
    "UPDATE entries SET data = CAST(substr(data, 1, length(data) - 1) || 'X' AS BLOB)",
    "UPDATE entries SET created_at = created_at + 1",
    "UPDATE entries SET op_id = 'another'",
    "UPDATE entries SET place = place + 1000",
    "DELETE FROM entries",
    "UPDATE streams SET note = x'7b7d'",
    "UPDATE streams SET revision = revision + 1",
    'UPDATE streams SET labels = \'{"user":"eve"}\'',
    "UPDATE streams SET updated_at = updated_at + 1",
    "UPDATE chunks SET data = zeroblob(length(data))",
    "DELETE FROM chunks",
)


async def found(place: str | stowfast.Stores) -> bool:
    """Return True if a verification reports damage."""
    try:
        return not (await moving.verify(place)).sound
    except DamagedError:
        return True


@pytest.mark.slow
async def test_every_damage_of_a_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "place.db"
    async with stowfast.open(f"sqlite:///{path}") as stores:
        await fill(stores)
    whole, chance, missed = path.read_bytes(), random.Random(5), []
    for number in range(DAMAGES):
        statement = STATEMENTS[number % len(STATEMENTS)]
        damaged = tmp_path / f"damaged-{number}.db"
        damaged.write_bytes(whole)
        table = statement.split()[1] if statement.startswith("UPDATE") else statement.split()[2]
        with closing(sqlite3.connect(damaged)) as connection, connection:
            alive = {
                "streams": "SELECT rowid FROM streams WHERE incarnation IS NOT NULL",
                "entries": "SELECT rowid FROM entries",
                "chunks": "SELECT rowid FROM chunks WHERE blob IN (SELECT blob FROM links)",
            }[table]
            row = chance.choice(connection.execute(alive).fetchall())
            connection.execute(f"{statement} WHERE rowid = ?", row)
        if not await found(f"sqlite:///{damaged}"):
            missed.append((statement, row))
    print(f"\n{DAMAGES} damages of a SQLite file, {DAMAGES - len(missed)} found")
    assert missed == []


PLANTED = (
    "UPDATE streams SET expires_at = 1 WHERE name = 'messages/c0'",
    "UPDATE streams SET incarnation = NULL WHERE name = 'messages/c0'",
    "UPDATE streams SET updated_at = updated_at + 1 WHERE name = 'messages/deleted'",
    "UPDATE streams SET name = 'messages/deletee' WHERE name = 'messages/deleted'",
    "UPDATE streams SET note = x'00' WHERE name = 'other/expired'",
    "DELETE FROM streams WHERE name = 'messages/c0'",
    "DELETE FROM streams WHERE name = 'artifacts/a0'",
    "DELETE FROM streams WHERE name = 'messages/deleted'",
    "UPDATE labels SET value = 'eve'",
    "DELETE FROM labels WHERE key = 'user'",
    "INSERT INTO labels SELECT id, 'user', 'eve' FROM streams WHERE incarnation IS NULL",
    "INSERT INTO labels VALUES (999, 'user', 'eve')",
    "DELETE FROM operations",
    "UPDATE operations SET next = next + 5",
    "UPDATE operations SET key = key - 1",
    "UPDATE blobs SET whole = 0",
    "DELETE FROM blobs",
    "DELETE FROM links",
    "UPDATE links SET position = position + 100",
    "DELETE FROM active",
    "UPDATE streams SET listed_at = listed_at + 1000000 WHERE name = 'messages/c0'",
    "UPDATE streams SET listed_at = listed_at - 1000000 WHERE name = 'documents/d0'",
    "UPDATE streams SET listed_at = NULL WHERE name = 'documents/d0'",
    "INSERT INTO garbage SELECT id, next FROM streams WHERE name = 'messages/c0'",
    "INSERT INTO garbage VALUES (999, 7)",
)


@pytest.mark.parametrize("statement", PLANTED)
async def test_a_damage_that_no_reader_meets_is_found(statement: str, tmp_path: Path) -> None:
    path = tmp_path / "place.db"
    async with stowfast.open(f"sqlite:///{path}?sweep=false") as stores:
        await fill(stores)
        await stores.messages.add_message("deleted", {"n": 1}, op_id="remembered")
        await stores.messages.delete("deleted")
        await stores.backend.commit("other/expired", Change([b"x"], expires_at=1))
    assert (await moving.verify(f"sqlite:///{path}")).damaged == []
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount
    assert await found(f"sqlite:///{path}")


async def test_a_file_of_long_work_has_no_damage(tmp_path: Path) -> None:
    """Garbage of large deletions, moved rows, dropped fronts and receipts of former lives are sound, before a sweep."""
    url = f"sqlite:///{tmp_path}/place.db?sweep=false"
    async with stowfast.open(url) as stores:
        await fill_by_long_work(stores)
        for n in range(30):
            await stores.messages.add_message(f"plain-{n % 3}", {"n": n})
        found_before = await moving.verify(stores)
        assert found_before.damaged == []
        await moving.copy(stores, f"sqlite:///{tmp_path}/copy.db")
        await stores.sweep()
        assert (await moving.verify(stores)).damaged == []
    again = await moving.verify(f"sqlite:///{tmp_path}/copy.db")
    assert (again.damaged, again.digest) == ([], found_before.digest)


@pytest.mark.slow
async def test_every_damage_of_a_bucket_is_found() -> None:
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        async with stowfast.open(url) as stores:
            await fill(stores)
        clean = await moving.verify(url)
        assert clean.sound
        linked = {
            key: body
            for key, body in server.objects.items()
            if (key.startswith("h/") and b'"incarnation"' in body) or key.startswith("d/artifacts")
        }
        chance, missed = random.Random(6), []
        for _ in range(DAMAGES):
            key = chance.choice(sorted(linked))
            at = chance.randrange(len(linked[key]))
            damaged = bytearray(linked[key])
            damaged[at] ^= 1 << chance.randrange(8)
            server.put(key, bytes(damaged))
            if not await found(url):
                missed.append((key, at))
            server.put(key, linked[key])
        again = await moving.verify(url)
        assert (again.sound, again.digest) == (True, clean.digest)
    print(f"\n{DAMAGES} flipped bits in a bucket, {DAMAGES - len(missed)} found")
    assert [key for key, _ in missed if key.startswith("h/")] == []
    assert missed == []


async def test_a_verification_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "place.db"
    async with stowfast.open(f"sqlite:///{path}") as stores:
        await fill(stores)
        await stores.backend.commit("other/expired", Change([b"x"], expires_at=1))
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        await moving.copy(f"sqlite:///{path}", url)
        with server.counted() as made:
            await moving.verify(url)
        assert {record.operation for record in made} <= {"GET", "LIST", "HEAD"}
    await moving.verify(f"sqlite:///{path}")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == before


@pytest.mark.parametrize("change", ["message", "metadata", "time", "order", "name"])
async def test_places_that_differ_have_other_digests(change: str) -> None:
    async with stowfast.open("memory:") as one, stowfast.open("memory:") as two:
        await fill(one)
        await moving.copy(one, two)
        digest = (await moving.verify(one)).digest
        assert (await moving.verify(two)).digest == digest
        if change == "message":
            await two.messages.add_message("c0", {"n": 1})
        elif change == "metadata":
            await two.messages.set_metadata("c0", {"user": "eve"})
        elif change == "time":
            await two.messages.pop_message("c0")
        elif change == "order":
            await two.messages.delete("c0")
            await two.messages.add_messages("c0", [{"n": 2}, {"n": 1}])
        else:
            await moving.copy(one, two, selection=moving.Selection(prefix="c0"), into="elsewhere")
        assert (await moving.verify(two)).digest != digest


ENTRY = (
    "(stream, position) = (SELECT stream, position FROM {s}.entries"
    " ORDER BY md5(stream || '/' || position || '{n}') LIMIT 1)"
)
FILLED = ENTRY.replace("ORDER BY", "WHERE length(data) > 0 ORDER BY")
CHUNK = "(blob, start) = (SELECT blob, start FROM {s}.chunks ORDER BY md5(blob || '/' || start || '{n}') LIMIT 1)"
BLOB = "id = (SELECT blob FROM {s}.links ORDER BY md5(blob || '/' || '{n}') LIMIT 1)"
ARTIFACT = "id IN (SELECT id FROM {s}.streams WHERE name LIKE 'artifacts/%' ORDER BY md5(name || '{n}') LIMIT 1)"
STREAM = "id IN (SELECT stream FROM {s}.entries ORDER BY md5(stream || '/' || '{n}') LIMIT 1)"
ON_POSTGRES = (
    f"DELETE FROM {{s}}.entries WHERE {ENTRY}",
    f"UPDATE {{s}}.entries SET position = position + 1000 WHERE {ENTRY}",
    f"UPDATE {{s}}.entries SET stream = -1 WHERE {ENTRY}",
    f"UPDATE {{s}}.chunks SET data = set_byte(data, 7, 255 - get_byte(data, 7)) WHERE {CHUNK}",
    f"UPDATE {{s}}.chunks SET data = substr(data, 2) WHERE {CHUNK}",
    f"DELETE FROM {{s}}.chunks WHERE {CHUNK}",
    f"DELETE FROM {{s}}.blobs WHERE {BLOB}",
    f"UPDATE {{s}}.streams SET length = length + 1 WHERE {STREAM}",
    f"UPDATE {{s}}.streams SET labels = '[' WHERE {STREAM}",
    f"UPDATE {{s}}.streams SET note = '{{{{' WHERE {ARTIFACT}",
    f"UPDATE {{s}}.entries SET data = set_byte(data, 0, 255 - get_byte(data, 0)) WHERE {FILLED}",
    f"UPDATE {{s}}.entries SET data = data || ' ' WHERE {ENTRY}",
    f"UPDATE {{s}}.entries SET created_at = created_at + 1 WHERE {ENTRY}",
    f"UPDATE {{s}}.entries SET op_id = 'another' WHERE {ENTRY}",
    f"UPDATE {{s}}.entries SET checksum = checksum + 1 WHERE {ENTRY}",
    f'UPDATE {{s}}.streams SET labels = \'{{{{"user":"eve"}}}}\' WHERE {STREAM}',
    f"UPDATE {{s}}.streams SET note = '{{{{}}}}' WHERE {STREAM}",
    f"UPDATE {{s}}.streams SET incarnation = 'another' WHERE {STREAM}",
    f"UPDATE {{s}}.streams SET revision = revision + 1 WHERE {STREAM}",
    f"UPDATE {{s}}.streams SET base = base + 1 WHERE {STREAM}",
    f"UPDATE {{s}}.streams SET created_at = created_at - 1 WHERE {STREAM}",
    f"UPDATE {{s}}.streams SET updated_at = updated_at + 1 WHERE {STREAM}",
    f"UPDATE {{s}}.streams SET expires_at = 4000000000000000 WHERE {STREAM}",
)
"""Damages of each kind. A changed checksum is one, too: the changed byte may be in it."""


@pytest.mark.parametrize("count", [12, pytest.param(DAMAGES, marks=pytest.mark.soak)])
async def test_damages_of_postgres_are_found(count: int, postgres_server: PostgresServer) -> None:
    url = postgres_server.url()
    schema = url.rpartition("schema=")[2]
    tables = ("entries", "chunks", "blobs", "streams")
    missed: list[str] = []
    mend: list[str] = []
    async with stowfast.open(url) as stores:
        await fill(stores)
        clean = await moving.verify(stores)
        assert clean.sound
        postgres_server.run(*(f"CREATE TABLE {schema}.kept_{table} AS TABLE {schema}.{table}" for table in tables))
        for number in range(count):
            statement = ON_POSTGRES[number * 7 % len(ON_POSTGRES)].format(s=schema, n=number)
            postgres_server.run(*mend, statement)
            if not await found(stores):
                missed.append(statement)
            table = statement.replace(f"{schema}.", "").split()[2 if statement.startswith("DELETE") else 1]
            mend = [
                f"DELETE FROM {schema}.{table}",
                f"INSERT INTO {schema}.{table} OVERRIDING SYSTEM VALUE SELECT * FROM {schema}.kept_{table}",
            ]
        postgres_server.run(*mend)
    again = await moving.verify(url)
    assert (again.sound, again.digest) == (True, clean.digest)
    print(f"\n{count} damages of PostgreSQL, {count - len(missed)} found")
    assert missed == []
