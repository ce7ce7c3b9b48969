"""`to_json` returns plain JSON for the values of frameworks, or an error with the path."""

from __future__ import annotations

import json
import math
import sys
from collections import OrderedDict, UserDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Annotated, Any
from uuid import UUID

import pytest

import stowfast
from stowfast import InvalidError, to_json
from stowfast.stores.codec import encode

ID = UUID("12345678-1234-5678-1234-567812345678")


class Role(StrEnum):
    USER = "user"


class Level(IntEnum):
    HIGH = 3


class Color(Enum):
    RED = (1, 2)


class Loud(str):
    def __str__(self) -> str:
        return "LOUD"


class Half(float):
    def __float__(self) -> float:
        return 0.0


@dataclass
class Call:
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)
    at: datetime | None = None


class Model:
    """As a pydantic model looks from outside."""

    def model_dump(self, *, mode: str) -> dict[str, Any]:
        assert mode == "json"
        return {"a": 1, "tags": ["x"]}


class Plain:
    """A model of another library, whose method has no mode."""

    def model_dump(self) -> dict[str, Any]:
        return {"at": date(2026, 1, 2)}


class Loose:
    def model_dump(self, **options: Any) -> dict[str, Any]:
        raise ZeroDivisionError(options)


class Broken(UserDict[str, Any]):
    def items(self) -> Any:
        raise ZeroDivisionError


Point = namedtuple("Point", "x y")

CASES: list[tuple[Any, Any]] = [
    (None, None), (True, True), (1, 1), (10**40, 10**40), (1.5, 1.5), (-0.0, -0.0), ("é", "é"),
    (Role.USER, "user"), (Level.HIGH, 3), (Color.RED, [1, 2]), (Loud("quiet"), "quiet"), (Half(0.5), 0.5),
    (Call("f", {"x": (1, 2)}, datetime(2026, 1, 2, 3, 4, 5, 6, UTC)),
     {"name": "f", "arguments": {"x": [1, 2]}, "at": "2026-01-02T03:04:05.000006+00:00"}),
    (Plain(), {"at": "2026-01-02"}), (Model(), {"a": 1, "tags": ["x"]}), ([Model()], [{"a": 1, "tags": ["x"]}]),
    (date(2026, 1, 2), "2026-01-02"), (time(3, 4), "03:04:00"), (timedelta(minutes=1, milliseconds=5), 60.005),
    (ID, str(ID)), (Decimal("1.10"), "1.10"), (PurePosixPath("/a/b"), "/a/b"),
    (b"\x00\xff", "AP8="), (bytearray(b"x"), "eA=="), (memoryview(b"x"), "eA=="),
    (memoryview(b"x-y-")[::2], "eHk="), ({10**4_000: 1}, {str(10**4_000): 1}), ("\U0001f600", "\U0001f600"),
    ((1, (2,)), [1, [2]]), ({3, 1, 2}, [1, 2, 3]), (frozenset({"b", "a"}), ["a", "b"]), (deque([1]), [1]),
    (Point(1, 2), [1, 2]), (range(3), [0, 1, 2]),
    (OrderedDict(b=1, a=2), {"b": 1, "a": 2}), (defaultdict(list, a=[1]), {"a": [1]}), (UserDict(a=1), {"a": 1}),
    ({1: "a", Role.USER: "b", ID: "c"}, {"1": "a", "user": "b", str(ID): "c"}),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), CASES, ids=lambda value: type(value).__name__)
def test_a_value_is_plain_json(given: Any, wanted: Any) -> None:
    found = to_json(given)
    assert json.dumps(found) == json.dumps(wanted)
    encode({"value": found}, "what a store takes")


def test_numpy_values_are_plain_json() -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is not installed: make test installs it")
    found = to_json({"f": numpy.float64(0.5), "i": numpy.int64(3), "b": numpy.bool_(True), "a": numpy.arange(3)})
    assert json.dumps(found) == '{"f": 0.5, "i": 3, "b": true, "a": [0, 1, 2]}'


NUMPY_CASES: list[tuple[str, Any]] = [
    ("datetime64('2026-01-02T03:04:05.678901', 'us')", "2026-01-02T03:04:05.678901"),
    ("datetime64('2026-01-02T03:04:05.678901', 'ns')", "2026-01-02T03:04:05.678901"),
    ("datetime64('2026-01-02T03:04:05.678901234', 'ns')", "2026-01-02T03:04:05.678901234"),
    ("datetime64(1, 'as')", "1970-01-01T00:00:00.000000000000000001"),
    ("datetime64('2026-01-02T03', 'h')", "2026-01-02T03:00:00"), ("datetime64('2026-01', 'M')", "2026-01-01"),
    ("datetime64('12026-01-02', 'D')", "12026-01-02"), ("datetime64(10**15, 'D')", "2737907008958-07-05"),
    ("datetime64('NaT')", None), ("datetime64('NaT', 'ns')", None), ("datetime64('NaT', 's')", None),
    ("timedelta64(60_005, 'ms')", 60.005), ("timedelta64(60_005_000_000, 'ns')", 60.005),
    ("timedelta64(9_999_999_999_999_999, 'ns')", 9_999_999.999999999), ("timedelta64(3, '10ns')", 3e-8),
    ("timedelta64(5, 'as')", 5e-18), ("timedelta64(2, 'W')", 1_209_600.0), ("timedelta64(2, 'D')", 172_800.0),
    ("timedelta64(10**15, 'h')", 3.6e18), ("timedelta64('NaT')", None), ("timedelta64('NaT', 'ns')", None),
    ("array(['2026-01-02T03:04:05', 'NaT'], 'M8[ns]')", ["2026-01-02T03:04:05", None]),
    ("array([[1], [2]], 'm8[ns]')", [[1e-9], [2e-9]]), ("array(7, 'm8[ns]')", 7e-9),
    ("longdouble(1.5)", 1.5), ("array([1.5, 2.5], 'g')", [1.5, 2.5]), ("array(1.5, 'g')", 1.5),
    ("float32(0.5)", 0.5), ("float16(0.5)", 0.5), ("array([0.5], 'f4')", [0.5]), ("array(0.5)", 0.5),
    ("str_('é')", "é"), ("bytes_(b'x')", "eA=="), ("void(b'x')", "eA=="), ("array(['a', 'b'])", ["a", "b"]),
    ("array([(1, 'a', 5)], [('n', 'i4'), ('t', 'U1'), ('d', 'm8[ns]')])", [[1, "a", 5e-9]]),
    ("array([None, 'a', {1}], object)", [None, "a", [1]]), ("ma.array([1.5, 2.5], mask=[0, 1])", [1.5, None]),
]  # fmt: skip


@pytest.mark.parametrize(("given", "wanted"), NUMPY_CASES, ids=lambda value: value if isinstance(value, str) else "")
def test_a_value_of_numpy_is_plain_json(given: str, wanted: Any) -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is not installed: make test installs it")
    found = to_json(eval(f"numpy.{given}", {"numpy": numpy}))
    assert json.dumps(found) == json.dumps(wanted)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            "timedelta64(3, 'M')",
            r"\$\.a\[0\]: a numpy\.timedelta64 of years, months or no unit has no length: give it in s",
        ),
        ("timedelta64(3)", "no unit has no length"),
        ("clongdouble(1)", r"\$\.a\[0\]: a numpy\.clongdouble has no JSON form"),
        ("array([1j])", r"\$\.a\[0\]\[0\]: a builtins\.complex has no JSON form"),
        ("longdouble('1e4000')", "inf is no JSON number"),
        ("float32('nan')", "nan is no JSON number"),
        ("dtype('i4')", "has no JSON form"),
        ("array(['\\ud800'])", "lone surrogate"),
    ],
)
def test_a_value_of_numpy_without_a_json_form_is_refused(given: str, said: str) -> None:
    numpy = pytest.importorskip("numpy", reason="numpy is not installed: make test installs it")
    value = {"a": [eval(f"numpy.{given}", {"numpy": numpy})]}
    with pytest.raises(InvalidError, match=said):
        to_json(value)


def test_no_time_of_pandas_is_null() -> None:
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: make test installs it")
    assert to_json([pandas.NaT, pandas.Timestamp("2026-01-02"), pandas.Timedelta("2s")]) == [
        None, "2026-01-02T00:00:00", 2.0,
    ]  # fmt: skip


def test_a_pydantic_model_is_plain_json() -> None:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed: pip install pydantic")
    model = pydantic.create_model("Made", when=(datetime, ...), role=(Role, ...))
    found = to_json(model(when=datetime(2026, 1, 2, tzinfo=UTC), role="user"))
    assert found == {"when": "2026-01-02T00:00:00Z", "role": "user"}


def test_a_value_that_a_pydantic_model_does_not_know_is_converted() -> None:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed: pip install pydantic")
    numpy = pytest.importorskip("numpy", reason="numpy is not installed: make test installs it")
    shout = Annotated[str, pydantic.PlainSerializer(str.upper, when_used="json")]
    model = pydantic.create_model("Made", any=(Any, ...), took=(timedelta, ...), word=(shout, "word"))
    for value in (numpy.int64(1), numpy.timedelta64(5, "ns"), UserDict(a=ID), Plain(), [numpy.arange(2)], Point(1, 2)):
        found = to_json([model(any=value, took=timedelta(minutes=1))])
        assert found == [{"any": to_json(value), "took": "PT1M", "word": "WORD"}]


def test_a_pydantic_model_decides_over_its_bytes() -> None:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed: pip install pydantic")
    base64 = pydantic.ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    text = pydantic.create_model("Text", data=(bytes, ...), more=(list[Any], []))
    image = pydantic.create_model("Image", __config__=base64, data=(bytes, ...))
    outer = pydantic.create_model("Outer", image=(Any, ...), text=(Any, None))
    assert to_json(text(data=b"hi")) == {"data": "hi", "more": []}
    for data in (b"hi", b"\x89PNG\xff\xfe"):
        assert image.model_validate_json(json.dumps(to_json(image(data=data)))).data == data
    for value, path in (
        (text(data=b"\x89PNG"), r"\$\.data"),
        (text(data=b"", more=[1, b"\x89PNG"]), r"\$\.more"),
        ([outer(image=image(data=b"\x89PNG"), text=[text(data=b"\x89PNG")])], r"\$\[0\]\.text\[0\]\.data"),
    ):
        with pytest.raises(
            InvalidError, match=rf'^{path}: a \S+ has bytes that are not UTF-8: set ser_json_bytes="base'
        ):
            to_json(value)


def test_a_pydantic_model_that_cannot_dump_itself_is_refused_with_its_path() -> None:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed: pip install pydantic")

    def fail(_: Any) -> Any:
        raise ZeroDivisionError

    failing = pydantic.create_model("Failing", one=(Annotated[int, pydantic.PlainSerializer(fail)], 1))
    model = pydantic.create_model("Made", first=(int, 1), any=(Any, None))
    holder = model()
    holder.any = holder
    for value, said in (
        (model(any=[1, object()]), r"^\$\.any\[1\]: a builtins\.object has no JSON form: give a dict"),
        (model(any=model(any={"x": object()})), r"^\$\.any\.any\.x: a builtins\.object has no JSON form"),
        (model(any="\ud800"), r"^\$\.any: a text with a lone surrogate"),
        (model(any=UserDict({(1, 2): 1})), r"^\$\.any: a key is a builtins\.tuple, not text"),
        ({"a": failing()}, r"^\$\.a\.one: a \S+Failing fails with PydanticSerializationError in its own methods"),
        (holder, r"^\$\.any"),
    ):
        with pytest.raises(InvalidError, match=said):
            to_json(value)


itself: list[Any] = []
itself.append(itself)
aliased: Any = []
for _ in range(30):
    aliased = [aliased, aliased]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"a": [1, {"b": math.nan}]}, r"\$\.a\[1\]\.b: nan is no JSON number"),
        ([1, object()], r"\$\[1\]: a builtins\.object has no JSON form"),
        ({"a": 1j}, r"\$\.a: a builtins\.complex"),
        ({(1, 2): 1}, r"\$: a key is a builtins\.tuple, not text"),
        ({True: 1}, "a key is a builtins.bool"),
        ({1: "a", "1": "b"}, "two keys are '1' as text"),
        (itself, "nested too deep, holds itself, or is too large"),
        (Call, "has no JSON form"),
        (lambda: 1, "has no JSON form"),
        (["\ud800"], r"\$\[0\]: a text with a lone surrogate is not Unicode: give text\.encode"),
        ({"\ud800": 1}, r"\$: a text with a lone surrogate"),
        (PurePosixPath("\udcff"), "a text with a lone surrogate"),
        ({"a": 10**4_300}, r"\$\.a: an int of over 4,300 digits: give it as text"),
        ({-(10**4_300): 1}, "an int of over 4,300 digits"),
        ([Loose()], r"\$\[0\]: a \S+\.Loose fails with ZeroDivisionError in its own methods: give a dict"),
        ({"a": Broken()}, r"\$\.a: a \S+\.Broken fails with ZeroDivisionError in its own methods"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_a_value_without_a_json_form_is_refused_with_its_path(given: Any, said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        to_json(given)


def test_a_small_value_that_would_be_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stowfast.plain_json._MAX_VALUES", 10_000)
    with pytest.raises(InvalidError, match="too large"):
        to_json(aliased)


def test_it_is_public() -> None:
    assert stowfast.to_json is to_json


def test_a_deep_caller_gets_no_recursion_error() -> None:
    nested: Any = 1
    for _ in range(199):
        nested = [nested]

    def called(depth: int) -> Any:
        return called(depth - 1) if depth else to_json(nested)

    assert called(1) == nested
    with pytest.raises(InvalidError, match="nested too deep"):
        called(sys.getrecursionlimit() - 250)
