"""The changes between two JSON values for a person to read.

In a few words: `step 3 → 4`, `messages +1`, `plan[2].done false → true`. Or as a JSON Patch with the old
values: a patch lacks them, so its operations are applied one by one to a copy of the old data.
Source: RFC 6902, and RFC 6901 for paths.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from stowfast.cli.terminal import brief, compact, many, plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from stowfast.cli.terminal import Screen

__all__ = ["Step", "changes", "in_words", "print_patch", "same", "steps_of"]

_LONG: Final = 24
"""Characters of a value that is shown itself; of a longer one the length is shown."""
_STYLES: Final = {"add": "green", "remove": "red", "replace": "yellow"}
_INDENT: Final = " " * 8
_LEAST: Final = 30
"""The least room for a value on the line of its path; with less room it has a line of its own."""
_CONTEXT: Final = 16
"""Characters shown before the first difference."""


def changes(before: Any, after: Any) -> list[str]:
    """Return each change in a few words, those nearest to the top first; an empty list if nothing changed."""
    found = sorted(_walk(before, after, ()), key=lambda change: len(change[0]))  # stable: else as the keys come
    return [f"{_named(path)} {told}" for path, told in found]


def same(left: Any, right: Any) -> bool:
    """Whether two values are the same JSON: to Python 1, 1.0 and True are equal."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


def in_words(value: Any) -> str:
    """Return a short value itself, and the kind and size of a longer one."""
    if isinstance(value, dict):
        return many(len(value), "key") if value else "{}"
    if isinstance(value, list):
        return many(len(value), "item") if value else "[]"
    if isinstance(value, str):
        return many(len(value), "character") if len(value) > _LONG else brief(value, _LONG) or '""'
    return brief(compact(value), _LONG)


def _walk(before: Any, after: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in after.items():
            below = (*path, f".{key}" if key else '.""')
            if key in before:
                yield from _walk(before[key], value, below)
            else:
                yield below, f"added: {in_words(value)}"
        yield from (((*path, f".{key}" if key else '.""'), "removed") for key in before if key not in after)
    elif isinstance(before, list) and isinstance(after, list):
        yield from _items(before, after, path)
    elif not same(before, after):
        yield path, _replaced(before, after)


def _items(before: list[Any], after: list[Any], path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], str]]:
    shared = min(len(before), len(after))
    begin = _alike(before, after)
    other = [index for index in range(begin, shared) if not same(before[index], after[index])]
    end = min(_alike(before[::-1], after[::-1]), shared - begin)
    removed, added = len(before) - begin - end, len(after) - begin - end
    slid = _slid(before, after) if len(other) > 1 else 0
    if slid:
        removed, added = slid, len(after) - len(before) + slid
    if slid or (len(before) != len(after) and len(other) >= min(removed, added)):
        yield path, " ".join(f"{sign}{count:,}" for sign, count in (("+", added), ("-", removed)) if count)
        return
    if len(before) != len(after):  # the others stand where they stood
        yield path, f"{len(after) - len(before):+,}"
    if len(other) == 1:
        yield from _walk(before[other[0]], after[other[0]], (*path, f"[{other[0]}]"))
    elif other:
        yield path, f"{len(other):,} of {many(len(before), 'item')} changed"


def _slid(before: list[Any], after: list[Any]) -> int:
    """Return how many items left at the beginning while the rest stayed and others came at the end; else 0.

    So a window over the newest messages moves.
    """
    for count in range(1, len(before)):
        rest = len(before) - count
        if rest <= len(after) and same(before[count], after[0]) and same(before[count:], after[:rest]):
            return count
    return 0


def _alike(left: Sequence[Any], right: Sequence[Any]) -> int:
    """Return how many items are the same from the beginning on; of texts, how many characters."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((index for index, (one, other) in pairs if not same(one, other)), min(len(left), len(right)))


def _replaced(before: Any, after: Any) -> str:
    if isinstance(before, str) and isinstance(after, str) and max(len(before), len(after)) > _LONG:
        if after.startswith(before):
            return f"+{many(len(after) - len(before), 'character')}"
        if before.startswith(after):
            return f"-{many(len(before) - len(after), 'character')}"
        return f"rewritten, {in_words(after)}"
    return f"{in_words(before)} → {in_words(after)}"


def _named(path: tuple[str, ...]) -> str:
    return " ".join(plain("".join(path).removeprefix(".")).split()) if path else "data"


class Step(NamedTuple):
    """One operation."""

    kind: str
    path: str
    old: Any
    """The value before, of a `remove` and a `replace`."""
    new: Any
    """The value after, of an `add` and a `replace`. The source path, of a `move` and a `copy`."""


def steps_of(value: Any, patch: list[dict[str, Any]]) -> Iterator[Step]:
    """Yield each operation of a patch on a value, with the old and the new value."""
    from jsonpatch import JsonPatch, JsonPointer

    value = deepcopy(value)
    for one in patch:
        kind, path = one["op"], one["path"]
        old = JsonPointer(path).resolve(value) if kind in {"replace", "remove"} else None
        yield Step(kind, path, old, one.get("value", one.get("from")))
        value = JsonPatch([deepcopy(one)]).apply(value, in_place=True)


def print_patch(screen: Screen, value: Any, patch: list[dict[str, Any]], *, full: bool) -> None:
    """Print a patch, an operation a line where it fits; with `full` whole values, however long."""
    for step in steps_of(value, patch):
        line = Text(f"{step.kind:8}", style=_STYLES.get(step.kind, "cyan"))
        if step.kind in {"move", "copy"}:
            screen.print(line.append(f"{step.new} → {step.path}", style="bold"))
            continue
        line.append(step.path or "the whole", style="bold")
        old, new = plain(compact(step.old)), plain(compact(step.new))
        together = f"{old} → {new}" if step.kind == "replace" else new if step.kind == "add" else old
        room = screen.width - line.cell_len - 2
        if cell_len(together) <= room or (step.kind != "replace" and room >= _LEAST and not full):
            screen.print(line.append(f"  {brief(together, room)}"))
            continue
        screen.print(line)
        begin = max(_alike(old, new) - _CONTEXT, 0) if step.kind == "replace" and not full else 0
        for sign, kind, text in (("-", "remove", old), ("+", "add", new)):
            if step.kind in {kind, "replace"}:
                _print_value(screen, Text(f"{sign} ", _STYLES[kind]), text, begin, full=full)


def _print_value(screen: Screen, sign: Text, text: str, begin: int, *, full: bool) -> None:
    room = screen.width - len(_INDENT) - 2
    shown = text if full else brief(("…" if begin else "") + text[begin:], max(room, 1))
    for number, part in enumerate(screen.fold(Text(shown), room)):
        screen.print(Text.assemble(_INDENT, "  " if number else sign, part))
