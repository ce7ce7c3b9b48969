"""Wakes waiters: after the commits of this process at once, after those of others by one query for all streams."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from stowfast.answers import Answer, Waiters, wake
from stowfast.backends.postgres.hints import mark_of
from stowfast.backends.postgres.sockets import Bell, until_readable
from stowfast.errors import StowfastError
from stowfast.semantics import is_news

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stowfast.abc import Head
    from stowfast.backends.postgres.hints import HintListener

__all__ = ["FIRST_POLL_SECONDS", "MAX_POLL_SECONDS", "LocalNews", "Poller"]

FIRST_POLL_SECONDS: Final = 0.05
MAX_POLL_SECONDS: Final = 1.0
_TOGETHER_SECONDS: Final = 0.025
"""A stream with its turn in this time is part of the query of now."""
_LINGER_SECONDS: Final = 10.0
"""The thread stays that long without a waiter: most come back for the next change."""


class LocalNews:
    """Waiters by stream. Commits of other processes are found by polling."""

    def __init__(self) -> None:
        self._waiters: Waiters[Answer[bool]] = Waiters()

    def subscribe(self, stream: str) -> Answer[bool]:
        """Return an answer that comes with the next commit of this process to a stream."""
        news: Answer[bool] = Answer()
        self._waiters.add(stream, news)
        return news

    def announce(self, streams: set[str]) -> None:
        """Wake the waiters of streams."""
        if self._waiters:
            wake(self._waiters.take(streams))

    def forget(self, stream: str, news: Answer[bool]) -> None:
        """Wake a waiter no more."""
        self._waiters.remove(stream, news)


@dataclass
class _Awaited:
    stream: str
    incarnation: str | None
    next: int
    due: float
    mark: str
    """Names the stream in a hint."""
    pause: float = FIRST_POLL_SECONDS


class Poller:
    """Asks for all awaited streams in one query, in a thread of its own while somebody waits.

    A stream is asked for after 50 ms, then after 1.5 times as long each time, up to a second; and at once after a hint
    of another process. Nothing relies on hints: a lost one costs the time to the next query.
    """

    def __init__(self, heads: Callable[[Sequence[str]], list[Head | None]], listener: HintListener) -> None:
        self._heads = heads
        self._listener = listener
        self._lock = threading.RLock()
        self._waiting: dict[Answer[bool], _Awaited] = {}
        self._bell: Bell | None = None
        """Of the thread. Rung for each new waiter, and at the end."""
        self._thread: threading.Thread | None = None
        self._closed = False

    def watch(self, news: Answer[bool], stream: str, incarnation: str | None, next: int) -> bool:
        """Give an answer once a stream is not as given, or cannot be read. False: no thread can be made."""
        with self._lock:
            if self._closed:
                wake([news])
                return True
            due = time.monotonic() + FIRST_POLL_SECONDS
            self._waiting[news] = _Awaited(stream, incarnation, next, due, mark_of(stream))
            if self._bell is None:
                bell = Bell()
                thread = threading.Thread(target=self._run, args=(bell,), name="stowfast-wait", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    bell.close()
                    del self._waiting[news]
                    return False
                self._bell, self._thread = bell, thread
            self._bell.ring()
        return True

    def forget(self, news: Answer[bool]) -> None:
        """Watch for a waiter no more."""
        with self._lock:
            self._waiting.pop(news, None)

    def close(self) -> None:
        """Wake all waiters, now and later, and end the thread."""
        with self._lock:
            self._closed = True
            woken, thread = list(self._waiting), self._thread
            self._waiting.clear()
            if self._bell is not None:
                self._bell.ring()
        wake(woken)
        if thread is not None:
            thread.join()

    def _run(self, bell: Bell) -> None:
        left_at = time.monotonic()
        while True:
            with self._lock:
                now = time.monotonic()
                left_at = now if self._waiting else left_at
                if self._closed or now > left_at + _LINGER_SECONDS:
                    self._listener.close()
                    bell.close()
                    self._bell = self._thread = None
                    return
                due = min((one.due for one in self._waiting.values()), default=left_at + _LINGER_SECONDS)
            if due > now:
                ready = until_readable([bell, *self._listener.sockets()], due - now)
                bell.silence()
                if ready and ready != [bell]:
                    self._hurry(self._listener.hear())
                continue
            self._poll()
            if self._listener.connect():
                self._hurry(None)  # hints may have been missed

    def _hurry(self, marks: set[str] | None) -> None:
        """Ask for the streams of hints next; None: for all."""
        now = time.monotonic()
        with self._lock:
            for awaited in self._waiting.values():
                if marks is None or awaited.mark in marks:
                    awaited.due = now

    def _poll(self) -> None:
        soon = time.monotonic() + _TOGETHER_SECONDS
        with self._lock:
            asked = {news: awaited for news, awaited in self._waiting.items() if awaited.due <= soon}
        streams = sorted({awaited.stream for awaited in asked.values()})
        found: dict[str, Head | None] = {}
        with suppress(StowfastError):  # each waiter asks for itself, and gets the error
            found = dict(zip(streams, self._heads(streams), strict=True))
        woken = []
        with self._lock:
            for news, awaited in asked.items():
                stream = awaited.stream
                if stream not in found or is_news(found[stream], awaited.incarnation, awaited.next):
                    woken.append(news)
                    self._waiting.pop(news, None)
                awaited.pause = min(1.5 * awaited.pause, MAX_POLL_SECONDS)
                awaited.due = time.monotonic() + awaited.pause
        wake(woken)
