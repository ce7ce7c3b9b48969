"""The SQLite files that this process has open, and a look at whether they are still the files of their names.

POSIX locks belong to a process, not to a connection. https://www.sqlite.org/howtocorrupt.html, "file locking problems":
closing any descriptor of a file drops the locks that SQLite holds on it in this process, and a fork copies SQLite's
belief in locks that the child does not have. In either case another process may take the log away while this one still
writes to it. So nothing here opens a database file: its header is read by SQLite, and its identity by `stat`.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from typing import Final, TypeAlias

from stowfast.errors import InvalidError, UnavailableError

__all__ = ["AFTER_A_FORK", "COMPANIONS", "OPENING", "Claim", "is_claimed"]

AFTER_A_FORK: Final = "close it before forking, or start processes with spawn"

COMPANIONS: Final = ("-wal", "-shm")
"""The log and its index, https://www.sqlite.org/wal.html: both are there as long as any connection is open."""

OPENING: Final = threading.RLock()
"""Held from the first look at a file until SQLite has it open."""

_Identity: TypeAlias = tuple[int, ...]

_open: defaultdict[_Identity, list[Claim]] = defaultdict(list)
_inherited: set[_Identity] = set()


class Claim:
    """Registers a file as open in this process, with its log and the index of the log, by device and inode.

    Make it after the first read of a connection: only then the log is there. With `unchanging=True` the size and the
    time of the last change of the file must stay too, and no log may appear.
    """

    def __init__(self, path: str, *, unchanging: bool = False) -> None:
        self._path = path
        self._unchanging = unchanging
        self.identity = _identity(path)
        self._process = os.getpid()
        self._paths = (path, *(path + suffix for suffix in COMPANIONS))
        self._files = self._look()
        self._inodes = tuple(file and file[1] for file in self._files)
        self.log_bytes = 0
        """The size of the log at the last check."""
        self.changed_ns = 0
        """The time of the last change of the file, at the last check."""
        self.ending = False
        """True while the connections are closed: the last one removes the log, as it should."""
        if self.identity is not None:
            _open[self.identity].append(self)

    def check(self) -> None:
        """Raise if one of the names belongs to another file now.

        Raises:
            UnavailableError: a file was removed or replaced, so writes to it would be lost.
        """
        if not self._unchanging:
            try:  # the usual case, fast: it is a part of every commit
                main, log, index = map(os.stat, self._paths)
            except OSError:
                pass
            else:
                self.log_bytes, self.changed_ns = log.st_size, main.st_mtime_ns
                if (main.st_ino, log.st_ino, index.st_ino) == self._inodes:
                    return
        for path, before, now in zip(self._paths, self._files, self._look(), strict=True):
            if before != now and (before is not None or self._unchanging):
                raise UnavailableError(f"{path} was removed or replaced since {self._path} was opened: open it again")

    def is_alone(self) -> bool:
        """Return True if the file has its name, and no other log beside it: nobody opened it with a new one."""
        main, *companions = self._look()
        return main == self._files[0] and all(
            now in (None, before) for now, before in zip(companions, self._files[1:], strict=True)
        )

    def release(self) -> None:
        """Remove this opening from the register."""
        if self.identity is not None and self._process == os.getpid():
            with OPENING:
                _open[self.identity].remove(self)

    def _look(self) -> tuple[_Identity | None, ...]:
        main = _identity(self._path, with_change=self._unchanging)
        return (main, *map(_identity, self._paths[1:]))


def is_claimed(path: str) -> bool:
    """Return True if this process has the file open.

    Raises:
        InvalidError: it was open when this process was forked.
        UnavailableError: it is open, and its log was removed or replaced.
    """
    identity = _identity(path)
    if identity is None:
        return False
    if identity in _inherited:
        raise InvalidError(f"{path} was open when this process was forked: {AFTER_A_FORK}")
    for claim in tuple(_open[identity]):
        try:
            claim.check()
        except UnavailableError:
            if not claim.ending:
                raise
    return bool(_open[identity])


def _identity(path: str, *, with_change: bool = False) -> _Identity | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    if with_change:
        return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    return (found.st_dev, found.st_ino)


def _after_fork() -> None:
    _inherited.update(identity for identity, claims in _open.items() if claims)
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=OPENING.acquire, after_in_parent=OPENING.release, after_in_child=_after_fork)
    os.register_at_fork(after_in_child=OPENING.release)
