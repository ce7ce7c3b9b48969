"""The output: one console for results, one for progress, and text that cannot move the cursor."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TransferSpeedColumn,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "brief",
    "compact",
    "complain",
    "console",
    "emit",
    "many",
    "plain",
    "progress",
    "size",
    "span",
    "time",
    "write",
]

# A message may hold an escape sequence that repaints the screen, or a mark that turns the line around. They are shown
# as pictures of themselves: what is stored must be visible, and must not act.
_PICTURES: Final = {
    **{code: 0x2400 + code for code in range(0x20) if chr(code) not in "\n\t"},
    0x7F: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), 0x61C, *range(0x200E, 0x2010), *range(0x202A, 0x202F)], 0xFFFD),
    **dict.fromkeys([*range(0x2066, 0x206A), *range(0xD800, 0xE000)], 0xFFFD),
}

_DESCRIBED: Final = 36


def console(*, stderr: bool = False) -> Console:
    """Return a console for results, or on stderr for progress and complaints."""
    return Console(stderr=stderr, highlight=False, soft_wrap=False)


def emit(value: Any) -> None:
    """Print a result for a program: JSON, and nothing else."""
    write(json.dumps(value, indent=2, ensure_ascii=False, default=_moment) + "\n")


def write(text: str) -> None:
    """Write to stdout as UTF-8 in every locale: the lines are data."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode())
    sys.stdout.buffer.flush()


def complain(text: str) -> None:
    """Print one problem as a line on stderr; the command goes on."""
    print(plain(text), file=sys.stderr, flush=True)


def plain(text: str) -> str:
    """Return a text that shows its control characters instead of obeying them."""
    return text.translate(_PICTURES)


def brief(text: str, length: int) -> str:
    """Return a text on one line, cut off where it takes more columns than this."""
    line = " ".join(plain(text).split())
    begin = line[: 4 * length]
    if len(begin) == len(line) and cell_len(line) <= length:
        return line
    return set_cell_size(begin, max(length - 1, 0)).rstrip() + "…"


def compact(value: Any) -> str:
    """Return the JSON of a value on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(", ", ": "))


def many(count: int, noun: str) -> str:
    """Return `1 message`, `2,658 messages`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size(count: int) -> str:
    """Return a number of bytes as people say it."""
    amount, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{count:,} bytes" if unit == "bytes" else f"{amount:,.1f} {unit}"


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


@contextmanager
def progress(what: str, total: int | None, *, of_bytes: bool = False) -> Iterator[Callable[..., None]]:
    """Show how far something is, on stderr and only to somebody who watches.

    Yields what to call with each step, and with a word about the next one.
    """
    screen = console(stderr=True)
    counted: list[ProgressColumn] = [MofNCompleteColumn()]
    if of_bytes:
        counted = [DownloadColumn(binary_units=True), TransferSpeedColumn()]
    columns = [SpinnerColumn(), TextColumn("{task.description}"), BarColumn(20), *counted]
    with Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda step, saying=what: bar.update(task, advance=step, description=brief(saying, _DESCRIBED))


def _moment(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a result holds a {type(value).__name__}")
