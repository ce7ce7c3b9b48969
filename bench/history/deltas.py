"""Versions as Zstandard patches of earlier ones: every rule that says of which, and when a new whole version begins."""

from __future__ import annotations

import sys
from typing import Any, NamedTuple

import msgspec

from stowfast import deltas as history

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

__all__ = ["CHAIN", "SNAPSHOT", "Cost", "Deltas", "Encoding", "Rule", "Stowfast", "Whole", "compress", "expand"]

_FRAME = 26
"""Bytes of an entry beside its body, about."""
SNAPSHOT, CHAIN = 1, 10**9
"""Radixes: all from the whole version; each from the one before."""


class Rule(NamedTuple):
    """How versions are stored."""

    radix: int = 8
    level: int = 3
    match: int = 6
    """Bytes of the shortest match; 0: as the level has it."""
    far: int = 2**14
    """Long-distance matching for bases larger than this."""
    limit: float = 1.0
    """A new whole version once the deltas have so many times the bytes of the last one ..."""
    floor: int = 2**15
    """... and so many at least."""
    large: float = float("inf")
    """A delta with so many times the bytes of the whole version becomes one itself."""
    longest: int = 4_096
    """Versions of a span."""


class Cost(NamedTuple):
    """What it takes to load a version."""

    steps: int
    reads: int
    """Of the place: reads of a range of entries, or of an object."""
    size: int
    """Bytes that are read."""


class Encoding:
    """One way to store versions, in memory. Its subclasses say how."""

    def save(self, state: Any) -> int:
        """Store the next version and return how many bytes that takes."""
        raise NotImplementedError

    def load(self, number: int) -> Any:
        """Return a version."""
        raise NotImplementedError

    def cost(self, number: int) -> Cost:
        """Say what loading that takes."""
        raise NotImplementedError


def compress(text: bytes, prefix: bytes = b"", level: int = 3, match: int = 0, far: int = 2**14) -> bytes:
    """Compress as history.py does, if `match` is 6."""
    option = zstd.CompressionParameter
    options: dict[int, int] = {
        option.compression_level: level,
        option.checksum_flag: 1,
        option.min_match: match,
        option.window_log: min(max((len(text) + len(prefix)).bit_length(), 10), 27),
        option.enable_long_distance_matching: int(len(prefix) > far),
    }
    base = zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= 8 else None
    return zstd.compress(text, options=options, zstd_dict=base)


def expand(body: bytes, prefix: bytes) -> bytes:
    """Undo that."""
    base = zstd.ZstdDict(prefix, is_raw=True).as_prefix if len(prefix) >= 8 else None
    return zstd.decompress(body, zstd_dict=base, options={zstd.DecompressionParameter.window_log_max: 27})


class Whole(Encoding):
    """Every version whole."""

    def __init__(self, level: int = 0) -> None:
        self._level = level
        self._stored: list[bytes] = []

    def save(self, state: Any) -> int:
        text = msgspec.json.encode(state)
        self._stored.append(compress(text, level=self._level) if self._level else text)
        return len(self._stored[-1]) + _FRAME

    def load(self, number: int) -> Any:
        text = self._stored[number]
        return msgspec.json.decode(expand(text, b"") if self._level else text)

    def cost(self, number: int) -> Cost:
        return Cost(int(self._level > 0), 1, len(self._stored[number]))


class Deltas(Encoding):
    """A version whole, or as what differs from an earlier one."""

    def __init__(self, rule: Rule | None = None) -> None:
        self.rule = rule or Rule()
        self.wholes = 0
        self._stored: list[tuple[int, int, bytes]] = []
        """Of each version: its whole one, its base, its body."""
        self._texts: dict[int, bytes] = {}
        self._deltas = 0

    def save(self, state: Any) -> int:
        text, number = msgspec.json.encode(state), len(self._stored)
        body = self._delta(text, number) if self._stored else None
        if body is None:
            self._deltas = 0
            self.wholes += 1
            body = compress(text, b"", self.rule.level, self.rule.match) if len(text) >= 256 else text
            self._stored.append((number, number, body))
        else:
            self._deltas += len(body)
        self._texts = {number: text}
        return len(self._stored[-1][2]) + _FRAME

    def _delta(self, text: bytes, number: int) -> bytes | None:
        rule, whole = self.rule, self._stored[-1][0]
        base = whole + base_of(number - whole, rule.radix)
        if number - whole >= rule.longest:
            return None
        body = compress(text, self._rebuild(base), rule.level, rule.match, rule.far)
        size = len(self._stored[whole][2])
        if self._deltas + len(body) > max(rule.limit * size, rule.floor) or len(body) > rule.large * size:
            return None
        self._stored.append((whole, base, body))
        return body

    def _rebuild(self, number: int) -> bytes:
        bodies: list[bytes] = []
        text = b""
        while number not in self._texts:
            _, base, body = self._stored[number]
            bodies.append(body)
            if base == number:
                break
            number = base
        else:
            text = self._texts[number]
        for body in reversed(bodies):
            text = expand(body, text)
        return text

    def load(self, number: int) -> Any:
        self._texts = {}
        return msgspec.json.decode(self._rebuild(number))

    def cost(self, number: int) -> Cost:
        whole, at, steps = self._stored[number][0], number, 1
        while self._stored[at][1] != at:
            at, steps = self._stored[at][1], steps + 1
        size = sum(len(body) + _FRAME for _, _, body in self._stored[whole : number + 1])
        return Cost(steps, 1 if whole == number else 2, size)


def base_of(number: int, radix: int) -> int:
    """Return the base of a version, both counted from the whole one."""
    if radix == SNAPSHOT:
        return 0
    digit = 1
    while number % (digit * radix) == 0:
        digit *= radix
    return number - digit


class Stowfast(Encoding):
    """What Stowfast does, by its own code."""

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self._span: history.Span | None = None

    def save(self, state: Any) -> int:
        text = msgspec.json.encode(state)
        now = 1_764_000_000_000_000 + 1_000_000 * len(self._entries)
        if self._span is None:
            entry, self._span = history.begin(0, text, None, now)
        else:
            entry, self._span = history.follow(self._span, text, now)
        self._entries.append(entry)
        return len(entry)

    def load(self, number: int) -> Any:
        last = history.parse(self._entries[number], number, "")
        stored = {at: history.parse(self._entries[at], at, "") for at in range(last.whole, number + 1)}
        return msgspec.json.decode(history.rebuild(number, stored, ""))

    def cost(self, number: int) -> Cost:
        whole = history.parse(self._entries[number], number, "").whole
        stored = {at: history.parse(self._entries[at], at, "") for at in range(whole, number + 1)}
        size = sum(len(entry) for entry in self._entries[whole : number + 1])
        chain = history.chain_of(number, stored, "")
        return Cost(len(chain), 1 if len(chain) == 1 else 2, size)
