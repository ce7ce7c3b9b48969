"""Values in words for a reader, on a terminal or a page. Stored text is shown, and does not act."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime, timedelta

__all__ = ["PICTURES", "many", "of_kind", "plain", "size", "span", "time"]

# A message may hold an escape sequence that repaints the screen, or a mark that turns the line around. They are shown
# as pictures of themselves: stored text must be visible, and must not act.
PICTURES: Final = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), 0x61C, *range(0x200E, 0x2010), *range(0x2028, 0x202F)], 0xFFFD),
    **dict.fromkeys([*range(0x2066, 0x206A), *range(0xD800, 0xE000)], 0xFFFD),
}


_NOUNS: Final = {"messages": "conversation", "artifacts": "artifact", "tasks": "task", "documents": "document"}
"""One stream of each kind of ours."""


def plain(text: str) -> str:
    """Return a text that shows its control characters instead of obeying them."""
    return text.translate(PICTURES)


def many(count: int, noun: str) -> str:
    """Return `1 message`, `2,658 messages`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def of_kind(count: int, kind: str) -> str:
    """Return `1 conversation`, `2,658 tasks`: streams of a kind."""
    return many(count, _NOUNS[kind]) if kind in _NOUNS else f"{count:,} {kind}"


def size(count: int) -> str:
    """Return a number of bytes as people say it."""
    amount, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return many(count, "byte") if unit == "bytes" else f"{amount:,.1f} {unit}"


def time(moment: datetime | None) -> str:
    """Return a moment in the reader's own timezone, to the second."""
    return "" if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


def span(length: timedelta) -> str:
    """Return a length of time as people say it, in at most 9 characters: `12 ms`, `4.1 s`, `2.5 h`, `31.0 days`."""
    seconds = length.total_seconds()
    if abs(seconds) < 1:
        return f"{seconds * 1000:.0f} ms"
    for unit, amount, until in (("s", 1, 100), ("min", 60, 100 * 60), ("h", 3600, 48 * 3600)):
        if abs(seconds) < until:
            return f"{seconds / amount:.1f} {unit}"
    return f"{seconds / 86_400:,.1f} days"
