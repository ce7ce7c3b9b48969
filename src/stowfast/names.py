"""Names, ids and moments that every backend makes and checks in the same way."""

from __future__ import annotations

import math
import os
import re
import time
from enum import Enum
from typing import TYPE_CHECKING, Final

from stowfast.abc import MAX_NAME_BYTES
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = [
    "MAX_MOMENT",
    "MIN_MOMENT",
    "beyond",
    "check_call",
    "check_name",
    "check_text",
    "clock",
    "is_one_of",
    "listed",
    "moment_after",
    "new_id",
    "number_of",
    "steady_clock",
    "truth_of",
]

_LAST_CHARACTER, _FIRST_SURROGATE, _AFTER_SURROGATES = 0x10FFFF, 0xD800, 0xE000
_MAX_FILE_NAME_BYTES: Final = 255
_WORD: Final = re.compile(r"[a-z][a-z_]{0,23}")

MIN_MOMENT: Final = -62_135_596_800_000_000
"""The first moment of year 1, as microseconds since 1970: no datetime is before it."""

MAX_MOMENT: Final = 253_402_300_799_999_999
"""The last moment of year 9999."""


def clock() -> int:
    """Return this machine's time: microseconds since 1970, UTC."""
    return time.time_ns() // 1_000


def steady_clock() -> int:
    """Return microseconds of a clock that never goes back. Only differences mean something."""
    return time.monotonic_ns() // 1_000


def moment_after(moment: int, duration: int) -> int:
    """Return the moment so long after a moment, both in microseconds: the last one of year 9999 if that is earlier."""
    return min(moment + duration, MAX_MOMENT)


def new_id() -> str:
    """Return an id that was never used before, for an incarnation or a blob: 128 random bits."""
    return os.urandom(16).hex()


def check_text(text: object, what: str) -> None:
    """Check that a text is a plain str. A subclass may print another text than its characters, as an Enum does.

    Raises:
        InvalidError: it is of another type.
    """
    if type(text) is not str:
        remedy = "" if not isinstance(text, str) else ": give .value" if isinstance(text, Enum) else ": give str(...)"
        raise InvalidError(f"{what} must be a str, not {type(text).__name__}{remedy}")


def check_call(value: object, what: str) -> None:
    """Check that an argument is a function.

    Raises:
        InvalidError: it is none.
    """
    if not callable(value):
        raise InvalidError(f"{what} must be a function, not {type(value).__name__}")


def check_name(name: str, what: str = "a name", *, max_bytes: int = MAX_NAME_BYTES) -> None:
    """Check a name or an id.

    Raises:
        InvalidError: some backend could not store it: it is empty, over `max_bytes` of UTF-8, has NUL, or is not
            Unicode text.
    """
    if type(name) is not str:
        check_text(name, what)
    try:
        size = len(name) if name.isascii() else len(name.encode())
    except UnicodeEncodeError:
        raise InvalidError(f"{what} has a lone surrogate: it is not Unicode text") from None
    if not 0 < size <= max_bytes:
        raise InvalidError(f"{what} must have 1 to {max_bytes:,} bytes of UTF-8, this one has {size:,}")
    if "\0" in name:
        raise InvalidError(f"{what} must not contain NUL")


def path_text(path: object, what: str) -> str:
    """Return a path as text, as `os.fspath` does.

    Raises:
        InvalidError: it is no path, is empty, or has a character or a length that no system takes.
    """
    try:
        text = os.fspath(path)  # type: ignore[call-overload]
    except TypeError:
        text = path
    check_text(text, what)
    try:
        parts = os.fsencode(text).split(os.fsencode(os.sep))
    except UnicodeEncodeError:
        parts = []  # raised below: Python's error holds the text, which may be a URL with a password
    if not parts:
        raise InvalidError(f"{what} has a lone surrogate: it is no path")
    if not text or "\0" in text:
        raise InvalidError(f"{what} is empty or contains NUL: it is no path")
    if max(map(len, parts)) > _MAX_FILE_NAME_BYTES:
        raise InvalidError(f"{what} has a name of over {_MAX_FILE_NAME_BYTES} bytes: it is no path")
    return str(text)


def is_one_of(value: object, words: Sequence[str]) -> bool:
    """Return True for one of the words. Anything but a str is none of them, and is not asked whether it equals one."""
    return type(value) is str and value in words


def number_of(value: object) -> float:
    """Return an option as a number, also from text; NaN if it is none. It is never an error."""
    if type(value) not in (str, int, float):
        return math.nan
    try:
        return float(value)  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return math.nan


def truth_of(value: object) -> bool | None:
    """Return an option that is true or false, also as text; None if it is neither."""
    if type(value) is bool:
        return value
    return {"true": True, "false": False}.get(value.lower()) if type(value) is str else None


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
