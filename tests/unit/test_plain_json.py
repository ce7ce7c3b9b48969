"""`to_json` returns plain JSON for the values of frameworks, or an error with the path."""

from __future__ import annotations

import json
import math
from collections import OrderedDict, UserDict, defaultdict, deque, namedtuple
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Any
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


Point = namedtuple("Point", "x y")

CASES: list[tuple[Any, Any]] = [
    (None, None), (True, True), (1, 1), (10**40, 10**40), (1.5, 1.5), (-0.0, -0.0), ("é", "é"),
    (Role.USER, "user"), (Level.HIGH, 3), (Color.RED, [1, 2]), (Loud("quiet"), "quiet"), (Half(0.5), 0.5),
    (Call("f", {"x": (1, 2)}, datetime(2026, 1, 2, 3, 4, 5, 6, UTC)),
     {"name": "f", "arguments": {"x": [1, 2]}, "at": "2026-01-02T03:04:05.000006+00:00"}),
    (Model(), {"a": 1, "tags": ["x"]}), ([Model()], [{"a": 1, "tags": ["x"]}]),
    (date(2026, 1, 2), "2026-01-02"), (time(3, 4), "03:04:00"), (timedelta(minutes=1, milliseconds=5), 60.005),
    (ID, str(ID)), (Decimal("1.10"), "1.10"), (PurePosixPath("/a/b"), "/a/b"),
    (b"\x00\xff", "AP8="), (bytearray(b"x"), "eA=="), (memoryview(b"x"), "eA=="),
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


def test_a_pydantic_model_is_plain_json() -> None:
    pydantic = pytest.importorskip("pydantic", reason="pydantic is not installed: pip install pydantic")
    model = pydantic.create_model("Made", when=(datetime, ...), role=(Role, ...))
    found = to_json(model(when=datetime(2026, 1, 2, tzinfo=UTC), role="user"))
    assert found == {"when": "2026-01-02T00:00:00Z", "role": "user"}


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
