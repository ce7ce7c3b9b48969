"""The command that imports from the storage of other libraries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from stowfast import importing
from stowfast.cli.arguments import Json
from stowfast.cli.commands.moving import entries, tell_differences
from stowfast.cli.pace import Amount, paced
from stowfast.cli.terminal import Screen, emit, many, size
from stowfast.cli.urls import opened

if TYPE_CHECKING:
    from typing import Any

    from stowfast.moving import Copied

__all__ = ["register"]

_KINDS = ", ".join(importing.KINDS)


def register(app: typer.Typer) -> None:
    """Add this command to the others."""
    app.command(
        "import-from",
        short_help="Import from another library's storage.",
        epilog="Example: stowfast import-from openai-agents sessions.db sqlite:///agent.db",
    )(import_from)


def import_from(
    kind: Annotated[str, typer.Argument(metavar="KIND", help=f"One of {_KINDS}.")],
    source: Annotated[str, typer.Argument(metavar="FROM", help="A file, a folder or a URL of that library.")],
    url: Annotated[str, typer.Argument(metavar="URL", help="The backend to import into.")],
    *,
    into: Annotated[str | None, typer.Option(metavar="SCOPE", help="The scope at URL to import into.")] = None,
    as_json: Json = False,
) -> int:
    """Import conversations of another library, so that Stowfast's adapter for it goes on with them.

    The source is only read, and the library need not be installed. Ids, messages and times stay. Give the command
    again after an interruption, or when the source has more: nothing is added twice. A conversation that cannot be
    stored, or was changed at URL since, is named and left as it is; the exit code is 1 then.
    """
    if kind not in importing.KINDS:
        raise typer.BadParameter(f"{kind!r} is not one of {_KINDS}", param_hint="KIND")
    with paced("importing") as tell:
        done = asyncio.run(_import(kind, source, url, into, tell))
    tell_differences(done.differences)
    if as_json:
        emit({"complete": done.complete, **_counts(done)})
    else:
        Screen().print(_line(done))
    return 0 if done.complete else 1


async def _import(kind: str, source: str, url: str, into: str | None, tell: Any) -> Copied:
    async with opened(url) as stores:
        return await importing.import_from(
            kind,
            source,
            stores,
            into=into,
            progress=lambda done: tell(Amount(done.settled, None, done.entries, done.bytes)),
        )


def _line(done: Copied) -> str:
    text = f"imported {many(done.streams, 'stream')} with {entries(done.entries)}, {size(done.bytes)}"
    if done.already_there:
        text += f", {done.already_there:,} already there"
    if done.differences:
        text += f", {len(done.differences):,} NOT imported"
    return text


def _counts(done: Copied) -> dict[str, Any]:
    return {
        "streams": done.streams,
        "entries": done.entries,
        "bytes": done.bytes,
        "already_there": done.already_there,
        "differences": [one._asdict() for one in done.differences],
    }
