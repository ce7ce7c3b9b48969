"""Tasks for a person to read: state, owner, and the history of versions."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from rich.cells import cell_len
from rich.text import Text

from stowfast.cli.show.changes import changes, in_words
from stowfast.cli.show.outline import print_outline
from stowfast.cli.terminal import brief, compact, many, plain, span, time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from stowfast import Lease, TaskState

__all__ = ["changed", "held_until", "pairs", "print_head", "print_history", "print_task", "who_holds"]

_STYLES: Final = {"completed": "green", "failed": "red", "canceled": "yellow", "rejected": "red"}
_OTHERS: Final = {"context_id": "conversation", "agent_id": "agent", "parent_task_id": "parent"}


def held_until(lease: Lease | None) -> str:
    """Return the end of the lease and its owner, in a few words."""
    if lease is None:
        return ""
    now, until = datetime.now().astimezone(), lease.expires_at.astimezone()
    if until <= now:
        return f"over: {lease.owner}"
    return f"{until:%H:%M:%S} {lease.owner}" if until.date() == now.date() else f"{until:%m-%d %H:%M} {lease.owner}"


def who_holds(lease: Lease | None) -> str:
    """Return the owner of a task in words."""
    if lease is None:
        return "no owner"
    if lease.expires_at <= datetime.now(UTC):
        return f"free to claim: {lease.owner} held it until {time(lease.expires_at)}"
    return f"held by {lease.owner} until {time(lease.expires_at)}"


def print_task(screen: Console, state: TaskState, newest: int, *, full: bool) -> None:
    """Print a version of a task: its facts, the steps recorded since, and its data."""
    print_head(screen, state, newest)
    if state.lease is not None:
        screen.print(Text(f"fencing token {state.lease.token}", style="dim"))
    if state.steps:
        screen.print()
        screen.print(Text(f"{many(len(state.steps), 'step')} recorded since, which this version does not cover"))
        for key, result in state.steps.items():
            line = plain(f"{key}: {compact(result)}")
            screen.print(Text("  ").append(line if full else brief(line, screen.width - 2)), overflow="fold")
    screen.print()
    print_outline(screen, state.data, full=full)


def print_head(screen: Console, state: TaskState, newest: int) -> None:
    """Print the facts of a task beside its data."""
    screen.print(Text(plain(state.task_id), style="bold", overflow="fold"))
    of = f" of {newest:,}" if state.version < newest else ""
    facts = [f"version {state.version:,}{of}", f"saved {time(state.updated_at)}"]
    line = Text(brief(state.status, 40), style=_STYLES.get(state.status, "bold"))
    screen.print(line.append(" · ".join(["", *facts]), style="dim"), overflow="fold")
    whose = [f"{noun} {value}" for field, noun in _OTHERS.items() if (value := getattr(state, field))]
    if whose:
        screen.print(Text(plain(" · ".join(whose)), style="dim", overflow="fold"))
    if not of:
        screen.print(Text(plain(who_holds(state.lease)), style="dim", overflow="fold"))
    if state.expires_at is not None:
        screen.print(Text(f"expires {time(state.expires_at)}", style="dim"))


def pairs(states: list[TaskState]) -> Iterator[tuple[TaskState, TaskState | None]]:
    """Yield each version, the newest first, with the one before it where that is there."""
    yield from pairwise([*states, None])


def changed(state: TaskState, before: TaskState | None) -> list[str]:
    """Return the changes of a version in words."""
    if before is None:
        if state.version > 1:
            return ["the version before is gone"]
        data = state.data if isinstance(state.data, dict) else {"data": state.data}
        return [
            f"begun, {in_words(state.status)}",
            *(f"{plain(key)}: {in_words(value)}" for key, value in data.items()),
        ]
    told = [f"{in_words(before.status)} → {in_words(state.status)}"] if before.status != state.status else []
    for field, noun in _OTHERS.items():
        old, new = getattr(before, field), getattr(state, field)
        told += [f"{noun} {in_words(old)} → {in_words(new)}"] if old != new else []
    return [*told, *changes(before.data, state.data)]


def print_history(screen: Console, states: list[TaskState], limit: int) -> None:
    """Print the time line of a task, the newest version first, under the day when it was saved.

    Args:
        states: one more than `limit`, if there is one: the last line tells what is different from that.
    """
    shown = list(pairs(states))[:limit]
    number, day = len(f"{states[0].version:,}"), ""
    for state, before in shown:
        date, _, hour = time(state.updated_at).partition(" ")
        if date != day:
            screen.print(Text(date, style="dim"))
            day = date
        gap = ""
        if before is not None and state.updated_at is not None and before.updated_at is not None:
            gap = f"+{span(state.updated_at - before.updated_at)}".replace("+-", "-")
        line = Text.assemble(
            (f"{state.version:>{number},}", "bold"), (f"  {hour}", "dim"), (f"  {gap:>9}  ", "dim")
        )  # fmt: skip
        told = changed(state, before)
        if before is None or before.status != state.status:
            status, *told = told
            line.append(plain(status), style=_STYLES.get(state.status, "bold") if before else "dim")
            line.append(", " if told else "")
        elif not told:
            line.append("nothing changed", style="dim")
        line.append(_fitting(told, screen.width - line.cell_len))
        screen.print(line, overflow="fold")


def _fitting(told: list[str], room: int) -> str:
    """Return the changes that fit on the line, and the number of the others."""
    for count in range(len(told), 0, -1):
        left_out = f", {len(told) - count:,} more" if count < len(told) else ""
        line = ", ".join(told[:count]) + left_out
        if cell_len(line) <= room:
            return line
    return brief(told[0], max(room, 12)) if told else ""
