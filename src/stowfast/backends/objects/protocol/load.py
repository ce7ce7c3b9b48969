"""Loading: the head of a stream, its segments, and parts of them."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Final, TypeVar

from stowfast.backends.objects.protocol.keys import keys_of
from stowfast.backends.objects.protocol.requests import UNCHANGED, All, BehindEndError, Get
from stowfast.backends.objects.protocol.segment import check, parse_footer, parse_segment, unpack
from stowfast.backends.objects.protocol.state import State, decode_state
from stowfast.errors import DamagedError, UnsupportedError
from stowfast.names import moment_after
from stowfast.semantics import living

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stowfast.abc import Change, Head
    from stowfast.backends.objects.protocol.frames import Frame
    from stowfast.backends.objects.protocol.requests import Environment, Steps
    from stowfast.backends.objects.protocol.segment import Block, Footer
    from stowfast.backends.objects.protocol.state import SegmentRef

__all__ = [
    "WHOLE",
    "VanishedError",
    "blocks",
    "expiry_time",
    "footers",
    "frame_at",
    "frames",
    "frames_of",
    "linked",
    "missing",
    "read_head",
    "read_living",
    "reread_head",
    "segments",
    "timed",
    "unexpired",
]

R = TypeVar("R")

_SAME_CLOCK: Final = 1_000_000
"""Microseconds of difference up to which two clocks count as one."""

WHOLE: Final = 2**20
"""Bytes up to which a segment is fetched whole, since another request would cost more."""


class VanishedError(Exception):
    """An object that a head refers to is missing: a newer head was written, or the store is damaged."""


def read_head(name: str, known: State | None = None) -> Steps[State]:
    """Read the head of a stream. An unchanged cached head costs a 304.

    A cached tombstone may be gone, or replaced by the head of a stream with another origin: a sweep has removed it.
    A cached living head cannot be so within a week, and none is cached for more than a day.

    Raises:
        DamagedError: its bytes are wrong, or it is older than the cached head: the store has lost a write.
    """
    token = known.token if known is not None else None
    found = yield Get(keys_of(name).head, unless=token)
    if found is UNCHANGED:
        assert known is not None
        return known
    if found is None:
        if known is not None and known.head is not None:
            raise DamagedError(
                f"the head of {name!r} is gone, and no living head is ever deleted: the store has lost it, or was "
                "emptied behind our back; if it was meant to be, open it again"
            )
        return State(name)
    state = decode_state(name, found.body, found.token)
    if known is not None and state.commit < known.commit and (known.head is not None or state.origin == known.origin):
        raise DamagedError(
            f"the head of {name!r} went back from commit {known.commit} to {state.commit}: "
            "the store has lost what it acknowledged, or was restored from a copy"
        )
    return state


def expiry_time(head: Head | None, environment: Environment) -> int:
    """Return the time by which the expiry of a stream is judged: this machine's, or the store's if that is earlier.

    The store is asked only if the stream has expired by this machine's clock. So a clock that is ahead ends no stream.
    """
    now = environment.now()
    if head is None or environment.store_now is None or living(head, now) is not None:
        return now
    return min(now, environment.store_now())


def timed(change: Change, environment: Environment) -> Change:
    """Return a change with a ttl as one whose moment of expiry is by the clock of the store, if that is another.

    By the clock of a machine that is behind, the stream would be gone at once for all others.
    """
    if change.ttl is None or environment.store_now is None:
        return change
    now = environment.store_now()
    if abs(now - environment.now()) < _SAME_CLOCK:
        return change
    return change._replace(ttl=None, expires_at=moment_after(now, change.ttl))


def unexpired(state: State, environment: Environment) -> Head | None:
    """Return the head for a caller: None if expired, with copies of its mutable parts."""
    head = living(state.head, expiry_time(state.head, environment))
    return head and head._replace(labels=dict(head.labels))


def read_living(name: str, known: State | None, environment: Environment) -> Steps[tuple[State, Head | None]]:
    """Read the head of a stream, and return beside it the head for a caller."""
    state = yield from read_head(name, known)
    return state, unexpired(state, environment)


def reread_head(before: State, cause: VanishedError) -> Steps[State]:
    """Read the newer head after an object of the earlier head was missing.

    Raises:
        DamagedError: there is no newer head, so no process can have removed the object.
    """
    state = yield from read_head(before.name, before)
    if state.id == before.id:
        raise missing(before.name, cause)
    return state


def missing(name: str, cause: VanishedError) -> DamagedError:
    """Return the error for a missing object that the newest head refers to."""
    error = DamagedError(f"{name!r} refers to {cause}, which is not there")
    error.__cause__ = cause
    return error


def frames(state: State, refs: Sequence[SegmentRef]) -> Steps[list[list[Frame]]]:
    """Fetch whole segments, side by side, and return the frames of each."""
    return (yield from _read([(_whole(state, ref), _frames, ref) for ref in refs], state.name))


def segments(state: State, refs: Sequence[SegmentRef]) -> Steps[list[tuple[Footer, bytes]]]:
    """Fetch whole segments in parallel, and check each block against its checksum.

    An unchecked block would carry a transfer error into the merged segment for ever.
    """
    return (yield from _read([(_whole(state, ref), _checked, ref) for ref in refs], state.name))


def footers(state: State, refs: Sequence[SegmentRef]) -> Steps[list[Footer]]:
    """Fetch the footers of segments in parallel; small segments whole, since their blocks are needed next."""
    wanted = [
        (_whole(state, ref), parse_segment, ref)
        if ref.size <= WHOLE
        else (_whole(state, ref)._replace(start=ref.size - ref.footer, stop=ref.size), parse_footer, ref)
        for ref in refs
    ]
    return (yield from _read(wanted, state.name))


def blocks(state: State, ref: SegmentRef, wanted: Sequence[Block]) -> Steps[list[Frame]]:
    """Fetch neighbouring blocks of a segment with one range, and return their frames."""
    start, stop = wanted[0].offset, wanted[-1].offset + wanted[-1].size

    def parse(name: str, _: SegmentRef, part: bytes) -> list[Frame]:
        return _unpacked(name, wanted, part, start)

    (found,) = yield from _read([(_whole(state, ref)._replace(start=start, stop=stop), parse, ref)], state.name)
    return found


def _whole(state: State, ref: SegmentRef) -> Get:
    return Get(keys_of(state.name).segment(state.life, ref.id))


def _read(wanted: Sequence[tuple[Get, Callable[[str, SegmentRef, bytes], R], SegmentRef]], name: str) -> Steps[list[R]]:
    results = []
    try:
        found = (yield All([request for request, _, _ in wanted])) if wanted else []
        for (request, parse, ref), one in zip(wanted, found, strict=True):
            if one is None:
                raise VanishedError(request.key)
            try:
                results.append(parse(name, ref, one.body))
            except (DamagedError, UnsupportedError):
                # It may be whole in the store, and have been damaged on the way, or since it was cached.
                again = yield request._replace(fresh=True)
                if again is None:
                    raise VanishedError(request.key) from None
                results.append(parse(name, ref, again.body))
    except BehindEndError as error:
        raise DamagedError(f"a segment of {name!r} ends before its head says") from error
    return results


def _frames(name: str, ref: SegmentRef, body: bytes) -> list[Frame]:
    return frames_of(name, (parse_segment(name, ref, body), body))


def _checked(name: str, ref: SegmentRef, body: bytes) -> tuple[Footer, bytes]:
    footer = parse_segment(name, ref, body)
    view = memoryview(body)
    for block in footer.blocks:
        check(name, block, view[block.offset : block.offset + block.size])
    return footer, body


def frames_of(name: str, segment: tuple[Footer, bytes]) -> list[Frame]:
    """Read all frames of a segment."""
    footer, body = segment
    return _unpacked(name, footer.blocks, body, 0)


def _unpacked(name: str, within: Sequence[Block], part: bytes, start: int) -> list[Frame]:
    view = memoryview(part)
    return [
        frame
        for block in within
        for frame in unpack(name, block, view[block.offset - start : block.offset - start + block.size])
    ]


def linked(state: State) -> Steps[set[str]]:
    """Return the blobs of the stored entries."""
    blobs = {blob for frame in state.tail for blob in frame.blobs}
    for footer in (yield from footers(state, [ref for ref in state.segments if ref.blobs])):
        blobs.update(link.blob for link in footer.links)
    return blobs


def frame_at(state: State, position: int) -> Steps[Frame | None]:
    """Return the frame of the entry at a position; None if the entry was removed."""
    refs = [ref for ref in state.segments if ref.first <= position < ref.next]
    sealed = yield from frames(state, refs)
    return next((frame for frame in chain(state.tail, *sealed) if frame.start <= position < frame.stop), None)
