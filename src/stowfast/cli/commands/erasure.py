"""The command that erases everything of a person."""

from __future__ import annotations

import asyncio
import mmap
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stowfast import moving
from stowfast.cli.arguments import URL, Json
from stowfast.cli.commands.moving import Where, selected
from stowfast.cli.pace import waited
from stowfast.cli.terminal import Screen, emit, many
from stowfast.cli.urls import check_existing, sqlite_path

if TYPE_CHECKING:
    from collections.abc import Collection

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this command to the others."""
    app.command(
        short_help="Delete everything of a person, and prove it.",
        epilog="Example: stowfast erase sqlite:///agent.db --where user=ada",
    )(erase)


def erase(
    url: URL,
    *,
    where: Where = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> int:
    """List conversations, artifacts, tasks and documents by metadata, ask, delete them, and search for remains.

    The artifacts and tasks of a conversation go with it. Then a second search must find nothing; of a SQLite file, the
    bytes of the file and its log are searched for pieces of every deleted entry, too. Exit code 1 if something is
    left. Backups and ids in tombstones stay: erase the backups, too.
    """
    selection = selected(None, "", where)
    if not selection.where:
        raise typer.BadParameter("name the person: --where user=ada")
    check_existing(url)
    with waited("looking") as tell:
        names = asyncio.run(moving.find(url, selection, related=True, progress=tell))
    if not as_json:
        for name in names:
            Screen().print(name)
    if names and not yes:
        typer.confirm(f"Delete {many(len(names), 'stream')} for good?", abort=True, err=True)
    path = sqlite_path(url)
    search = None if path is None else lambda pieces: _search(path, pieces)
    with waited("deleting") as tell:
        done = asyncio.run(moving.erase(url, selection, search=search, progress=tell))
    if as_json:
        emit({"streams": names, "deleted": done.streams, "proved": done.proved, **_proof(done)})
        return 0 if done.proved else 1
    screen = Screen()
    screen.print(f"deleted {many(done.streams, 'stream')}; a second search found {len(done.left):,}")
    if done.pieces:
        screen.print(f"{many(done.pieces, 'piece')} of their entries searched for in the file, {done.found:,} found")
    if done.damaged:
        screen.print(f"{many(len(done.damaged), 'damaged stream')} of unknown owners stay", "red")
    return 0 if done.proved else 1


def _proof(done: moving.Erased) -> dict[str, Any]:
    return {"left": done.left, "damaged": done.damaged, "pieces": done.pieces, "found": done.found}


def _search(path: Path, pieces: Collection[bytes]) -> set[bytes]:
    """Return the pieces that are in the bytes of a SQLite file or its log."""
    found: set[bytes] = set()
    for file in (path, Path(f"{path}-wal")):
        if not file.is_file() or not file.stat().st_size:
            continue
        with file.open("rb") as raw, mmap.mmap(raw.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found |= {piece for piece in pieces if content.find(piece) >= 0}
    return found
