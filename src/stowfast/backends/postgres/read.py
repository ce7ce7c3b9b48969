"""Reads of one moment: entries with their head, heads, listings, pieces of blobs."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Listed, Listing, Receipt, Slice
from stowfast.backends.postgres.rows import StoredRow, can_be_stored, entries_of, pairs_of
from stowfast.cursors import after_cursor
from stowfast.errors import DamagedError, NotFoundError
from stowfast.names import beyond
from stowfast.semantics import check_entries, living

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import psycopg

    from stowfast.abc import Entry, Head, Query, Window
    from stowfast.backends.postgres.connection import BoundedConnection
    from stowfast.backends.postgres.statements import Statements

__all__ = ["calls", "find_blob", "heads", "listing", "read", "read_chunks"]

_END: Final = 2**62
_FIRST_PAGE: Final = 64
_MAX_PAGE: Final = 4_096
_MAX_BESIDE_HEAD: Final = 100
_MANY: Final = 4_000
"""Streams with a label from which on it is cheaper to look for it among the first streams of the list."""
_FIRST_STREAMS: Final = 5_000
_ROWS_TOGETHER: Final = 100
_LONG: Final = 1_000
"""A read of so many entries and more is made twice: three turns more, and less time."""
_BEGIN: Final = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
_HEAD_COLUMNS: Final = len(StoredRow._fields) + 1


@contextmanager
def _snapshot(connection: psycopg.Connection[Any]) -> Iterator[None]:
    connection.execute(_BEGIN)
    try:
        yield
    finally:
        if not connection.closed:
            connection.execute("COMMIT")


def calls(connection: psycopg.Connection[Any], statements: Statements, stream: str) -> dict[str, Receipt]:
    """Read the receipts that the entries of a stream do not tell."""
    if not can_be_stored(stream):
        return {}
    return {op_id: Receipt(*fields) for op_id, *fields in connection.execute(statements["calls"], [stream])}


def read(connection: BoundedConnection, statements: Statements, stream: str, window: Window) -> Slice:
    """Read entries and their head, at one moment.

    Raises:
        DamagedError: the head or an entry was changed beside Stowfast, or entries are missing.
    """
    if not can_be_stored(stream):
        return Slice(None, [])
    if window.max_bytes is None:
        if _limit_of(window) <= _MAX_BESIDE_HEAD:
            return _read_few(connection, statements, stream, window)
        return _read_at_once(connection, statements, stream, window)
    with _snapshot(connection):
        head = _head_of(connection.execute(statements["head"], [stream], binary=True).fetchone())
        if head is None:
            return Slice(None, [])
        entries: list[Entry] = []
        size, page, limit = 0, _FIRST_PAGE, _limit_of(window)
        while len(entries) < limit:
            values = _values(stream, window, min(page, limit - len(entries)), len(entries))
            rows = connection.execute(statements[_entries_name(window)], values, binary=True).fetchall()
            for entry in entries_of(stream, rows):
                entries.append(entry)
                size += len(entry.data)
                if size >= window.max_bytes:
                    return _slice(head, entries, window)
            if len(rows) < page:
                break
            page = min(2 * page, _MAX_PAGE)
    return _slice(head, entries, window)


def _read_few(connection: psycopg.Connection[Any], statements: Statements, stream: str, window: Window) -> Slice:
    """Read by one statement, which is a moment of its own."""
    _, start, _, stop, limit, _ = _values(stream, window, _limit_of(window), 0)
    name = "slice_newest" if window.newest else "slice"
    rows = connection.execute(statements[name], [start, stop, limit, stream], binary=True).fetchall()
    head = _head_of(rows[0][:_HEAD_COLUMNS]) if rows else None
    if head is None:
        return Slice(None, [])
    entries = list(entries_of(stream, (row[_HEAD_COLUMNS:] for row in rows if row[_HEAD_COLUMNS] is not None)))
    entries.sort(key=lambda entry: entry.position, reverse=window.newest)  # a join promises no order
    return _slice(head, entries, window)


def _read_at_once(connection: BoundedConnection, statements: Statements, stream: str, window: Window) -> Slice:
    """Read in one turn of the wire; a long stream once more, while the server still sends."""
    limit = _limit_of(window)
    most = _LONG if _is_sent_in_parts() else limit
    with connection.pipeline():
        connection.execute(_BEGIN)
        head_rows = connection.execute(statements["head"], [stream], binary=True)
        values = _values(stream, window, min(limit, most), 0)
        entry_rows = connection.execute(statements[_entries_name(window)], values, binary=True)
        connection.execute("COMMIT")
    if entry_rows.rowcount == most < limit:
        return _read_long(connection, statements, stream, window)
    head = _head_of(head_rows.fetchone())
    if head is None:
        return Slice(None, [])
    return _slice(head, list(entries_of(stream, _in_parts(entry_rows))), window)


def _read_long(connection: BoundedConnection, statements: Statements, stream: str, window: Window) -> Slice:
    """Read everything at one moment, in three turns: entries are checked while the server sends more."""
    # Not in a `_snapshot`: its COMMIT would wait for ever for the lock of rows that an error has left.
    with connection.pipeline():
        connection.execute(_BEGIN)
        head_rows = connection.execute(statements["head"], [stream], binary=True)
    head = _head_of(head_rows.fetchone())
    entries: list[Entry] = []
    if head is not None:
        values = _values(stream, window, _limit_of(window), 0)
        rows = connection.in_parts(statements[_entries_name(window)], values, _ROWS_TOGETHER)
        entries += entries_of(stream, rows)
    connection.execute("COMMIT")
    return Slice(None, []) if head is None else _slice(head, entries, window)


def _is_sent_in_parts() -> bool:
    """Return True if the driver can take rows before the last one came. Its library is of PostgreSQL 17 or later."""
    import psycopg

    return psycopg.capabilities.has_stream_chunked()


def _in_parts(rows: psycopg.Cursor[Any]) -> Iterator[Sequence[Any]]:
    """Yield rows. Ten thousand tuples at once would make Python's garbage collector look at all of them."""
    while part := rows.fetchmany(_ROWS_TOGETHER):
        yield from part


def _slice(head: Head, entries: list[Entry], window: Window) -> Slice:
    if window.newest:
        entries.reverse()
    check_entries(head, window, entries)
    return Slice(head, entries)


def _entries_name(window: Window) -> str:
    return "entries_newest" if window.newest else "entries"


def _limit_of(window: Window) -> int:
    return _END if window.limit is None else max(min(window.limit, _END), 0)


def _values(stream: str, window: Window, limit: int, offset: int) -> list[object]:
    start = None if window.start is None else max(min(window.start, _END), 0)
    stop = _END if window.stop is None else max(min(window.stop, _END), -_END)
    return [stream, start, stream, stop, limit, offset]


def _head_of(row: Sequence[Any] | None) -> Head | None:
    """Return the head of a row whose last column is the time of the server; None if it is gone."""
    return None if row is None else living(StoredRow._make(row[:-1]).head(), row[-1])


def heads(connection: psycopg.Connection[Any], statements: Statements, streams: Sequence[str]) -> list[Head | None]:
    """Read the heads of streams."""
    names = [name for name in streams if can_be_stored(name)]
    rows = connection.execute(statements["heads"], [names], binary=True).fetchall()
    found = {row[1]: _head_of(row) for row in rows}
    return [found.get(name) for name in streams]


def listing(connection: psycopg.Connection[Any], statements: Statements, query: Query, last: Listed | None) -> Listing:
    """Read a page of streams.

    With labels the streams of the label that the fewest have are read. Where many have each of them, the first streams
    of the list come first, and fill the page unless the labels are rare among them.
    """
    if not can_be_stored(query.prefix):
        return Listing([], None)
    values: dict[str, object] = {
        "prefix": query.prefix,
        "beyond": beyond(query.prefix),
        "name": None if last is None else last.name,
        "at": None if last is None else last.updated_at,
        "limit": min(query.limit, _END) + 1,
    }
    kind, slash, _ = query.prefix.partition("/")
    name = "by_name" if query.order == "name" else "by_recency"
    if slash and query.order != "name":
        name, values = "by_recency_of_kind", {**values, "kind": kind}

    def ask(statement: str, **more: object) -> list[StoredRow]:
        prepare = False if more else None
        found = connection.execute(statements[statement], {**values, **more}, binary=True, prepare=prepare)
        return [StoredRow._make(row) for row in found]

    if not query.where:
        rows = ask(name)
    else:
        pairs = pairs_of(query.where)
        counted = [(_count(connection, statements, pair), pair) for pair in pairs]
        streams, pair = min(counted)
        labels: dict[str, object] = {"pairs": pairs, "count": len(pairs)}
        rows = ask(f"{name}_of_first", first=_FIRST_STREAMS, **labels) if streams == _MANY else []
        if len(rows) <= query.limit:
            rows = ask(f"{name}_of_label", pair=pair, **labels)
    page = [_listed(row, query) for row in rows[: query.limit]]
    return Listing(page, after_cursor(query.order, page[-1]) if page and len(rows) > query.limit else None)


def _count(connection: psycopg.Connection[Any], statements: Statements, pair: bytes) -> int:
    """Count the streams with a label, up to `_MANY`."""
    # Not prepared: the plan for any label reads the whole table, as some label may be in all of its rows.
    row = connection.execute(statements["count_label"], [pair, _MANY], prepare=False).fetchone()
    return int(row[0]) if row else 0


def _listed(row: StoredRow, query: Query) -> Listed:
    try:
        head = row.head()
    except DamagedError:
        head = None
    if head is None or not (query.where or {}).items() <= head.labels.items():
        return Listed(row.name, row.updated_at, damaged=True)
    return Listed(row.name, row.updated_at, head if query.heads else None)


def find_blob(connection: psycopg.Connection[Any], statements: Statements, stream: str, blob: str) -> tuple[int, int]:
    """Return the row and the size of a committed blob.

    Raises:
        NotFoundError: no entry of the stream refers to it.
    """
    row = None
    if can_be_stored(stream) and can_be_stored(blob):
        row = connection.execute(statements["linked_blob"], [blob, stream]).fetchone()
    if row is None:
        raise NotFoundError(f"{stream!r} has no blob {blob!r}")
    return row[0], row[1]


def read_chunks(
    connection: psycopg.Connection[Any], statements: Statements, row: int, start: int, stop: int, count: int
) -> list[tuple[int, bytes]]:
    """Return at most `count` chunks from the one at `start`, each with its offset."""
    return connection.execute(statements["chunks"], [row, start, stop, count], binary=True).fetchall()
