"""The progress of long work on stderr: how much is done, how fast, and how long it will take."""

from __future__ import annotations

import json
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from threading import Event, Thread
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.cli.terminal import Screen, complain, many, size, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Amount", "paced", "waited"]

_TERMINAL_SECONDS: Final = 0.2
_REPORT_SECONDS: Final = 5.0
"""The time between two lines where no terminal shows one that is rewritten."""


class Amount(NamedTuple):
    """What is done so far."""

    streams: int
    total: int | None
    """Streams in all; None: not known."""
    entries: int
    bytes: int
    total_bytes: int | None = None
    """Bytes in all, where a file is copied whole."""

    def left(self, seconds: float) -> float | None:
        """Return the seconds that the rest will take, after so many; None: not known."""
        done, total = (self.bytes, self.total_bytes) if self.total_bytes else (self.streams, self.total)
        return seconds / done * max(total - done, 0) if done and total else None


@contextmanager
def paced(doing: str, *, as_json: bool = False) -> Iterator[Callable[[Amount], None]]:
    """Show how far work is: on a terminal in one line, else as a line every 5 seconds, also while nothing is told.

    Yields a function that takes the amount so far.

    Args:
        doing: the work.
        as_json: each line is a JSON object.
    """
    began, latest = monotonic(), None

    def tell(amount: Amount) -> None:
        nonlocal latest
        latest = amount

    def line() -> str:
        seconds = max(monotonic() - began, 0.001)
        return _json_line(doing, latest, seconds) if as_json else _line(doing, latest, seconds)

    with _shown(doing, line, in_place=not as_json):
        yield tell


@contextmanager
def waited(doing: str) -> Iterator[Callable[[int], None]]:
    """Show that work without a known end goes on, as `paced` does.

    Yields a function that takes the number of streams so far, to be shown beside the time. Without it only the time is.
    """
    began, count = monotonic(), 0

    def note(streams: int) -> None:
        nonlocal count
        count = streams

    def line() -> str:
        so_far = f"{many(count, 'stream')}, " if count else ""
        return f"{doing}: {so_far}{span(timedelta(seconds=monotonic() - began))} so far"

    with _shown(doing, line, in_place=True):
        yield note


@contextmanager
def _shown(doing: str, line: Callable[[], str], *, in_place: bool) -> Iterator[None]:
    """Show a line again and again, until the work is over."""
    screen, over = Screen(stderr=True), Event()
    in_place = in_place and screen.is_terminal and not screen.console.is_dumb_terminal
    with ExitStack() as stack:
        show = stack.enter_context(screen.console.status(doing)).update if in_place else complain

        def repeat() -> None:
            # A thread of its own: a step of the work may take long, such as one large artifact or a whole file.
            while not over.wait(_TERMINAL_SECONDS if in_place else _REPORT_SECONDS):
                show(line())

        thread = Thread(target=repeat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def _line(doing: str, amount: Amount | None, seconds: float) -> str:
    if amount is None:
        return f"{doing}: {span(timedelta(seconds=seconds))} so far"
    rate = f"{size(int(amount.bytes / seconds))}/s"
    if amount.total_bytes:
        text = f"{doing}: {size(amount.bytes)} of {size(amount.total_bytes)}, {rate}"
    else:
        of = f" of {amount.total:,}" if amount.total else ""
        text = (
            f"{doing}: {amount.streams:,}{of}, {amount.entries:,} entries, "
            f"{size(amount.bytes)}, {amount.entries / seconds:,.0f} entries/s, {rate}"
        )
    left = amount.left(seconds)
    return text if left is None else f"{text}, {span(timedelta(seconds=left))} left"


def _json_line(doing: str, amount: Amount | None, seconds: float) -> str:
    told = {"doing": doing, "seconds": round(seconds, 1)}
    if amount is not None:
        left = amount.left(seconds)
        told |= {**amount._asdict(), "seconds_left": None if left is None else round(left, 1)}
    return json.dumps(told)
