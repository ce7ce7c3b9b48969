"""Any settings of a PostgreSQL server: it works, or an error names the change."""

from __future__ import annotations

import asyncio
import multiprocessing
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import psycopg
import pytest

import stowfast
from stowfast import InvalidError, UnavailableError, UnsupportedError
from stowfast.backends.postgres.migration import script
from stowfast.testing.data.messages import say

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services.postgres import PostgresServer


@contextmanager
def role(server: PostgresServer, *settings: str) -> Iterator[str]:
    """Make a role with settings of its own, and yield its name."""
    name = f"r{uuid.uuid4().hex}"
    server.run(f"CREATE ROLE {name} LOGIN PASSWORD 'role'", *(f"ALTER ROLE {name} {one}" for one in settings))
    try:
        yield name
    finally:
        server.run(f"DROP OWNED BY {name} CASCADE", f"DROP ROLE {name}")


@contextmanager
def database(server: PostgresServer, encoding: str, more: str = "") -> Iterator[str]:
    name = f"d{uuid.uuid4().hex}"
    server.run(f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C' {more}")
    try:
        yield name
    finally:
        server.run(f"DROP DATABASE {name} WITH (FORCE)")


def url_of(server: PostgresServer, user: str, schema: str) -> str:
    host = server.endpoint.rpartition("@")[2]
    return f"postgresql://{user}:role@{host}/postgres?schema={schema}"


async def use(url: str) -> None:
    """Write and read a conversation with every kind of character."""
    context = "é日本\U0001f600 _"
    async with stowfast.open(url) as stores:
        assert await asyncio.gather(*(stores.messages.add_message(context, say(n)) for n in range(8))) == list(range(8))
        assert await stores.messages.add_message(context, say(8), op_id="op") == 8
        assert await stores.messages.add_message(context, say(8), op_id="op") == 8
        assert len(await stores.messages.get_messages(context)) == 9
        await stores.messages.set_metadata(context, {"city": "日本"})
        found = await stores.messages.contexts(where={"city": "日本"})
        assert [one.context_id for one in found] == [context]


@pytest.mark.parametrize(
    "setting",
    [
        "SET default_transaction_isolation = 'serializable'",
        "SET default_transaction_isolation = 'repeatable read'",
        "SET search_path = evil, public",
        "SET standard_conforming_strings = off",
        "SET bytea_output = 'escape'",
        "SET DateStyle = 'German'",
        "SET timezone = 'Asia/Tokyo'",
        "SET client_encoding = 'LATIN1'",
        "SET default_transaction_deferrable = on",
        "SET idle_in_transaction_session_timeout = '1s'",
        "SET row_security = off",
    ],
)
async def test_settings_of_a_role_change_nothing(postgres_server: PostgresServer, setting: str) -> None:
    with role(postgres_server, setting) as user:
        postgres_server.run(f"GRANT CREATE ON DATABASE postgres TO {user}")
        await use(url_of(postgres_server, user, f"s{user}"))


async def test_functions_and_types_of_others_are_never_called(postgres_server: PostgresServer) -> None:
    schema = f"evil{uuid.uuid4().hex}"
    postgres_server.run(
        f"CREATE SCHEMA {schema}",
        f"CREATE FUNCTION {schema}.unnest(bytea[]) RETURNS SETOF bytea LANGUAGE sql AS $$SELECT 'evil'::bytea$$",
        f"CREATE FUNCTION {schema}.length(bytea) RETURNS int LANGUAGE sql AS $$SELECT 7$$",
        f"CREATE FUNCTION {schema}.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        " AS $$SELECT '1970-01-01'::timestamptz$$",
    )
    with role(postgres_server, f"SET search_path = {schema}, pg_catalog") as user:
        postgres_server.run(f"GRANT CREATE ON DATABASE postgres TO {user}", f"GRANT USAGE ON SCHEMA {schema} TO {user}")
        await use(url_of(postgres_server, user, f"s{user}"))
    postgres_server.run(f"DROP SCHEMA {schema} CASCADE")


async def test_a_database_of_bytes_keeps_all_text_and_its_order(postgres_server: PostgresServer) -> None:
    with database(postgres_server, "SQL_ASCII") as name:
        url = postgres_server.url(database=name)
        await use(url)
        async with stowfast.open(url) as stores:
            names = ["B", "_", "a", "z", "é", "日", "\U0001f600"]
            for one in names:
                await stores.documents.put(one, one)
            assert [found.document_id for found in await stores.documents.list(order="id")] == sorted(names)


ALIKE = [
    "a",
    "A",
    "\u00e1",
    "a\u0301",
    "1",
    "01",
    "10",
    "9",
    "_",
    "-",
    " ",
    "co-op",
    "coop",
    "ss",
    "\u00df",
    "\u65e5",
    "\U0001f600",
]
"""Many of these are equal, or in another order, by the rules of some language."""


async def lists(stores: stowfast.Stores) -> list[list[str]]:
    """Write ids that a language takes for one, and return the lists of them, whole, by prefix and page by page."""
    for one in ALIKE:
        assert await stores.messages.add_message(one, say(0), op_id="op") == 0
        assert await stores.messages.add_message(one, say(1), op_id="OP") == 1
        await stores.documents.put(f"{one}/x", one, metadata={"like": one})
    whole: list[str] = []
    after = None
    while True:
        page = await stores.documents.list(order="id", limit=3, after=after)
        whole.extend(one.document_id for one in page)
        if (after := page.next) is None:
            break
    by_prefix = [[one.document_id for one in await stores.documents.list(prefix=one, order="id")] for one in ALIKE]
    by_label = [[one.document_id for one in await stores.documents.list(where={"like": one})] for one in ALIKE]
    assert by_label == [[f"{one}/x"] for one in ALIKE]
    return [whole, *by_prefix]


@pytest.mark.parametrize("locale", ["sv-SE", "und-u-ks-level1-ka-shifted-kn-true"])
async def test_a_database_sorted_by_a_language_has_ids_and_lists_as_everywhere(
    postgres_server: PostgresServer, locale: str
) -> None:
    async with stowfast.open("memory:") as stores:
        expected = await lists(stores)
    with database(postgres_server, "UTF8", f"LOCALE_PROVIDER icu ICU_LOCALE '{locale}'") as name:
        sorts = postgres_server.run(f"SELECT 'a' < 'B' COLLATE \"default\", daticulocale FROM pg_database"
                                    f" WHERE datname = '{name}'", database=name)  # fmt: skip
        assert sorts == [(True, locale)]
        async with stowfast.open(postgres_server.url("s", database=name)) as stores:
            assert await lists(stores) == expected
        # A database cannot have a collation that takes two texts for one, but a column can.
        other = postgres_server.run(
            "SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
            " AND relkind IN ('r', 'i') JOIN pg_collation ON pg_collation.oid = attcollation"
            " WHERE relnamespace = 's'::regnamespace AND collname <> 'C'",
            database=name,
        )
        assert other == []


async def test_a_database_that_cannot_hold_all_text_is_refused(postgres_server: PostgresServer) -> None:
    with database(postgres_server, "LATIN1") as name, pytest.raises(UnsupportedError, match="CREATE DATABASE"):
        await stowfast.open(postgres_server.url(database=name))


async def test_a_read_only_server_is_not_the_primary(postgres_server: PostgresServer) -> None:
    with (
        role(postgres_server, "SET default_transaction_read_only = on") as user,
        pytest.raises(UnavailableError, match="not the primary"),
    ):
        await stowfast.open(url_of(postgres_server, user, "s"))


async def test_a_server_that_does_not_wait_for_its_disk_is_said_so(postgres_server: PostgresServer) -> None:
    with role(postgres_server, "SET synchronous_commit = off") as user:
        postgres_server.run(f"GRANT CREATE ON DATABASE postgres TO {user}")
        url = url_of(postgres_server, user, f"s{user}")
        with pytest.raises(UnsupportedError, match="durability=relaxed"):
            await stowfast.open(url)
        await use(f"{url}&durability=relaxed")


@pytest.mark.parametrize(
    ("setting", "said"),
    [("statement_timeout", "statement_timeout"), ("lock_timeout", "nothing was stored: another session")],
)
async def test_a_timeout_of_a_role_stands_and_is_named(
    postgres_server: PostgresServer, setting: str, said: str
) -> None:
    url = postgres_server.url()
    async with stowfast.open(url) as stores:
        await stores.messages.add_message("c", say(0))
    schema = url.partition("schema=")[2]
    with role(postgres_server, f"SET {setting} = '2s'") as user:
        postgres_server.run(
            f"GRANT USAGE ON SCHEMA {schema} TO {user}",
            f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {user}",
        )
        async with stowfast.open(url_of(postgres_server, user, schema) + "&timeout=10") as stores:
            with psycopg.connect(f"{postgres_server.endpoint}/postgres") as blocker:
                blocker.execute(f"SELECT * FROM {schema}.streams FOR UPDATE")
                with pytest.raises(UnavailableError, match=said):
                    await stores.messages.add_message("c", say(1))
            assert await stores.messages.add_message("c", say(1)) == 1


async def test_a_role_needs_no_more_than_the_printed_grants(postgres_server: PostgresServer) -> None:
    schema = f"s{uuid.uuid4().hex}"
    with role(postgres_server) as user:
        url = url_of(postgres_server, user, schema)
        with pytest.raises(InvalidError, match="stowfast migrate URL --sql"):
            await stowfast.open(url)
        postgres_server.run(script(schema, user))
        await use(url)
        with pytest.raises(InvalidError, match="migrate URL --sql"):
            await stowfast.open(url_of(postgres_server, user, f"{schema}x") + "&migrate=false")
        postgres_server.run(f"REVOKE INSERT ON {schema}.entries FROM {user}")
        async with stowfast.open(url) as stores:
            with pytest.raises(InvalidError, match="lacks a right"):
                await stores.messages.add_message("c", say(0))
    postgres_server.run(f"DROP SCHEMA {schema} CASCADE")


async def test_a_schema_of_another_program_is_left_untouched(postgres_server: PostgresServer) -> None:
    schema = f"s{uuid.uuid4().hex}"
    postgres_server.run(f"CREATE SCHEMA {schema}", f"CREATE TABLE {schema}.entries (id int)")
    with pytest.raises(InvalidError, match="another program"):
        await stowfast.open(postgres_server.url(schema))
    found = postgres_server.run(f"SELECT table_name FROM information_schema.tables WHERE table_schema = '{schema}'")
    assert found == [("entries",)]


async def test_a_newer_schema_is_left_untouched(postgres_server: PostgresServer) -> None:
    url = postgres_server.url()
    async with stowfast.open(url) as stores:
        await stores.messages.add_message("c", say(0))
    postgres_server.run(f"UPDATE {url.partition('schema=')[2]}.stowfast SET version = 99")
    with pytest.raises(UnsupportedError, match="version 99"):
        await stowfast.open(url)


async def test_long_names_of_schemas_never_meet(postgres_server: PostgresServer) -> None:
    long = "s" * 60
    for schema in ('weird "name', "日本", f"{long}abc"):
        await use(f"{postgres_server.endpoint}/postgres?schema={quote(schema)}")
    with pytest.raises(InvalidError, match="63 bytes"):
        await stowfast.open(postgres_server.url(f"{long}abcd"))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda url: url.replace("stowfast:a%20secret", "stowfast:hunter2"), "refused the connection"),
        (lambda url: url.replace("/postgres?", "/nowhere?"), "refused the connection"),
        (lambda url: f"{url}&pool=0", "pool"),
        (lambda url: f"{url}&sslmode=hunter2", "sslmode"),
        (lambda url: f"{url}&hunter2=x", "has no option"),
    ],
)
async def test_a_wrong_url_is_refused_without_its_password(postgres_server: PostgresServer, change, said) -> None:
    with pytest.raises((InvalidError, UnavailableError), match=said) as refused:
        await stowfast.open(change(postgres_server.url()))
    assert "secret" not in repr(refused.value)
    assert "hunter2" not in str(refused.value).replace("has no option hunter2", "")


async def test_a_server_that_is_not_there_is_said_so() -> None:
    with pytest.raises(UnavailableError):
        await stowfast.open("postgresql://stowfast:hunter2@127.0.0.1:1/postgres?connect_timeout=2")


def _open_once(url: str, barrier: Any, results: Any) -> None:
    barrier.wait()
    try:
        with stowfast.sync.open(url) as stores:
            results.put(stores.messages.add_message("c", {}))
    except Exception as error:  # noqa: BLE001 - it is shown by the test
        results.put(repr(error))


def test_six_processes_make_the_tables_at_once(postgres_server: PostgresServer) -> None:
    context = multiprocessing.get_context("spawn")
    url, barrier, results = postgres_server.url(), context.Barrier(6), context.Queue()
    processes = [context.Process(target=_open_once, args=(url, barrier, results)) for _ in range(6)]
    for process in processes:
        process.start()
    found = [results.get(timeout=90) for _ in processes]
    for process in processes:
        process.join(60)
    assert sorted(found) == list(range(6))


async def test_a_full_pool_names_the_option(postgres_server: PostgresServer) -> None:
    async with stowfast.open(postgres_server.url() + "&pool=1&timeout=0.2") as stores:
        backend: Any = stores.backend
        with backend._database.lend(), pytest.raises(UnavailableError, match="pool="):
            await stores.messages.get_messages("c")
        assert await stores.messages.get_messages("c") == []
