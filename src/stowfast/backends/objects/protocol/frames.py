"""Frames: the entries of one call, as stored in a tail and in a block of a segment.

    u32 length of the rest | u32 CRC-32 of the rest | u32 length of the description | description | entries

All numbers are little-endian. The description is JSON; the entries follow as they were given, one after the other.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, TypeAlias
from zlib import crc32

import msgspec

from stowfast.abc import Entry
from stowfast.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["MALFORMED", "Count", "Frame", "Number", "Operation", "frame", "grouped", "parse_frames", "trimmed"]

_PREFIX: Final = struct.Struct("<III")
_CHECKED: Final = 8

# JSON has numbers of any size. What is read from a bucket must not become one that another language cannot hold, nor
# a negative size, which makes a sum right that is wrong.
Number: TypeAlias = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]

MALFORMED: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
"""Errors of decoding JSON from hostile bytes; the last one for endlessly nested lists."""


class Operation(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A call remembered by its op_id: its receipt, and the number of its commit."""

    op_id: str
    incarnation: str
    first: Count
    next: Count
    at: Number
    commit: Count


class _Description(msgspec.Struct, omit_defaults=True, gc=False):
    first: Count
    next: Count
    at: Number
    sizes: list[Count]
    start: Number = -1
    by: str = ""
    op_id: str | None = None
    commit: Count = 0
    blobs: list[str] = []


_decoder: Final = msgspec.json.Decoder(_Description)
_encode: Final = msgspec.json.Encoder().encode


class Frame(NamedTuple):
    """Entries of one call. `first` and `next` are those of its receipt; it may have lost entries since."""

    first: int
    next: int
    at: int
    start: int
    """The position of the first remaining entry."""
    sizes: Sequence[int]
    by: str
    """The id of the commit that added the frame."""
    op_id: str | None
    commit: int
    """The number of that commit, for a frame with an op_id."""
    blobs: Sequence[str]
    raw: bytes | memoryview
    """The frame as it is stored."""

    @property
    def stop(self) -> int:
        """The position behind the last remaining entry."""
        return self.start + len(self.sizes)

    def entries(self, low: int = 0, high: int | None = None) -> Iterator[Entry]:
        """Read the entries at `low <= position < high`."""
        offset = len(self.raw) - sum(self.sizes)
        for position, size in enumerate(self.sizes, self.start):
            if position >= low and (high is None or position < high):
                yield Entry(position, bytes(self.raw[offset : offset + size]), self.at, self.op_id)
            offset += size

    def known(self, incarnation: str) -> Operation:
        """Return the operation to remember after the entries are gone."""
        assert self.op_id is not None
        return Operation(self.op_id, incarnation, self.first, self.next, self.at, self.commit)


def frame(
    first: int,
    next: int,
    at: int,
    entries: Sequence[bytes],
    *,
    start: int | None = None,
    by: str = "",
    op_id: str | None = None,
    commit: int = 0,
    blobs: Sequence[str] = (),
) -> Frame:
    """Make a frame."""
    start = first if start is None else start
    sizes = [len(entry) for entry in entries]
    described = _encode(
        _Description(
            first, next, at, sizes, -1 if start == first else start, by, op_id, commit if op_id else 0, list(blobs)
        )
    )
    body = b"".join((len(described).to_bytes(4, "little"), described, *entries))
    raw = b"".join((len(body).to_bytes(4, "little"), crc32(body).to_bytes(4, "little"), body))
    return Frame(first, next, at, start, sizes, by, op_id, commit if op_id else 0, blobs, raw)


def grouped(entries: Sequence[bytes], block: int) -> list[tuple[int, list[bytes]]]:
    """Split entries into groups of about `block` bytes, each with the index of its first entry."""
    groups: list[tuple[int, list[bytes]]] = []
    size = 0
    for index, entry in enumerate(entries):
        if not groups or size + len(entry) > block:
            groups.append((index, []))
            size = 0
        groups[-1][1].append(entry)
        size += len(entry)
    return groups


def trimmed(one: Frame, low: int, high: int) -> Frame | None:
    """Return the frame without the entries at `low <= position < high`, of which there is at least one end."""
    if high <= one.start or low >= one.stop:
        return one
    kept = [entry for entry in one.entries() if not low <= entry.position < high]
    if not kept:
        return None
    return frame(
        one.first,
        one.next,
        one.at,
        [entry.data for entry in kept],
        start=kept[0].position,
        by=one.by,
        op_id=one.op_id,
        commit=one.commit,
        blobs=one.blobs,
    )


def parse_frames(raw: bytes | memoryview, where: str) -> list[Frame]:
    """Decode consecutive frames.

    Raises:
        DamagedError: the bytes are not frames to the last byte, a checksum or bound fails, or they are out of order.
    """
    view, offset, found = memoryview(raw), 0, []
    end, behind = len(view), 0
    try:
        while offset < end:
            length, checksum, described = _PREFIX.unpack_from(view, offset)
            stop = offset + _CHECKED + length
            if stop > end or crc32(view[offset + _CHECKED : stop]) != checksum:
                raise DamagedError(f"{where}: a frame does not match its checksum")
            told = _decoder.decode(view[offset + 12 : offset + 12 + described])
            start = told.first if told.start < 0 else told.start
            if 12 + described + sum(told.sizes) != stop - offset or not _sound(told, start):
                raise DamagedError(f"{where}: a frame does not hold what it says")
            if start < behind:
                raise DamagedError(f"{where}: a frame lies before the one that precedes it")
            behind = start + len(told.sizes)
            found.append(
                Frame(told.first, told.next, told.at, start, told.sizes, told.by, told.op_id, told.commit, told.blobs,
                      view[offset:stop])
            )  # fmt: skip
            offset = stop
    except (struct.error, *MALFORMED) as error:
        raise DamagedError(f"{where}: a frame does not decode") from error
    return found


def _sound(told: Any, start: int) -> bool:
    return told.first <= start and start + len(told.sizes) <= told.next and bool(told.sizes)
