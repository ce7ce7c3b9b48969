# ruff: noqa: S608 - constants alone are joined; each value of a caller is a parameter
"""The SQL of lists of streams, with `{schema}` in the place of the schema's name; see `statements`."""

from __future__ import annotations

from typing import Final

__all__ = ["ALIVE", "HEAD", "LISTS", "NOW"]

NOW: Final = "(pg_catalog.extract('epoch', pg_catalog.clock_timestamp()) * 1000000)::bigint"
HEAD: Final = (
    "s.id, s.name, s.incarnation, s.first, s.next, s.length, s.base, s.revision, s.labels, s.note,"
    " s.created_at, s.updated_at, s.expires_at, s.checksum"
)
ALIVE: Final = f"s.incarnation IS NOT NULL AND (s.expires_at IS NULL OR s.expires_at > {NOW})"

_BY_NAME: Final = " AND (%(name)s::text IS NULL OR s.name > %(name)s::text) ORDER BY s.name LIMIT %(limit)s::bigint"
_BY_RECENCY: Final = (
    " AND (%(name)s::text IS NULL OR s.updated_at < %(at)s::bigint OR (s.updated_at = %(at)s::bigint"
    " AND s.name > %(name)s::text)) ORDER BY s.updated_at DESC, s.name LIMIT %(limit)s::bigint"
)
# A prefix with a slash has one kind. Its newest minutes come from an index, and are sorted each by itself.
_BY_RECENCY_OF_KIND: Final = (
    " AND pg_catalog.split_part(s.name, '/', 1) = %(kind)s::text"
    f" AND s.recent <= COALESCE(%(at)s::bigint >> 26, {2**62})" + _BY_RECENCY.replace("BY s.", "BY s.recent DESC, s.")
)
_OF_PREFIX: Final = (
    "s.name >= %(prefix)s::text AND (%(beyond)s::text IS NULL OR s.name < %(beyond)s::text)" + f" AND {ALIVE}"
)
_HAS_PAIRS: Final = (
    "(SELECT pg_catalog.count(*) FROM {schema}.labels AS l WHERE l.stream = s.id AND l.pair = ANY(%(pairs)b::bytea[]))"
    " = %(count)s::bigint"
)


def _lists(name: str, part: str) -> dict[str, str]:
    """Return the lists of one order: of all streams, of the first with labels, and of those with a rare label."""
    whole = f"SELECT {HEAD} FROM {{schema}}.streams AS s WHERE {_OF_PREFIX}{part}"
    _, by, order = part.rpartition(" ORDER BY ")
    # The planner takes any kind for a 200th of all streams, as the index of recency is partial. For thousands it would
    # read and sort the whole kind, and so a sub-select hides the number from it.
    most = "(SELECT %(first)s::bigint)" if "s.recent" in order else "%(first)s::bigint"
    first = whole.replace(HEAD, "s.*").replace("%(limit)s::bigint", most)
    return {
        name: whole,
        f"{name}_of_first": f"SELECT {HEAD} FROM ({first}) AS s WHERE {_HAS_PAIRS}{by}{order}",
        # OFFSET keeps the server from reading all streams in this order, up to those with the label.
        f"{name}_of_label": f"SELECT {HEAD} FROM {{schema}}.labels AS chosen CROSS JOIN LATERAL (SELECT *"
        " FROM {schema}.streams AS o WHERE o.id = chosen.stream OFFSET 0) AS s"
        f" WHERE chosen.pair = %(pair)b::bytea AND (CASE WHEN %(count)s::bigint = 1 THEN true ELSE {_HAS_PAIRS} END)"
        f" AND {_OF_PREFIX}{part}",
    }


LISTS: Final = {
    "count_label": "SELECT pg_catalog.count(*) FROM (SELECT 1 FROM {schema}.labels AS l WHERE l.pair = %b::bytea"
    " LIMIT %s::bigint) AS found",
    **_lists("by_name", _BY_NAME),
    **_lists("by_recency", _BY_RECENCY),
    **_lists("by_recency_of_kind", _BY_RECENCY_OF_KIND),
}
"""The statements by their names."""
