"""The commands for conversations as lines of a file: import, export."""

from __future__ import annotations

import asyncio
import gzip
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer

from stowfast import moving
from stowfast.cli import files, transfer
from stowfast.cli.arguments import URL, Json, Prefix, Scopes, readable
from stowfast.cli.commands.moving import Where, selected
from stowfast.cli.lines import MAX_LINE_MIB, LineSource
from stowfast.cli.terminal import Screen, complain, emit, many, progress, size, write
from stowfast.cli.urls import check_existing, looking, opened, within

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add these commands to the others."""
    app.command(
        "import",
        short_help="Bring conversations in, one a line of a file.",
        epilog="Example: stowfast import sqlite:///agent.db backup.jsonl.gz",
    )(import_)
    app.command(
        short_help="Write conversations out, one a line.",
        epilog="Example: stowfast export sqlite:///agent.db backup.jsonl",
    )(export)


def import_(
    url: URL,
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", callback=readable, help="JSON lines, or one JSON list, also with gzip; - is stdin."
        ),
    ],
    name: Annotated[str | None, typer.Option(help="An id for conversations without one: NAME-3 for line 3.")] = None,
    max_line: Annotated[
        int, typer.Option(metavar="MIB", min=1, max=2**14, help="Refuse longer lines. Memory: 4 to 10 times as much.")
    ] = MAX_LINE_MIB,
    scope: Scopes = None,
    as_json: Json = False,
) -> int:
    """Bring conversations in, one a line: {"context_id": ..., "messages": [...]}.

    Each is written in one commit: it is stored whole or not at all. After an interruption, repeat the command: stored
    conversations stay, and nothing is doubled. A conversation that exists with other messages is a conflict and stays
    as it is. A bad line is named and left out, and the others go on. Every other key of a line is kept as metadata.
    """
    if files.is_sqlite(file):
        raise typer.BadParameter(f"{file} is a SQLite database: import reads JSON lines")
    total = file.stat().st_size if file.is_file() else None
    done = transfer.Imported()
    stem = None if str(file) == "-" else Path(file.name.removesuffix(".gz")).stem
    with files.reading(file, url) as opened_file:
        source = LineSource(opened_file, name=name, stem=stem, most=max_line * 2**20)
        with progress("importing", None if source.zipped else total, of_bytes=True) as advance:
            try:
                asyncio.run(_import(url, scope, source, done, advance))
            except BaseException:
                complain(f"stopped behind line {done.lines:,}: {done.sentence()}. Give the command again to go on")
                raise
    if as_json:
        emit(done.as_json())
    else:
        Screen().print(done.sentence())
    return 0 if done.complete else 1


async def _import(
    url: str,
    scopes: list[str] | None,
    source: LineSource,
    done: transfer.Imported,
    advance: Callable[[int], None],
) -> None:
    async with within(opened(url), scopes) as stores:
        await transfer.store_lines(stores, source, done, complain=complain, advance=advance)


def export(
    url: URL,
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Replaced once all is written; with .gz compressed; - is stdout.")
    ] = Path("-"),
    prefix: Prefix = "",
    where: Where = None,
    scope: Scopes = None,
    as_json: Json = False,
) -> None:
    """Write conversations out, one a line, as import reads them.

    With --where FILE is a new folder: everything of a person, for example. It gets the conversations with this
    metadata, their artifacts and tasks, and documents as JSON lines and files, and manifest.json with each SHA-256.

    A file appears when it is whole; until then an earlier one stays. A database is never replaced. Without FILE the
    lines go to stdout, as JSON already. A compacted conversation goes out with the messages still kept, without its
    summary.
    """
    if where:
        _export_all(url, scope, file, selected(None, prefix, where), as_json=as_json)
        return
    if str(file) == "-":
        files.refuse_itself(sys.stdout.buffer, url)
        asyncio.run(_export(url, scope, prefix, write))
        return
    with files.written_whole(file, url) as out:
        zipped = gzip.GzipFile(fileobj=out, mode="wb") if file.suffix == ".gz" else nullcontext(out)
        with zipped as lines:
            counts = asyncio.run(_export(url, scope, prefix, lambda line: lines.write(line.encode())))
    if as_json:
        emit({"file": str(file), **counts})
        return
    told = f"{many(counts['conversations'], 'conversation')}, {many(counts['messages'], 'message')} in {file}"
    Screen().print(told)


def _export_all(
    url: str, scopes: list[str] | None, folder: Path, selection: moving.Selection, *, as_json: bool
) -> None:
    if str(folder) == "-":
        raise typer.BadParameter("--where needs a new folder as FILE")
    manifest = asyncio.run(_export_selected(url, scopes, folder, selection))
    if as_json:
        emit(manifest)
        return
    written = sum(one["size"] for one in manifest["files"])
    Screen().print(f"{many(len(manifest['files']), 'file')} and manifest.json in {folder}, {size(written)}")


async def _export_selected(
    url: str, scopes: list[str] | None, folder: Path, selection: moving.Selection
) -> dict[str, Any]:
    check_existing(url)
    if not scopes:
        return await moving.export(url, folder, selection)
    async with looking(url, scopes) as stores:
        return await moving.export(stores, folder, selection)


async def _export(url: str, scopes: list[str] | None, prefix: str, put: Any) -> dict[str, int]:
    counts = {"conversations": 0, "messages": 0, "summaries_left_out": 0}
    longest = 0
    with progress("exporting", None) as advance:
        async with looking(url, scopes) as stores:
            async for one, summed_up in transfer.read_conversations(stores, prefix):
                if one.messages or one.metadata:  # else there is nothing in it that import could bring back
                    line = one.line()
                    put(line)
                    longest = max(longest, len(line.encode()) if len(line) > 2**20 else 0)
                    counts["conversations"] += 1
                    counts["messages"] += len(one.messages)
                counts["summaries_left_out"] += summed_up
                advance(1)
    if left_out := counts["summaries_left_out"]:
        complain(f"{many(left_out, 'conversation')} compacted: exported as far as kept, without the summary")
    if longest > MAX_LINE_MIB * 2**20:
        complain(f"the longest line has {longest >> 20:,} MiB: import needs --max-line {-(-longest // 2**20)}")
    return counts
