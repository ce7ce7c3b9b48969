"""Joined ids: the ids of frameworks stay apart, with any characters and of any length."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import stowfast
from stowfast.adapters.ids import joined
from stowfast.errors import InvalidError
from stowfast.stores.codec import MAX_ID_BYTES

parts = st.lists(st.text(st.characters() | st.sampled_from("/%\0~-:")) | st.just("x" * 251), min_size=1, max_size=4)


@given(parts, parts)
def test_two_lists_of_parts_never_give_one_id(one: list[str], other: list[str]) -> None:
    assert (joined(*one) == joined(*other)) == (one == other)


@given(parts)
def test_four_parts_fit_into_an_id(found: list[str]) -> None:
    assert len(joined(*found).encode()) <= MAX_ID_BYTES
    assert joined(*found).count("/") == len(found) - 1


def test_long_parts_with_one_beginning_stay_apart() -> None:
    assert joined("x" * 1000 + "a") != joined("x" * 1000 + "b")


async def test_every_part_is_an_id() -> None:
    async with await stowfast.open("memory:") as stores:
        for part in ("", "\0", "\ud800", "../..", "a/b", "ü" * 500):
            await stores.documents.put(joined("strands", part), part.encode(errors="surrogatepass").hex())
        assert len(await stores.documents.list(prefix="strands/")) == 6


def test_a_part_is_text() -> None:
    with pytest.raises(InvalidError, match="int"):
        joined("a", 7)  # type: ignore[arg-type]
