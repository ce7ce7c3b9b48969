"""Messages as bytes: each a JSON object, or an error with the number of the message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from stowfast.errors import InvalidError
from stowfast.stores.codec import encode
from stowfast.stores.json_check import not_json, to_object

__all__ = ["encode_message", "encode_messages", "encode_one"]


def encode_message(message: object, what: str = "the message") -> bytes:
    """Return a message as JSON.

    Raises:
        InvalidError: it is not a dict, or holds something that JSON cannot return unchanged.
    """
    if type(message) is not dict:
        raise not_json(message, what, "a message is a JSON object, a dict")
    return encode(message, what)


def encode_one(message: object) -> bytes:
    """Return the message of a call for one message as JSON.

    Raises:
        InvalidError: as `encode_message`; or this is a list of messages.
    """
    if type(message) is not dict and issubclass(type(message), list | tuple | Iterator):
        raise not_json(message, "the message", "a message is a JSON object, a dict; for a list call add_messages")
    return encode_message(message)


def encode_messages(messages: object) -> list[bytes]:
    """Return each message as JSON.

    Raises:
        InvalidError: as `encode_message`, with the number of the message, the first is 0; or this is no list.
    """
    if isinstance(messages, Mapping | str | bytes) or not isinstance(messages, Iterable):
        raise _no_list(messages)
    entries: list[bytes] = []
    for number, message in enumerate(messages):
        if type(message) is not dict and to_object(type(messages)):
            raise _no_list(messages)  # a pydantic model is an iterable of its fields
        entries.append(encode_message(message, f"message {number:,}"))
    return entries


def _no_list(messages: object) -> InvalidError:
    remedy = "" if isinstance(messages, dict) else to_object(type(messages))
    one = "; for one message call add_message" if remedy or isinstance(messages, Mapping) else ""
    given = f"messages must be a list of dicts, not {type(messages).__name__}"
    return InvalidError(f"{given}{one}{remedy and f' and give {remedy}'}")
