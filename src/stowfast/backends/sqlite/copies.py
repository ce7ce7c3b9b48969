"""Copies of a SQLite file: a backup while it is in use, a restore, and the same file without its free pages."""

from __future__ import annotations

import os
import secrets
import sqlite3
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from stowfast.backends.sqlite.file import SQLiteFile
from stowfast.backends.sqlite.locks import OPENING, check_index, is_claimed
from stowfast.backends.sqlite.opening import is_busy, is_full, look, uri
from stowfast.backends.sqlite.recency import rebuild
from stowfast.backends.sqlite.rights import absolute, check_folder, make_private, missing_right
from stowfast.disk import sync_folder
from stowfast.errors import DamagedError, InvalidError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["compact_file", "copy_file"]

_STEP_PAGES: Final = 4_096
"""Pages that are copied between two calls of a progress function."""
_BESIDE: Final = ("-shm", "-wal", "-journal")
"""The files that belong to a database, the log after its index: with the log there, no other process opens the file."""

_ONE_FILE: Final = "PRAGMA journal_mode=DELETE"
"""A file without a log is read without any other."""


def copy_file(
    source: str,
    target: str,
    *,
    replace: bool,
    finish: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> int:
    """Copy a file as it is at one moment, in use or not, and return the size of the copy in bytes.

    With `replace=True` it takes the place of a file and of its log, while nobody has the file open. `finish` is called
    with the path of the copy before it has its name, and may write to it; if it raises, there is no copy. `progress` is
    called with the bytes copied so far and with those of the file.
    """
    source, target = absolute(source), absolute(target)
    _check_target(source, target, replace=replace)
    with _copied(source, target, finish, progress) as part, OPENING:
        if is_claimed(target):
            raise InvalidError(f"{target} is open in this process: close it before it is replaced")
        size = os.stat(part).st_size
        _swap(part, target)
        sync_folder(Path(target).parent)
    return size


def compact_file(path: str, *, timeout: float) -> tuple[int, int]:
    """Write a file anew without its free pages, and return its sizes before and after in bytes."""
    if not os.path.exists(absolute(path)):
        raise NotFoundError(f"{path} does not exist")
    file = SQLiteFile(path, timeout=timeout)
    try:
        file.check_writable()
        with file.errors():
            file.log.empty()
            before = os.stat(file.path).st_size
            file.patiently(lambda: rebuild(file.writer))
            file.patiently(lambda: file.writer.execute("VACUUM"))
            file.log.empty()
            return before, os.stat(file.path).st_size
    finally:
        file.close()


def _check_target(source: str, target: str, *, replace: bool) -> None:
    check_folder(target)
    if missing := missing_right(target):
        raise InvalidError(f"{target} cannot be written: {missing}")
    belongings = [source, *(source + suffix for suffix in _BESIDE)]
    if target in belongings or any(_same(target, one) for one in belongings):
        raise InvalidError(f"{target} belongs to {source}: name another file")
    if os.path.exists(target):
        if not replace:
            raise InvalidError(f"{target} exists: name another file, or say that it may be replaced")
        with suppress(sqlite3.DatabaseError):  # one that is damaged may be replaced, one of another program not
            look(target)


@contextmanager
def _copied(
    source: str, target: str, finish: Callable[[str], None] | None, progress: Callable[[int, int], None] | None
) -> Iterator[str]:
    """Lend a checked copy of a file in the folder of the target. What is left of it at the end is removed."""
    folder, name = os.path.split(target)
    part = os.path.join(folder, f".{name[:100]}.{secrets.token_hex(8)}.part")
    try:
        _copy(source, part, progress)
        if finish is not None:
            finish(part)
            with closing(_connect(part)) as copy:
                copy.execute(_ONE_FILE)
        _sync(part)
        yield part
    except OSError as error:
        raise UnavailableError(f"{target}: {error.strerror or error}: the copy was not made") from error
    finally:
        for suffix in ("", *_BESIDE):
            _remove(part + suffix)


def _copy(source: str, part: str, progress: Callable[[int, int], None] | None) -> None:
    make_private(part)
    file = SQLiteFile(source, read_only=True)
    try:
        with file.errors(), file.snapshot() as connection, closing(_connect(part)) as copy:
            connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()  # the moment of the copy
            try:
                page = connection.execute("PRAGMA page_size").fetchone()[0]

                def tell(_: int, left: int, pages: int) -> None:
                    if progress is not None:
                        progress((pages - left) * page, pages * page)

                # In steps: the open snapshot keeps them at one moment, so no writer makes the copy begin again.
                connection.backup(copy, pages=_STEP_PAGES, progress=tell)
                copy.execute(_ONE_FILE)
            except sqlite3.OperationalError as error:
                if is_full(error):
                    raise UnavailableError(f"{part}: the disk has no room for a copy of {source}") from error
                raise
            found = copy.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise DamagedError(f"{source}: {found}: no copy was made")
    finally:
        file.close()


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(uri(path, "mode=rw"), uri=True, timeout=0, isolation_level=None)


def _swap(part: str, target: str) -> None:
    """Replace a file that nobody has open, and remove its log. A kill in between leaves a log that is refused."""
    if not os.path.exists(target):
        check_index(target)
        for suffix in _BESIDE:
            _remove(target + suffix)
        os.replace(part, target)
        return
    with closing(_connect(target)) as old:
        try:
            old.execute("PRAGMA locking_mode=EXCLUSIVE")
            old.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:  # one that is damaged may be replaced
            if is_busy(error):
                raise UnavailableError(f"{target}: another process has it open: end it first") from error
        check_index(target)
        os.replace(part, target)
        for suffix in _BESIDE:
            _remove(target + suffix)


def _same(one: str, other: str) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False


def _remove(path: str) -> None:
    with suppress(FileNotFoundError):
        os.unlink(path)


def _sync(path: str) -> None:
    # A new file under a random name: nobody else has it open, so closing this descriptor drops nobody's locks.
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
