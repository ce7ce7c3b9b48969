"""The %XX of URLs, by Python's `urllib.parse`. It is loaded for the first one: few paths and options have any.

Source: https://www.rfc-editor.org/rfc/rfc3986#section-2.1.
"""

from __future__ import annotations

from stowfast.first_use import imported

__all__ = ["unquote", "unquote_to_bytes"]


def unquote(text: str, errors: str = "replace") -> str:
    """Return text with each %XX as the character that it stands for. Bytes that are not UTF-8 go by `errors`.

    Raises:
        InvalidError: as `first_use.imported`.
    """
    return str(imported("urllib.parse", "unquote")(text, errors=errors)) if "%" in text else text


def unquote_to_bytes(data: bytes) -> bytes:
    """Return bytes with each %XX as the byte that it stands for.

    Raises:
        InvalidError: as `first_use.imported`.
    """
    return bytes(imported("urllib.parse", "unquote_to_bytes")(data)) if b"%" in data else data
