"""Tasks for a person to read: state, owner, data, and the history of versions."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from stowfast.cli.show.changes import changes, in_words
from stowfast.cli.terminal import brief, compact, many, plain, span, time

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stowfast import Lease, TaskState
    from stowfast.cli.terminal import Screen

__all__ = ["changed", "held_until", "pairs", "print_head", "print_history", "print_task", "who_holds"]

_STYLES: Final = {"completed": "green", "failed": "red", "canceled": "yellow", "rejected": "red"}
_OTHERS: Final = {"context_id": "conversation", "agent_id": "agent", "parent_task_id": "parent"}
_FIRST: Final = 4
_LAST: Final = 6
"""A long list is shown by its beginning and its end, where it grows."""
_KEYS: Final = 30
_LINES: Final = 60
_MEMBERS: Final = 6
_SHORTEST: Final = 24
"""The least characters of a shortened text, with the words about the cut."""


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


def print_task(screen: Screen, state: TaskState, newest: int, *, full: bool) -> None:
    """Print a version of a task: its facts, the steps recorded since, and its data."""
    print_head(screen, state, newest)
    if state.lease is not None:
        screen.print(f"fencing token {state.lease.token}", "dim")
    if state.steps:
        screen.print()
        screen.print(f"{many(len(state.steps), 'step')} recorded since, which this version does not cover")
        for key, result in state.steps.items():
            line = f"{key}: {compact(result)}"
            screen.print("  " + (line if full else screen.short(line, screen.width - 2)))
    screen.print()
    _print_outline(screen, state.data, full=full)


def print_head(screen: Screen, state: TaskState, newest: int) -> None:
    """Print the facts of a task beside its data."""
    screen.print(state.task_id, "bold")
    of = f" of {newest:,}" if state.version < newest else ""
    facts = [f"version {state.version:,}{of}", f"saved {time(state.updated_at)}"]
    line = Text(screen.short(state.status, 40), style=_STYLES.get(state.status, "bold"))
    screen.print(line.append(" · ".join(["", *facts]), style="dim"))
    whose = [f"{noun} {value}" for field, noun in _OTHERS.items() if (value := getattr(state, field))]
    if whose:
        screen.print(" · ".join(whose), "dim")
    if state.metadata:
        screen.print(screen.short(f"metadata {compact(state.metadata)}", screen.width), "dim")
    if not of:
        screen.print(who_holds(state.lease), "dim")
    if state.expires_at is not None:
        screen.print(f"expires {time(state.expires_at)}", "dim")


def pairs(states: list[TaskState]) -> Iterator[tuple[TaskState, TaskState | None]]:
    """Yield each version, the newest first, with the one before it; None where it is not there."""
    yield from pairwise([*states, None])


def changed(state: TaskState, before: TaskState | None) -> list[str]:
    """Return the changes of a version in words."""
    if before is None:
        if state.version > 1:
            return ["the version before is gone"]
        data = state.data if isinstance(state.data, dict) else {"data": state.data}
        begun = f"begun, {in_words(state.status)}"
        return [begun, *(f"{plain(key)}: {in_words(value)}" for key, value in data.items())]
    told = [f"{in_words(before.status)} → {in_words(state.status)}"] if before.status != state.status else []
    for field, noun in _OTHERS.items():
        old, new = getattr(before, field), getattr(state, field)
        told += [f"{noun} {in_words(old)} → {in_words(new)}"] if old != new else []
    if before.metadata != state.metadata:
        told += [f"metadata {line}" for line in changes(before.metadata, state.metadata)]
    return [*told, *changes(before.data, state.data)]


def print_history(screen: Screen, states: list[TaskState], limit: int) -> None:
    """Print the time line of a task, the newest version first, under the day when it was saved.

    Args:
        states: one more than `limit`, if there is one: the last line tells the difference from that.
    """
    number, day = len(f"{states[0].version:,}"), ""
    for state, before in list(pairs(states))[:limit]:
        date, _, hour = time(state.updated_at).partition(" ")
        if date != day:
            screen.print(date, "dim")
            day = date
        gap = ""
        if before is not None and state.updated_at is not None and before.updated_at is not None:
            gap = f"+{span(state.updated_at - before.updated_at)}".replace("+-", "-")
        line = Text.assemble((f"{state.version:>{number},}", "bold"), (f"  {hour}  {gap:>9}  ", "dim"))
        told = changed(state, before)
        if before is None or before.status != state.status:
            status, *told = told
            line.append(status, style=_STYLES.get(state.status, "bold") if before else "dim")
            line.append(", " if told else "")
        elif not told:
            line.append("nothing changed", style="dim")
        screen.print(line.append(_fitting(told, screen.width - line.cell_len)))


def _fitting(told: list[str], room: int) -> str:
    """Return the changes that fit on the line, and the number of the others."""
    for count in range(len(told), 0, -1):
        left_out = f", {len(told) - count:,} more" if count < len(told) else ""
        line = ", ".join(told[:count]) + left_out
        if cell_len(line) <= room:
            return line
    if not told:
        return ""
    line = " ".join(plain(told[0]).split())
    while cell_len(line) > max(room - 1, 12):  # the end of a path and the new value say most
        line = line[1 + len(line) // 50 :]
    return f"…{line}"


def _print_outline(screen: Screen, value: Any, *, full: bool) -> None:
    """Print a JSON value; with `full` all of it, else so that every line fits and there are not too many."""
    if full or not screen.is_terminal:
        screen.print(json.dumps(value, indent=2, ensure_ascii=False))
        return
    lines = list(_lines(value, "", "", "", screen.width))
    screen.print("\n".join(lines[:_LINES]))
    if len(lines) > _LINES:
        screen.print(f"… {many(len(lines) - _LINES, 'more line')}", "dim")


def _lines(value: Any, indent: str, name: str, comma: str, width: int) -> Iterator[str]:
    begin = indent + name
    line = _on_one_line(value, width - len(begin) - len(comma))
    if line is not None:
        yield f"{begin}{line}{comma}"
        return
    yield begin + ("{" if isinstance(value, dict) else "[")
    inner, last = indent + "  ", len(value) - 1
    if isinstance(value, dict):
        for number, (key, one) in enumerate(list(value.items())[:_KEYS]):
            shown = brief(compact(key), max(width // 2, 1))
            yield from _lines(one, inner, f"{shown}: ", "," if number < last else "", width)
        if last >= _KEYS:
            yield f"{inner}… {many(len(value) - _KEYS, 'more key')}"
    else:
        left_out = range(_FIRST, len(value) - _LAST) if len(value) > _FIRST + _LAST + 1 else range(0)
        for index, one in enumerate(value):
            if index not in left_out:
                yield from _lines(one, inner, "", "," if index < last else "", width)
            elif index == _FIRST:
                yield f"{inner}… {many(len(left_out), 'more item')}"
    yield indent + ("}" if isinstance(value, dict) else "]") + comma


def _on_one_line(value: Any, room: int) -> str | None:
    """Return a value on one line, its longest text cut short where that makes it fit; None where it needs several."""
    line = plain(compact(value))
    if cell_len(line) <= room:
        return line
    if isinstance(value, str):
        return _cut(line, len(value), max(room, _SHORTEST))
    if not isinstance(value, (dict, list)) or not value or room < _SHORTEST:
        return brief(line, max(room, _SHORTEST))
    members = list(value.values() if isinstance(value, dict) else value)
    if len(members) > _MEMBERS or any(isinstance(one, (dict, list)) and one for one in members):
        return None
    longest = max((one for one in members if isinstance(one, str)), key=len, default="")
    text = plain(compact(longest))
    left = room - (cell_len(line) - cell_len(text))
    return line.replace(text, _cut(text, len(longest), left), 1) if left >= _SHORTEST else None


def _cut(text: str, length: int, room: int) -> str:
    told = f' … {many(length, "character")}"'
    return set_cell_size(text, max(room - len(told), 1)).rstrip() + told
