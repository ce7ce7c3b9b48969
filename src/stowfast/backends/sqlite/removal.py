"""Removes the content of a stream inside a transaction, or leaves it as garbage where it is much.

A transaction with 300,000 removed rows holds the write lock for a second. So a large removal only makes the rows
unreachable: a deleted stream gets another id, and a dropped front lies below `first`. A row of the table `garbage`
names the rest for the sweep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.backends.sqlite.places import NEXT_STREAM, places_of

if TYPE_CHECKING:
    import sqlite3

    from stowfast.abc import Head
    from stowfast.backends.sqlite.operations import Operations

__all__ = ["BATCH_BYTES", "BATCH_ROWS", "CHANGES_BETWEEN_CLEANINGS", "Removal"]

BATCH_ROWS: Final = 1_000
"""The most rows removed in one transaction. More are left as garbage, for further transactions."""

BATCH_BYTES: Final = 4 * 2**20
"""The most bytes removed in one transaction, or one entry or chunk of any size."""

CHANGES_BETWEEN_CLEANINGS: Final = 1_024
"""After so many dropped positions, or so many revisions, the sweep forgets the op_ids without entries."""

_END: Final = 2**62
_EXTENT: Final = (
    "SELECT count(*), coalesce(sum(size), 0) FROM (SELECT length(data) AS size FROM entries"
    " WHERE place >= ? AND place < ? LIMIT ?)"
)


class Removal:
    """The removals of one connection."""

    def __init__(self, connection: sqlite3.Connection, operations: Operations) -> None:
        self._execute = connection.execute
        self._operations = operations
        self.left_garbage = False
        """A change left something for a sweep, since somebody set this to False."""

    def empty(self, stream: int, incarnation: str | None) -> tuple[int, int]:
        """Remove everything of a stream but its newest op_ids. Return its id from now on, and the removed bytes."""
        rows, size = self._extent(places_of(stream))
        rows += self._execute(
            "SELECT count(*) FROM (SELECT 1 FROM operations WHERE stream = ? LIMIT ?)", (stream, BATCH_ROWS)
        ).fetchone()[0]
        if rows > BATCH_ROWS or size > BATCH_BYTES:
            return self._discard(stream, incarnation), 0
        # Blobs stay for the sweep to remove in pieces: nobody can read them, nor link them in the next life.
        self._execute("UPDATE blobs SET whole = -1 WHERE stream = ? AND written_at = 0", (stream,))
        self._operations.keep_newest(stream, incarnation)
        self._execute("DELETE FROM entries WHERE place >= ? AND place < ?", places_of(stream))
        for table in ("links", "labels", "garbage"):
            self._execute(f"DELETE FROM {table} WHERE stream = ?", (stream,))  # noqa: S608 - the three names above
        return stream, size

    def _discard(self, stream: int, incarnation: str | None) -> int:
        """Give a stream another id: all rows under the former one are garbage at once, however many."""
        (new,) = self._execute(NEXT_STREAM).fetchone()
        self._execute("UPDATE streams SET id = ? WHERE id = ?", (new, stream))
        self._operations.move_newest(stream, incarnation, new)
        self._execute("UPDATE blobs SET stream = ? WHERE stream = ? AND written_at > 0", (new, stream))
        self.leave(stream, _END)
        return int(new)

    def leave(self, stream: int, stop: int) -> None:
        self._execute(
            "INSERT INTO garbage (stream, stop) VALUES (?, ?)"
            " ON CONFLICT (stream) DO UPDATE SET stop = max(stop, excluded.stop)",
            (stream, stop),
        )
        self.left_garbage = True

    def _extent(self, places: tuple[int, int]) -> tuple[int, int]:
        """Return the number of entries in a range and their bytes, and count no further than over `BATCH_ROWS`."""
        rows, size = self._execute(_EXTENT, (*places, BATCH_ROWS + 1)).fetchone()
        return int(rows), int(size)

    def remove(self, stream: int, head: Head, start: int, stop: int) -> Head:
        places = places_of(stream, start, stop)
        due = start // CHANGES_BETWEEN_CLEANINGS != stop // CHANGES_BETWEEN_CLEANINGS
        if stop <= head.first and (due or self._extent(places)[1] > BATCH_BYTES):
            # Readers see nothing below `first`, so a sweep can remove it, with the op_ids, in pieces.
            removed = stop - start
            if head.length != head.next - start:  # it has gaps
                removed = self._execute(
                    "SELECT count(*) FROM entries WHERE place >= ? AND place < ?", places
                ).fetchone()[0]
            self.leave(stream, stop)
        else:
            self._operations.tell(stream, head.incarnation, start, stop)
            links = "DELETE FROM links WHERE stream = ? AND position >= ? AND position < ?"
            self._execute(links, (stream, start, stop))
            removed = self._execute("DELETE FROM entries WHERE place >= ? AND place < ?", places).rowcount
        return head._replace(length=head.length - removed)
