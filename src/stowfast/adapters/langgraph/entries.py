"""Entries of a thread's log: checkpoints and pending writes as bytes.

    entry = 0x01 | MessagePack of the fields, after the tag 1 (a checkpoint) or 2 (writes) | CRC-32 of all before,
            little-endian

`body` is a delta of `stowfast.deltas`, or its ciphertext. The text of a checkpoint has the values of the channels side
by side, in the order of their names. Their names, types and sizes are at its end, and so are the first bytes of each
value: there MessagePack has the length of a list. So a growing list leaves all bytes before its end as they are, and
the delta is small.
"""

from __future__ import annotations

import json
import zlib
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias
from uuid import UUID

import msgspec

from stowfast.deltas import MAX_TEXT_BYTES
from stowfast.errors import DamagedError, InvalidError
from stowfast.plain_json import to_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "CheckpointText", "StoredCheckpoint", "StoredWrites", "Value", "Write", "as_id", "decode_entry", "decode_metadata",
    "decode_writes", "encode_entry", "encode_metadata", "encode_text", "encode_writes", "id_of",
]  # fmt: skip

Write: TypeAlias = tuple[int, str, str, bytes]
"""Number, channel, type and value of a pending write."""

_VERSION: Final = b"\x01"
_CRC_BYTES: Final = 4
_SIZE_BYTES: Final = 4
_HEAD_BYTES: Final = 5
"""The longest beginning of a list in MessagePack."""
_UUID_CHARACTERS: Final = 36
_UUID_BYTES: Final = 16
_TEXT: Final = b"\x01"
_LONGER_TEXT: Final = b"\x02"


class StoredCheckpoint(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A checkpoint. Positions are those of the thread's stream."""

    ns: str
    id: bytes
    parent: bytes | None
    metadata: bytes
    since: int
    """The writer knew all entries below this position when it last saw the parent. Writes for this checkpoint lie here
    or behind."""
    free: bool
    """It counts whatever else was put: a fork on purpose, or its parent is not in the thread."""
    using: tuple[int, ...]
    """The writes whose values are the extra bytes of the delta: a position, then their distances back from it; below 0
    they are distances from this entry."""
    cipher: str
    """The name of the cipher; empty: the body is plain."""
    body: bytes


class StoredWrites(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """Pending writes of one task."""

    ns: str
    id: bytes
    """Of their checkpoint."""
    task: bytes
    path: str
    near: int
    """The checkpoint whose text has the extra bytes of the delta; -1: there are none."""
    cipher: str
    body: bytes


class Value(NamedTuple):
    """The value of one channel as bytes of the serializer."""

    name: str
    type: str
    data: bytes


class CheckpointText(NamedTuple):
    """The parts of a checkpoint's text."""

    values: list[Value]
    type: str
    rest: bytes
    """The checkpoint without its values, as bytes of the serializer."""


def encode_entry(entry: StoredCheckpoint | StoredWrites) -> bytes:
    """Return an entry as bytes."""
    data = _VERSION + _pack(entry)
    return data + zlib.crc32(data).to_bytes(_CRC_BYTES, "little")


def decode_entry(data: bytes, where: str, position: int | None = None) -> StoredCheckpoint | StoredWrites:
    """Return the entry in these bytes.

    Args:
        data: as stored.
        where: the entry in words, for errors; the thread, if a position is given.
        position: of the entry.

    Raises:
        DamagedError: they are none, or do not match their checksum.
    """
    # A resume has hundreds of entries: a copy is cheaper than a view, and the words are made for an error alone.
    try:
        if data[:1] == _VERSION and zlib.crc32(data[:-_CRC_BYTES]) == int.from_bytes(data[-_CRC_BYTES:], "little"):
            return _unpack(data[1:-_CRC_BYTES])
        cause = None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        cause = error
    place = where if position is None else f"{where}, the entry at {position}"
    raise DamagedError(f"{place}: it is no entry of a thread, or does not match its checksum") from cause


def encode_text(text: CheckpointText) -> bytes:
    """Return the text of a checkpoint.

    Raises:
        InvalidError: it has over 64 MiB.
    """
    named = [(one.name, one.type, len(one.data), one.data[:_HEAD_BYTES]) for one in text.values]
    end = _pack((named, text.type, text.rest))
    tails = (memoryview(one.data)[_HEAD_BYTES:] for one in text.values)
    whole = b"".join((*tails, end, len(end).to_bytes(_SIZE_BYTES, "little")))
    _check_size(whole, "a checkpoint")
    return whole


def decode_text(text: bytes, where: str) -> CheckpointText:
    """Return the parts of the text of a checkpoint.

    Raises:
        DamagedError: it is no such text.
    """
    stop = len(text) - _SIZE_BYTES - int.from_bytes(text[-_SIZE_BYTES:], "little")
    try:
        named, type, rest = _unpack_end(memoryview(text)[max(stop, 0) : -_SIZE_BYTES])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DamagedError(f"{where}: it is no text of a checkpoint") from error
    values, at, view = [], 0, memoryview(text)
    for name, kind, size, head in named:
        tail = view[at : at + max(size - len(head), 0)]
        at += len(tail)
        values.append(Value(name, kind, b"".join((head, tail))))
    if at != stop or any(len(value.data) != size for value, (_, _, size, _) in zip(values, named, strict=True)):
        raise DamagedError(f"{where}: the sizes of its values are wrong")
    return CheckpointText(values, type, rest)


def encode_writes(writes: Sequence[Write]) -> bytes:
    """Return pending writes as one text.

    Raises:
        InvalidError: it has over 64 MiB.
    """
    text = _pack(writes)
    _check_size(text, "the writes of a task")
    return text


def decode_writes(text: bytes, where: str) -> list[Write]:
    """Return the writes of a text.

    Raises:
        DamagedError: it is no such text.
    """
    try:
        return _unpack_writes(text)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DamagedError(f"{where}: it is no text of writes") from error


def encode_metadata(metadata: Mapping[str, Any]) -> bytes:
    """Return metadata as JSON.

    Raises:
        InvalidError: a value has no JSON form.
    """
    return _encode_json(metadata).encode()


def decode_metadata(data: bytes, where: str) -> dict[str, Any]:
    """Return the metadata.

    Raises:
        DamagedError: it is no JSON object.
    """
    try:
        found: Any = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise DamagedError(f"{where}: its metadata is no JSON") from error
    if not isinstance(found, dict):
        raise DamagedError(f"{where}: its metadata is no JSON object")
    return found


def as_id(text: str) -> bytes:
    """Return an id as it is stored: the 16 bytes of a UUID, or other text in more or fewer bytes."""
    if len(text) == _UUID_CHARACTERS and (number := _uuid(text)) is not None:
        return number
    data = _TEXT + text.encode("utf-8", "surrogatepass")
    return data if len(data) != _UUID_BYTES else _LONGER_TEXT + data[1:] + _LONGER_TEXT


@lru_cache(maxsize=1_024)  # a `put` asks eight times, for three ids
def _uuid(text: str) -> bytes | None:
    try:
        number = UUID(text)
    except ValueError:
        return None
    return number.bytes if str(number) == text else None


def id_of(stored: bytes) -> str:
    """Return an id as text."""
    if len(stored) == _UUID_BYTES:
        return str(UUID(bytes=stored))
    data = stored[1:-1] if stored[:1] == _LONGER_TEXT else stored[1:]
    return data.decode("utf-8", "surrogatepass")


def _check_size(text: bytes, subject: str) -> None:
    if len(text) > MAX_TEXT_BYTES:
        raise InvalidError(f"{subject} of {len(text):,} bytes: the limit is {MAX_TEXT_BYTES:,}, store a part elsewhere")


_encode_json: Final = json.JSONEncoder(separators=(",", ":"), default=to_json).encode
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(StoredCheckpoint | StoredWrites).decode
_unpack_end: Final = msgspec.msgpack.Decoder(tuple[list[tuple[str, str, int, bytes]], str, bytes]).decode
_unpack_writes: Final = msgspec.msgpack.Decoder(list[Write]).decode
