"""Sealing moves the older part of a tail into a segment. Merging makes one segment of several, for fewer GETs.

A sealed part is merged into the last segment until that segment is full. Four full segments of about one size become
one, up to a largest size. So a stream of 100 MB has at most a dozen segments, and a byte is uploaded about ten times.
Source: size-tiered compaction, as log-structured stores do it (O'Neil et al., The Log-Structured Merge-Tree, 1996).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.backends.objects.protocol.keys import keys_of
from stowfast.backends.objects.protocol.load import VanishedError, segments
from stowfast.backends.objects.protocol.requests import All, Put
from stowfast.backends.objects.protocol.segment import Footer, build, grouped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.backends.objects.protocol.frames import Frame
    from stowfast.backends.objects.protocol.requests import Environment, Limits, Steps
    from stowfast.backends.objects.protocol.state import SegmentRef, State

__all__ = ["Sealed", "frames_to_seal", "limits_of", "merge", "merge_candidates", "needs_seal", "pack", "seal"]


_ID: Final = 16
"""Hexadecimal digits of the id of a segment: each head repeats it, and 64 random bits are enough within one stream."""
_COLD: Final = 32
"""The tail of a cold stream is sealed at this fraction of the usual size."""
_LARGE_ENOUGH: Final = 4
"""A cold segment is merged up to this fraction of the usual size: eight larger ones would exceed any read."""
_WORTH_OF_COLD: Final = 8
"""A seal costs a PUT. In a cold stream it is worth that after this many commits, each without the sealed bytes."""
_YOUNG: Final = 3
"""Segments that hold the newest span of a cold stream: with the head, a reader of it needs four requests."""
_MANY: Final = 12
"""A whole version of more bytes than so many heads has a long span, with a segment more."""
_OLD: Final = 64
"""A cold segment of so many tails is as large as a span, unless that begins with a large entry."""
_RARER: Final = 3
"""Merges into a segment are about this many times as rare as those into the one behind it."""


class Sealed(NamedTuple):
    """Written segments, and the frames and segments that they replace in a head."""

    life: int
    moved: tuple[Frame, ...]
    replaced: tuple[str, ...]
    """Ids of neighbouring segments; of the last ones if `moved` is not empty."""
    refs: tuple[SegmentRef, ...]


def limits_of(state: State, limits: Limits) -> Limits:
    """Return the limits of a stream: smaller ones if its entries are cold.

    Every commit uploads the tail again. That is worth the bytes while readers want the tail. Cold entries have no
    readers, so they are sealed early, all of them, and a large one never stays in the head.
    """
    if not state.cold:
        return limits
    tail = max(limits.tail // _COLD, 1)
    return limits._replace(
        tail=tail,
        kept=0,
        newest=tail,
        head=2 * limits.head // _COLD,
        growing=2 * tail,
        worth=_WORTH_OF_COLD,
        segment=limits.segment // _LARGE_ENOUGH,
        fan_in=2 * limits.fan_in,
        cold=True,
    )


def needs_seal(state: State, before: State, limits: Limits) -> bool:
    """Return True if a commit should be followed by a seal.

    The commit that crosses the limit seals, so that several processes do not upload the same bytes; beyond twice the
    limit every commit does. A cold stream usually has one writer, so there every commit above the limit seals: an
    earlier seal of the same writer may still have been running.

    Args:
        state: the head after the commit.
        before: the head before the commit.
        limits: as `limits_of` returns them.
    """
    if state.head is None or not state.tail:
        return False
    size = state.tail_size
    worth = limits.kept + limits.worth * size // len(state.tail)
    limit, crosses = max(limits.tail, min(worth, limits.head // (4 if state.cold else 2))), True
    if not state.cold:
        limit = max(limit, 2 * len(state.tail[-1].raw))
        crosses = before.tail_size <= limit or size > 2 * limit
    elif _crowded(state.segments, size, limits):
        limit = 0
    return size > limit and crosses and bool(frames_to_seal(state.tail, limits))


def frames_to_seal(tail: Sequence[Frame], limits: Limits) -> tuple[Frame, ...]:
    """Return the frames to move into a segment. The newest frame stays unless it is too large: reads want it most."""
    kept = size = 0
    for frame in reversed(tail):
        size += len(frame.raw)
        if size > (limits.kept if kept else limits.newest):
            break
        kept += 1
    return tuple(tail[: len(tail) - kept])


def pack(state: State, frames: Sequence[Frame], environment: Environment) -> tuple[list[SegmentRef], list[Put]]:
    """Return segments of these frames: their records for the head, and the PUTs that must precede the head's."""
    refs, uploads = [], []
    for group in grouped(frames, environment.limits.segment):
        ref, upload = _segment(state, [], group, environment)
        refs.append(ref)
        uploads.append(upload)
    return refs, uploads


def seal(state: State, environment: Environment) -> Steps[Sealed | None]:
    """Write the older part of a tail as a segment. No head refers to it until `Draft.swap`.

    None: another process has merged the segment to extend.
    """
    limits = limits_of(state, environment.limits)
    moved = frames_to_seal(state.tail, limits)
    raw = sum(len(frame.raw) for frame in moved)
    if raw > limits.segment:
        refs, uploads = pack(state, moved, environment)
        yield All(uploads)
        return Sealed(state.life, moved, (), tuple(refs))
    first = (_extended if limits.cold else _growing)(state.segments, raw, limits)
    return (yield from _merged(state, state.segments[first:], moved, environment))


def merge_candidates(refs: Sequence[SegmentRef], limits: Limits) -> Sequence[SegmentRef]:
    """Return the neighbouring segments to merge into one; none if there are few enough."""
    if limits.cold:
        return _old_crowd(refs, limits)
    first = _growing(refs, 0, limits)
    # The next seal merges the growing segments. Large entries are never sealed, so many growing ones are merged here.
    stop = first if len(refs) - first < limits.fan_in else len(refs)
    if not stop:
        return ()
    start, largest = stop - 1, limits.fan_in * limits.segment
    raw = refs[start].raw
    while raw < limits.segment:
        run, level, held = start, _level(raw, limits), raw
        while run and _level(refs[run - 1].raw, limits) <= level and held + refs[run - 1].raw <= largest:
            run -= 1
            held += refs[run].raw
        # A segment smaller than its successors would never get neighbours of its own size again.
        small = any(_level(ref.raw, limits) < level for ref in refs[run:start])
        if start - run < limits.fan_in - 1 and not small:
            break
        start, raw = run, held
    return refs[start:stop] if stop - start > 1 else ()


def _old_crowd(refs: Sequence[SegmentRef], limits: Limits) -> Sequence[SegmentRef]:
    """Return the cold segments to merge into one: many of one size, or small ones followed by a large one.

    The young ones are left to the seals, unless there are so many that none comes.
    """
    whole, first, _ = _young(refs, limits)
    stop = first if len(refs) - first < limits.fan_in else len(refs)
    if whole == stop - 1:
        stop = whole
    for last in range(stop - 1, max(stop - _YOUNG, 0) - 1, -1):
        if crowd := _equals(refs, last, limits):
            return crowd
    return _smaller(refs, min(stop, len(refs) - 1), limits)


def _equals(refs: Sequence[SegmentRef], last: int, limits: Limits) -> Sequence[SegmentRef]:
    level = _level(refs[last].raw, limits)
    start, equals, held = last, 1, refs[last].raw
    while start and (below := _level(refs[start - 1].raw, limits)) <= level:
        held += refs[start - 1].raw
        if held > limits.segment:
            break
        start -= 1
        equals += below == level
    return refs[start : last + 1] if equals >= limits.fan_in else ()


def _smaller(refs: Sequence[SegmentRef], last: int, limits: Limits) -> Sequence[SegmentRef]:
    """Return the smaller segments before a large one, which is not written again for them.

    A few segments more cost a reader of all entries a few requests, and repeated writes of a large one cost more.
    """
    start, held = last, 0
    while start > 0 and _level(refs[start - 1].raw, limits) < _level(refs[last].raw, limits):
        held += refs[start - 1].raw
        if held > limits.segment:
            break
        start -= 1
    return refs[start:last] if last - start > 1 else ()


def _young(refs: Sequence[SegmentRef], limits: Limits) -> tuple[int, int, int]:
    """Return three numbers: where the newest whole version is, where the young segments begin, how many to have.

    The first is -1 where no version is large. The protocol does not know the meaning of entries. But an entry as large
    as a segment, and not much smaller than other such entries, is a whole version and needs none before it. The entries
    after it have no more bytes than it has, else the next one would have come.
    """
    filled = [at for at, ref in enumerate(refs) if ref.raw > limits.head and 4 * ref.raw > limits.head * ref.count]
    most = max((refs[at].raw for at in filled), default=0)
    whole = max((at for at in filled if 2 * refs[at].raw >= most), default=-1)
    size = refs[whole].raw if filled else 0
    old = max(_OLD * limits.tail, size * 5 // 4)
    behind = max((at for at in range(whole + 1, len(refs)) if refs[at].raw >= old), default=whole)
    young = _YOUNG + (size > _MANY * limits.head)
    return whole, behind + 1, young if behind < 0 else young - 1


def _extended(refs: Sequence[SegmentRef], raw: int, limits: Limits) -> int:
    """Return the index of the first segment to write again, with all behind it and with `raw` bytes more.

    While there are few young segments a seal adds one. Then it extends the last one, until the bytes written again and
    again are as many as in a merge with the segment before: rent, until one could have bought.
    """
    _, first, most = _young(refs, limits)
    if len(refs) - first < most:
        return len(refs)
    at, rent = first + most - 1, 2 * raw
    held = raw + sum(ref.raw for ref in refs[at:])
    while at > first and held * held > rent * refs[at - 1].raw:
        at, rent = at - 1, rent * _RARER
        held += refs[at].raw
    while at < len(refs) and held > limits.segment:
        held -= refs[at].raw
        at += 1
    return at


def _crowded(refs: Sequence[SegmentRef], raw: int, limits: Limits) -> bool:
    """Return True if there are too many young segments, and a seal of `raw` bytes makes them fewer."""
    _, first, most = _young(refs, limits)
    return len(refs) - first > most and sum(ref.raw for ref in refs[first + most - 1 :]) + raw <= limits.segment


def merge(state: State, refs: Sequence[SegmentRef], environment: Environment) -> Steps[Sealed | None]:
    """Write one segment of several. No head refers to it until `Draft.swap`.

    None: another process has merged them already.
    """
    return (yield from _merged(state, refs, (), environment))


def _merged(
    state: State, old: Sequence[SegmentRef], moved: tuple[Frame, ...], environment: Environment
) -> Steps[Sealed | None]:
    try:
        found = yield from segments(state, old)
    except VanishedError:
        return None
    ref, upload = _segment(state, found, moved, environment)
    yield All([upload])
    return Sealed(state.life, moved, tuple(ref.id for ref in old), (ref,))


def _segment(
    state: State, old: Sequence[tuple[Footer, bytes]], frames: Sequence[Frame], environment: Environment
) -> tuple[SegmentRef, Put]:
    assert state.head is not None
    id = environment.new_id()[-_ID:]
    ref, body = build(state.name, state.head.incarnation, id, old, frames, environment.limits.block)
    return ref, Put(keys_of(state.name).segment(state.life, id), body)


def _growing(refs: Sequence[SegmentRef], raw: int, limits: Limits) -> int:
    """Return the index of the first growing segment at the end, of those with room for `raw` bytes more together."""
    start = len(refs)
    while start and refs[start - 1].raw < limits.growing and raw + refs[start - 1].raw <= limits.segment:
        start -= 1
        raw += refs[start].raw
    return start


def _level(raw: int, limits: Limits) -> int:
    level, size = 0, limits.growing
    while raw >= size:
        level, size = level + 1, size * limits.fan_in
    return level
