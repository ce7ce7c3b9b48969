"""The head object of a stream: how it is written, and what is known of a stream once it was read.

    "HFH" | u8 version | u32 length of the header | u32 length of the note | u32 CRC-32 of both | header | note | frames

All numbers are little-endian. The header is JSON, with spaces behind it, so that the size of the object modulo 4 tells
a listing, which sees no more than sizes, what it has to know: 0 a living stream, 1 one that expires, 2 none.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple
from zlib import crc32

import msgspec

from holdfast.abc import Head
from holdfast.backends.objects.frames import Frame, Known, parse_frames
from holdfast.backends.objects.requests import Token
from holdfast.errors import DamagedError, UnsupportedError

__all__ = ["EXPIRING", "GONE", "LIVING", "SegmentRef", "State", "decode_header", "decode_state", "encode_state"]

LIVING: Final = 0
EXPIRING: Final = 1
GONE: Final = 2

_MAGIC: Final = b"HFH"
_VERSION: Final = 1
_PREFIX: Final = struct.Struct("<4sIII")


class SegmentRef(msgspec.Struct, frozen=True, gc=False):
    """What a head says of a segment. Sizes are in bytes."""

    id: str
    first: int
    """The position of its first entry."""
    next: int
    """The position behind its last one. Between them some may have been removed."""
    count: int
    raw: int
    """Size of its frames."""
    size: int
    """Size of the object."""
    footer: int
    """Size of the footer at its end."""
    crc: int
    """CRC-32 of the footer, which has those of the blocks."""
    calls: int
    """How many of its frames have an op_id."""
    blobs: int
    """How many blobs its frames refer to."""


class _Header(msgspec.Struct, omit_defaults=True):
    name: str
    life: int
    commit: int
    recent: list[str]
    tail: int
    epoch: int = 0
    grave: list[str] = []
    operations: list[Known] = []
    segments: list[SegmentRef] = []
    incarnation: str | None = None
    first: int = 0
    next: int = 0
    length: int = 0
    base: int = 0
    revision: int = 0
    labels: dict[str, str] = {}
    created_at: int = 0
    updated_at: int = 0
    expires_at: int | None = None


class State(NamedTuple):
    """All that a head object says, at one moment. Immutable, so that it can be kept and shared."""

    name: str
    token: Token | None = None
    """None: there is no object."""
    head: Head | None = None
    """None: the stream was deleted, or never was."""
    life: int = 0
    """How many lives the stream has had, this one included. An id of a life that counts."""
    commit: int = 0
    """How often the head was written."""
    recent: tuple[str, ...] = ()
    """The ids of the newest commits, the last being that of this very head."""
    operations: tuple[Known, ...] = ()
    """Calls that are remembered though their entries are gone, or never were."""
    segments: tuple[SegmentRef, ...] = ()
    tail: tuple[Frame, ...] = ()
    epoch: int = 0
    """How often something that could be referred to was condemned."""
    grave: tuple[str, ...] = ()
    """What may be deleted and never referred to again: keys below the stream's folder."""

    @property
    def tail_size(self) -> int:
        """Bytes of the tail."""
        return sum(len(frame.raw) for frame in self.tail)


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(_Header)


def encode_state(state: State) -> bytes:
    """Write a head object."""
    head = state.head
    header = _Header(
        name=state.name,
        life=state.life,
        commit=state.commit,
        recent=list(state.recent),
        tail=state.tail_size,
        epoch=state.epoch,
        grave=list(state.grave),
        operations=list(state.operations),
        segments=list(state.segments),
    )
    note, kind = b"", GONE
    if head is not None:
        note, kind = head.note, LIVING if head.expires_at is None else EXPIRING
        header.incarnation, header.labels = head.incarnation, head.labels
        header.first, header.next, header.length = head.first, head.next, head.length
        header.base, header.revision = head.base, head.revision
        header.created_at, header.updated_at, header.expires_at = head.created_at, head.updated_at, head.expires_at
    written = _encode(header)
    padding = (kind - (_PREFIX.size + len(written) + len(note) + header.tail)) % 4
    written += b" " * padding
    prefix = _PREFIX.pack(_MAGIC + bytes((_VERSION,)), len(written), len(note), crc32(note, crc32(written)))
    return b"".join((prefix, written, note, *(frame.raw for frame in state.tail)))


def decode_state(name: str, body: bytes, token: Token) -> State:
    """Read a head object.

    Raises:
        DamagedError: it is not one, or a byte of it is wrong or missing, or it is of another stream.
        UnsupportedError: it is of a newer version.
    """
    state, tail = _decode(name, body, token)
    where = f"the head of {name!r}"
    frames = parse_frames(memoryview(body)[len(body) - tail :] if tail else b"", where)
    entries = sum(len(frame.sizes) for frame in frames) + sum(segment.count for segment in state.segments)
    if state.head is not None and entries != state.head.length:
        raise DamagedError(f"{where}: it says {state.head.length} entries, and refers to {entries}")
    return state._replace(tail=tuple(frames))


def decode_header(name: str | None, start: bytes, token: Token, size: int) -> State | None:
    """Read a head of which only the first bytes are here: all but the tail; None where they are too few.

    A name of None takes whatever stream it is of.
    """
    if len(start) < size:
        if len(start) < _PREFIX.size:
            return None
        _, header, note, _ = _PREFIX.unpack_from(start)
        if len(start) < _PREFIX.size + header + note:
            return None
    return _decode(name, start, token, size)[0]


def _decode(name: str | None, body: bytes, token: Token, size: int | None = None) -> tuple[State, int]:
    where = "a head" if name is None else f"the head of {name!r}"
    size = len(body) if size is None else size
    if body[:3] != _MAGIC or len(body) < _PREFIX.size:
        raise DamagedError(f"{where} is not one of ours")
    magic, written, noted, checksum = _PREFIX.unpack_from(body)
    if magic[3] != _VERSION:
        raise UnsupportedError(f"{where} is of version {magic[3]}, this Holdfast reads {_VERSION}: upgrade it")
    end = _PREFIX.size + written + noted
    if end > len(body) or crc32(memoryview(body)[_PREFIX.size : end]) != checksum:
        raise DamagedError(f"{where} does not match its checksum")
    note = bytes(body[end - noted : end])
    try:
        header = _decoder.decode(memoryview(body)[_PREFIX.size : end - noted])
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise DamagedError(f"{where} does not decode") from error
    if end + header.tail != size:
        raise DamagedError(f"{where} has {size:,} bytes, and says {end + header.tail:,}")
    if name is not None and header.name != name:
        raise DamagedError(f"{where} is that of {header.name!r}: two names have one key")
    head = None
    if header.incarnation is not None:
        head = Head(
            header.name, header.incarnation, header.first, header.next, header.length, header.base, header.revision,
            header.labels, note, header.created_at, header.updated_at, header.expires_at,
        )  # fmt: skip
    state = State(
        header.name, token, head, header.life, header.commit, tuple(header.recent), tuple(header.operations),
        tuple(header.segments), (), header.epoch, tuple(header.grave),
    )  # fmt: skip
    return state, header.tail
