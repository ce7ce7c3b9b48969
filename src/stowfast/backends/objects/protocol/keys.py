"""Keys of streams: every name has keys of its own, in the order of names.

A bucket may have other users. So a key of ours ends in a way that no other program writes. It is checked in full before
a listing shows it or a sweep deletes it: folders, numbers, the length of an id. No key of a store inside another one
has the form of a key of the outer one.
"""

from __future__ import annotations

import hashlib
import re
from base64 import b32encode
from typing import Final, NamedTuple

from stowfast.errors import DamagedError

__all__ = [
    "DATA",
    "HEADS",
    "MARKER",
    "NO_KIND",
    "Prefix",
    "StreamKeys",
    "blob_file",
    "decode",
    "encode",
    "is_blob",
    "is_file",
    "keys_at",
    "keys_of",
    "prefix_of",
    "segment_file",
]

HEADS: Final = "h/"
DATA: Final = "d/"
MARKER: Final = "stowfast.sfm"
"""The key of the object that says: a store begins here."""

NO_KIND: Final = "+"
_EMPTY: Final = "!"
_LONGEST_KIND: Final = 60
_LONGEST: Final = 200
_KEPT_OF_A_LONG_NAME: Final = 120
_OF_A_LONG_NAME: Final = "="
_ALPHABET: Final = "!-.0123456789=_abcdefghijklmnopqrstuvwxyz~"
_LAST: Final = "~~"
"""It is in no key, and lies behind whatever else could stand in its place."""

# The first of its characters sorts before all others, so it leaves the order of keys as it is. A code never has it.
_HEAD_END: Final = "!.sfh"
_SEGMENT_END: Final = ".sfs"
_BLOB_END: Final = ".sfb"
_FILE: Final = re.compile(r"(?:[0-9a-f]{8}|[1-9a-f][0-9a-f]{8,15})/[0-9a-f]{16,64}\.sfs|b/[0-9a-f]{32}\.sfb")
_LONG_REST: Final = re.compile(r"[0-9a-z!._~-]{120}=[a-z2-7]{52}")


def _escape(byte: int) -> str:
    # The first character of each code is in the same order as the bytes it stands for, so keys sort as names do:
    # '!' < '-' < '.' < '0'-'9' < '_' < 'a'-'z' < '~'.
    if byte <= 0x2C:
        return f"!{byte:02x}"
    if byte in (0x2E, 0x2F):
        return f".{byte:02x}"
    if 0x3A <= byte <= 0x60:
        return f"_{byte:02x}"
    if byte >= 0x7B:
        return f"~{byte:02x}"
    return chr(byte)


_CODES: Final = [_escape(byte) for byte in range(256)]
_CODE: Final = re.compile(rb"[!._~]([0-9a-f]{2})|([0-9a-z-])")
_PLAIN: Final = re.compile(r"[0-9a-z-]+")


def encode(text: str) -> str:
    """Write any text with `[0-9a-z-]` and the escapes `!xx`, `.xx`, `_xx`, `~xx`. Keeps the order of code points."""
    return text if _PLAIN.fullmatch(text) else "".join(map(_CODES.__getitem__, text.encode()))


def decode(key: str) -> str:
    """Decode a key of `encode`."""
    if _PLAIN.fullmatch(key):
        return key
    raw, found, end = key.encode(errors="replace"), bytearray(), 0
    for code in _CODE.finditer(raw):
        if code.start() != end:
            break
        found += bytes((int(code[1], 16),)) if code[1] else code[2]
        end = code.end()
    try:
        text = found.decode()
    except UnicodeDecodeError:
        text = ""
    if end != len(raw) or encode(text) != key:
        raise DamagedError(f"the key {key!r} is not one of ours")
    return text


def blob_file(blob: str) -> str:
    """Return the key of a blob below its stream's folder. The id ends with a dash and the size; the key does not."""
    return f"b/{blob.partition('-')[0]}{_BLOB_END}"


def segment_file(life: int, segment: str) -> str:
    """Return the key of a segment below its stream's folder. Segments of an earlier incarnation are garbage."""
    return f"{life:08x}/{segment}{_SEGMENT_END}"


def is_blob(key: str) -> bool:
    """Return True for the key of a blob below `d/`, False for the key of a segment."""
    return key.endswith(_BLOB_END)


def is_file(file: str) -> bool:
    """Return True if this is the form of a segment or a blob below its stream's folder."""
    return _FILE.fullmatch(file) is not None


class StreamKeys(NamedTuple):
    """The keys of a stream: `h/<kind>/<rest>` and `d/<kind>/<rest>/`.

    The kind is the name up to its first slash. The rest is one segment of the key, so no key is a folder of another
    key: some stores cannot have both.
    """

    kind: str
    rest: str

    @property
    def head(self) -> str:
        """The key of the head."""
        return f"{HEADS}{self.kind}/{self.rest}{_HEAD_END}"

    @property
    def folder(self) -> str:
        """The folder of segments and blobs."""
        return f"{DATA}{self.kind}/{self.rest}/"

    def segment(self, life: int, segment: str) -> str:
        """The key of a segment of one life of the stream."""
        return self.folder + segment_file(life, segment)

    def blob(self, blob: str) -> str:
        """The key of a blob."""
        return self.folder + blob_file(blob)

    @property
    def is_orderly(self) -> bool:
        """Say whether this key lies among others as its name does: names too long for a key lie where they begin."""
        return len(self.rest) < _KEPT_OF_A_LONG_NAME

    @property
    def name(self) -> str | None:
        """The name of the stream; None for a name so long that only its head holds it."""
        if _OF_A_LONG_NAME in self.rest:
            return None
        rest = "" if self.rest == _EMPTY else decode(self.rest)
        name = rest if self.kind == NO_KIND else f"{decode(self.kind)}/{rest}"
        if keys_of(name) != self:
            raise DamagedError(f"the key {self.head!r} is not one of ours")
        return name


def keys_of(name: str) -> StreamKeys:
    """Return where the keys of a stream lie. A name too long for a key is told by its hash; its head has it whole."""
    kind, rest = _split(name)
    encoded = encode(rest) or _EMPTY
    if len(encoded) > _LONGEST:
        told = b32encode(hashlib.sha256(rest.encode()).digest()).decode().rstrip("=").lower()
        encoded = f"{encoded[:_KEPT_OF_A_LONG_NAME]}{_OF_A_LONG_NAME}{told}"
    return StreamKeys(kind, encoded)


def keys_at(key: str) -> StreamKeys | None:
    """Return the keys of the stream of a head, segment or blob; None for a key that Stowfast would not write."""
    folder, _, path = key.partition("/")
    kind, _, path = path.partition("/")
    if folder == "h":
        rest = path.removesuffix(_HEAD_END)
        ours = rest != path
    else:
        rest, _, file = path.partition("/")
        ours = folder == "d" and is_file(file)
    place = StreamKeys(kind, rest)
    try:
        # The key of a long name tells no name, only its form can be checked.
        ours = ours and (place.name is not None or _is_long(place))
    except DamagedError:
        return None
    return place if ours else None


def _is_long(place: StreamKeys) -> bool:
    known = place.kind == NO_KIND or decode(place.kind) != ""
    return known and len(place.kind) <= _LONGEST_KIND and _LONG_REST.fullmatch(place.rest) is not None


class Prefix(NamedTuple):
    """The keys of the streams with a common name prefix: those in a folder that begin with `head`."""

    folder: str
    head: str
    whole_kind: bool
    """The folder holds one kind, so its keys are in the order of names."""

    @property
    def before(self) -> str | None:
        """The key after which a listing of this prefix begins; None: the whole folder."""
        if self.head == self.folder:
            return None
        sooner = _ALPHABET.index(self.head[-1]) - 1
        return f"{self.head[:-1]}{_ALPHABET[sooner]}{_LAST}" if sooner >= 0 else self.head[:-1]

    def is_orderly(self, place: StreamKeys) -> bool:
        """Say whether this key lies among the others of the folder as its name does."""
        return place.is_orderly and (self.whole_kind or place.kind != NO_KIND)

    def may_hold(self, place: StreamKeys) -> bool:
        """Return True if a stream with these keys may have the prefix. Only its name proves it."""
        told, long, _ = place.head.partition(_OF_A_LONG_NAME)
        return told.startswith(self.head) or (bool(long) and self.head.startswith(told))


def prefix_of(text: str) -> Prefix:
    """Return the keys of the streams whose names begin with `text`."""
    if "/" not in text:
        return Prefix(HEADS, HEADS, False)
    kind, rest = _split(text)
    folder = f"{HEADS}{kind}/"
    encoded = encode(rest)
    # Names that are too long for a key are told by less of it than this: they lie before all that begin so.
    return Prefix(folder, f"{folder}{encoded}", len(encoded) <= _KEPT_OF_A_LONG_NAME)


def _split(name: str) -> tuple[str, str]:
    before, slash, rest = name.partition("/")
    kind = encode(before)
    return (kind, rest) if slash and 0 < len(kind) <= _LONGEST_KIND else (NO_KIND, name)
