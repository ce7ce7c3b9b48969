"""The commands. Each opens a backend, calls the module that does the work, and prints the result."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import IO, Annotated, Any

import typer

import stowfast
from stowfast.cli import transfer
from stowfast.cli.arguments import URL, Json, Prefix, readable
from stowfast.cli.commands import artifacts as artifact_commands
from stowfast.cli.commands import proof as proof_commands
from stowfast.cli.commands import tasks as task_commands
from stowfast.cli.demo.agent import FILE
from stowfast.cli.demo.demonstration import demonstrate
from stowfast.cli.demo.screen import Screen, print_commands, print_outcome
from stowfast.cli.show import listing
from stowfast.cli.show.conversations import newest_entries, print_conversation
from stowfast.cli.terminal import complain, console, emit, many, progress, write
from stowfast.cli.urls import existing
from stowfast.errors import InvalidError, NotFoundError

__all__ = ["app"]

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,  # they would print every variable, and a URL may hold a password
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80},
)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    """Read, move and test the messages, artifacts and task states of AI agents.

    A URL names the backend, as in stowfast.open(URL).
    """
    if version:
        print(f"stowfast {stowfast.__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


class Order(StrEnum):
    """The order of a list of conversations."""

    recent = "recent"
    id = "id"


@app.command(
    short_help="Kill an agent at its work, and check that nothing is lost.",
    epilog="Example: stowfast demo --keep ./demo conversation.jsonl",
)
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
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)
        if (keep / FILE).exists():
            raise InvalidError(f"{keep / FILE} is there already: choose another directory")
    folder = keep or Path(tempfile.mkdtemp(prefix="stowfast-demo-"))
    screen = Screen(console())
    if not as_json:
        screen.begin(kills)
    watch = (lambda _: None) if as_json else screen.watch
    outcome = asyncio.run(demonstrate(folder, kills=kills, seed=seed, watch=watch))
    if not as_json:
        print_outcome(console(), outcome)
    imported = None
    if conversation is not None:
        imported = asyncio.run(_keep(outcome.url, conversation))
        if not as_json:
            print(f"\nAnd {conversation.name}: {imported.sentence()}.\n")
            if imported.first is not None:
                read = asyncio.run(_read(outcome.url, imported.first, last=4, originals=False))
                print_conversation(console(), *read, full=False)
    if as_json:
        emit({**outcome.as_json(), "imported": imported and imported.as_json()})
    else:
        print_commands(console(), outcome, imported.first if imported is not None else None)
    return 0 if outcome.passed and (imported is None or imported.complete) else 1


async def _keep(url: str, path: Path) -> transfer.Imported:
    with transfer.reading(path) as file:
        async with stowfast.open(url) as stores:
            lines = transfer.lines_of(file, path.stem)
            return await transfer.store_lines(stores, lines, complain=complain, advance=lambda _: None)


@app.command(
    short_help="List conversations, tasks or artifacts.",
    epilog="Example: stowfast ls sqlite:///agent.db --prefix support/ --limit 50",
)
def ls(
    *,
    url: URL,
    prefix: Prefix = "",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    order: Annotated[Order, typer.Option(help="The last changed first, or by id.")] = Order.recent,
    after: Annotated[
        str | None, typer.Option(metavar="CURSOR", help="The next page: the `next` of the page before.")
    ] = None,
    tasks: Annotated[bool, typer.Option("--tasks", help="List the tasks instead.")] = False,
    artifacts: Annotated[bool, typer.Option("--artifacts", help="List the artifacts instead.")] = False,
    as_json: Json = False,
) -> None:
    """List conversations with their count, last change and metadata; or tasks, or artifacts."""
    if tasks and artifacts:
        raise typer.BadParameter("give --tasks or --artifacts, not both")
    if (tasks or artifacts) and (prefix or order is not Order.recent):
        raise typer.BadParameter("--prefix and --order are for conversations: tasks and artifacts have neither")
    kind = "tasks" if tasks else "artifacts" if artifacts else "conversations"
    asyncio.run(_ls(url, kind, prefix=prefix, limit=limit, order=order, after=after, as_json=as_json))


async def _ls(url: str, kind: str, *, prefix: str, limit: int, order: Order, after: str | None, as_json: bool) -> None:
    counted = {}
    async with existing(url) as stores:
        if kind == "tasks":
            page: Any = await stores.tasks.list(after=after, limit=limit)
            found, following, rows = page.items, page.next, listing.tasks_rows(page, console().width)
        elif kind == "artifacts":
            page = await stores.artifacts.list(after=after, limit=limit)
            found, following, rows = page.items, page.next, listing.artifacts_rows(page)
        else:
            found, following = await listing.list_contexts(
                stores, prefix=prefix, after=after, limit=limit, order=order.value
            )
            rows = listing.contexts_rows(found)
            counted["task"] = await listing.count(stores.tasks.list)
            counted["artifact"] = await listing.count(stores.artifacts.list)
    if as_json:
        totals = {f"{noun}s": number for noun, (number, _) in counted.items()}
        emit({kind: [asdict(one) for one in found], "next": following, **totals})
    else:
        listing.print_list(console(), rows, kind, following)
        if also := listing.others(counted):
            console().print(f"\nbeside them: {also}", style="dim")


@app.command(short_help="Print a conversation.", epilog="Example: stowfast show sqlite:///agent.db ctx-1 --last 20")
def show(
    url: URL,
    context: Annotated[str, typer.Argument(metavar="CONTEXT", help="The id of the conversation.")],
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest so many messages.")] = None,
    originals: Annotated[bool, typer.Option("--originals", help="The summarized messages, not the summary.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Whole messages, however long.")] = False,
    as_json: Json = False,
) -> None:
    """Print a conversation: position, role, time, content, tool calls and their results."""
    info, summary, entries = asyncio.run(_read(url, context, last=last, originals=originals))
    if as_json:
        emit({**asdict(info), "summary": summary, "messages": [asdict(entry) for entry in entries]})
    else:
        print_conversation(console(), info, summary, entries, full=full)


async def _read(url: str, context: str, *, last: int | None, originals: bool) -> tuple[Any, Any, Any]:
    async with existing(url) as stores:
        info = await stores.messages.info(context)
        if info is None:
            other = await stores.tasks.info(context)
            hint = "`stowfast ls` shows which there are" if other is None else "a task is for `stowfast tasks show`"
            raise NotFoundError(f"there is no conversation {context!r}: {hint}")
        base = 0 if originals else info.compacted
        entries = await newest_entries(stores.messages, info, last, base)
        summary = None
        if base and (last is None or len(entries) < last):
            found = await stores.messages.get_messages(context, limit=1)
            summary = found[0] if found else None  # none: deleted meanwhile
    return info, summary, entries


@app.command(
    "import",
    short_help="Bring conversations in, one a line of a file.",
    epilog="Example: zcat backup.jsonl.gz | stowfast import sqlite:///agent.db -",
)
def import_(
    url: URL,
    file: Annotated[
        Path,
        typer.Argument(metavar="FILE", callback=readable, help="JSON lines; - is stdin."),
    ],
    as_json: Json = False,
) -> int:
    """Bring conversations in, one a line: {"context_id": ..., "messages": [...]}.

    Each is written in one commit: it is stored whole or not at all. After an interruption, repeat the command: stored
    conversations stay, and nothing is doubled. A conversation that exists with other messages is a conflict and stays
    as it is. A bad line is named and left out, and the others go on. Every other key of a line is kept as metadata.
    """
    total = file.stat().st_size if file.is_file() else None
    with transfer.reading(file) as lines, progress("importing", total) as advance:
        done = asyncio.run(_import(url, lines, advance))
    if as_json:
        emit(done.as_json())
    else:
        print(done.sentence())
    return 0 if done.complete else 1


async def _import(url: str, lines: IO[bytes], advance: Callable[[int], None]) -> transfer.Imported:
    async with stowfast.open(url) as stores:
        return await transfer.store_lines(stores, lines, complain=complain, advance=advance)


@app.command(
    short_help="Write conversations out, one a line.", epilog="Example: stowfast export sqlite:///agent.db backup.jsonl"
)
def export(
    url: URL,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Replaced once all is written; - is stdout.")] = Path(
        "-"
    ),
    prefix: Prefix = "",
    as_json: Json = False,
) -> None:
    """Write conversations out, one a line, as import reads them.

    A file appears when it is whole; until then one that was there before stays. Without FILE the lines go to stdout,
    as JSON already. A conversation that was compacted goes out with the messages that were kept, without its summary.
    """
    if str(file) == "-":
        asyncio.run(_export(url, prefix, write))
        return
    with transfer.written_whole(file) as out:
        counts = asyncio.run(_export(url, prefix, lambda line: out.write(line.encode())))
    if as_json:
        emit({"file": str(file), **counts})
    else:
        print(f"{many(counts['conversations'], 'conversation')}, {many(counts['messages'], 'message')} in {file}")


async def _export(url: str, prefix: str, put: Any) -> dict[str, int]:
    counts = {"conversations": 0, "messages": 0, "summaries_left_out": 0}
    with progress("exporting", None) as advance:
        async with existing(url) as stores:
            async for one, summed_up in transfer.read_conversations(stores, prefix):
                if one.messages or one.metadata:  # else there is nothing in it that import could bring back
                    put(one.line())
                    counts["conversations"] += 1
                    counts["messages"] += len(one.messages)
                counts["summaries_left_out"] += summed_up
                advance(1)
    if left_out := counts["summaries_left_out"]:
        complain(f"{many(left_out, 'conversation')} compacted: exported as far as kept, without the summary")
    return counts


artifact_commands.register(app)
task_commands.register(app)
proof_commands.register(app)
