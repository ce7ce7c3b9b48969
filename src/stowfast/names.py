"""Names, ids and moments that every backend makes and checks in the same way."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING, Final

from stowfast.abc import MAX_NAME_BYTES
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_MOMENT", "MIN_MOMENT", "beyond", "check_name", "clock", "listed", "moment_after", "new_id"]

_LAST_CHARACTER, _FIRST_SURROGATE, _AFTER_SURROGATES = 0x10FFFF, 0xD800, 0xE000
_WORD: Final = re.compile(r"[a-z][a-z_]{0,23}")

MIN_MOMENT: Final = -62_135_596_800_000_000
"""The first moment of year 1, as microseconds since 1970: no datetime is before it."""

MAX_MOMENT: Final = 253_402_300_799_999_999
"""The last moment of year 9999."""


def clock() -> int:
    """Return this machine's time: microseconds since 1970, UTC."""
    return time.time_ns() // 1_000


def moment_after(moment: int, duration: int) -> int:
    """Return the moment so long after a moment, both in microseconds: the last one of year 9999 if that is earlier."""
    return min(moment + duration, MAX_MOMENT)


def new_id() -> str:
    """Return an id that was never used before, for an incarnation or a blob: 128 random bits."""
    return os.urandom(16).hex()


def check_name(name: str, what: str = "a name", *, max_bytes: int = MAX_NAME_BYTES) -> None:
    """Check a name or an id.

    Raises:
        InvalidError: some backend could not store it: it is empty, over `max_bytes` of UTF-8, has NUL, or is not
            Unicode text.
    """
    try:
        if not isinstance(name, str):
            raise InvalidError(f"{what} must be a str, not {type(name).__name__}")
        size = len(name) if name.isascii() else len(name.encode())
    except UnicodeEncodeError:
        raise InvalidError(f"{what} has a lone surrogate: it is not Unicode text") from None
    if not 0 < size <= max_bytes:
        raise InvalidError(f"{what} must have 1 to {max_bytes:,} bytes of UTF-8, this one has {size:,}")
    if "\0" in name:
        raise InvalidError(f"{what} must not contain NUL")


def beyond(prefix: str) -> str | None:
    """Return the least text above all texts with this prefix, by code points; None: there is none."""
    while prefix:
        last = ord(prefix[-1]) + 1
        if last <= _LAST_CHARACTER:
            return prefix[:-1] + chr(_AFTER_SURROGATES if last == _FIRST_SURROGATE else last)
        prefix = prefix[:-1]
    return None


def listed(words: Iterable[str]) -> str:
    """Return unknown names of options for an error. One that is no plain word may be a misplaced secret: `...`."""
    return ", ".join(sorted({word if _WORD.fullmatch(word) else "..." for word in words}))
