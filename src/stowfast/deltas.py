"""Deltas: every version of a text is stored as its difference from an earlier one. Bytes in, bytes out, no I/O.

A version is stored whole, or as its difference from an earlier version, its base. A whole version begins a span. The
span ends when its differences outgrow the whole version. The number of a version in its span, written with the digits
0 to 7, decides its base: the lowest digit other than 0 becomes one less. So the base is mostly the version before, and
sometimes the version 8, 64 or 512 before. In a span of less than 512 versions, a version is at most 21 steps from a
whole one, in any span at most 28, and a change is stored two or three times. A small text among large ones may cost a
few steps more.

    entry = 0x01 | MessagePack of [whole, base, size, crc, front, back, compressed, body, span, deltas, earlier]
            | CRC-32 of all before, little-endian

`whole` and `base` are positions, and -1 in the first version of a span, which may be stored at any position. A version
that is its own base is whole without beginning a span: small texts are. `size` and `crc`, a CRC-32, are those of the
text. The text begins with `front` bytes of its base and ends with the last `back` bytes of it: most changes are in one
place, so most bytes are joined without Zstandard. `body` is the middle part, plain or as a Zstandard frame; the prefix
of the frame is the middle part of the base, with 32 KiB before and behind. `span` and `deltas` are the bytes of bodies
in the first version of the span, and in the versions after it up to this one. `earlier`, in a whole version, holds the
starts of earlier spans and the times of their last versions.

Two checksums: the one of the text proves the right base, the one of the entry proves every number.

Source: skip-deltas of Subversion's FSFS (subversion/libsvn_fs_fs/structure); `zstd --patch-from`; a new whole version
when the deltas outgrow it, as in Mercurial's revlog.
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from stowfast.abc import MAX_ENTRY_BYTES
from stowfast.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Span", "Stored", "begin", "chain_of", "follow", "parse", "rebuild"]

_RADIX: Final = 8
_LONGEST: Final = _RADIX**4
"""Versions of a span."""
_DENSE: Final = 256
"""A text below so many bytes is stored whole and as it is: a difference would be no smaller."""
_EARLIER: Final = 16
"""Number of earlier spans in a whole version: retention drops whole spans."""
_SHORT: Final = 2**15
"""Bytes of differences below which a new whole version saves nothing on a read."""
_LEVEL: Final = 3
_MATCH: Final = 6
"""Bytes of the shortest match: shorter ones, found by chance in random data, cost more than they save."""
_WINDOW: Final = 27
"""Zstandard's window, as a power of two: a text and its base, each of the largest size."""
_AROUND: Final = 2**15
_STEP: Final = 2**16
_TAG: Final = b"\x01"
_CRC: Final = 4
_ITSELF: Final = -1


class Stored(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One version as it is stored."""

    whole: int
    base: int
    size: int
    crc: int
    front: int
    back: int
    compressed: bool
    body: bytes
    span: int
    deltas: int
    earlier: list[tuple[int, int]] = []


class Span(NamedTuple):
    """The newest version and its chain of bases: the input of the next delta."""

    position: int
    text: bytes
    """Of the newest version."""
    chain: tuple[tuple[int, Stored], ...]
    """From the newest version down to a whole one, each the base of the one before: a few dozen at most."""

    @property
    def earlier(self) -> list[tuple[int, int]]:
        """Where each span before this one began, and when its last version was saved. Old neighbours count as one."""
        return self.chain[-1][1].earlier

    @property
    def newest(self) -> Stored:
        """The newest version, as stored."""
        return self.chain[0][1]

    @property
    def memory(self) -> int:
        """Approximate bytes in memory."""
        return len(self.text) + sum(len(one.body) for _, one in self.chain)


def begin(position: int, text: bytes, before: Span | None, now: int) -> tuple[bytes, Span]:
    """Store a text as a whole version: return its entry, and the span it begins."""
    earlier = [] if before is None else _thinned([*before.earlier, (before.newest.whole, now)])
    packed = _compress(text, b"") if len(text) >= _DENSE else text
    compressed = len(packed) < len(text)
    body = packed if compressed else text
    one = Stored(position, position, len(text), zlib.crc32(text), 0, 0, compressed, body, len(body), 0, earlier)
    entry = _write(msgspec.structs.replace(one, whole=_ITSELF, base=_ITSELF))
    return entry, Span(position, text, ((position, one),))


def follow(span: Span, text: bytes, now: int) -> tuple[bytes, Span]:
    """Store a text as the version after the newest of a span: return its entry, and its span.

    Raises:
        DamagedError: a base does not decode.
    """
    position, whole = span.position + 1, span.newest.whole
    number, digit = position - whole, 1
    while number % (digit * _RADIX) == 0 and digit < _LONGEST:
        digit *= _RADIX
    if number >= _LONGEST:
        return begin(position, text, span, now)
    base, body, earlier = position, text, span.earlier
    front, back, compressed = 0, 0, False
    chain: tuple[tuple[int, Stored], ...] = ()
    if len(text) >= _DENSE:
        known = {at for at, _ in span.chain}
        base = position - digit if position - digit in known else span.position
        chain = tuple(link for link in span.chain if link[0] <= base)
        before = span.text if base == span.position else rebuild(base, dict(chain), f"version {base + 1}")
        front = _alike(before, text, min(len(before), len(text)))
        back = _alike(before, text, min(len(before), len(text)) - front, at_end=True)
        body, earlier = text[front : len(text) - back], []
        packed = _compress(body, _around(before, front, back))
        compressed = len(packed) < len(body)
        body = packed if compressed else body
    size, deltas = span.newest.span, span.newest.deltas + len(body)
    if deltas > max(size, _SHORT):  # so a load reads at most twice what it needs
        return begin(position, text, span, now)
    one = Stored(whole, base, len(text), zlib.crc32(text), front, back, compressed, body, size, deltas, earlier)
    return _write(one), Span(position, text, ((position, one), *chain))


def _write(one: Stored) -> bytes:
    entry = _TAG + _encode(one)
    return entry + zlib.crc32(entry).to_bytes(_CRC, "little")


def parse(data: bytes, position: int, where: str) -> Stored:
    """Read an entry.

    Raises:
        DamagedError: it is not one.
    """
    view = memoryview(data)
    try:
        if data[:1] != _TAG or zlib.crc32(view[:-_CRC]) != int.from_bytes(view[-_CRC:], "little"):
            raise DamagedError(f"{where}: this is not a task state, or it does not match its checksum")
        found = _decoder.decode(view[1:-_CRC])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DamagedError(f"{where}: this is not a task state") from error
    if found.whole == found.base == _ITSELF:
        found = msgspec.structs.replace(found, whole=position, base=position)
    elif not (0 <= found.whole < position and found.whole <= found.base <= position):
        raise DamagedError(f"{where}: it contradicts itself")
    kept = min(found.front, found.back, found.size - found.front - found.back)
    if not (0 <= found.size <= MAX_ENTRY_BYTES and kept >= 0):
        raise DamagedError(f"{where}: it contradicts itself")
    return found


def _thinned(earlier: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Merge two neighbours in the older half when there are too many: old versions need not go at once."""
    if len(earlier) <= _EARLIER:
        return earlier
    half = _EARLIER // 2
    pairs = zip(earlier[:half:2], earlier[1:half:2], strict=True)
    return [*((began, ended) for (began, _), (_, ended) in pairs), *earlier[half:]]


def chain_of(position: int, stored: Mapping[int, Stored], where: str) -> tuple[tuple[int, Stored], ...]:
    """Return a version and its bases, down to the whole one.

    Raises:
        DamagedError: one of them is missing.
    """
    chain = []
    while True:
        one = stored.get(position)
        if one is None:
            raise DamagedError(f"{where}: version {position + 1}, from which it is made, is missing")
        chain.append((position, one))
        if one.base == position:
            return tuple(chain)
        position = one.base


def rebuild(position: int, stored: Mapping[int, Stored], where: str, texts: Mapping[int, bytes] | None = None) -> bytes:
    """Return the text of a version.

    Args:
        texts: decoded texts by their positions.

    Raises:
        DamagedError: a needed entry is missing or does not match.
    """
    steps, text = [], b""
    for base, one in chain_of(position, stored, where):
        if texts is not None and base in texts:
            text = texts[base]
            break
        steps.append(one)
    for one in reversed(steps):
        text = _expand(one, text, where)
    if zlib.crc32(text) != stored[position].crc:
        raise DamagedError(f"{where}: it does not match its checksum, or what it is made from")
    return text


def _compress(text: bytes, prefix: bytes) -> bytes:
    zstd = _zstd()
    option = zstd.CompressionParameter
    options = {
        option.compression_level: _LEVEL,
        option.min_match: _MATCH,
        option.window_log: min(max((len(text) + len(prefix)).bit_length(), 10), _WINDOW),
        # Finds what moved, and all of a large base; below that the level's own tables do.
        option.enable_long_distance_matching: int(len(prefix) > 2**14),
    }
    base = zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= _PREFIX else None
    packed: bytes = zstd.compress(text, options=options, zstd_dict=base)
    return packed


def _alike(one: bytes, other: bytes, most: int, *, at_end: bool = False) -> int:
    """Return how many bytes, up to `most`, two texts have in common where they begin, or where they end."""
    alike, step = 0, _STEP
    while step:
        while alike + step <= most:
            here, there = (len(one) - alike - step, len(other) - alike - step) if at_end else (alike, alike)
            if one[here : here + step] != other[there : there + step]:
                break
            alike += step
        step //= 2
    return alike


def _around(base: bytes, front: int, back: int) -> bytes:
    """Return the middle part of a base as the prefix for its successor, with the bytes before and behind."""
    return base[max(front - _AROUND, 0) : len(base) - max(back - _AROUND, 0)]


def _expand(one: Stored, base: bytes, where: str) -> bytes:
    if one.front + one.back > len(base):
        raise DamagedError(f"{where}: it does not match its base")
    middle, size = one.body, one.size - one.front - one.back
    if one.compressed:
        prefix = _around(base, one.front, one.back)
        zstd = _zstd()
        known = zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= _PREFIX else None
        options = {zstd.DecompressionParameter.window_log_max: _WINDOW}
        try:
            # No more than it says is made of it, whatever it says inside.
            decoder = zstd.ZstdDecompressor(zstd_dict=known, options=options)
            middle = decoder.decompress(one.body, max_length=size)
        except zstd.ZstdError as error:
            raise DamagedError(f"{where}: it does not decode, or not with its base") from error
        if not decoder.eof or decoder.unused_data:
            raise DamagedError(f"{where}: it is longer or shorter than it says")
    if len(middle) != size:
        raise DamagedError(f"{where}: it has {len(middle):,} bytes, and says {size:,}")
    if not base:
        return middle
    view = memoryview(base)
    return b"".join((view[: one.front], middle, view[len(base) - one.back :]))


def _zstd() -> Any:
    # Loaded with the first state, as it takes 5 ms that `import stowfast` need not.
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


_PREFIX: Final = 8
"""Zstandard takes no shorter prefix."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decoder: Final = msgspec.msgpack.Decoder(Stored)
