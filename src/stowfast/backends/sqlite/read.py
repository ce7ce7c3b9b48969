"""Reads from a snapshot of the SQLite file: entries, heads, parts of blobs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.abc import Head, Slice, Window
from stowfast.backends.sqlite.operations import remembered_calls
from stowfast.backends.sqlite.places import places_of
from stowfast.backends.sqlite.rows import HEAD, StreamRow, checked, entries_of
from stowfast.errors import NotFoundError, StowfastError
from stowfast.semantics import check_entries, living

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from stowfast.abc import Receipt

__all__ = ["END", "calls", "heads", "read", "read_chunks"]

_FORWARD = (
    "SELECT place & 4294967295, data, created_at, op_id, checksum FROM entries"
    " WHERE place >= ? AND place < ? ORDER BY place LIMIT ?"
)
_BACKWARD = _FORWARD.replace("ORDER BY place", "ORDER BY place DESC")
_LINKED = (
    "SELECT id, size FROM blobs WHERE name = ? AND stream = ?"
    " AND EXISTS (SELECT 1 FROM links WHERE blob = blobs.id AND links.stream = blobs.stream AND position >= ?)"
)
_CHUNKS = (
    "SELECT start, data FROM chunks WHERE blob = ? AND start >= coalesce("
    "(SELECT max(start) FROM chunks WHERE blob = ? AND start <= ?), 0) AND start < ? ORDER BY start"
)
END = 2**62
"""Past the end of everything, and still one of SQLite's integers."""


def read(connection: sqlite3.Connection, now: int, *, stream: str, window: Window) -> Slice:
    """Read entries and their head.

    Raises:
        DamagedError: the head or an entry is not as it was written, or entries are missing.
    """
    row, head = _head(connection, now, stream)
    if row is None or head is None:
        return Slice(None, [])
    # SQLite's integers end at 63 bits, a caller's do not: what is past every end is the end. Below `first` may be
    # entries that a sweep has not removed yet.
    start = max(head.first, head.base if window.start is None else min(window.start, END))
    stop = END if window.stop is None else min(window.stop, END)
    limit = END if window.limit is None else max(min(window.limit, END), 0)
    rows = connection.execute(_BACKWARD if window.newest else _FORWARD, (*places_of(row.id, start, stop), limit))
    entries = entries_of(head, rows, window.max_bytes)
    rows.close()
    if window.newest:
        entries.reverse()
    check_entries(head, window, entries)
    return Slice(head, entries)


def read_many(
    connection: sqlite3.Connection, now: int, *, reads: Sequence[tuple[str, Window]]
) -> list[Slice | StowfastError]:
    """Read several streams at one moment. A damaged stream is an error in its place."""
    found: list[Slice | StowfastError] = []
    for stream, window in reads:
        try:
            found.append(read(connection, now, stream=stream, window=window))
        except StowfastError as error:
            found.append(error)
    return found


def calls(connection: sqlite3.Connection, now: int, *, stream: str) -> dict[str, Receipt]:
    """Read the receipts that the entries of a stream do not tell.

    Raises:
        DamagedError: the head or a receipt is not as it was written.
    """
    row, head = _head(connection, now, stream)
    if row is None:
        return {}
    return remembered_calls(connection, stream, row.id, row.incarnation, head)


def heads(connection: sqlite3.Connection, now: int, *, streams: Sequence[str]) -> list[Head | None]:
    """Read the heads of streams.

    Raises:
        DamagedError: one of them is not as it was written.
    """
    return [_head(connection, now, stream)[1] for stream in streams]


def read_chunks(
    connection: sqlite3.Connection, now: int, *, stream: str, blob: str, offset: int, stop: int
) -> list[bytes]:
    """Read the bytes `offset <= position < stop` of a blob, in their stored chunks.

    Raises:
        DamagedError: some of them are missing.
        NotFoundError: no entry refers to the blob.
    """
    row, head = _head(connection, now, stream)
    found = row and head and connection.execute(_LINKED, (blob, row.id, head.first)).fetchone()
    if not found:
        raise NotFoundError(f"{stream!r} has no blob {blob!r}")
    blob_id, size = found
    rows = connection.execute(_CHUNKS, (blob_id, blob_id, min(offset, END), stop)).fetchall()

    def cut() -> list[bytes]:
        pieces = [bytes(memoryview(data)[max(offset - start, 0) : stop - start]) for start, data in rows]
        if sum(map(len, pieces)) != max(min(stop, size) - offset, 0):
            raise ValueError(f"pieces of its blob {blob!r} are missing")
        return [piece for piece in pieces if piece]

    return checked(stream, cut)


def _head(connection: sqlite3.Connection, now: int, stream: str) -> tuple[StreamRow | None, Head | None]:
    found = connection.execute(HEAD, (stream,)).fetchone()
    if found is None:
        return None, None
    row = StreamRow._make(found)
    return row, living(row.head(), now)
