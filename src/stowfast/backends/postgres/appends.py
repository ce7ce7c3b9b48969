"""The appends of a batch, written by one statement for each table.

A statement of the driver costs 30 µs of Python, as much as all else of an append. The 64 appends of a busy batch
share three.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from stowfast.backends.postgres.checksums import checksum_of_entry, moved, seed_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from stowfast.abc import Change, Head, Receipt
    from stowfast.semantics import Effect

__all__ = ["Appends", "is_append", "moved_checksum"]


class _Row(NamedTuple):
    stream: int
    position: int
    created_at: int
    checksum: int
    op_id: str | None
    data: bytes


class Appends:
    """Appends to living streams that this transaction has locked, until `write`."""

    def __init__(self, execute: Callable[[str, Any], Any]) -> None:
        self._execute = execute
        self._heads: dict[int, tuple[int, int, int, int]] = {}
        """By the id of the row: the columns that an append changes, after the last one."""
        self._entries: list[_Row] = []
        self._calls: list[tuple[int, str, Receipt]] = []

    def add(self, id: int, head: Head, checksum: int, change: Change, receipt: Receipt) -> None:
        """Note an append. `head` and `checksum` are those after it."""
        self._heads[id] = head.next, head.length, head.updated_at, checksum
        op_id, at, seed = change.op_id, receipt.committed_at, seed_of(head.name, change.op_id)
        for position, data in enumerate(change.entries, receipt.first):
            checksum = checksum_of_entry(seed, data, position, at)
            self._entries.append(_Row(id, position, at, checksum, op_id, data))
        if op_id is not None:
            self._calls.append((id, op_id, receipt))

    def write(self) -> None:
        """Write the noted appends, in the turn of the wire of the next statements."""
        if not self._heads:
            return
        heads, entries, calls = self._heads, self._entries, self._calls
        self._heads, self._entries, self._calls = {}, [], []
        moved_columns = map(_integers, zip(*heads.values(), strict=True))
        self._execute("move_heads", [_integers(heads), *moved_columns, len(heads)])
        if entries:
            streams, positions, times, checksums, op_ids, data = map(list, zip(*entries, strict=True))
            integers = map(_integers, (streams, positions, times, checksums))
            self._execute("append_entries", [*integers, op_ids if calls else None, data, len(entries)])
        if calls:
            ids, names, receipts = zip(*calls, strict=True)
            numbers = zip(*((one.first, one.next, one.committed_at) for one in receipts), strict=True)
            lives = [one.incarnation for one in receipts]
            self._execute(
                "remember_appends", [_integers(ids), list(names), lives, *map(_integers, numbers), len(calls)]
            )


def is_append(before: Head, change: Change, effect: Effect) -> bool:
    """Return True if the effect of a change is that of an append, whatever its conditions were."""
    after = effect.head
    if after is None or effect.fresh or effect.remove or change.blobs or change.origin is not None:
        return False
    return after == before._replace(next=after.next, length=after.length, updated_at=after.updated_at)


def moved_checksum(checksum: int, before: Head, after: Head) -> int:
    """Return the checksum of a row of `streams` after an append, from the one before."""
    taken = moved(before.next, before.length, before.updated_at)
    return checksum ^ taken ^ moved(after.next, after.length, after.updated_at)


def _integers(numbers: Iterable[int]) -> str:
    """Return an array of integers as text: the driver would take a microsecond for each."""
    return "{" + ",".join(map(str, numbers)) + "}"
