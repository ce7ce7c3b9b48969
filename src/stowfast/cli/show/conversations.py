"""Conversations for a person to read: messages, tool calls and their results."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from stowfast.cli.terminal import compact, many, plain, time
from stowfast.errors import NotFoundError
from stowfast.view.blocks import spoken

if TYPE_CHECKING:
    from stowfast import ContextInfo, MessageEntry, Messages, Stores
    from stowfast.cli.terminal import Screen
    from stowfast.view.blocks import Spoken

__all__ = ["newest_entries", "print_conversation", "print_message", "read_conversation"]

_STYLES: Final = {
    "system": "magenta",
    "developer": "magenta",
    "user": "bold cyan",
    "assistant": "bold green",
    "agent": "bold green",
    "model": "bold green",
    "tool": "yellow",
}
_LINES: Final = 8
_CHARACTERS: Final = 600
_TOOL_CHARACTERS: Final = 200


async def newest_entries(messages: Messages, info: ContextInfo, last: int | None, start: int) -> list[MessageEntry]:
    """Return the newest so many entries from `start` on, or all, without reading older ones."""
    if last == 0:
        return []
    span = info.next_position if last is None else last
    while True:
        begin = max(info.next_position - span, start)
        found = [entry async for entry in messages.entries(info.context_id, after=begin - 1)]
        if last is None or len(found) >= last or begin == start:
            return found if last is None else found[-last:]
        span *= 2  # popped messages leave gaps


async def read_conversation(
    stores: Stores, context: str, *, last: int | None, originals: bool
) -> tuple[ContextInfo, dict[str, Any] | None, list[MessageEntry]]:
    """Return the facts of a conversation, its summary where the messages begin behind it, and the newest messages.

    Raises:
        NotFoundError: there is no such conversation.
    """
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


def print_conversation(
    screen: Screen, info: ContextInfo, summary: dict[str, Any] | None, entries: list[MessageEntry], *, full: bool
) -> None:
    """Print the head of a conversation, then its messages."""
    screen.print(info.context_id, "bold")
    facts = [many(info.count, "message"), f"begun {time(info.created_at)}", f"last {time(info.updated_at)}"]
    screen.print(" · ".join(facts), "dim")
    if info.expires_at is not None:
        screen.print(f"expires {time(info.expires_at)}", "dim")
    for key, value in info.metadata.items():
        line = f"{key}: {value if isinstance(value, str) else compact(value)}"
        screen.print(line if full else screen.short(line, screen.width), "dim")
    if summary is not None:
        screen.print()
        screen.print(f"the summary of everything before #{info.compacted}", "italic")
        _print_body(screen, spoken(summary), full=full)
    for before, entry in zip([None, *entries], entries, strict=False):
        screen.print()
        print_message(screen, entry, before, full=full)


def print_message(screen: Screen, entry: MessageEntry, before: MessageEntry | None = None, *, full: bool) -> None:
    """Print one message: a line with its position and role, then its content."""
    said = spoken(entry.message)
    who = Text.assemble((f"#{entry.position} ", "dim"), (screen.short(said.role, 40), _STYLES.get(said.role, "bold")))
    if said.name:
        who.append(f" {screen.short(said.name, 60)}", style=_STYLES.get(said.role, "bold"))
    now, earlier = time(entry.created_at), time(before.created_at) if before else ""
    # The day is news only where it is another day than that of the message above.
    screen.ends(who, now.partition(" ")[2] if now[:10] == earlier[:10] else now)
    _print_body(screen, said, full=full)


def _print_body(screen: Screen, said: Spoken, *, full: bool) -> None:
    full = full or not screen.is_terminal
    for part in said.blocks:
        text = part.source if part.kind == "picture" else part.text
        if part.kind == "call":
            line = Text("→ ", style="yellow").append(plain(part.name or "a call"), style="yellow")
            _print_indented(screen, line.append(" " + _cut(text, full=full, short=True), style="dim"))
        else:
            is_aside = part.kind != "text"
            _print_indented(screen, Text(_cut(text, full=full, short=is_aside), style="dim" if is_aside else ""))


def _print_indented(screen: Screen, text: Text) -> None:
    for line in screen.fold(text, screen.width - 2):
        screen.print(Text("  ").append_text(line))


def _cut(text: str, *, full: bool, short: bool) -> str:
    text = plain(text.strip("\n"))
    if full:
        return text
    if short:
        return _shorter(" ".join(text.split()), _TOOL_CHARACTERS)
    lines = text.split("\n")
    kept = "\n".join(lines[:_LINES])
    if len(lines) > _LINES and len(kept) <= _CHARACTERS:
        return f"{kept}\n… {many(len(lines) - _LINES, 'more line')}"
    return _shorter(text, _CHARACTERS)


def _shorter(text: str, length: int) -> str:
    if len(text) <= length + 40:  # the words that report a cut need 40 characters themselves
        return text
    return f"{text[:length].rstrip()} … {many(len(text) - length, 'more character')}"
