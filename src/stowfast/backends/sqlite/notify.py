"""Wakes waiters: after the commits of this process at once, after those of others by one look at all their streams."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.answers import Answer, Waiters, wake
from stowfast.backends.sqlite.read import heads
from stowfast.blocking import alone
from stowfast.errors import StowfastError, UnavailableError
from stowfast.names import clock
from stowfast.semantics import is_news

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection

    from stowfast.backends.sqlite.file import SQLiteFile

__all__ = ["News"]

_POLL_SECONDS: Final = 0.01
_POLLS_IDLE: Final = 100
_REST: Final = 4
"""After a look the thread rests so many times as long as the look took: many waiters take a fifth of a core at most."""


class _Watcher(NamedTuple):
    news: Answer[bool]
    incarnation: str | None
    next: int


class News:
    """Polls SQLite's `data_version` in a thread that runs while there are waiters.

    https://www.sqlite.org/pragma.html#pragma_data_version
    """

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file
        self._lock = threading.RLock()
        self._end: SimpleQueue[None] = SimpleQueue()
        self._waiters: Waiters[_Watcher] = Waiters()
        self._connection: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None
        self._seen = 0

    def subscribe(self, stream: str, incarnation: str | None, next: int) -> Answer[bool]:
        """Return an answer that comes once a stream is not as given, or may not be.

        Read the stream after this call: no commit is missed.

        Raises:
            UnavailableError: no thread can be made.
        """
        news: Answer[bool] = Answer()
        with alone(self._lock):
            if self._thread is None:
                self._seen = self._version()
                self._start()
            self._waiters.add(stream, _Watcher(news, incarnation, next))
        return news

    def forget(self, stream: str, news: Answer[bool]) -> None:
        """Wake a waiter no more."""
        for waiter in self._waiters.of(stream):
            if waiter.news is news:
                self._waiters.remove(stream, waiter)

    def announce(self, streams: Collection[str]) -> None:
        """Wake the waiters for streams, after a commit of this process."""
        if self._waiters:
            self._wake(streams)

    def close(self) -> None:
        """Wake the waiters and end the thread."""
        with alone(self._lock):
            thread, self._thread = self._thread, None
        self._wake(self._waiters.all())
        self._end.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._disconnect()

    def _wake(self, streams: Collection[str]) -> None:
        wake(waiter.news for waiter in self._waiters.take(streams))

    def _disconnect(self) -> None:
        # Also where the file is lost: its last connection folds the log.
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _start(self) -> None:
        thread = threading.Thread(target=self._poll, name="stowfast-watch", daemon=True)
        self._thread = thread  # before it runs, for it ends where it is another one's turn
        try:
            thread.start()
        except RuntimeError as error:
            self._thread = None
            raise UnavailableError(f"no thread can be made: {error}") from error

    def _version(self) -> int:
        with self._file.errors():
            self._file.check_claim()
            self._connection = self._connection or self._file.connect()
            version: int = self._connection.execute("PRAGMA data_version").fetchone()[0]
            return version

    def _poll(self) -> None:
        idle, pause = 0, _POLL_SECONDS
        while True:
            with suppress(Empty):
                self._end.get(timeout=pause)
            with self._lock:
                idle = 0 if self._waiters else idle + 1
                if self._thread is not threading.current_thread() or idle > _POLLS_IDLE:
                    self._thread = None if self._thread is threading.current_thread() else self._thread
                    return
            began = time.perf_counter()
            self._wake(self._changed())
            pause = max(_POLL_SECONDS, _REST * (time.perf_counter() - began))

    def _changed(self) -> list[str]:
        """Return the awaited streams with news, or all of them: whoever waits looks at the file, and gets the error."""
        try:
            version = self._version()
            if version == self._seen:
                return []
            self._seen = version
            known = self._waiters.all()  # after the version: whoever comes later reads what it tells
            assert self._connection is not None
            with self._file.errors():
                found = heads(self._connection, clock(), streams=list(known))
        except StowfastError:
            self._seen -= 1
            self._disconnect()
            return list(self._waiters.all())
        pairs = zip(known.items(), found, strict=True)
        return [
            stream
            for (stream, waiters), head in pairs
            if any(is_news(head, one.incarnation, one.next) for one in waiters)
        ]
