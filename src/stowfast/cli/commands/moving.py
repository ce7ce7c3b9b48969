"""The commands for whole backends: copy, verify."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from stowfast import moving
from stowfast.cli.arguments import URL, Json
from stowfast.cli.pace import Amount, paced
from stowfast.cli.terminal import Screen, complain, emit, many, of_kind, size
from stowfast.cli.urls import check_existing, existing, opened, sqlite_path
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.moving import Copied, Difference, Verified

__all__ = [
    "Ids",
    "Kinds",
    "Where",
    "check_lasting",
    "copied_line",
    "entries",
    "fields_of",
    "moment_of",
    "register",
    "selected",
    "tell_differences",
]

Kinds: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--kind", metavar="KIND", help="Only messages, artifacts, tasks or documents. Repeat for more."),
]
Where: TypeAlias = Annotated[
    list[str] | None, typer.Option("--where", metavar="KEY=VALUE", help="Only with this metadata. Repeat for more.")
]
Ids: TypeAlias = Annotated[str, typer.Option("--prefix", help="Only ids that begin with this.")]
Since: TypeAlias = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only what changed since, such as 2026-11-29 or 2026-11-29T14:00Z.")
]
_LISTED: Final = 100


def register(app: typer.Typer) -> None:
    """Add these commands to the others."""
    app.command(
        short_help="Copy a backend to another one, as it is.",
        epilog="Example: stowfast copy sqlite:///agent.db s3://bucket/agents",
    )(copy)
    app.command(short_help="Read everything, and report damage.", epilog="Example: stowfast verify sqlite:///agent.db")(
        verify
    )


def copy(
    source: Annotated[str, typer.Argument(metavar="FROM", help="The URL to copy from.")],
    target: Annotated[str, typer.Argument(metavar="TO", help="The URL to copy to.")],
    *,
    kind: Kinds = None,
    prefix: Ids = "",
    where: Where = None,
    since: Since = None,
    into: Annotated[str | None, typer.Option(metavar="SCOPE", help="The scope at TO to copy into.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace what was deleted at FROM and begun again.")
    ] = False,
    check: Annotated[bool, typer.Option(help="Read everything back from TO and compare it.")] = True,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count, and write nothing.")] = False,
    move: Annotated[bool, typer.Option("--move", help="Delete each stream at FROM once it is at TO.")] = False,
    as_json: Json = False,
) -> int:
    """Copy conversations, artifacts, tasks and documents to another backend, as they are.

    Positions, times, op_ids, versions and contents stay the same. After an interruption give the command again: it
    goes on where it ended, and copies only what is new. Programs may go on writing at FROM meanwhile. A stream that
    somebody changed at TO is named and stays as it is; the exit code is 1 then.

    With --move programs open moving:?from=FROM&to=TO first, and go on writing while each stream changes its place.
    """
    selection = selected(kind, prefix, where, since)
    check_lasting(target)
    if move and (into or replace or dry_run):
        raise typer.BadParameter("--move goes with neither --into, --replace nor --dry-run")
    options: dict[str, Any] = {"into": into, "replace": replace, "dry_run": dry_run}
    with paced("moving" if move else "copying", as_json=as_json) as tell:
        work = (
            _move(source, target, tell, selection=selection, check=check)
            if move
            else _copy(source, target, tell, selection=selection, check=check, **options)
        )
        done = asyncio.run(work)
    tell_differences(done.differences)
    if as_json:
        emit({"complete": done.complete, "dry_run": dry_run, **fields_of(done)})
    else:
        Screen().print(copied_line(done, dry_run=dry_run))
    return 0 if done.complete else 1


def check_lasting(target: str) -> None:
    """Check that a target outlives the command.

    Raises:
        InvalidError: it is memory.
    """
    if target.lower().startswith("memory:"):
        raise InvalidError("memory: ends with the command: name a file, a bucket or a database for TO")


async def _copy(source: str, target: str, tell: Any, *, dry_run: bool, **options: Any) -> Copied:
    def report(done: Copied) -> None:
        tell(Amount(done.settled, done.total, done.entries, done.bytes))

    file = sqlite_path(target)
    if dry_run and file is not None and not file.exists():
        target = "memory:"  # empty, too
    check_existing(source)
    async with (existing if dry_run else opened)(target) as theirs:
        return await moving.copy(source, theirs, dry_run=dry_run, progress=report, **options)


async def _move(source: str, target: str, tell: Any, **options: Any) -> Copied:
    check_existing(source)
    async with opened(target) as theirs:
        return await moving.move(
            source,
            theirs,
            progress=lambda done: tell(Amount(done.settled, done.total, done.entries, done.bytes)),
            **options,
        )


def copied_line(done: Copied, *, dry_run: bool = False) -> str:
    """Return the result of a copy as a line."""
    says = "would copy" if dry_run else "copied"
    text = f"{says} {many(done.streams, 'stream')} with {entries(done.entries)}"
    if done.bytes:
        text += f" and {many(done.blobs, 'blob')}, {size(done.bytes)}"
    if done.already_there:
        text += f", {done.already_there:,} already there"
    if done.checked:
        text += f", {done.checked:,} read back and equal"
    if done.deleted:
        text += f", {done.deleted:,} deleted"
    if done.differences:
        text += f", {len(done.differences):,} {'would NOT be' if dry_run else 'NOT'} copied"
    return text


def verify(
    url: URL, *, kind: Kinds = None, prefix: Ids = "", where: Where = None, since: Since = None, as_json: Json = False
) -> int:
    """Read every head, entry and content of a backend, and report damage. Nothing is written.

    The last line has a digest: two backends with equal content have the same one. The exit code is 1 if anything is
    damaged.
    """
    with paced("verifying", as_json=as_json) as tell:
        done = asyncio.run(_verify(url, selected(kind, prefix, where, since), tell))
    tell_differences(done.damaged)
    if as_json:
        emit({"sound": done.sound, **fields_of(done)})
        return 0 if done.sound else 1
    kinds = ", ".join(of_kind(count, kind) for kind, count in sorted(done.kinds.items())) or "nothing"
    screen = Screen()
    screen.print(f"{kinds}: {entries(done.entries)} and {many(done.blobs, 'blob')}, {size(done.bytes)}")
    screen.print(f"{len(done.damaged):,} damaged" if done.damaged else "no damage found", "" if done.sound else "red")
    screen.print(f"digest {done.digest}", whole=True)
    return 0 if done.sound else 1


async def _verify(url: str, selection: moving.Selection, tell: Any) -> Verified:
    check_existing(url)
    return await moving.verify(
        url,
        selection=selection,
        progress=lambda done: tell(Amount(done.streams, done.total, done.entries, done.bytes)),
    )


def selected(
    kinds: list[str] | None, prefix: str, where: list[str] | None, since: str | None = None
) -> moving.Selection:
    """Return the selection of the options.

    Raises:
        typer.BadParameter: an option has no such form.
    """
    return moving.Selection(
        tuple(kinds or ()), prefix, dict(map(_pair, where or ())) or None, moment_of(since, "--since")
    )


def _pair(text: str) -> tuple[str, Any]:
    key, mark, value = text.partition("=")
    if not mark or not key:
        raise typer.BadParameter(f"--where {text!r}: write KEY=VALUE")
    if value in {"true", "false", "null"}:
        return key, json.loads(value)
    if value.startswith('"') or value.removeprefix("-").isdecimal():
        try:
            return key, json.loads(value)
        except ValueError:
            pass
    return key, value


def moment_of(text: str | None, option: str) -> datetime | None:
    """Return the time that an option names, in UTC where it has no zone.

    Raises:
        typer.BadParameter: it names none.
    """
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{option} {text!r}: write a time such as 2026-11-29T14:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def tell_differences(found: Sequence[Difference]) -> None:
    """Print one line for each difference, up to a hundred."""
    for one in found[:_LISTED]:
        complain(f"{one.stream}: {one.reason}")
    if len(found) > _LISTED:
        complain(f"... and {len(found) - _LISTED:,} more")


def entries(count: int) -> str:
    """Return `1 entry`, `2,658 entries`."""
    return f"{count:,} entr{'y' if count == 1 else 'ies'}"


def fields_of(done: Copied | Verified) -> dict[str, Any]:
    """Return a result for `--json`, without the total, which is for the progress."""
    return {
        key: [one._asdict() for one in value] if key in {"differences", "damaged"} else value
        for key, value in vars(done).items()
        if key != "total"
    }
