"""One write transaction: locks the heads of its streams, makes the changes with `apply`, and stores the effects.

Heads are locked in the order of their names, so that two transactions never wait for each other.
Source: https://www.postgresql.org/docs/current/explicit-locking.html#LOCKING-DEADLOCKS
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stowfast.abc import OPERATIONS_REMEMBERED, Change, Head, Receipt
from stowfast.backends.postgres.appends import Appends, is_append, moved_checksum
from stowfast.backends.postgres.checksums import checksum_of_entry, seed_of
from stowfast.backends.postgres.removal import StreamRemoval
from stowfast.backends.postgres.rows import StoredRow, columns_of, pairs_of
from stowfast.errors import ConflictError, DamagedError, InvalidError, StowfastError
from stowfast.names import new_id
from stowfast.semantics import apply, ends_damaged, living, repeat, told_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from stowfast.abc import Entry, Origin
    from stowfast.backends.postgres.statements import Statements
    from stowfast.semantics import Effect

__all__ = ["BatchTransaction", "RaceError"]

_CHANGES_BETWEEN_CLEANINGS: Final = 1_024


class RaceError(Exception):
    """Another transaction began the same stream. Roll back, and run the transaction again."""


class _LockedStream(NamedTuple):
    """A stream of this transaction, after the changes so far."""

    id: int | None
    """None: it has no row yet."""
    head: Head | None
    """As stored, expired or not; None: a tombstone, or no row."""
    updated_at: int
    checksum: int
    """Of the row."""


_NO_ROW: Final = _LockedStream(None, None, 0, 0)


class BatchTransaction:
    """The work between `BEGIN` and `COMMIT`. The caller begins and commits."""

    def __init__(
        self, connection: psycopg.Connection[Any], statements: Statements, pipeline: psycopg.Pipeline | None = None
    ) -> None:
        self._connection = connection
        self._pipeline = pipeline
        self._statements = statements
        self._streams: dict[str, _LockedStream] = {}
        self._damaged: dict[str, tuple[int, DamagedError]] = {}
        """Row id and error of each damaged stream."""
        self._receipts: dict[tuple[str, str], Receipt] = {}
        self._begun: dict[str, int] = {}
        """The ids of rows that this transaction inserted and has not used yet."""
        self._now = 0
        self._appends = Appends(self._execute)
        self.removal = StreamRemoval(self._execute)

    def run(self, works: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        """Make changes, and return the receipt or the refusal of each. A refused change stores nothing.

        Raises:
            RaceError: another transaction began one of the streams.
        """
        self._lock(works)
        if fresh := {name for name, change in works if name not in self._streams and _needs_row(name, change)}:
            self._begun = self._insert(sorted(fresh - self._damaged.keys()))
        outcomes: dict[int, Receipt | StowfastError] = {}
        # By name, for new rows are inserted in the order of locks; the order of one stream's changes stays.
        for number in sorted(range(len(works)), key=lambda number: works[number][0]):
            try:
                outcomes[number] = self._make(*works[number])
            except (ConflictError, InvalidError, DamagedError) as error:
                outcomes[number] = error
        self._appends.write()
        return [outcomes[number] for number in range(len(works))]

    def expire(self, row: StoredRow) -> None:
        """Delete an expired stream whose row this transaction has locked."""
        at = self._clock()
        self._bury(self._empty(row.id, row.name), row.name, at)

    def drain(self, row: StoredRow) -> None:
        """Remove some content of garbage whose row this transaction has locked."""
        self.removal.drain(row, self._clock())

    def _clock(self) -> int:
        self._now = _number(self._execute("now"))
        return self._now

    def _execute(self, name: str, values: Any = None) -> psycopg.Cursor[Any]:
        return self._connection.execute(self._statements[name], values, binary=name in _BINARY)

    def _turn(self) -> None:
        # Without it the server takes a process that stands still for one that goes on sending, and has no bound for it.
        if self._pipeline is not None:
            self._pipeline.sync()

    def _lock(self, works: Sequence[tuple[str, Change]]) -> None:
        names = sorted({name for name, _ in works})
        calls = [(name, change.op_id) for name, change in works if change.op_id is not None]
        # One statement after the other: each sees the rows of its beginning, and the lock may have been waited for.
        locked, now, known = self._execute("lock", [names]), self._execute("now"), None
        if calls:
            known = self._execute("operations", [[name for name, _ in calls], [op_id for _, op_id in calls]])
        self._turn()
        rows = [StoredRow._make(row) for row in locked]
        for row in rows:
            try:
                self._streams[row.name] = _LockedStream(row.id, row.head(), row.updated_at, row.checksum)
            except DamagedError as error:  # the other streams of the batch are sound
                self._damaged[row.name] = row.id, error
        self._now = _number(now)
        if known is not None:
            self._receipts = {(name, op_id): Receipt(*fields) for name, op_id, *fields in known}

    def _make(self, name: str, change: Change) -> Receipt:
        if name in self._damaged:
            self._end_damaged(name, change)
        if change.op_id is not None and (known := self._receipts.get((name, change.op_id))) is not None:
            return repeat(known, change)
        stream = self._streams.get(name, _NO_ROW)
        now = self._now
        if stream.id is not None and living(stream.head, now) is None:
            # A new life begins after the old one ended, whatever the clock does: op_ids are remembered by time.
            now = max(now, stream.updated_at + 1)
        effect = apply(name, stream.head, change, now=now, incarnation=new_id)
        if stream.id is not None and stream.head is not None and is_append(stream.head, change, effect):
            self._streams[name] = self._append(stream.id, stream.head, stream.checksum, change, effect)
        else:
            self._appends.write()  # this change may remove their entries
            self._write(name, stream, change, effect)
        if change.op_id is not None:
            self._receipts[name, change.op_id] = effect.receipt
        return effect.receipt

    def _append(self, id: int, before: Head, checksum: int, change: Change, effect: Effect) -> _LockedStream:
        after = before if effect.head is None else effect.head
        checksum = moved_checksum(checksum, before, after)
        self._appends.add(id, after, checksum, change, effect.receipt)
        return _LockedStream(id, after, after.updated_at, checksum)

    def _write(self, name: str, stream: _LockedStream, change: Change, effect: Effect) -> None:
        head, receipt = effect.head, effect.receipt
        blobs = self._find_blobs(name, change, fresh=effect.fresh) if change.blobs else []
        id = stream.id
        if id is None:
            if head is None and change.op_id is None:
                return
            id = self._begun.pop(name, None)
            if id is None:
                id = self._insert([name])[name]
        elif effect.fresh:
            id = self._empty(id, name)
        for start, stop in effect.remove:
            assert head is not None
            self._execute("remove_links", [id, start, stop])
            head = head._replace(length=head.length - _number(self._execute("remove_entries", [id, start, stop])))
        if head is not None and change.entries:
            entries, at, seed = list(change.entries), receipt.committed_at, seed_of(name, change.op_id)
            sums = [checksum_of_entry(seed, data, place, at) for place, data in enumerate(entries, receipt.first)]
            self._execute("add_entries", [id, receipt.first, at, change.op_id, sums, entries, len(entries)])
            if blobs:
                self._execute("mark_linked", [blobs])
                self._execute("link_blobs", [id, receipt.first, receipt.next, blobs])
        if head is not None and change.origin is not None:
            self._place(id, name, change.origin, blobs)
        checksum = self._store(id, name, stream.head, head, fresh=effect.fresh, at=receipt.committed_at)
        if change.op_id is not None:
            self._execute(
                "remember", [id, change.op_id, receipt.incarnation, receipt.first, receipt.next, receipt.committed_at]
            )
        self._streams[name] = _LockedStream(id, head, head.updated_at if head else receipt.committed_at, checksum)

    def _end_damaged(self, name: str, change: Change) -> None:
        """Take a damaged stream for a deleted one if the change ends it, or raise its error."""
        id, error = self._damaged[name]
        if not ends_damaged(change):
            raise error
        self._streams[name] = _LockedStream(id, None, 0, 0)
        del self._damaged[name]

    def _place(self, id: int, name: str, origin: Origin, blobs: Sequence[int]) -> None:
        """Store the entries and the receipts of an origin."""
        entries, calls = origin.entries, told_calls(origin)
        columns = zip(*(_row_of(name, one) for one in entries), strict=True)
        if entries:
            self._execute("place_entries", [id, *map(list, columns), len(entries)])
        if calls:
            told = zip(*((op_id, *receipt[:4]) for op_id, receipt in calls.items()), strict=True)
            self._execute("remember_calls", [id, *map(list, told), len(calls)])
        if blobs:
            self._execute("mark_linked", [blobs])
            for entry in entries:
                self._execute("link_blobs", [id, entry.position, entry.position + 1, blobs])

    def _find_blobs(self, name: str, change: Change, *, fresh: bool) -> list[int]:
        found = {blob: (id, written) for id, blob, written in self._execute("find_blobs", [list(change.blobs), name])}
        for blob in change.blobs:
            if blob not in found or (fresh and found[blob][1] == 0):
                raise ConflictError(f"{name!r}: a blob of this change is gone, write it again")
        return [found[blob][0] for blob in change.blobs]

    def _insert(self, names: Sequence[str]) -> dict[str, int]:
        """Insert rows of streams, in the order of their names, as tombstones, and return their ids."""
        rows = self._execute("insert_streams", self._graves(names))
        self._turn()
        found = dict(rows.fetchall())
        if len(found) < len(names):
            raise RaceError
        return found

    def insert_if_missing(self, name: str) -> None:
        """Insert the row of a stream, as a tombstone, unless it is there."""
        self._clock()
        self._execute("insert_streams", self._graves([name]))

    def _graves(self, names: Sequence[str]) -> list[Any]:
        checksums = [columns_of(name, None, self._now)["checksum"] for name in names]
        return [self._now, self._now, list(names), checksums]

    def _empty(self, id: int, name: str) -> int:
        return self.removal.empty(id, name, self._now, lambda name: self._insert([name])[name])

    def _bury(self, id: int, name: str, at: int) -> None:
        self._execute("store_head", {**columns_of(name, None, at), "id": id})

    def _store(self, id: int, name: str, before: Head | None, head: Head | None, *, fresh: bool, at: int) -> int:
        """Store a head or a tombstone, and return the checksum of the row."""
        columns = columns_of(name, head, at)
        self._execute("store_head", {**columns, "id": id})
        checksum: int = columns["checksum"]
        if head is None:
            return checksum
        if fresh or before is None or head.labels != before.labels:
            self._execute("remove_labels", [id])
            if head.labels:
                self._execute("add_labels", [id, pairs_of(head.labels)])
        if head.revision and head.revision % _CHANGES_BETWEEN_CLEANINGS == 0:
            self._execute("forget", {"id": id, "kept": OPERATIONS_REMEMBERED})
        return checksum


def _needs_row(name: str, change: Change) -> bool:
    """Return True if this change begins a stream that has no row: all rows of a batch are inserted in one turn."""
    if change.blobs:
        return False
    try:
        head = apply(name, None, change, now=1, incarnation=str).head
    except StowfastError:
        return False
    return head is not None or change.op_id is not None


def _row_of(stream: str, entry: Entry) -> tuple[int, int, int, str | None, bytes]:
    checksum = checksum_of_entry(seed_of(stream, entry.op_id), entry.data, entry.position, entry.created_at)
    return entry.position, entry.created_at, checksum, entry.op_id, entry.data


def _number(cursor: psycopg.Cursor[Any]) -> int:
    row = cursor.fetchone()
    assert row is not None
    return int(row[0])


_BINARY: Final = frozenset({"lock"})
"""Statements whose rows come as bytes: text would cost four times as much for a large note."""
