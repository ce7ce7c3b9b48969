"""Checksums of entries and heads: a row that was changed beside Stowfast is found when it is read.

PostgreSQL has no CRC, and the append statement gives positions and times that Python does not know before. So a
checksum is the CRC-32 of all that Python knows, joined by XOR with an integer of the rest, which both can compute.
Each of the two changes with every single field and with every flipped bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MOVED", "PLACED", "checksum_of_entry", "checksum_of_head", "content_of_entry", "moved", "placed", "seed_of"]

_LONG: Final = 2**31 - 1
_SHORT: Final = 2**31 - 19
"""Primes: a remainder differs for every flipped bit, and its product stays within a bigint."""

PLACED: Final = f"pg_catalog.mod({{position}}, {_LONG}) * {_LONG} # ({{created_at}})"
"""`placed` in SQL."""
MOVED: Final = (
    f"pg_catalog.mod({{next}}, {_LONG}) * {_LONG} # pg_catalog.mod({{length}}, {_SHORT}) * {_SHORT} # ({{updated_at}})"
)
"""`moved` in SQL."""


def placed(position: int, created_at: int) -> int:
    """Return the part of an entry's checksum that the server computes."""
    return position % _LONG * _LONG ^ created_at


def moved(next: int, length: int, updated_at: int) -> int:
    """Return the part of a head's checksum that an append changes."""
    return next % _LONG * _LONG ^ length % _SHORT * _SHORT ^ updated_at


def seed_of(stream: str, op_id: str | None) -> int:
    """Return the checksum of what all entries of a call share."""
    return crc32((f"{stream}\0" if op_id is None else f"{stream}\0{op_id}\0").encode(errors="replace"))


def content_of_entry(seed: int, data: bytes) -> int:
    """Return the part of an entry's checksum that is known before the entry has a place."""
    return crc32(data, seed)


def checksum_of_entry(seed: int, data: bytes, position: int, created_at: int) -> int:
    """Return the checksum of an entry."""
    # `placed` written out: a load of 10,000 entries calls this for each.
    return crc32(data, seed) ^ position % _LONG * _LONG ^ created_at


def checksum_of_head(
    fixed: Iterable[object], labels: bytes, note: bytes, next: int, length: int, updated_at: int
) -> int:
    """Return the checksum of a row of `streams`. `fixed` are its name, its incarnation and what no append changes."""
    described = crc32("\0".join(map(str, fixed)).encode(errors="replace"))
    return crc32(note, crc32(labels, crc32(b"%d\0" % len(labels), described))) ^ moved(next, length, updated_at)
