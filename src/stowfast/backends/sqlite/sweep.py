"""Removes garbage: found in a snapshot, removed in small transactions, so no writer waits for a sweep.

Garbage: expired streams, tombstones after a week, blobs without an entry, and the rows left by large deletions. A step
removes about `BATCH_ROWS` rows or `BATCH_BYTES` bytes at most, and checks its rows again under the write lock.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import OPERATIONS_REMEMBERED, Swept
from stowfast.backends.sqlite.places import places_of
from stowfast.backends.sqlite.recency import settling
from stowfast.backends.sqlite.removal import BATCH_BYTES, BATCH_ROWS
from stowfast.backends.sqlite.rows import HEAD_BY_ID, StreamRow
from stowfast.blocking import alone
from stowfast.errors import DamagedError, StowfastError
from stowfast.operator_log import tell_swept

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from stowfast.backends.sqlite.transaction import Transaction

__all__ = ["Find", "Step", "Sweeper", "all_garbage", "left_garbage", "would_sweep"]

Step = Callable[["Transaction"], tuple[Swept, bool]]
"""One transaction of a sweep: returns the removed amounts, and True if the same step has more to remove."""
Find = Callable[["sqlite3.Connection", int], list[Step]]

_DAY: Final = 86_400 * 1_000_000
_TOMBSTONES_LIVE: Final = 7 * _DAY
_UNLINKED_BLOBS_LIVE: Final = _DAY
_MOST_FOUND: Final = 10_000
_STREAMS_A_STEP: Final = 100
_ROWS_A_PAGE: Final = 8
_PAGE_BYTES: Final = 4_096
_NOTHING: Final = Swept(0, 0, 0)

_EXPIRED: Final = "SELECT id FROM streams WHERE expires_at <= ? LIMIT ?"
_DELETED: Final = (
    "SELECT id FROM streams WHERE incarnation IS NULL AND updated_at < ?"
    " AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.stream = streams.id) LIMIT ?"
)
_ORPHANED: Final = (
    "SELECT id FROM blobs WHERE written_at < ? AND NOT EXISTS (SELECT 1 FROM links WHERE links.blob = blobs.id) LIMIT ?"
)
_FORGOTTEN: Final = """
    SELECT operations.stream, key, committed_at, operations.next FROM operations
    JOIN streams ON streams.id = operations.stream WHERE operations.stream = ?
    AND (coalesce(operations.incarnation, streams.incarnation) IS NOT streams.incarnation OR NOT EXISTS (
        SELECT 1 FROM entries WHERE place >= (streams.id << 32) + max(operations.first, streams.first)
        AND place < (streams.id << 32) + operations.next
    )) ORDER BY committed_at DESC, operations.next DESC LIMIT -1 OFFSET ?
"""
"""The op_ids without stored entries, except the newest of them. None of them is needed later."""
_OF_DISCARDED: Final = {"links": "position, blob", "labels": "key", "operations": "key"}

_WOULD_EXPIRE: Final = (
    "SELECT count(*), coalesce(sum((SELECT sum(length(data)) FROM entries"
    " WHERE place >= id << 32 AND place < (id + 1) << 32)), 0)"
    " FROM streams WHERE expires_at <= :now"
)
_WOULD_COLLECT: Final = (
    "SELECT coalesce(sum(length(data)), 0) FROM garbage JOIN entries ON place >= (stream << 32)"
    " AND place < (stream << 32) + min(stop, 4294967296)"
)
# A blob is an orphan as soon as only garbage refers to it.
_WOULD_ORPHAN: Final = (
    "SELECT count(*), coalesce(sum((SELECT sum(length(data)) FROM chunks WHERE blob = blobs.id)), 0)"
    " FROM blobs WHERE written_at < :day_ago AND NOT EXISTS (SELECT 1 FROM links JOIN streams"
    " ON streams.id = links.stream AND position >= first"
    " WHERE links.blob = blobs.id AND (expires_at IS NULL OR expires_at > :now))"
)


class Sweeper:
    """Runs sweeps: in the calling thread, or behind, in a thread of their own.

    Args:
        look: calls a function with a connection, in a snapshot.
        commit: runs a step in a transaction of its own.
        emptied: called after each round with a removal.
    """

    def __init__(
        self,
        look: Callable[[Find], list[Step]],
        commit: Callable[[Callable[[Transaction], Any]], Any],
        emptied: Callable[[], None],
    ) -> None:
        self._look = look
        self._commit = commit
        self._emptied = emptied
        self._lock = threading.RLock()  # a finalizer may ask while its thread asks
        self._turn = threading.RLock()
        self._wanted: list[Find] = []
        self._thread: threading.Thread | None = None
        self._closing = False

    def begin(self, find: Find) -> None:
        """Sweep behind. Where no thread can be had, the garbage waits for the next sweep."""
        with self._lock, suppress(RuntimeError):
            if self._closing:
                return
            if find not in self._wanted:
                self._wanted.append(find)
            if self._thread is None:
                thread = threading.Thread(target=self._serve, name="stowfast-sweep", daemon=True)
                thread.start()
                self._thread = thread

    def run(self, find: Find) -> Swept:
        """Sweep here, after a running sweep and in place of a waiting one, and return the removed amounts."""
        with alone(self._turn):
            with self._lock:
                self._wanted = [wanted for wanted in self._wanted if wanted is not find]
            return self._sweep(find)

    def _sweep(self, find: Find) -> Swept:
        total, changed = _NOTHING, True
        while changed:
            changed = False
            for swept, rows in self._steps(find):
                total = Swept(*map(sum, zip(total, swept, strict=True)))
                changed = changed or rows > 0
                # After a step, so each opening removes something. A deletion is carried out to its end.
                if self._closing and find is not left_garbage:
                    return total
            if changed:
                self._emptied()
        return total

    def _steps(self, find: Find) -> Iterator[tuple[Swept, int]]:
        for step in self._look(find):
            more = True
            while more:
                swept, more, rows = self._commit(partial(_counted, step))
                yield swept, rows

    def close(self) -> None:
        """End the sweep after its current step."""
        with self._lock:
            self._closing = True
            thread = self._thread
        if thread is not None:
            thread.join()

    def _serve(self) -> None:
        while True:
            with self._turn:
                with self._lock:
                    if not self._wanted:
                        self._thread = None
                        return
                    find = self._wanted.pop(0)
                with suppress(StowfastError):  # the rest stays for the next sweep
                    tell_swept(self._sweep(find))


def _counted(step: Step, transaction: Transaction) -> tuple[Swept, bool, int]:
    before = transaction.changes
    swept, more = step(transaction)
    rows = transaction.changes - before
    # A removed row is overwritten, so the log grows by its page: the sweep folds it, and not the next writer.
    transaction.pages += (rows + _ROWS_A_PAGE - 1) // _ROWS_A_PAGE + swept.bytes // _PAGE_BYTES
    return swept, more, rows


def all_garbage(connection: sqlite3.Connection, now: int) -> list[Step]:
    """Return steps against the garbage of a snapshot, or some of it."""
    steps = left_garbage(connection, now)
    expired = _ids(connection, _EXPIRED, now)
    steps += [partial(_expire, ids) for ids in _in_groups(expired)]
    if not steps:  # while there is garbage, its ids must not be given anew
        deleted = _ids(connection, _DELETED, now - _TOMBSTONES_LIVE)
        steps += [partial(_remove_tombstones, ids) for ids in _in_groups(deleted)]
    orphaned = _ids(connection, _ORPHANED, now - _UNLINKED_BLOBS_LIVE)
    return steps + [partial(_remove_blobs, ids) for ids in _in_groups(orphaned)]


def left_garbage(connection: sqlite3.Connection, now: int) -> list[Step]:
    """Return steps against the rows left by large deletions, after those that settle active streams."""
    steps: list[Step] = settling(connection)
    for stream, stop in connection.execute("SELECT stream, stop FROM garbage LIMIT ?", (_MOST_FOUND,)).fetchall():
        forgotten = connection.execute(_FORGOTTEN, (stream, OPERATIONS_REMEMBERED)).fetchall()
        steps += [
            partial(_forget, forgotten[start : start + BATCH_ROWS]) for start in range(0, len(forgotten), BATCH_ROWS)
        ]
        steps += (partial(_collect, stream), partial(_finish, stream, stop))
    return steps


def would_sweep(connection: sqlite3.Connection, now: int) -> Swept:
    """Return the amounts of a sweep, without one."""
    times = {"now": now, "day_ago": now - _UNLINKED_BLOBS_LIVE}
    streams, entries = connection.execute(_WOULD_EXPIRE, times).fetchone()
    (left,) = connection.execute(_WOULD_COLLECT).fetchone()
    blobs, chunks = connection.execute(_WOULD_ORPHAN, times).fetchone()
    return Swept(streams, blobs, entries + left + chunks)


def _ids(connection: sqlite3.Connection, query: str, moment: int) -> list[int]:
    return [row[0] for row in connection.execute(query, (moment, _MOST_FOUND))]


def _in_groups(ids: Sequence[int]) -> list[Sequence[int]]:
    return [ids[start : start + _STREAMS_A_STEP] for start in range(0, len(ids), _STREAMS_A_STEP)]


def _expire(streams: Sequence[int], transaction: Transaction) -> tuple[Swept, bool]:
    """End expired streams, until enough was removed in one transaction."""
    ended = size = 0
    before = transaction.changes
    for stream in streams:
        removed = transaction.expire(stream)
        if removed is not None:
            ended, size = ended + 1, size + removed
        if transaction.changes - before > BATCH_ROWS or size > BATCH_BYTES:
            return Swept(ended, 0, size), True
    return Swept(ended, 0, size), False


def _remove_tombstones(streams: Sequence[int], transaction: Transaction) -> tuple[Swept, bool]:
    week_ago = transaction.now - _TOMBSTONES_LIVE
    for stream in streams:
        gone = transaction.execute(
            "DELETE FROM streams WHERE id = ? AND incarnation IS NULL AND updated_at < ?"
            " AND NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.stream = streams.id)"
            " AND NOT EXISTS (SELECT 1 FROM garbage)",
            (stream, week_ago),
        )
        if gone.rowcount == 1:
            transaction.execute("DELETE FROM operations WHERE stream = ?", (stream,))
    return _NOTHING, False


def _remove_blobs(blobs: Sequence[int], transaction: Transaction) -> tuple[Swept, bool]:
    """Remove orphaned blobs, until enough was removed in one transaction."""
    removed = size = 0
    for blob in blobs:
        # Never whole again: no commit may link it, and no upload end it, though only some of its chunks are gone.
        orphan = transaction.execute(
            "UPDATE blobs SET whole = -1 WHERE id = ? AND written_at < ?"
            " AND NOT EXISTS (SELECT 1 FROM links WHERE links.blob = blobs.id)",
            (blob, transaction.now - _UNLINKED_BLOBS_LIVE),
        )
        if orphan.rowcount != 1:
            continue
        chunks = "SELECT rowid, length(data) FROM chunks WHERE blob = ? ORDER BY start"
        for row, length in transaction.execute(chunks, (blob,)).fetchall():
            if size + length > BATCH_BYTES and size:
                return Swept(0, removed, size), True
            transaction.execute("DELETE FROM chunks WHERE rowid = ?", (row,))
            size += length
        removed += transaction.execute("DELETE FROM blobs WHERE id = ?", (blob,)).rowcount
    return Swept(0, removed, size), False


def _collect(stream: int, transaction: Transaction) -> tuple[Swept, bool]:
    """Remove entries left by a large deletion, and, of a deleted stream, everything else."""
    execute = transaction.execute
    found = execute("SELECT stop FROM garbage WHERE stream = ?", (stream,)).fetchone()
    if found is None:
        return _NOTHING, False
    row = execute(HEAD_BY_ID, (stream,)).fetchone()
    stop, head = found[0], None
    if row is not None:
        try:
            head = StreamRow._make(row).head()
        except DamagedError:
            return _NOTHING, False
        stop = min(stop, head.first if head is not None else 0)  # whatever garbage says, a stream keeps its entries
    size, last = 0, None
    rows = "SELECT place & 4294967295, length(data) FROM entries WHERE place >= ? AND place < ? ORDER BY place LIMIT ?"
    for position, length in execute(rows, (*places_of(stream, 0, stop), BATCH_ROWS)).fetchall():
        if last is not None and size + length > BATCH_BYTES:
            break
        size, last = size + length, position
    if last is not None:
        if head is not None:
            transaction.operations.tell(stream, head.incarnation, 0, last + 1)
        execute("DELETE FROM links WHERE stream = ? AND position <= ?", (stream, last))
        execute("DELETE FROM entries WHERE place >= ? AND place < ?", places_of(stream, 0, last + 1))
        return Swept(0, 0, size), True
    if row is not None:
        return _NOTHING, False
    gone = 0
    for table, key in _OF_DISCARDED.items():
        gone += execute(
            f"DELETE FROM {table} WHERE stream = ? AND ({key}) IN"  # noqa: S608 - the names above
            f" (SELECT {key} FROM {table} WHERE stream = ? LIMIT ?)",
            (stream, stream, BATCH_ROWS),
        ).rowcount
    return _NOTHING, gone > 0


def _forget(operations: Sequence[tuple[object, ...]], transaction: Transaction) -> tuple[Swept, bool]:
    for operation in operations:
        transaction.execute(
            "DELETE FROM operations WHERE stream = ? AND key = ? AND committed_at = ? AND next = ?", operation
        )
    return _NOTHING, False


def _finish(stream: int, stop: int, transaction: Transaction) -> tuple[Swept, bool]:
    """Forget the garbage of a stream once it is removed. A deleted stream is one until its last blob is gone."""
    transaction.execute(
        "DELETE FROM garbage WHERE stream = ? AND stop = ?"
        " AND NOT EXISTS (SELECT 1 FROM entries WHERE place >= garbage.stream << 32 AND place < (garbage.stream << 32)"
        " + min(4294967296, coalesce((SELECT min(first, stop) FROM streams WHERE id = garbage.stream), stop)))"
        " AND (EXISTS (SELECT 1 FROM streams WHERE id = garbage.stream)"
        " OR NOT EXISTS (SELECT 1 FROM blobs WHERE blobs.stream = garbage.stream))",
        (stream, stop),
    )
    return _NOTHING, False
