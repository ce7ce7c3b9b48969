"""The commands for backups: backup, restore."""

from __future__ import annotations

import asyncio
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stowfast import moving
from stowfast.cli.arguments import URL, Json
from stowfast.cli.commands.moving import copied_line, entries, moment_of, tell_differences
from stowfast.cli.commands.retention import duration
from stowfast.cli.pace import Amount, paced
from stowfast.cli.terminal import Screen, complain, emit, many
from stowfast.cli.urls import check_existing, opened, sqlite_path
from stowfast.records import Retention

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.moving import Copied

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
        str, typer.Argument(metavar="TO", help="The URL of the backup: empty, or an earlier backup. Or a folder.")
    ],
    *,
    keep: Annotated[int | None, typer.Option(min=1, help="In a folder: so many newest generations stay.")] = None,
    keep_age: Annotated[
        str | None, typer.Option(metavar="TIME", help="In a folder: older generations go, such as 30d.")
    ] = None,
    as_json: Json = False,
) -> int:
    """Bring a backup to the state of a backend, while programs go on writing.

    A SQLite file goes to a SQLite file by SQLite's own online backup, as one moment. Any other pair is copied: only
    new data, and what was deleted is deleted in the backup too. The backup is read at the end. Give the command again
    after an interruption.

    With a folder for TO, such as backups/, each call adds a generation: a SQLite file that is never changed. restore
    --at takes one of them.
    """
    check_existing(url)
    if _is_folder(target):
        bounds = Retention(versions=keep, age=None if keep_age is None else duration(keep_age))
        return _add_generation(url, Path(target), bounds, as_json=as_json)
    if keep is not None or keep_age is not None:
        raise typer.BadParameter("--keep and --keep-age are for a folder: end TO with a slash")
    if sqlite_path(url) is not None and sqlite_path(target) is not None:
        return _by_file(url, target, replace=True, as_json=as_json)
    with paced("backing up") as tell:
        done = asyncio.run(_moved(moving.backup, url, target, tell))
    return _tell(done, as_json=as_json)


def restore(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The URL of the backup, or a folder of generations.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The URL of an empty backend.")],
    *,
    at: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="The newest generation that is not after 2026-11-29T14:00Z, say."),
    ] = None,
    as_json: Json = False,
) -> int:
    """Make an empty backend as a backup is, and read all of it.

    A backend that holds data is refused. The log of an earlier file of this name is removed: played over the restored
    one it would damage it. Give the command again after an interruption.

    Of a folder the newest generation is taken, or with --at the newest that is not after this time, and named on
    stderr. A state between two generations was not kept.
    """
    if _is_folder(source):
        found = moving.generation_at(source, moment_of(at, "--at"))
        complain(f"generation of {found.moment:%Y-%m-%dT%H:%M:%S.%fZ}")
        source = found.url
    elif at is not None:
        raise typer.BadParameter("--at is for a folder of generations")
    check_existing(source)
    if sqlite_path(source) is not None and sqlite_path(target) is not None:
        return _by_file(source, target, replace=False, as_json=as_json)
    with paced("restoring") as tell:
        done = asyncio.run(_moved(moving.restore, source, target, tell))
    return _tell(done, as_json=as_json)


def _by_file(source: str, target: str, *, replace: bool, as_json: bool) -> int:
    from stowfast import sqlite

    sqlite.backup(source.partition("?")[0], target.partition("?")[0], replace=replace)
    with paced("verifying") as tell:
        done = asyncio.run(
            moving.verify(target, progress=lambda done: tell(Amount(done.streams, None, done.entries, done.bytes)))
        )
    tell_differences(done.damaged)
    if as_json:
        counts = {"streams": done.streams, "entries": done.entries, "bytes": done.bytes, "digest": done.digest}
        emit({"complete": done.sound, **counts})
    else:
        Screen().print(f"{many(done.streams, 'stream')} with {entries(done.entries)}, read and sound")
        Screen().print(f"digest {done.digest}", whole=True)
    return 0 if done.sound else 1


def _is_folder(text: str) -> bool:
    """Whether an argument names a folder and no URL."""
    return "://" not in text and (text.endswith(("/", os.sep)) or Path(text).is_dir())


def _add_generation(url: str, folder: Path, bounds: Retention, *, as_json: bool) -> int:
    with paced("backing up") as tell:
        made, done = asyncio.run(
            moving.add_generation(
                url,
                folder,
                keep=bounds,
                progress=lambda done: tell(Amount(done.settled, done.selected, done.entries, done.bytes)),
            )
        )
    tell_differences(done.damaged)
    known = [one.path.name for one in moving.generations(folder)]
    if as_json:
        counts = {"streams": done.streams, "entries": done.entries, "bytes": done.bytes, "digest": done.digest}
        emit({"complete": done.sound, "generation": made.path.name, "generations": known, **counts})
    else:
        Screen().print(f"{made.path}: {many(done.streams, 'stream')} with {entries(done.entries)}, read and sound")
        Screen().print(f"{many(len(known), 'generation')}, the oldest {known[0]}")
    return 0 if done.sound else 1


async def _moved(move: Callable[..., Any], source: str, target: str, tell: Any) -> Copied:
    def report(done: Copied) -> None:
        tell(Amount(done.settled, done.selected, done.entries, done.bytes))

    async with opened(target) as theirs:
        found: Copied = await move(source, theirs, progress=report)
        return found


def _tell(done: Copied, *, as_json: bool) -> int:
    tell_differences(done.differences)
    if as_json:
        emit({"complete": done.complete, **asdict(done)})
    else:
        Screen().print(copied_line(done))
    return 0 if done.complete else 1
