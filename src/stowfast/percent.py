"""The %XX of URLs, by Python's `urllib.parse`. It is loaded for the first one: few paths and options have any.

Source: https://www.rfc-editor.org/rfc/rfc3986#section-2.1.
"""

from __future__ import annotations

__all__ = ["unquote", "unquote_to_bytes"]


def unquote(text: str, errors: str = "replace") -> str:
    """Return text with each %XX as the character that it stands for. Bytes that are not UTF-8 go by `errors`."""
    if "%" not in text:
        return text
    from urllib.parse import unquote

    return unquote(text, errors=errors)


def unquote_to_bytes(data: bytes) -> bytes:
    """Return bytes with each %XX as the byte that it stands for."""
    if b"%" not in data:
        return data
    from urllib.parse import unquote_to_bytes

    return unquote_to_bytes(data)
