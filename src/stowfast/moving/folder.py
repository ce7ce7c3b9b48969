"""Generations of a backup: a folder with one SQLite file for each moment that is kept.

A generation has the time of its end as its name. It appears whole, by a rename, and is never changed afterwards.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote

from stowfast import sqlite
from stowfast.disk import sync_folder
from stowfast.errors import InvalidError, NotFoundError
from stowfast.moving.backups import backup
from stowfast.moving.verifying import verify
from stowfast.records import Retention

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stowfast.moving.copying import Place
    from stowfast.moving.results import Copied, Verified

__all__ = ["Generation", "add_generation", "generation_at", "generations"]

_FORMAT: Final = "%Y%m%dT%H%M%S.%fZ"
_SUFFIX: Final = ".db"
_PART: Final = ".generation-"
_PART_LIVES: Final = 86_400.0
"""Seconds after which the rest of a killed call is removed."""


class Generation(NamedTuple):
    """One kept moment of a backup."""

    moment: datetime
    """The time of its end: it holds nothing newer, and everything that was acknowledged before its beginning."""
    path: Path

    @property
    def url(self) -> str:
        """The URL of its file."""
        return _url(self.path)


async def add_generation(
    source: Place,
    folder: str | os.PathLike[str],
    *,
    keep: Retention | None = None,
    progress: Callable[[Copied], None] | None = None,
) -> tuple[Generation, Verified]:
    """Add a generation to a folder, read it from begin to end, and remove those outside `keep`.

    A SQLite file is copied by SQLite's own online backup, as one moment. Of any other place only new data is read, on
    top of the generation before. Writers may go on. A call that fails or is killed adds nothing and changes no earlier
    generation: call it again. One call at a time for a folder.

    Args:
        source: a URL, or stores.
        folder: the folder. It is made if it is absent.
        keep: the generations to keep, by `versions` and `age`; the newest always stays. None: all.
        progress: called with the counts so far of a copy.

    Returns:
        The generation, and the result of the read.

    Raises:
        InvalidError: an argument is wrong, or the source is empty and the generation before is not.
        NotFoundError: there is no source.
        DamagedError: the source is damaged. Nothing was added.
        UnavailableError: the source gives no answer, or the disk is full. Nothing was added.
    """
    place, kept = Path(folder), _checked(keep)
    with _part_in(place) as part:
        await _make(source, place, part, progress)
        found = await verify(f"{_url(part)}?sweep=false")
        made = _publish(part, place)
    if found.sound:  # one that is damaged replaces none
        for one in _outside(generations(place), kept):
            one.path.unlink(missing_ok=True)
    return made, found


def generations(folder: str | os.PathLike[str]) -> list[Generation]:
    """Return the generations of a folder, the oldest first."""
    found = []
    for path in Path(folder).glob(f"*{_SUFFIX}"):
        with suppress(ValueError):
            found.append(Generation(datetime.strptime(path.stem, _FORMAT).replace(tzinfo=UTC), path))
    return sorted(found)


def generation_at(folder: str | os.PathLike[str], moment: datetime | None = None) -> Generation:
    """Return the newest generation that is not after a moment. None: the newest of all.

    A state between two generations was not kept: the answer is the one before.

    Raises:
        InvalidError: the moment has no time zone.
        NotFoundError: there is none, or all are newer.
    """
    if moment is not None and moment.tzinfo is None:
        raise InvalidError(f"at={moment}: give a time with a time zone")
    known = generations(folder)
    if not known:
        raise NotFoundError(f"{folder} has no generation of a backup")
    found = [one for one in known if moment is None or one.moment <= moment]
    if not found:
        raise NotFoundError(f"{folder}: the oldest generation is of {known[0].moment:%Y-%m-%dT%H:%M:%S.%fZ}")
    return found[-1]


async def _make(source: Place, folder: Path, part: Path, progress: Callable[[Copied], None] | None) -> None:
    if isinstance(source, str) and source.partition(":")[0].lower() == "sqlite":
        await asyncio.to_thread(sqlite.backup, source.partition("?")[0], part)
        return
    work, known = part.with_name(f"{part.name}-work"), generations(folder)
    if known:
        await asyncio.to_thread(sqlite.backup, known[-1].path, work)
    done = await backup(source, f"{_url(work)}?sweep=false", progress=progress)
    if not done.complete:
        raise InvalidError(f"{len(done.differences)} streams were not copied, such as {done.differences[0]}")
    await asyncio.to_thread(sqlite.backup, work, part)  # one file without a log, synced


def _checked(keep: Retention | None) -> Retention:
    """Return the bounds of generations.

    Raises:
        InvalidError: these are none.
    """
    kept = keep if keep is not None else Retention()
    wrong: Any = kept.count is not None or kept.bytes is not None
    if wrong or (kept.versions is not None and kept.versions < 1) or (kept.age or timedelta()) < timedelta():
        raise InvalidError(f"{kept}: generations are kept by versions=, 1 or more, and age=")
    return kept


def _outside(known: list[Generation], keep: Retention) -> list[Generation]:
    older = known[:-1]
    most = len(older) if keep.versions is None else keep.versions - 1
    surplus = older[: max(len(older) - most, 0)]
    since = None if keep.age is None else known[-1].moment - keep.age
    return [one for one in older if one in surplus or (since is not None and one.moment < since)]


@contextmanager
def _part_in(folder: Path) -> Iterator[Path]:
    """Lend a path for an unfinished generation. What is left of it at the end is removed, and old rests of others."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for path in (*folder.glob(f"{_PART}*"), *folder.glob(f".{_PART}*.part*")):
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > _PART_LIVES:
                path.unlink()
    part = folder / f"{_PART}{secrets.token_hex(8)}"
    try:
        yield part
    finally:
        for path in folder.glob(f"{part.name}*"):
            path.unlink(missing_ok=True)


def _publish(part: Path, folder: Path) -> Generation:
    """Give a finished generation its name. It is newer than all others, whatever the clock says."""
    known = generations(folder)
    moment = datetime.now(UTC)
    if known:
        moment = max(moment, known[-1].moment + timedelta(microseconds=1))
    made = Generation(moment, folder / f"{moment:{_FORMAT}}{_SUFFIX}")
    part.replace(made.path)
    sync_folder(folder)
    return made


def _url(path: Path) -> str:
    return f"sqlite:///{quote(os.fsencode(path.absolute()))}"
