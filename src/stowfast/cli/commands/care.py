"""The commands for the care of a backend: rm, compact, du, stats, health."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from stowfast import moving
from stowfast.abc import Query
from stowfast.cli.arguments import URL, Json
from stowfast.cli.commands.moving import Ids, Kinds, Where, entries, selected
from stowfast.cli.pace import waited
from stowfast.cli.terminal import Screen, complain, emit, many, of_kind, size, span
from stowfast.cli.urls import BUCKETS, check_existing, existing, scrub, sqlite_path
from stowfast.errors import StowfastError
from stowfast.moving.copying import READING

if TYPE_CHECKING:
    from stowfast.abc import Head

__all__ = ["register"]

_YES = typer.Option("--yes", help="Delete them. Else: only say what would be deleted.")


def register(app: typer.Typer) -> None:
    """Add these commands to the others."""
    app.command(
        short_help="Delete conversations, artifacts, tasks or documents.",
        epilog="Example: stowfast rm sqlite:///agent.db --kind messages --prefix trial/ --yes",
    )(rm)
    app.command(short_help="Give free space back.", epilog="Example: stowfast compact sqlite:///agent.db")(compact)
    app.command(short_help="Print the bytes of each kind, or user.", epilog="Example: stowfast du URL --by user")(du)
    app.command(short_help="Print counts and the last change.", epilog="Example: stowfast stats URL --json")(stats)
    app.command(short_help="Tell whether a backend answers.", epilog="Example: stowfast health URL --json")(health)


def rm(
    url: URL,
    *,
    kind: Kinds = None,
    prefix: Ids = "",
    where: Where = None,
    related: Annotated[
        bool, typer.Option("--related", help="Also the artifacts and tasks of the conversations.")
    ] = False,
    yes: Annotated[bool, _YES] = False,
    as_json: Json = False,
) -> None:
    """List streams, and delete them with --yes. At least one of --kind, --prefix and --where is needed.

    Nothing of them can be read again. The content of artifacts goes with the next sweep: stowfast gc.
    """
    selection = selected(kind, prefix, where)
    if selection == moving.EVERYTHING:
        raise typer.BadParameter("name what to delete: --kind, --prefix or --where")
    check_existing(url)
    with waited("looking") as tell:
        names = asyncio.run(moving.find(url, selection, related=related, progress=tell))
    deleted = 0
    if yes and names:
        with waited("deleting") as tell:
            deleted = asyncio.run(moving.remove(url, selection, related=related, progress=tell))
    if as_json:
        emit({"streams": names, "deleted": deleted})
        return
    screen = Screen()
    for name in names:
        screen.print(name)
    if not names:
        screen.print("there is no such stream")
    elif yes:
        screen.print(f"deleted {many(deleted, 'stream')}")
    else:
        screen.print(f"would delete {many(len(names), 'stream')}: give --yes")


def compact(url: URL, as_json: Json = False) -> None:
    """Remove expired data and leftovers, and give free space back.

    A SQLite file is written anew: reads go on, writes wait, and it needs room for two more copies. In a bucket and in
    PostgreSQL unreachable data is deleted; PostgreSQL's own vacuum returns the space.
    """
    from stowfast import sqlite

    with waited("compacting"):
        swept = asyncio.run(_sweep(url))
        sizes = sqlite.compact(url.partition("?")[0]) if sqlite_path(url) is not None else None
    if as_json:
        emit({**swept._asdict(), **({} if sizes is None else sizes._asdict())})
        return
    screen = Screen()
    screen.print(
        f"removed {many(swept.streams, 'expired stream')} and {many(swept.blobs, 'blob')}, {size(swept.bytes)}"
    )
    if sizes is not None:
        screen.print(f"the file had {size(sizes.before)} and has {size(sizes.after)}")


async def _sweep(url: str) -> Any:
    async with existing(url) as stores:
        return await stores.sweep()


def du(
    url: URL,
    *,
    by: Annotated[
        str, typer.Option(metavar="WHAT", help="kind, scope, id (up to its first / or :), or a key of the metadata.")
    ] = "kind",
    kind: Kinds = None,
    prefix: Ids = "",
    as_json: Json = False,
) -> None:
    """Read all entries, and print their bytes by kind, scope, id or metadata. The content of artifacts counts once."""
    check_existing(url)
    wanted = selected(kind, prefix, None)
    with waited("reading") as tell:
        found = asyncio.run(moving.measure(url, lambda head: _group(head, by), selection=wanted, progress=tell))
    largest = sorted(found.items(), key=lambda one: -(one[1].bytes + one[1].blob_bytes))
    if as_json:
        emit({group: asdict(usage) for group, usage in largest})
        return
    screen, counted = Screen(), of_kind if by == "kind" else _streams
    for group, usage in largest:
        amount = size(usage.bytes + usage.blob_bytes)
        screen.print(f"{amount:>12}  {group or '-'}: {counted(usage.streams, group)}, {entries(usage.entries)}")


def _streams(count: int, _: str) -> str:
    return many(count, "stream")


def _group(head: Head, by: str) -> str:
    place, _, id = head.name.partition("/")
    scope, _, kind = place.rpartition(":")
    if by == "kind":
        return kind
    if by == "scope":
        return scope
    if by == "id":
        return id.replace(":", "/").partition("/")[0]
    return (head.labels.get(by) or head.labels.get(f":{by}") or "").strip('"')


def stats(url: URL, as_json: Json = False) -> None:
    """Print counts by kind, the changes of the last day and the longest streams. Reads heads alone."""
    check_existing(url)
    with waited("counting") as tell:
        found = asyncio.run(moving.statistics(url, progress=tell))
    last = None if found.last_change is None else datetime.fromtimestamp(found.last_change / 1_000_000, UTC)
    if as_json:
        longest = [{"stream": name, "entries": count} for name, count in found.longest]
        emit({**asdict(found), "last_change": last, "longest": longest})
        return
    screen = Screen()
    for kind, count in sorted(found.streams.items()):
        screen.print(f"{of_kind(count, kind)} with {entries(found.entries.get(kind, 0))}")
    screen.print(f"changed in the last day: {found.changed_today:,}, begun: {found.begun_today:,}")
    screen.print(f"expiring: {found.expiring:,}, damaged: {found.damaged:,}")
    if last is not None:
        screen.print(f"last change: {last.astimezone():%Y-%m-%d %H:%M:%S}")
    for name, count in found.longest[:3]:
        screen.print(f"longest: {name}, {entries(count)}", "dim")


def health(
    url: URL,
    timeout: Annotated[
        float, typer.Option(min=2.0, metavar="SECONDS", help="About how long to wait for an answer.")
    ] = 5.0,
    as_json: Json = False,
) -> int:
    """Open a backend and read from it. Exit code 0 if it answers, else 1: for a probe. It writes nothing.

    A file and a database also tell the time of their last change.
    """
    began, error, last, now = perf_counter(), "", None, 0
    try:
        last, now = asyncio.run(_look(url, timeout))
    except StowfastError as failure:
        error = str(failure)
    seconds = perf_counter() - began
    age = None if last is None else max(now - last, 0) / 1_000_000
    if as_json:
        emit(
            {
                "healthy": not error,
                "error": scrub(error, [url]),
                "seconds": round(seconds, 3),
                "last_change_seconds": age,
            }
        )
    elif error:
        complain(f"stowfast: {scrub(error, [url])}")
    else:
        ago = "" if age is None else f", last change {span(timedelta(seconds=age))} ago"
        Screen().print(f"answers in {span(timedelta(seconds=seconds))}{ago}")
    return 1 if error else 0


async def _look(url: str, seconds: float) -> tuple[int | None, int]:
    scheme = url.partition(":")[0].lower()
    options = {**READING[scheme], "timeout": seconds} if scheme in READING else {}
    given = url.partition("?")[2]
    async with existing(url, **{name: value for name, value in options.items() if f"{name}=" not in given}) as stores:
        # A bucket tells the newest of its streams only to who lists them all: a probe asks for any.
        order: Literal["recent", "name"] = "name" if scheme in BUCKETS else "recent"
        page = await stores.backend.streams(Query("", order=order, limit=1, heads=False))
        last = page.streams[0].updated_at if page.streams and order == "recent" else None
        return last, int(datetime.now(UTC).timestamp() * 1_000_000)
