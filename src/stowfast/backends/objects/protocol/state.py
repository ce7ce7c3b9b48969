"""The head object of a stream: its format, and the state of a stream as read from it.

    "SFH" | u8 version | u32 length of the header | u32 length of the note | u32 CRC-32 | header | note | frames

All numbers are little-endian. The checksum covers the bytes before it, the header and the note. It includes the
lengths, so that no byte can move from header to note unnoticed. The header is JSON, padded with spaces: the size of the
object modulo 4 tells the kind of stream to a listing, where nothing but sizes is seen. 0: a living stream, 1: a stream
that expires, 2: a deleted one.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

import msgspec

from stowfast.abc import Head
from stowfast.backends.objects.protocol.frames import MALFORMED, Count, Frame, Number, Operation, parse_frames
from stowfast.errors import DamagedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stowfast.backends.objects.protocol.requests import Token

__all__ = [
    "EXPIRING",
    "GONE",
    "LIVING",
    "QUIET",
    "SMALLEST",
    "SegmentRef",
    "State",
    "decode_header",
    "decode_state",
    "encode_state",
    "header_of",
    "is_ours",
]

LIVING: Final = 0
EXPIRING: Final = 1
GONE: Final = 2
QUIET: Final = 3

_MAGIC: Final = b"SFH"
_VERSION: Final = 1
_LENGTHS: Final = struct.Struct("<4sII")
_PREFIX: Final = struct.Struct("<4sIII")
SMALLEST: Final = _PREFIX.size
"""Bytes that every head has. Some tools make empty objects for folders, under the key of what lies in them."""


class SegmentRef(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The record of a segment in a head. Sizes are in bytes."""

    id: str
    first: Count
    """The position of its first entry."""
    next: Count
    """The position after its last entry. Entries between may have been removed."""
    count: Count
    raw: Count
    """Size of its frames."""
    size: Count
    """Size of the object."""
    footer: Count
    """Size of the footer at its end."""
    crc: Count
    """CRC-32 of the footer. The footer holds those of the blocks."""
    calls: Count
    """Number of hashes of op_ids in its footer."""
    blobs: Count
    """Number of blobs in its frames."""


class _Header(msgspec.Struct, omit_defaults=True):
    name: str
    life: Count
    commit: Count
    recent: list[str]
    tail: Count
    checksum: Count = 0
    origin: str = ""
    dropped: Count = 0
    cold: bool = False
    quiet: bool = False
    condemned: list[str] = []
    grave: list[str] = []
    operations: list[Operation] = []
    segments: list[SegmentRef] = []
    incarnation: str | None = None
    first: Count = 0
    next: Count = 0
    length: Count = 0
    base: Number = 0
    revision: Count = 0
    labels: dict[str, str] = {}
    created_at: Number = 0
    updated_at: Number = 0
    expires_at: Number | None = None


class State(NamedTuple):
    """A head object at one moment. Immutable, so it can be cached and shared."""

    name: str
    token: Token | None = None
    """None: there is no object."""
    head: Head | None = None
    """None: the stream was deleted, or never existed."""
    life: int = 0
    """Number of incarnations so far, this one included."""
    commit: int = 0
    """Number of times the head was written."""
    recent: tuple[str, ...] = ()
    """The ids of the newest commits, the last is the id of this head. Empty, and left out at the start: those
    known to their own writers."""
    origin: str = ""
    """The id of the first commit."""
    operations: tuple[Operation, ...] = ()
    """Remembered calls without a stored entry."""
    segments: tuple[SegmentRef, ...] = ()
    tail: tuple[Frame, ...] = ()
    dropped: int = 0
    """Number of times that blobs in use became garbage."""
    condemned: tuple[str, ...] = ()
    """Orphans found by a sweep, the newest last. A change that refers to one of them is refused."""
    grave: tuple[str, ...] = ()
    """Garbage to delete: keys below the stream's folder, without any reference. `condemned` has such keys, too."""
    cold: bool = False
    """True: the newest entries are seldom read, so they leave the head soon."""
    quiet: bool = False
    """True: the head was last written without a change that counts for recency. `Head.updated_at` tells its time."""

    @property
    def id(self) -> str:
        """The id of the commit of this head; empty if there is no head. Two heads with one id are equal."""
        return self.recent[-1] if self.recent else ""

    @property
    def tail_size(self) -> int:
        """Bytes of the tail."""
        return sum(len(frame.raw) for frame in self.tail)


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(_Header)


def encode_state(state: State) -> bytes:
    """Return the bytes of a head object."""
    head = state.head
    header = _Header(
        name=state.name,
        life=state.life,
        commit=state.commit,
        recent=list(state.recent),
        tail=state.tail_size,
        checksum=_checksum(state.tail),
        origin=state.origin,
        dropped=state.dropped,
        cold=state.cold,
        condemned=list(state.condemned),
        grave=list(state.grave),
        operations=list(state.operations),
        segments=list(state.segments),
    )
    note = b""
    if head is not None:
        note = head.note
        header.incarnation, header.labels = head.incarnation, head.labels
        header.first, header.next, header.length = head.first, head.next, head.length
        header.base, header.revision = head.base, head.revision
        header.created_at, header.updated_at, header.expires_at = head.created_at, head.updated_at, head.expires_at
        header.quiet = state.quiet
    written = _encode(header)
    padding = (_kind(header) - (_PREFIX.size + len(written) + len(note) + header.tail)) % 4
    written += b" " * padding
    prefix = _LENGTHS.pack(_MAGIC + bytes((_VERSION,)), len(written), len(note))
    checksum = crc32(note, crc32(written, crc32(prefix)))
    return b"".join((prefix, checksum.to_bytes(4, "little"), written, note, *(frame.raw for frame in state.tail)))


def decode_state(name: str, body: bytes, token: Token) -> State:
    """Decode a head object.

    Raises:
        DamagedError: the object is no head, has a wrong or missing byte, or belongs to another stream.
        UnsupportedError: it has a newer version.
    """
    state, tail, checksum = _decode(name, body, token)
    where = f"the head of {name!r}"
    frames = parse_frames(memoryview(body)[len(body) - tail :] if tail else b"", where)
    if _checksum(frames) != checksum:
        raise DamagedError(f"{where} does not match the checksum of its tail")
    entries = sum(len(frame.sizes) for frame in frames) + sum(segment.count for segment in state.segments)
    if state.head is not None and entries != state.head.length:
        raise DamagedError(f"{where}: it says {state.head.length} entries, and refers to {entries}")
    if frames and state.head is not None:
        low = state.segments[-1].next if state.segments else state.head.first
        if frames[0].start < low or frames[-1].next > state.head.next:
            raise DamagedError(f"{where}: its tail lies outside its bounds")
    return state._replace(tail=tuple(frames))


def is_ours(body: bytes) -> bool:
    """Return True for a head of this version, damaged or not; False for another program's object."""
    return body[: len(_MAGIC) + 1] == _MAGIC + bytes((_VERSION,))


def header_of(start: bytes) -> bytes:
    """Return the bytes before the tail, from the first bytes of a head, checked by `decode_header`."""
    _, header, note, _ = _PREFIX.unpack_from(start)
    return start[: _PREFIX.size + header + note]


def decode_header(name: str | None, start: bytes, token: Token, size: int) -> State | None:
    """Decode a head from its first bytes, without the tail; None if the bytes are too few.

    With the name None, the head may belong to any stream.
    """
    if len(start) < size:
        if len(start) < _PREFIX.size:
            return None
        _, header, note, _ = _PREFIX.unpack_from(start)
        if len(start) < _PREFIX.size + header + note:
            return None
    return _decode(name, start, token, size)[0]


def _decode(name: str | None, body: bytes, token: Token, size: int | None = None) -> tuple[State, int, int]:
    where = "a head" if name is None else f"the head of {name!r}"
    size = len(body) if size is None else size
    if body[:3] != _MAGIC or len(body) < _PREFIX.size:
        raise DamagedError(f"{where} is not one of ours")
    magic, written, noted, checksum = _PREFIX.unpack_from(body)
    if magic[3] != _VERSION:
        raise UnsupportedError(f"{where} is of version {magic[3]}, this Stowfast reads {_VERSION}: upgrade it")
    end = _PREFIX.size + written + noted
    view = memoryview(body)
    if end > len(body) or crc32(view[_PREFIX.size : end], crc32(view[: _LENGTHS.size])) != checksum:
        raise DamagedError(f"{where} does not match its checksum")
    note = bytes(body[end - noted : end])
    try:
        header = _decoder.decode(view[_PREFIX.size : end - noted])
    except MALFORMED as error:
        raise DamagedError(f"{where} does not decode") from error
    if end + header.tail != size:
        raise DamagedError(f"{where} has {size:,} bytes, and says {end + header.tail:,}")
    if name is not None and header.name != name:
        raise DamagedError(f"{where} is that of {header.name!r}: two names have one key")
    if not _sound(header) or size % 4 != _kind(header):
        raise DamagedError(f"{where} contradicts itself")
    head = None
    if header.incarnation is not None:
        head = Head(
            header.name, header.incarnation, header.first, header.next, header.length, header.base, header.revision,
            header.labels, note, header.created_at, header.updated_at, header.expires_at,
        )  # fmt: skip
    state = State(
        header.name, token, head, header.life, header.commit, tuple(header.recent), header.origin,
        tuple(header.operations), tuple(header.segments), (), header.dropped, tuple(header.condemned),
        tuple(header.grave), header.cold, header.quiet and head is not None,
    )  # fmt: skip
    return state, header.tail, header.checksum


def _kind(header: _Header) -> int:
    if header.incarnation is None:
        return GONE
    if header.quiet:
        return QUIET
    return LIVING if header.expires_at is None else EXPIRING


def _sound(header: _Header) -> bool:
    """Return True if the segments are consecutive and within the stream; a deleted stream has none."""
    if header.incarnation is None:
        return not header.segments and not header.tail
    behind = header.first
    for ref in header.segments:
        if ref.first < behind or not 0 < ref.count <= ref.next - ref.first or not ref.raw or ref.footer >= ref.size:
            return False
        behind = ref.next
    return behind <= header.next


def _checksum(frames: Iterable[Frame]) -> int:
    """Return the checksum of a tail. Its header holds it, so that a frame of another head is noticed."""
    checksum = 0
    for frame in frames:
        checksum = crc32(frame.raw, checksum)
    return checksum
