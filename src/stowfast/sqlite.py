"""Care of a SQLite file: back it up while it is in use, restore it, give its free space back.

    stowfast.sqlite.backup("agent.db", "backup.db")

Each function blocks. Call it with `asyncio.to_thread` from async code. A file is a path, or a URL that begins with
`sqlite:///`.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Final, NamedTuple, TypeAlias
from urllib.parse import quote

from stowfast.abc import Change, Query
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.backends.sqlite.copies import compact_file, copy_file
from stowfast.backends.sqlite.opening import uri
from stowfast.backends.sqlite.rights import path_of
from stowfast.errors import InvalidError, shown
from stowfast.names import number_of, path_text

__all__ = ["Compacted", "backup", "compact", "restore"]

_File: TypeAlias = "str | os.PathLike[str]"

_LONGEST_TIMEOUT: Final = 86_400


class Compacted(NamedTuple):
    """The sizes of a file in bytes, before and after it was compacted."""

    before: int
    after: int


def backup(source: _File, target: _File, *, replace: bool = False) -> int:
    """Copy a file that may be in use to another one, by SQLite's backup interface, and return its size in bytes.

    The copy has everything that was acknowledged before the call, also what is still in the log. It is one file without
    a log, checked and synced to the disk; it gets its name at the end, so a call that fails leaves none; one that is
    killed may leave a hidden file `.NAME.….part` in the folder. Writers do not wait; the log grows meanwhile. Its mode
    is 0600. Source: https://www.sqlite.org/backup.html.

    Args:
        source: the file to copy.
        target: the copy. Its folder must exist.
        replace: True: a backup of that name, which nobody may have open, is replaced. A file of another program never
            is.

    Raises:
        NotFoundError: there is no source.
        InvalidError: the target exists, is open in this process, is a part of the source or not a Stowfast file; or a
            right is missing.
        UnavailableError: another process has the target open.
        DamagedError: the source is damaged. No copy was made.
    """
    return copy_file(_path(source, "source"), _path(target, "target"), replace=replace)


def restore(source: _File, target: _File, *, replace: bool = False) -> int:
    """Put a copy of a backup in the place of a file, and return its size in bytes. The backup stays.

    The mark by which `stowfast backup` knows a backup of its own is left out: it replaces no restored file.

    Nobody may have the target open. The target's own log is removed with it: played over a backup it would damage it.
    A call that is killed leaves the old file, or the new one, or the new one beside the old log, which an opening
    refuses: repeat the call then.

    Args:
        source: the backup.
        target: the file to make, or to replace.
        replace: True: a file of that name is replaced. All that is in it and not in the backup is lost.

    Raises:
        NotFoundError: there is no backup.
        InvalidError: the target exists, is open in this process, or is not a Stowfast file; or a right is missing.
        UnavailableError: another process has the target open.
        DamagedError: the backup is damaged. The target stays as it was.
    """
    return copy_file(_path(source, "source"), _path(target, "target"), replace=replace, finish=_unmark)


def compact(path: _File, *, timeout: float = 60.0) -> Compacted:
    """Write a file anew, without the free space that deleted content left, and return its sizes.

    It may be in use: reads go on, and writes wait until it is done. It needs room for two more copies meanwhile. A call
    that fails or is killed leaves the content as it was. Source: https://www.sqlite.org/lang_vacuum.html.

    Args:
        path: the file.
        timeout: seconds to wait for another writer.

    Raises:
        NotFoundError: there is no file.
        InvalidError: a right is missing, or it is not a Stowfast file.
        UnavailableError: another process was writing for `timeout` seconds, or the disk is full.
    """
    seconds = number_of(timeout)
    if not 0 <= seconds <= _LONGEST_TIMEOUT:
        raise InvalidError(f"timeout={shown(timeout)}: give seconds, from 0 to {_LONGEST_TIMEOUT:,}")
    return Compacted(*compact_file(_path(path, "path"), timeout=seconds))


def _path(file: _File, what: str) -> str:
    path = path_text(file, what)
    return path_of(path) if path.startswith("sqlite:") else path


def _unmark(part: str) -> None:
    """Delete the marks of backups."""
    with closing(sqlite3.connect(uri(part, "mode=ro"), uri=True)) as file:
        marked = file.execute("SELECT 1 FROM streams WHERE name >= 'stowfast/' AND name < 'stowfast0'").fetchall()
    if marked:
        with ThreadPoolExecutor(1) as thread:  # the caller may run an event loop
            thread.submit(asyncio.run, _delete_marks(part)).result()


async def _delete_marks(part: str) -> None:
    backend = await SQLiteBackend.open(f"sqlite:///{quote(os.fsencode(part))}", sweep=False)
    try:
        for mark in (await backend.streams(Query("stowfast/"))).streams:
            await backend.commit(mark.name, Change(delete=True))
    finally:
        await backend.close()
