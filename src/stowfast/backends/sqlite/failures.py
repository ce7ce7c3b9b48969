"""Errors of the SQLite driver as errors of ours."""

from __future__ import annotations

import sqlite3
from typing import Final

from stowfast.backends.sqlite.guard import TRANSACTION_SECONDS
from stowfast.backends.sqlite.log import full_disk
from stowfast.backends.sqlite.opening import is_full
from stowfast.backends.sqlite.rights import missing_right
from stowfast.errors import DamagedError, InvalidError, StowfastError, UnavailableError
from stowfast.group_commit import interrupted

__all__ = ["failure_of", "ours"]

_NO_RIGHT: Final = (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM)
_DAMAGED: Final = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def ours(path: str, error: sqlite3.Error) -> StowfastError:
    """Return the error for one of the driver."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    # Our statements are right: one that does not fit the tables, or text that is none, is the file's fault.
    misfits = isinstance(error, sqlite3.OperationalError) and code in (0, sqlite3.SQLITE_ERROR)
    if code in _DAMAGED or misfits:
        return DamagedError(f"{path}: {error}: restore it from a backup, or see `sqlite3 FILE .recover`")
    if code in _NO_RIGHT and (missing := missing_right(path)):
        return InvalidError(f"{path} cannot be opened or written: {missing}")
    if is_full(error):
        return UnavailableError(f"{path}: {full_disk(path)}; nothing was stored")
    if code == sqlite3.SQLITE_INTERRUPT:
        return UnavailableError(
            f"{path}: a transaction took over {TRANSACTION_SECONDS:g} s, was stopped, and stored nothing"
        )
    return UnavailableError(f"{path}: {error}")


def failure_of(path: str, error: Exception) -> StowfastError:
    """Return the error for any error inside a transaction, with that error as its cause."""
    if not isinstance(error, sqlite3.Error):
        return interrupted(error)
    failure = ours(path, error)
    failure.__cause__ = error
    return failure
