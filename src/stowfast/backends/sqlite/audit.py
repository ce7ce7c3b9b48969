"""Looks for damage that no reader of a stream meets: in deleted and expired streams, and between the tables.

Each look is one snapshot, in constant memory. A row that was removed with everything that names it leaves no trace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.backends.sqlite.operations import key_of
from stowfast.backends.sqlite.rows import HEAD_COLUMNS, LAST_ENTRY, StreamRow, receipt_of
from stowfast.errors import DamagedError
from stowfast.looks import Looked

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Iterator

    from stowfast.abc import Head

__all__ = ["LOOKS"]

_PAGE: Final = 5_000
_BEFORE_ALL: Final = -(2**63)

_STREAMS: Final = (
    f"SELECT {HEAD_COLUMNS}, listed_at, EXISTS (SELECT 1 FROM active WHERE stream = streams.id),"  # noqa: S608
    f" (SELECT stop FROM garbage WHERE stream = streams.id) FROM streams {LAST_ENTRY}"
    " WHERE streams.id > ? ORDER BY streams.id LIMIT ?"
)
_LABELS: Final = "SELECT key, value FROM labels WHERE stream = ?"
_RECEIPTS: Final = (
    "SELECT stream, key, name, coalesce(operations.op_id, (SELECT op_id FROM entries"
    " WHERE place >= (stream << 32) + operations.first AND place < (stream << 32) + operations.next"
    " AND op_id IS NOT NULL LIMIT 1)), coalesce(operations.incarnation, streams.incarnation), operations.first,"
    " operations.next, committed_at, operations.checksum FROM operations CROSS JOIN streams ON id = stream"
    " WHERE (stream, key) > (?, ?) ORDER BY stream, key LIMIT ?"
)
_CALLS: Final = (
    "SELECT place, name, id, op_id FROM entries CROSS JOIN streams ON id = place >> 32"
    " WHERE place > ? AND op_id IS NOT NULL AND place & 4294967295 >= first ORDER BY place LIMIT ?"
)
_KNOWN: Final = "SELECT 1 FROM operations WHERE stream = ? AND key = ?"
_GONE: Final = (
    "NOT EXISTS (SELECT 1 FROM streams WHERE id = {0}) AND NOT EXISTS (SELECT 1 FROM garbage WHERE stream = {0})"
)
_WITHOUT_STREAM: Final = {
    table: f"SELECT count(*) FROM {table} WHERE {_GONE.format(f'{table}.stream')}"  # noqa: S608 - the names here
    for table in ("labels", "links", "operations", "blobs")
}
_ENTRIES_ALONE: Final = (
    "WITH RECURSIVE found(stream) AS (SELECT min(place) >> 32 FROM entries UNION ALL"  # noqa: S608 - a constant
    " SELECT (SELECT min(place) >> 32 FROM entries WHERE place >= (found.stream + 1) << 32)"
    " FROM found WHERE found.stream < 2147483647)"
    f" SELECT count(*) FROM found WHERE found.stream IS NOT NULL AND {_GONE.format('found.stream')}"
)
_CHUNKS_ALONE: Final = (
    "SELECT count(*) FROM (SELECT DISTINCT blob FROM chunks) AS found"
    " WHERE NOT EXISTS (SELECT 1 FROM blobs WHERE id = found.blob)"
)
_LINKS_ASTRAY: Final = (
    "SELECT count(*) FROM links LEFT JOIN blobs ON id = blob"
    " WHERE whole IS NOT 1 OR written_at IS NOT 0 OR blobs.stream IS NOT links.stream"
    " OR NOT EXISTS (SELECT 1 FROM entries WHERE place = (links.stream << 32) + position)"
)
_GARBAGE_ALONE: Final = (
    "SELECT count(*) FROM garbage WHERE stop IS NOT 4611686018427387904"
    " AND NOT EXISTS (SELECT 1 FROM streams WHERE id = garbage.stream)"
)
_TABLES: Final = (
    ("entries", _ENTRIES_ALONE, "streams are missing, and their entries are not"),
    *((table, query, "rows have no stream") for table, query in _WITHOUT_STREAM.items()),
    ("chunks", _CHUNKS_ALONE, "blobs are missing, and their content is not"),
    ("links", _LINKS_ASTRAY, "links lead to no whole blob, or from no entry"),
    ("garbage", _GARBAGE_ALONE, "rows name a part of no stream"),
)
"""Tables, each with a query that counts wrong rows and the sentence about them."""


def _look_at_streams(connection: sqlite3.Connection, _: int, *, after: int | None) -> Looked:
    found, last, count = list[tuple[str, str]](), after, 0
    for row in connection.execute(_STREAMS, (_BEFORE_ALL if after is None else after, _PAGE)):
        *columns, listed_at, active, stop = row
        stream, count = StreamRow._make(columns), count + 1
        last = stream.id
        try:
            head = stream.head()
        except DamagedError as error:
            found.append((str(stream.name), str(error)))
            continue
        labels = dict(connection.execute(_LABELS, (stream.id,)).fetchall())
        reasons = _beside(stream, head, labels, listed_at, active=bool(active), stop=stop)
        found += ((stream.name, f"{stream.name!r}: {reason}") for reason in reasons)
    return Looked(found, last if count == _PAGE else None)


def _beside(
    stream: StreamRow, head: Head | None, labels: dict[Any, Any], listed_at: Any, *, active: bool, stop: Any
) -> Iterator[str]:
    """Yield what disagrees with the row of a stream."""
    if labels != ({} if head is None else head.labels):
        yield "lists select it by other metadata than it has"
    if stop is not None and (type(stop) is not int or stop > stream.first):
        yield "a row of the table garbage names entries that it has"
    if head is None:
        if stream.last_position is not None:
            yield "it was deleted, and has entries"
        return
    late = type(listed_at) is not int or listed_at > head.updated_at
    if late or (listed_at != head.updated_at and not active):
        yield "lists by recency have it at another place than its last change gives"


def _look_at_receipts(connection: sqlite3.Connection, _: int, *, after: tuple[int, int] | None) -> Looked:
    found, count = list[tuple[str, str]](), 0
    start = (_BEFORE_ALL, _BEFORE_ALL) if after is None else after
    for stream, key, name, op_id, *receipt in connection.execute(_RECEIPTS, (*start, _PAGE)):
        start, count = (stream, key), count + 1
        try:
            receipt_of(name, op_id, tuple(receipt))
        except DamagedError as error:
            found.append((str(name), str(error)))
            continue
        if key != key_of(op_id):
            found.append((name, f"{name!r}: the receipt of the op_id {op_id!r} is under the key of another"))
    return Looked(found, start if count == _PAGE else None)


def _look_at_calls(connection: sqlite3.Connection, _: int, *, after: int | None) -> Looked:
    found, count, last = list[tuple[str, str]](), 0, None
    start = _BEFORE_ALL if after is None else after
    for place, name, stream, op_id in connection.execute(_CALLS, (start, _PAGE)):
        after, count = place, count + 1
        if (stream, op_id) == last or type(op_id) is not str:
            continue  # of another type: its reader finds it
        last = (stream, op_id)
        if connection.execute(_KNOWN, (stream, key_of(op_id))).fetchone() is None:
            found.append((str(name), f"{name!r}: the receipt of the op_id {op_id!r} is missing"))
    return Looked(found, after if count == _PAGE else None)


def _look_at_tables(connection: sqlite3.Connection, _: int, *, after: None) -> Looked:
    found = list[tuple[str, str]]()
    for table, query, reason in _TABLES:
        (count,) = connection.execute(query).fetchone()
        if count:
            found.append((f"the table {table}", f"{count:,} {reason}: restore the file from a backup"))
    return Looked(found, after)


LOOKS: Final[tuple[Callable[..., Looked], ...]] = (
    _look_at_streams,
    _look_at_receipts,
    _look_at_calls,
    _look_at_tables,
)
"""Each is called with a connection, the time and `after`, until it returns None there."""
