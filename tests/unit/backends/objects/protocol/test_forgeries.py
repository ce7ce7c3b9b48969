"""Objects of a hostile or broken writer, with valid checksums, are DamagedError: soon, and in little memory."""

from __future__ import annotations

import json
import time
import tracemalloc
import zlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hypothesis import given
from hypothesis import strategies as st

from stowfast import DamagedError
from stowfast.backends.objects.protocol.frames import frame, parse_frames
from stowfast.backends.objects.protocol.segment import Block, parse_segment, unpack
from stowfast.backends.objects.protocol.state import encode_state
from tests.golden.forged import REFUSED, forged_frame, forged_head, forged_segment, read_head, read_segment, refuses

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 2**20


@contextmanager
def cheaply(size: int = 8 * MIB) -> Iterator[None]:
    """Fail if a hostile object costs more memory or time than its size explains."""
    tracemalloc.start()
    began = time.process_time()
    try:
        yield
        assert time.process_time() - began < 2
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def changed(record: list[Any], place: int, value: object) -> list[Any]:
    return [*record[:place], value, *record[place + 1 :]]


def deep(record: dict[str, Any]) -> bytes:
    return json.dumps(record).encode()[:-1] + b',"x":' + b"[" * 200_000 + b"]" * 200_000 + b"}"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.integers(-3, 3) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
HEADER = {"name": "a", "life": 1, "commit": 1, "recent": ["c"], "tail": 0, "incarnation": "i", "next": 9, "length": 0}
REF = {
    "id": "s",
    "first": 0,
    "next": 2,
    "count": 2,
    "raw": 9,
    "size": 99,
    "footer": 50,
    "crc": 1,
    "calls": 0,
    "blobs": 0,
}


def ref(**more: Any) -> list[Any]:
    """Write a segment as a head does."""
    return list({**REF, **more}.values())


OPERATION = ["op", "i", 0, 1, 5, 1]
DESCRIPTION = {"first": 0, "next": 1, "at": 5, "sizes": [1]}
BLOCK = [4, 1, 0, 0, 1, 1, 1]
FOOTER = {"name": "a", "incarnation": "i", "blocks": [BLOCK], "calls": "", "links": []}


@given(st.sampled_from([*HEADER, "segments", "operations", "grave", "expires_at", "labels", "base", "more"]), JSON)
def test_a_header_of_anything_is_a_head_or_damage(member, value):
    for kind in range(4):
        found = read_head("a", forged_head(json.dumps({**HEADER, member: value}).encode(), kind=kind))
        assert found is REFUSED or read_head("a", encode_state(found)) == found


@given(st.sampled_from([*DESCRIPTION, "start", "op_id", "commit", "blobs", "more"]), JSON)
def test_a_description_of_anything_is_a_frame_or_damage(member, value):
    try:
        (found,) = parse_frames(forged_frame({**DESCRIPTION, member: value}, b"x"), "here")
    except DamagedError:
        return
    assert [entry.data for entry in found.entries()] == [b"x"]
    assert 0 <= found.first <= found.start < found.stop <= found.next


@given(st.sampled_from([*FOOTER, "more"]), JSON)
def test_a_footer_of_anything_is_one_or_damage(member, value):
    ref, body = forged_segment({**FOOTER, member: value}, b"?")
    assert read_segment("a", ref, body) is REFUSED  # in any case its block is not one


INSANE: list[Any] = [-1, -(2**63), -(2**64), 2**63, 2**64, 10**400, 1e300, 1.5, None, True, "1", [], {}]
WRONG_HEADERS: list[dict[str, Any]] = [
    *({member: value} for member in ("life", "commit", "tail", "next", "length", "revision") for value in INSANE),
    {"tail": 1}, {"tail": 2**32}, {"length": 1}, {"incarnation": None, "segments": [ref()]}, {"first": 10},
    {"segments": [ref()], "length": 1}, {"segments": [ref(), ref()], "length": 4},
    {"segments": [ref()], "length": 2, "next": 1}, {"segments": [ref()], "length": 2, "first": 1},
    {"name": "b"}, {"name": None}, {"labels": {"a": 1}}, {"recent": [1]},
    *({"segments": [ref(**{member: value})], "length": 2} for member in REF if member != "id" for value in INSANE),
    *({"segments": [ref(**more)], "length": 2}
      for more in ({"count": 3}, {"raw": 0}, {"footer": 99}, {"next": 0}, {"count": 2**62, "next": 2**62 + 1})),
    {"segments": [ref(count=0)], "length": 0}, {"operations": [OPERATION[:-1]]},
    *({"operations": [changed(OPERATION, place, value)]} for place in (2, 3, 5) for value in INSANE),
]  # fmt: skip


def test_a_header_whose_checksum_is_right_and_that_is_insane_is_damage():
    assert read_head("a", forged_head(HEADER)) is not REFUSED
    assert read_head("a", forged_head({**HEADER, "segments": [ref()], "length": 2})) is not REFUSED
    assert read_head("a", forged_head({**HEADER, "operations": [OPERATION]})) is not REFUSED
    with cheaply():
        for more in WRONG_HEADERS:
            assert read_head("a", forged_head({**HEADER, **more})) is REFUSED, more
        for kind in (1, 2, 3):
            assert read_head("a", forged_head(HEADER, kind=kind)) is REFUSED
        for raw in (b"", b"[]", b"{}", b"\xff", b'{"a":', b"{} {}", deep(HEADER)):
            assert read_head("a", forged_head(raw)) is REFUSED


WRONG_FRAMES: list[dict[str, Any]] = [
    *({member: value} for member in ("first", "next", "commit") for value in INSANE),
    *({"sizes": value} for value in ([], [2], [0], [1, 0], [-1, 2], [2**63, 1 - 2**63], [2**64], [1.0], [True], 1)),
    *({"at": value} for value in (2**63, -(2**63) - 1, None, "5")),
    {"start": 1}, {"start": 2**63}, {"start": -2, "first": 1}, {"first": 1}, {"next": 0}, {"op_id": 1}, {"blobs": [1]},
    {"sizes": [0] * 100_000 + [1]},
]  # fmt: skip


def test_a_frame_whose_checksum_is_right_and_that_is_insane_is_damage():
    assert parse_frames(forged_frame(DESCRIPTION, b"x"), "here")
    with cheaply():
        for more in WRONG_FRAMES:
            assert refuses(parse_frames, forged_frame({**DESCRIPTION, **more}, b"x"), "here"), more
        for described in (0, 1, 2**31, 2**32 - 1):
            raw = forged_frame(DESCRIPTION, b"x", described)
            assert refuses(parse_frames, raw, "here")
        assert refuses(parse_frames, forged_frame(deep(DESCRIPTION), b"x"), "here")
    # One that reaches into the next: its sizes say so, and its own bounds do not.
    greedy = forged_frame({**DESCRIPTION, "sizes": [1, 70], "next": 2}, b"x")
    assert refuses(parse_frames, greedy + forged_frame({**DESCRIPTION, "first": 2, "next": 3}, b"x"), "here")


WRONG_BLOCKS: list[list[list[Any]]] = [
    [], [[]], [[4, 1, 0, 0, 1, 1]], [[5, 1, 0, 0, 1, 1, 1]], [[4, 2, 0, 0, 1, 1, 1]], [[-1, 1, 0, 0, 1, 1, 1]],
    [[4, 1, 0, 1, 1, 1, 1]], [[4, 1, 0, 0, 2, 1, 1]], [[4, 1, 0, 0, 1, 2, 1]], [[4, 1, 0, 0, 1, 1, 2]],
    [[4, 1, 0, 0, 1, 1, 1], [4, 1, 0, 0, 1, 1, 1]], [[4, 2, 0, 0, 1, 1, 1], [6, -1, 0, 0, 1, 0, 0]],
    *([changed(BLOCK, place, value)] for place in (0, 1, 3, 4, 5, 6) for value in INSANE),
]  # fmt: skip


def test_a_footer_whose_checksum_is_right_and_that_is_insane_is_damage():
    parse_segment("a", *forged_segment(FOOTER, b"?"))
    wrong: list[dict[str, Any]] = [{"blocks": blocks} for blocks in WRONG_BLOCKS]
    wrong += [{"calls": calls} for calls in ("AAAAAAAAAAA=", "AAA", "?", 1, None, "A" * 2**16)]
    wrong += [{"links": links} for links in ([["b", 0, 0]], [["b", 0]], [[1, 0, 0]], 5)]
    with cheaply():
        for more in (*wrong, {"name": "b"}, {"name": None}, {"incarnation": 1}):
            ref, body = forged_segment({**FOOTER, **more}, b"?")
            assert refuses(parse_segment, "a", ref, body), more
        for raw in (b"", b"[]", b"\xff", deep(FOOTER)):
            ref, body = forged_segment(raw, b"?")
            assert refuses(parse_segment, "a", ref, body)
        for length in (0, 1, 2**32 - 1):
            ref, body = forged_segment(FOOTER, b"?", length=length)
            assert refuses(parse_segment, "a", ref, body)


def test_a_block_that_is_more_or_less_than_it_says_is_damage_and_costs_what_it_says():
    raw = bytes(frame(0, 1, 5, [b"x"]).raw)
    data = zlib.compress(raw)

    def refused(data: bytes, *, first: int = 0, next: int = 1, count: int = 1, raw: int = len(raw)) -> bool:
        block = Block(4, len(data), zlib.crc32(data), first, next, count, raw)
        return refuses(unpack, "a", block, data)

    assert not refused(data)
    bomb = zlib.compress(b"\0" * (64 * MIB))
    with cheaply():
        for size in (0, 1, len(raw) - 1, len(raw) + 1, 64 * MIB, 2**62, 2**63 - 1):
            assert refused(data, raw=size)
        for size in (1, 1_000, MIB):
            assert refused(bomb, raw=size)
        for other in (
            data[:-1],
            data + b"x",
            data + data,
            b"",
            raw,
            zlib.compress(b""),
            zlib.compress(raw[:-1] + b"y"),
        ):
            assert refused(other)
        assert refused(data, first=1, next=2)
        assert refused(data, next=2)
        assert refused(data, count=2)
    with cheaply(300 * MIB):
        assert refused(bomb, raw=64 * MIB)
