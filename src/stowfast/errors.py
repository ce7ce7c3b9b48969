"""Every error Stowfast raises, drawn as a tree by what the caller does next.

    StowfastError
    ├── NotFoundError    (LookupError)          not there             -> create it, or report it
    ├── ConflictError                           someone was first     -> read again, then decide
    ├── InvalidError     (ValueError)           the call is wrong     -> fix the code; nothing was stored
    ├── UnsupportedError (NotImplementedError)  no such ability here  -> choose another backend
    ├── UnavailableError                        no answer             -> repeat with the same op_id: it may be stored
    └── DamagedError                            bytes do not decode   -> call an operator; never wrong data

The driver's own error is always the `__cause__`. Absence is an answer, not a failure: an unknown conversation is an
empty list, an unknown artifact or task is None.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

__all__ = [
    "ConflictError",
    "DamagedError",
    "InvalidError",
    "NotFoundError",
    "StowfastError",
    "UnavailableError",
    "UnsupportedError",
    "shown",
]

_SHOWN_CHARACTERS = 60
_SHOWN_BITS = 64


class StowfastError(Exception):
    """The base of all errors that Stowfast raises. Catch a subclass to act on it."""


class NotFoundError(StowfastError, LookupError):
    """The call needs something that does not exist. Create it, or report it."""


class ConflictError(StowfastError):
    """Another writer was first, and nothing of this call was stored. Read again, then decide.

    `current` is the position or version that comes next, for a call with `expect=`. `owner` and `until` name the owner
    of the task's lease and the end of the lease, for a call that the lease refused.
    """

    def __init__(
        self, message: str, *, current: int | None = None, owner: str | None = None, until: datetime | None = None
    ) -> None:
        super().__init__(message)
        self.current = current
        self.owner = owner
        self.until = until


class InvalidError(StowfastError, ValueError):
    """The call is wrong, and nothing was stored. Fix the code."""


class UnsupportedError(StowfastError, NotImplementedError):
    """This backend cannot do that. Choose another backend, or install the extra that the message names."""


class UnavailableError(StowfastError):
    """The backend gave no answer. A write may have been stored: repeat the call with the same `op_id` to be sure."""


class DamagedError(StowfastError):
    """Stored bytes do not decode or do not match their checksum. Call an operator; wrong data is never returned."""


def shown(value: object) -> str:
    """Return a value for the text of an error: short and plain, or the name of its type. Never an error itself."""
    if type(value) is str:
        return repr(value if len(value) <= _SHOWN_CHARACTERS else f"{value[:_SHOWN_CHARACTERS]}...")
    if value is None or type(value) in (bool, float) or (type(value) is int and value.bit_length() <= _SHOWN_BITS):
        return repr(value)
    return f"a number of {value.bit_length():,} bits" if type(value) is int else f"a {type(value).__name__}"


def nested(subject: str = "this call") -> InvalidError:
    """Return the error of a call that came inside another call of its thread, and would wait for it for ever."""
    return InvalidError(
        f"{subject} came inside another call of the same thread, from a signal handler or a finalizer, and nothing was "
        "stored: set a flag there, and save after the other call has returned"
    )
