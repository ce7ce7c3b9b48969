"""The receipts of op_ids, in the table `operations`.

The text of an op_id is stored once. While an entry of the call is stored, the entry has it, and the row of the call has
64 bits of its hash as the key. Before the entry is removed, the text goes into the row. The checksum of a row covers
the text, wherever it is. So two op_ids with the same hash would be a DamagedError, never a wrong receipt.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from stowfast.abc import OPERATIONS_REMEMBERED
from stowfast.backends.sqlite.places import places_of
from stowfast.backends.sqlite.rows import checksum_of, receipt_of

if TYPE_CHECKING:
    import sqlite3

    from stowfast.abc import Head, Receipt

__all__ = ["Operations", "key_of", "remembered_calls"]

_FIND: Final = (
    "SELECT coalesce(incarnation, ?), first, next, committed_at, checksum FROM operations WHERE stream = ? AND key = ?"
)
_ADD: Final = (
    "INSERT OR REPLACE INTO operations (stream, key, op_id, incarnation, first, next, committed_at, checksum)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_TELL: Final = "UPDATE operations SET op_id = ?, incarnation = ? WHERE stream = ? AND key = ? AND op_id IS NULL"
_IN_ENTRIES: Final = "SELECT op_id FROM entries WHERE place >= ? AND place < ? AND op_id IS NOT NULL"
_NEWEST: Final = "FROM operations WHERE stream = :stream ORDER BY committed_at DESC, next DESC LIMIT :kept"
_KEEP_NEWEST: Final = f"DELETE FROM operations WHERE stream = :stream AND key NOT IN (SELECT key {_NEWEST})"  # noqa: S608
_TEXT: Final = (
    "coalesce(op_id, (SELECT op_id FROM entries WHERE place >= (:stream << 32) + first"
    " AND place < (:stream << 32) + next AND op_id IS NOT NULL LIMIT 1))"
)
_TELL_ALL: Final = (
    f"UPDATE operations SET op_id = {_TEXT}, incarnation = coalesce(incarnation, :incarnation) WHERE stream = :stream"  # noqa: S608
)
_MOVE_NEWEST: Final = (
    "INSERT INTO operations (stream, key, op_id, incarnation, first, next, committed_at, checksum)"
    f" SELECT :new, key, {_TEXT}, coalesce(incarnation, :incarnation), first, next, committed_at, checksum {_NEWEST}"
)
_ALL: Final = (
    "SELECT op_id, coalesce(incarnation, ?), first, next, committed_at, checksum FROM operations WHERE stream = ?"
)


class Operations:
    """The receipts of one connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._execute = connection.execute

    def find(self, name: str, stream: int, incarnation: str | None, op_id: str) -> Receipt | None:
        """Return the receipt of an op_id. `incarnation` is that of the row of the stream.

        Raises:
            DamagedError: it is not as it was written.
        """
        row = self._execute(_FIND, (incarnation, stream, key_of(op_id))).fetchone()
        return None if row is None else receipt_of(name, op_id, row)

    def add(self, name: str, stream: int, op_id: str, receipt: Receipt, *, told: bool) -> None:
        """Remember a receipt. `told`: an entry of the stream has the op_id, and the stream has the incarnation."""
        known = (receipt.incarnation, receipt.first, receipt.next, receipt.committed_at)
        text = (None, None) if told else (op_id, receipt.incarnation)
        self._execute(_ADD, (stream, key_of(op_id), *text, *known[1:], checksum_of(name, op_id, *known)))

    def tell(self, stream: int, incarnation: str, start: int, stop: int) -> None:
        """Take over the op_ids of entries that are about to be removed."""
        for op_id in {row[0] for row in self._execute(_IN_ENTRIES, places_of(stream, start, stop))}:
            if type(op_id) is str:
                self._execute(_TELL, (op_id, incarnation, stream, key_of(op_id)))

    def keep_newest(self, stream: int, incarnation: str | None) -> None:
        """Forget all but the newest receipts of a stream, whose entries are about to be removed."""
        self._execute(_KEEP_NEWEST, {"stream": stream, "kept": OPERATIONS_REMEMBERED})
        self._execute(_TELL_ALL, {"stream": stream, "incarnation": incarnation})

    def move_newest(self, stream: int, incarnation: str | None, new: int) -> None:
        """Copy the newest receipts of a stream to its new id."""
        values = {"stream": stream, "incarnation": incarnation, "new": new, "kept": OPERATIONS_REMEMBERED}
        self._execute(_MOVE_NEWEST, values)


def remembered_calls(
    connection: sqlite3.Connection, name: str, stream: int, incarnation: str | None, head: Head | None
) -> dict[str, Receipt]:
    """Return the receipts that the entries of a stream do not tell.

    Raises:
        DamagedError: a receipt is not as it was written.
    """
    found: dict[str, Receipt] = {}
    for text, *fields in connection.execute(_ALL, (incarnation, stream)).fetchall():
        first, following = (one if type(one) is int else 0 for one in fields[1:3])
        entries = connection.execute(_IN_ENTRIES, places_of(stream, first, following)).fetchall()
        op_id = text if text is not None or not entries else entries[0][0]
        receipt = receipt_of(name, op_id, tuple(fields))
        told = 0
        if head is not None and receipt.incarnation == head.incarnation:
            readable = places_of(stream, max(first, head.first), following)
            told = sum(one == op_id for (one,) in connection.execute(_IN_ENTRIES, readable))
        if told < following - first or first == following:
            found[op_id] = receipt
    return found


def key_of(op_id: str) -> int:
    """Return the key of an op_id in the table `operations`."""
    digest = blake2b(op_id.encode("utf-8", "surrogateescape"), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
