"""Refusals of values outside JSON: bounded in time and memory, and each leads to its remedy."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import time
import tracemalloc
import uuid
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import pytest

import stowfast.sync
from stowfast import InvalidError
from stowfast.stores.codec import decode, encode, encode_lines

if TYPE_CHECKING:
    from collections.abc import Iterator


class Colour(enum.StrEnum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int = 0


class Model:
    def model_dump(self, mode: str) -> dict[str, Any]:
        raise AssertionError("a check calls nothing of the value")


class Fields:
    """A pydantic model is an iterable of the names and values of its fields."""

    def model_dump(self, mode: str) -> dict[str, Any]:
        raise AssertionError("a check calls nothing of the value")

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield "role", "user"


@dataclasses.dataclass
class Batch:
    messages: list[dict[str, Any]]

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.messages)


class Hostile:
    __hash__ = None  # type: ignore[assignment]

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("a check looks up nothing of the value")


def doubled(times: int, width: int = 2) -> list[Any]:
    """Return lists, each several times in the next, as YAML aliases make them."""
    value: list[Any] = []
    for _ in range(times):
        value = [value] * width
    return value


@pytest.mark.parametrize(
    "value",
    [doubled(26), doubled(150, 3), doubled(3, 10_000), ["x" * 10_000_000] * 1_000, {"a": doubled(199)}],
    ids=["26 lists", "150 lists", "wide lists", "one long text", "199 lists"],
)
def test_what_is_small_in_memory_and_huge_as_json_is_refused_at_once(value):
    began = time.process_time()
    tracemalloc.start()
    with pytest.raises(InvalidError, match="67,108,864 bytes as JSON"):
        encode(value, "the message")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**26
    assert time.process_time() - began < 5  # seconds; it takes 0.1, under the tracing 0.5


@pytest.mark.slow
def test_what_stands_in_many_places_and_fits_is_kept():
    value = doubled(20)
    assert decode(encode(value, "a value"), "here") == value
    lines = encode_lines([["x" * 2**20] * 40] * 2, 1, "row")  # over the limit together, and not alone
    assert len(lines) > 80 * 2**20


REMEDIES: list[tuple[Any, str, str]] = [
    (datetime.datetime(2020, 1, 1), "a datetime.datetime", "give .isoformat()"),  # noqa: DTZ001
    (datetime.date(2020, 1, 1), "a datetime.date", "give .isoformat()"),
    (decimal.Decimal(1), "a decimal.Decimal", "give str(...)"),
    (uuid.UUID(int=0), "a uuid.UUID", "give str(...)"),
    (pathlib.PurePosixPath("x"), "a pathlib.PurePosixPath", "give str(...)"),
    (Colour.RED, f"a {__name__}.Colour", "give .value"),
    (Point(), f"a {__name__}.Point", "give dataclasses.asdict(...)"),
    (Model(), f"a {__name__}.Model", 'give .model_dump(mode="json")'),
    (OrderedDict(), "a collections.OrderedDict", "give dict(...)"),
    ((1,), "a tuple", "give list(...)"),
    ({1}, "a set", "give list(...)"),
    (b"x", "a bytes", "base64"),
    (Point, "a type", "an instance"),
    (Hostile(), f"a {__name__}.Hostile", "JSON has dict, list"),
    (float("nan"), "nan", "None or a text"),
    (10**5_000, "an int of over 4,300 digits", "as text"),
    ("\ud800", "a text with a lone surrogate", "Unicode"),
]


@pytest.mark.parametrize(("value", "named", "remedy"), REMEDIES, ids=[str(named) for _, named, _ in REMEDIES])
def test_an_error_names_the_message_the_path_the_type_and_the_remedy(value, named, remedy):
    messages: list[Any] = [{"n": 0}, {"n": 1}, {"content": [{}, {"input": {"when": value, "it is": 1}}]}]
    with stowfast.sync.open("memory:") as stores, pytest.raises(InvalidError) as caught:
        stores.messages.add_messages("c", messages)
    told = str(caught.value)
    assert told.startswith(f"message 2 holds {named} at $.content[1].input.when: ")
    assert remedy in told


def test_an_error_of_numpy_names_item():
    numpy = pytest.importorskip("numpy")
    for value, remedy in ((numpy.float64(0.5), ".item()"), (numpy.bool_(True), ".item()"), (numpy.zeros(2), ".tolist")):
        with pytest.raises(InvalidError, match=r"holds a numpy\.\w+ at \$\.x") as caught:
            encode({"x": value}, "the message")
        assert remedy in str(caught.value)


@pytest.mark.parametrize("key", [1, None, 10**5_000, Colour.RED, (1, 2), "\ud800"], ids=lambda key: type(key).__name__)
def test_an_error_names_the_place_of_a_key(key):
    with pytest.raises(InvalidError, match=r"^metadata has a key .* at \$\.a\['b c'\]: "):
        encode({"a": {"b c": {key: 1}}}, "metadata")


def test_an_error_stays_short():
    value: Any = object()
    for number in range(150):
        value = {f"{number} {'long' * 100}": value}
    with pytest.raises(InvalidError) as caught:
        encode(value, "the message")
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize(
    ("messages", "told"),
    [
        ({"role": "user"}, "messages must be a list of dicts, not dict; for one message call add_message"),
        ("text", "messages must be a list of dicts, not str"),
        (7, "messages must be a list of dicts, not int"),
        (
            [{}, Point()],
            f"message 1 is a {__name__}.Point: a message is a JSON object, a dict, give data",
        ),
        (
            Point(),
            "messages must be a list of dicts, not Point; for one message call add_message and give dataclasses.asdict",
        ),
        (
            Fields(),
            "messages must be a list of dicts, not Fields; for one message call add_message and give .model_dump(mode=",
        ),
        (
            Point,
            "messages must be a list of dicts, not type; for one message call add_message and give an instance, not",
        ),
        ([[{}]], "message 0 is a list: a message is a JSON object, a dict"),
    ],
    ids=[
        "a dict",
        "a text",
        "a number",
        "a dataclass in a list",
        "a dataclass",
        "a model",
        "a class",
        "a list in a list",
    ],
)
def test_what_is_no_list_of_messages_is_said_so(messages, told):
    with stowfast.sync.open("memory:") as stores, pytest.raises(InvalidError) as caught:
        stores.messages.add_messages("c", messages)
    assert str(caught.value).startswith(told)


def test_a_dataclass_that_iterates_its_messages_is_a_list_of_them():
    with stowfast.sync.open("memory:") as stores:
        assert stores.messages.add_messages("c", Batch([{"n": 0}, {"n": 1}])) == range(2)


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ([{"role": "user"}], "the message is a list: a message is a JSON object, a dict; for a list call add_messages"),
        (
            ({"role": "user"},),
            "the message is a tuple: a message is a JSON object, a dict; for a list call add_messages",
        ),
        (
            iter([{}]),
            "the message is a list_iterator: a message is a JSON object, a dict; for a list call add_messages",
        ),
        (
            Fields(),
            f'the message is a {__name__}.Fields: a message is a JSON object, a dict, give .model_dump(mode="json")',
        ),
        ("text", "the message is a str: a message is a JSON object, a dict"),
        (7, "the message is a int: a message is a JSON object, a dict"),
    ],
    ids=["a list", "a tuple", "an iterator", "a model", "a text", "a number"],
)
def test_what_is_no_message_is_said_so(message, told):
    with stowfast.sync.open("memory:") as stores, pytest.raises(InvalidError) as caught:
        stores.messages.add_message("c", message)
    assert str(caught.value) == told
