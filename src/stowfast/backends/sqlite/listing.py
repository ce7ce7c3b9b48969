"""Pages of names and heads, by name or by the last change.

A list of one kind (`messages/`) by its last change reads the index of recency and the active streams; with a label that
many streams have, the newest of these first. Any other list reads the names that begin with its prefix; by recency it
looks up the last change of each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Listed, Listing, Query
from stowfast.backends.sqlite.recency import LAST_CHANGE
from stowfast.backends.sqlite.rows import HEAD_COLUMNS, LAST_ENTRY, StreamRow
from stowfast.cursors import after_cursor
from stowfast.errors import DamagedError
from stowfast.names import MAX_MOMENT, beyond

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

__all__ = ["listing"]

_END: Final = 2**62
_PAGE: Final = " ".join(
    (
        "SELECT id, name AS page_name,",
        LAST_CHANGE.format(0),
        "AS updated FROM streams WHERE name >= ? AND typeof(name) = 'text' AND incarnation IS NOT NULL",
        "AND (expires_at IS NULL OR expires_at > ?)",
    )
)
"""Selects the streams of a page. A damaged time is sorted as some number, and found when the row is checked."""
_ROWS_OF: Final = " ".join(("SELECT updated,", HEAD_COLUMNS, "FROM ("))
_AS_PAGE: Final = f") AS page JOIN streams ON streams.id = page.id {LAST_ENTRY}"
_BY_RECENCY: Final = "ORDER BY updated DESC, page_name"

_LIVING: Final = "AND incarnation IS NOT NULL AND (expires_at IS NULL OR expires_at > :now)"
_KIND: Final = "substr(name, 1, instr(name, '/')) = :prefix"
# The lowest moment in the index is 1: behind it come the streams that the index does not have.
_OF_KIND: Final = " ".join(
    (
        "FROM streams INDEXED BY streams_recent WHERE",
        _KIND,
        f"AND listed_at IS NOT NULL AND listed_at >= 1 AND listed_at <= {MAX_MOMENT:d}",
    )
)
_INDEXED: Final = " ".join(
    (
        "SELECT id, name AS page_name, listed_at AS updated",
        _OF_KIND,
        "AND listed_at <= :at AND (listed_at < :at OR name > CAST(:after AS TEXT))",
        _LIVING,
        "AND id NOT IN (SELECT stream FROM active) ORDER BY listed_at DESC, name LIMIT :limit",
    )
)
_ACTIVE: Final = " ".join(
    (
        "SELECT * FROM (SELECT id, name AS page_name, min(",
        str(MAX_MOMENT),
        ",",
        LAST_CHANGE.format(1),
        ") AS updated FROM active CROSS JOIN streams ON id = stream WHERE",
        _KIND,
        _LIVING,
        "AND typeof(name) = 'text' LIMIT -1)",  # with a limit SQLite computes `updated` once
        "WHERE updated < :at OR (updated = :at AND page_name > CAST(:after AS TEXT))",
    )
)
_OF_RECENT: Final = " ".join(("SELECT * FROM (", _INDEXED, ") UNION ALL", _ACTIVE, "ORDER BY 3 DESC, 2 LIMIT :limit"))
_RECENT: Final = " ".join((_ROWS_OF, _OF_RECENT, _AS_PAGE, _BY_RECENCY))
_NEWEST: Final = " ".join((_ROWS_OF, "SELECT * FROM (", _OF_RECENT.replace(":limit", ":newest"), ") WHERE"))
_HAS_LABEL: Final = "EXISTS (SELECT 1 FROM labels WHERE key = :key{0} AND value = :value{0} AND stream = id)"
_WITH_LABELS: Final = " ".join((_BY_RECENCY, "LIMIT :limit", _AS_PAGE, _BY_RECENCY))
_COUNT: Final = "SELECT count(*) FROM (SELECT 1 FROM labels WHERE key = ? AND value = ? LIMIT ?)"
_MANY: Final = 1_000
"""Streams with a label from which on it is cheaper to look for it among as many of the last changed streams first."""
_REST: Final = " ".join(
    (
        _ROWS_OF,
        "SELECT id, name AS page_name, 0 AS updated FROM streams WHERE name >= :prefix AND name < :end",
        _LIVING,
        "AND typeof(name) = 'text' AND (:at > 0 OR name > CAST(:after AS TEXT)) AND id NOT IN (SELECT id",
        _OF_KIND,
        ") AND id NOT IN (SELECT stream FROM active) ORDER BY name LIMIT :limit",
        _AS_PAGE,
        _BY_RECENCY,
    )
)
"""Selects the living streams of a kind that `_INDEXED` and `_ACTIVE` pass over: there are none in a sound file."""


def listing(connection: sqlite3.Connection, now: int, *, query: Query, last: Listed | None) -> Listing:
    """Read a page of names, and their heads where the query asks for them.

    The SQL is joined from constants; every value of the caller is a parameter.
    """
    limit = min(query.limit, _END - 1) + 1
    if query.order == "recent" and query.prefix.find("/") == len(query.prefix) - 1 >= 0:
        rows = _recent(connection, now, query, last, limit)
    else:
        rows = _named(connection, now, query, last, limit)
    page = rows[: query.limit]
    if not page:
        return Listing([], None)
    shown = [_listed(updated, StreamRow(*fields), query) for updated, *fields in page]
    # From the moment by which the page is ordered: with a damaged row it is another than that of the head.
    end = Listed(shown[-1].name, min(page[-1][0], MAX_MOMENT))
    return Listing(shown, after_cursor(query.order, end) if len(rows) > query.limit else None)


def _recent(
    connection: sqlite3.Connection, now: int, query: Query, last: Listed | None, limit: int
) -> list[tuple[Any, ...]]:
    """Read the streams of one kind by their last change. At the end come those that the index does not have."""
    at, after = (_END, b"") if last is None else (last.updated_at, _bytes_of(last.name))
    values = {"prefix": query.prefix, "end": beyond(query.prefix), "now": now, "at": at, "after": after, "limit": limit}
    if query.where:
        rows = _newest(connection, values, query.where) if at > 0 else []
        return rows if len(rows) == limit else _named(connection, now, query, last, limit)
    rows = connection.execute(_RECENT, values).fetchall() if at > 0 else []
    if len(rows) < limit:
        rows += connection.execute(_REST, {**values, "limit": limit - len(rows)}).fetchall()
    return rows


def _newest(
    connection: sqlite3.Connection, values: Mapping[str, object], where: Mapping[str, str]
) -> list[tuple[Any, ...]]:
    """Read those of the last changed streams that have the labels; none where too few have them."""
    labels: dict[str, str] = {}
    for number, pair in enumerate(where.items()):
        if connection.execute(_COUNT, (*pair, _MANY)).fetchone()[0] < _MANY:
            return []
        labels[f"key{number}"], labels[f"value{number}"] = pair
    sql = [_NEWEST, " AND ".join(map(_HAS_LABEL.format, range(len(where)))), _WITH_LABELS]
    return connection.execute(" ".join(sql), {**values, **labels, "newest": _MANY}).fetchall()


def _named(
    connection: sqlite3.Connection, now: int, query: Query, last: Listed | None, limit: int
) -> list[tuple[Any, ...]]:
    """Read the streams whose names begin with the prefix."""
    sql = [_ROWS_OF, _PAGE]
    values: list[object] = [query.prefix, now]
    if (end := beyond(query.prefix)) is not None:
        sql.append("AND name < ?")
        values.append(end)
    for pair in (query.where or {}).items():
        sql.append("AND id IN (SELECT stream FROM labels WHERE key = ? AND value = ?)")
        values += pair
    if last is not None:
        name = _bytes_of(last.name)
        if query.order == "name":
            sql.append("AND name > CAST(? AS TEXT)")
            values.append(name)
        else:
            sql.append("AND (updated < ? OR (updated = ? AND name > CAST(? AS TEXT)))")
            values += [last.updated_at, last.updated_at, name]
    order = "ORDER BY page_name" if query.order == "name" else _BY_RECENCY
    sql += (order, "LIMIT ?", _AS_PAGE, order)
    return connection.execute(" ".join(sql), [*values, limit]).fetchall()


def _bytes_of(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")  # of a damaged name: bytes that are not UTF-8


def _listed(updated_at: int, row: StreamRow, query: Query) -> Listed:
    """Return one stream of a listing. Damage of one does not keep the caller from the others."""
    try:
        head = row.head()
    except DamagedError:
        head = None
    if head is None or not (query.where or {}).items() <= head.labels.items():
        return Listed(row.name, min(updated_at, MAX_MOMENT), damaged=True)
    return Listed(head.name, head.updated_at, head if query.heads else None)
