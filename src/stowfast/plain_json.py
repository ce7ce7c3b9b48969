"""Plain JSON of Python values: models, dataclasses, enums, dates and their like. Stores themselves stay strict."""

from __future__ import annotations

import dataclasses
import math
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence, Set
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from stowfast.errors import InvalidError

__all__ = ["to_json"]

_MAX_DEPTH: Final = 200
_MAX_VALUES: Final = 2**22
"""A small value may hold one list in very many places: as JSON it would have no bound."""


def to_json(value: Any) -> Any:
    """Return a value as plain JSON: dicts with text keys, lists, text, finite numbers, booleans and None.

    | given | returned |
    |---|---|
    | a pydantic model | its `model_dump(mode="json")` |
    | a dataclass, a mapping | a dict |
    | a tuple, a set, any sequence | a list; the items of a set are sorted by their JSON |
    | an enum member | its value |
    | a datetime, a date, a time | ISO 8601 text |
    | a timedelta | seconds |
    | a UUID, a Decimal, a path | text |
    | bytes | Base64 text |
    | a NumPy scalar or array | the Python value |
    | a subclass of str, int, float, dict or list | the value of the base class |

    Keys that are numbers, enum members or UUIDs become text. The value itself is not changed.

    Raises:
        InvalidError: another type, a NaN or an infinity, two equal keys, over 200 levels, or over 4,194,304 values.
            The error names the path and the type.
    """
    return _Conversion().convert(value, 0)


class _Conversion:
    def __init__(self) -> None:
        self._values = 0
        self._path: list[object] = []

    def convert(self, value: Any, depth: int) -> Any:
        self._values += 1
        if depth > _MAX_DEPTH or self._values > _MAX_VALUES:
            raise self._refusal("the value is nested too deep, holds itself, or is too large", limit=80)
        kind = type(value)
        if value is None or kind in (str, bool, int):
            return value
        if kind is list:
            return self._items(value, depth)
        if isinstance(value, Enum):
            return self.convert(value.value, depth + 1)
        if isinstance(value, str | int | float):
            return self._number_or_text(value)
        text = _text(value)
        if text is not None:
            return text
        return self._container(value, depth)

    def _container(self, value: Any, depth: int) -> Any:
        if dump := getattr(type(value), "model_dump", None):
            return self.convert(dump(value, mode="json"), depth + 1)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._mapping({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, depth)
        if isinstance(value, dict):
            return self._mapping(dict(dict.items(value)), depth)  # a subclass may override every method
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, Sequence | Set):
            items = self._items(list.__iter__(value) if isinstance(value, list) else value, depth)
            return sorted(items, key=repr) if isinstance(value, Set) else items
        if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
            return self.convert(value.tolist(), depth + 1)
        raise self._refusal(f"a {type(value).__module__}.{type(value).__qualname__} has no JSON form")

    def _items(self, values: Iterable[Any], depth: int) -> list[Any]:
        path, result = self._path, []
        path.append(0)
        for number, item in enumerate(values):
            path[-1] = number
            result.append(self.convert(item, depth + 1))
        path.pop()
        return result

    def _mapping(self, value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
        path: list[object] = self._path
        result: dict[str, Any] = {}
        for key, item in value.items():
            name = self._key(key)
            if name in result:
                raise self._refusal(f"two keys are {name[:80]!r} as text")
            path.append(name)
            result[name] = self.convert(item, depth + 1)
            path.pop()
        return result

    def _number_or_text(self, value: str | float) -> Any:
        """Return the value of the base class: a subclass may override every method."""
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int.__int__(value)
        number = float.__float__(value)
        if not math.isfinite(number):
            raise self._refusal(f"{number} is no JSON number: use None or text")
        return number

    def _key(self, key: Any) -> str:
        if isinstance(key, Enum):
            key = key.value
        if isinstance(key, str):
            return str.__str__(key)
        if isinstance(key, bool) or not isinstance(key, int | UUID):
            raise self._refusal(f"a key is a {type(key).__module__}.{type(key).__qualname__}, not text")
        return str(key)

    def _refusal(self, cause: str, *, limit: int | None = None) -> InvalidError:
        steps = (f"[{step}]" if type(step) is int else f".{step}" for step in self._path)
        return InvalidError(f"{''.join(('$', *steps))[:limit]}: {cause}")


def _text(value: Any) -> Any:
    """Return the text of a date, an id, a path or bytes, the seconds of a duration; None for other types."""
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID | Decimal | PurePath):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(value).decode()
    return None
