"""Sealing: the older part of a tail becomes a segment, merged with the ones before it, so that few are ever needed.

A new part goes into the last segment as long as that is growing; four full ones of about one size become one, up to a
largest size. So a stream of 100 MB has at most a dozen segments, and a byte is uploaded some ten times in its life.
Source: size-tiered compaction, as log-structured stores do it (O'Neil et al., The Log-Structured Merge-Tree, 1996).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.backends.objects.fetch import VanishedError, segments
from holdfast.backends.objects.keys import place_of
from holdfast.backends.objects.requests import All, Put
from holdfast.backends.objects.segment import Footer, build, grouped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.backends.objects.frames import Frame
    from holdfast.backends.objects.requests import Limits, Steps, World
    from holdfast.backends.objects.state import SegmentRef, State

__all__ = ["Sealed", "due", "older", "pack", "seal"]


class Sealed(NamedTuple):
    """Segments that were written, and what of a head they can be put in the place of."""

    life: int
    moved: tuple[Frame, ...]
    replaced: tuple[str, ...]
    refs: tuple[SegmentRef, ...]


def due(state: State, before: State, limits: Limits) -> bool:
    """Say whether a commit that found one head and left another should seal.

    The one that crosses the limit of the tail does, so that not every process uploads the same; beyond twice the limit
    anyone. And the one that has written segments of its own, if there are now enough of them to be merged.
    """
    if state.head is None:
        return False
    if len(state.segments) > len(before.segments):
        return len(state.segments) - _merge_from(state.segments, 0, limits) >= limits.fan_in
    if not state.tail:
        return False
    size, limit = state.tail_size, max(limits.tail, 2 * len(state.tail[-1].raw))
    return size > limit and (before.tail_size <= limit or size > 2 * limit) and bool(older(state.tail, limits))


def older(tail: Sequence[Frame], limits: Limits) -> tuple[Frame, ...]:
    """Return the frames that do not stay. The newest stays where it is not too large itself: it is read most."""
    kept = size = 0
    for frame in reversed(tail):
        size += len(frame.raw)
        if size > (limits.kept if kept else limits.head // 2):
            break
        kept += 1
    return tuple(tail[: len(tail) - kept])


def pack(state: State, frames: Sequence[Frame], world: World) -> tuple[list[SegmentRef], list[Put]]:
    """Make segments of frames alone: what the head will say of them, and what to write before it."""
    refs, uploads = [], []
    for group in grouped(frames, world.limits.segment):
        ref, upload = _segment(state, [], group, world)
        refs.append(ref)
        uploads.append(upload)
    return refs, uploads


def seal(state: State, world: World) -> Steps[Sealed | None]:
    """Write the older part of a tail as a segment. Nothing refers to it until `Draft.swap`.

    None: another process has merged what this would have been merged with.
    """
    assert state.head is not None
    moved = older(state.tail, world.limits)
    raw = sum(len(frame.raw) for frame in moved)
    old = state.segments[_merge_from(state.segments, raw, world.limits) :]
    if raw > world.limits.segment:
        refs, uploads = pack(state, moved, world)
        old = ()
    else:
        try:
            found = yield from segments(state, old)
        except VanishedError:
            return None
        ref, upload = _segment(state, found, moved, world)
        refs, uploads = [ref], [upload]
    yield All(uploads)
    return Sealed(state.life, moved, tuple(ref.id for ref in old), tuple(refs))


def _segment(
    state: State, old: Sequence[tuple[Footer, bytes]], frames: Sequence[Frame], world: World
) -> tuple[SegmentRef, Put]:
    assert state.head is not None
    id = world.new_id()
    ref, body = build(state.name, state.head.incarnation, id, old, frames, world.limits.block)
    return ref, Put(place_of(state.name).segment(state.life, id), body)


def _merge_from(refs: Sequence[SegmentRef], raw: int, limits: Limits) -> int:
    """Return the index of the first segment that `raw` more bytes are merged with."""
    start = len(refs)
    while start and refs[start - 1].raw < limits.growing and raw + refs[start - 1].raw <= limits.segment:
        start -= 1
        raw += refs[start].raw
    if start == len(refs) and start and not raw:
        start -= 1
        raw = refs[start].raw
    while limits.growing <= raw < limits.segment:
        run = refs[max(start - limits.fan_in + 1, 0) : start]
        same = [ref for ref in run if _level(ref.raw, limits) == _level(raw, limits)]
        if len(same) < limits.fan_in - 1:
            break
        start -= len(same)
        raw += sum(ref.raw for ref in same)
    return start


def _level(raw: int, limits: Limits) -> int:
    level, size = 0, limits.growing
    while raw >= size:
        level, size = level + 1, size * limits.fan_in
    return level
