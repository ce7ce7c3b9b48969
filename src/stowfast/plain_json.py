"""Plain JSON of Python values: models, dataclasses, enums, dates and their like. Stores themselves stay strict."""

from __future__ import annotations

import dataclasses
import math
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from inspect import signature
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from stowfast.errors import InvalidError

__all__ = ["to_json"]

_MAX_DEPTH: Final = 200
_MAX_VALUES: Final = 2**22
"""A small value may hold one list in very many places: as JSON it would have no bound."""
_NUMBERS_END: Final = 10**4_300
"""Python reads no longer number from text."""
_SURROGATE: Final = 'a text with a lone surrogate is not Unicode: give text.encode(errors="replace").decode()'
_BYTES: Final = 'bytes that are not UTF-8: set ser_json_bytes="base64" and val_json_bytes="base64" in its model_config'
_SECONDS: Final = {
    "W": (604_800, 1), "D": (86_400, 1), "h": (3_600, 1), "m": (60, 1), "s": (1, 1),
    "ms": (1, 10**3), "us": (1, 10**6), "ns": (1, 10**9), "ps": (1, 10**12), "fs": (1, 10**15), "as": (1, 10**18),
}  # fmt: skip
"""Seconds of a NumPy unit, as a fraction. A month has no length, and neither has a number without a unit."""


def to_json(value: Any) -> Any:
    """Return a value as plain JSON: dicts with text keys, lists, text, finite numbers, booleans and None.

    | given | returned |
    |---|---|
    | a pydantic model | its `model_dump(mode="json")`; values it does not know, as in this table |
    | a dataclass, a mapping | a dict |
    | a tuple, a set, any sequence | a list; the items of a set are sorted by their JSON |
    | an enum member | its value |
    | a datetime, a date, a time | ISO 8601 text |
    | a timedelta | seconds |
    | a UUID, a Decimal, a path | text |
    | bytes | Base64 text |
    | a NumPy scalar or array | the Python value, as in this table; a longdouble rounded to a float |
    | NaT of NumPy or pandas | None |
    | a subclass of str, int, float, dict or list | the value of the base class |

    Keys that are integers, enum members or UUIDs become text. The value itself is not changed. A store takes every
    result that is not too large.

    A pydantic model decides over its fields, so that `model_validate` takes them back: by default bytes are UTF-8
    text, a timedelta is ISO 8601 text, a NaN is None. Bytes that are not UTF-8 are refused, unless its `model_config`
    has `ser_json_bytes="base64"` and `val_json_bytes="base64"`.

    Raises:
        InvalidError: another type, a NaN or an infinity, a lone surrogate, an integer of over 4,300 digits, two equal
            keys, over 200 levels, over 4,194,304 values, a model that cannot dump itself, or a value whose own methods
            fail. The error names the path, the type and the remedy; its cause is the error of the other library.
    """
    conversion = _Conversion()
    try:
        return conversion.convert(value, 0)
    except RecursionError:
        raise conversion.too_large() from None


class _Conversion:
    def __init__(self) -> None:
        self._values = 0
        self._path: list[object] = []

    def convert(self, value: Any, depth: int) -> Any:
        self._values += 1
        if depth > _MAX_DEPTH or self._values > _MAX_VALUES:
            raise self.too_large()
        kind = type(value)
        if value is None or kind is bool:
            return value
        if kind is str:
            return self._unicode(value)
        if kind is list:
            return self._items(value, depth)
        try:
            return self._other(value, depth)
        except (InvalidError, RecursionError):
            raise
        except Exception as error:  # the methods of a value are anyone's code
            raise self._failure(value, error) from error

    def _other(self, value: Any, depth: int) -> Any:
        if isinstance(value, Enum):
            return self.convert(value.value, depth + 1)
        if isinstance(value, str | int | float):
            return self._number_or_text(value)
        if _is_of_numpy(value):
            return self._numpy(value, depth)
        text = _text(value)
        if text is None:
            return None if isinstance(value, date) else self._container(value, depth)
        return self._number_or_text(text)

    def _container(self, value: Any, depth: int) -> Any:
        if dump := getattr(type(value), "model_dump", None):
            return self.convert(self._dumped(value, dump, depth), depth + 1)
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._mapping({field.name: getattr(value, field.name) for field in dataclasses.fields(value)}, depth)
        if isinstance(value, dict):
            return self._mapping(dict(dict.items(value)), depth)  # a subclass may override every method
        if isinstance(value, Mapping):
            return self._mapping(value, depth)
        if isinstance(value, Sequence | Set):
            items = self._items(list.__iter__(value) if isinstance(value, list) else value, depth)
            return sorted(items, key=repr) if isinstance(value, Set) else items
        raise self._refusal(f"a {_name(value)} has no JSON form: give a dict, a list or a text of it")

    def _numpy(self, value: Any, depth: int) -> Any:
        if not hasattr(value, "tolist"):
            raise self._refusal(f"a {_name(value)} has no JSON form: give a list or a text of it")
        if value.ndim and value.dtype.char in "gGmMVO":  # tolist() makes integers of dates and copies of longdoubles
            return self._items(value, depth)
        if value.dtype.char in "mM":
            return self._numpy_time(value[()])
        if value.dtype.names:
            return self.convert([value[name] for name in value.dtype.names], depth + 1)
        plain = value.tolist()
        if not _is_of_numpy(plain):
            return self.convert(plain, depth + 1)
        if value.dtype.char == "g":
            return self._number_or_text(float(plain))
        raise self._refusal(f"a {_name(plain)} has no JSON form: give a list or a text of it")

    def _numpy_time(self, value: Any) -> Any:
        """Return the seconds of a timedelta64 or the ISO 8601 text of a datetime64, with digits below a microsecond."""
        found = value.item()
        if found is None:
            return None
        step = value.dtype.str.partition("[")[2].rstrip("]")  # such as 10ns
        unit = step.lstrip("0123456789")
        length, parts = _SECONDS.get(unit, (0, 1))
        if value.dtype.kind == "m":
            if not length:
                raise self._refusal("a numpy.timedelta64 of years, months or no unit has no length: give it in seconds")
            return int(value.astype("int64")) * int(step.removesuffix(unit) or 1) * length / parts
        if parts > 10**6 and (rounded := value.astype("datetime64[us]")) == value:
            found = rounded.item()
        return str(value) if isinstance(found, int) else found.isoformat()

    def _dumped(self, value: Any, dump: Callable[..., Any], depth: int) -> Any:
        """Return a model as it dumps itself. A value that it does not know is converted here."""
        try:
            return dump(value, mode="json")
        except Exception as error:
            taken = signature(dump).parameters
            if "mode" not in taken and not any(one.kind is one.VAR_KEYWORD for one in taken.values()):
                return dump(value)
            if "fallback" in taken and not isinstance(error, UnicodeDecodeError):
                mark = len(self._path)
                try:
                    return dump(value, mode="json", fallback=lambda unknown: self.convert(unknown, depth + 1))
                except Exception as second:  # noqa: BLE001 - anyone's code
                    del self._path[mark:]
                    error = second
            raise self._culprit(value, dump, error, depth) from error

    def _culprit(self, value: Any, dump: Callable[..., Any], error: Exception, depth: int) -> InvalidError:
        """Return the refusal of the first field with which a model cannot dump itself."""
        fields: dict[str, Any] = getattr(value, "__dict__", {}) if "include" in signature(dump).parameters else {}
        for field, item in fields.items():
            try:
                dump(value, mode="json", include={field})
            except Exception as one:  # noqa: BLE001 - anyone's code
                self._path.append(field)
                try:
                    self.convert(item, depth + 1)
                except InvalidError as refusal:
                    return refusal
                if isinstance(one, UnicodeDecodeError):
                    return self._refusal(f"a {_name(value)} has {_BYTES}")
                return self._failure(value, one)
        return self._failure(value, error)

    def _failure(self, value: Any, error: Exception) -> InvalidError:
        cause = f"a {_name(value)} fails with {type(error).__name__} in its own methods"
        return self._refusal(f"{cause}: give a dict, a list or a text of it")

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
            return self._unicode(str.__str__(value))
        if isinstance(value, int):
            whole = int.__int__(value)
            if not -_NUMBERS_END < whole < _NUMBERS_END:
                raise self._refusal("an int of over 4,300 digits: give it as text")
            return whole
        number = float.__float__(value)
        if not math.isfinite(number):
            raise self._refusal(f"{number} is no JSON number: use None or text")
        return number

    def _key(self, key: Any) -> str:
        if isinstance(key, Enum):
            key = key.value
        if isinstance(key, str):
            return self._unicode(str.__str__(key))
        if isinstance(key, bool) or not isinstance(key, int | UUID):
            raise self._refusal(f"a key is a {_name(key)}, not text: give str(key)")
        return str(key if isinstance(key, UUID) else self._number_or_text(key))

    def _unicode(self, text: str) -> str:
        try:
            text.isascii() or text.encode()
        except UnicodeEncodeError:
            raise self._refusal(_SURROGATE) from None
        return text

    def too_large(self) -> InvalidError:
        return self._refusal("the value is nested too deep, holds itself, or is too large", limit=80)

    def _refusal(self, cause: str, *, limit: int | None = None) -> InvalidError:
        steps = (f"[{step}]" if type(step) is int else f".{step}" for step in self._path)
        return InvalidError(f"{''.join(('$', *steps))[:limit]}: {cause}")


def _name(value: object) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _is_of_numpy(value: object) -> bool:
    return str(type(value).__module__).partition(".")[0] == "numpy"


def _text(value: Any) -> Any:
    """Return the text of a date, an id, a path or bytes, the seconds of a duration; None for other types."""
    if isinstance(value, date | time):
        text = value.isoformat()
        return None if text == "NaT" else text  # NaT of pandas is a datetime
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, UUID | Decimal | PurePath):
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return b64encode(bytes(value)).decode()
    return None
