"""The commands for backups: backup, restore."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stowfast import moving
from stowfast.cli.arguments import URL, Json
from stowfast.cli.commands.moving import check_lasting, copied_line, entries, fields_of, moment_of, tell_differences
from stowfast.cli.commands.retention import duration
from stowfast.cli.pace import Amount, paced
from stowfast.cli.terminal import Screen, complain, emit, many, size
from stowfast.cli.urls import check_existing, opened, sqlite_path
from stowfast.errors import NotFoundError
from stowfast.moving.archive import BUCKETS
from stowfast.moving.files import backup_file, restore_file
from stowfast.records import Retention

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from stowfast.moving import Copied, Verified

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add these commands to the others."""
    app.command(
        short_help="Bring a backup to the state of a backend.",
        epilog="Example: stowfast backup sqlite:///agent.db sqlite:////backups/agent.db",
    )(backup)
    app.command(
        short_help="Make an empty backend as a backup is.",
        epilog="Example: stowfast restore sqlite:////backups/agent.db sqlite:///agent.db",
    )(restore)


def backup(
    url: URL,
    target: Annotated[
        str,
        typer.Argument(
            metavar="TO",
            help="The backup: an empty backend, an earlier backup, or an archive.",
        ),
    ],
    *,
    keep: Annotated[int | None, typer.Option(min=1, help="In an archive: so many newest generations stay.")] = None,
    keep_age: Annotated[
        str | None, typer.Option(metavar="TIME", help="In an archive: older generations go, such as 30d.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Bring a backup to the state of a backend, while programs go on writing.

    A SQLite file goes to a SQLite file by SQLite's own online backup, as one moment. Any other pair is copied: only
    new data, and what was deleted is deleted in the backup too. The backup is read at the end. Give the command again
    after an interruption.

    With an archive for TO, a folder/ or s3://bucket/prefix/ that ends with a slash, each call adds a generation: a
    SQLite file that is never changed. restore --at takes one of them.
    """
    check_lasting(target)
    check_existing(url)
    if _is_archive(target):
        bounds = Retention(versions=keep, age=None if keep_age is None else duration(keep_age))
        return asyncio.run(_add_generation(url, target, bounds, as_json=as_json))
    if keep is not None or keep_age is not None:
        raise typer.BadParameter("--keep and --keep-age are for an archive: end TO with a slash")
    if sqlite_path(url) is not None and sqlite_path(target) is not None:
        return asyncio.run(_by_file(backup_file, url, target, as_json=as_json))
    with paced("backing up", as_json=as_json) as tell:
        done = asyncio.run(_moved(moving.backup, url, target, tell))
    return _tell(done, as_json=as_json)


def restore(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The URL of the backup, or an archive of generations.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The URL of an empty backend.")],
    *,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The newest generation that is not after 2026-11-29T14:00Z, say."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Of an archive: list the generations.")] = False,
    as_json: Json = False,
) -> int:
    """Make an empty backend as a backup is, and read all of it.

    A backend that holds data is refused. The log of an earlier file of this name is removed: played over the restored
    one it would damage it. Give the command again after an interruption.

    Of an archive, which ends with a slash, the newest generation is taken, or with --at the newest that is not after
    this time, and named on stderr. A state between two generations was not kept. --dry-run lists the generations,
    the newest first, and writes nothing.
    """
    check_lasting(target)
    if _is_archive(source):
        moment = moment_of(at, "--at")
        if dry_run:
            return asyncio.run(_tell_plan(source, moment, as_json=as_json))
        return asyncio.run(_restore_generation(source, moment, target, as_json=as_json))
    if at is not None or dry_run:
        raise typer.BadParameter("--at and --dry-run are for an archive: end FROM with a slash")
    check_existing(source)
    return asyncio.run(_restore(source, target, as_json=as_json))


async def _restore(source: str, target: str, *, as_json: bool) -> int:
    if sqlite_path(source) is not None and sqlite_path(target) is not None:
        return await _by_file(restore_file, source, target, as_json=as_json)
    with paced("restoring", as_json=as_json) as tell:
        done = await _moved(moving.restore, source, target, tell)
    return _tell(done, as_json=as_json)


async def _by_file(work: Callable[..., Any], source: str, target: str, *, as_json: bool) -> int:
    with ExitStack() as stack:
        copying = stack.enter_context(paced("copying", as_json=as_json))
        reading: Callable[[Amount], None] | None = None

        def verifying(done: Verified) -> None:
            nonlocal reading
            if reading is None:
                stack.close()
                reading = stack.enter_context(paced("verifying", as_json=as_json))
            reading(Amount(done.streams, done.total, done.entries, done.bytes))

        done: Verified = await work(
            source,
            target,
            progress=verifying,
            copying=lambda copied, total: copying(Amount(0, None, 0, copied, total)),
        )
    tell_differences(done.damaged)
    if as_json:
        counts = {"streams": done.streams, "entries": done.entries, "bytes": done.bytes, "digest": done.digest}
        emit({"complete": done.sound, **counts})
    else:
        Screen().print(f"{many(done.streams, 'stream')} with {entries(done.entries)}, read and sound")
        Screen().print(f"digest {done.digest}", whole=True)
    return 0 if done.sound else 1


def _is_archive(text: str) -> bool:
    """Whether an argument names a folder, or a prefix of a bucket with a slash at its end."""
    if "://" in text:
        return text.lower().startswith(BUCKETS) and text.partition("?")[0].endswith("/")
    return text.endswith(("/", os.sep)) or Path(text).is_dir()


async def _add_generation(url: str, archive: str, bounds: Retention, *, as_json: bool) -> int:
    with paced("backing up", as_json=as_json) as tell:
        made, done = await moving.add_generation(
            url,
            archive,
            keep=bounds,
            progress=lambda done: tell(Amount(done.settled, done.total, done.entries, done.bytes)),
        )
    tell_differences(done.damaged)
    known = [one.name for one in await moving.generations(archive)]
    if as_json:
        counts = {"streams": done.streams, "entries": done.entries, "bytes": done.bytes, "digest": done.digest}
        emit({"complete": done.sound, "generation": made.name, "generations": known, **counts})
    else:
        Screen().print(f"{made.name}: {many(done.streams, 'stream')} with {entries(done.entries)}, read and sound")
        Screen().print(f"{many(len(known), 'generation')}, the oldest {known[-1]}")
    return 0 if done.sound else 1


async def _restore_generation(archive: str, moment: datetime | None, target: str, *, as_json: bool) -> int:
    found = await moving.generation_at(archive, moment)
    complain(f"generation of {found.moment:%Y-%m-%dT%H:%M:%S.%fZ}")
    async with moving.opened_generation(archive, found) as source:
        return await _restore(source, target, as_json=as_json)


async def _tell_plan(archive: str, moment: datetime | None, *, as_json: bool) -> int:
    known = await moving.generations(archive)
    taken = None
    try:
        taken = await moving.generation_at(archive, moment)
    except NotFoundError as error:
        complain(str(error))
    if as_json:
        told = [{"name": one.name, "moment": one.moment.isoformat(), "bytes": one.size} for one in known]
        emit({"generation": taken and taken.name, "generations": told})
        return 0
    for one in known:
        mark = "  to restore" if one == taken else ""
        Screen().print(f"{one.moment:%Y-%m-%dT%H:%M:%S.%fZ}  {size(one.size):>9}{mark}")
    return 0


async def _moved(move: Callable[..., Any], source: str, target: str, tell: Any) -> Copied:
    def report(done: Copied) -> None:
        tell(Amount(done.settled, done.total, done.entries, done.bytes))

    async with opened(target) as theirs:
        found: Copied = await move(source, theirs, progress=report)
        return found


def _tell(done: Copied, *, as_json: bool) -> int:
    tell_differences(done.differences)
    if as_json:
        emit({"complete": done.complete, **fields_of(done)})
    else:
        Screen().print(copied_line(done))
    return 0 if done.complete else 1
