"""Values of a checkpoint as JSON: objects by the name of their type, which must be allowed. Nothing is pickled.

A value that JSON has no form for is an object with the key `$`, the name of its form. So a stored value names no code:
only types that the reader allows are made, and none of their constructors runs but `from_dict` and pydantic's
validation.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from base64 import b64decode, b64encode
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

from stowfast.adapters.extras import extra
from stowfast.errors import InvalidError

with extra("agent-framework"):
    from agent_framework import Content, WorkflowEvent
    from agent_framework._serialization import SerializationMixin
    from agent_framework._workflows import _checkpoint_encoding
    from pydantic import BaseModel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = ["CheckpointValues"]

_FORM: Final = "$"
_MAX_DEPTH: Final = 90
"""Each level of a value may be two of its JSON, of which a document has 200."""
_FRAMEWORK: Final = ("agent_framework.", "agent_framework_orchestrations.")

_TEXTS: Final[dict[type, tuple[Callable[[Any], str], Callable[[str], Any]]]] = {
    bytes: (lambda value: b64encode(value).decode(), b64decode),
    datetime: (datetime.isoformat, datetime.fromisoformat),
    date: (date.isoformat, date.fromisoformat),
    time: (time.isoformat, time.fromisoformat),
    UUID: (str, UUID),
    Decimal: (str, Decimal),
    float: (repr, float),
    timedelta: (
        lambda value: f"{value.days} {value.seconds} {value.microseconds}",
        lambda text: timedelta(*map(int, text.split())),
    ),
}
_LISTS: Final[dict[type, Callable[[Iterable[Any]], Any]]] = {tuple: tuple, set: set, frozenset: frozenset}
_KINDS: Final[tuple[type, ...]] = (str, int, bool, dict, list, type(None), complex, object, *_TEXTS, *_LISTS)
_KINDS_OF_CONTENT: Final = (str, int, float, complex, dict, list, tuple, set, frozenset, bytes, bytearray)
_PLAIN_TYPES: Final = {kind.__name__: kind for kind in _KINDS}
"""Types that may be values themselves, such as the type of an expected response."""


class CheckpointValues:
    """Turns values into JSON and back.

    Args:
        allowed: types beside those of Python and the framework: classes, or texts `module:qualname`. Types given to
            `agent_framework.register_checkpoint_type` are allowed, too.
    """

    def __init__(self, allowed: Iterable[type | str]) -> None:
        self._allowed = {one if isinstance(one, str) else _name(one): one for one in allowed}

    def encode(self, value: Any, path: str = "$", depth: int = 0) -> Any:
        """Return a value as JSON.

        Raises:
            InvalidError: a type is not allowed or has no form, or the value is nested over 90 levels. The error names
                the path and the type.
        """
        if depth > _MAX_DEPTH:
            raise InvalidError(f"{path[:80]}: the value is nested too deep, or holds itself")
        kind = type(value)
        if value is None or kind in (bool, int, str) or (kind is float and math.isfinite(value)):
            return value
        if kind is list:
            return self._items(value, path, depth)
        if kind is dict:
            return self._mapping(value, path, depth)
        if kind in _TEXTS:
            return {_FORM: kind.__name__, "value": _TEXTS[kind][0](value)}
        if kind in _LISTS:
            return {_FORM: kind.__name__, "value": self._items(value, path, depth)}
        if isinstance(value, type):
            return {_FORM: "type", "value": self._checked(value, path)}
        return {_FORM: "object", "type": self._checked(kind, path), "value": self._state(value, path, depth)}

    def decode(self, stored: Any) -> Any:
        """Return the value of JSON that `encode` made.

        Raises:
            InvalidError: a type is not allowed here, or the JSON is none of `encode`.
        """
        if isinstance(stored, list):
            return [self.decode(one) for one in stored]
        if not isinstance(stored, dict):
            return stored
        form = stored.get(_FORM)
        if form is None:
            return {name: self.decode(value) for name, value in stored.items()}
        value = stored.get("value")
        kind = _PLAIN_TYPES.get(str(form))
        if kind in _TEXTS:
            return _TEXTS[kind][1](str(value))
        if kind in _LISTS:
            return _LISTS[kind](self.decode(value))
        if form == "dict" and isinstance(value, list):
            return {self.decode(name): self.decode(one) for name, one in value}
        if form == "type":
            return self._found(str(value))
        if form == "object":
            return _made(self._found(str(stored.get("type"))), self.decode(value))
        raise InvalidError(f"{form!r} is no form of a value")

    def _items(self, values: Iterable[Any], path: str, depth: int) -> list[Any]:
        return [self.encode(one, f"{path}[{number}]", depth + 1) for number, one in enumerate(values)]

    def _mapping(self, value: dict[Any, Any], path: str, depth: int) -> dict[str, Any]:
        if all(type(name) is str for name in value) and _FORM not in value:
            return {name: self.encode(one, f"{path}.{name}", depth + 1) for name, one in value.items()}
        pairs = [
            [self.encode(name, path, depth + 1), self.encode(one, f"{path}.{name}", depth + 1)]
            for name, one in value.items()
        ]
        return {_FORM: "dict", "value": pairs}

    def _state(self, value: Any, path: str, depth: int) -> Any:
        if isinstance(value, Enum):
            return value.name
        if isinstance(value, SerializationMixin | Content):
            return self.encode(value.to_dict(), path, depth + 1)
        if isinstance(value, BaseModel):
            return self.encode(value.model_dump(mode="json", by_alias=True), path, depth + 1)
        if isinstance(value, _KINDS_OF_CONTENT):
            # Its attributes alone would be stored, and its content lost.
            raise InvalidError(
                f"{path}: a {_name(type(value))} is a kind of {type(value).__mro__[1].__name__}: convert it"
            )
        if dataclasses.is_dataclass(value):
            fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
            return self.encode({**fields, **getattr(value, "__dict__", {})}, path, depth + 1)
        if not hasattr(value, "__dict__"):
            raise InvalidError(f"{path}: a {_name(type(value))} has no attributes to store: use a dataclass")
        return self.encode(dict(vars(value)), path, depth + 1)

    def _checked(self, kind: type, path: str) -> str:
        name = _name(kind)
        if self._resolved(name) is not kind:
            raise InvalidError(f"{path}: {name} is not allowed in a checkpoint: give it in allowed_checkpoint_types")
        return name

    def _found(self, name: str) -> Any:
        found = self._resolved(name)
        if found is None:
            raise InvalidError(f"{name[:200]} is not allowed in a checkpoint: give it in allowed_checkpoint_types")
        return found

    def _resolved(self, name: str) -> type | None:
        """Return an allowed type. Only the module of a type that the caller has allowed is imported."""
        if name in _PLAIN_TYPES:
            return _PLAIN_TYPES[name]
        given = self._allowed.get(name)
        if isinstance(given, type):
            return given
        module, _, path = name.partition(":")
        if given is not None or name in _checkpoint_encoding._REGISTERED_CHECKPOINT_TYPE_KEYS:  # noqa: SLF001
            found: Any = import_module(module)
            for part in path.split("."):
                found = getattr(found, part, None)
            return found if isinstance(found, type) and _name(found) == name else None
        found = getattr(sys.modules.get(module), path, None) if module.startswith(_FRAMEWORK) else None
        return found if isinstance(found, type) and _name(found) == name and _holds_data(found) else None


def _name(kind: type) -> str:
    plain = _PLAIN_TYPES.get(kind.__name__)
    return kind.__name__ if plain is kind else f"{kind.__module__}:{kind.__qualname__}"


def _holds_data(kind: type) -> bool:
    """Return True for types of the framework that stand for data, unlike agents, clients and stores."""
    return dataclasses.is_dataclass(kind) or issubclass(
        kind, (Enum, SerializationMixin, Content, BaseModel, WorkflowEvent)
    )


def _made(kind: type, state: Any) -> Any:
    """Return an object of a type. Its constructor does not run, as in a copy."""
    if issubclass(kind, Enum):
        return kind[state]
    if issubclass(kind, (SerializationMixin, Content)):
        return kind.from_dict(state)
    if issubclass(kind, BaseModel):
        return kind.model_validate(state)
    made = kind.__new__(kind)
    for name, value in state.items():
        if name.startswith("__"):
            raise InvalidError(f"{name[:60]!r} is no attribute of a {_name(kind)}")
        object.__setattr__(made, name, value)
    return made
