"""The output. One table keeps stored and foreign text from acting on a terminal; nothing is cut where none is."""

from __future__ import annotations

import codecs
import json
import os
import sys
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import IO, TYPE_CHECKING, Any, Final, TextIO, cast

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from stowfast.words import PICTURES, many, of_kind, plain, size, span, time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = [
    "Screen",
    "brief",
    "compact",
    "complain",
    "emit",
    "is_terminal",
    "many",
    "of_kind",
    "plain",
    "prepare",
    "progress",
    "raw_stdout",
    "size",
    "span",
    "time",
    "write",
]

_ESCAPES: Final = {code: f"\\u{code:04x}" for code in PICTURES if code >= 0x20}
"""The same characters as JSON writes them. JSON escapes those below 0x20 itself, and a newline ends each line."""
_SURROGATES: Final = {code: f"\\u{code:04x}" for code in range(0xD800, 0xE000)}

_DESCRIBED: Final = 36
_REPORT_SECONDS: Final = 5.0
"""The time between two lines of progress where no terminal shows a bar."""
_ENDLESS: Final = 10**9
_MARKS: Final = {True: ("ok", "green"), False: ("FAILED", "bold red"), None: ("note", "yellow")}
_MARK_COLUMNS: Final = 7
_TIME_COLUMNS: Final = 10


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody looks at a stream on a screen."""
    return stream.isatty()


def prepare() -> None:
    """Let stdout and stderr be there if they are closed, and show a `?` for each character outside their encoding."""
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115 - as long as the process
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


class Screen:
    """Prints lines for people, on stdout or stderr.

    On a terminal lines are folded at its width. Elsewhere, as in a file or a pipe, nothing is cut or folded.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        self.console = Console(stderr=stderr, highlight=False)
        self.is_terminal = is_terminal(sys.stderr if stderr else sys.stdout)
        self.width = self.console.width if self.is_terminal else _ENDLESS

    def print(self, text: Text | str = "", style: str = "", *, whole: bool = False) -> None:
        """Print a text. With `whole` the terminal folds it itself, so that it is copied as one line."""
        text = text.copy() if isinstance(text, Text) else Text(text, style=style)
        text.plain = plain(text.plain)
        lines = text.split("\n", allow_blank=True) if whole else self.fold(text, self.width)
        for line in lines:
            line.rstrip()
            self.console.print(line, soft_wrap=True)

    def fold(self, text: Text, width: int) -> list[Text]:
        """Return the lines of a text, none wider than this."""
        if self.is_terminal:
            return list(text.wrap(self.console, max(width, 1), overflow="fold"))
        return list(text.split("\n", allow_blank=True))

    def short(self, text: str, length: int) -> str:
        """Return a text on one line, cut off on a terminal where it is longer than this."""
        return brief(text, length if self.is_terminal else _ENDLESS)

    def ends(self, left: Text, right: str) -> None:
        """Print one text at the beginning of a line and one at its end."""
        gap = self.width - left.cell_len - cell_len(right) if self.is_terminal else 2
        self.print(left.append(" " * max(gap, 1)).append(right, style="dim"))

    def verdict(self, passed: bool | None, sentence: str, seconds: float | None = None, detail: str = "") -> None:
        """Print a sentence with its verdict and time, and the detail below it. None is a remark, not a verdict."""
        word, style = _MARKS[passed]
        first, *rest = self.fold(Text(plain(sentence)), self.width - _MARK_COLUMNS - _TIME_COLUMNS)
        first.rstrip()
        took = "" if seconds is None else f"{seconds * 1000:,.0f} ms"
        self.ends(Text.assemble((f"{word:{_MARK_COLUMNS}}", style), first), took)
        told = Text(plain(detail), style="red" if passed is False else "dim")
        for line in [*rest, *(self.fold(told, self.width - _MARK_COLUMNS) if detail else [])]:
            self.print(Text(" " * _MARK_COLUMNS).append_text(line))


def emit(value: Any) -> None:
    """Print a result for a program: JSON, and nothing else."""
    write(json.dumps(value, indent=2, ensure_ascii=False, default=_moment) + "\n")


def write(text: str) -> None:
    """Write JSON to stdout as UTF-8 in every locale: it is data. On a terminal more characters are escaped."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.translate(_ESCAPES if is_terminal(sys.stdout) else _SURROGATES).encode())
    sys.stdout.buffer.flush()


def raw_stdout() -> IO[bytes]:
    """Return stdout for bytes: as they are, or on a terminal as text without power over it."""
    return cast("IO[bytes]", _Shown()) if is_terminal(sys.stdout) else sys.stdout.buffer


class _Shown:
    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, data: bytes) -> None:
        sys.stdout.write(plain(self._decoder.decode(data)))

    def flush(self) -> None:
        sys.stdout.flush()


def complain(text: str) -> None:
    """Print one problem as a line on stderr; the command goes on."""
    print(" ".join(plain(text).split()), file=sys.stderr, flush=True)


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


@contextmanager
def progress(doing: str, total: int | None, *, of_bytes: bool = False) -> Iterator[Callable[..., None]]:
    """Show on stderr how far something is: on a terminal as a bar, else as a line every 5 seconds.

    Yields a function to call with the size of each step, and with a word about the next one.
    """
    screen = Screen(stderr=True)
    if not screen.is_terminal or screen.console.is_dumb_terminal:
        yield _reporter(doing, total, of_bytes=of_bytes)
        return
    from rich import progress as bars  # costs a tenth of the start of a command

    counted: list[bars.ProgressColumn] = [bars.MofNCompleteColumn()]
    if of_bytes:
        counted = [bars.DownloadColumn(binary_units=True), bars.TransferSpeedColumn()]
    columns = [bars.SpinnerColumn(), bars.TextColumn("{task.description}", markup=False), bars.BarColumn(20), *counted]
    with bars.Progress(*columns, console=screen.console, transient=True) as bar:
        task = bar.add_task(brief(doing, _DESCRIBED), total=total)
        yield lambda step, saying=doing: bar.update(task, advance=step, description=brief(saying, _DESCRIBED))


def _reporter(doing: str, total: int | None, *, of_bytes: bool) -> Callable[..., None]:
    done, told_at = 0, monotonic()

    def advance(step: int, _: str = "") -> None:
        nonlocal done, told_at
        done += step
        if monotonic() - told_at >= _REPORT_SECONDS:
            told_at = monotonic()
            amount = size if of_bytes else "{:,}".format
            complain(f"{doing}: {amount(done)}" + (f" of {amount(total)}" if total else ""))

    return advance


def _moment(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(f"a result holds a {type(value).__name__}")
