"""The check of a value before it is written as JSON: each value returns exactly as given, or an error says why not."""

from __future__ import annotations

import datetime
import decimal
import enum
import pathlib
import uuid
from collections.abc import Mapping, Set
from typing import Any, Final

from stowfast.abc import MAX_ENTRY_BYTES
from stowfast.errors import InvalidError

__all__ = ["MAX_DEPTH", "check_json", "not_json", "refusal", "to_object"]

MAX_DEPTH: Final = 200
"""The deepest nesting of lists and objects."""

_LARGE: Final = 2**20
"""Number of values and characters from which a value is weighed before it is looked at further."""
_MAX_DIGITS: Final = 4_300
_MODEL: Final = '.model_dump(mode="json")'
_DATACLASS: Final = "dataclasses.asdict(...)"
_OBJECTS: Final = {_MODEL, _DATACLASS, "dict(...)", "an instance, not the class"}
"""The remedies that make a JSON object."""
_SHOWN: Final = 40
_SHOWN_PATH: Final = 160


def check_json(value: Any, what: str) -> None:
    """Check that JSON returns a value unchanged. The work is bounded by the size of an entry.

    Raises:
        InvalidError: it does not; the error names the path, the type and the remedy.
    """
    # The encoder writes NaN as null, tuples as lists and numbers as keys without a word, so every value is looked at.
    level: list[Any] = [value]
    size, most = 0, _LARGE
    for _ in range(MAX_DEPTH + 1):
        below: list[Any] = []
        for one in level:
            kind = type(one)
            if kind is str:
                size += len(one)
            elif kind is int or one is None or kind is bool:
                continue
            elif kind is dict:
                for key in one:
                    if type(key) is not str:
                        raise refusal(value, what)
                size += len(one)
                below.extend(one.values())
            elif kind is list:
                size += len(one)
                below.extend(one)
            elif kind is not float or one - one != 0.0:
                raise refusal(value, what)
            if size > most:  # one list that stands in many places is small in memory and without bound as JSON
                _check_size(value, what)
                most = MAX_ENTRY_BYTES
        if not below:
            return
        level = below
    raise _nested(what)


def refusal(value: Any, what: str, cause: str = "JSON cannot carry it") -> InvalidError:
    """Return the error for a value with something in it that JSON cannot return unchanged."""
    seen: set[int] = set()
    left: list[tuple[Any, tuple[Any, ...]]] = [(value, ())]
    while left:
        one, path = left.pop()
        kind = type(one)
        if kind is dict or kind is list:
            if id(one) in seen or len(path) > MAX_DEPTH:
                continue
            seen.add(id(one))
            inner = list(one.items() if kind is dict else enumerate(one))
            for key, _ in inner:
                fault = _key_fault(key) if kind is dict else None
                if fault:
                    return InvalidError(f"{what} has a key {fault[0]} at {_shown(path)}: {fault[1]}")
            left.extend((below, (*path, key)) for key, below in reversed(inner))
        elif fault := _fault(one):
            return InvalidError(f"{what} holds {fault[0]} at {_shown(path)}: {fault[1]}")
    return InvalidError(f"{what} does not fit JSON: {cause}")


def not_json(value: object, what: str, wanted: str) -> InvalidError:
    """Return the error for a value that is no JSON object, with the remedy."""
    remedy = to_object(type(value))
    return InvalidError(f"{what} is a {_name(type(value))}: {wanted}{remedy and f', give {remedy}'}")


def to_object(kind: type) -> str:
    """Return the call that makes a JSON object of a value, or an empty text."""
    remedy = _remedy(kind)
    return remedy if remedy in _OBJECTS else ""


def _check_size(value: Any, what: str) -> None:
    """Refuse a value whose JSON is surely too large, in time for its distinct lists and objects alone."""
    sizes: dict[int, int] = {}

    def size_of(one: Any, depth: int) -> int:
        kind = type(one)
        if kind is str:
            return len(one) + 2
        if kind is not dict and kind is not list:
            return 1
        known = sizes.get(id(one))
        if known is None:
            if depth > MAX_DEPTH:
                raise _nested(what)
            sizes[id(one)] = MAX_ENTRY_BYTES + 1  # while it is counted: a value that holds itself has no end
            known = 1 + len(one) + sum(size_of(each, depth + 1) for each in (one.values() if kind is dict else one))
            sizes[id(one)] = known
        return known

    try:
        size = size_of(value, 0)
    except RecursionError:
        raise _nested(what) from None
    if size > MAX_ENTRY_BYTES:
        raise InvalidError(
            f"{what} has over {MAX_ENTRY_BYTES:,} bytes as JSON, or holds itself: store it as an artifact. "
            "A list or object that stands in several places is written in each"
        )


def _nested(what: str) -> InvalidError:
    return InvalidError(f"{what} is nested over {MAX_DEPTH} levels deep, or holds itself")


def _key_fault(key: Any) -> tuple[str, str] | None:
    if type(key) is not str:
        return f"of the type {_name(type(key))}", "JSON keys are text, give str(key)"
    return ("with a lone surrogate", "it is not Unicode text") if _has_surrogate(key) else None


def _fault(one: Any) -> tuple[str, str] | None:
    """Return the fault of a scalar, and the remedy."""
    kind = type(one)
    if one is None or kind is bool:
        return None
    if kind is str:
        return ("a text with a lone surrogate", "it is not Unicode text") if _has_surrogate(one) else None
    if kind is int:
        over = abs(one) >= 10**_MAX_DIGITS
        return (f"an int of over {_MAX_DIGITS:,} digits", "give it as text") if over else None
    if kind is float:
        return None if one - one == 0.0 else (repr(one), "JSON has no such number, give None or a text")
    remedy = _remedy(kind)
    return f"a {_name(kind)}", f"JSON has dict, list, str, int, float, bool and None{remedy and f', give {remedy}'}"


def _remedy(kind: type) -> str:
    """Return the call that makes plain JSON of a value, without a call of its own methods."""
    named = set().union(*map(vars, kind.__mro__))
    exact = {bytes: "base64 text, or store it as an artifact", type: "an instance, not the class"}
    if kind in exact:
        return exact[kind]
    if "model_dump" in named:
        return _MODEL
    if "__dataclass_fields__" in named:
        return _DATACLASS
    if issubclass(kind, enum.Enum):
        return ".value"
    if _module(kind).partition(".")[0] == "numpy":
        return ".tolist()" if kind.__name__ == "ndarray" else ".item()"
    if issubclass(kind, datetime.date | datetime.time):
        return ".isoformat()"
    if issubclass(kind, decimal.Decimal | uuid.UUID | pathlib.PurePath | str):
        return "str(...)"
    if issubclass(kind, Mapping):
        return "dict(...)"
    if issubclass(kind, tuple | list | Set):
        return "list(...)"
    plain = next((base.__name__ for base in (int, float) if issubclass(kind, base)), "")
    return plain and f"{plain}(...)"


def _has_surrogate(text: str) -> bool:
    try:
        return not (text.isascii() or text.encode())
    except UnicodeEncodeError:
        return True


def _module(kind: type) -> str:
    return kind.__module__ if type(kind.__module__) is str else ""


def _name(kind: type) -> str:
    module = "" if _module(kind) in ("", "builtins") else f"{_module(kind)}."
    return _short(f"{module}{kind.__qualname__}", 2 * _SHOWN)


def _shown(path: tuple[Any, ...]) -> str:
    """Return a path as JSONPath writes it (RFC 9535): `$.content[1].input`."""
    steps = (
        f"[{one}]" if type(one) is int else f".{one}" if one.isidentifier() and one.isascii() else f"[{_short(one)!r}]"
        for one in path
    )
    return _short("$" + "".join(steps), _SHOWN_PATH)


def _short(text: str, most: int = _SHOWN) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 2 :]}"
