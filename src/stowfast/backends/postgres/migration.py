"""Makes the tables in a schema, and brings older ones up to date, under a lock of the database."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from stowfast.backends.postgres.schema import GRANTS, MIGRATIONS, TABLES, VERSION_TABLE
from stowfast.errors import InvalidError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

__all__ = ["migrate", "script"]


def migrate(connection: psycopg.Connection[Any], schema: str, *, may_migrate: bool) -> None:
    """Make the tables if they are missing. A schema with the right version is left as it is, without any right.

    Raises:
        InvalidError: the schema has tables of another program; or it has none of ours and `may_migrate` is False.
        UnsupportedError: the tables are newer than this Stowfast.
    """
    import psycopg

    version = _version(connection, schema)
    if version == len(MIGRATIONS):
        return
    if not may_migrate:
        raise InvalidError(f"the schema {schema!r} has no tables of this version: run `stowfast migrate URL --sql`")
    try:
        with connection.transaction():
            connection.execute("SET LOCAL statement_timeout = 0")
            connection.execute("SET LOCAL lock_timeout = '10s'")
            connection.execute("SELECT pg_catalog.pg_advisory_xact_lock(%s::bigint)", [_lock_of(schema)])
            exists = connection.execute(
                "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = %s::text", [schema]
            ).fetchone()
            for statement in _statements(schema, _version(connection, schema), exists=exists is not None):
                connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege as error:
        raise InvalidError(
            f"the role may not create the tables in the schema {schema!r}: let an owner run what "
            "`stowfast migrate URL --sql` prints"
        ) from error


def script(schema: str, user: str | None) -> str:
    """Return the statements of a migration from nothing, and the grants for a role that only uses the tables.

    Raises:
        UnsupportedError: psycopg is not installed.
    """
    try:
        from psycopg import sql
    except ImportError as error:
        raise UnsupportedError("postgresql: needs psycopg: pip install 'stowfast[postgres]'") from error
    lines = [statement.as_string() + ";" for statement in _statements(schema, 0, exists=False)]
    if user is not None:
        names = {"schema": sql.Identifier(schema), "user": sql.Identifier(user)}
        lines += [sql.SQL(grant).format(**names).as_string() for grant in GRANTS]
    return "\n".join(["BEGIN;", *lines, "COMMIT;"])


def _version(connection: psycopg.Connection[Any], schema: str) -> int:
    """Return the version of the tables in a schema; 0 if there are none.

    Raises:
        InvalidError: the schema has tables of another program.
        UnsupportedError: the version is newer, or the tables are of a time before the first release.
    """
    from psycopg import sql

    rows: list[tuple[str, bool]] = connection.execute(
        "SELECT c.relname, EXISTS (SELECT 1 FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = c.oid"
        " AND a.attname = 'checksum' AND NOT a.attisdropped)"
        " FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s::text AND c.relkind IN ('r', 'p', 'v', 'm', 'f')",
        [schema],
    ).fetchall()
    found = dict(rows)
    if VERSION_TABLE not in found:
        if strangers := sorted(found.keys() & {*TABLES, "history"}):
            raise InvalidError(
                f"the schema {schema!r} has tables of another program ({', '.join(strangers)}): give another schema="
            )
        return 0
    table = sql.SQL("SELECT version FROM {}.{}").format(sql.Identifier(schema), sql.Identifier(VERSION_TABLE))
    versions = connection.execute(table).fetchall()
    if len(versions) != 1 or not isinstance(versions[0][0], int):
        raise InvalidError(f"the table {VERSION_TABLE!r} in the schema {schema!r} is not ours: give another schema=")
    if versions[0][0] > len(MIGRATIONS):
        raise UnsupportedError(
            f"the schema {schema!r} has version {versions[0][0]}, this Stowfast knows up to {len(MIGRATIONS)}; it was "
            "left untouched: pip install --upgrade stowfast"
        )
    if versions[0][0] and not found.get("entries"):
        raise UnsupportedError(
            f"the schema {schema!r} was made before the first release, without checksums; it was left untouched: copy "
            "its contents with the Stowfast that made it, and give another schema="
        )
    return int(versions[0][0])


def _statements(schema: str, version: int, *, exists: bool) -> Iterator[Any]:
    from psycopg import sql

    names = {"schema": sql.Identifier(schema), "table": sql.Identifier(VERSION_TABLE)}
    if version == 0:
        if not exists:
            yield sql.SQL("CREATE SCHEMA {schema}").format(**names)
        yield sql.SQL("CREATE TABLE {schema}.{table} (version int NOT NULL)").format(**names)
        yield sql.SQL("INSERT INTO {schema}.{table} VALUES (0)").format(**names)
    for step in MIGRATIONS[version:]:
        for statement in step.split(";\n"):
            if statement.strip():
                yield sql.SQL(statement).format(**names)
    yield sql.SQL("UPDATE {schema}.{table} SET version = {version}").format(
        **names, version=sql.Literal(len(MIGRATIONS))
    )


def _lock_of(schema: str) -> int:
    """Return the number of the lock: 63 bits of a hash, so that other programs' locks are not met."""
    return int.from_bytes(hashlib.sha256(f"stowfast {schema}".encode()).digest()[:8], "big") >> 1
