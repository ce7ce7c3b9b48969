"""Segments: the older entries of a stream, in immutable objects of their own.

    "SFS" | u8 version | blocks | footer | u32 length of the footer

A block is a zlib stream of frames. The footer is JSON: the offset, the entries and the CRC-32 of each block. So a merge
copies blocks unchanged, and one range reads a part of a segment.
"""

from __future__ import annotations

import hashlib
import sys
import zlib
from array import array
from typing import TYPE_CHECKING, Final

import msgspec

from stowfast.backends.objects.protocol.frames import MALFORMED, Count, Frame, parse_frames
from stowfast.backends.objects.protocol.state import SegmentRef
from stowfast.errors import DamagedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

__all__ = [
    "START",
    "Block",
    "Footer",
    "build",
    "check",
    "check_start",
    "grouped",
    "parse_footer",
    "parse_segment",
    "unpack",
]

_MAGIC: Final = b"SFS"
_VERSION: Final = 1
_LENGTH: Final = 4
START: Final = 4
_DENSEST: Final = 1_032
"""Maximum bytes that one byte of a zlib stream can expand to."""


class Block(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The place of a block in its segment, and its entries."""

    offset: Count
    size: Count
    crc: Count
    first: Count
    next: Count
    count: Count
    raw: Count


class Link(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A blob of the segment, and the positions of the first and the last entry that refer to it."""

    blob: str
    first: Count
    last: Count


class Footer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The description of a segment, stored at its end."""

    name: str
    incarnation: str
    blocks: list[Block]
    calls: bytes = b""
    """8 bytes of BLAKE2b for each op_id, as little-endian numbers, sorted. A missing hash proves a missing call."""
    links: list[Link] = []

    def may_know(self, op_id: str) -> bool:
        """Return True if a frame may have this op_id; False is certain."""
        hashes = _numbers(self.calls)
        wanted, low, high = _hash(op_id), 0, len(hashes)
        while low < high:
            middle = (low + high) // 2
            if hashes[middle] < wanted:
                low = middle + 1
            else:
                high = middle
        return low < len(hashes) and hashes[low] == wanted


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(Footer)


def build(
    name: str, incarnation: str, id: str, old: Sequence[tuple[Footer, bytes]], frames: Sequence[Frame], block: int
) -> tuple[SegmentRef, bytes]:
    """Return a segment of older segments, copied whole, and of frames after them, in blocks of about `block` bytes."""
    pieces: list[bytes | memoryview] = [_MAGIC + bytes((_VERSION,))]
    blocks: list[Block] = []
    calls = array("Q")
    links: dict[str, Link] = {}
    offset = len(pieces[0])
    for footer, body in old:
        calls.extend(_numbers(footer.calls))
        _join(links, footer.links)
        for one in footer.blocks:
            pieces.append(memoryview(body)[one.offset : one.offset + one.size])
            blocks.append(msgspec.structs.replace(one, offset=offset))
            offset += one.size
    calls.extend(sorted({_hash(one.op_id) for one in frames if one.op_id is not None}))
    _join(links, (Link(blob, one.start, one.stop - 1) for one in frames for blob in one.blobs))
    for group in grouped(frames, block):
        raw = b"".join(one.raw for one in group)
        data = zlib.compress(raw)
        count = sum(len(one.sizes) for one in group)
        blocks.append(Block(offset, len(data), zlib.crc32(data), group[0].start, group[-1].stop, count, len(raw)))
        pieces.append(data)
        offset += len(data)
    numbers = array("Q", sorted(calls))
    if sys.byteorder == "big":
        numbers.byteswap()
    written = _encode(Footer(name, incarnation, blocks, numbers.tobytes(), list(links.values())))
    ref = SegmentRef(
        id=id,
        first=blocks[0].first,
        next=blocks[-1].next,
        count=sum(one.count for one in blocks),
        raw=sum(one.raw for one in blocks),
        size=offset + len(written) + _LENGTH,
        footer=len(written) + _LENGTH,
        crc=zlib.crc32(written),
        calls=len(calls),
        blobs=len(links),
    )
    return ref, b"".join((*pieces, written, len(written).to_bytes(_LENGTH, "little")))


def parse_footer(name: str, ref: SegmentRef, end: bytes | memoryview) -> Footer:
    """Decode the footer from the last `ref.footer` bytes of a segment.

    Raises:
        DamagedError: the head refers to another footer.
    """
    where = f"a segment of {name!r}"
    if len(end) != ref.footer or zlib.crc32(end[:-_LENGTH]) != ref.crc:
        raise DamagedError(f"{where} does not match its checksum")
    try:
        footer = _decoder.decode(end[:-_LENGTH])
    except MALFORMED as error:
        raise DamagedError(f"{where} has a footer that does not decode") from error
    if footer.name != name:
        raise DamagedError(f"{where} is that of {footer.name!r}")
    if int.from_bytes(end[-_LENGTH:], "little") != ref.footer - _LENGTH or not _sound(footer, ref):
        raise DamagedError(f"{where} has a footer that does not hold what its head says")
    return footer


def check_start(name: str, body: bytes) -> None:
    """Check the first bytes of a segment.

    Raises:
        DamagedError: they are not those of a segment.
        UnsupportedError: it has a newer version.
    """
    if len(body) < START or body[:3] != _MAGIC:
        raise DamagedError(f"a segment of {name!r} is not one of ours")
    if body[3] != _VERSION:
        raise UnsupportedError(f"a segment of {name!r} is of version {body[3]}, this Stowfast reads {_VERSION}")


def parse_segment(name: str, ref: SegmentRef, body: bytes) -> Footer:
    """Decode the footer of a whole segment.

    Raises:
        DamagedError: the head refers to another footer.
        UnsupportedError: it has a newer version.
    """
    if len(body) != ref.size:
        raise DamagedError(f"a segment of {name!r} has {len(body):,} bytes, and should have {ref.size:,}")
    check_start(name, body)
    return parse_footer(name, ref, memoryview(body)[len(body) - ref.footer :])


def check(name: str, block: Block, data: bytes | memoryview) -> None:
    """Check the bytes of a block.

    Raises:
        DamagedError: they do not match its checksum.
    """
    if len(data) != block.size or zlib.crc32(data) != block.crc:
        raise DamagedError(f"a segment of {name!r} has a block that does not match its checksum")


def unpack(name: str, block: Block, data: bytes | memoryview) -> list[Frame]:
    """Decode the frames of a block.

    Raises:
        DamagedError: the bytes do not match the checksum, or hold other entries.
    """
    check(name, block, data)
    where = f"a segment of {name!r}"
    wrong = DamagedError(f"{where} has a block that does not hold what it says")
    if not 0 < block.raw <= _DENSEST * block.size:
        raise wrong
    inflate = zlib.decompressobj()
    try:
        raw = inflate.decompress(data, block.raw + 1)  # the bound: a hostile block may expand to any size
    except zlib.error as error:
        raise DamagedError(f"{where} has a block that does not decompress") from error
    if len(raw) != block.raw or not inflate.eof or inflate.unused_data:
        raise wrong
    frames = parse_frames(raw, where)
    count = sum(len(one.sizes) for one in frames)
    if (frames[0].start, frames[-1].stop, count) != (block.first, block.next, block.count):
        raise wrong
    return frames


def grouped(frames: Iterable[Frame], size: int) -> Iterator[list[Frame]]:
    """Yield groups of frames of about `size` bytes, in order."""
    group: list[Frame] = []
    held = 0
    for one in frames:
        if group and held + len(one.raw) > size:
            yield group
            group, held = [], 0
        group.append(one)
        held += len(one.raw)
    if group:
        yield group


def _sound(footer: Footer, ref: SegmentRef) -> bool:
    """Return True if the blocks are consecutive and match the record of the segment in the head."""
    offset, behind = START, ref.first
    for block in footer.blocks:
        if block.offset != offset or block.first < behind:
            return False
        offset, behind = offset + block.size, block.next
    return (offset, behind) == (ref.size - ref.footer, ref.next) and (
        bool(footer.blocks)
        and footer.blocks[0].first == ref.first
        and sum(block.count for block in footer.blocks) == ref.count
        and sum(block.raw for block in footer.blocks) == ref.raw
        and len(footer.calls) == 8 * ref.calls
        and len(footer.links) == ref.blobs
    )


def _join(links: dict[str, Link], more: Iterable[Link]) -> None:
    for link in more:
        known = links.get(link.blob, link)
        links[link.blob] = Link(link.blob, min(known.first, link.first), max(known.last, link.last))


def _hash(op_id: str) -> int:
    return int.from_bytes(hashlib.blake2b(op_id.encode(), digest_size=8).digest(), "little")


def _numbers(calls: bytes) -> array[int]:
    numbers = array("Q")
    numbers.frombytes(calls)
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers
