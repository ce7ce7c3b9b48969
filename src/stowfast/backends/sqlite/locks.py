"""The SQLite files that this process has open: POSIX locks belong to a process, not to a connection.

https://www.sqlite.org/howtocorrupt.html, "file locking problems": closing any descriptor of a file drops the locks that
SQLite holds on it in this process, and a fork copies SQLite's belief in locks that the child does not have. In either
case another process may take the log away while this one still writes to it.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from typing import Final

from stowfast.errors import InvalidError, UnavailableError

__all__ = ["AFTER_A_FORK", "OPENING", "Claim", "is_claimed"]

AFTER_A_FORK: Final = "close it before forking, or start processes with spawn"

OPENING: Final = threading.RLock()
"""Held from the look at a file's bytes until SQLite has it open."""

_open: Counter[tuple[int, int]] = Counter()
_inherited: set[tuple[int, int]] = set()


class Claim:
    """Registers a file as open in this process, by its device and inode."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._identity = _identity(path)
        self._process = os.getpid()
        if self._identity is not None:
            _open[self._identity] += 1

    def check(self) -> None:
        """Raise if the path names another file now.

        Raises:
            UnavailableError: the file was removed or replaced, so writes to it would be lost.
        """
        if _identity(self._path) != self._identity:
            raise UnavailableError(f"{self._path} was removed or replaced since it was opened: open it again")

    def release(self) -> None:
        """Remove this opening from the register."""
        if self._identity is not None and self._process == os.getpid():
            with OPENING:
                _open[self._identity] -= 1


def is_claimed(path: str) -> bool:
    """Return True if this process has the file open. Its bytes must then be read through SQLite only.

    Raises:
        InvalidError: it was open when this process was forked.
    """
    identity = _identity(path)
    if identity in _inherited:
        raise InvalidError(f"{path} was open when this process was forked: {AFTER_A_FORK}")
    return identity is not None and _open[identity] > 0


def _identity(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return (found.st_dev, found.st_ino)


def _after_fork() -> None:
    _inherited.update(identity for identity, openings in _open.items() if openings > 0)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=OPENING.acquire, after_in_parent=OPENING.release, after_in_child=_after_fork)
    os.register_at_fork(after_in_child=OPENING.release)
