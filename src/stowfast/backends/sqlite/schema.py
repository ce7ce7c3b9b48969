"""The tables of the SQLite file, and how a file of an older version gets them."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from typing import TYPE_CHECKING, Final

from stowfast.errors import DamagedError, InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["APPLICATION_ID", "MIGRATIONS", "check_tables", "statements"]

APPLICATION_ID: Final = 0x53544F57
"""'STOW' at offset 68 of the file, https://www.sqlite.org/fileformat2.html#application_id"""

MIGRATIONS: Final = (
    """
    CREATE TABLE streams (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        incarnation TEXT, -- NULL: deleted, the row is a tombstone
        first INTEGER NOT NULL,
        next INTEGER NOT NULL, -- without the plain appends since the row was written last: the last entry tells
        length INTEGER NOT NULL, -- likewise
        base INTEGER NOT NULL,
        revision INTEGER NOT NULL,
        created_at INTEGER NOT NULL, -- times are microseconds since 1970, UTC
        updated_at INTEGER NOT NULL, -- likewise
        expires_at INTEGER,
        labels TEXT NOT NULL, -- a JSON object, and again in the table labels, to be found by
        note BLOB NOT NULL,
        checksum INTEGER NOT NULL, -- CRC-32 of the columns above
        listed_at INTEGER -- updated_at at some moment: the place in lists by recency of a stream that is not active
    );
    CREATE INDEX streams_recent ON streams (substr(name, 1, instr(name, '/')), listed_at DESC, name)
        WHERE listed_at IS NOT NULL;
    CREATE TABLE active ( -- the streams that may have changed since listed_at
        stream INTEGER PRIMARY KEY
    );
    CREATE INDEX streams_expiring ON streams (expires_at) WHERE expires_at IS NOT NULL;
    CREATE INDEX streams_deleted ON streams (updated_at) WHERE incarnation IS NULL;
    CREATE TABLE entries (
        place INTEGER PRIMARY KEY, -- the id of the stream * 2^32 + the position
        created_at INTEGER NOT NULL,
        op_id TEXT,
        checksum INTEGER NOT NULL, -- CRC-32 of data, and of all else with the name and incarnation of the stream
        data BLOB NOT NULL
    );
    CREATE TABLE operations (
        stream INTEGER NOT NULL,
        key INTEGER NOT NULL, -- 64 bits of the BLAKE2b of the op_id
        op_id TEXT, -- NULL: an entry has it
        incarnation TEXT, -- NULL: that of the stream
        first INTEGER NOT NULL,
        next INTEGER NOT NULL,
        committed_at INTEGER NOT NULL,
        checksum INTEGER NOT NULL, -- CRC-32 of op_id to committed_at, with the name of the stream
        PRIMARY KEY (stream, key)
    ) WITHOUT ROWID;
    CREATE TABLE labels (
        stream INTEGER NOT NULL,
        key TEXT NOT NULL,
        value TEXT NOT NULL,
        PRIMARY KEY (stream, key)
    ) WITHOUT ROWID;
    CREATE INDEX labels_by_value ON labels (key, value, stream);
    CREATE TABLE blobs (
        id INTEGER PRIMARY KEY,
        stream INTEGER NOT NULL,
        name TEXT NOT NULL UNIQUE,
        size INTEGER NOT NULL,
        written_at INTEGER NOT NULL, -- 0 once an entry refers to it
        whole INTEGER NOT NULL -- 0 while it is written, 1 once it can be linked, -1 from when on it never can
    );
    CREATE INDEX blobs_by_stream ON blobs (stream);
    CREATE TABLE chunks (
        blob INTEGER NOT NULL,
        start INTEGER NOT NULL, -- the offset of its first byte
        data BLOB NOT NULL,
        PRIMARY KEY (blob, start)
    );
    CREATE TABLE links (
        stream INTEGER NOT NULL,
        position INTEGER NOT NULL,
        blob INTEGER NOT NULL,
        PRIMARY KEY (stream, position, blob)
    ) WITHOUT ROWID;
    CREATE INDEX links_by_blob ON links (blob);
    CREATE TABLE garbage ( -- entries below a position, with what belongs to them: a sweep removes them
        stream INTEGER PRIMARY KEY, -- of a stream that was deleted: its former id
        stop INTEGER NOT NULL
    );
    CREATE VIEW history AS -- for people: SELECT * FROM history WHERE stream = 'messages/ctx-1'
        SELECT streams.name AS stream, place - (streams.id << 32) AS position,
            datetime(entries.created_at / 1000000, 'unixepoch') AS created, op_id, CAST(data AS TEXT) AS data
        FROM streams JOIN entries ON place >= (streams.id << 32) + first AND place < (streams.id + 1) << 32;
    """,
)
"""Step n brings a file from version n to n + 1, each statement ending with its line. A released one never changes."""


def statements(script: str) -> Iterator[str]:
    """Yield the statements of a script. Each statement ends with its line."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def check_tables(connection: sqlite3.Connection, path: str) -> None:
    """Check our tables: each is as Stowfast declared it, and without a trigger of others.

    A view in place of a table may have no end, and a trigger may swallow or rewrite a write. Others may keep tables,
    views and triggers of their own beside ours.

    Raises:
        DamagedError: a table or an index of ours is missing, or is declared in another way.
        InvalidError: somebody else made a trigger or an index on a table of ours.
    """
    found = connection.execute(_SCHEMA).fetchall()
    declared = _declared()
    declarations = {name: sql for _, name, _, sql in found}
    for name, sql in declared.items():
        if declarations.get(name) != sql:
            raise DamagedError(
                f"{path}: {name} is missing, or is not as Stowfast declared it: restore the file from a backup"
            )
    for kind, name, table, _ in found:
        if name not in declared and str(table).lower() in declared:
            raise InvalidError(
                f"{path}: it has the {kind} {name!r} on our table {table}, which may change or lose writes; it was"
                f" left untouched: remove the {kind} with DROP {str(kind).upper()}, or restore the file from a backup"
            )


_SCHEMA: Final = "SELECT type, name, tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL"


@cache
def _declared() -> dict[str, str]:
    """Return the SQL of our tables and indexes, by name, in the stored form."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for step in MIGRATIONS:
            connection.executescript(step)
        return {name: sql for kind, name, _, sql in connection.execute(_SCHEMA) if kind != "view"}
