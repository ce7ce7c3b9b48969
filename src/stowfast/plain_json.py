"""Plain JSON of Python values: models, dataclasses, enums, dates and their like. Stores themselves stay strict."""

from __future__ import annotations

import dataclasses
import math
from base64 import b64encode
from collections.abc import Mapping, Sequence, Set
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from stowfast.errors import InvalidError

__all__ = ["to_json"]

_MAX_DEPTH: Final = 200
_MAX_VALUES: Final = 2**24
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
        InvalidError: another type, a NaN or an infinity, two equal keys, over 200 levels, or over 16,777,216 values.
            The error names the path and the type.
    """
    return _Conversion().convert(value, "$", 0)


class _Conversion:
    def __init__(self) -> None:
        self._values = 0

    def convert(self, value: Any, path: str, depth: int) -> Any:
        self._values += 1
        if depth > _MAX_DEPTH or self._values > _MAX_VALUES:
            raise InvalidError(f"{path[:80]}: the value is nested too deep, holds itself, or is too large")
        kind = type(value)
        if value is None or kind in (str, bool, int):
            return value
        if isinstance(value, Enum):
            return self.convert(value.value, path, depth + 1)
        if isinstance(value, str | int | float):
            return _number_or_text(value, path)
        text = _text(value)
        if text is not None:
            return text
        return self._container(value, path, depth)

    def _container(self, value: Any, path: str, depth: int) -> Any:
        if dump := getattr(type(value), "model_dump", None):
            return self.convert(dump(value, mode="json"), path, depth + 1)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return self._mapping(fields, path, depth)
        if isinstance(value, Mapping):
            return self._mapping(value, path, depth)
        if isinstance(value, Sequence | Set):
            items = [self.convert(item, f"{path}[{number}]", depth + 1) for number, item in enumerate(value)]
            return sorted(items, key=repr) if isinstance(value, Set) else items
        if type(value).__module__.partition(".")[0] == "numpy" and hasattr(value, "tolist"):
            return self.convert(value.tolist(), path, depth + 1)
        raise InvalidError(f"{path}: a {type(value).__module__}.{type(value).__qualname__} has no JSON form")

    def _mapping(self, value: Mapping[Any, Any], path: str, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key, item in value.items():
            name = _key(key, path)
            if name in result:
                raise InvalidError(f"{path}: two keys are {name[:80]!r} as text")
            result[name] = self.convert(item, f"{path}.{name}", depth + 1)
        return result


def _number_or_text(value: str | float, path: str) -> Any:
    """Return the value of the base class: a subclass may override every method."""
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__int__(value)
    number = float.__float__(value)
    if not math.isfinite(number):
        raise InvalidError(f"{path}: {number} is no JSON number: use None or text")
    return number


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


def _key(key: Any, path: str) -> str:
    if isinstance(key, Enum):
        key = key.value
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, bool) or not isinstance(key, int | UUID):
        raise InvalidError(f"{path}: a key is a {type(key).__module__}.{type(key).__qualname__}, not text")
    return str(key)
