"""Reads from a snapshot of the SQLite file: entries, heads, listings, parts of blobs."""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING

from stowfast.abc import Entry, Head, Listed, Listing, Query, Slice, Swept, Window
from stowfast.backends.sqlite.rows import HEAD, StreamRow
from stowfast.backends.sqlite.transaction import BURIED, EXPIRED, ORPHANED, sweep_times
from stowfast.cursors import after_cursor
from stowfast.errors import NotFoundError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ["END", "anything_to_sweep", "heads", "listing", "read", "read_chunks", "would_sweep"]

_LIVING = "AND incarnation IS NOT NULL AND (expires_at IS NULL OR expires_at > ?)"
_HEAD = f"{HEAD} {_LIVING}"
_LISTED = (
    "SELECT name, max(updated_at, coalesce((SELECT created_at FROM entries WHERE stream = streams.id"
    " ORDER BY position DESC LIMIT 1), 0)) AS updated FROM streams WHERE name >= ?"
)
_FORWARD = (
    "SELECT position, data, created_at, op_id FROM entries"
    " WHERE stream = ? AND position >= ? AND position < ? ORDER BY position LIMIT ?"
)
_BACKWARD = _FORWARD.replace("ORDER BY position", "ORDER BY position DESC")
_LINKED = "SELECT id FROM blobs WHERE name = ? AND stream = ? AND EXISTS (SELECT 1 FROM links WHERE blob = blobs.id)"
_WOULD_EXPIRE = (
    "SELECT count(*), coalesce(sum((SELECT sum(length(data)) FROM entries WHERE stream = streams.id)), 0)"
    " FROM streams WHERE expires_at <= :now"
)
# What only an expired stream refers to is an orphan as soon as that was swept.
_WOULD_ORPHAN = (
    "SELECT count(*), coalesce(sum((SELECT sum(length(data)) FROM chunks WHERE blob = blobs.id)), 0)"
    " FROM blobs WHERE written_at < :day_ago AND NOT EXISTS (SELECT 1 FROM links JOIN streams"
    " ON streams.id = links.stream WHERE links.blob = blobs.id AND (expires_at IS NULL OR expires_at > :now))"
)
_CHUNKS = (
    "SELECT start, data FROM chunks WHERE blob = ? AND start >= coalesce("
    "(SELECT max(start) FROM chunks WHERE blob = ? AND start <= ?), 0) AND start < ? ORDER BY start"
)
END = 2**62
"""Past the end of everything, and still one of SQLite's integers."""

_LAST_CHARACTER, _FIRST_SURROGATE, _AFTER_SURROGATES = 0x10FFFF, 0xD800, 0xE000


def read(connection: sqlite3.Connection, now: int, *, stream: str, window: Window) -> Slice:
    """Read entries and their head."""
    found = connection.execute(_HEAD, (stream, now)).fetchone()
    if found is None:
        return Slice(None, [])
    row = StreamRow._make(found)
    # SQLite's integers end at 63 bits, a caller's do not: what is past every end is the end.
    head = row.head()
    start = row.base if window.start is None else min(window.start, END)
    stop = END if window.stop is None else min(window.stop, END)
    limit = END if window.limit is None else min(window.limit, END)
    rows = connection.execute(_BACKWARD if window.newest else _FORWARD, (row.id, start, stop, limit))
    if window.max_bytes is None:
        entries = list(starmap(Entry, rows))
    else:
        entries, size = [], 0
        for entry in starmap(Entry, rows):
            entries.append(entry)
            size += len(entry.data)
            if size >= window.max_bytes:
                break
        rows.close()
    if window.newest:
        entries.reverse()
    return Slice(head, entries)


def heads(connection: sqlite3.Connection, now: int, *, streams: Sequence[str]) -> list[Head | None]:
    """Read the heads of streams."""
    rows = [connection.execute(_HEAD, (stream, now)).fetchone() for stream in streams]
    return [None if row is None else StreamRow._make(row).head() for row in rows]


def listing(connection: sqlite3.Connection, now: int, *, query: Query, last: Listed | None) -> Listing:
    """Read a page of names, and their heads where the query asks for them.

    The SQL is joined from constants; every value of the caller is a parameter.
    """
    sql = [_LISTED, _LIVING]
    values: list[object] = [query.prefix, now]
    if (beyond := _beyond(query.prefix)) is not None:
        sql.append("AND name < ?")
        values.append(beyond)
    for pair in (query.where or {}).items():
        sql.append("AND id IN (SELECT stream FROM labels WHERE key = ? AND value = ?)")
        values += pair
    if last is not None and query.order == "name":
        sql.append("AND name > ?")
        values.append(last.name)
    elif last is not None:
        sql.append("AND (updated < ? OR (updated = ? AND name > ?))")
        values += [last.updated_at, last.updated_at, last.name]
    sql.append("ORDER BY name LIMIT ?" if query.order == "name" else "ORDER BY updated DESC, name LIMIT ?")
    rows = connection.execute(" ".join(sql), [*values, min(query.limit, END) + 1]).fetchall()
    page = [Listed(*row) for row in rows[: query.limit]]
    if query.heads:
        found = heads(connection, now, streams=[one.name for one in page])
        page = [one._replace(head=head) for one, head in zip(page, found, strict=True)]
    return Listing(page, after_cursor(query.order, page[-1]) if page and len(rows) > query.limit else None)


def read_chunks(
    connection: sqlite3.Connection, now: int, *, stream: str, blob: str, offset: int, stop: int
) -> list[bytes]:
    """Read the bytes `offset <= position < stop` of a blob, in their stored chunks."""
    row = connection.execute(_HEAD, (stream, now)).fetchone()
    found = row and connection.execute(_LINKED, (blob, StreamRow._make(row).id)).fetchone()
    if not found:
        raise NotFoundError(f"{stream!r} has no blob {blob!r}")
    rows = connection.execute(_CHUNKS, (found[0], found[0], min(offset, END), stop))
    cut = (data[max(offset - start, 0) : stop - start] for start, data in rows)
    return [chunk for chunk in cut if chunk]


def anything_to_sweep(connection: sqlite3.Connection, now: int) -> bool:
    """Say whether a sweep would find something."""
    times = sweep_times(now)
    return any(connection.execute(query, times).fetchone() for query in (EXPIRED, BURIED, ORPHANED))


def would_sweep(connection: sqlite3.Connection, now: int) -> Swept:
    """Return the amounts that a sweep would remove."""
    times = sweep_times(now)
    streams, entries = connection.execute(_WOULD_EXPIRE, times).fetchone()
    blobs, chunks = connection.execute(_WOULD_ORPHAN, times).fetchone()
    return Swept(streams, blobs, entries + chunks)


def _beyond(prefix: str) -> str | None:
    """Return the least text above all texts with this prefix; None: there is none."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last <= _LAST_CHARACTER:
            return prefix[:-1] + chr(_AFTER_SURROGATES if last == _FIRST_SURROGATE else last)
        prefix = prefix[:-1]
    return None
