"""The progress of long work on stderr: how much is done, how fast, and how long it will take."""

from __future__ import annotations

from contextlib import contextmanager
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


@contextmanager
def paced(doing: str) -> Iterator[Callable[[Amount], None]]:
    """Yield a function that shows an amount: on a terminal in one line, else as a line every 5 seconds."""
    screen = Screen(stderr=True)
    began, told_at = monotonic(), monotonic()
    if not screen.is_terminal or screen.console.is_dumb_terminal:

        def tell(amount: Amount) -> None:
            nonlocal told_at
            if monotonic() - told_at >= _REPORT_SECONDS:
                told_at = monotonic()
                complain(_line(doing, amount, monotonic() - began))

        yield tell
        return
    with screen.console.status(doing) as status:

        def show(amount: Amount) -> None:
            nonlocal told_at
            if monotonic() - told_at >= _TERMINAL_SECONDS:
                told_at = monotonic()
                status.update(_line(doing, amount, monotonic() - began))

        yield show


@contextmanager
def waited(doing: str) -> Iterator[Callable[[int], None]]:
    """Show that work without a known end goes on: on a terminal by a sign, else by a line every 5 seconds.

    Yields a function that takes the number of streams so far, to be shown beside the time. Without it only the time is.
    """
    screen = Screen(stderr=True)
    began, shown_at, count = monotonic(), monotonic(), 0

    def note(streams: int) -> None:
        nonlocal count
        count = streams

    if screen.is_terminal and not screen.console.is_dumb_terminal:
        with screen.console.status(doing) as status:

            def show(streams: int) -> None:
                nonlocal shown_at
                if monotonic() - shown_at >= _TERMINAL_SECONDS:
                    shown_at = monotonic()
                    status.update(f"{doing}: {many(streams, 'stream')}")

            yield show
        return
    over = Event()

    def tell() -> None:
        while not over.wait(_REPORT_SECONDS):
            so_far = f"{many(count, 'stream')}, " if count else ""
            complain(f"{doing}: {so_far}{span(timedelta(seconds=monotonic() - began))} so far")

    thread = Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield note
    finally:
        over.set()
        thread.join()


def _line(doing: str, amount: Amount, seconds: float) -> str:
    of = f" of {amount.total:,}" if amount.total else ""
    seconds = max(seconds, 0.001)
    text = (
        f"{doing}: {amount.streams:,}{of}, {amount.entries:,} entries, "
        f"{size(amount.bytes)}, {amount.entries / seconds:,.0f} entries/s, {size(int(amount.bytes / seconds))}/s"
    )
    if amount.total and amount.streams:
        left = seconds / amount.streams * max(amount.total - amount.streams, 0)
        text += f", {span(timedelta(seconds=left))} left"
    return text
