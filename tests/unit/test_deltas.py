"""The codec of versions: after any edits, every version comes back exactly, or is a DamagedError."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stowfast import DamagedError, deltas
from stowfast.abc import MAX_ENTRY_BYTES
from stowfast.deltas import (
    MAX_TEXT_BYTES,
    Delta,
    DeltaChain,
    SpanRule,
    begin,
    chain_of,
    decode,
    encode,
    follow,
    rebuild,
)
from stowfast.stores.tasks.spans import earlier_spans, first_version, next_version
from stowfast.testing.tasks.states import noise
from tests.unit.edits import edited, values, written

MIB = 2**20
zstd = deltas._zstd()


def kept(texts: list[bytes]) -> tuple[list[bytes], DeltaChain]:
    """Store texts one after the other, as an endless process does."""
    entry, span = first_version(0, texts[0])
    entries = [entry]
    for now, text in enumerate(texts[1:], 1):
        entry, span = next_version(span, text, now)
        entries.append(entry)
        assert span.position == now
        assert span.text == text
    return entries, span


def stored(entries: list[bytes]) -> dict[int, Delta]:
    return {position: decode(entry, position, "here") for position, entry in enumerate(entries)}


def resumed(entries: list[bytes], position: int) -> DeltaChain:
    """Return the chain of a process after a read of the versions."""
    one = stored(entries)
    return DeltaChain(position, rebuild(position, one, "here"), chain_of(position, one, "here"))


@pytest.mark.parametrize(("radix", "longest"), [(2, 8), (4, 64), (16, 4096)])
@given(first=values, seed=st.integers(0, 2**32), count=st.integers(1, 120))
@settings(max_examples=40)
def test_every_edit_comes_back_cold_and_warm(radix, longest, first, seed, count) -> None:
    chance = random.Random(seed)
    value, texts = {"edited": first, "large": noise(chance.choice((0, 300, 9_000)), seed)}, list[bytes]()
    for _ in range(count):
        texts.append(written(value))
        value = edited(value, chance)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deltas, "_RULE", SpanRule((1, radix, radix**2)))
        patch.setattr(deltas, "_MAX_SPAN", longest)
        entries, span = kept(texts)
        for cold in {chance.randrange(count), count - 1}:
            # Who reads it goes on as who wrote it: the same bytes, so that it does not matter which of them saves.
            again = resumed(entries, cold)
            if cold == count - 1:
                assert again == span
            else:
                assert next_version(again, texts[cold + 1], cold + 1)[0] == entries[cold + 1]
    one = stored(entries)
    for position, text in enumerate(texts):
        assert rebuild(position, one, "here") == text
        # Twice as many where a small text, which is whole, stands in the way of those further back.
        assert len(chain_of(position, one, "here")) <= 2 * (3 * (radix - 1) + 1)
    known = dict(enumerate(texts[: count // 2]))
    assert [rebuild(position, one, "here", texts=known) for position in range(count)] == texts


def test_a_span_of_all_its_versions_ends_with_a_whole_one(monkeypatch) -> None:
    monkeypatch.setattr(deltas, "_RULE", SpanRule((1, 4, 16)))
    monkeypatch.setattr(deltas, "_MAX_SPAN", 64)
    texts = [written({"large": noise(60_000), "n": number}) for number in range(200)]
    entries, span = kept(texts)
    one = stored(entries)
    assert [position for position, found in one.items() if found.whole == position] == [0, 64, 128, 192]
    assert [position for position, _ in earlier_spans(span)] == [0, 64, 128]
    assert [now for _, now in earlier_spans(span)] == [64, 128, 192]
    bases = {position: position - found.base for position, found in one.items() if found.whole != position}
    assert {position: bases[position] for position in (1, 4, 5, 16, 20, 48, 63)} == {
        1: 1, 4: 4, 5: 1, 16: 16, 20: 4, 48: 16, 63: 1,
    }  # fmt: skip
    assert max(len(chain_of(position, one, "here")) for position in one) == 3 * 3 + 1


def test_no_more_is_read_than_twice_what_it_takes() -> None:
    texts = [written({"large": noise(8_000), "n": noise(60, number)}) for number in range(400)]
    one = stored(kept(texts)[0])
    for position, found in one.items():
        whole, *rest = (len(one[at].body) for at in range(found.whole, position + 1))
        assert sum(rest) == found.deltas <= max(whole, SpanRule().free_bytes)
        assert found.span == whole


def test_what_is_known_of_whole_versions_before_has_an_end() -> None:
    entries, span = kept([written(noise(600, number)) for number in range(1_000)])
    earlier = earlier_spans(span)
    assert 8 <= len(earlier) <= 16
    assert earlier == sorted(earlier)
    assert earlier[0][0] == 0
    assert all(began < ended for began, ended in earlier)
    assert earlier[-1][0] < span.delta.whole
    assert max(map(len, entries)) < 600 / 2 + 16 * 10


ENTRIES, _ = kept([written({"large": noise(2_000), "n": number, "more": noise(40, number)}) for number in range(9)])
TEXTS = [rebuild(position, stored(ENTRIES), "here") for position in range(9)]


def sealed(body: bytes) -> bytes:
    return body + zlib.crc32(body).to_bytes(4, "little")


def entry_of(*fields: Any) -> bytes:
    return sealed(b"\x01" + msgspec.msgpack.encode(fields))


def refused_or_right(entries: list[bytes], position: int) -> None:
    try:
        text = rebuild(position, stored(entries), "here")
    except DamagedError:
        return
    assert text == TEXTS[position]


@given(at=st.integers(0, 8), offset=st.integers(0, 10**6), flip=st.integers(1, 255), mend=st.booleans())
@settings(max_examples=500)
def test_a_damaged_byte_is_noticed(at, offset, flip, mend) -> None:
    damaged = bytearray(ENTRIES[at])
    damaged[offset % len(damaged)] ^= flip
    if not mend:
        with pytest.raises(DamagedError):
            decode(bytes(damaged), at, "here")
        return
    # Even where the outer checksum was made to fit, the one of the text does not.
    entries = [*ENTRIES[:at], sealed(bytes(damaged[:-4])), *ENTRIES[at + 1 :]]
    for position in range(9):
        refused_or_right(entries, position)


@given(at=st.integers(0, 8), field=st.integers(0, 11), data=st.data())
@settings(max_examples=500)
def test_a_forged_number_is_noticed(at, field, data) -> None:
    fields = msgspec.msgpack.decode(ENTRIES[at][1:-4])
    fields[field] = data.draw(
        st.one_of(st.integers(-3, 12), st.integers(-(2**70), 2**63), st.booleans(), st.none(), st.binary(max_size=99))
        | st.lists(st.lists(st.integers(-3, 3_000), min_size=3, max_size=3), max_size=3)
        | st.just([[1, 2]] * 9) | st.just(fields[7][:-1]) | st.just(fields[7] * 2) | st.just(fields[7] + b"\0")
    )  # fmt: skip
    try:
        forged = entry_of(*fields)
    except OverflowError:
        return
    entries = [*ENTRIES[:at], forged, *ENTRIES[at + 1 :]]
    for position in range(9):
        refused_or_right(entries, position)


@given(st.binary(max_size=200), st.booleans())
@settings(max_examples=300)
def test_what_is_no_entry_is_damaged(body, tagged) -> None:
    with pytest.raises(DamagedError):
        decode(sealed(b"\x01" + body) if tagged else body, 3, "here")


@pytest.mark.parametrize("missing", range(9))
def test_a_missing_entry_is_damage_to_what_is_made_from_it(missing) -> None:
    one = stored(ENTRIES)
    del one[missing]
    for position in set(range(9)) - {missing}:
        made_from = {at for at, _ in chain_of(position, stored(ENTRIES), "here")}
        if missing in made_from:
            with pytest.raises(DamagedError, match=f"a base, the entry at position {missing}, is missing"):
                rebuild(position, one, "here")
        else:
            assert rebuild(position, one, "here") == TEXTS[position]


def bomb(size: int) -> bytes:
    option = zstd.CompressionParameter
    packed: bytes = zstd.compress(bytes(size), options={option.compression_level: 1, option.checksum_flag: 1})
    return packed


BOMB = bomb(256 * MIB)


@pytest.mark.parametrize(
    ("says", "body"),
    [
        (100, BOMB),
        (0, BOMB),
        (MIB, BOMB),
        (2 * MIB, bomb(MIB)),
        (2 * MIB, bomb(MIB) * 2),
        (MIB, bomb(MIB)[:-1]),
        (MIB, bomb(MIB) + b"\0"),
        (MIB, b""),
        (MIB, b"no frame"),
    ],
    ids=["large", "nothing", "larger", "smaller", "two frames", "cut", "longer", "empty", "no frame"],
)
@pytest.mark.parametrize("whole", [True, False])
def test_no_more_is_made_of_an_entry_than_it_says(says, body, whole) -> None:
    at = -1 if whole else 0
    splices = [] if whole else [[0, len(TEXTS[0]), says]]
    fields: tuple[Any, ...] = (at, at, 0 if whole else 1, says, 0, splices, True, body, len(body), 0, 0, b"")
    one = {0: decode(ENTRIES[0], 0, "here"), 1: decode(entry_of(*fields), 1, "here")}
    tracemalloc.start()
    try:
        with pytest.raises(DamagedError):
            rebuild(1, one, "here")
        assert tracemalloc.get_traced_memory()[1] < says + 2 * MIB
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("says", [-1, MAX_ENTRY_BYTES + 1, 2**62, 2**64 - 1])
def test_an_entry_says_no_more_than_there_may_be(says) -> None:
    with pytest.raises(DamagedError):
        decode(entry_of(-1, -1, 0, says, 0, [], True, bomb(MIB), 1, 0, 0, b""), 0, "here")


def test_a_frame_that_looks_back_too_far_is_refused() -> None:
    option = zstd.CompressionParameter
    options = {option.window_log: 30, option.enable_long_distance_matching: 1, option.content_size_flag: 0}
    packer = zstd.ZstdCompressor(options=options)
    body = packer.compress(noise(5_000).encode()) + packer.flush()
    with pytest.raises(DamagedError):
        rebuild(0, {0: decode(entry_of(-1, -1, 0, 5_000, 0, [], True, body, 1, 0, 0, b""), 0, "here")}, "here")


def test_the_largest_text_is_the_largest_entry_of_a_store() -> None:
    assert MAX_TEXT_BYTES == MAX_ENTRY_BYTES


def test_versions_may_be_a_tree_with_gaps_between_positions() -> None:
    large = noise(20_000)
    texts = {
        0: f"{large}, root",
        70: f"{large}, left",
        71: f"right, {large}",
        500: f"{large}, left, left",
        501: "small",
    }
    parents = {70: 0, 71: 0, 500: 70, 501: 71}
    versions: dict[int, DeltaChain] = {}
    entries: dict[int, bytes] = {}
    for position, text in texts.items():
        before = versions.get(parents.get(position, -1))
        delta = follow(before, text.encode()) if before is not None else begin(text.encode(), header=b"the caller's")
        assert delta is not None
        # An entry is made before its position is known.
        entries[position] = encode(delta)
        versions[position] = DeltaChain.stored(position, text.encode(), delta, before)
    found = {position: decode(entry, position, "here") for position, entry in entries.items()}
    for position, text in texts.items():
        assert rebuild(position, found, "here") == text.encode()
        assert versions[position].links == chain_of(position, found, "here")
        assert versions[position].header == b"the caller's"
    assert [found[position].number for position in texts] == [0, 1, 1, 2, 2]
    assert max(len(entries[position]) for position in (70, 71, 500, 501)) < 120


@pytest.mark.parametrize("whole", [True, False])
def test_extra_bytes_make_an_entry_small_and_are_needed_again(whole) -> None:
    root, added = noise(20_000, "root").encode(), noise(5_000, "added").encode()
    text = added if whole else root + added
    start = DeltaChain.stored(0, root, begin(root))
    delta = begin(text, extra=added) if whole else follow(start, text, extra=added)
    assert delta is not None
    entry = encode(delta)
    assert len(entry) < 200
    found = {0: start.delta, 9: decode(entry, 9, "here")}
    assert rebuild(9, found, "here", extras={9: added}) == text
    for wrong in ({}, {9: added[:-1]}, {9: added + b"x"}, {9: noise(5_000, "other").encode()}):
        with pytest.raises(DamagedError):
            rebuild(9, found, "here", extras=wrong)
    assert rebuild(9, found, "here", texts={9: text}) == text


def test_extra_bytes_that_were_not_used_are_not_needed() -> None:
    delta = begin(b"small", extra=b"other bytes")
    assert rebuild(0, {0: delta.at(0)}, "here") == b"small"


def test_a_version_follows_a_chain_that_was_made_with_extra_bytes() -> None:
    """The base of version 8 is not the version before it, and is rebuilt with its own extra bytes."""
    extras: dict[int, bytes] = {}
    texts, known = [noise(2_000, 0).encode()], dict[int, Delta]()
    version = DeltaChain.stored(0, texts[0], begin(texts[0]))
    known[0] = version.delta
    for position in range(1, 20):
        extras[position] = noise(600, position).encode()
        texts.append(texts[-1] + extras[position])
        delta = follow(version, texts[-1], extra=extras[position], text_at=texts.__getitem__)
        assert delta is not None
        version = DeltaChain.stored(position, texts[-1], delta, version)
        known[position] = version.delta
        assert rebuild(position, known, "here", extras=extras) == texts[-1]
    with pytest.raises(DamagedError, match="extra bytes"):
        version.text_at(16)
