"""Opening a file for reading only: with the log where that is allowed, else as a file that nobody changes."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Final

from stowfast.backends.sqlite.opening import uri
from stowfast.errors import InvalidError, NotFoundError, UnsupportedError

if TYPE_CHECKING:
    from stowfast.backends.sqlite.opening import FileHeader

__all__ = ["UNCHANGING", "check_readable", "reading_options"]

UNCHANGING: Final = "&immutable=1"
"""https://www.sqlite.org/uri.html#uriimmutable: without locks and log. Whoever reads must see that nothing changes."""


def check_readable(path: str, header: FileHeader | None, reason: str, *, wanted: bool, known: int) -> None:
    """Raise if a file that is to be read only has nothing to read, or must be changed first.

    Raises:
        NotFoundError: there is no file, or an empty one, and reading only was `wanted`.
        InvalidError: likewise, and this user may not make one.
        UnsupportedError: the file has an older version than `known`.
    """
    if header is None:
        state = "is an empty file" if os.path.exists(path) else "does not exist"
        if wanted:
            raise NotFoundError(f"{path} {state}: nothing was stored there")
        raise InvalidError(f"{path} {state}, and no database can be made there: {reason}")
    if header.version < known and not _holds_anything(f"{path}-wal"):
        raise UnsupportedError(f"{path} has the older format {header.version}: open it once for writing")


def reading_options(path: str, reason: str) -> str:
    """Return the options, beside `mode=ro`, of a connection to a file that this user may only read.

    SQLite reads a log only with an index beside it, and may not make one in a folder without the right to write. A file
    without a log needs none.

    Raises:
        InvalidError: the log of the file may not be read here.
    """
    if _is_readable(path):
        return ""
    if _holds_anything(f"{path}-wal"):
        raise InvalidError(f"{path}-wal cannot be read: {reason}: copy {path} and {path}-wal to another folder first")
    return UNCHANGING


def _is_readable(path: str) -> bool:
    with closing(sqlite3.connect(uri(path, "mode=ro"), uri=True, timeout=1)) as file:
        try:
            file.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
                return False
            raise
    return True


def _holds_anything(log: str) -> bool:
    try:
        return os.stat(log).st_size > 0
    except FileNotFoundError:
        return False
