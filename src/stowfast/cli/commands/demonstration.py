"""The command to see Stowfast at work: demo."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from stowfast.cli.arguments import Json, readable
from stowfast.cli.files import reading
from stowfast.cli.lines import MAX_LINE_MIB, LineSource
from stowfast.cli.show.conversations import print_conversation, read_conversation
from stowfast.cli.terminal import Screen, complain, emit
from stowfast.cli.transfer import Imported, store_lines
from stowfast.cli.urls import opened
from stowfast.errors import InvalidError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this command to the others."""
    app.command(
        short_help="Kill an agent at its work, and check that nothing is lost.",
        epilog="Example: stowfast demo --keep ./demo conversation.jsonl",
    )(demo)


def demo(
    *,
    conversation: Annotated[
        Path | None,
        typer.Argument(
            metavar="CONVERSATION",
            callback=readable,
            help="Also keep this conversation and show it: JSON lines as for import, or one JSON list of messages.",
        ),
    ] = None,
    keep: Annotated[
        Path | None, typer.Option(metavar="DIR", file_okay=False, help="Keep the files here. Else: a new directory.")
    ] = None,
    kills: Annotated[int, typer.Option(min=0, max=20, help="How often the agent is killed.")] = 3,
    seed: Annotated[int | None, typer.Option(help="Kill at the same moments as last time.")] = None,
    as_json: Json = False,
) -> int:
    """Kill an agent at its work, several times, and check that nothing is lost.

    A scripted agent works through a conversation with real tools, in a process of its own that keeps everything in a
    SQLite file. The process is killed with SIGKILL at random moments, begun again, and goes on from its task state.
    Then the file is compared with all acknowledged writes. Needs no network and no model.
    """
    from stowfast.cli.demo import screen
    from stowfast.cli.demo.demonstration import demonstrate

    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        if any(keep.iterdir()):
            raise InvalidError(f"{keep} is not empty: choose another directory")
    folder = keep or Path(tempfile.mkdtemp(prefix="stowfast-demo-"))
    shown = Screen()
    if not as_json:
        screen.print_begin(shown, kills)
    watch = (lambda _: None) if as_json else screen.watcher(shown)
    outcome = asyncio.run(demonstrate(folder, kills=kills, seed=seed, watch=watch))
    if not as_json:
        screen.print_outcome(shown, outcome)
    imported = None
    if conversation is not None:
        imported, read = asyncio.run(_keep(outcome.url, conversation))
        if not as_json:
            shown.print(f"\nAnd {conversation.name}: {imported.sentence()}.\n")
            if read is not None:
                print_conversation(shown, *read, full=False)
    if as_json:
        emit({**outcome.as_json(), "imported": imported and imported.as_json()})
    else:
        screen.print_commands(shown, outcome, imported.first if imported is not None else None)
    return 0 if outcome.passed and (imported is None or imported.complete) else 1


async def _keep(url: str, path: Path) -> tuple[Imported, Any]:
    with reading(path, url) as file:
        source = LineSource(file, name=None, stem=path.stem, most=MAX_LINE_MIB * 2**20)
        done = Imported()
        async with opened(url) as stores:
            await store_lines(stores, source, done, complain=complain, advance=lambda _: None)
            read = done.first and await read_conversation(stores, done.first, last=4, originals=False)
            return done, read
