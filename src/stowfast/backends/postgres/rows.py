"""Rows of the table `streams` as heads."""

from __future__ import annotations

import hashlib
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from stowfast.abc import Entry, Head
from stowfast.backends.postgres.checksums import checksum_of_entry, checksum_of_head, seed_of
from stowfast.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

__all__ = ["StoredRow", "can_be_stored", "columns_of", "entries_of", "pairs_of"]

_FIXED: Final = ("incarnation", "first", "base", "revision", "created_at", "expires_at")
"""The columns of a head that no append changes, in the order of its checksum."""
_fixed_of: Final = attrgetter(*_FIXED)
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(dict[str, str]).decode


class StoredRow(NamedTuple):
    """One row of a query for heads, in the order of its columns."""

    id: int
    name: str
    incarnation: str | None
    """None: the stream was deleted, and the row is a tombstone."""
    first: int
    next: int
    length: int
    base: int
    revision: int
    labels: bytes
    note: bytes
    created_at: int
    updated_at: int
    expires_at: int | None
    checksum: int

    def is_sound(self) -> bool:
        """Return True if the row is as it was written."""
        fixed = (self.name, *_fixed_of(self))
        found = checksum_of_head(fixed, self.labels, self.note, self.next, self.length, self.updated_at)
        return found == self.checksum

    def head(self) -> Head | None:
        """Return the head; None for a tombstone.

        Raises:
            DamagedError: the row is not as it was written, or its labels do not decode.
        """
        if not self.is_sound():
            raise DamagedError(
                f"{self.name!r}: its row in streams was changed beside Stowfast: restore the schema from a backup"
            )
        if self.incarnation is None:
            return None
        try:
            labels = _decode(self.labels)
        except msgspec.MsgspecError as error:
            raise DamagedError(f"{self.name!r}: its labels do not decode: restore the schema from a backup") from error
        return Head(
            name=self.name,
            incarnation=self.incarnation,
            first=self.first,
            next=self.next,
            length=self.length,
            base=self.base,
            revision=self.revision,
            labels=labels,
            note=bytes(self.note),
            created_at=self.created_at,
            updated_at=self.updated_at,
            expires_at=self.expires_at,
        )


def columns_of(name: str, head: Head | None, at: int, *, expires_at: int | None = None) -> dict[str, Any]:
    """Return the columns of a head; of a tombstone of a moment if it is None. One that expires is garbage."""
    if head is None:
        numbers = dict.fromkeys(("first", "next", "length", "base", "revision"), 0)
        moments = {"created_at": at, "updated_at": at, "expires_at": expires_at}
        columns: dict[str, Any] = {"incarnation": None, **numbers, "labels": b"", "note": b"", **moments}
    else:
        columns = {**head._asdict(), "labels": labels_to_bytes(head.labels)}
    fixed = (name, *(columns[one] for one in _FIXED))
    last = (columns["next"], columns["length"], columns["updated_at"])
    return columns | {"checksum": checksum_of_head(fixed, columns["labels"], columns["note"], *last)}


def entries_of(stream: str, rows: Iterable[Sequence[Any]]) -> Iterator[Entry]:
    """Yield entries from rows of position, data, created_at, op_id and checksum.

    Raises:
        DamagedError: one of them is not as it was written.
    """
    seed, seed_is_for = seed_of(stream, None), None
    for position, data, created_at, op_id, checksum in rows:
        if op_id != seed_is_for:
            seed, seed_is_for = seed_of(stream, op_id), op_id
        if checksum_of_entry(seed, data, position, created_at) != checksum:
            raise DamagedError(
                f"{stream!r}: its entry at position {position} was changed beside Stowfast: restore the schema from a "
                "backup"
            )
        yield Entry(position, data, created_at, op_id)


def labels_to_bytes(labels: Mapping[str, str]) -> bytes:
    """Return labels as they are stored."""
    return _encode(labels)


def pairs_of(labels: Mapping[str, str]) -> list[bytes]:
    """Return a hash of each label. Two pairs never give the same bytes to the hash: lengths are part of them."""
    return [hashlib.sha256(_encode([key, value])).digest()[:16] for key, value in labels.items()]


def can_be_stored(text: str) -> bool:
    """Return True unless no row can hold this text: PostgreSQL has no NUL, and UTF-8 no lone surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
