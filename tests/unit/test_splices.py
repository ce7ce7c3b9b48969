"""Differences between two texts: any new text comes back exactly, and what is equal is not stored."""

from __future__ import annotations

import random
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stowfast.splices import MAX_SPLICES, PieceTable, Splice, added, around, differences
from tests.unit.edits import edited, values, written

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 2**20
LARGE = random.Random(1).randbytes(MIB)

few = st.lists(st.sampled_from([b"a", b"b", b"ab" * 40, bytes(90)]), max_size=40).map(b"".join)


def comes_back(old: bytes, new: bytes) -> tuple[Splice, ...]:
    splices = differences(old, new)
    assert bytes(PieceTable((old,)).spliced(splices, added(new, splices))) == new
    assert len(splices) <= MAX_SPLICES
    assert (splices == ()) == (old == new)
    kept, removed, more = (sum(numbers) for numbers in zip(*splices, strict=True)) if splices else (0, 0, 0)
    assert kept + removed <= len(old)
    assert len(old) - removed + more == len(new)
    return splices


@given(few | st.binary(), few | st.binary())
def test_any_text_comes_back(old: bytes, new: bytes) -> None:
    comes_back(old, new)


@given(values, st.integers(0, 2**32), st.integers(1, 9))
def test_an_edited_text_comes_back(value: object, seed: int, edits: int) -> None:
    chance = random.Random(seed)
    now = {"edited": value, "large": LARGE[: chance.choice((0, 900, 9_000))].hex()}
    old = written(now)
    for _ in range(edits):
        now = edited(now, chance)
    comes_back(old, written(now))


def replaced(at: int, text: bytes) -> bytes:
    return text[:at] + b"x" * 1_000 + text[at + 1_000 :]


def moved(at: int, text: bytes) -> bytes:
    """Leave a record out at one place, and put another in elsewhere."""
    shorter = text[:at] + text[at + 1_000 :]
    elsewhere = (at + MIB // 2) % MIB
    return shorter[:elsewhere] + b"y" * 900 + shorter[elsewhere:]


@pytest.mark.parametrize("edit", [replaced, moved], ids=["replaced", "moved"])
@pytest.mark.parametrize("count", [1, 8, 30])
def test_only_the_differences_of_a_large_text_are_added(edit: Callable[[int, bytes], bytes], count: int) -> None:
    new = LARGE
    for number in range(count):
        new = edit(20_000 + number * 30_000, new)
    splices = comes_back(LARGE, new)
    assert len(added(new, splices)) <= 1_100 * count
    assert len(around(PieceTable((LARGE,)), splices)) <= 2 * 2**15 + 2_200 * count


def test_an_inserted_block_is_found_by_what_comes_after_it() -> None:
    new = LARGE[:500_000] + bytes(50_000) + LARGE[500_000:]
    assert comes_back(LARGE, new) == (Splice(500_000, 0, 50_000),)
    assert comes_back(new, LARGE) == (Splice(500_000, 50_000, 0),)


def test_a_short_equal_part_belongs_to_the_difference() -> None:
    old, new = (
        bytes(range(200)) + b"1" * 40 + bytes(200),
        bytes(range(200)) + b"2" * 9 + b"1" * 40 + b"3" * 9 + bytes(200),
    )
    assert len(comes_back(old, new)) == 1


def test_differences_beyond_the_bound_count_as_one() -> None:
    new = bytearray(LARGE)
    for at in range(0, MIB, 4_096):
        new[at] ^= 1
    splices = comes_back(LARGE, bytes(new))
    assert len(splices) == MAX_SPLICES
    assert splices[0] == Splice(0, 1, 1)
    assert splices[-1].removed > MIB // 2


@given(st.lists(st.tuples(st.integers(0, MIB), st.integers(0, 3_000), st.binary(max_size=40)), min_size=1, max_size=40))
def test_a_chain_of_differences_leads_to_the_last_text(edits: list[tuple[int, int, bytes]]) -> None:
    text, table = LARGE, PieceTable((LARGE,))
    for at, removed, put in edits:
        new = text[:at] + put + text[at + removed :]
        splices = differences(text, new)
        assert around(table, splices) == around(PieceTable((text,)), splices)
        table, text = table.spliced(splices, added(new, splices)), new
        assert len(table) == len(text)
        assert table.between(max(at - 9, 0), at + 3_000) == text[max(at - 9, 0) : at + 3_000]
    assert bytes(table) == text


def test_a_chain_of_differences_copies_a_large_text_once() -> None:
    table = PieceTable((LARGE,))
    tracemalloc.start()
    for number in range(30):
        table = table.spliced((Splice(20_000 + number * 30_000, 500, 400),), bytes(400))
    changed, _ = tracemalloc.get_traced_memory()
    assert changed < 2**16
    assert len(bytes(table)) == MIB - 3_000
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MIB + 2**16


def test_small_pieces_are_joined() -> None:
    table = PieceTable((LARGE[:100_000],))
    tracemalloc.start()
    for _ in range(1_000):
        table = table.spliced((Splice(50_000, 1, 1),), b"x")
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 300_000
    assert table.between(49_999, 50_002) == LARGE[49_999:50_000] + b"x" + LARGE[50_001:50_002]


def test_what_pieces_keep_in_memory_is_bounded() -> None:
    table = PieceTable((LARGE,))
    tracemalloc.start()
    for number in range(40):  # each step leaves one byte of the one before, and of all others
        table = table.spliced((Splice(number + 1, len(table) - number - 1, MIB),), bytes(MIB))
        assert len(table) == MIB + number + 1
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 4 * MIB
