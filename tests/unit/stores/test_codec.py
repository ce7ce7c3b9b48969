"""JSON in, the same JSON out, or an error: types, key order, ids and moments, for any value of hypothesis."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stowfast import DamagedError, InvalidError
from stowfast.abc import MAX_ENTRY_BYTES
from stowfast.stores.codec import (
    MAX_DEPTH,
    check_counts,
    decode,
    decode_many,
    encode,
    from_time,
    labels_of,
    stream_name,
    to_time,
)

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT
JSON = st.recursive(SCALARS, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=50)
BEYOND = st.sampled_from(
    [
        math.nan,
        math.inf,
        -math.inf,
        (1,),
        {1},
        frozenset(),
        b"x",
        bytearray(),
        1j,
        object(),
        "\ud800",
        10**4_300,
        {1: 2},
    ]
)


def same(one: Any, other: Any) -> bool:
    """Equal in types, in key order, and in the sign of zero."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float):
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    return bool(one == other)


@given(JSON)
@example([0, 0.0, -0.0, False, 1, 1.0, True, 1e16, 1e22, 5e-324, 1.7976931348623157e308, 2**63, -(2**64), 10**4_299])
@example({"b": 1, "a": {"": None, "\0": "\u2028\x7f", "é": "e\u0301", "\U0010ffff": "\ufffe"}})
def test_what_goes_in_comes_back(value):
    data = encode(value, "a value")
    assert same(decode(data, "here"), value)
    assert b"\n" not in data  # an artifact's record ends at the first line break
    assert same(json.loads(data), value)  # what is stored is JSON to everybody else too


@pytest.mark.slow
@given(st.lists(JSON, max_size=5))
def test_many_come_back_as_each_alone(values):
    assert same(decode_many([encode(value, "a value") for value in values], "here"), values)


@given(JSON, BEYOND, st.booleans(), st.text("abc", max_size=2))
def test_what_json_cannot_carry_is_refused_wherever_it_is(value, beyond, listed, key):
    inner = [value, beyond] if listed else {"first": value, key: beyond}
    for outer in (beyond, inner, {"k": [inner]}, [[[inner]], value]):
        with pytest.raises(InvalidError, match="the message"):
            encode(outer, "the message")


def test_nesting_has_an_exact_end():
    value: Any = "innermost"
    for _ in range(MAX_DEPTH):
        value = [value]
    assert same(decode(encode(value, "a value"), "here"), value)
    assert decode_many([encode(value, "a value")] * 2, "here") == [value, value]
    with pytest.raises(InvalidError, match="levels deep"):
        encode([value], "a value")


def test_what_holds_itself_is_refused():
    loop: list[Any] = []
    loop.append({"again": loop})
    with pytest.raises(InvalidError, match="holds itself"):
        encode(loop, "a value")


def test_what_stands_in_two_places_is_written_twice():
    shared = {"k": [1]}
    assert decode(encode([shared, shared], "a value"), "here") == [{"k": [1]}, {"k": [1]}]


def test_size_has_an_exact_end():
    fits = "x" * (MAX_ENTRY_BYTES - 2)
    assert len(encode(fits, "a value")) == MAX_ENTRY_BYTES
    with pytest.raises(InvalidError, match="artifact"):
        encode(fits + "x", "a value")


@pytest.mark.parametrize(
    "data", [b"", b"{", b"nan", b"NaN", b"1,2", b"[1,]", b"\xff", b'"\xed\xa0\x80"', b"{} {}", b"'x'"]
)
def test_what_is_stored_and_is_no_json_is_damage(data):
    with pytest.raises(DamagedError, match="here"):
        decode(data, "here")
    with pytest.raises(DamagedError, match="here"):
        decode_many([b"1", data, b"{}"], "here")


def test_entries_that_are_json_only_together_are_damage():
    with pytest.raises(DamagedError):
        decode_many([b"[1", b"2]"], "here")


@given(TEXT, TEXT)
@example("a/b", "a_b")
def test_two_ids_never_share_a_stream(one, other):
    def named(value: str) -> str | None:
        try:
            return stream_name("messages", "context_id", value)
        except InvalidError:
            assert value == "" or "\0" in value
            return None

    if named(one) is not None and named(other) is not None:
        assert (named(one) == named(other)) == (one == other)


@pytest.mark.parametrize("value", [None, 5, b"x", "", "x" * 1_025, "é" * 513, "a\0", "\udc00", ["x"]])
def test_what_is_no_id_is_refused_by_its_name(value):
    with pytest.raises(InvalidError, match=r"^context_id "):
        stream_name("messages", "context_id", value)


@given(st.datetimes(timezones=st.timezones() | st.just(UTC), allow_imaginary=False))
@example(datetime(1, 1, 1, tzinfo=UTC))
@example(datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC))
@example(datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-12))))
def test_moments_are_exact_to_the_microsecond(moment):
    try:
        wanted = moment.astimezone(UTC)
    except OverflowError:
        return  # a moment of the year 0 or 10,000, in UTC
    found = to_time(from_time(moment, "a moment"))
    assert found == wanted
    assert found.tzinfo is UTC


@pytest.mark.parametrize("moment", [datetime(2020, 1, 1), datetime(2020, 1, 1).date(), 0, "2020-01-01", None])  # noqa: DTZ001
def test_what_is_no_moment_is_refused(moment):
    with pytest.raises(InvalidError, match=r"expires_at must be a datetime with a timezone"):
        from_time(moment, "expires_at")


def test_labels_are_what_is_given_and_text():
    assert labels_of(("a", "b"), {"a": "x", "b": None, "c": 1}) == {"a": "x"}
    with pytest.raises(InvalidError, match="b must be a str, not int"):
        labels_of(("a", "b"), {"a": "x", "b": 1})


def test_counts_are_not_negative():
    check_counts(limit=0, last=None, keep_last=10**18)
    with pytest.raises(InvalidError, match="last=-1"):
        check_counts(limit=0, last=-1)
