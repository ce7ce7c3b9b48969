"""The command that erases everything of a person."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from stowfast import moving
from stowfast.cli.arguments import URL, Json
from stowfast.cli.commands.moving import Where, selected
from stowfast.cli.pace import waited
from stowfast.cli.terminal import Screen, emit, many
from stowfast.cli.urls import check_existing

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

    The artifacts and tasks of a conversation or task go with it. Then a second search must find nothing; of a SQLite
    file, its bytes and those of its log are searched for pieces of all that was deleted, too. Exit code 1 if
    something is left. Backups and ids in tombstones stay: erase the backups, too.
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
    with waited("deleting") as tell:
        done = asyncio.run(moving.erase(url, selection, progress=tell))
    if as_json:
        emit({"streams": names, "deleted": done.streams, "proved": done.proved, **_proof(done)})
        return 0 if done.proved else 1
    screen = Screen()
    screen.print(f"deleted {many(done.streams, 'stream')}; a second search found {len(done.left):,}")
    if done.searched:
        screen.print(f"{many(done.pieces, 'piece')} of their entries searched for in the file, {done.found:,} found")
    else:
        screen.print("no bytes were searched: stowfast can search those of a SQLite file")
    if done.damaged:
        screen.print(f"{many(len(done.damaged), 'damaged stream')} of unknown owners stay", "red")
    return 0 if done.proved else 1


def _proof(done: moving.Erased) -> dict[str, Any]:
    searched = {"searched": done.searched, "pieces": done.pieces, "found": done.found}
    return {"left": done.left, "damaged": done.damaged, **searched}
