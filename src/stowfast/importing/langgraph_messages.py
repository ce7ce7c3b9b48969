"""The messages in a checkpoint of LangGraph, as dumps of LangChain's `message_to_dict`. Objects are read as data."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec

from stowfast.errors import InvalidError

__all__ = ["dumps_of"]

_NEW_MODEL, _OLD_MODEL, _ARRAY, _SNAPSHOT, _LAST = 5, 4, 6, 7, 7
_VALUE: Final = 2
"""The place of the value in `[module, class, value, method]`."""


class _Model(NamedTuple):
    """The fields of an object of pydantic."""

    fields: dict[str, Any]


def dumps_of(data: bytes, what: str) -> list[dict[str, Any]] | None:
    """Return messages as dumps, and an item that is a JSON object as it is; None: this is no list of messages.

    No module that is named is imported, and no class is called.

    Raises:
        InvalidError: these are messages, and a value in them is one that JSON cannot carry.
    """
    try:
        found = _decode(data)
        if not isinstance(found, list) or not all(isinstance(one, dict) or _is_message(one) for one in found):
            return None
        return [_plain(one) if isinstance(one, dict) else _dump(one) for one in found]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidError(f"{what} are no MessagePack: {error}") from error


def _dump(message: _Model) -> dict[str, Any]:
    return {"type": message.fields["type"], "data": _plain(message.fields)}


def _is_message(value: object) -> bool:
    return isinstance(value, _Model) and isinstance(value.fields.get("type"), str) and "content" in value.fields


def _plain(value: Any) -> Any:
    """Return a value with the fields in the place of each object."""
    if isinstance(value, _Model):
        return _plain(value.fields)
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _read(code: int, data: memoryview) -> Any:
    """Return the value of an object: its fields, or its one argument, such as the text of a time."""
    if code == _SNAPSHOT:
        return _decode(data)
    if code == _ARRAY or not 0 <= code <= _LAST:
        raise InvalidError("a message has an array of numpy in it, or an object that is not known")
    parts = _decode(data)
    if not isinstance(parts, list) or len(parts) <= _VALUE:
        raise InvalidError("an object in a message is damaged")
    value = parts[_VALUE]
    return _Model(value) if code in {_OLD_MODEL, _NEW_MODEL} and isinstance(value, dict) else value


_decode: Final = msgspec.msgpack.Decoder(ext_hook=_read).decode
