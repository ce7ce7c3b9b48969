"""Reading what a head refers to: the head itself, segments and their parts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from holdfast.backends.objects.keys import place_of
from holdfast.backends.objects.requests import UNCHANGED, All, Get
from holdfast.backends.objects.segment import parse_footer, parse_segment, unpack
from holdfast.backends.objects.state import State, decode_state
from holdfast.errors import DamagedError
from holdfast.rule import living

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.abc import Head
    from holdfast.backends.objects.frames import Frame
    from holdfast.backends.objects.requests import Steps
    from holdfast.backends.objects.segment import Footer
    from holdfast.backends.objects.state import SegmentRef

__all__ = [
    "WHOLE",
    "VanishedError",
    "footers",
    "frame_at",
    "frames_of",
    "linked",
    "look",
    "look_again",
    "segments",
    "shown",
]

WHOLE: Final = 2**20
"""Bytes up to which a segment is fetched whole, because another request would cost more than the bytes."""


class VanishedError(Exception):
    """Something that a head refers to is not there: another head was written since, or the store is damaged."""


def look(name: str, known: State | None = None) -> Steps[State]:
    """Read the head of a stream. What is known already costs a 304.

    Raises:
        DamagedError: its bytes are wrong, or it is older than what is known: the store has lost a write.
    """
    token = known.token if known is not None else None
    found = yield Get(place_of(name).head, unless=token)
    if found is UNCHANGED:
        assert known is not None
        return known
    if found is None:
        if token is not None:
            raise DamagedError(
                f"the head of {name!r} is gone, and heads are never deleted: the store has lost it, or was emptied "
                "behind our back; if it was meant to be, open it again"
            )
        return State(name)
    state = decode_state(name, found.body, found.token)
    if known is not None and state.commit < known.commit:
        raise DamagedError(
            f"the head of {name!r} went back from commit {known.commit} to {state.commit}: "
            "the store has lost what it acknowledged, or was restored from a copy"
        )
    return state


def shown(state: State, now: int) -> Head | None:
    """Return the head as a caller may have it: not expired, and a copy of what could be changed."""
    head = living(state.head, now)
    return head and head._replace(labels=dict(head.labels))


def look_again(before: State, cause: VanishedError) -> Steps[State]:
    """Read the head that was written since something of the one before had vanished.

    Raises:
        DamagedError: there is no newer one, so that nobody can have removed it.
    """
    state = yield from look(before.name, before)
    if state.id == before.id:
        raise DamagedError(f"{before.name!r} refers to {cause}, which is not there") from cause
    return state


def segments(state: State, refs: Sequence[SegmentRef]) -> Steps[list[tuple[Footer, bytes]]]:
    """Fetch whole segments, side by side."""
    keys = [place_of(state.name).segment(state.life, ref.id) for ref in refs]
    found = (yield All([Get(key) for key in keys])) if keys else []
    for key, body in zip(keys, found, strict=True):
        if body is None:
            raise VanishedError(key)
    return [(parse_segment(state.name, ref, one.body), one.body) for ref, one in zip(refs, found, strict=True)]


def frames_of(name: str, segment: tuple[Footer, bytes]) -> list[Frame]:
    """Read all frames of a segment."""
    footer, body = segment
    view = memoryview(body)
    return [
        frame
        for block in footer.blocks
        for frame in unpack(name, block, view[block.offset : block.offset + block.size])
    ]


def footers(state: State, refs: Sequence[SegmentRef]) -> Steps[list[Footer]]:
    """Fetch the footers of segments, side by side; small segments whole, as that is what will be asked for next."""
    place = place_of(state.name)
    wanted = [
        Get(place.segment(state.life, ref.id))
        if ref.size <= WHOLE
        else Get(place.segment(state.life, ref.id), start=ref.size - ref.footer, stop=ref.size)
        for ref in refs
    ]
    found = (yield All(wanted)) if wanted else []
    parsed = []
    for ref, request, one in zip(refs, wanted, found, strict=True):
        if one is None:
            raise VanishedError(request.key)
        read = parse_footer if request.start else parse_segment
        parsed.append(read(state.name, ref, one.body))
    return parsed


def linked(state: State) -> Steps[set[str]]:
    """Return the blobs that living entries refer to."""
    blobs = {blob for frame in state.tail for blob in frame.blobs}
    for footer in (yield from footers(state, [ref for ref in state.segments if ref.blobs])):
        blobs.update(link.blob for link in footer.links)
    return blobs


def frame_at(state: State, position: int) -> Steps[Frame | None]:
    """Return the frame that holds the entry at a position; None where that was removed."""
    frames = list(state.tail)
    refs = [ref for ref in state.segments if ref.first <= position < ref.next]
    for segment in (yield from segments(state, refs)):
        frames += frames_of(state.name, segment)
    return next((frame for frame in frames if frame.start <= position < frame.stop), None)
