"""One write transaction on the SQLite file: a change, a chunk of a blob, or a part of a sweep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stowfast.abc import OPERATIONS_REMEMBERED, Change, Head, Receipt, Swept
from stowfast.backends.sqlite.rows import HEAD, StreamRow
from stowfast.errors import ConflictError
from stowfast.names import new_id
from stowfast.semantics import apply, living, repeat

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

__all__ = ["BURIED", "EXPIRED", "ORPHANED", "Transaction", "sweep_times"]

DAY: Final = 86_400 * 1_000_000
_TOMBSTONES_LIVE: Final = 7 * DAY
_UNLINKED_BLOBS_LIVE: Final = DAY
_CHUNKS_A_SWEEP: Final = 16

_HEADS_REMEMBERED: Final = 1_000
_ENTRY_IF_STILL: Final = (
    "INSERT OR IGNORE INTO entries SELECT id, ?, ?, NULL, ? FROM streams"
    " WHERE id = ? AND incarnation = ? AND revision = ?"
)
_ENTRY: Final = "INSERT INTO entries VALUES (?, ?, ?, ?, ?)"

_FORGET = """
    DELETE FROM operations WHERE stream = :stream AND (incarnation IS NOT :incarnation OR next <= :lowest)
    AND op_id NOT IN (
        SELECT op_id FROM operations WHERE stream = :stream AND (incarnation IS NOT :incarnation OR next <= :lowest)
        ORDER BY committed_at DESC, next DESC LIMIT :remembered
    )
"""

EXPIRED: Final = "SELECT id FROM streams WHERE expires_at <= :now LIMIT 100"
BURIED: Final = (
    "SELECT id FROM streams WHERE incarnation IS NULL AND updated_at < :week_ago"
    " AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.stream = streams.id) LIMIT 100"
)
ORPHANED: Final = (
    "SELECT id FROM blobs WHERE written_at < :day_ago"
    " AND NOT EXISTS (SELECT 1 FROM links WHERE links.blob = blobs.id) LIMIT 1"
)


def sweep_times(now: int) -> dict[str, int]:
    """Return the times for the queries of a sweep."""
    return {"now": now, "week_ago": now - _TOMBSTONES_LIVE, "day_ago": now - _UNLINKED_BLOBS_LIVE}


class Transaction:
    """The work between `BEGIN` and `COMMIT`, one transaction after the other. The caller begins and commits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute
        self._connection = connection
        self._heads: dict[str, tuple[int, Head]] = {}
        self.now = 0
        """The moment of this transaction, microseconds since 1970."""
        self.pages = 0
        """About how many pages of the log were written since somebody set this to 0."""

    def commit(self, name: str, change: Change) -> Receipt:
        """Make one change. Our errors come before anything is written, so others in the group are not harmed."""
        if len(change.entries) == 1 and change.is_plain and (receipt := self._append(name, change)) is not None:
            return receipt
        found = self._execute(HEAD, (name,)).fetchone()
        row = None if found is None else StreamRow._make(found)
        stream = None if row is None else row.id
        if change.op_id is not None and stream is not None:
            known = self._execute(
                "SELECT incarnation, first, next, committed_at FROM operations WHERE stream = ? AND op_id = ?",
                (stream, change.op_id),
            ).fetchone()
            if known is not None:
                return repeat(Receipt(*known), change)
        stored = None if row is None else row.head()
        now = self.now
        if row is not None and living(stored, now) is None:
            # A new life begins after the old one ended, whatever the clock does: op_ids are remembered by time.
            now = max(now, (stored.updated_at if stored else row.updated_at) + 1)
        effect = apply(name, stored, change, now=now, incarnation=new_id)
        head, receipt = effect.head, effect.receipt
        blobs = self._find_blobs(name, stream, change, fresh=effect.fresh) if change.blobs else ()

        if stream is None:
            if head is None and change.op_id is None:
                return receipt
            stream = self._insert(name, head)
        elif effect.fresh:
            self._empty(stream)
        for start, stop in effect.remove:
            head = self._remove(stream, head, start, stop)
        self._add(stream, change, receipt)
        if blobs:
            self._link(stream, receipt, blobs)
        self._store(stream, stored, head, at=receipt.committed_at, fresh=effect.fresh)
        if change.op_id is not None:
            self._execute(
                "INSERT INTO operations VALUES (?, ?, ?, ?, ?, ?)",
                (stream, change.op_id, receipt.incarnation, receipt.first, receipt.next, receipt.committed_at),
            )
        self._remember(name, stream, head)
        return receipt

    def forget(self) -> None:
        """Forget the cached heads after a rollback."""
        self._heads.clear()

    def _append(self, name: str, change: Change) -> Receipt | None:
        # Most commits are plain appends to a stream that this process wrote to last. Its head is taken from memory, and
        # the INSERT asks whether that is still what the file has: the incarnation and the revision are the same, and
        # nobody has an entry at this position. Else nothing is written, and the head is read.
        remembered = self._heads.get(name)
        if remembered is None:
            return None
        stream, old = remembered
        effect = apply(name, old, change, now=self.now, incarnation=new_id)
        head, receipt = effect.head, effect.receipt
        if head is None or effect.fresh:
            return None
        data = change.entries[0]
        still = self._execute(
            _ENTRY_IF_STILL, (receipt.first, receipt.committed_at, data, stream, old.incarnation, old.revision)
        )
        if still.rowcount != 1:
            return None
        self._heads[name] = (stream, head)
        self.pages += 1 + len(data) // 3_000
        return receipt

    def _add(self, stream: int, change: Change, receipt: Receipt) -> None:
        self._connection.executemany(
            _ENTRY,
            [
                (stream, position, receipt.committed_at, change.op_id, data)
                for position, data in enumerate(change.entries, receipt.first)
            ],
        )
        self.pages += 2 + sum(map(len, change.entries)) // 3_000

    def _remember(self, name: str, stream: int, head: Head | None) -> None:
        if len(self._heads) >= _HEADS_REMEMBERED:
            self._heads.clear()
        if head is None:
            self._heads.pop(name, None)
        else:
            self._heads[name] = (stream, head)

    def begin_blob(self, name: str, blob: str) -> int:
        """Insert an empty blob beside a stream, which need not exist yet, and return the id of its row."""
        row = self._execute("SELECT id FROM streams WHERE name = ?", (name,)).fetchone()
        stream = row[0] if row else self._insert(name, None)
        cursor = self._execute(
            "INSERT INTO blobs (stream, name, size, written_at, whole) VALUES (?, ?, 0, ?, 0)",
            (stream, blob, self.now),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def write_chunks(
        self, blob: int, name: str, start: int, chunks: Sequence[bytes | memoryview], *, last: bool
    ) -> None:
        """Add the next pieces of a blob, the first of them at offset `start`; the last ones make it whole."""
        going_on = self._execute(
            "UPDATE blobs SET size = ?, whole = ? WHERE id = ? AND name = ? AND whole = 0",
            (start + sum(map(len, chunks)), last, blob, name),
        )
        if going_on.rowcount != 1:
            return  # an upload of more than a day, swept meanwhile: the commit that names it is told
        for chunk in chunks:
            self._execute("INSERT INTO chunks VALUES (?, ?, ?)", (blob, start, chunk))
            start += len(chunk)
            self.pages += 1 + len(chunk) // 3_000

    def sweep(self) -> tuple[Swept, bool]:
        """Remove a part of the garbage; True: there may be more."""
        times = sweep_times(self.now)
        expired = [row[0] for row in self._execute(EXPIRED, times)]
        size = 0
        for stream in expired:
            size += self._execute("SELECT total(length(data)) FROM entries WHERE stream = ?", (stream,)).fetchone()[0]
            self._empty(stream)
            self._bury(stream, self.now)
        buried = [row[0] for row in self._execute(BURIED, times)]
        for stream in buried:
            self._execute("DELETE FROM operations WHERE stream = ?", (stream,))
            self._execute("DELETE FROM streams WHERE id = ?", (stream,))
        orphans = 0
        orphan = self._execute(ORPHANED, times).fetchone()
        if orphan is not None:
            # Never whole again: no commit may link it, and no upload end it, though only some of its chunks are gone.
            self._execute("UPDATE blobs SET whole = -1 WHERE id = ?", orphan)
            some = "SELECT rowid, length(data) FROM chunks WHERE blob = ? LIMIT ?"
            chunks = self._execute(some, (*orphan, _CHUNKS_A_SWEEP)).fetchall()
            self._connection.executemany("DELETE FROM chunks WHERE rowid = ?", [(row,) for row, _ in chunks])
            size += sum(length for _, length in chunks)
            if len(chunks) < _CHUNKS_A_SWEEP:
                orphans = self._execute("DELETE FROM blobs WHERE id = ?", orphan).rowcount
        return Swept(len(expired), orphans, int(size)), bool(expired or buried or orphan)

    def _find_blobs(self, name: str, stream: int | None, change: Change, *, fresh: bool) -> list[int]:
        found = []
        for blob in change.blobs:
            row = self._execute(
                "SELECT id FROM blobs WHERE name = ? AND stream = ? AND whole = 1 AND (written_at > 0 OR NOT ?)",
                (blob, stream, fresh),
            ).fetchone()
            if row is None:
                raise ConflictError(f"{name!r}: a blob of this change is gone, write it again")
            found.append(row[0])
        return found

    def _link(self, stream: int, receipt: Receipt, blobs: Sequence[int]) -> None:
        for blob in blobs:
            self._execute("UPDATE blobs SET written_at = 0 WHERE id = ?", (blob,))
            for position in range(receipt.first, receipt.next):
                self._execute("INSERT OR IGNORE INTO links VALUES (?, ?, ?)", (stream, position, blob))

    def _insert(self, name: str, head: Head | None) -> int:
        cursor = self._execute(
            "INSERT INTO streams (name, incarnation, first, next, length, base, revision, created_at, updated_at,"
            " labels, note) VALUES (?, ?, 0, 0, 0, 0, 0, ?, ?, '{}', x'')",
            (name, head and head.incarnation, self.now, self.now),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def _empty(self, stream: int) -> None:
        # Blobs stay for the sweep to remove in pieces: nobody can read them, nor link them in the next life.
        self._execute("UPDATE blobs SET whole = -1 WHERE stream = ? AND written_at = 0", (stream,))
        for table in ("entries", "links", "labels"):
            self._execute(f"DELETE FROM {table} WHERE stream = ?", (stream,))  # noqa: S608 - the three names above
        self._forget(stream, None, 0)

    def _bury(self, stream: int, at: int) -> None:
        self._execute(
            "UPDATE streams SET incarnation = NULL, first = 0, next = 0, length = 0, base = 0, labels = '{}',"
            " note = x'', expires_at = NULL, updated_at = max(updated_at, ?) WHERE id = ?",
            (at, stream),
        )

    def _remove(self, stream: int, head: Head | None, start: int, stop: int) -> Head | None:
        window = (stream, start, stop)
        self._execute("DELETE FROM links WHERE stream = ? AND position >= ? AND position < ?", window)
        removed = self._execute(
            "DELETE FROM entries WHERE stream = ? AND position >= ? AND position < ?", window
        ).rowcount
        if head is None:
            return None
        self._forget(stream, head.incarnation, head.first)
        return head._replace(length=head.length - removed)

    def _forget(self, stream: int, incarnation: str | None, lowest: int) -> None:
        self._execute(
            _FORGET,
            {"stream": stream, "incarnation": incarnation, "lowest": lowest, "remembered": OPERATIONS_REMEMBERED},
        )

    def _store(self, stream: int, stored: Head | None, head: Head | None, *, at: int, fresh: bool) -> None:
        if head is None:
            self._bury(stream, at)
            return
        if stored is not None and not fresh and head.revision == stored.revision:
            return  # the entries say it all
        self._execute(
            "UPDATE streams SET incarnation = :incarnation, first = :first, next = :next, length = :length,"
            " base = :base, revision = :revision, labels = :labels, note = :note, created_at = :created_at,"
            " updated_at = :updated_at, expires_at = :expires_at WHERE id = :id",
            {**head._asdict(), "labels": msgspec.json.encode(head.labels).decode(), "id": stream},
        )
        if fresh or stored is None or head.labels != stored.labels:
            self._execute("DELETE FROM labels WHERE stream = ?", (stream,))
            self._connection.executemany(
                "INSERT INTO labels VALUES (?, ?, ?)", [(stream, *pair) for pair in head.labels.items()]
            )
