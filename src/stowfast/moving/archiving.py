"""Generations of a backup: an archive with one SQLite file for each moment that is kept.

A generation is there whole or not at all, and is never changed. The archive is a folder, or a prefix of a bucket.
"""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from stowfast import sqlite
from stowfast.errors import DamagedError, InvalidError, NotFoundError
from stowfast.first_use import imported
from stowfast.moving.archive import BUCKETS, MOMENT, Archive, Generation
from stowfast.moving.backups import backup
from stowfast.moving.folder import FolderArchive
from stowfast.moving.results import reporter
from stowfast.moving.verifying import verify
from stowfast.names import path_text
from stowfast.records import Retention
from stowfast.registry import find
from stowfast.stores.codec import check_integers, from_duration, from_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from stowfast.moving.copying import Place
    from stowfast.moving.results import Copied, Verified

__all__ = ["add_generation", "generation_at", "generations", "opened_generation"]

_FASTEST_CLOCK: Final = timedelta(days=2)
"""The time by which one generation makes the others older, at most."""


async def add_generation(
    source: Place,
    archive: str | os.PathLike[str],
    *,
    keep: Retention | None = None,
    progress: Callable[[Copied], None] | None = None,
) -> tuple[Generation, Verified]:
    """Add a generation to an archive, read it from begin to end, and remove those outside `keep`.

    A SQLite file is copied by SQLite's own online backup, as one moment. Of any other place only new data is read, on
    top of the generation before. Writers may go on. A call that fails or is killed adds nothing and changes no earlier
    generation: call it again. Calls at once add a generation each.

    For a bucket the generation is made in a temporary file, as `tempfile` chooses it, and read back after its upload.

    Args:
        source: a URL, or stores.
        archive: a folder, which is made if it is absent; or the URL of a prefix of a bucket, with its options.
        keep: the generations to keep, by `versions` and `age`; the newest always stays. None: all. The age is counted
            from two days after the generation before at most, for a clock that is ahead.
        progress: called with the counts so far of a copy.

    Returns:
        The generation, and the result of the read.

    Raises:
        InvalidError: an argument is wrong; there is a backend at the prefix; or the source is empty and the generation
            before is not.
        NotFoundError: there is no source.
        DamagedError: the source is damaged. Nothing was added.
        UnavailableError: a place gives no answer, or the disk is full. In a bucket the generation may have been added.
            Old ones may remain: the next call removes them.
    """
    kept, report = _checked(keep), reporter(progress)
    async with _opened(archive) as there:
        with ExitStack() as stack:
            part = await asyncio.to_thread(stack.enter_context, there.part())
            await _make(source, there, part, report)
            found = await verify(f"{_url(part)}?sweep=false")
            known = await asyncio.to_thread(there.known)
            # Newer than all others, whatever the clock says.
            moment = max([datetime.now(UTC), *(one.moment + MOMENT for one in known[:1])])
            made = await asyncio.to_thread(there.write, part, moment)
        if found.sound:  # one that is damaged replaces none
            old = _outside(await asyncio.to_thread(there.known), kept)
            await asyncio.to_thread(there.delete, old)
    return made, found


async def generations(archive: str | os.PathLike[str]) -> list[Generation]:
    """Return the generations of a folder or a prefix of a bucket, the newest first.

    Raises:
        InvalidError: the URL is wrong, or there is a backend at the prefix.
        UnavailableError: the bucket gives no answer.
    """
    async with _opened(archive) as there:
        return await asyncio.to_thread(there.known)


async def generation_at(archive: str | os.PathLike[str], moment: datetime | None = None) -> Generation:
    """Return the newest generation that is not after a moment. None: the newest of all.

    A state between two generations was not kept: the answer is the one before.

    Raises:
        InvalidError: the moment has no time zone; or as `generations` does.
        NotFoundError: there is none, or all are newer.
        UnavailableError: the bucket gives no answer.
    """
    if moment is not None:
        from_time(moment, "at")  # refuses what is no moment
    known = await generations(archive)
    if not known:
        raise NotFoundError("there is no generation of a backup in this archive")
    found = [one for one in known if moment is None or one.moment <= moment]
    if not found:
        raise NotFoundError(f"the oldest generation is of {known[-1].moment:%Y-%m-%dT%H:%M:%S.%fZ}")
    return found[0]


@asynccontextmanager
async def opened_generation(archive: str | os.PathLike[str], one: Generation) -> AsyncIterator[str]:
    """Yield the URL of a SQLite file with the content of a generation, to restore from or to read.

    From a bucket it is downloaded into a temporary file and compared by SHA-256. Nobody may write to it.

    Raises:
        NotFoundError: the generation was removed.
        DamagedError: its content is not what was written: take another one.
        UnavailableError: the bucket gives no answer, or the disk is full.
    """
    if not isinstance(one, Generation):
        raise InvalidError(f"one is a Generation, as generations() returns them, not {type(one).__name__}")
    async with _opened(archive) as there:
        with ExitStack() as stack:
            yield _url(await asyncio.to_thread(stack.enter_context, there.read(one)))


@asynccontextmanager
async def _opened(archive: str | os.PathLike[str]) -> AsyncIterator[Archive]:
    there: Archive
    if type(archive) is not str or "://" not in archive:
        archive = path_text(archive, "archive")
    if archive.lower().startswith(BUCKETS):
        there = await asyncio.to_thread(_bucket_archive, archive)
    elif "://" in archive:
        raise InvalidError("generations are kept in a folder or in a bucket: name a path, or s3://bucket/prefix/")
    else:
        there = FolderArchive(Path(archive))
    try:
        yield there
    finally:
        there.close()


async def _make(source: Place, there: Archive, part: Path, report: Callable[[Copied], None]) -> None:
    if isinstance(source, str) and source.partition(":")[0].lower() == "sqlite":
        await asyncio.to_thread(sqlite.backup, source.partition("?")[0], part)
        return
    work = part.with_name(f"{part.name}-work")
    await asyncio.to_thread(_begin, there, work)
    done = await backup(source, f"{_url(work)}?sweep=false", progress=report)
    if not done.complete:
        raise InvalidError(f"{len(done.differences)} streams were not copied, such as {done.differences[0]}")
    await asyncio.to_thread(sqlite.backup, work, part)  # one file without a log, synced


def _begin(there: Archive, work: Path) -> None:
    """Copy the newest readable generation, if there is one: only the data after it is read from the source."""
    for one in there.known():
        try:
            with there.read(one) as path:
                sqlite.backup(path, work)
        except (DamagedError, NotFoundError):
            continue
        return


def _bucket_archive(url: str) -> Archive:
    _, address, options = find(url)  # it names the extra where the driver is missing
    there: Archive = imported("stowfast.moving.bucket", "open_bucket_archive")(address, options)
    return there


def _checked(keep: Retention | None) -> Retention:
    """Return the bounds of generations.

    Raises:
        InvalidError: these are none.
    """
    kept = keep if keep is not None else Retention()
    if not isinstance(kept, Retention):
        raise InvalidError(f"keep must be a stowfast.Retention, not {type(kept).__name__}")
    check_integers(versions=kept.versions)
    if kept.age is not None:
        from_duration(kept.age, "age")
    others = kept.count is not None or kept.bytes is not None
    if others or (kept.versions is not None and kept.versions < 1) or (kept.age or timedelta()) < timedelta():
        raise InvalidError("generations are kept by versions=, 1 or more, and age=, 0 or more")
    return kept


def _outside(known: list[Generation], keep: Retention) -> list[Generation]:
    """Return the generations to remove. The first one is the newest, and stays.

    The age is counted from no moment later than now, nor than two days after the second one: so a clock that is ahead
    once removes nothing too early, and what it spared goes with a later call.
    """
    since = None
    if keep.age is not None and len(known) > 1:
        since = min(datetime.now(UTC), known[0].moment, known[1].moment + _FASTEST_CLOCK) - keep.age
    most = len(known) if keep.versions is None else keep.versions
    return [one for number, one in enumerate(known) if number and (number >= most or (since and one.moment < since))]


def _url(path: Path) -> str:
    return f"sqlite:///{quote(os.fsencode(path.absolute()))}"
