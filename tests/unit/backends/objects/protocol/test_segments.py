"""How segments are sealed and merged: few are there, one PUT makes one, and a byte is not uploaded too often."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowfast.abc import Head
from stowfast.backends.objects.protocol.draft import Draft
from stowfast.backends.objects.protocol.frames import Frame, frame
from stowfast.backends.objects.protocol.keys import keys_of
from stowfast.backends.objects.protocol.load import frames_of
from stowfast.backends.objects.protocol.requests import ANY, All, Environment, Get, Limits, Object, Put, Token
from stowfast.backends.objects.protocol.seal import (
    _extended,
    _growing,
    _level,
    frames_to_seal,
    limits_of,
    merge,
    merge_candidates,
    needs_seal,
    seal,
)
from stowfast.backends.objects.protocol.segment import grouped, parse_segment
from stowfast.backends.objects.protocol.state import SegmentRef, State, decode_state, encode_state

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stowfast.backends.objects.protocol.seal import Sealed

KIB, MIB = 2**10, 2**20
SMALL = Limits(tail=600, kept=200, newest=2_000, head=4_000, block=300, growing=1_000, segment=16_000)
TOKEN = Token("e-tag", None)
HEAD = Head("a/b", "life", 0, 0, 0, 0, 0, {}, b"", 1, 1, None)


def environment(limits: Limits = SMALL) -> Environment:
    ids = itertools.count()
    return Environment(lambda: 0, lambda: f"{next(ids):016x}", lambda: 0.5, limits)


def ref(raw: int) -> SegmentRef:
    return SegmentRef("s", 0, 1, 1, raw, raw + 100, 50, 0, 0, 0)


def refs(*raws: float) -> list[SegmentRef]:
    return [ref(int(raw * MIB)) for raw in raws]


def sized(size: int) -> Frame:
    return Frame(0, 1, 1, 0, (size,), "", None, 0, (), b"x" * size)


def tail(*sizes: int) -> tuple[Frame, ...]:
    return tuple(map(sized, sizes))


class Grown:
    """A stream of so many bytes; only their sizes are stored."""

    def __init__(self, total: int, size: Callable[[], int], limits: Limits) -> None:
        self.segments: list[SegmentRef] = []
        self.most = self.puts = self.uploaded = self.appended = 0
        frames: list[int] = []
        held = 0
        while self.appended < total:
            frames.append(size())
            held += frames[-1]
            self.appended += frames[-1]
            if held > max(limits.tail, 2 * frames[-1]):
                kept = 0
                while frames and kept + frames[-1] <= limits.kept:
                    kept += frames.pop()
                self._seal(held - kept, limits)
                frames, held = [kept] if kept else [], kept

    def _seal(self, raw: int, limits: Limits) -> None:
        start = _growing(self.segments, raw, limits)
        self._put(ref(raw + sum(one.raw for one in self.segments[start:])), start, len(self.segments))
        self.merge(limits)

    def merge(self, limits: Limits) -> None:
        """Merge until there are no merge candidates."""
        while crowd := merge_candidates(self.segments, limits):
            start = next(at for at in range(len(self.segments)) if self.segments[at] is crowd[0])
            self._put(ref(sum(one.raw for one in crowd)), start, start + len(crowd))

    def add(self, raw: int, limits: Limits) -> None:
        """Write a segment with a commit of its own."""
        self.segments.append(ref(raw))
        self.uploaded += raw
        self.merge(limits)
        self.most = max(self.most, len(self.segments))

    def _put(self, made: SegmentRef, start: int, stop: int) -> None:
        self.segments[start:stop] = [made]
        self.puts += 1
        self.uploaded += made.raw
        self.most = max(self.most, len(self.segments))


@pytest.mark.parametrize("size", [170, 1_100, 10 * KIB, 30 * KIB])
def test_a_hundred_megabytes_are_a_dozen_segments_and_uploaded_some_ten_times(size):
    draw = random.Random(size)
    for sizes in (lambda: size, lambda: int(draw.expovariate(1 / size)) + 80):
        grown = Grown(100 * MIB, sizes, Limits())
        assert grown.most <= 13
        assert grown.uploaded < 14 * grown.appended  # measured: 10.8 to 13.0, before compression
        assert grown.puts < 1.02 * grown.appended / (Limits().tail - Limits().kept) + 1


@pytest.mark.parametrize("sizes", [[300], [600], [1024], [2560], [600, 2560], [600, 600, 600, 5000], [2560, 10]])
def test_entries_that_no_tail_can_hold_are_merged_as_well(sizes):
    grown = Grown(0, lambda: 0, Limits())
    added = 0
    for size in itertools.cycle(sizes):
        grown.add(size * KIB, Limits())
        added += size * KIB
        if added > 100 * MIB:
            break
    assert grown.most <= 16
    assert grown.uploaded < 5 * added


@pytest.mark.parametrize("megabytes", [1, 3, 10, 30, 300])
def test_segments_grow_in_number_with_the_logarithm_and_then_by_the_largest_size(megabytes):
    grown = Grown(megabytes * MIB, lambda: 4_000, Limits())
    levels = _level(Limits().segment, Limits())
    assert grown.most <= 3 * levels + 1 + megabytes * MIB // Limits().segment


@given(st.lists(st.integers(1, 40_000), max_size=30), st.integers(1, 16_000))
def test_what_is_sealed_goes_into_what_is_growing_at_the_end_and_has_a_largest_size(raws, raw):
    old = [ref(one) for one in raws]
    start = _growing(old, raw, SMALL)
    merged = raw + sum(one.raw for one in old[start:])
    assert all(one.raw < SMALL.growing for one in old[start:])
    assert merged <= SMALL.segment
    assert not start or old[start - 1].raw >= SMALL.growing or merged + old[start - 1].raw > SMALL.segment


@given(st.lists(st.integers(1, 40_000), max_size=30))
def test_what_is_crowded_are_neighbours_and_afterwards_there_are_few(raws):
    grown = Grown(0, lambda: 0, SMALL)
    grown.segments = [ref(one) for one in raws]
    crowd = merge_candidates(grown.segments, SMALL)
    assert len(crowd) != 1
    assert sum(one.raw for one in crowd) <= SMALL.fan_in * SMALL.segment
    for raw in raws:
        grown.add(raw, SMALL)
    full = sum(raw >= SMALL.segment for raw in [one.raw for one in grown.segments])
    levels = _level(SMALL.segment, SMALL)
    assert len(grown.segments) - full <= (full + 1) * (3 * levels + 3)


@pytest.mark.parametrize(
    ("old", "raw", "start"),
    [
        (refs(), 0.1, 0),
        (refs(0.5), 0.1, 0),
        (refs(1), 0.1, 1),  # a full one is left alone
        (refs(2, 0.5), 0.1, 1),
        (refs(0.3, 0.5, 0.2), 0.1, 0),
        (refs(0.3, 2, 0.2), 0.1, 2),
        (refs(15, 0.9), 15.9, 2),  # together they would be too large
    ],
)
def test_what_is_sealed_into(old, raw, start):
    assert _growing(old, int(raw * MIB), Limits()) == start


@pytest.mark.parametrize(
    ("old", "crowd"),
    [
        (refs(), ()),
        (refs(0.5), ()),
        (refs(0.5, 0.5, 0.5), ()),  # the next seal merges them
        (refs(0.2, 0.2, 0.2, 0.2), (0, 4)),  # nobody seals
        (refs(0.9, 0.9, 0.9, 0.9), (0, 4)),
        (refs(1, 1, 1), ()),
        (refs(1, 1, 1, 1), (0, 4)),
        (refs(1, 1, 1, 1, 0.5), (0, 4)),  # what is growing is left to the next seal
        (refs(1, 5, 1, 1, 1), ()),  # the first one has a larger behind it, which becomes full some day
        (refs(5, 5, 5, 1, 1, 1, 1.1), (0, 7)),  # 4.1 MiB in all: one of the next level, of which there are four now
        (refs(16, 16, 16, 16), ()),
        (refs(15, 15, 15, 15), (0, 4)),
        (refs(15.9, 15.9, 15.9, 15.9, 15.9), (1, 5)),  # the largest there is: not over four times the limit
        (refs(9, 2, 2, 2, 2), (1, 5)),
        (refs(9, 0.5, 2), (1, 3)),  # one that is smaller than the next would be left behind for ever
        (refs(9, 0.5, 2, 0.3), (1, 3)),
        (refs(16, 0.5, 16), ()),
    ],
)
def test_what_is_crowded(old, crowd):
    assert list(merge_candidates(old, Limits())) == (old[slice(*crowd)] if crowd else [])


def test_the_newest_stay_in_the_tail_unless_they_are_too_large():
    limits = Limits()
    assert frames_to_seal((), limits) == ()
    assert frames_to_seal(tail(1), limits) == ()
    assert len(frames_to_seal(tail(*[4 * KIB] * 20), limits)) == 16
    assert (
        len(frames_to_seal(tail(*[4 * KIB] * 20, 17 * KIB), limits)) == 20
    )  # the newest is kept though it is over the limit
    assert len(frames_to_seal(tail(1, limits.newest), limits)) == 1
    assert len(frames_to_seal(tail(1, limits.newest + 1), limits)) == 2
    assert len(frames_to_seal(tail(1, 1, 100 * KIB, 1), limits)) == 3


@given(st.lists(st.integers(1, 5_000), max_size=20))
def test_what_stays_is_the_end_and_small(sizes):
    frames = tail(*sizes)
    moved = frames_to_seal(frames, SMALL)
    kept = frames[len(moved) :]
    assert moved == frames[: len(moved)]
    assert sum(len(one.raw) for one in kept) <= max(SMALL.kept, *(len(one.raw) for one in kept[-1:]), 0)
    assert all(len(one.raw) <= SMALL.newest for one in kept)


def test_who_crosses_the_limit_seals_and_beyond_twice_the_limit_anyone():
    def is_due(before: Sequence[int], *after: int) -> bool:
        left, found = (State("a/b", TOKEN, HEAD, tail=tail(*sizes)) for sizes in (after, before))
        return needs_seal(left, found, Limits())

    assert not is_due([])
    assert not is_due([KIB] * 63, *[KIB] * 64)
    assert is_due([KIB] * 64, *[KIB] * 65)
    assert not is_due([KIB] * 65, *[KIB] * 66)  # another one does
    assert is_due([KIB] * 128, *[KIB] * 129)  # and it seems to have died
    assert not is_due([], 100 * KIB)  # nothing older than what stays
    assert not is_due([60 * KIB], 60 * KIB, 100 * KIB)  # large ones are not sealed one by one
    assert not is_due([10 * KIB] * 24, *[10 * KIB] * 25)  # so many are worth a PUT
    assert is_due([10 * KIB] * 25, *[10 * KIB] * 26)
    assert not is_due([60 * KIB] * 3, *[60 * KIB] * 4)
    assert is_due([60 * KIB] * 4, *[60 * KIB] * 5)  # as far as a head holds them


def cold(*sizes: int) -> State:
    return State("a/b", TOKEN, HEAD, tail=tail(*sizes), cold=True)


def test_what_is_cold_leaves_the_head_soon_and_whole():
    limits = limits_of(cold(), Limits())
    assert limits_of(State("a/b"), Limits()) == Limits()
    assert not needs_seal(cold(*[KIB] * 8), cold(*[KIB] * 7), limits)
    assert needs_seal(cold(*[KIB] * 9), cold(*[KIB] * 8), limits)
    assert needs_seal(
        cold(*[KIB] * 10), cold(*[KIB] * 9), limits
    )  # whoever comes next, should that one have had no time
    assert not needs_seal(cold(*[200] * 10), cold(*[200] * 9), limits)
    assert needs_seal(cold(*[200] * 11), cold(*[200] * 10), limits)  # below 2 KiB a seal saves little
    assert needs_seal(cold(500, 9 * KIB), cold(500), limits)  # large ones are, one by one
    assert len(frames_to_seal(tail(*[100] * 9), limits)) == 8  # but for the newest, if it is small
    assert len(frames_to_seal(tail(100, 3 * KIB), limits)) == 2
    assert all(needs_seal(cold(*[size] * 12), cold(*[size] * 2), limits) for size in (400, KIB, 4 * KIB))


@pytest.mark.parametrize(
    ("old", "crowd"),
    [
        (refs(*[0.005] * 7), ()),
        (refs(*[0.005] * 8), (0, 8)),
        (refs(0.1, *[0.005] * 8), (1, 9)),
        (refs(*[0.1] * 7, *[0.005] * 8), (7, 15)),
        (refs(0.005, 0.5), ()),
        (refs(0.005, 0.005, 0.5), (0, 2)),  # what is behind a large one is not written with it, but once by itself
        (refs(0.1, 0.5, 0.005, 0.1, 0.005, 0.5), (2, 5)),
        (refs(*[0.4, 0.05] * 7, 0.4), ()),  # what follows the newest whole version rests on that alone
        (refs(*[0.4, 0.05] * 8, 0.4), (0, 15)),
        (refs(*[3.0] * 99, 17.0), ()),  # nor is the whole history written at once, for one that is larger
        (refs(*[1.9] * 99, 2.1), (97, 99)),
        (refs(*[0.6] * 20), ()),  # eight of them would be too large for one
    ],
)
def test_what_is_crowded_where_it_is_cold(old, crowd):
    limits = limits_of(cold(), Limits())
    assert list(merge_candidates(old, limits)) == (old[slice(*crowd)] if crowd else [])


def test_cold_segments_are_few_and_are_written_a_few_times():
    limits, grown = limits_of(cold(), Limits()), Grown(0, lambda: 0, Limits())
    for number in range(1, 4_000):
        grown.add(500 * KIB if number % 100 == 0 else 5 * KIB, limits)
    added = 40 * 500 * KIB + 4_000 * 5 * KIB
    assert grown.most <= 4 * limits.fan_in + added // limits.segment
    assert grown.uploaded <= 4 * added


def run_of(raw: int, entries: int) -> SegmentRef:
    return SegmentRef("s", 0, entries, entries, raw, raw + 100, 50, 0, 0, 0)


WHOLE = run_of(350 * KIB, 4)
LARGE = run_of(830 * KIB, 4)


@pytest.mark.parametrize(
    ("old", "raw", "start"),
    [
        ((), 8, 0),
        ((8,), 8, 1),  # a second one, and a third
        ((8, 8), 8, 2),
        ((8, 8, 8), 8, 0),
        ((80, 8, 8), 8, 1),
        ((80, 40, 8), 8, 2),  # the last one grows
        ((120, 40, 20), 8, 1),  # until it has cost as much as the one before it
        ((80, 40, 20), 8, 0),  # and that as much as the first
        ((300, 40, 8), 8, 2),  # beyond 128 KiB one has the span before it
        ((300, 8, 16), 8, 1),
        ((300, 8), 8, 2),
        ((WHOLE, 8), 8, 2),  # a whole version counts, and is not written again
        ((WHOLE, 8, 8), 8, 1),
        ((WHOLE, 40, 8), 8, 2),
        ((WHOLE, 100, 40), 8, 1),
        ((WHOLE, 300, 40), 8, 2),
        ((WHOLE, 300, 90), 8, 1),
        ((8, 8, 8, WHOLE, 300, 8, 8), 8, 5),  # what lies before it is nobody's any more
        ((WHOLE, 300, 8, run_of(60 * KIB, 2), 8), 8, 1),  # a large difference is none
        ((WHOLE, 300, 8, run_of(200 * KIB, 2)), 8, 4),  # but one of more than half its bytes may be one
        ((LARGE, 300, 40, 8), 8, 3),  # behind a very large one there is one more
        ((LARGE, 300, 40), 8, 3),
        ((LARGE, 1_100, 40), 8, 3),  # larger than what it follows: another span ends in it
    ],
)
def test_what_is_sealed_into_where_it_is_cold(old, raw, start):
    found = [one if isinstance(one, SegmentRef) else run_of(one * KIB, one) for one in old]
    limits = limits_of(cold(), Limits())
    assert _extended(found, raw * KIB, limits) == start
    behind = max((at for at, one in enumerate(found) if one.raw >= 128 * KIB and one.count < 9), default=-1)
    many = len(found) - behind - 1 > (3 if found and found[behind] is LARGE else 2 if behind >= 0 else 3)
    tail = cold(KIB, KIB)._replace(segments=tuple(found))
    assert needs_seal(tail, cold(KIB), limits) == many  # too many of them are merged soon


def test_a_segment_of_the_largest_size_is_not_extended():
    limits = limits_of(cold(), Limits())
    found = [run_of(4 * MIB, 4), *(run_of(size * MIB, 900) for size in (3, 1, 2))]
    assert _extended(found, limits.segment - 2 * MIB, limits) == 3
    assert _extended(found, limits.segment - 2 * MIB + 1, limits) == 4
    assert _extended([WHOLE, run_of(limits.segment, 900), run_of(limits.segment, 900)], KIB, limits) == 3


@pytest.mark.parametrize("raw", [2, 5, 9])
def test_a_span_is_three_segments_and_is_written_six_times(raw):
    limits, held, grown = limits_of(cold(), Limits()), 0, [run_of(350 * KIB, 4)]
    uploaded = 0
    for number in range(1, 350 // raw + 1):
        start = _extended(grown, raw * KIB, limits)
        grown[start:] = [run_of(raw * KIB + sum(one.raw for one in grown[start:]), 8 * number)]
        uploaded += grown[-1].raw
        held += raw * KIB
        assert len(grown) <= 3
        assert sum(one.raw for one in grown[1:]) == held
    assert uploaded <= (350 / raw) ** 0.5 * held  # measured: 0.9 times the root of the number of seals


@given(st.lists(st.integers(1, 900), max_size=20), st.integers(1, 1_000))
def test_groups_are_whole_frames_in_order_and_no_larger_than_asked(sizes, size):
    frames = tail(*sizes)
    groups = list(grouped(frames, size))
    assert tuple(itertools.chain(*groups)) == frames
    assert all(len(group) == 1 or sum(len(one.raw) for one in group) <= size for group in groups)
    assert all(sum(len(one.raw) for one in (*group, after[0])) > size for group, after in itertools.pairwise(groups))


class Bucket:
    """A dictionary, and the requested keys."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.puts: list[Put] = []

    def run(self, steps: Any) -> Any:
        result = None
        while True:
            try:
                request = steps.send(result)
            except StopIteration as done:
                return done.value
            assert isinstance(request, All)
            result = [self._perform(one) for one in request.requests]

    def _perform(self, request: Any) -> Any:
        if isinstance(request, Get):
            body = self.objects.get(request.key)
            return body and Object(body, TOKEN, len(body))
        assert isinstance(request, Put)
        assert request.condition is ANY
        assert request.key not in self.objects
        self.puts.append(request)
        self.objects[request.key] = bytes(request.body)
        return TOKEN


def contents(bucket: Bucket, state: State) -> list[tuple[int, bytes]]:
    bodies = [(one, bucket.objects[keys_of("a/b").segment(1, one.id)]) for one in state.segments]
    sealed = [frames_of("a/b", (parse_segment("a/b", one, body), body)) for one, body in bodies]
    return [(entry.position, entry.data) for one in (*itertools.chain(*sealed), *state.tail) for entry in one.entries()]


@given(st.lists(st.tuples(st.integers(0, 800), st.integers(0, 3)), max_size=120), st.integers(0, 3))
def test_whatever_is_appended_is_there_after_any_number_of_seals_each_of_one_put(appends, repeats):
    bucket, here = Bucket(), environment()
    state, wanted = State("a/b", TOKEN, HEAD, life=1, commit=1, recent=("c",)), []
    for size, gap in appends * repeats:
        assert state.head is not None
        first, before = state.head.next + gap, state
        one = frame(first, first + 1, 1, [bytes([size % 251]) * size], op_id=f"op-{first}", commit=1)
        wanted += [(entry.position, entry.data) for entry in one.entries()]
        head = state.head._replace(next=first + 1, length=state.head.length + 1)
        state = state._replace(head=head, tail=(*state.tail, one))
        if needs_seal(state, before, SMALL):
            puts = len(bucket.puts)
            sealed = bucket.run(seal(state, here))
            assert len(bucket.puts) == puts + 1 == puts + len(sealed.refs)
            state = swapped(state, sealed)
            while crowd := merge_candidates(state.segments, SMALL):
                state = swapped(state, bucket.run(merge(state, crowd, here)))
        state = decode_state("a/b", encode_state(state), TOKEN)
    assert contents(bucket, state) == wanted
    assert all(parse_key(put.key) for put in bucket.puts)


def swapped(state: State, sealed: Sealed) -> State:
    draft = Draft(state, environment(), {})
    assert draft.swap(sealed)
    return draft.state._replace(grave=())


def parse_key(key: str) -> bool:
    return key.startswith("d/a/b/00000001/")


def test_a_segment_that_another_one_has_merged_meanwhile_is_no_reason_to_write():
    bucket = Bucket()
    frames = tuple(frame(number, number + 1, 1, [b"x" * 100]) for number in range(8))
    gone = SegmentRef("gone", 0, 1, 1, 100, 200, 50, 0, 0, 0)
    state = State("a/b", TOKEN, HEAD._replace(next=8, length=9), life=1, segments=(gone,), tail=frames)
    assert bucket.run(seal(state, environment())) is None
    assert bucket.puts == []


def test_more_than_a_segment_may_hold_becomes_several_and_none_is_merged():
    bucket = Bucket()
    frames = tuple(frame(number, number + 1, 1, [b"x" * 3_000]) for number in range(1, 9))
    small = SegmentRef("small", 0, 1, 1, 100, 200, 50, 0, 0, 0)
    state = State("a/b", TOKEN, HEAD._replace(next=9, length=9), life=1, segments=(small,), tail=frames)
    sealed = bucket.run(seal(state, environment()))
    assert sealed.replaced == ()
    assert len(sealed.refs) == len(bucket.puts) == 2
    assert contents(bucket, state._replace(segments=sealed.refs, tail=())) == [
        (entry.position, entry.data) for one in frames for entry in one.entries()
    ]
