"""Messages as bytes: each a JSON object, or an error with the number of the message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from stowfast.errors import InvalidError
from stowfast.stores.codec import encode
from stowfast.stores.json_check import not_json

__all__ = ["encode_message", "encode_messages"]


def encode_message(message: object, what: str = "the message") -> bytes:
    """Return a message as JSON.

    Raises:
        InvalidError: it is not a dict, or holds something that JSON cannot return unchanged.
    """
    if type(message) is not dict:
        raise not_json(message, what, "a message is a JSON object, a dict")
    return encode(message, what)


def encode_messages(messages: object) -> list[bytes]:
    """Return each message as JSON.

    Raises:
        InvalidError: as `encode_message`, with the number of the message, the first is 0; or this is no list.
    """
    if isinstance(messages, Mapping | str | bytes) or not isinstance(messages, Iterable):
        one = "; for one message call add_message" if isinstance(messages, Mapping) else ""
        raise InvalidError(f"messages must be a list of dicts, not {type(messages).__name__}{one}")
    return [encode_message(message, f"message {number:,}") for number, message in enumerate(messages)]
