"""Reading entries: the tail comes with the head, and segments are fetched side by side, as few as will do."""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Final

from stowfast.abc import Receipt, Slice, Window
from stowfast.backends.objects.protocol.load import (
    WHOLE,
    VanishedError,
    blocks,
    footers,
    frames,
    linked,
    read_head,
    reread_head,
    unexpired,
)
from stowfast.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.abc import Entry, Head
    from stowfast.backends.objects.protocol.frames import Frame
    from stowfast.backends.objects.protocol.requests import Environment, Steps
    from stowfast.backends.objects.protocol.segment import Block
    from stowfast.backends.objects.protocol.state import SegmentRef, State

__all__ = ["calls", "find_blob", "read"]

_TRIES: Final = 20


def read(name: str, known: State | None, window: Window, environment: Environment) -> Steps[tuple[State | None, Slice]]:
    """Read a window of a stream, at one moment; the state comes along, to be known next time.

    None: the store was not asked for the head, as the caller has seen the known one.
    """
    asked = known is None or not _same(known.head, window.seen)
    state = known if known is not None and not asked else (yield from read_head(name, known))
    for _ in range(_TRIES):
        head = unexpired(state, environment)
        if head is None:
            return state if asked else None, Slice(None, [])
        low = head.base if window.start is None else window.start
        reading = _Reading(state, low, head.next if window.stop is None else window.stop, window)
        try:
            entries = yield from reading.run()
        except VanishedError as error:  # merged, removed or deleted since: begin again with the head that says so
            state, asked = (yield from reread_head(state, error)), True
            continue
        return state if asked else None, Slice(head, entries)
    raise UnavailableError(f"{name!r} changed {_TRIES} times while it was read: read it again")


def _same(head: Head | None, seen: Head | None) -> bool:
    """Return True for one head, under any name."""
    return head is not None and seen is not None and head._replace(name=seen.name) == seen


def find_blob(name: str, known: State | None, blob: str, environment: Environment) -> Steps[tuple[State, bool]]:
    """Say whether a living entry refers to a blob."""
    state = yield from read_head(name, known)
    while True:
        if unexpired(state, environment) is None:
            return state, False
        try:
            return state, blob in (yield from linked(state))
        except VanishedError as error:
            state = yield from reread_head(state, error)


def calls(name: str, known: State | None, environment: Environment) -> Steps[tuple[State, dict[str, Receipt]]]:
    """Return the receipts that the entries of a stream do not tell."""
    state = yield from read_head(name, known)
    while True:
        found = {one.op_id: Receipt(one.incarnation, one.first, one.next, one.at) for one in state.operations}
        head = unexpired(state, environment)
        if head is None or head.length == head.next:  # nothing was ever removed
            return state, found
        try:
            sealed = yield from frames(state, [ref for ref in state.segments if ref.calls])
        except VanishedError as error:
            state = yield from reread_head(state, error)
            continue
        left = Counter[str]()
        for one in chain(*sealed, state.tail):
            if one.op_id is not None:
                left[one.op_id] += len(one.sizes)
                told = Receipt(head.incarnation, one.first, one.next, one.at)
                found.setdefault(one.op_id, told)
        whole = {op_id for op_id, count in left.items() if count == found[op_id].next - found[op_id].first}
        return state, {op_id: receipt for op_id, receipt in found.items() if op_id not in whole}


class _Reading:
    """One window of one state. Takes entries from the side where it begins until it has enough."""

    def __init__(self, state: State, low: int, high: int, window: Window) -> None:
        self._state = state
        self._low, self._high = low, high
        self._newest = window.newest
        self._left = window.limit
        self._bytes = window.max_bytes
        self._taken: list[Entry] = []

    def run(self) -> Steps[list[Entry]]:
        refs = [ref for ref in self._state.segments if ref.next > self._low and ref.first < self._high]
        if self._newest:
            self._take(self._state.tail)
            refs.reverse()
        while refs and not self._enough():
            if refs[0].size > WHOLE and 2 * self._wanted(refs[0]) < refs[0].count:
                yield from self._take_part(refs.pop(0))
                continue
            batch = self._batch(refs)
            del refs[: len(batch)]
            for found in (yield from frames(self._state, batch)):
                self._take(found)
        if not self._newest:
            self._take(self._state.tail)
        if self._newest:
            self._taken.reverse()
        return self._taken

    def _enough(self) -> bool:
        if self._left is not None and self._left <= 0:
            return True
        return self._bytes is not None and self._bytes <= 0 and bool(self._taken)

    def _take(self, frames: Sequence[Frame]) -> None:
        for frame in reversed(frames) if self._newest else frames:
            if self._enough():
                return
            if frame.start >= self._high or frame.stop <= self._low:
                continue
            entries = list(frame.entries(self._low, self._high))
            if self._newest:
                entries.reverse()
            if self._left is None and self._bytes is None:
                self._taken += entries
                continue
            for entry in entries:
                if self._enough():
                    return
                self._taken.append(entry)
                self._left = None if self._left is None else self._left - 1
                self._bytes = None if self._bytes is None else self._bytes - len(entry.data)

    def _batch(self, refs: Sequence[SegmentRef]) -> list[SegmentRef]:
        """Return the next segments that are likely to be needed all: those are fetched together."""
        batch, count, size = [], 0, 0
        for ref in refs:
            batch.append(ref)
            count += self._overlap(ref)
            size += ref.raw
            if (self._left is not None and count >= self._left) or (self._bytes is not None and size >= self._bytes):
                break
        return batch

    def _overlap(self, ref: SegmentRef) -> int:
        return min(ref.count, min(ref.next, self._high) - max(ref.first, self._low))

    def _take_part(self, ref: SegmentRef) -> Steps[None]:
        (footer,) = yield from footers(self._state, [ref])
        within = [block for block in footer.blocks if block.next > self._low and block.first < self._high]
        while within and not self._enough():
            neighbours = self._blocks(within, self._wanted(ref))
            within = within[: -len(neighbours)] if self._newest else within[len(neighbours) :]
            self._take((yield from blocks(self._state, ref, neighbours)))

    def _wanted(self, ref: SegmentRef) -> int:
        wanted = self._overlap(ref)
        if self._left is not None:
            wanted = min(wanted, self._left)
        if self._bytes is not None:
            wanted = min(wanted, max(self._bytes * ref.count // ref.raw, 1))
        return wanted

    def _blocks(self, within: Sequence[Block], wanted: int) -> Sequence[Block]:
        """Return the next neighbouring blocks that are likely to be enough."""
        count = 0
        for taken, block in enumerate(reversed(within) if self._newest else within, 1):
            count += min(block.count, min(block.next, self._high) - max(block.first, self._low))
            if count >= wanted:
                return within[-taken:] if self._newest else within[:taken]
        return within
