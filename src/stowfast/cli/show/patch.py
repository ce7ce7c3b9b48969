"""A JSON Patch for a person to read: the old and the new value of each operation.

A patch has new values only. So its operations are applied one by one to a copy of the old data, which gives the old
values.
Source: RFC 6902, and RFC 6901 for paths.
"""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from rich.cells import cell_len
from rich.text import Text

from stowfast.cli.terminal import brief, compact, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

__all__ = ["Step", "print_patch", "steps_of"]

_STYLES: Final = {"add": "green", "remove": "red", "replace": "yellow"}
_INDENT: Final = " " * 8
_LEAST: Final = 30
"""The least room for a value on the line of its path; with less room it has a line of its own."""
_CONTEXT: Final = 16
"""Characters shown before the first difference."""


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
    root = {"": deepcopy(value)}
    for one in patch:
        kind, path = one["op"], one["path"]
        if kind == "add":
            _put(root, path, deepcopy(one["value"]))
            yield Step(kind, path, None, one["value"])
        elif kind == "replace":
            parent, key = _find(root, path)
            old, parent[key] = parent[key], deepcopy(one["value"])
            yield Step(kind, path, old, one["value"])
        elif kind == "remove":
            yield Step(kind, path, _take(root, path), None)
        else:
            found, key = _find(root, one["from"])
            _put(root, path, _take(root, one["from"]) if kind == "move" else deepcopy(found[key]))
            yield Step(kind, path, None, one["from"])


def print_patch(screen: Console, value: Any, patch: list[dict[str, Any]], *, full: bool) -> None:
    """Print a patch, an operation a line where it fits; with `full` whole values, however long."""
    for step in steps_of(value, patch):
        line = Text(f"{step.kind:8}", style=_STYLES.get(step.kind, "cyan"))
        if step.kind in {"move", "copy"}:
            line.append(plain(f"{step.new} → {step.path}"), style="bold")
            screen.print(line, overflow="fold")
            continue
        line.append(plain(step.path or "the whole"), style="bold")
        _print_values(screen, line, step, full=full)


def _print_values(screen: Console, line: Text, step: Step, *, full: bool) -> None:
    old, new = plain(compact(step.old)), plain(compact(step.new))
    together = f"{old} → {new}" if step.kind == "replace" else new if step.kind == "add" else old
    room = screen.width - line.cell_len - 2
    if cell_len(together) <= room or (step.kind != "replace" and room >= _LEAST and not full):
        screen.print(line.append(f"  {brief(together, room)}"), overflow="fold")
        return
    screen.print(line, overflow="fold")
    begin = max(_same(old, new) - _CONTEXT, 0) if step.kind == "replace" and not full else 0
    if step.kind != "add":
        _print_value(screen, "-", old, begin, full=full)
    if step.kind != "remove":
        _print_value(screen, "+", new, begin, full=full)


def _print_value(screen: Console, sign: str, text: str, begin: int, *, full: bool) -> None:
    room = max(screen.width - len(_INDENT) - 2, 1)
    shown = Text(text if full else brief(("…" if begin else "") + text[begin:], room))
    for number, part in enumerate(shown.wrap(screen, room, overflow="fold")):
        part.rstrip()
        mark = f"{sign} " if number == 0 else "  "
        screen.print(Text.assemble(_INDENT, (mark, _STYLES["remove" if sign == "-" else "add"]), part))


def _same(old: str, new: str) -> int:
    """Return the length of the common beginning."""
    count = min(len(old), len(new))
    return next((index for index in range(count) if old[index] != new[index]), count)


def _find(root: dict[str, Any], path: str) -> tuple[Any, Any]:
    """Return the object or list that holds the target of a path, and its key or index."""
    names = [name.replace("~1", "/").replace("~0", "~") for name in path.split("/")]
    parent: Any = root
    for name in names[:-1]:
        parent = parent[int(name)] if isinstance(parent, list) else parent[name]
    if not isinstance(parent, list):
        return parent, names[-1]
    return parent, len(parent) if names[-1] == "-" else int(names[-1])


def _put(root: dict[str, Any], path: str, value: Any) -> None:
    parent, key = _find(root, path)
    if isinstance(parent, list):
        parent.insert(key, value)
    else:
        parent[key] = value


def _take(root: dict[str, Any], path: str) -> Any:
    parent, key = _find(root, path)
    return parent.pop(key)
