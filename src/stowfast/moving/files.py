"""Backups and restores from SQLite file to SQLite file: whole, as one moment, under the marks of every other backup."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from stowfast.abc import Change, Query
from stowfast.backends.sqlite.copies import copy_file
from stowfast.backends.sqlite.rights import path_of
from stowfast.errors import DamagedError, InvalidError
from stowfast.moving.backups import BACKUP, RESTORE
from stowfast.moving.selection import BOOKKEEPING
from stowfast.moving.verifying import verify
from stowfast.registry import connect

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from stowfast.moving.results import Verified

__all__ = ["backup_file", "restore_file"]

_UNREAD: Final = f"{BOOKKEEPING}/restored-file"
"""The mark of a restored file until it was read. Not the mark of `restore`, under which other streams are deleted."""
_MARKS: Final = (BACKUP, RESTORE, _UNREAD)
_FULL: Final = "exists and holds data: restore into an absent file, and put it in the place of the old one then"


async def backup_file(
    source: str,
    target: str,
    *,
    progress: Callable[[Verified], None] | None = None,
    copying: Callable[[int, int], None] | None = None,
) -> Verified:
    """Make a file a backup of another one as it is at one moment, and read it.

    The new file takes the place of the earlier backup at the end, with its mark: a killed call leaves the earlier one.

    Args:
        source: the URL of a SQLite file.
        target: the URL of an earlier backup, of an empty file or of an absent one.
        progress: called with the counts of the reading.
        copying: called before that with the bytes copied so far and with those of the file, in a thread.

    Raises:
        InvalidError: the target holds data and is no backup; or the source is empty and the backup is not.
        UnavailableError: another process has the target open, or the disk is full.
        DamagedError: the source is damaged. The target stays as it was.
    """
    path, origin = path_of(_address(target)), path_of(_address(source))

    async def check() -> bool:
        """Return whether the target is a backup with data."""
        marks, full = await _look(path)
        if full and BACKUP not in marks:
            raise InvalidError(f"{path} is no backup and holds data: name an absent file")
        return full

    async def finish(part: str) -> None:
        if await check() and not (await _look(part))[1]:
            raise InvalidError(f"{origin} is empty, and the backup {path} is not: is it the right file?")
        await _mark(part, BACKUP)

    await check()
    await _copied(origin, path, finish, copying)
    return await verify(_url(path), progress=progress)


async def restore_file(
    source: str,
    target: str,
    *,
    progress: Callable[[Verified], None] | None = None,
    copying: Callable[[int, int], None] | None = None,
) -> Verified:
    """Make a file as a backup is, and read it. A call that was killed is repeated: it reads the file that is there.

    Args:
        source: the URL of the backup.
        target: the URL of an absent or an empty file. Writers begin after the return.
        progress: called with the counts of the reading.
        copying: called before that with the bytes copied so far and with those of the file, in a thread.

    Raises:
        InvalidError: the target holds data.
        UnavailableError: another process has the target open, or the disk is full.
        DamagedError: the backup is damaged. The target stays as it was.
    """
    path, origin = path_of(_address(target)), path_of(_address(source))

    async def finish(part: str) -> None:
        if (await _look(path))[1]:
            raise InvalidError(f"{path} {_FULL}")
        await _mark(part, _UNREAD)

    marks, full = await _look(path)
    if not full:
        await _copied(origin, path, finish, copying)
    elif _UNREAD not in marks or (await verify(_url(path))).digest != (await verify(_url(origin))).digest:
        raise InvalidError(f"{path} {_FULL}")
    found = await verify(_url(path), progress=progress)
    if found.sound:
        await _mark(path, None)
    return found


async def _copied(
    source: str,
    target: str,
    finish: Callable[[str], Coroutine[None, None, None]],
    progress: Callable[[int, int], None] | None,
) -> None:
    def run(part: str) -> None:
        asyncio.run(finish(part))

    await asyncio.to_thread(copy_file, source, target, replace=True, finish=run, progress=progress)


async def _look(path: str) -> tuple[set[str], bool]:
    """Return the marks of a file, and whether it holds data. An absent file has none.

    Raises:
        InvalidError: it is a file of another program, or so damaged that it cannot be told.
    """
    if not _has_bytes(path):
        return set(), False
    try:
        backend = await connect(_url(path), read_only=True)
    except DamagedError as error:
        raise InvalidError(f"{path} is damaged: remove it, or name another file: {error}") from error
    try:
        heads = await backend.heads(_MARKS)
        marks = {name for name, head in zip(_MARKS, heads, strict=True) if head is not None}
        found = (await backend.streams(Query("", limit=len(_MARKS) + 1, heads=False))).streams
        return marks, any(one.name not in _MARKS for one in found)
    except DamagedError as error:
        raise InvalidError(f"{path} is damaged: remove it, or name another file: {error}") from error
    finally:
        await backend.close()


def _has_bytes(path: str) -> bool:
    return os.path.exists(path) and os.path.getsize(path) > 0


async def _mark(path: str, mark: str | None) -> None:
    """Leave a file with one mark of these, or with none."""
    backend = await connect(_url(path), sweep=False)
    try:
        for name, head in zip(_MARKS, await backend.heads(_MARKS), strict=True):
            if head is not None and name != mark:
                await backend.commit(name, Change(delete=True))
            elif head is None and name == mark:
                await backend.commit(name, Change([b"{}"], expect=0))
    finally:
        await backend.close()


def _address(url: str) -> str:
    return f"sqlite:{url.partition('?')[0].partition(':')[2]}"


def _url(path: str) -> str:
    return f"sqlite:///{quote(os.fsencode(path))}"
