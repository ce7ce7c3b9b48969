"""A damage of PostgreSQL that no reader of a stream meets is found. Long work leaves none."""

from __future__ import annotations

from typing import TYPE_CHECKING

import stowfast
from stowfast import moving
from stowfast.abc import Change
from tests.unit.moving.places import fill, fill_by_long_work

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.postgres import PostgresServer

ID = "(SELECT id FROM {s}.streams WHERE name = '{name}')"
CONVERSATION, DELETED = ID.replace("{name}", "messages/c0"), ID.replace("{name}", "messages/deleted")
ARTIFACT, DOCUMENT = ID.replace("{name}", "artifacts/a0"), ID.replace("{name}", "documents/d0")
PLANTED = (
    "UPDATE {s}.streams SET expires_at = 1 WHERE name = 'messages/c0'",
    "UPDATE {s}.streams SET incarnation = NULL WHERE name = 'messages/c0'",
    "UPDATE {s}.streams SET updated_at = updated_at + 1 WHERE name = 'messages/deleted'",
    "UPDATE {s}.streams SET name = 'messages/deletee' WHERE name = 'messages/deleted'",
    "UPDATE {s}.streams SET note = '0' WHERE name = 'other/expired'",
    "UPDATE {s}.streams SET recent = recent + 1 WHERE name = 'messages/c0'",
    "DELETE FROM {s}.streams WHERE name = 'messages/c0'",
    "DELETE FROM {s}.streams WHERE name = 'artifacts/a0'",
    "DELETE FROM {s}.streams WHERE name = 'messages/deleted'",
    "UPDATE {s}.labels SET pair = pair || '0' WHERE stream = " + CONVERSATION,
    "DELETE FROM {s}.labels WHERE stream = " + CONVERSATION,
    f"INSERT INTO {{s}}.labels VALUES ('0', {DELETED})",
    "INSERT INTO {s}.labels VALUES ('0', -5)",
    "DELETE FROM {s}.operations WHERE stream = " + CONVERSATION,
    "UPDATE {s}.operations SET next = next + 500 WHERE stream = " + CONVERSATION,
    "UPDATE {s}.operations SET first = first - 50 WHERE stream = " + CONVERSATION,
    "UPDATE {s}.operations SET op_id = op_id || 'x' WHERE op_id = 'single' AND stream = " + CONVERSATION,
    "UPDATE {s}.operations SET committed_at = committed_at + 1 WHERE op_id = 'single' AND stream = " + CONVERSATION,
    "UPDATE {s}.operations SET incarnation = 'x' WHERE op_id = 'single' AND stream = " + CONVERSATION,
    "UPDATE {s}.blobs SET whole = 0 WHERE stream = " + ARTIFACT,
    "DELETE FROM {s}.blobs",
    "DELETE FROM {s}.links",
    "UPDATE {s}.links SET position = position + 100",
    f"INSERT INTO {{s}}.links SELECT {DOCUMENT}, 0, id FROM {{s}}.blobs LIMIT 1",
    f"INSERT INTO {{s}}.entries SELECT {DELETED}, 0, created_at, checksum, op_id, data FROM {{s}}.entries LIMIT 1",
    "INSERT INTO {s}.entries SELECT -5, 0, created_at, checksum, op_id, data FROM {s}.entries LIMIT 1",
    "INSERT INTO {s}.chunks VALUES (-5, 0, 'x')",
)
TABLES = ("streams", "entries", "operations", "labels", "blobs", "chunks", "links")


async def test_a_damage_that_no_reader_meets_is_found(postgres_server: PostgresServer) -> None:
    url = postgres_server.url()
    schema = url.rpartition("schema=")[2]
    missed = []
    mend = [
        statement
        for table in TABLES
        for statement in (
            f"DELETE FROM {schema}.{table}",
            f"INSERT INTO {schema}.{table} OVERRIDING SYSTEM VALUE SELECT * FROM {schema}.kept_{table}",
        )
    ]
    async with stowfast.open(url) as stores:
        await fill(stores)
        await stores.messages.add_message("deleted", {"n": 1}, op_id="remembered")
        await stores.messages.delete("deleted")
        await stores.backend.commit("other/expired", Change([b"x"], expires_at=1))
        assert (await moving.verify(stores)).damaged == []
        postgres_server.run(*(f"CREATE TABLE {schema}.kept_{table} AS TABLE {schema}.{table}" for table in TABLES))
        for statement in PLANTED:
            postgres_server.run(statement.replace("{s}", schema))
            if (await moving.verify(stores)).sound:
                missed.append(statement)
            postgres_server.run(*mend)
        assert (await moving.verify(stores)).damaged == []
    assert missed == []


async def test_a_schema_of_long_work_has_no_damage(postgres_server: PostgresServer, tmp_path: Path) -> None:
    """Garbage of large deletions, uploads, dropped fronts and receipts of former lives are sound, before a sweep."""
    async with stowfast.open(postgres_server.url()) as stores:
        await fill_by_long_work(stores)
        found_before = await moving.verify(stores)
        assert found_before.damaged == []
        await moving.copy(stores, f"sqlite:///{tmp_path}/copy.db")
        await stores.sweep()
        assert (await moving.verify(stores)).damaged == []
    async with stowfast.open(postgres_server.url()) as others:
        await moving.copy(f"sqlite:///{tmp_path}/copy.db", others)
        again = await moving.verify(others)
    assert (again.damaged, again.digest) == ([], found_before.digest)
