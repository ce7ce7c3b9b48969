# ruff: noqa: S608 - constants alone are joined; each value is a parameter
"""Looks for damage that no reader of a stream meets: in deleted and expired streams, and between the tables.

Each look is one page of a table, in one snapshot. Receipts have no checksum: they are held against the entries that are
left of their calls. A row that was removed with everything that names it leaves no trace.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from stowfast.backends.postgres.rows import StoredRow, pairs_of
from stowfast.errors import DamagedError
from stowfast.looks import Looked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import psycopg

    from stowfast.backends.postgres.statements import Statements

__all__ = ["LOOKS"]

_PAGE: Final = 2_000
_BEFORE_ALL: Final = -(2**63)

_STREAMS: Final = (
    "SELECT s.id, s.name, s.incarnation, s.first, s.next, s.length, s.base, s.revision, s.labels, s.note, s.created_at,"
    " s.updated_at, s.expires_at, s.checksum, s.recent, ARRAY(SELECT l.pair FROM {schema}.labels AS l"
    " WHERE l.stream = s.id) FROM {schema}.streams AS s WHERE s.id > %s::bigint ORDER BY s.id LIMIT %s::bigint"
)
_IS_LIVING: Final = "s.incarnation IS NOT NULL"
_OF_ENTRIES: Final = (
    "SELECT e.stream, e.position, s.name, CASE WHEN s.id IS NULL THEN 'entries have no stream'"
    " WHEN s.incarnation IS NULL AND s.expires_at IS NULL THEN 'it was deleted, and has entries'"
    f" WHEN {_IS_LIVING} AND (e.position < s.first OR e.position >= s.next) THEN 'an entry lies where none can be'"
    f" WHEN {_IS_LIVING} AND e.op_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {{schema}}.operations AS o"
    " WHERE o.stream = e.stream AND o.op_id = e.op_id AND o.incarnation = s.incarnation AND o.first <= e.position"
    " AND o.next > e.position AND o.committed_at = e.created_at)"
    " THEN 'the receipt of the call of an entry is missing, or that of another call' END"
    " FROM (SELECT * FROM {schema}.entries WHERE (stream, position) > (%s::bigint, %s::bigint)"
    " ORDER BY stream, position LIMIT %s::bigint) AS e LEFT JOIN {schema}.streams AS s ON s.id = e.stream"
    " ORDER BY e.stream, e.position"
)
_OF_RECEIPTS: Final = (
    "SELECT o.stream, o.op_id, s.name, CASE WHEN s.id IS NULL THEN 'receipts have no stream'"
    " WHEN o.first < 0 OR o.next < o.first OR (o.incarnation = s.incarnation AND (o.next > s.next OR EXISTS"
    " (SELECT 1 FROM {schema}.entries AS e WHERE e.stream = o.stream AND e.position >= o.first AND e.position < o.next"
    " AND e.op_id IS DISTINCT FROM o.op_id))) THEN 'a receipt names other entries than those of its call' END"
    " FROM (SELECT * FROM {schema}.operations WHERE (stream, op_id) > (%s::bigint, %s::text)"
    " ORDER BY stream, op_id LIMIT %s::bigint) AS o LEFT JOIN {schema}.streams AS s ON s.id = o.stream"
    " ORDER BY o.stream, o.op_id"
)
_OF_LABELS: Final = (
    "SELECT l.pair, l.stream, s.name, CASE WHEN s.id IS NULL THEN 'rows have no stream' END"
    " FROM (SELECT * FROM {schema}.labels WHERE (pair, stream) > (%s::bytea, %s::bigint)"
    " ORDER BY pair, stream LIMIT %s::bigint) AS l LEFT JOIN {schema}.streams AS s ON s.id = l.stream"
    " ORDER BY l.pair, l.stream"
)
_OF_LINKS: Final = (
    "SELECT l.stream, l.position, l.blob, s.name, CASE WHEN s.id IS NULL THEN 'rows have no stream'"
    f" WHEN {_IS_LIVING} AND (b.whole IS DISTINCT FROM 1 OR b.written_at <> 0 OR b.stream <> l.stream OR NOT EXISTS"
    " (SELECT 1 FROM {schema}.entries AS e WHERE e.stream = l.stream AND e.position = l.position))"
    " THEN 'a link leads to no whole blob, or from no entry' END"
    " FROM (SELECT * FROM {schema}.links WHERE (stream, position, blob) > (%s::bigint, %s::bigint, %s::bigint)"
    " ORDER BY stream, position, blob LIMIT %s::bigint) AS l LEFT JOIN {schema}.streams AS s ON s.id = l.stream"
    " LEFT JOIN {schema}.blobs AS b ON b.id = l.blob ORDER BY l.stream, l.position, l.blob"
)
_OF_BLOBS: Final = (
    "SELECT b.id, s.name, CASE WHEN s.id IS NULL THEN 'rows have no stream' END"
    " FROM (SELECT * FROM {schema}.blobs WHERE id > %s::bigint ORDER BY id LIMIT %s::bigint) AS b"
    " LEFT JOIN {schema}.streams AS s ON s.id = b.stream ORDER BY b.id"
)
_OF_CHUNKS: Final = (
    "SELECT c.blob, c.start, NULL, CASE WHEN b.id IS NULL THEN 'content has no blob' END"
    " FROM (SELECT blob, start FROM {schema}.chunks WHERE (blob, start) > (%s::bigint, %s::bigint)"
    " ORDER BY blob, start LIMIT %s::bigint) AS c LEFT JOIN {schema}.blobs AS b ON b.id = c.blob"
    " ORDER BY c.blob, c.start"
)
_FIRST_KEYS: Final[dict[str, tuple[str, tuple[Any, ...]]]] = {
    "entries": (_OF_ENTRIES, (_BEFORE_ALL, _BEFORE_ALL)),
    "operations": (_OF_RECEIPTS, (_BEFORE_ALL, "")),
    "labels": (_OF_LABELS, (b"", _BEFORE_ALL)),
    "links": (_OF_LINKS, (_BEFORE_ALL, _BEFORE_ALL, _BEFORE_ALL)),
    "blobs": (_OF_BLOBS, (_BEFORE_ALL,)),
    "chunks": (_OF_CHUNKS, (_BEFORE_ALL, _BEFORE_ALL)),
}
"""The statement of each table, and values before its first key. A row has its key, the name of its stream, a reason."""


def _look_at_streams(connection: psycopg.Connection[Any], statements: Statements, *, after: int | None) -> Looked:
    found, last = list[tuple[str, str]](), after
    rows = _rows(connection, statements, _STREAMS, [_BEFORE_ALL if after is None else after])
    for *columns, recent, pairs in rows:
        stream = StoredRow._make(columns)
        last = stream.id
        try:
            reasons = list(_beside(stream, recent, pairs))
        except DamagedError as error:
            found.append((stream.name, str(error)))
        else:
            found += ((stream.name, f"{stream.name!r}: {reason}") for reason in reasons)
    return Looked(found, last if len(rows) == _PAGE else None)


def _beside(stream: StoredRow, recent: int, pairs: Sequence[bytes]) -> Iterator[str]:
    """Yield what disagrees with the row of a stream.

    Raises:
        DamagedError: the row itself is not as it was written.
    """
    head = stream.head()
    if {*map(bytes, pairs)} != set(pairs_of({} if head is None else head.labels)):
        yield "lists select it by other metadata than it has"
    if head is not None and recent != head.updated_at >> 26:
        yield "lists by recency have it at another place than its last change gives"


def _look_at(
    connection: psycopg.Connection[Any], statements: Statements, *, table: str, after: tuple[Any, ...] | None
) -> Looked:
    statement, first = _FIRST_KEYS[table]
    rows = _rows(connection, statements, statement, first if after is None else after)
    found = list[tuple[str, str]]()
    for *_key, name, reason in rows:
        if reason is not None:
            found.append(
                (f"the table {table}" if name is None else name, f"{reason}: restore the schema from a backup")
            )
    last = tuple(rows[-1][: len(first)]) if len(rows) == _PAGE else None
    return Looked(sorted(set(found)), last)


def _rows(connection: psycopg.Connection[Any], statements: Statements, text: str, after: Any) -> list[Any]:
    from psycopg import sql

    statement = sql.SQL(text).format(schema=statements.schema)
    return connection.execute(statement, [*after, _PAGE], binary=True).fetchall()


LOOKS: Final[tuple[Callable[..., Looked], ...]] = (
    _look_at_streams,
    *(partial(_look_at, table=table) for table in _FIRST_KEYS),
)
"""Each is called with a connection, the statements and `after`, until it returns None there."""
