"""Deltas: every version of a text is stored as its difference from an earlier one. Bytes in, bytes out, no I/O.

A version is stored whole, or as its difference from an earlier version, its base. A whole version begins a span and has
number 0 in it; a version has the number after the version it follows. The number, written in hexadecimal, decides the
base: the lowest digit other than 0 becomes one less. So the base is mostly the version before, and sometimes the
version 16 or 256 before. In a span of less than 256 versions, a version is at most 30 steps from a whole one, in any
span at most 45, and a change is stored two or three times. A small text among large ones may cost a few steps more. The
span ends when its differences outgrow the whole version. A caller may have other steps than 16 and 256, see `SpanRule`:
they change nothing in the entries.

The caller stores the entries and names their positions: numbers that grow, with gaps or without. Several versions may
follow the same version, so the versions may be a tree.

    entry = 0x01 | MessagePack of [whole, base, number, size, crc, splices, compressed, body, span, deltas, extra,
            header] | CRC-32 of all before, little-endian

`whole` is the position of the version that begins the span, `base` the position of the base. A base of -1 is the
version itself: it is whole. If `whole` is -1, too, it begins a span; otherwise it is a small text. An entry therefore
does not hold its own position. `size` and `crc`, a CRC-32, are those of the text. `splices` are the differences from
the base, each [kept, removed, added] in bytes: most changes are in a few places, so most bytes are joined without
Zstandard. `body` holds the added bytes, plain or as a Zstandard frame; the prefix of the frame is the caller's `extra`
bytes, and the removed parts of the base with their surroundings: 32 KiB, or 4 KiB beside extra bytes. `span` and
`deltas` are the bytes of bodies in the first version of the span, and in the versions after it up to this one. `extra`
is the number of the caller's bytes in the prefix. `header`, in a whole version, holds other bytes of the caller.

Two checksums: the one of the text proves the right base, the one of the entry proves every number.

Source: skip-deltas of Subversion's FSFS (subversion/libsvn_fs_fs/structure); `zstd --patch-from`; a new whole version
when the deltas outgrow it, as in Mercurial's revlog.
"""

from __future__ import annotations

import sys
import zlib
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from stowfast.errors import DamagedError
from stowfast.splices import PieceTable, Splice, added, around, differences

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "MAX_TEXT_BYTES",
    "Delta",
    "DeltaChain",
    "SpanRule",
    "begin",
    "chain_of",
    "decode",
    "encode",
    "follow",
    "next_base",
    "rebuild",
]

MAX_TEXT_BYTES: Final = 64 * 2**20
"""The largest text: an entry that claims more is damaged."""

_MAX_SPAN: Final = 16**3
"""Versions of a span."""
_MIN_DELTA_BYTES: Final = 256
"""A smaller text is stored whole and as it is: a difference would be no smaller."""
_MIN_FRAME_BYTES: Final = 64
"""Fewer added bytes are stored plain: a frame saves little of them, and takes longer than all else in a load."""
_MOST_TIMES_POSTPONED: Final = 4
_LEVEL: Final = 3
_MIN_MATCH_BYTES: Final = 6
"""Shorter matches, found by chance in random data, cost more than they save."""
_MAX_WINDOW_LOG: Final = 27
"""Zstandard's window, as a power of two: a text and its base, each of the largest size."""
_MIN_PREFIX_BYTES: Final = 8
"""Zstandard takes no shorter prefix."""
_AROUND_BYTES_BESIDE_EXTRA: Final = 2**12
"""The caller's bytes have the new part: a longer prefix would take time, and save nothing."""
_TAG: Final = b"\x01"
_CRC_BYTES: Final = 4
_ITSELF: Final = -1


class Delta(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One version as it is stored; the module's docstring describes the fields."""

    whole: int
    base: int
    number: int
    size: int
    crc: int
    splices: tuple[Splice, ...]
    compressed: bool
    body: bytes
    span: int
    deltas: int
    extra: int = 0
    header: bytes = b""

    def at(self, position: int) -> Delta:
        """Return the delta with its own position in place of -1."""
        if self.base != _ITSELF:
            return self
        return msgspec.structs.replace(self, base=position, whole=position if self.whole == _ITSELF else self.whole)


class SpanRule(NamedTuple):
    """The caller's choice of bases, and of the end of a span."""

    steps: tuple[int, ...] = (1, 16, 256)
    """Versions from a base to its successor: the greatest that divides the number. Each of them divides the next."""
    free_bytes: int = 2**15
    """Bytes of differences below which a new whole version saves nothing on a read."""


class DeltaChain(NamedTuple):
    """A version with its chain of bases: the input of a delta that follows it."""

    position: int
    text: bytes
    links: tuple[tuple[int, Delta], ...]
    """Positions and deltas, from this version down to a whole one, each the base of the one before: a few dozen."""

    @classmethod
    def stored(cls, position: int, text: bytes, delta: Delta, before: DeltaChain | None = None) -> DeltaChain:
        """Return the version that was stored at a position, made by `begin`, or by `follow` of the version before."""
        links: tuple[tuple[int, Delta], ...] = ((position, delta.at(position)),)
        if delta.base != _ITSELF and before is not None:
            links += tuple(link for link in before.links if link[0] <= delta.base)
        return cls(position, text, links)

    @property
    def delta(self) -> Delta:
        """This version, as stored."""
        return self.links[0][1]

    def text_at(self, position: int) -> bytes:
        """Return the text of a version of the chain, made without extra bytes.

        Raises:
            DamagedError: it does not decode.
        """
        return rebuild(position, dict(self.links), f"the version at position {position}")

    @property
    def header(self) -> bytes:
        """The caller's bytes in the whole version of the chain."""
        return self.links[-1][1].header

    @property
    def memory(self) -> int:
        """Approximate bytes in memory."""
        return len(self.text) + sum(len(delta.body) for _, delta in self.links)


def begin(text: bytes, *, header: bytes = b"", extra: bytes = b"") -> Delta:
    """Return a text as a whole version, which begins a span.

    Args:
        text: at most 64 MiB.
        header: bytes stored with the version, such as facts about earlier spans.
        extra: bytes that the text resembles. `rebuild` needs the same bytes again.
    """
    body, compressed = _packed(text, extra) if len(text) >= _MIN_DELTA_BYTES else (text, False)
    used = len(extra) if compressed else 0
    return Delta(_ITSELF, _ITSELF, 0, len(text), zlib.crc32(text), (), compressed, body, len(body), 0, used, header)


def follow(
    version: DeltaChain,
    text: bytes,
    *,
    extra: bytes = b"",
    text_at: Callable[[int], bytes] | None = None,
    rule: SpanRule | None = None,
    postpone: bool = False,
) -> Delta | None:
    """Return a text as the version after another one; None if it should begin a span, as the span before is at its end.

    Args:
        version: the version before, stored and with its chain.
        text: at most 64 MiB.
        extra: bytes that the new part of the text resembles. `rebuild` needs the same bytes again.
        text_at: returns the text of a version of the chain by its position; needed if one has extra bytes.
        rule: the same for all versions of a tree.
        postpone: the span should not end yet, as the next versions resemble entries from before this one. It then
            goes on until its differences have four times the bytes.

    Raises:
        DamagedError: a base does not decode.
    """
    before, rule = version.delta, rule or _RULE
    number = before.number + 1
    if number >= _MAX_SPAN:
        return None
    base, splices, header = _ITSELF, tuple[Splice, ...](), b""
    if len(text) < _MIN_DELTA_BYTES:
        body, compressed, header = text, False, version.header
    else:
        base, _ = next_base(version, rule)
        old = version.text if base == version.position else (text_at or version.text_at)(base)
        splices = differences(old, text)
        body, compressed = _packed(added(text, splices), extra + _around(PieceTable((old,)), splices, extra))
    deltas, used = before.deltas + len(body), len(extra) if compressed else 0
    most = max(before.span, rule.free_bytes)  # so a load reads at most twice the bytes that it needs
    postponed = postpone or before.deltas > most
    if deltas > (_MOST_TIMES_POSTPONED if postponed else 1) * most:
        return None
    kept = (number, len(text), zlib.crc32(text), splices)
    return Delta(before.whole, base, *kept, compressed, body, before.span, deltas, used, header)


def next_base(version: DeltaChain, rule: SpanRule | None = None) -> tuple[int, int]:
    """Return the position of the base of the next version, and how many versions after its base the next one is."""
    number = version.delta.number + 1
    step = max(step for step in (rule or _RULE).steps if number % step == 0)
    # After a small text the chain is cut short: the version before is the base then.
    numbered = {delta.number: position for position, delta in version.links}
    found = numbered.get(number - step)
    return (version.position, 1) if found is None else (found, step)


def encode(delta: Delta) -> bytes:
    """Return the entry of a version: about 30 bytes more than its body."""
    entry = _TAG + _pack(delta)
    return entry + zlib.crc32(entry).to_bytes(_CRC_BYTES, "little")


def decode(entry: bytes, position: int, where: str) -> Delta:
    """Return the version in an entry that was stored at a position.

    Args:
        entry: as stored.
        position: of the entry.
        where: the version in words, for errors.

    Raises:
        DamagedError: the entry is no version, does not match its checksum, or contradicts itself.
    """
    view = memoryview(entry)
    try:
        if entry[:1] != _TAG or zlib.crc32(view[:-_CRC_BYTES]) != int.from_bytes(view[-_CRC_BYTES:], "little"):
            raise DamagedError(f"{where}: the entry is no version of a text, or does not match its checksum")
        delta = _unpack(view[1:-_CRC_BYTES])
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise DamagedError(f"{where}: the entry is no version of a text") from error
    delta = delta.at(position)
    begins = delta.whole == delta.base == position and delta.number == 0
    follows = 0 <= delta.whole <= delta.base <= position and 0 < delta.number < _MAX_SPAN and delta.whole < position
    least = min((number for splice in delta.splices for number in splice), default=0)
    if not (begins or follows) or not 0 <= delta.size <= MAX_TEXT_BYTES or min(least, delta.extra) < 0:
        raise DamagedError(f"{where}: the entry contradicts itself")
    return delta


def chain_of(position: int, deltas: Mapping[int, Delta], where: str) -> tuple[tuple[int, Delta], ...]:
    """Return a version and its bases, down to the whole one.

    Raises:
        DamagedError: a base is missing, or is no earlier version of the span.
    """
    chain: list[tuple[int, Delta]] = []
    while True:
        delta = deltas.get(position)
        if delta is None:
            raise DamagedError(f"{where}: a base, the entry at position {position}, is missing")
        if chain and delta.number >= chain[-1][1].number:
            raise DamagedError(f"{where}: its base is no earlier version")
        chain.append((position, delta))
        if delta.base == position:
            return tuple(chain)
        position = delta.base


def rebuild(
    position: int,
    deltas: Mapping[int, Delta],
    where: str,
    *,
    texts: Mapping[int, bytes] | None = None,
    extras: Mapping[int, bytes] | None = None,
) -> bytes:
    """Return the text of a version.

    Args:
        position: of the version.
        deltas: the version and all its bases, by their positions.
        where: the version in words, for errors.
        texts: known texts by their positions.
        extras: the extra bytes with which versions were made, by their positions.

    Raises:
        DamagedError: a needed entry is missing or does not match. A text is never wrong.
    """
    steps, text = [], PieceTable(())
    for base, delta in chain_of(position, deltas, where):
        if texts is not None and base in texts:
            text = PieceTable((texts[base],))
            break
        steps.append((base, delta))
    for base, delta in reversed(steps):
        extra = extras.get(base, b"") if extras is not None and delta.extra else b""
        text = _expand(delta, text, extra, where)
    whole = bytes(text)
    if zlib.crc32(whole) != deltas[position].crc or len(whole) != deltas[position].size:
        raise DamagedError(f"{where}: it does not match its checksum, or it has another base")
    return whole


def _packed(text: bytes, prefix: bytes) -> tuple[bytes, bool]:
    """Return the shorter of a text and its Zstandard frame, and whether it is the frame."""
    if len(text) < _MIN_FRAME_BYTES:
        return text, False
    zstd = _zstd()
    option = zstd.CompressionParameter
    options = {
        option.compression_level: _LEVEL,
        option.min_match: _MIN_MATCH_BYTES,
        option.window_log: min(max((len(text) + len(prefix)).bit_length(), 10), _MAX_WINDOW_LOG),
        # Finds moved parts, and all of a large base; for a small base the level's own tables do.
        option.enable_long_distance_matching: int(len(prefix) > 2**14),
    }
    frame: bytes = zstd.compress(text, options=options, zstd_dict=_prefix(zstd, prefix))
    return (frame, True) if len(frame) < len(text) else (text, False)


def _around(base: PieceTable, splices: tuple[Splice, ...], extra: bytes) -> bytes:
    return around(base, splices, _AROUND_BYTES_BESIDE_EXTRA) if extra else around(base, splices)


def _expand(delta: Delta, base: PieceTable, extra: bytes, where: str) -> PieceTable:
    """Return the text of a version; a whole one has an empty base."""
    kept, removed, size = (sum(numbers) for numbers in zip(*delta.splices, strict=True)) if delta.splices else (0, 0, 0)
    if not base:
        size = delta.size
    if kept + removed > len(base) or len(base) - removed + size != delta.size:
        raise DamagedError(f"{where}: it does not match its base")
    if delta.extra != len(extra):
        raise DamagedError(f"{where}: it was made with {delta.extra:,} extra bytes, and {len(extra):,} are given")
    body = delta.body
    if delta.compressed:
        zstd = _zstd()
        prefix = _prefix(zstd, extra + _around(base, delta.splices, extra))
        options = {zstd.DecompressionParameter.window_log_max: _MAX_WINDOW_LOG}
        try:
            # The size bounds the output: a hostile frame may claim any.
            decoder = zstd.ZstdDecompressor(zstd_dict=prefix, options=options)
            body = decoder.decompress(delta.body, max_length=size)
        except zstd.ZstdError as error:
            raise DamagedError(f"{where}: it does not decode, or not with its base") from error
        if not decoder.eof or decoder.unused_data:
            raise DamagedError(f"{where}: it is longer or shorter than it says")
    if len(body) != size:
        raise DamagedError(f"{where}: it has {len(body):,} bytes, and says {size:,}")
    return base.spliced(delta.splices, body) if base else PieceTable((body,))


def _prefix(zstd: Any, prefix: bytes) -> Any:
    return zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= _MIN_PREFIX_BYTES else None


def _zstd() -> Any:
    # Loaded with the first text, as it takes 5 ms that `import stowfast` need not.
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


_RULE: Final = SpanRule()
_pack: Final = msgspec.msgpack.Encoder().encode
_unpack: Final = msgspec.msgpack.Decoder(Delta).decode
