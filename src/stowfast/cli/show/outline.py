"""A JSON value for a person to read: indented, with long texts and lists cut short."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from stowfast.cli.terminal import brief, compact, many, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

__all__ = ["print_outline"]

_INDENT: Final = "  "
_FIRST: Final = 4
_LAST: Final = 6
"""A long list is shown by its beginning and its end, where it grows."""
_KEYS: Final = 30
_LINES: Final = 60
_MEMBERS: Final = 6
_SHORTEST: Final = 24
"""The least characters of a text that is cut short, with the words that report the cut."""


def print_outline(screen: Console, value: Any, *, full: bool) -> None:
    """Print a JSON value; with `full` all of it, else so that every line fits and there are not too many."""
    if full:
        screen.print(Text(plain(json.dumps(value, indent=2, ensure_ascii=False)), overflow="fold"))
        return
    lines = list(_lines(value, "", "", "", screen.width))
    for line in lines[:_LINES]:
        screen.print(Text(line, overflow="fold"))
    if len(lines) > _LINES:
        screen.print(Text(f"… {many(len(lines) - _LINES, 'more line')}", style="dim"))


def _lines(value: Any, indent: str, name: str, comma: str, width: int) -> Iterator[str]:
    begin = indent + name
    line = _on_one_line(value, width - len(begin) - len(comma))
    if line is not None:
        yield f"{begin}{line}{comma}"
        return
    opening, closing = "{}" if isinstance(value, dict) else "[]"
    yield begin + opening
    inner = indent + _INDENT
    if isinstance(value, dict):
        for number, (key, one) in enumerate(value.items(), 1):
            if number > _KEYS:
                yield f"{inner}… {many(len(value) - _KEYS, 'more key')}"
                break
            shown = brief(compact(key), max(width // 2, 1))
            yield from _lines(one, inner, f"{shown}: ", "," if number < len(value) else "", width)
    else:
        left_out = range(_FIRST, len(value) - _LAST) if len(value) > _FIRST + _LAST + 1 else range(0)
        for index, one in enumerate(value):
            if index in left_out:
                if index == _FIRST:
                    yield f"{inner}… {many(len(left_out), 'more item')}"
                continue
            yield from _lines(one, inner, "", "," if index + 1 < len(value) else "", width)
    yield indent + closing + comma


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
