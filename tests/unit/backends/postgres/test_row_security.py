"""Row-level security: the SQL of its page is run, and no tenant reaches the rows of another."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
import pytest

import stowfast
from stowfast import Artifact, InvalidError
from stowfast.abc import Change
from stowfast.backends.postgres.migration import script
from stowfast.backends.postgres.schema import TABLES, VERSION_TABLE
from stowfast.testing.data.messages import say

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.services.postgres import PostgresServer

PAGE = Path(__file__).parents[4] / "docs" / "guides" / "row-level-security.md"
WEEK = 8 * 86_400 * 10**6


class Tenants(NamedTuple):
    server: PostgresServer
    schema: str
    ada: str
    bob: str

    def endpoint(self, user: str) -> str:
        return f"postgresql://{user}:role@{self.server.endpoint.rpartition('@')[2]}/postgres"

    def open(self, user: str) -> Any:
        return stowfast.open(f"{self.endpoint(user)}?schema={self.schema}&migrate=false&notify=false")

    def relations(self) -> list[str]:
        """Return the tables and views of the schema."""
        rows = self.server.run(
            f"SELECT relname FROM pg_class WHERE relnamespace = '{self.schema}'::regnamespace AND relkind IN ('r', 'v')"
        )
        return [f"{self.schema}.{name}" for (name,) in rows if name != VERSION_TABLE]


@pytest.fixture
async def tenants(postgres_server: PostgresServer) -> AsyncIterator[Tenants]:
    mark = uuid.uuid4().hex
    schema, roles = f"s{mark}", (f"a{mark}", f"b{mark}")
    policies, grants = re.findall(r"```sql\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    postgres_server.run(script(schema, None), policies.replace("stowfast.", f"{schema}."))
    for role in roles:
        granted = grants.replace("stowfast.", f"{schema}.").replace("SCHEMA stowfast", f"SCHEMA {schema}")
        postgres_server.run(granted.replace("acme", role), f"ALTER ROLE {role} PASSWORD 'role'")
    made = Tenants(postgres_server, schema, *roles)
    async with made.open(made.ada) as stores:
        await fill(stores.within(made.ada))
    yield made
    postgres_server.run(f"DROP SCHEMA {schema} CASCADE", f"DROP ROLE {', '.join(roles)}")


async def fill(stores: stowfast.Stores) -> None:
    """Put rows into every table."""
    await stores.messages.add_message("c", say(0), op_id="first")
    await stores.messages.add_message("c", say(1))
    await stores.messages.set_metadata("c", {"city": "Paris"})
    await stores.artifacts.put(Artifact(artifact_id="a", content=b"x" * 300_000))
    await stores.documents.put("d", {"secret": "of a tenant"})


def count(connection: psycopg.Connection[Any], relation: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {relation}".encode()).fetchone()
    assert row is not None
    return int(row[0])


def test_each_table_has_a_policy(tenants: Tenants) -> None:
    bound = tenants.server.run(
        f"SELECT relname FROM pg_class WHERE relnamespace = '{tenants.schema}'::regnamespace AND relrowsecurity"
    )
    assert {name for (name,) in bound} == set(TABLES)


async def test_no_row_of_another_tenant_is_seen(tenants: Tenants) -> None:
    relations = tenants.relations()
    assert len(relations) == len(TABLES) + 1
    with psycopg.connect(tenants.endpoint(tenants.ada)) as ada, psycopg.connect(tenants.endpoint(tenants.bob)) as bob:
        for relation in relations:
            assert count(ada, relation) > 0, relation
            assert count(bob, relation) == 0, relation
    async with tenants.open(tenants.bob) as stores:
        for scope in (tenants.ada, tenants.bob):
            inside = stores.within(scope)
            assert await inside.messages.get_messages("c") == []
            for listed in (inside.messages.contexts, inside.artifacts.list, inside.documents.list):
                assert list(await listed()) == []
        await fill(stores.within(tenants.bob))
        assert await stores.within(tenants.bob).messages.get_messages("c") == [say(0), say(1)]
    with psycopg.connect(tenants.endpoint(tenants.bob)) as bob:
        seen = bob.execute(f"SELECT DISTINCT split_part(stream, ':', 1) FROM {tenants.schema}.history".encode())
        assert seen.fetchall() == [(tenants.bob,)]


def test_no_row_of_another_tenant_is_changed_or_made(tenants: Tenants) -> None:
    owner = f"{tenants.server.endpoint}/postgres"
    with psycopg.connect(owner) as all_rows, psycopg.connect(tenants.endpoint(tenants.bob), autocommit=True) as bob:
        for table in TABLES:
            name = f"{tenants.schema}.{table}"
            cursor = all_rows.execute(f"SELECT * FROM {name} LIMIT 1".encode())
            assert cursor.description is not None
            columns, row = [column.name for column in cursor.description], cursor.fetchone()
            assert row is not None
            assert bob.execute(f"UPDATE {name} SET {columns[1]} = {columns[1]}".encode()).rowcount == 0
            assert bob.execute(f"DELETE FROM {name}".encode()).rowcount == 0
            places = ", ".join(["%s"] * len(columns))
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
                bob.execute(f"INSERT INTO {name} OVERRIDING SYSTEM VALUE VALUES ({places})".encode(), row)
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            bob.execute(f"UPDATE {tenants.schema}.{VERSION_TABLE} SET version = 99".encode())


async def test_a_write_outside_the_scope_is_refused(tenants: Tenants) -> None:
    async with tenants.open(tenants.bob) as stores:
        for outside in (stores, stores.within(tenants.ada), stores.within(f"{tenants.bob}x")):
            with pytest.raises(InvalidError, match="row-level security"):
                await outside.messages.add_message("c", say(2))
            with pytest.raises(InvalidError, match="row-level security"):
                await outside.artifacts.put(Artifact(artifact_id="a", content=b"y" * 300_000))
    async with tenants.open(tenants.ada) as stores:
        assert await stores.within(tenants.ada).messages.get_messages("c") == [say(0), say(1)]


async def test_a_sweep_takes_the_garbage_of_its_tenant_alone(tenants: Tenants) -> None:
    async with tenants.open(tenants.ada) as stores:
        await stores.backend.commit(f"{tenants.ada}:old/1", Change([b"x"], op_id="op"))
        await stores.backend.commit(f"{tenants.ada}:old/1", Change(delete=True))
        await stores.backend.commit(f"{tenants.ada}:old/2", Change([b"x"], expires_at=1))
        tenants.server.run(
            f"UPDATE {tenants.schema}.streams SET updated_at = updated_at - {WEEK} WHERE incarnation IS NULL"
        )
        rows = f"SELECT count(*) FROM {tenants.schema}.operations WHERE op_id = 'op'"
        async with tenants.open(tenants.bob) as others:
            assert (await others.sweep()).streams == 0
        assert tenants.server.run(rows) == [(1,)]
        assert (await stores.sweep()).streams == 1
        assert tenants.server.run(rows) == [(0,)]
