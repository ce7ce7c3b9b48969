"""Wrong bytes are DamagedError: each flipped bit, each missing byte, each part from elsewhere."""

from __future__ import annotations

import itertools
import json
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowfast import DamagedError, UnsupportedError
from stowfast.abc import Head
from stowfast.backends.objects.protocol.frames import frame, parse_frames
from stowfast.backends.objects.protocol.segment import Block, build, parse_footer, unpack
from stowfast.backends.objects.protocol.state import SegmentRef, State, decode_header, encode_state
from tests.golden.content import OBJECTS
from tests.golden.forged import REFUSED, TOKEN, read_head, read_segment, refuses

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def golden(kind: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in sorted(OBJECTS.glob(f"{kind}-*.bin")):
        yield path, json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))


HEADS = [pytest.param(told["name"], path.read_bytes(), id=path.stem) for path, told in golden("head")]
SEGMENTS = [
    pytest.param(told["name"], SegmentRef(**told["ref"]), path.read_bytes(), id=path.stem)
    for path, told in golden("segment")
]
ANY_HEAD = st.sampled_from([one.values for one in HEADS])
ANY_SEGMENT = st.sampled_from([one.values for one in SEGMENTS])


def wrong_in_one_place(body: bytes) -> Iterator[bytes]:
    """Every bit flipped, every byte missing or doubled, every shorter beginning and end."""
    for offset in range(len(body)):
        for bit in range(8):
            yield body[:offset] + bytes((body[offset] ^ 1 << bit,)) + body[offset + 1 :]
        yield body[:offset] + body[offset + 1 :]
        yield body[: offset + 1] + body[offset:]
        yield body[:offset]
        yield body[offset + 1 :]


@pytest.mark.parametrize(("name", "body"), HEADS)
def test_a_head_that_is_wrong_in_one_place_is_refused(name, body):
    assert read_head(name, body) is not REFUSED
    for wrong in wrong_in_one_place(body):
        if wrong != body:
            assert read_head(name, wrong) is REFUSED


@pytest.mark.parametrize(("name", "body"), HEADS)
def test_no_byte_changes_sides_between_header_and_note(name, body):
    lengths = int.from_bytes(body[4:12], "little")
    for one, other in itertools.combinations(range(64), 2):
        wrong = (lengths ^ 1 << one ^ 1 << other).to_bytes(8, "little")
        assert read_head(name, body[:4] + wrong + body[12:]) is REFUSED


@pytest.mark.parametrize(("name", "body"), HEADS)
def test_the_beginning_of_a_head_that_is_wrong_in_one_place_tells_nothing_else(name, body):
    right = decode_header(name, body, TOKEN, len(body))
    assert right is not None
    for wrong in wrong_in_one_place(body[: len(body) - 3]):
        try:
            found = decode_header(name, wrong, TOKEN, len(body))
        except (DamagedError, UnsupportedError):
            continue
        assert found in (None, right)  # None: the whole is asked for. Of the tail nothing was asked.


@pytest.mark.parametrize(("name", "ref", "body"), SEGMENTS)
def test_a_segment_that_is_wrong_in_one_place_is_refused(name, ref, body):
    assert read_segment(name, ref, body) is not REFUSED
    for wrong in wrong_in_one_place(body):
        assert read_segment(name, ref, wrong) is REFUSED


@pytest.mark.parametrize(("name", "ref", "body"), SEGMENTS)
def test_a_footer_that_is_fetched_alone_is_checked_as_well(name, ref, body):
    end = body[-ref.footer :]
    parse_footer(name, ref, end)
    for wrong in wrong_in_one_place(end):
        with pytest.raises(DamagedError):
            parse_footer(name, ref, wrong)


@given(ANY_HEAD, ANY_HEAD, st.data())
def test_two_heads_spliced_are_neither_or_one_of_them(one, other, data):
    cuts = [data.draw(st.integers(0, len(body))) for _, body in (one, other)]
    spliced = one[1][: cuts[0]] + other[1][cuts[1] :]
    for name, _ in (one, other):
        assert read_head(name, spliced) is REFUSED or spliced in (one[1], other[1])


@given(ANY_SEGMENT, ANY_SEGMENT, st.data())
def test_two_segments_spliced_are_neither_or_one_of_them(one, other, data):
    cuts = [data.draw(st.integers(0, len(body))) for *_, body in (one, other)]
    spliced = one[2][: cuts[0]] + other[2][cuts[1] :]
    for name, ref, body in (one, other):
        assert read_segment(name, ref, spliced) is REFUSED or spliced == body


@given(st.binary(max_size=200), st.sampled_from([b"", b"SFH\x01", b"SFH", b"SFS\x01"]), st.integers(0, 300))
def test_noise_is_refused(noise, magic, size):
    body = magic + noise
    assert read_head("a", body) is REFUSED
    ref = SegmentRef("5e6", 0, 1, 1, 1, len(body), min(size, len(body)), zlib.crc32(body[-size:-4]), 0, 0)
    assert read_segment("a", ref, body) is REFUSED
    assert body == b"" or refuses(parse_frames, body, "here")
    assert refuses(unpack, "a", Block(0, len(body), zlib.crc32(body), 0, 1, 1, 5), body)
    with suppress(DamagedError, UnsupportedError):
        assert decode_header("a", body, TOKEN, len(body) + size) is None


def test_a_segment_of_another_stream_life_or_place_is_refused():
    frames = [frame(0, 1, 5, [b"x"])]
    ref, body = build("a", "life-1", "5e6", [], frames, 100)
    for name, incarnation, put in (
        ("b", "life-1", frames),
        ("a", "life-2", frames),
        ("a", "life-1", [frame(0, 1, 5, [b"y"])]),
    ):
        other, its = build(name, incarnation, "5e6", [], put, 100)
        assert read_segment("a", ref, its) is REFUSED
        assert name == "a" or read_segment("a", other, its) is REFUSED
    assert read_segment("a", ref, body) is not REFUSED


def test_a_tail_whose_frames_are_not_those_of_the_head_is_damage():
    frames = [frame(number, number + 1, 5, [b"%d" % number]) for number in range(3)]
    head = Head("a", "i", 0, 3, 3, 0, 0, {}, b"", 1, 1, None)
    state = State("a", TOKEN, head, 1, 1, ("c",), tail=tuple(frames))
    right = encode_state(state)
    begin = right[: -state.tail_size]
    assert read_head("a", right) is not REFUSED
    for tail in ([1, 0, 2], [0, 2, 1], [0, 0, 2], [0, 1, 1], [2, 2, 2], [0, 1], [1, 2], [], [0, 1, 2, 2]):
        assert read_head("a", begin + b"".join(frames[number].raw for number in tail)) is REFUSED
    for moved in (head._replace(first=1), head._replace(next=2), head._replace(length=2)):
        assert read_head("a", encode_state(state._replace(head=moved))) is REFUSED
    ref = SegmentRef("s", 0, 2, 1, 9, 99, 50, 1, 0, 0)
    assert read_head("a", encode_state(state._replace(segments=(ref,), head=head._replace(length=4)))) is REFUSED
