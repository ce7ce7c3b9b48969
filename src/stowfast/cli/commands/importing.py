"""The command that imports from the storage of other libraries."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from stowfast import importing
from stowfast.cli.arguments import Json, readable
from stowfast.cli.commands.moving import entries, tell_differences
from stowfast.cli.pace import Amount, paced
from stowfast.cli.terminal import Screen, emit, many, size
from stowfast.cli.urls import opened

if TYPE_CHECKING:
    from typing import Any

    from stowfast.moving import Copied

__all__ = ["register"]

_KINDS = ", ".join(importing.KINDS)
_KEY: Final = "STOWFAST_IMPORT_KEY"
"""The variable with the key of encrypted items."""
_MAX_KEY_BYTES: Final = 65_536


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
    table: Annotated[
        list[str] | None,
        typer.Option(metavar="TABLE=NAME", help="A table has this name, as in agent_messages=chats. Repeat for more."),
    ] = None,
    key_file: Annotated[
        Path | None,
        typer.Option(metavar="FILE", callback=readable, help=f"The key of EncryptedSession. Else: {_KEY}."),
    ] = None,
    keep_encrypted: Annotated[
        bool, typer.Option("--keep-encrypted", help="Items of EncryptedSession stay encrypted.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Import conversations of another library, so that Stowfast's adapter for it goes on with them.

    The source is only read, and the library need not be installed. Ids, messages and times stay. Give the command
    again after an interruption, or when the source has more: nothing is added twice. A conversation that cannot be
    stored, or was changed at URL since, is named and left as it is; the exit code is 1 then.
    """
    if kind not in importing.KINDS:
        raise typer.BadParameter(f"{kind!r} is not one of {_KINDS}", param_hint="KIND")
    options = {"into": into, "tables": _tables(table or []), "keep_encrypted": keep_encrypted}
    # The variable may be set for every command: only this kind has a use for it.
    uses_key = kind == "openai-agents" and not keep_encrypted
    key = _key(key_file) if key_file is not None else (os.environ.get(_KEY) or None) if uses_key else None
    with paced("importing", as_json=as_json) as tell:
        done = asyncio.run(_import(kind, source, url, tell, {**options, "key": key}))
    tell_differences(done.differences)
    if as_json:
        emit({"complete": done.complete, **_counts(done)})
    else:
        Screen().print(_line(done))
    return 0 if done.complete else 1


def _tables(given: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in given:
        table, mark, name = text.partition("=")
        if not (table and mark and name):
            raise typer.BadParameter(f"--table {text!r}: write TABLE=NAME")
        found[table] = name
    return found


def _key(path: Path) -> str:
    """Return the key in a file, or on stdin for a dash. No error shows it."""
    with suppress(UnicodeDecodeError):  # not as the cause: that error holds the bytes
        if str(path) == "-":
            return sys.stdin.buffer.read(_MAX_KEY_BYTES).decode().rstrip("\r\n")
        with path.open("rb") as file:
            return file.read(_MAX_KEY_BYTES).decode().rstrip("\r\n")
    raise typer.BadParameter(f"--key-file {str(path)!r}: its content is no text of UTF-8")


async def _import(kind: str, source: str, url: str, tell: Any, options: dict[str, Any]) -> Copied:
    async with opened(url) as stores:
        return await importing.import_from(
            kind,
            source,
            stores,
            **options,
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
