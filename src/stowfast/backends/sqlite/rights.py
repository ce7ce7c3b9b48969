"""The path in a URL, and the rights that SQLite needs on it, as errors that name the folder and the right."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from typing import Final

from stowfast.errors import InvalidError
from stowfast.percent import unquote_to_bytes

__all__ = ["absolute", "check_folder", "make_private", "missing_right", "path_of"]


_MAX_PATH_BYTES: Final = 504
"""https://www.sqlite.org/src/file/src/os_unix.c: MAX_PATHNAME is 512, and `-journal` has a part of it."""


def path_of(url: str) -> str:
    """Return the path in a URL. Its %XX are bytes, as in any URL, and need not be UTF-8."""
    quoted = url.removeprefix("sqlite:").removeprefix("///")
    try:
        path = os.fsdecode(unquote_to_bytes(os.fsencode(quoted)))
    except UnicodeError as error:
        raise InvalidError("sqlite: the path has a character that no file name can have") from error
    if path in ("", "//", ":memory:"):
        raise InvalidError(
            "sqlite: without a path: for a backend in memory write memory:, for a file sqlite:///agent.db"
        )
    if not url.startswith("sqlite:///"):
        raise InvalidError("sqlite: has no host: write sqlite:///agent.db, or sqlite:////var/lib/agent.db")
    if "\0" in path:
        raise InvalidError("sqlite: a path must not contain NUL")
    return path


def absolute(path: str) -> str:
    """Return the path of the file itself, without links: SQLite puts the log beside the file, not beside a link to it.

    A later change of the working folder does not move it.

    Raises:
        InvalidError: the path is relative, and the working folder is gone.
    """
    try:
        return os.path.realpath(path)
    except OSError as error:
        raise InvalidError(f"{path}: the working folder is gone: give an absolute path") from error


def check_folder(path: str) -> None:
    """Raise if a path cannot be a file.

    Raises:
        InvalidError: the folder is absent, or may not be entered; or the path names a folder or a device.
    """
    folder = os.path.dirname(path)
    if len(os.fsencode(path)) > _MAX_PATH_BYTES:
        raise InvalidError(f"{path}: SQLite takes paths of at most {_MAX_PATH_BYTES} bytes: name another file")
    try:
        with suppress(FileNotFoundError):
            os.stat(f"{path}-journal")  # the longest name beside it
        if not stat.S_ISDIR(os.stat(folder).st_mode):
            raise InvalidError(f"{path}: {folder} is not a folder")
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InvalidError(f"{path} is a folder or a device: name a file")
    except FileNotFoundError as error:
        if not os.path.isdir(folder):
            raise InvalidError(f"{path}: the folder {folder} does not exist: create it first") from error
    except PermissionError as error:
        raise InvalidError(
            f"{path}: this user may not enter the folder {folder} or one above it: give it the right to (chmod +x)"
        ) from error
    except OSError as error:  # a name that is too long, a link that leads to itself, a file in place of a folder
        raise InvalidError(f"{path}: {error.strerror}: name another file") from error


def make_private(path: str) -> None:
    """Make an empty file that its owner alone may read, if there is none. SQLite gives the log the same rights.

    A new file is the one whose descriptor may be closed: nobody can have it open already.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_CLOEXEC", 0), 0o600))
    except FileExistsError:
        return


def missing_right(path: str) -> str | None:
    """Return the reason why a user may not write to a file, as the end of a sentence; None: it may."""
    folder = os.path.dirname(path)
    missing = None
    if not os.path.exists(path):
        pass
    elif not os.access(path, os.R_OK):
        missing = (path, "read")
    elif not os.access(path, os.W_OK):
        missing = (path, "write to")
    if missing is None and not os.access(folder, os.W_OK | os.X_OK):
        missing = (f"the folder {folder}", "create files in")
    if missing is None:
        return None
    what, right = missing
    if hasattr(os, "statvfs") and os.statvfs(folder).f_flag & os.ST_RDONLY:
        return f"the file system of {folder} is mounted for reading only"
    return f"this user may not {right} {what}"
