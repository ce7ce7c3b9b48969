"""Backups: a place that mirrors another one, and a place that is made from it again."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Final

from stowfast.abc import Change, Query
from stowfast.errors import InvalidError
from stowfast.moving.copying import Place, mirror, opened_place
from stowfast.moving.results import reporter
from stowfast.moving.selection import BOOKKEEPING, listed

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.abc import Backend
    from stowfast.moving.results import Copied

__all__ = ["BACKUP", "RESTORE", "backup", "restore"]

BACKUP: Final = f"{BOOKKEEPING}/backup"
RESTORE: Final = f"{BOOKKEEPING}/restore"
"""The marks of a backup, and of a restore that is not at its end."""


async def backup(
    source: Place, target: Place, *, check: bool = True, progress: Callable[[Copied], None] | None = None
) -> Copied:
    """Bring a backup to the state of a place: new data is copied, deleted data is deleted there too.

    The first call needs an empty target and marks it as a backup. A later call copies only new data. Writers at the
    source may go on: each stream is as it was at some moment of the call. After an interruption call it again.

    Args:
        source: a URL, or stores.
        target: a URL, or stores. Nothing else may write there.
        check: read the copied streams back and compare them.
        progress: called with the counts so far, after each step.

    Raises:
        InvalidError: the target holds data and is no backup; or the source is empty and the backup is not.
        UnavailableError: a place gives no answer. Repeat the call.
    """
    report = reporter(progress)
    async with AsyncExitStack() as stack:
        ours, theirs = await opened_place(source, stack, reading=True), await opened_place(target, stack)
        await _claim(theirs, BACKUP, "is no backup and holds data: name an empty place")
        if not await _holds_data(ours) and await _holds_data(theirs):
            raise InvalidError("the source is empty, and the backup is not: is it the right place?")
        return await mirror(ours, theirs, check=check, report=report)


async def restore(
    source: Place, target: Place, *, check: bool = True, progress: Callable[[Copied], None] | None = None
) -> Copied:
    """Make an empty place as a backup is. A call that was interrupted is repeated and goes on.

    Args:
        source: the backup: a URL, or stores.
        target: a URL, or stores. Writers begin after the return.
        check: read every stream back and compare it.
        progress: called with the counts so far, after each step.

    Raises:
        InvalidError: the target is not empty.
        UnavailableError: a place gives no answer. Repeat the call.
    """
    report = reporter(progress)
    async with AsyncExitStack() as stack:
        ours, theirs = await opened_place(source, stack, reading=True), await opened_place(target, stack)
        await _claim(theirs, RESTORE, "is not empty: restore into an empty place")
        done = await mirror(ours, theirs, check=check, report=report)
        if done.complete:
            await theirs.commit(RESTORE, Change(delete=True))
        return done


async def _holds_data(backend: Backend) -> bool:
    async for _ in listed(backend, heads=False):
        return True
    return False


async def _claim(target: Backend, mark: str, refusal: str) -> None:
    """Mark an empty place. A place with this mark stays as it is.

    Raises:
        InvalidError: the place holds data, and has no such mark.
    """
    if (await target.heads([mark]))[0] is not None:
        return
    if (await target.streams(Query("", limit=1))).streams:
        raise InvalidError(f"the target {refusal}")
    await target.commit(mark, Change([b"{}"], expect=0))
