"""The commands for artifacts and for garbage: get, put, gc."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any, TypeAlias

import typer

from stowfast.cli import artifact_files, files
from stowfast.cli.arguments import URL, Json, Scopes, readable
from stowfast.cli.pace import waited
from stowfast.cli.terminal import Screen, emit, many, progress, size
from stowfast.cli.urls import existing, looking, opened, shown, sqlite_path, within
from stowfast.errors import NotFoundError

if TYPE_CHECKING:
    from stowfast import ArtifactInfo
    from stowfast.abc import Swept

__all__ = ["register"]

Id: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The id of the artifact.")]


def register(app: typer.Typer) -> None:
    """Add these commands to the others."""
    app.command(
        short_help="Write an artifact into a file.", epilog="Example: stowfast get sqlite:///agent.db report.pdf"
    )(get)
    app.command(
        short_help="Store a file as an artifact.",
        epilog="Example: stowfast put s3://bucket/agents report.pdf ./report.pdf",
    )(put)
    app.command(short_help="Remove unreachable data.", epilog="Example: stowfast gc s3://bucket/agents --yes")(gc)


def get(
    url: URL,
    artifact: Id,
    file: Annotated[
        Path | None,
        typer.Argument(metavar="FILE", help="Replaced once all is there; - is stdout. Else: a new file called so."),
    ] = None,
    version: Annotated[int | None, typer.Option(min=1, help="Not the newest version, but this one.")] = None,
    scope: Scopes = None,
    as_json: Json = False,
) -> None:
    """Write an artifact into a file, checked by its SHA-256.

    The file appears when it is whole. Until then the received bytes are beside it, in a file with a name ending in
    .part; the command, given again after an interruption, goes on from there. A database is never replaced.
    """
    to_stdout = str(file) == "-"
    if to_stdout and as_json:
        raise typer.BadParameter("--json needs a FILE: stdout has the content")
    if to_stdout:
        files.refuse_itself(sys.stdout.buffer, url)
    path = None if to_stdout else artifact_files.target(artifact, file, url)
    info, resumed = asyncio.run(_get(url, scope, artifact, version, path))
    if as_json:
        emit({**asdict(info), "file": str(path), "resumed_from": resumed})
    elif path is not None:
        _say(info, f"in {path.name}" + (f", of which {size(resumed)} were there" if resumed else ""))


async def _get(
    url: str, scopes: list[str] | None, artifact_id: str, version: int | None, path: Path | None
) -> tuple[ArtifactInfo, int]:
    async with looking(url, scopes) as stores:
        try:
            async with stores.artifacts.open_reader(artifact_id, version=version) as reader:
                with progress(artifact_id, reader.info.size, of_bytes=True) as advance:
                    return reader.info, await artifact_files.save(reader, path, url, advance)
        except NotFoundError as error:
            raise NotFoundError(f"{error}: `stowfast ls --artifacts` shows which there are") from error


def put(
    *,
    url: URL,
    artifact: Id,
    file: Annotated[Path, typer.Argument(metavar="FILE", callback=readable, help="Without it, or with -: stdin.")] = (
        Path("-")
    ),
    name: Annotated[str | None, typer.Option(help="A name for people. Else: that of the file.")] = None,
    mime_type: Annotated[str | None, typer.Option(help="What it is. Else: guessed from its name.")] = None,
    context: Annotated[str | None, typer.Option(metavar="ID", help="The conversation that it belongs to.")] = None,
    metadata: Annotated[str | None, typer.Option(metavar="JSON", help="Kept beside it: a JSON object.")] = None,
    scope: Scopes = None,
    as_json: Json = False,
) -> None:
    """Store a file as the next version of an artifact, its first where there is none.

    It is streamed, at any size, and visible once all of it is stored.
    """
    name = name or (file.name if file.is_file() else None)
    if name is not None and not name.isascii() and any("\ud800" <= one <= "\udfff" for one in name):
        raise typer.BadParameter("the name of the file is not UTF-8: give --name")
    described: dict[str, Any] = {
        "name": name,
        "mime_type": mime_type,
        "context_id": context,
        "metadata": _object(metadata),
    }
    total = file.stat().st_size if file.is_file() else None
    with files.reading(file, url) as content, progress(artifact, total, of_bytes=True) as advance:
        info = asyncio.run(_put(url, scope, artifact, content, described, advance))
    if as_json:
        emit(asdict(info))
    else:
        _say(info, info.mime_type or "")


async def _put(
    url: str,
    scopes: list[str] | None,
    artifact_id: str,
    file: IO[bytes],
    described: dict[str, Any],
    advance: Callable[[int], None],
) -> ArtifactInfo:
    async with within(opened(url), scopes) as stores:
        return await artifact_files.load(stores, artifact_id, file, described, advance)


def gc(
    url: URL,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it. Else: only say what would be removed.")] = False,
    compact: Annotated[
        bool, typer.Option("--compact", help="With --yes: then write a SQLite file anew, without its free space.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Count data without use, and remove it with --yes: expired streams, remains of crashes, data outside the rules.

    Safe at any time, also beside running writers. Uploads of the last day are spared: a writer may still use them. A
    SQLite file keeps its size, and uses the free space again; --compact gives the space back to the disk. Writers wait
    meanwhile, and it needs room for two more copies.
    """
    if compact and (not yes or sqlite_path(url) is None):
        raise typer.BadParameter("--compact is for a SQLite file, together with --yes")
    with waited("removing" if yes else "looking"):
        swept = asyncio.run(_gc(url, dry_run=not yes))
        sizes = _compact(url) if compact else None
    if as_json:
        sized = {} if sizes is None else {"size_before": sizes.before, "size_after": sizes.after}
        emit({"url": shown(url), "removed": yes, **swept._asdict(), **sized})
        return
    told = f"{size(swept.bytes)}: {many(swept.streams, 'stream')}, {many(swept.blobs, 'blob')}"
    if swept.entries:
        told += f"; {swept.entries:,} messages or versions outside the rules of retention"
    screen = Screen()
    if not any(swept):
        screen.print("nothing to remove")
    elif yes:
        screen.print(f"freed {told}")
    else:
        screen.print(f"would free {told}\nnothing was removed: give --yes")
    if sizes is not None:
        screen.print(f"the file had {size(sizes.before)} and has {size(sizes.after)}")


def _compact(url: str) -> Any:
    from stowfast.sqlite import compact

    return compact(url.partition("?")[0])


async def _gc(url: str, *, dry_run: bool) -> Swept:
    address, _, query = url.partition("?")
    # Opening a SQLite file sweeps it: a dry run must not, and else it would not be counted.
    spared = {"sweep": False} if address.startswith("sqlite:") and "sweep=" not in query else {}
    async with existing(url, **spared) as stores:
        return await stores.sweep(dry_run=dry_run)


def _object(text: str | None) -> dict[str, Any] | None:
    if text is None:
        return None
    try:
        value = json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"--metadata is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter("""--metadata is a JSON object: '{"key": "value"}'""")
    return value


def _say(info: ArtifactInfo, more: str) -> None:
    screen = Screen()
    screen.print(f"{info.artifact_id}: version {info.version}, {size(info.size)}, {more}".removesuffix(", "))
    screen.print(f"sha256 {info.sha256}", "dim")
