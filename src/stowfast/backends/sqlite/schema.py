"""The tables of the SQLite file, and how a file of an older version gets them."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["APPLICATION_ID", "MIGRATIONS", "statements"]

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
        note BLOB NOT NULL
    );
    CREATE INDEX streams_expiring ON streams (expires_at) WHERE expires_at IS NOT NULL;
    CREATE TABLE entries (
        stream INTEGER NOT NULL,
        position INTEGER NOT NULL,
        created_at INTEGER NOT NULL,
        op_id TEXT,
        data BLOB NOT NULL,
        PRIMARY KEY (stream, position)
    ) WITHOUT ROWID;
    CREATE TABLE operations (
        stream INTEGER NOT NULL,
        op_id TEXT NOT NULL,
        incarnation TEXT NOT NULL,
        first INTEGER NOT NULL,
        next INTEGER NOT NULL,
        committed_at INTEGER NOT NULL,
        PRIMARY KEY (stream, op_id)
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
    CREATE VIEW history AS -- for people: SELECT * FROM history WHERE stream = 'messages/ctx-1'
        SELECT streams.name AS stream, position, datetime(entries.created_at / 1000000, 'unixepoch') AS created,
            op_id, CAST(data AS TEXT) AS data
        FROM entries JOIN streams ON streams.id = entries.stream;
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
