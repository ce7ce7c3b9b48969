"""The commands for tasks: tasks ls, show, history, diff, rewind."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import typer

from stowfast.cli.arguments import URL, Json, Scopes
from stowfast.cli.show import listing
from stowfast.cli.show.changes import in_words, print_patch
from stowfast.cli.show.tasks import changed, pairs, print_head, print_history, print_task, who_holds
from stowfast.cli.terminal import Screen, emit, many, span, time
from stowfast.cli.urls import existing, looking, within
from stowfast.errors import NotFoundError

if TYPE_CHECKING:
    from stowfast import Page, Stores, TaskInfo, TaskState

__all__ = ["register"]

Id: TypeAlias = Annotated[str, typer.Argument(metavar="ID", help="The id of the task.")]
Full: TypeAlias = Annotated[bool, typer.Option("--full", help="Whole values, however long.")]

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def register(app: typer.Typer) -> None:
    """Add these commands to the others, below `tasks`."""
    tasks = typer.Typer(rich_markup_mode=None)
    tasks.callback(invoke_without_command=True)(root)
    tasks.command(
        short_help="List tasks, and who holds them.",
        epilog="Example: stowfast tasks ls sqlite:///agent.db --status working --since 2h",
    )(ls)
    tasks.command(
        short_help="Print how a task stands.", epilog="Example: stowfast tasks show sqlite:///agent.db t-1 --version 3"
    )(show)
    tasks.command(
        short_help="Print the versions of a task.", epilog="Example: stowfast tasks history sqlite:///agent.db t-1"
    )(history)
    tasks.command(
        short_help="Print how one version became another.",
        epilog="Example: stowfast tasks diff sqlite:///agent.db t-1 3 5",
    )(diff)
    tasks.command(
        short_help="Make an earlier version the newest again.",
        epilog="Example: stowfast tasks rewind sqlite:///agent.db t-1 3 --yes",
    )(rewind)
    app.add_typer(tasks, name="tasks", short_help="Look at tasks and their history; rewind one.")


def root(context: typer.Context) -> None:
    """Look at task states: status, owner, and the changes of every version."""
    if context.invoked_subcommand is None:
        print(context.get_help())


def ls(
    *,
    url: URL,
    context: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this conversation.")] = None,
    agent: Annotated[str | None, typer.Option(metavar="ID", help="Only those of this agent.")] = None,
    parent: Annotated[str | None, typer.Option(metavar="ID", help="Only the parts of this task.")] = None,
    status: Annotated[str | None, typer.Option(help="Only those that are so: working, completed, ...")] = None,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only those changed since: 30m, 2h, 7d, or 2026-01-31T09:00.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    after: Annotated[str | None, typer.Option(metavar="CURSOR", help="What comes after a page: its `next`.")] = None,
    scope: Scopes = None,
    as_json: Json = False,
) -> None:
    """List tasks, the last changed first: version, last change, status, end of the lease and its owner.

    `over` is a lease past its end: others may claim the task.
    """
    wanted: dict[str, Any] = {"context_id": context, "agent_id": agent, "parent_task_id": parent, "status": status}
    page = asyncio.run(
        _ls(url, scope, **wanted, updated_after=_moment(since), after=listing.unpacked(after), limit=limit)
    )
    if as_json:
        emit({"tasks": [asdict(one) for one in page], "next": listing.packed(page.next)})
    else:
        screen = Screen()
        listing.print_list(screen, listing.tasks_rows(page, screen.width), "tasks", page.next)
    listing.print_damaged("task", page)


async def _ls(url: str, scopes: list[str] | None, **wanted: Any) -> Page[TaskInfo]:
    async with looking(url, scopes) as stores:
        page: Page[TaskInfo] = await stores.tasks.list(**wanted)
        return page


def show(
    url: URL,
    task: Id,
    version: Annotated[int | None, typer.Option(min=1, help="Not the newest version, but this one.")] = None,
    full: Full = False,
    scope: Scopes = None,
    as_json: Json = False,
) -> None:
    """Print a task: status, version, owner, the steps recorded since, and its data."""
    state, newest = asyncio.run(_show(url, scope, task, version))
    if as_json:
        emit(asdict(state))
    else:
        print_task(Screen(), state, newest, full=full)


async def _show(url: str, scopes: list[str] | None, task_id: str, version: int | None) -> tuple[TaskState, int]:
    async with looking(url, scopes) as stores:
        state = await _version(stores, task_id, version)
        info = await stores.tasks.info(task_id) if version is not None else None
    return state, info.version if info is not None else state.version


def history(
    url: URL,
    task: Id,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many versions.")] = 20,
    before: Annotated[int | None, typer.Option(min=1, metavar="VERSION", help="Only versions below this one.")] = None,
    scope: Scopes = None,
    as_json: Json = False,
) -> None:
    """Print the versions of a task, the newest first: time, time since the version before, changes."""
    states = asyncio.run(_history(url, scope, task, limit=limit, before=before))
    following = states[limit - 1].version if len(states) > limit else None
    if as_json:
        versions = []
        for state, earlier in list(pairs(states))[:limit]:
            length = None
            if earlier is not None and state.updated_at is not None and earlier.updated_at is not None:
                length = (state.updated_at - earlier.updated_at).total_seconds()
            versions.append({**asdict(state), "seconds": length, "changed": changed(state, earlier)})
        emit({"task_id": task, "versions": versions, "next": following})
        return
    screen = Screen()
    if before is None:
        print_head(screen, states[0], states[0].version)
        if states[0].steps:
            screen.print(f"{many(len(states[0].steps), 'step')} recorded since", "dim")
        screen.print()
    print_history(screen, states, limit)
    if following is not None:
        screen.print(f"more: the same with --before {following}", "dim")


async def _history(
    url: str, scopes: list[str] | None, task_id: str, *, limit: int, before: int | None
) -> list[TaskState]:
    async with looking(url, scopes) as stores:
        states = await stores.tasks.history(task_id, before=before, limit=limit + 1)
        if not states:
            await _version(stores, task_id, None)
            raise NotFoundError(f"task {task_id!r} has no version below {before}, or no longer")
        return states


def diff(
    url: URL,
    task: Id,
    a: Annotated[int, typer.Argument(metavar="A", min=1, help="The version to begin with.")],
    b: Annotated[int, typer.Argument(metavar="B", min=1, help="The version to end with. It may be the earlier one.")],
    *,
    full: Full = False,
    scope: Scopes = None,
    as_json: Json = False,
) -> None:
    """Print the difference between two versions of the data: the operations of a JSON Patch (RFC 6902).

    With --json it is the patch itself, for any tool that applies one.
    """
    before, after, patch = asyncio.run(_diff(url, scope, task, a, b))
    if as_json:
        emit(patch)
        return
    facts = [f"version {a:,} → {b:,}"]
    if before.updated_at is not None and after.updated_at is not None and a != b:
        later = after.updated_at - before.updated_at
        facts.append(f"{span(abs(later))} {'later' if later >= timedelta(0) else 'earlier'}")
    if before.status != after.status:
        facts.append(f"{in_words(before.status)} → {in_words(after.status)}")
    screen = Screen()
    screen.print(task, "bold")
    screen.print(" · ".join(facts), "dim")
    if patch:
        print_patch(screen, before.data, patch, full=full)
    else:
        screen.print("the data is the same")


async def _diff(
    url: str, scopes: list[str] | None, task_id: str, a: int, b: int
) -> tuple[TaskState, TaskState, list[dict[str, Any]]]:
    async with looking(url, scopes) as stores:
        before, after = await _version(stores, task_id, a), await _version(stores, task_id, b)
        return before, after, await stores.tasks.diff(task_id, a, b)


def rewind(
    url: URL,
    task: Id,
    version: Annotated[int, typer.Argument(metavar="VERSION", min=1, help="The version to go back to.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do it. Else: only say what it would change.")] = False,
    scope: Scopes = None,
    as_json: Json = False,
) -> None:
    """Make an earlier version of a task the newest again, as a new one, with --yes. Nothing is lost by it.

    The owner keeps the task, and goes on from there with its next load.
    """
    newest, goal, rewound = asyncio.run(_rewind(url, scope, task, version, yes=yes))
    if as_json:
        now = newest.version if rewound is None else rewound.version
        emit({"task_id": task, "rewound": rewound is not None, "to": version, "version": now})
        return
    screen = Screen()
    if goal.version == newest.version:
        screen.print(f"{task}: version {version:,} is the newest already")
        return
    told = ", ".join(changed(goal, newest)) or "nothing changes"
    if rewound is not None:
        screen.print(f"{task}: version {rewound.version:,}, as version {version:,} was: {told}")
        return
    screen.print(f"{task}: would be as in version {version:,} of {time(goal.updated_at)}: {told}")
    if newest.lease is not None and newest.lease.expires_at > datetime.now(UTC):
        screen.print(f"{who_holds(newest.lease)}: a save by its owner comes on top of that", "dim")
    if newest.steps:
        screen.print(f"{many(len(newest.steps), 'recorded step')} would stay: {', '.join(newest.steps)}", "dim")
    screen.print("nothing was changed: give --yes")


async def _rewind(
    url: str, scopes: list[str] | None, task_id: str, version: int, *, yes: bool
) -> tuple[TaskState, TaskState, TaskState | None]:
    async with within(existing(url), scopes) as stores:
        newest = await _version(stores, task_id, None)
        goal = await _version(stores, task_id, version)
        wanted = yes and goal.version != newest.version
        return newest, goal, await stores.tasks.rewind(task_id, version) if wanted else None


async def _version(stores: Stores, task_id: str, version: int | None) -> TaskState:
    state = await stores.tasks.load(task_id, version=version)
    if state is not None:
        return state
    if version is None or await stores.tasks.info(task_id) is None:
        raise NotFoundError(f"there is no task {task_id!r}: `stowfast tasks ls` shows which there are")
    raise NotFoundError(
        f"task {task_id!r} has no version {version}, or no longer: `stowfast tasks history` shows which there are"
    )


def _moment(text: str | None) -> datetime | None:
    """Return the moment of `--since`: a length of time ago, or a date in this timezone unless it names another."""
    if text is None:
        return None
    try:
        if found := re.fullmatch(r"(\d{1,9}) ?([smhdw])", text):
            return datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])})
        return datetime.fromisoformat(text).astimezone()
    except (ValueError, OverflowError):
        raise typer.BadParameter(
            f"--since {text!r} is no time: give 30m, 2h, 7d, or a date such as 2026-01-31 or 2026-01-31T09:00"
        ) from None
