"""Rows of the table `streams` as heads."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from stowfast.abc import Head
from stowfast.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["StoredRow", "can_be_stored", "labels_to_bytes", "pairs_of"]

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

    def head(self) -> Head | None:
        """Return the head; None for a tombstone.

        Raises:
            DamagedError: the labels do not decode.
        """
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


def labels_to_bytes(labels: Mapping[str, str]) -> bytes:
    """Return labels as they are stored."""
    return _encode(labels)


def pairs_of(labels: Mapping[str, str]) -> list[bytes]:
    """Return a hash of each label. Two pairs never give the same bytes to the hash: lengths are part of them."""
    return [hashlib.sha256(_encode([key, value])).digest()[:16] for key, value in labels.items()]


def can_be_stored(text: str) -> bool:
    """Return True unless no row can hold this text: PostgreSQL has no NUL, and UTF-8 no lone surrogates."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)
