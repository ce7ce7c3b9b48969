"""Indexes: one object with copies of the heads of one kind of streams, so that a listing need not read each head.

    "SFI" | u8 version | u32 CRC-32 of the rest | zlib stream of JSON

An index is a cache, shared by all processes. It can never be wrong: a listing returns the ETag of each head, and an
entry of the index counts only for the head with this ETag. So writers need not update it: a listing reads the heads
that are new to the index, and adds them if they are many. A damaged or missing index is made anew.

An index must never bring back a deleted head. So a sweep replaces it at its end, without the deleted heads. A listing
reads the index before the heads, and adds only to the index that it has read: if the listing saw a head that is deleted
by now, a sweep has replaced the index since, and nothing is added.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

import msgspec

from stowfast.backends.objects.protocol.frames import MALFORMED
from stowfast.backends.objects.protocol.keys import HEADS, keys_at
from stowfast.backends.objects.protocol.requests import ABSENT, Get, List, Object, Put, Token
from stowfast.backends.objects.protocol.state import decode_header
from stowfast.errors import DamagedError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from stowfast.backends.objects.protocol.requests import Environment, Item, Steps
    from stowfast.backends.objects.protocol.state import State

__all__ = [
    "INDEXES",
    "Index",
    "IndexEntry",
    "check_index",
    "entries_of",
    "folder_of",
    "index_key_of",
    "is_index",
    "open_index",
    "tidy",
]

INDEXES: Final = "i/"

_END: Final = ".sfi"
_MAGIC: Final = b"SFI\x01"
_START: Final = 8
_WORTH: Final = 16
"""Number of new heads for which an index is written."""

_MOST: Final = 10_000
"""Maximum entries of an index: those of the heads changed last. Of the longest, they have less than `_LARGEST`."""

_LONGEST: Final = 2**12
"""Bytes of a header in a line. Larger ones are read from their heads."""

_LARGEST: Final = 2**26
"""Maximum bytes to decompress from an index."""


_TRIES: Final = 10


class IndexEntry(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """One head of an index: its ETag, its header and its note."""

    key: str
    e_tag: str
    header: bytes


class _StoredIndex(msgspec.Struct):
    made: str
    """A unique id, so that no two indexes have the same ETag."""
    lines: list[IndexEntry]


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(_StoredIndex)


class Index:
    """The index of one folder of heads, as of the start of a listing, and the heads read since."""

    def __init__(self, key: str, found: Object | None) -> None:
        self._key = key
        self._token = found.token if found is not None else None
        self._lines = {line.key: line for line in entries_of(found.body)} if found is not None else {}
        self._new = 0

    def find(self, name: str, item: Item) -> State | None:
        """Return the indexed head for a listed key; None if the head must be read."""
        line = self._lines.get(item.key)
        if line is None or item.e_tag is None or line.e_tag != item.e_tag:
            return None
        try:
            return decode_header(name, line.header, Token(item.e_tag, None), item.size)
        except (DamagedError, UnsupportedError):
            return None

    def learn(self, item: Item, header: bytes) -> None:
        """Add a head that the listing read."""
        if item.e_tag is not None and len(header) <= _LONGEST:
            self._lines[item.key] = IndexEntry(item.key, item.e_tag, header)
            self._new += 1

    def keep(self, items: Iterable[Item], environment: Environment) -> Steps[None]:
        """Write the index of the listed heads if enough are new. Another process may be faster."""
        if self._new >= _WORTH:
            yield from self.replace(items, environment)

    def replace(self, items: Iterable[Item], environment: Environment) -> Steps[bool]:
        """Write the index over the one that was read; False if another process replaced it."""
        newest = sorted(items, key=lambda item: -item.modified)[:_MOST]
        known = [(item, self._lines[item.key]) for item in newest if item.key in self._lines]
        lines = [line for item, line in known if line.e_tag == item.e_tag]
        body = zlib.compress(_encode(_StoredIndex(environment.new_id(), lines)))
        written = _MAGIC + zlib.crc32(body).to_bytes(4, "little") + body
        token = yield Put(self._key, written, ABSENT if self._token is None else self._token)
        return token is not None


def folder_of(key: str) -> str:
    """Return the folder of the key of a head."""
    return key[: key.index("/", len(HEADS)) + 1]


def index_key_of(folder: str) -> str:
    """Return the key of the index of a folder of heads."""
    return f"{INDEXES}{folder.removeprefix(HEADS).rstrip('/')}{_END}"


def open_index(folder: str) -> Steps[Index]:
    """Read an index. Call it before the folder is listed."""
    key = index_key_of(folder)
    return Index(key, (yield Get(key)))


def tidy(folder: str, environment: Environment) -> Steps[bool]:
    """Replace an index by one without the deleted heads, or fence off writers of a first one.

    False: other processes replaced it each time; the next sweep does it.
    """
    for _ in range(_TRIES):
        index = yield from open_index(folder)
        items = (yield List(folder)).items
        if (yield from index.replace(items, environment)):
            return True
    return False


def entries_of(body: bytes) -> list[IndexEntry]:
    """Return the entries of an index; none if it is damaged or has another version."""
    try:
        return _decoded(body)
    except (DamagedError, UnsupportedError):
        return []


def is_index(key: str) -> bool:
    """Return True for the key of an index, False for one that Stowfast would not write."""
    kind = key.removeprefix(INDEXES).removesuffix(_END)
    place = keys_at(f"{HEADS}{kind}/a!.sfh")
    return place is not None and index_key_of(f"{HEADS}{kind}/") == key


def check_index(body: bytes) -> None:
    """Check the bytes of an index.

    Raises:
        DamagedError: they are not as they were written. Readers take such an index for an empty one.
        UnsupportedError: it has another version.
    """
    _decoded(body)


def _decoded(body: bytes) -> list[IndexEntry]:
    packed = body[_START:]
    if body[:3] != _MAGIC[:3] or len(body) < _START:
        raise DamagedError("is not one of ours")
    if body[3] != _MAGIC[3]:
        raise UnsupportedError(f"is of version {body[3]}, this Stowfast reads {_MAGIC[3]}")
    if int.from_bytes(body[4:_START], "little") != zlib.crc32(packed):
        raise DamagedError("does not match its checksum")
    try:
        inflate = zlib.decompressobj()
        return _decoder.decode(inflate.decompress(packed, _LARGEST)).lines
    except (*MALFORMED, zlib.error):
        raise DamagedError("does not decode") from None
