"""One write transaction on the SQLite file: a change of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stowfast.backends.sqlite.blobs import find_blobs, link_blobs
from stowfast.backends.sqlite.operations import Operations
from stowfast.backends.sqlite.places import NEXT_STREAM, place_of
from stowfast.backends.sqlite.recency import Recency
from stowfast.backends.sqlite.removal import CHANGES_BETWEEN_CLEANINGS, Removal
from stowfast.backends.sqlite.rows import (
    HEAD,
    HEAD_BY_ID,
    StreamRow,
    entry_checksum,
    head_checksum,
    seed_of,
    tombstone_checksum,
)
from stowfast.errors import DamagedError
from stowfast.names import new_id
from stowfast.semantics import apply, ends_damaged, living, placed, repeat, told_calls

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from stowfast.abc import Change, Head, Origin, Receipt

__all__ = ["Transaction"]

_HEADS_REMEMBERED: Final = 1_000
_ENTRY: Final = "INSERT INTO entries (place, created_at, op_id, checksum, data) VALUES (?, ?, ?, ?, ?)"
_ENTRY_IF_STILL: Final = (
    "INSERT OR IGNORE INTO entries (place, created_at, op_id, checksum, data)"
    " SELECT ?, ?, NULL, ?, ? FROM streams WHERE id = ? AND incarnation = ? AND revision = ?"
    " AND EXISTS (SELECT 1 FROM active WHERE stream = streams.id)"
)


class Transaction:
    """The work between `BEGIN` and `COMMIT`, one transaction after the other. The caller begins and commits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.execute = connection.execute
        self._connection = connection
        self._heads: dict[str, tuple[int, Head, int]] = {}
        self.now = 0
        """The moment of this transaction, microseconds since 1970."""
        self.pages = 0
        """About how many pages of the log were written since somebody set this to 0."""
        self.changed: set[str] = set()
        """The streams with a change since somebody cleared this."""
        self.operations = Operations(connection)
        self.removal = Removal(connection, self.operations)
        self._recency = Recency(connection)

    @property
    def changes(self) -> int:
        """The number of inserted, updated and deleted rows of this connection."""
        return self._connection.total_changes

    def commit(self, name: str, change: Change) -> Receipt:
        """Make one change. A ConflictError or InvalidError comes before anything is written."""
        self.changed.add(name)
        if len(change.entries) == 1 and change.is_plain and (receipt := self._append(name, change)) is not None:
            return receipt
        found = self.execute(HEAD, (name,)).fetchone()
        row = None if found is None else StreamRow._make(found)
        stream = None if row is None else row.id
        if change.op_id is not None and row is not None and stream is not None:
            known = self.operations.find(name, stream, row.incarnation, change.op_id)
            if known is not None:
                return repeat(known, change)
        stored, now = self._stored(row, change)
        effect = apply(name, stored, change, now=now, incarnation=new_id)
        head, receipt = effect.head, effect.receipt
        blobs = find_blobs(self.execute, name, stream, change, fresh=effect.fresh) if change.blobs else ()

        if stream is None:
            if head is None and change.op_id is None:
                return receipt
            stream = self.insert(name)
        elif effect.fresh:
            stream, _ = self.removal.empty(stream, row.incarnation if row else None)
        for start, stop in effect.remove:
            assert head is not None
            head = self.removal.remove(stream, head, start, stop)
        self._add(stream, head, change, receipt)
        if blobs:
            link_blobs(self._connection, stream, [entry.position for entry in placed(change, receipt)], blobs)
        whole = effect.fresh or change.origin is not None
        self._store(name, stream, stored, head, at=receipt.committed_at, whole=whole)
        if stored is not None and head is not None and not effect.fresh and head.revision != stored.revision:
            self._leave_calls(stream, head, change)
        if change.origin is not None:
            self._remember_calls(name, stream, change.origin)
        if change.op_id is not None:
            told = head is not None and bool(change.entries)
            self.operations.add(name, stream, change.op_id, receipt, told=told)
        self._remember(name, stream, head)
        return receipt

    def forget(self) -> None:
        """Forget the cached heads after a rollback."""
        self._heads.clear()

    def expire(self, stream: int) -> int | None:
        """End an expired stream, and return its bytes; None: it lives, or its row is damaged."""
        found = self.execute(HEAD_BY_ID, (stream,)).fetchone()
        if found is None:
            return None
        try:
            head = StreamRow._make(found).head()
        except DamagedError:
            return None
        if head is None or living(head, self.now) is not None:
            return None
        stream, size = self.removal.empty(stream, head.incarnation)
        self._bury(head.name, stream, max(self.now, head.updated_at))
        self._heads.pop(head.name, None)
        return size

    def _stored(self, row: StreamRow | None, change: Change) -> tuple[Head | None, int]:
        """Return the stored head, and the moment of a change. A damaged head does not keep a stream from deletion."""
        if row is None:
            return None, self.now
        try:
            stored = row.head()
        except DamagedError:
            if not ends_damaged(change):
                raise
            return None, self.now
        if living(stored, self.now) is None:
            # A new life begins after the old one ended, whatever the clock does: op_ids are remembered by time.
            return stored, max(self.now, (stored.updated_at if stored else row.updated_at) + 1)
        return stored, self.now

    def _append(self, name: str, change: Change) -> Receipt | None:
        # Most commits are plain appends to a stream that this process wrote to last. Its head is taken from memory, and
        # the INSERT asks whether that is still what the file has: the incarnation and the revision are the same, and
        # nobody has an entry at this position. It also asks whether the stream is active, so that lists have it at its
        # place. Else nothing is written, and the head is read.
        remembered = self._heads.get(name)
        if remembered is None:
            return None
        stream, old, seed = remembered
        effect = apply(name, old, change, now=self.now, incarnation=new_id)
        head, receipt = effect.head, effect.receipt
        if head is None or effect.fresh:
            return None
        data, position, at = change.entries[0], receipt.first, receipt.committed_at
        place, checksum = place_of(stream, position), entry_checksum(seed, position, at, None, data)
        still = self.execute(_ENTRY_IF_STILL, (place, at, checksum, data, stream, old.incarnation, old.revision))
        if still.rowcount != 1:
            return None
        self._heads[name] = (stream, head, seed)
        self.pages += 1 + len(data) // 3_000
        return receipt

    def _add(self, stream: int, head: Head | None, change: Change, receipt: Receipt) -> None:
        entries = placed(change, receipt)
        if head is None or not entries:
            return
        seed = seed_of(head.name, head.incarnation)
        self.insert_all(
            _ENTRY,
            [
                (place_of(stream, one.position), one.created_at, one.op_id,
                 entry_checksum(seed, one.position, one.created_at, one.op_id, one.data), one.data)
                for one in entries
            ],
        )  # fmt: skip
        self.pages += 2 + sum(len(one.data) for one in entries) // 3_000

    def _remember_calls(self, name: str, stream: int, origin: Origin) -> None:
        told = {entry.op_id for entry in origin.entries}
        for op_id, receipt in told_calls(origin).items():
            here = op_id in told and receipt.incarnation == origin.head.incarnation
            self.operations.add(name, stream, op_id, receipt, told=here)

    def insert_all(self, statement: str, rows: Sequence[tuple[object, ...]]) -> None:
        inserted = self._connection.executemany(statement, rows).rowcount
        if inserted != len(rows):
            raise DamagedError(f"of {len(rows):,} rows the file took {inserted:,}: it has a trigger that is not ours")

    def _remember(self, name: str, stream: int, head: Head | None) -> None:
        if len(self._heads) >= _HEADS_REMEMBERED:
            self._heads.clear()
        if head is None:
            self._heads.pop(name, None)
        else:
            self._heads[name] = (stream, head, seed_of(name, head.incarnation))

    def insert(self, name: str) -> int:
        """Insert a tombstone, and return the id of its row."""
        (id,) = self.execute(NEXT_STREAM).fetchone()
        self.execute(
            "INSERT INTO streams (id, name, incarnation, first, next, length, base, revision, labels, note, created_at,"
            " updated_at, checksum) VALUES (?, ?, NULL, 0, 0, 0, 0, 0, '{}', x'', ?, ?, 0)",
            (id, name, self.now, self.now),
        )
        self._bury(name, id, self.now)
        return int(id)

    def _bury(self, name: str, stream: int, at: int) -> None:
        self.execute(
            "UPDATE streams SET incarnation = NULL, first = 0, next = 0, length = 0, base = 0, revision = 0,"
            " labels = '{}', note = x'', expires_at = NULL, created_at = ?, updated_at = ?, checksum = ?,"
            " listed_at = NULL WHERE id = ?",
            (at, at, tombstone_checksum(stream, name, at), stream),
        )

    def _store(self, name: str, stream: int, stored: Head | None, head: Head | None, *, at: int, whole: bool) -> None:
        if head is None:
            self._bury(name, stream, at)
            return
        begun = whole or stored is None
        if stored is not None and not begun:
            changed = (head.next, head.updated_at) != (stored.next, stored.updated_at)
            if changed and self._recency.mark(stream):
                self.removal.left_garbage = True
            if head.revision == stored.revision:
                return  # the entries say it all
        labels = "{}" if not head.labels else msgspec.json.encode(head.labels).decode()
        self.execute(
            "UPDATE streams SET incarnation = :incarnation, first = :first, next = :next, length = :length,"
            " base = :base, revision = :revision, labels = :labels, note = :note, created_at = :created_at,"
            " updated_at = :updated_at, expires_at = :expires_at, checksum = :checksum,"
            " listed_at = CASE WHEN :begun THEN :updated_at ELSE listed_at END WHERE id = :id",
            {
                **head._asdict(),
                "labels": labels,
                "checksum": head_checksum(stream, head, labels),
                "id": stream,
                "begun": begun,
            },
        )
        if stored is None or begun or head.labels != stored.labels:
            self.execute("DELETE FROM labels WHERE stream = ?", (stream,))
            self.insert_all(
                "INSERT INTO labels (stream, key, value) VALUES (?, ?, ?)",
                [(stream, *pair) for pair in head.labels.items()],
            )

    def _leave_calls(self, stream: int, head: Head, change: Change) -> None:
        """Leave op_ids without entries to the sweep, such as those of undone ones. A stream that begins has none."""
        if change.origin is not None and not change.origin.calls:
            return  # an import, whose revisions are all multiples
        if head.revision and head.revision % CHANGES_BETWEEN_CLEANINGS == 0:
            self.removal.leave(stream, head.first)
