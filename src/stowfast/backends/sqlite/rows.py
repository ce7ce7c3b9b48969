"""Rows of the SQLite file as heads and entries, each checked on every read.

SQLite keeps no checksum of its pages, so each row of `streams`, `entries` and `operations` has one of its own: a CRC-32
(https://www.rfc-editor.org/rfc/rfc1952#section-8) of its values, bound to the name of its stream. The checksum of an
entry is also bound to the incarnation, so that no entry of another stream or of a deleted incarnation is returned.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar
from zlib import crc32

import msgspec

from stowfast.abc import Entry, Head, Receipt
from stowfast.errors import DamagedError
from stowfast.names import MAX_MOMENT, MIN_MOMENT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "HEAD",
    "HEAD_BY_ID",
    "HEAD_COLUMNS",
    "LAST_ENTRY",
    "StreamRow",
    "checked",
    "checksum_of",
    "decode_text",
    "entries_of",
    "entry_checksum",
    "head_checksum",
    "receipt_of",
    "seed_of",
    "tombstone_checksum",
]

HEAD_COLUMNS: Final = (
    "name, incarnation, first, next, length, base, revision, labels, note, streams.created_at, updated_at, expires_at,"
    " streams.checksum, streams.id, last.place - (streams.id << 32), last.created_at, last.op_id, last.checksum"
)
LAST_ENTRY: Final = (
    "LEFT JOIN entries AS last ON last.place >= streams.id << 32"
    " AND last.place = (SELECT max(place) FROM entries WHERE place < (streams.id + 1) << 32)"
)
HEAD: Final = " ".join(("SELECT", HEAD_COLUMNS, "FROM streams", LAST_ENTRY, "WHERE name = ?"))
"""Selects a `StreamRow`.

A plain append writes its entry and leaves the row of its stream as it was: half the pages. The row therefore holds the
state after the last change of another kind. The last entry holds the rest, since plain appends leave no gap.
"""
HEAD_BY_ID: Final = HEAD.replace("WHERE name = ?", "WHERE streams.id = ?")

MAX_NUMBER: Final = 2**62
"""The largest position, length and revision."""

R = TypeVar("R")

_pack = struct.Struct("<qqI").pack
_encode = msgspec.msgpack.Encoder().encode
_decode_labels = msgspec.json.Decoder(dict[str, str]).decode
_WRONG = (AttributeError, TypeError, ValueError, OverflowError, struct.error, msgspec.MsgspecError)
"""The errors of a value of another type, or out of its bounds."""


class StreamRow(NamedTuple):
    """One row of the `HEAD` query, in the order of its columns."""

    name: str
    incarnation: str | None
    """None: the stream was deleted, and the row is a tombstone."""
    first: int
    next: int
    length: int
    base: int
    revision: int
    labels: str
    note: bytes
    created_at: int
    updated_at: int
    expires_at: int | None
    checksum: int
    id: int
    last_position: Any
    """None: the stream has no entries. Likewise in the fields below."""
    last_created_at: Any
    last_op_id: Any
    last_checksum: Any

    def head(self) -> Head | None:
        """Return the head, with the plain appends since the row was written; None for a tombstone.

        Raises:
            DamagedError: the row, or the description of the last entry, is not as it was written.
        """
        return checked(self.name, self._head)

    def _head(self) -> Head | None:
        row = (self.id, self.name, self.incarnation, self.first, self.next, self.length, self.base, self.revision)
        if self.checksum != checksum_of(
            *row, self.labels, self.note, self.created_at, self.updated_at, self.expires_at
        ):
            raise ValueError("its row in the table streams is not as it was written")
        if self.length and (self.last_position is None or self._is_cut_short()):
            raise ValueError("entries are missing")
        following, length, updated_at = self.next, self.length, self.updated_at
        labels = {} if self.labels == "{}" else _decode_labels(self.labels)
        _check_bounds(self)
        if self.incarnation is None:
            return None
        if self.last_position is not None and self.last_position >= following:
            content = (self.last_checksum + 2**63) >> 32
            seed = seed_of(self.name, self.incarnation)
            if self.last_checksum != _checksum(
                seed, self.last_position, self.last_created_at, self.last_op_id, content
            ):
                raise ValueError("its last entry is not as it was written")
            length += self.last_position + 1 - following
            following = self.last_position + 1
            updated_at = max(updated_at, self.last_created_at)
        return Head(
            name=self.name,
            incarnation=self.incarnation,
            first=self.first,
            next=following,
            length=length,
            base=self.base,
            revision=self.revision,
            labels=labels,
            note=self.note,
            created_at=self.created_at,
            updated_at=updated_at,
            expires_at=self.expires_at,
        )

    def _is_cut_short(self) -> bool:
        return self.length == self.next - self.first and bool(self.last_position < self.next - 1)


def decode_text(data: bytes) -> str:
    """Return stored text. Bytes that are not UTF-8 become lone surrogates: sound text has none."""
    return data.decode("utf-8", "surrogateescape")


def checked(name: object, read: Callable[[], R]) -> R:
    """Return the result of `read`.

    Raises:
        DamagedError: a stored value has another type, is out of its bounds, or does not match its checksum.
    """
    try:
        return read()
    except _WRONG as error:
        raise DamagedError(
            f"{name!r}: {error}: restore the file from a backup, or delete this one; all others can be used"
        ) from error


def checksum_of(*values: object) -> int:
    """Return the CRC-32 of values of one row."""
    return crc32(_encode(values))


def head_checksum(id: int, head: Head, labels: str) -> int:
    """Return the checksum of the row of a stream."""
    row = (id, head.name, head.incarnation, head.first, head.next, head.length, head.base, head.revision)
    return checksum_of(*row, labels, head.note, head.created_at, head.updated_at, head.expires_at)


def tombstone_checksum(id: int, name: str, at: int) -> int:
    """Return the checksum of the row of a deleted stream."""
    return checksum_of(id, name, None, 0, 0, 0, 0, 0, "{}", b"", at, at, None)


def seed_of(name: str, incarnation: str) -> int:
    """Return the start value for the checksums of the entries of an incarnation."""
    return crc32(f"{name}\0{incarnation}".encode())


def entry_checksum(seed: int, position: int, created_at: int, op_id: str | None, data: bytes) -> int:
    """Return the checksum of an entry: of the data in its upper half, of all else in its lower half."""
    return _checksum(seed, position, created_at, op_id, crc32(data))


def _checksum(seed: int, position: int, created_at: int, op_id: str | None, content: int) -> int:
    described = crc32(_pack(position, created_at, content), seed)
    if op_id is not None:
        described = crc32(op_id.encode(), described)
    return (content << 32 | described) - 2**63  # one of SQLite's integers: they have a sign


def entries_of(head: Head, rows: Iterable[tuple[Any, ...]], max_bytes: int | None = None) -> list[Entry]:
    """Return entries from rows of position, data, created_at, op_id and checksum, up to `max_bytes` of data.

    Raises:
        DamagedError: one of them is not as it was written.
    """
    return checked(head.name, lambda: _entries(seed_of(head.name, head.incarnation), rows, max_bytes))


def _entries(seed: int, rows: Iterable[tuple[Any, ...]], max_bytes: int | None) -> list[Entry]:
    entries, size = [], 0
    for position, data, created_at, op_id, checksum in rows:
        content = crc32(data)
        described = crc32(_pack(position, created_at, content), seed)
        if op_id is not None:
            described = crc32(op_id.encode(), described)
        if checksum != (content << 32 | described) - 2**63 or not MIN_MOMENT <= created_at <= MAX_MOMENT:
            raise ValueError(f"its entry {position!r} is not as it was written")
        entries.append(Entry(position, data, created_at, op_id))
        if max_bytes is not None:
            size += len(data)
            if size >= max_bytes:
                break
    return entries


def receipt_of(name: str, op_id: str, row: tuple[Any, ...]) -> Receipt:
    """Return the remembered receipt of an op_id from its row: the fields of a receipt, and the checksum.

    Raises:
        DamagedError: it is not as it was written.
    """

    def read() -> Receipt:
        *fields, checksum = row
        if checksum != checksum_of(name, op_id, *fields):
            raise ValueError(f"the receipt of the op_id {op_id!r} is not as it was written")
        return Receipt(*fields)

    return checked(name, read)


def _check_bounds(row: StreamRow) -> None:
    first, following, length, base = row.first, row.next, row.length, row.base
    integers = type(first) is type(following) is type(length) is type(base) is type(row.revision) is int
    if not integers or not 0 <= length <= following - first <= following <= MAX_NUMBER >= row.revision >= 0:
        raise ValueError("a number in its row is out of bounds")
    if type(row.note) is not bytes:
        raise ValueError("its note is not one")
    created_at, updated_at, expires_at = row.created_at, row.updated_at, row.expires_at
    integers = type(created_at) is type(updated_at) is int and (expires_at is None or type(expires_at) is int)
    if not integers or not (
        MIN_MOMENT <= created_at <= MAX_MOMENT
        and MIN_MOMENT <= updated_at <= MAX_MOMENT
        and (expires_at is None or MIN_MOMENT <= expires_at <= MAX_MOMENT)
    ):
        raise ValueError("a time in its row is outside the years 1 to 9999")
