"""The lists of `stowfast ls`: conversations, tasks, artifacts."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from rich.cells import cell_len
from rich.text import Text

from stowfast.cli.show.tasks import held_until
from stowfast.cli.terminal import compact, complain, many, plain, size, time
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence

    from stowfast import ArtifactInfo, ContextInfo, Page, TaskInfo
    from stowfast.cli.terminal import Screen

__all__ = [
    "artifacts_rows",
    "contexts_rows",
    "count",
    "others",
    "packed",
    "print_damaged",
    "print_list",
    "tasks_rows",
    "unpacked",
]

Row: TypeAlias = tuple[str, ...]

_COUNTED: Final = 1_000
_GAP: Final = 2
_LEAST: Final = 14
"""The least width of a column of free text."""
_WIDE: Final = 100
_WHOLE: Final = 3
"""So many columns are never cut off."""
_LONG_ID: Final = 60
"""An id of more columns than this stands on a screen above its row, folded by the terminal and copied as one line."""


async def count(list_page: Callable[..., Awaitable[Page[Any]]]) -> tuple[int, bool]:
    """Count tasks or artifacts, up to a thousand, and say whether that was all."""
    page = await list_page(limit=_COUNTED)
    return len(page), page.next is None


def contexts_rows(infos: Sequence[ContextInfo]) -> list[Row]:
    """Return a row for each conversation, below the names of its columns."""
    rows: list[Row] = [("conversation", "messages", "updated", "metadata")]
    for info in infos:
        metadata = compact(info.metadata) if info.metadata else ""
        rows.append((info.context_id, f"{info.count:,}", time(info.updated_at), metadata))
    return rows


def tasks_rows(infos: Iterable[TaskInfo], width: int) -> list[Row]:
    """Return a row for each task. On a narrow screen the conversation is left out, not the owner."""
    rows: list[Row] = [("task", "version", "updated", "status", "held until", "conversation")]
    for info in infos:
        when, version, held = time(info.updated_at), f"{info.version:,}", held_until(info.lease)
        rows.append((info.task_id, version, when, info.status, held, info.context_id or ""))
    return rows if width >= _WIDE or not any(row[4] for row in rows[1:]) else [row[:5] for row in rows]


def artifacts_rows(infos: Iterable[ArtifactInfo]) -> list[Row]:
    """Return a row for each artifact."""
    rows: list[Row] = [("artifact", "size", "updated", "version", "conversation", "type")]
    for info in infos:
        kind = (info.mime_type or "").partition(";")[0]
        # One that is being written, or never was finished, has no version yet.
        when, version = time(info.created_at), f"{info.version:,}" if info.version else info.state
        rows.append((info.artifact_id, size(info.size), when, version, info.context_id or "", kind))
    return rows


def packed(cursor: str | None) -> str | None:
    """Return a cursor as one word. A shell takes it without quotes."""
    return None if cursor is None else base64.urlsafe_b64encode(cursor.encode()).decode().rstrip("=")


def unpacked(word: str | None) -> str | None:
    """Return the cursor of a word from `packed`.

    Raises:
        InvalidError: it is none.
    """
    try:
        return None if word is None else base64.b64decode(word + "=" * (-len(word) % 4), b"-_", validate=True).decode()
    except ValueError:
        raise InvalidError(f"--after {word!r} is no `next` of the page before") from None


def print_list(screen: Screen, rows: list[Row], noun: str, after: str | None) -> None:
    """Print a list, or that it is empty, and the option for the next page."""
    if len(rows) > 1:
        _print_rows(screen, rows)
    else:
        screen.print(f"no {noun}", "dim")
    if after is not None:
        screen.print(f"more: the same with --after {packed(after)}", "dim", whole=True)


def print_damaged(noun: str, page: Page[Any]) -> None:
    """Name the damaged ones that a page leaves out, a line each on stderr."""
    for name in page.damaged:
        complain(f"{noun} {name!r} is damaged and left out")


def others(counted: dict[str, tuple[int, bool]]) -> str:
    """Return the other contents in words: `1 task, 2 artifacts`."""
    return ", ".join(
        many(number, noun) if whole else f"over {many(number, noun)}"
        for noun, (number, whole) in counted.items()
        if number
    )


def _print_rows(screen: Screen, rows: list[Row]) -> None:
    # Laid out here: a library narrows the columns one by one until nothing can be read. The id is copied to the next
    # command and never cut off, numbers and times are whole, the rest gets the room that is left.
    columns = [index for index in range(len(rows[0])) if index < _WHOLE or any(row[index] for row in rows[1:])]
    texts = [[" ".join(plain(row[index]).split(" ")).replace("\n", "␊") for index in columns] for row in rows]
    widths = [max(cell_len(row[index]) for row in texts) for index in range(len(columns))]
    widths[0] = max(length for row in texts if (length := cell_len(row[0])) <= _LONG_ID)
    room = screen.width - _GAP * (len(columns) - 1) - sum(widths[1:_WHOLE])
    widths[0] = min(widths[0], max(room - sum(min(width, _LEAST) for width in widths[_WHOLE:]), _LEAST))
    room -= widths[0]
    for index in range(_WHOLE, len(widths)):
        widths[index] = max(min(widths[index], room if index == len(widths) - 1 else room // 2), 1)
        room -= widths[index]
    for number, (first, *others) in enumerate(texts):
        head, *rest = screen.fold(Text(first, "bold" if number else "dim"), widths[0])
        if screen.is_terminal and cell_len(first) > _LONG_ID:
            screen.print(Text(first, "bold"), whole=True)
            head, rest = Text(), []
        line = head.append(" " * (widths[0] - head.cell_len))
        for index, (text, width) in enumerate(zip(others, widths[1:], strict=True), 1):
            told = screen.short(text, width) if index >= _WHOLE else text
            pad = " " * (width - cell_len(told)) if index < len(others) else ""
            style = "dim" if index >= _WHOLE or not number else ""
            line.append(" " * _GAP + (pad + told if index == 1 else told + pad), style)
        for one in [line, *rest]:
            screen.print(one)
