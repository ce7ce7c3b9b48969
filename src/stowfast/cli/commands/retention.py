"""The command for the rules of retention: list, set, remove, and tell what a sweep would remove."""

from __future__ import annotations

import asyncio
import re
from dataclasses import asdict, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from stowfast.cli.arguments import URL, Json
from stowfast.cli.commands.moving import Where, selected
from stowfast.cli.terminal import Screen, emit, many
from stowfast.cli.urls import existing
from stowfast.records import Retention, RetentionRule

if TYPE_CHECKING:
    from stowfast import DueRemoval

__all__ = ["duration", "register", "said"]

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LISTED: Final = 100


def register(app: typer.Typer) -> None:
    """Add this command to the others."""
    app.command(
        short_help="List, set or remove rules of retention.",
        epilog="Example: stowfast retention sqlite:///agent.db messages --age 30d --count 500",
    )(retention)


def retention(
    url: URL,
    kind: Annotated[
        str | None, typer.Argument(metavar="KIND", help="Set a rule: messages, artifacts or tasks.")
    ] = None,
    *,
    age: Annotated[str | None, typer.Option(metavar="TIME", help="The greatest age, such as 12h, 30d or 8w.")] = None,
    count: Annotated[int | None, typer.Option(help="So many newest messages of a conversation.")] = None,
    versions: Annotated[int | None, typer.Option(help="So many newest versions of an artifact or a task.")] = None,
    bytes: Annotated[int | None, typer.Option(help="So many bytes of the newest messages or versions.")] = None,
    prefix: Annotated[str, typer.Option("--prefix", help="Only ids that begin with this.")] = "",
    where: Where = None,
    scope: Annotated[str | None, typer.Option(help="Only inside this scope.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove the rule with this target.")] = False,
    as_json: Json = False,
) -> int:
    """List the rules of retention and the removals that are due; or, with KIND, set a rule.

    The rules are kept in the backend. Nothing goes before the next sweep: stowfast gc --yes, or stores.sweep() in a
    program. A tool call stays with its result, and a task with a lease is never removed.
    """
    bounds = Retention(versions, None if age is None else duration(age), count, bytes)
    if kind is None:
        if bounds != Retention() or clear or prefix or where or scope:
            raise typer.BadParameter("name the KIND of the rule: messages, artifacts or tasks")
        return asyncio.run(_list(url, as_json=as_json))
    if clear == (bounds != Retention()):
        raise typer.BadParameter("give --clear, or a bound: --age, --count, --versions or --bytes")
    target = {"prefix": prefix, "where": dict(selected(None, "", where).where or {}) or None, "scope": scope}
    return asyncio.run(_change(url, kind, bounds, target, as_json=as_json))


def duration(text: str) -> timedelta:
    """Return the time that a text such as `30d` means.

    Raises:
        typer.BadParameter: it means none.
    """
    found = re.fullmatch(r"(\d{1,9})([smhdw])", text)
    if found is None:
        raise typer.BadParameter(f"{text!r}: write a number with s, m, h, d or w, such as 30d")
    try:
        return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        raise typer.BadParameter(f"{text!r} is too long a time") from None


async def _change(url: str, kind: str, bounds: Retention, target: dict[str, Any], *, as_json: bool) -> int:
    async with existing(url) as stores:
        if bounds == Retention():
            done = await stores.rules.remove(kind, **target)
        else:
            await stores.rules.set(kind, bounds, **target)
            done = True
    told = "no such rule" if not done else "removed" if bounds == Retention() else "set"
    if as_json:
        emit({"rule": told})
    else:
        Screen().print(f"{told}: stowfast retention URL lists the rules" if done else told)
    return 0 if done else 1


async def _list(url: str, *, as_json: bool) -> int:
    async with existing(url) as stores:
        rules = await stores.rules.list()
        due = [removal async for removal in stores.rules.due()]
    if as_json:
        told = [{**asdict(replace(one, retention=Retention())), "retention": _bounds(one)} for one in rules]
        named = [{"kind": one.rule.kind, "id": one.id, "entries": one.entries, "whole": one.whole} for one in due]
        emit({"rules": told, "due": named})
        return 0
    screen = Screen()
    for rule in rules:
        bounds = ", ".join(f"{name} {bound}" for name, bound in _bounds(rule).items())
        screen.print(f"{rule.kind} {_target(rule)}: {bounds}")
    if not rules:
        screen.print("no rules: everything stays")
    for removal in due[:_LISTED]:
        screen.print(f"would remove {_part(removal)}", "dim")
    if len(due) > _LISTED:
        screen.print(f"... and of {many(len(due) - _LISTED, 'more stream')}", "dim")
    if rules:
        screen.print(f"due: {sum(one.entries for one in due):,} of {many(len(due), 'stream')}")
    return 0


def _bounds(rule: RetentionRule) -> dict[str, Any]:
    bounds = {key: value for key, value in asdict(rule.retention).items() if value is not None}
    return bounds | ({"age": said(rule.retention.age)} if rule.retention.age is not None else {})


def said(length: timedelta) -> str:
    """Return a length of time exactly: `30 days`, `1 day 12 hours`."""
    minutes, seconds = divmod(length.seconds, 60)
    parts = {"day": length.days, "hour": minutes // 60, "minute": minutes % 60, "second": seconds}
    told = [many(count, noun) for noun, count in parts.items() if count]
    if length.microseconds:
        told.append(many(length.microseconds, "microsecond"))
    return " ".join(told) or "0 days"


def _target(rule: RetentionRule) -> str:
    where = "".join(f" {key}={value}" for key, value in (rule.where or {}).items())
    scope = "" if rule.scope is None else f" in {rule.scope}"
    return f"{rule.prefix}*{where}{scope}"


def _part(removal: DueRemoval) -> str:
    if removal.whole:
        return f"all of {removal.rule.kind}/{removal.id}"
    return f"the oldest {removal.entries:,} of {removal.rule.kind}/{removal.id}"
