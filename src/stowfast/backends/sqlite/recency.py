"""The order of streams by their last change: an index, and the few streams that it does not have right.

`streams_recent` holds every stream at `listed_at`, a moment of its past. The table `active` names the streams that may
have changed since: at most about `ACTIVE_MOST` of them. So an append to an active stream writes its entry and nothing
else, and a list by recency reads the top of the index and the few active streams. A sweep settles the longest unchanged
of them: it writes their rows anew, at their true place in the index.

No message depends on this table, and it has no checksum. A stream that is in it for no reason costs a look. One that is
missing has an old place in lists until its next change, and a compaction finds it. One that the index does not have
either comes at the end of a list.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Swept
from stowfast.backends.sqlite.rows import HEAD_BY_ID, StreamRow, head_checksum
from stowfast.errors import DamagedError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from stowfast.backends.sqlite.transaction import Transaction

__all__ = ["ACTIVE_MOST", "LAST_CHANGE", "Recency", "rebuild", "settling"]

ACTIVE_MOST: Final = 1_000
"""With more active streams a sweep settles some. A list by recency looks at each of them: 2 to 4 ms in all."""

_ACTIVE_LEFT: Final = ACTIVE_MOST // 2
_NEW_BETWEEN_COUNTS: Final = 100
_MOST_FOUND: Final = 10_000
_STREAMS_A_STEP: Final = 100
_PAGES_A_STREAM: Final = 3

LAST_CHANGE: Final = (
    "max({0}, CAST(updated_at AS INTEGER), coalesce((SELECT CAST(created_at AS INTEGER) FROM entries"
    " WHERE place >= id << 32 AND place < (id + 1) << 32 ORDER BY place DESC LIMIT 1), {0}))"
)
"""Selects the moment of the last change of a row of `streams`, and at least the field."""

_LAST_CHANGE: Final = LAST_CHANGE.format(0)
_MARK: Final = "INSERT OR IGNORE INTO active (stream) VALUES (?)"
_COUNT: Final = "SELECT count(*) FROM active"
_QUIET: Final = " ".join(
    (
        "SELECT stream FROM active LEFT JOIN streams ON id = stream ORDER BY CASE WHEN incarnation IS NOT NULL THEN",
        _LAST_CHANGE,
        "END LIMIT ?",
    )
)
"""The streams without an incarnation first, then those that changed the longest ago."""
_SETTLE: Final = (
    "UPDATE streams SET next = ?, length = ?, updated_at = ?, checksum = ?, listed_at = ? WHERE id = ? AND revision = ?"
)
_FIND_LOST: Final = " ".join(
    (
        "INSERT OR IGNORE INTO active (stream) SELECT id FROM streams",
        "WHERE incarnation IS NOT NULL AND id > 0 AND listed_at IS NOT",
        _LAST_CHANGE,
    )
)


class Recency:
    """The active streams, for the write transactions of one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._new = 0

    def mark(self, stream: int) -> bool:
        """Note a change of a stream. True if a sweep shall settle some streams now."""
        if self._execute(_MARK, (stream,)).rowcount != 1:
            return False
        self._new += 1
        if self._new < _NEW_BETWEEN_COUNTS:
            return False
        self._new = 0
        return _count(self._execute) > ACTIVE_MOST


def settling(connection: sqlite3.Connection) -> list[Callable[[Transaction], tuple[Swept, bool]]]:
    """Return the steps that settle streams, where more than `ACTIVE_MOST` are active."""
    count = _count(connection.execute)
    if count <= ACTIVE_MOST:
        return []
    most = min(count - _ACTIVE_LEFT, _MOST_FOUND)
    ids = [row[0] for row in connection.execute(_QUIET, (most,))]
    return [partial(_settle, ids[start : start + _STREAMS_A_STEP]) for start in range(0, len(ids), _STREAMS_A_STEP)]


def rebuild(connection: sqlite3.Connection) -> None:
    """Write the index anew, and make every stream active that has another place in it than its last change gives."""
    connection.execute("REINDEX streams_recent")
    connection.execute(_FIND_LOST)


def _settle(streams: Sequence[int], transaction: Transaction) -> tuple[Swept, bool]:
    for stream in streams:
        found = transaction.execute(HEAD_BY_ID, (stream,)).fetchone()
        if found is not None:
            _list_anew(StreamRow._make(found), transaction)
        transaction.execute("DELETE FROM active WHERE stream = ?", (stream,))
    transaction.pages += _PAGES_A_STREAM * len(streams)
    return Swept(0, 0, 0), False


def _list_anew(row: StreamRow, transaction: Transaction) -> None:
    try:
        head = row.head()
    except DamagedError:
        return  # a list shows it, at its old place
    if head is not None:
        checksum = head_checksum(row.id, head, row.labels)
        at = head.updated_at
        transaction.execute(_SETTLE, (head.next, head.length, at, checksum, at, row.id, head.revision))


def _count(execute: Callable[[str], Any]) -> int:
    (count,) = execute(_COUNT).fetchone()
    return int(count)
