"""The SQLite files that this process has open, and a look at whether they are still the files of their names.

POSIX locks belong to a process, not to a connection. https://www.sqlite.org/howtocorrupt.html, "file locking problems":
closing any descriptor of a file drops the locks that SQLite holds on it in this process, and a fork copies SQLite's
belief in locks that the child does not have. In either case another process may take the log away while this one still
writes to it. So nothing here opens a database file: its header is read by SQLite, and its identity by `stat`.
"""

from __future__ import annotations

import os
import stat
import threading
from collections import defaultdict
from contextlib import suppress
from typing import Final, TypeAlias

from stowfast.backends.sqlite.inodes import file_size
from stowfast.errors import InvalidError, UnavailableError

try:
    import fcntl
except ImportError:  # Windows: a file in use cannot be moved there
    fcntl = None  # type: ignore[assignment]

__all__ = ["AFTER_A_FORK", "COMPANIONS", "OPENING", "Claim", "check_companions", "check_index", "is_claimed"]

AFTER_A_FORK: Final = "close it before forking, or start processes with spawn"

COMPANIONS: Final = ("-wal", "-shm")
"""The log and its index, https://www.sqlite.org/wal.html: both are there as long as any connection is open."""

_INDEX_IN_USE: Final = 128
"""Each user of an index holds a lock on this byte: https://www.sqlite.org/src/file/src/os_unix.c, UNIX_SHM_DMS."""

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
        _, self._log, self._index = map(os.fsencode, self._paths)
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
                main, log, index = os.stat(self._path), file_size(self._log), os.stat(self._index)
            except OSError:
                pass
            else:
                self.log_bytes, self.changed_ns = log.bytes, main.st_mtime_ns
                if (main.st_ino, log.inode, index.st_ino) == self._inodes:
                    return
        for path, before, now in zip(self._paths, self._files, self._look(), strict=True):
            if before != now and (before is not None or self._unchanging):
                raise UnavailableError(f"{path} was removed or replaced since {self._path} was opened: open it again")

    def is_alone(self) -> bool:
        """Return True if no other log lies beside the file or its former name: nobody opened it with a new one."""
        return all(now in (None, before) for now, before in zip(self._look()[1:], self._files[1:], strict=True))

    def has_index(self, identity: _Identity) -> bool:
        """Return True if this is the identity of the index of the log."""
        return self._files[2] == identity

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


def check_companions(path: str) -> None:
    """Raise if a link, a folder or a pipe has the name of a log: a pipe would keep its reader waiting for ever.

    Raises:
        InvalidError: it has. All was left untouched.
    """
    for name in (f"{path}-journal", *(path + suffix for suffix in COMPANIONS)):
        with suppress(FileNotFoundError):
            if not stat.S_ISREG(os.lstat(name).st_mode):
                raise InvalidError(f"{name} is no regular file, so it is no log of {path}: move it elsewhere")


def check_index(path: str) -> None:
    """Raise if a process uses the index of the log. Call it while nobody has the file itself open.

    The file of such a process was moved away. An opening here would write over its index, and lose its log.

    Raises:
        UnavailableError: a process uses it. All was left untouched.
    """
    index = _identity(f"{path}-shm")
    if index is None or fcntl is None:
        return
    used = any(claim.has_index(index) for claims in tuple(_open.values()) for claim in claims)
    if used or _is_locked(f"{path}-shm"):
        raise UnavailableError(
            f"{path}-wal and {path}-shm belong to a file that was moved away or removed while a process had it open:"
            f" end that process in order, or move the file back to {path}"
        )


def _is_locked(index: str) -> bool:
    # Nobody of this process has it open, so closing this descriptor drops nobody's locks.
    try:
        descriptor = os.open(index, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _INDEX_IN_USE)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


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
