"""Names, ids and moments that every backend makes and checks in the same way."""

from __future__ import annotations

import os
import time

from stowfast.abc import MAX_NAME_BYTES
from stowfast.errors import InvalidError

__all__ = ["check_name", "clock", "new_id"]


def clock() -> int:
    """Return this machine's time: microseconds since 1970, UTC."""
    return time.time_ns() // 1_000


def new_id() -> str:
    """Return an id that was never used before, for an incarnation or a blob: 128 random bits."""
    return os.urandom(16).hex()


def check_name(name: str, what: str = "a name") -> None:
    """Refuse a name that some backend could not store: empty, over `MAX_NAME_BYTES`, with NUL, or not Unicode text."""
    try:
        if not isinstance(name, str):
            raise InvalidError(f"{what} must be text, not {type(name).__name__}")
        size = len(name) if name.isascii() else len(name.encode())
    except UnicodeEncodeError:
        raise InvalidError(f"{what} must be text without lone surrogates") from None
    if not 0 < size <= MAX_NAME_BYTES:
        raise InvalidError(f"{what} must have 1 to {MAX_NAME_BYTES} bytes of UTF-8, this one has {size}")
    if "\0" in name:
        raise InvalidError(f"{what} must not contain NUL")
