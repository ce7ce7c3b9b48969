"""Splices: a text as the parts that differ from an older one. Bytes in, bytes out, no I/O.

A splice keeps some bytes of the old text, leaves some out, and adds some. After the last splice the rest is kept. Equal
parts are found at both ends, and between them from anchors: a few bytes of the old text, a little behind a difference,
are looked for in the new one. So the time depends on the number of differences, and the rest is compared at the speed
of memory. A found anchor counts only before a longer equal part, since short equal parts cost more than they save.

Source: the anchor is the block of rsync (A. Tridgell, "Efficient Algorithms for Sorting and Synchronization", 1999),
taken only where the texts differ. A text that many splices change is a piece table (C. Crowley, "Data Structures for
Text Sequences", 1998).
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["MAX_SPLICES", "PieceTable", "Splice", "added", "around", "differences"]

MAX_SPLICES: Final = 64
"""Differences beyond this number count as one."""
_ANCHOR_BYTES: Final = 24
_MIN_KEPT_BYTES: Final = 48
"""A shorter equal part between two differences belongs to them."""
_SKIPS_BYTES: Final = (16, 2**8, 2**12, 2**16)
"""Distances from a difference to its anchor in the old text, tried one after the other."""
_WINDOW_BYTES: Final = 2**16
"""Bytes of the new text in which an anchor is looked for, beyond its distance."""
_AROUND_BYTES: Final = 2**15
_MIN_AROUND_BYTES: Final = 2**8
_STEP_BYTES: Final = 2**16
_MIN_PIECE_BYTES: Final = 2**13
"""The mean size below which pieces are joined: to list so small ones takes as long as to copy them."""


class Splice(NamedTuple):
    """Numbers of bytes, one after the other."""

    kept: int
    removed: int
    added: int


class PieceTable:
    """A text in pieces. A chain of small changes copies a large text about once, not once for each change.

    A piece of a body keeps the whole body in memory. All bodies together have at most one and a half times the bytes of
    the text: beyond this, the pieces are joined.
    """

    def __init__(self, pieces: Sequence[bytes | memoryview], held: int | None = None) -> None:
        self._pieces = pieces
        self._ends = tuple(accumulate(map(len, pieces)))
        self._held = len(self) if held is None else held

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)

    def between(self, start: int, stop: int) -> bytes:
        """Return the bytes `start <= offset < stop`, as far as there are any."""
        return b"".join(self._within(start, stop))

    def spliced(self, splices: Sequence[Splice], new: bytes) -> PieceTable:
        """Return the new text, with these added bytes. The caller has checked that the splices fit both."""
        view, pieces, here, there = memoryview(new), list[bytes | memoryview](), 0, 0
        for kept, removed, more in splices:
            pieces += self._within(here, here + kept)
            pieces.append(view[there : there + more])
            here, there = here + kept + removed, there + more
        pieces += self._within(here, len(self))
        table = PieceTable(pieces, self._held + len(new))
        few = len(pieces) * _MIN_PIECE_BYTES <= len(table)
        return table if few and 2 * table._held <= 3 * len(table) else PieceTable((bytes(table),))

    def _within(self, start: int, stop: int) -> list[bytes | memoryview]:
        first, last = bisect_right(self._ends, start), bisect_left(self._ends, stop)
        pieces = [*self._pieces[first : last + 1]]
        if not pieces or start >= stop:
            return []
        end = self._ends[first + len(pieces) - 1]
        begin = self._ends[first] - len(pieces[0])
        pieces[-1] = memoryview(pieces[-1])[: stop - (end - len(pieces[-1]))]
        pieces[0] = memoryview(pieces[0])[start - begin :]
        return pieces


def differences(old: bytes, new: bytes) -> tuple[Splice, ...]:
    """Return the splices that turn the old text into the new one: at most 64, and none for equal texts."""
    shorter = min(len(old), len(new))
    start = _common(old, 0, new, 0, shorter)
    behind = _common(old, len(old), new, len(new), shorter - start, at_end=True)
    end, stop = len(old) - behind, len(new) - behind
    found, here, there, kept = list[Splice](), start, start, start
    while len(found) < MAX_SPLICES - 1:
        anchor = _anchor(old, here, end, new, there, stop)
        if anchor is None:
            break
        at, to, equal = anchor
        found.append(Splice(kept, at - here, to - there))
        here, there, kept = at + equal, to + equal, equal
    if here < end or there < stop:
        found.append(Splice(kept, end - here, stop - there))
    return tuple(found)


def added(new: bytes, splices: Sequence[Splice]) -> bytes:
    """Return the added bytes of a new text."""
    parts, at = [], 0
    for kept, _, more in splices:
        parts.append(new[at + kept : at + kept + more])
        at += kept + more
    return b"".join(parts)


def around(old: PieceTable, splices: Sequence[Splice], most: int = _AROUND_BYTES) -> bytes:
    """Return the removed bytes of an old text with their surroundings: the added bytes probably resemble them.

    The surroundings are `most` bytes on each side, shared by all splices, but 256 bytes for each at the least.
    """
    reach = max(most // max(len(splices), 1), _MIN_AROUND_BYTES)
    parts, at, taken = [], 0, 0
    for kept, removed, _ in splices:
        start = at + kept
        at = start + removed
        parts.append(old.between(max(start - reach, taken), at + reach))
        taken = at + reach
    return b"".join(parts)


def _anchor(old: bytes, here: int, end: int, new: bytes, there: int, stop: int) -> tuple[int, int, int] | None:
    """Return where both texts are equal again, and for how many bytes; None if no anchor is found."""
    for skip in _SKIPS_BYTES:
        at = here + skip
        if at + _ANCHOR_BYTES > end:
            return None
        to = new.find(old[at : at + _ANCHOR_BYTES], there, min(there + skip + _WINDOW_BYTES, stop))
        if to < 0:
            continue
        before = _common(old, at, new, to, min(at - here, to - there), at_end=True)
        at, to = at - before, to - before
        equal = _common(old, at, new, to, min(end - at, stop - to))
        if equal >= _MIN_KEPT_BYTES:
            return at, to, equal
    return None


def _common(old: bytes, here: int, new: bytes, there: int, most: int, *, at_end: bool = False) -> int:
    """Return how many bytes, up to `most`, two texts have in common after two positions, or before them."""
    common, step = 0, _STEP_BYTES
    while step:
        while common + step <= most:
            moved = -common - step if at_end else common
            if old[here + moved : here + moved + step] != new[there + moved : there + moved + step]:
                break
            common += step
        step //= 2
    return common
