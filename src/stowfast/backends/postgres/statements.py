# ruff: noqa: S608 - constants alone are joined; each value of a caller is a parameter
"""The SQL of the PostgreSQL backend, with the name of the schema in its place.

Functions are qualified and parameters are cast: a function or a type of the same name in another schema of the
`search_path` is never called. Source: https://www.postgresql.org/docs/current/ddl-schemas.html#DDL-SCHEMAS-PATTERNS
"""

from __future__ import annotations

from typing import Final

from stowfast.backends.postgres.checksums import MOVED, PLACED
from stowfast.backends.postgres.lists import ALIVE, HEAD, LISTS, NOW

__all__ = ["Statements"]

_ALL: Final = "1 / (CASE WHEN {found} = {sent} THEN 1 ELSE 0 END)"
"""Ends the transaction where a trigger of others has swallowed rows: an error of division, which nothing else makes."""
_ONE_EACH: Final = "COALESCE((SELECT 1 FROM {made}), 1 / (next - next))"
"""Divides by zero unless each of these has a row. A count would take 9 µs."""
_ROWS: Final = (
    "ROWS FROM (pg_catalog.unnest(%(entries)b::bytea[]), pg_catalog.unnest(%(contents)s::bigint[])) WITH ORDINALITY"
)
_ROW: Final = "(VALUES (%(entry)b::bytea, %(content)s::bigint, 1))"
"""With an array the server plans each call anew: a plan for arrays of any length looks dearer to it."""
_BEFORE: Final = MOVED.format(next="s.next", length="s.length", updated_at="s.updated_at")
_AFTER: Final = MOVED.format(next="c.next", length="c.length", updated_at="c.at")
_PLACED: Final = PLACED.format(position="head.next - %(count)s::bigint + e.number - 1", created_at="head.updated_at")
# The clock is asked once for each row, after its lock was waited for: OFFSET keeps the sub-select from being dissolved.
_APPEND: Final = f"""
    WITH head AS (
        UPDATE {{schema}}.streams AS s SET (next, length, updated_at, recent, checksum) = (
            SELECT c.next, c.length, c.at, c.at >> 26, s.checksum # ({_BEFORE}) # ({_AFTER}) FROM (
                SELECT s.next + %(count)s::bigint AS next, s.length + %(count)s::bigint AS length,
                    GREATEST(s.updated_at, {NOW}) AS at OFFSET 0) AS c)
        WHERE s.name = %(name)s::text AND {ALIVE} {{condition}}
        RETURNING s.id, s.incarnation, s.next, s.updated_at
    ), added AS (
        INSERT INTO {{schema}}.entries (stream, position, created_at, checksum, op_id, data)
        SELECT head.id, head.next - %(count)s::bigint + e.number - 1, head.updated_at, e.content # ({_PLACED}),
            %(op_id)s::text, e.data
        FROM head, {{rows}} AS e (data, content, number) RETURNING 1
    ) {{operation}}
    SELECT incarnation, next - %(count)s::bigint, next, updated_at, {{all}} FROM head
"""
_ADDED: Final = "(SELECT pg_catalog.count(*) FROM added)"
_REMEMBERED: Final = "(SELECT pg_catalog.count(*) FROM remembered)"


_ONCE: Final = {
    "condition": "AND NOT EXISTS (SELECT 1 FROM {schema}.operations AS o"
    " WHERE o.stream = s.id AND o.op_id = %(op_id)s::text)",
    "operation": ", remembered AS (INSERT INTO {schema}.operations"
    " (stream, op_id, incarnation, first, next, committed_at) SELECT head.id, %(op_id)s::text,"
    " head.incarnation, head.next - %(count)s::bigint, head.next, head.updated_at FROM head RETURNING 1)",
}
"""Of an append with an op_id."""


def _append(rows: str, all: str, *, condition: str = "", operation: str = "") -> str:
    return _APPEND.format(schema="{schema}", rows=rows, all=all, condition=condition, operation=operation)


def _whole(statement: str, sent: str = "1") -> str:
    """Return a statement for writing that fails unless it writes all rows."""
    return (
        f"WITH made AS ({statement} RETURNING 1) SELECT {_ALL.format(found='pg_catalog.count(*)', sent=sent)} FROM made"
    )


_TEXTS: Final = {
    # Any role may ask this, and not for the identifier of the system. No two servers start in one microsecond.
    "place": "SELECT pg_catalog.extract('epoch', pg_catalog.pg_postmaster_start_time())::text, d.oid::text, c.oid::text"
    " FROM pg_catalog.pg_database AS d, pg_catalog.pg_class AS c"
    " JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace"
    " WHERE d.datname = pg_catalog.current_database() AND n.nspname = %s::text AND c.relname = 'streams'",
    "now": f"SELECT {NOW}",
    # A limit of the role stands.
    "limits": "SELECT pg_catalog.set_config(l.name, l.value, %s::boolean) FROM (VALUES ('lock_timeout', %s::text),"
    " ('idle_in_transaction_session_timeout', %s::text)) AS l (name, value)"
    " WHERE pg_catalog.current_setting(l.name) = '0'",
    "hurry": "SET LOCAL lock_timeout = 50",
    "hint": "SELECT pg_catalog.pg_notify(%s::text, %s::text)",
    "lock": f"SELECT {HEAD} FROM {{schema}}.streams AS s WHERE s.name = ANY(%s::text[])"
    " ORDER BY s.name FOR NO KEY UPDATE",
    "operations": "SELECT s.name, o.op_id, o.incarnation, o.first, o.next, o.committed_at"
    " FROM {schema}.operations AS o JOIN {schema}.streams AS s ON s.id = o.stream"
    " WHERE (s.name, o.op_id) IN (SELECT * FROM ROWS FROM"
    " (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[])) AS calls (name, op_id))",
    "append": _append(_ROWS, _ALL.format(found=_ADDED, sent="%(count)s::bigint")),
    "append_alone": _append(_ROW, _ONE_EACH.format(made="added")),
    "append_once": _append(
        _ROWS, _ALL.format(found=f"{_ADDED} + {_REMEMBERED}", sent="%(count)s::bigint + 1"), **_ONCE
    ),
    "append_once_alone": _append(_ROW, _ONE_EACH.format(made="added, remembered"), **_ONCE),
    "insert_streams": "INSERT INTO {schema}.streams (name, incarnation, first, next, length, base, revision,"
    " created_at, updated_at, recent, labels, note, checksum)"
    " SELECT n.name, NULL, 0, 0, 0, 0, 0, %s::bigint, %s::bigint, 0, ''::bytea, ''::bytea, n.checksum FROM ROWS FROM"
    " (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::bigint[])) WITH ORDINALITY AS n (name, checksum, number)"
    " ORDER BY n.number ON CONFLICT (name) DO NOTHING RETURNING name, id",
    "store_head": _whole(
        "UPDATE {schema}.streams SET incarnation = %(incarnation)s::text, first = %(first)s::bigint,"
        " next = %(next)s::bigint, length = %(length)s::bigint, base = %(base)s::bigint,"
        " revision = %(revision)s::bigint,"
        " labels = %(labels)b::bytea, note = %(note)b::bytea, created_at = %(created_at)s::bigint,"
        " updated_at = %(updated_at)s::bigint, recent = %(updated_at)s::bigint >> 26,"
        " expires_at = %(expires_at)s::bigint,"
        " checksum = %(checksum)s::bigint WHERE id = %(id)s::bigint"
    ),
    "add_entries": _whole(
        "INSERT INTO {schema}.entries (stream, position, created_at, checksum, op_id, data)"
        " SELECT %s::bigint, %s::bigint + e.number - 1, %s::bigint, e.checksum, %s::text, e.data FROM ROWS FROM"
        " (pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%b::bytea[])) WITH ORDINALITY"
        " AS e (checksum, data, number)",
        "%s::bigint",
    ),
    "move_heads": _whole(
        "UPDATE {schema}.streams AS s SET next = m.next, length = m.length, updated_at = m.updated_at,"
        " recent = m.updated_at >> 26, checksum = m.checksum FROM ROWS FROM (pg_catalog.unnest(%s::bigint[]),"
        " pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%s::bigint[]),"
        " pg_catalog.unnest(%s::bigint[])) AS m (id, next, length, updated_at, checksum) WHERE s.id = m.id",
        "%s::bigint",
    ),
    "append_entries": _whole(
        "INSERT INTO {schema}.entries (stream, position, created_at, checksum, op_id, data)"
        " SELECT e.* FROM ROWS FROM (pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%s::bigint[]),"
        " pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%s::text[]),"
        " pg_catalog.unnest(%b::bytea[])) AS e (stream, position, created_at, checksum, op_id, data)",
        "%s::bigint",
    ),
    "remember_appends": _whole(
        "INSERT INTO {schema}.operations (stream, op_id, incarnation, first, next, committed_at)"
        " SELECT o.* FROM ROWS FROM (pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%s::text[]),"
        " pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%s::bigint[]),"
        " pg_catalog.unnest(%s::bigint[])) AS o (stream, op_id, incarnation, first, next, committed_at)",
        "%s::bigint",
    ),
    "remember": _whole(
        "INSERT INTO {schema}.operations (stream, op_id, incarnation, first, next, committed_at)"
        " VALUES (%s::bigint, %s::text, %s::text, %s::bigint, %s::bigint, %s::bigint)"
    ),
    "place_entries": _whole(
        "INSERT INTO {schema}.entries (stream, position, created_at, checksum, op_id, data)"
        " SELECT %s::bigint, e.* FROM ROWS FROM (pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%s::bigint[]),"
        " pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%b::bytea[]))"
        " AS e (position, created_at, checksum, op_id, data)",
        "%s::bigint",
    ),
    "remember_calls": _whole(
        "INSERT INTO {schema}.operations (stream, op_id, incarnation, first, next, committed_at)"
        " SELECT %s::bigint, o.* FROM ROWS FROM (pg_catalog.unnest(%s::text[]), pg_catalog.unnest(%s::text[]),"
        " pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%s::bigint[]), pg_catalog.unnest(%s::bigint[]))"
        " AS o (op_id, incarnation, first, next, committed_at) ON CONFLICT (stream, op_id) DO UPDATE SET"
        " incarnation = EXCLUDED.incarnation, first = EXCLUDED.first, next = EXCLUDED.next,"
        " committed_at = EXCLUDED.committed_at",
        "%s::bigint",
    ),
    "calls": "SELECT o.op_id, o.incarnation, o.first, o.next, o.committed_at FROM {schema}.operations AS o"
    " JOIN {schema}.streams AS s ON s.id = o.stream WHERE s.name = %s::text"
    " AND (s.incarnation IS DISTINCT FROM o.incarnation OR o.next = o.first OR o.next - o.first > (SELECT"
    " pg_catalog.count(*) FROM {schema}.entries AS e WHERE e.stream = o.stream AND e.position >= o.first"
    " AND e.position < o.next AND e.op_id = o.op_id))",
    "remove_labels": "DELETE FROM {schema}.labels WHERE stream = %s::bigint",
    "add_labels": "INSERT INTO {schema}.labels (pair, stream) SELECT p, %s::bigint"
    " FROM pg_catalog.unnest(%b::bytea[]) AS p ON CONFLICT DO NOTHING",
    "remove_entries": "WITH gone AS (DELETE FROM {schema}.entries WHERE stream = %s::bigint"
    " AND position >= %s::bigint AND position < %s::bigint RETURNING 1) SELECT pg_catalog.count(*) FROM gone",
    "remove_links": "DELETE FROM {schema}.links WHERE stream = %s::bigint AND position >= %s::bigint"
    " AND position < %s::bigint",
    "extent": "SELECT pg_catalog.count(*), COALESCE(pg_catalog.sum(pg_catalog.length(e.data)), 0)::bigint, (SELECT"
    " pg_catalog.count(*) FROM (SELECT 1 FROM {schema}.operations AS o WHERE o.stream = %(id)s::bigint"
    " LIMIT %(most)s::bigint) AS o) FROM (SELECT e.data FROM {schema}.entries AS e WHERE e.stream = %(id)s::bigint"
    " LIMIT %(most)s::bigint) AS e",
    "rename": "UPDATE {schema}.streams SET name = %s::text WHERE id = %s::bigint",
    "move_uploads": "UPDATE {schema}.blobs SET stream = %s::bigint WHERE stream = %s::bigint AND written_at > 0",
    "move_operations": "UPDATE {schema}.operations SET stream = %(new)s::bigint WHERE stream = %(id)s::bigint"
    " AND op_id IN (SELECT op_id FROM {schema}.operations WHERE stream = %(id)s::bigint"
    " ORDER BY committed_at DESC, next DESC LIMIT %(kept)s::bigint)",
    "drain": "WITH page AS (SELECT e.position, pg_catalog.sum(pg_catalog.length(e.data)) OVER (ORDER BY e.position)"
    " - pg_catalog.length(e.data) AS before FROM (SELECT position, data FROM {schema}.entries"
    " WHERE stream = %(id)s::bigint ORDER BY position LIMIT %(rows)s::bigint) AS e),"
    " gone AS (DELETE FROM {schema}.entries WHERE stream = %(id)s::bigint AND position <="
    " (SELECT pg_catalog.max(page.position) FROM page WHERE page.before < %(bytes)s::bigint)"
    " RETURNING pg_catalog.length(data) AS size)"
    " SELECT pg_catalog.count(*), COALESCE(pg_catalog.sum(gone.size), 0)::bigint FROM gone",
    "drain_links": "DELETE FROM {schema}.links WHERE stream = %(id)s::bigint AND (position, blob) IN (SELECT"
    " position, blob FROM {schema}.links WHERE stream = %(id)s::bigint ORDER BY position LIMIT %(rows)s::bigint)",
    "drain_operations": "DELETE FROM {schema}.operations WHERE stream = %(id)s::bigint AND op_id IN (SELECT op_id"
    " FROM {schema}.operations WHERE stream = %(id)s::bigint LIMIT %(rows)s::bigint)",
    "end_blobs": "UPDATE {schema}.blobs SET whole = -1 WHERE stream = %s::bigint AND written_at = 0",
    "forget": "DELETE FROM {schema}.operations AS o WHERE o.stream = %(id)s::bigint AND NOT EXISTS (SELECT 1 FROM"
    " {schema}.streams AS s JOIN {schema}.entries AS e ON e.stream = s.id WHERE s.id = o.stream"
    " AND s.incarnation = o.incarnation AND e.position >= o.first AND e.position < o.next)"
    " AND o.op_id NOT IN (SELECT op_id FROM {schema}.operations WHERE stream = %(id)s::bigint"
    " ORDER BY committed_at DESC, next DESC LIMIT %(kept)s::bigint)",
    "find_blobs": "SELECT b.id, b.name, b.written_at FROM {schema}.blobs AS b"
    " JOIN {schema}.streams AS s ON s.id = b.stream WHERE b.name = ANY(%s::text[]) AND s.name = %s::text"
    " AND b.whole = 1 FOR NO KEY UPDATE OF b",
    "link_blobs": "INSERT INTO {schema}.links (stream, position, blob) SELECT %s::bigint, p, b"
    " FROM pg_catalog.generate_series(%s::bigint, %s::bigint - 1) AS p, pg_catalog.unnest(%s::bigint[]) AS b"
    " ON CONFLICT DO NOTHING",
    "mark_linked": "UPDATE {schema}.blobs SET written_at = 0 WHERE id = ANY(%s::bigint[])",
    "head": f"SELECT {HEAD}, {NOW} FROM {{schema}}.streams AS s WHERE s.name = %s::text",
    "heads": f"SELECT {HEAD}, {NOW} FROM {{schema}}.streams AS s WHERE s.name = ANY(%s::text[])",
    # Sub-selects come first: a join would sort all entries before it takes the last twenty.
    "entries": "SELECT e.position, e.data, e.created_at, e.op_id, e.checksum FROM {schema}.entries AS e"
    " WHERE e.stream = (SELECT s.id FROM {schema}.streams AS s WHERE s.name = %s::text)"
    " AND e.position >= (SELECT GREATEST(s.first, COALESCE(%s::bigint, s.base)) FROM {schema}.streams AS s"
    " WHERE s.name = %s::text) AND e.position < %s::bigint"
    " ORDER BY e.position LIMIT %s::bigint OFFSET %s::bigint",
    # The head goes beside each entry: for a few it costs less than a transaction of two statements.
    "slice": f"SELECT {HEAD}, {NOW}, e.position, e.data, e.created_at, e.op_id, e.checksum"
    " FROM {schema}.streams AS s"
    " LEFT JOIN LATERAL (SELECT e.position, e.data, e.created_at, e.op_id, e.checksum FROM {schema}.entries AS e"
    " WHERE e.stream = s.id AND e.position >= GREATEST(s.first, COALESCE(%s::bigint, s.base))"
    " AND e.position < %s::bigint ORDER BY e.position LIMIT %s::bigint) AS e ON TRUE"
    " WHERE s.name = %s::text",
    "new_blob": f"INSERT INTO {{schema}}.blobs (stream, name, size, written_at, whole)"
    f" SELECT s.id, %s::text, 0, {NOW}, 0 FROM {{schema}}.streams AS s WHERE s.name = %s::text RETURNING id",
    "grow_blob": "UPDATE {schema}.blobs SET size = %s::bigint, whole = %s::smallint"
    " WHERE id = %s::bigint AND whole = 0",
    "add_chunk": "INSERT INTO {schema}.chunks (blob, start, data) VALUES (%s::bigint, %s::bigint, %b::bytea)",
    "linked_blob": f"SELECT b.id, b.size FROM {{schema}}.blobs AS b JOIN {{schema}}.streams AS s ON s.id = b.stream"
    f" WHERE b.name = %s::text AND s.name = %s::text AND {ALIVE} AND EXISTS (SELECT 1 FROM {{schema}}.links AS l"
    " WHERE l.blob = b.id AND l.stream = s.id)",
    "chunks": "SELECT c.start, c.data FROM {schema}.chunks AS c WHERE c.blob = %s::bigint AND c.start >= %s::bigint"
    " AND c.start < %s::bigint ORDER BY c.start LIMIT %s::bigint",
    "expired": f"SELECT {HEAD} FROM {{schema}}.streams AS s WHERE s.expires_at <= {NOW}"
    " ORDER BY s.name LIMIT 100 FOR NO KEY UPDATE SKIP LOCKED",
    "garbage": f"SELECT {HEAD} FROM {{schema}}.streams AS s WHERE s.expires_at <= {NOW} AND s.incarnation IS NULL"
    " ORDER BY s.name LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
    "would_expire": "SELECT pg_catalog.count(s.incarnation), COALESCE(pg_catalog.sum((SELECT pg_catalog.sum("
    "pg_catalog.length(e.data)) FROM {schema}.entries AS e WHERE e.stream = s.id)), 0)::bigint"
    f" FROM {{schema}}.streams AS s WHERE s.expires_at <= {NOW}",
    "orphans": f"SELECT b.id FROM {{schema}}.blobs AS b WHERE b.written_at < {NOW} - %s::bigint AND NOT EXISTS"
    " (SELECT 1 FROM {schema}.links AS l WHERE l.blob = b.id) ORDER BY b.id LIMIT 16 FOR NO KEY UPDATE SKIP LOCKED",
    "would_orphan": "SELECT pg_catalog.count(*), COALESCE(pg_catalog.sum(b.size), 0)::bigint"
    f" FROM {{schema}}.blobs AS b WHERE b.written_at < {NOW} - %s::bigint AND NOT EXISTS (SELECT 1"
    " FROM {schema}.links AS l JOIN {schema}.streams AS s ON s.id = l.stream WHERE l.blob = b.id"
    f" AND (s.expires_at IS NULL OR s.expires_at > {NOW}))",
    "condemn": "UPDATE {schema}.blobs AS b SET whole = -1 WHERE b.id = ANY(%s::bigint[]) AND NOT EXISTS"
    " (SELECT 1 FROM {schema}.links AS l WHERE l.blob = b.id) RETURNING b.id",
    "drop_chunks": "DELETE FROM {schema}.chunks WHERE (blob, start) IN (SELECT blob, start FROM {schema}.chunks"
    " WHERE blob = ANY(%s::bigint[]) ORDER BY blob, start LIMIT 64)",
    "drop_blobs": "DELETE FROM {schema}.blobs WHERE id = ANY(%s::bigint[]) RETURNING size",
    # One statement: a policy of row-level security shows an operation only as long as its stream is there.
    "old_tombstones": "WITH gone AS (DELETE FROM {schema}.streams WHERE id IN (SELECT s.id FROM {schema}.streams AS s"
    f" WHERE s.incarnation IS NULL AND s.updated_at < {NOW} - %s::bigint AND NOT EXISTS (SELECT 1 FROM"
    " {schema}.blobs AS b WHERE b.stream = s.id) ORDER BY s.name LIMIT 100 FOR UPDATE SKIP LOCKED) RETURNING id),"
    " forgotten AS (DELETE FROM {schema}.operations WHERE stream IN (SELECT id FROM gone))"
    " SELECT pg_catalog.count(*) FROM gone",
}


class Statements:
    """The statements for one schema, by name."""

    def __init__(self, schema: str) -> None:
        from psycopg import sql

        self.schema = sql.Identifier(schema)
        texts = _TEXTS | LISTS
        texts["entries_newest"] = texts["entries"].replace("ORDER BY e.position", "ORDER BY e.position DESC")
        texts["slice_newest"] = texts["slice"].replace("ORDER BY e.position", "ORDER BY e.position DESC")
        # As bytes: the driver would put them together again in each call.
        self._composed = {name: sql.SQL(text).format(schema=self.schema).as_bytes() for name, text in texts.items()}

    def __getitem__(self, name: str) -> bytes:
        return self._composed[name]
