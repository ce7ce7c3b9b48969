"""The commands that list and print conversations: ls and show; ls lists tasks and artifacts, too."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer

from stowfast.cli.arguments import URL, Json, Prefix, Scopes
from stowfast.cli.show import listing
from stowfast.cli.terminal import Screen, emit
from stowfast.cli.urls import looking

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add these commands to the others."""
    app.command(
        short_help="List conversations, tasks, artifacts or scopes.",
        epilog="Example: stowfast ls sqlite:///agent.db --prefix support/ --limit 50",
    )(ls)
    app.command(short_help="Print a conversation.", epilog="Example: stowfast show sqlite:///agent.db ctx-1 --last 20")(
        show
    )


class Order(StrEnum):
    """The order of a list of conversations."""

    recent = "recent"
    id = "id"


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
    scopes: Annotated[
        bool, typer.Option("--scopes", help="List the scopes instead. Reads the names of all streams.")
    ] = False,
    scope: Scopes = None,
    as_json: Json = False,
) -> None:
    """List conversations with their count, last change and metadata; or tasks, artifacts or scopes."""
    if tasks + artifacts + scopes > 1:
        raise typer.BadParameter("give one of --tasks, --artifacts and --scopes")
    if (tasks or artifacts or scopes) and (prefix or order is not Order.recent):
        raise typer.BadParameter("--prefix and --order are for conversations: the other lists have neither")
    if scopes:
        if after is not None:
            raise typer.BadParameter("--scopes is one list, without --after")
        asyncio.run(_ls_scopes(url, scope, as_json=as_json))
        return
    kind = "tasks" if tasks else "artifacts" if artifacts else "conversations"
    cursor = listing.unpacked(after)
    asyncio.run(_ls(url, scope, kind, prefix=prefix, limit=limit, order=order, after=cursor, as_json=as_json))


async def _ls_scopes(url: str, scope: list[str] | None, *, as_json: bool) -> None:
    from stowfast.cli.show.scopes import counted_scopes, print_scopes

    async with looking(url, scope) as stores:
        found = await counted_scopes(stores.backend)
    if as_json:
        emit({"scopes": [{"scope": names, "streams": counts} for names, counts in found.items()]})
    else:
        print_scopes(Screen(), found)


async def _ls(
    url: str,
    scope: list[str] | None,
    kind: str,
    *,
    prefix: str,
    limit: int,
    order: Order,
    after: str | None,
    as_json: bool,
) -> None:
    counted, screen, hint = {}, Screen(), ""
    async with looking(url, scope) as stores:
        if kind == "tasks":
            page: Any = await stores.tasks.list(after=after, limit=limit)
            rows = listing.tasks_rows(page, screen.width)
        elif kind == "artifacts":
            page = await stores.artifacts.list(after=after, limit=limit)
            rows = listing.artifacts_rows(page)
        else:
            page = await stores.messages.contexts(prefix=prefix, after=after, limit=limit, order=order.value, info=True)
            rows = listing.contexts_rows(page.items)
            counted["task"] = await listing.count(stores.tasks.list)
            counted["artifact"] = await listing.count(stores.artifacts.list)
        if not as_json and not page and not any(number for number, _ in counted.values()):
            from stowfast.cli.show.scopes import elsewhere

            hint = await elsewhere(stores.backend)
    if as_json:
        totals = {f"{noun}s": number for noun, (number, _) in counted.items()}
        emit({kind: [asdict(one) for one in page], "next": listing.packed(page.next), **totals})
    else:
        listing.print_list(screen, rows, kind, page.next)
        if also := listing.others(counted):
            screen.print(f"\nbeside them: {also}", "dim")
        if hint:
            screen.print(hint, "dim")
    listing.print_damaged(kind.removesuffix("s"), page)


def show(
    url: URL,
    context: Annotated[str, typer.Argument(metavar="CONTEXT", help="The id of the conversation.")],
    *,
    last: Annotated[int | None, typer.Option(min=1, help="Only the newest so many messages.")] = None,
    originals: Annotated[bool, typer.Option("--originals", help="The summarized messages, not the summary.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Whole messages, however long.")] = False,
    scope: Scopes = None,
    as_json: Json = False,
) -> None:
    """Print a conversation: position, role, time, content, tool calls and their results."""
    from stowfast.cli.show.conversations import print_conversation  # a list needs no messages

    info, summary, entries = asyncio.run(_read(url, scope, context, last=last, originals=originals))
    if as_json:
        emit({**asdict(info), "summary": summary, "messages": [asdict(entry) for entry in entries]})
    else:
        print_conversation(Screen(), info, summary, entries, full=full)


async def _read(
    url: str, scopes: list[str] | None, context: str, *, last: int | None, originals: bool
) -> tuple[Any, Any, Any]:
    from stowfast.cli.show.conversations import read_conversation

    async with looking(url, scopes) as stores:
        return await read_conversation(stores, context, last=last, originals=originals)
