"""Hints from process to process that streams were changed, by `NOTIFY`, so that waiters need not wait for a poll.

A hint is sent after the commit, in a statement and on a connection of its own. Inside the commit it would hold one lock
of the whole server while the commit waits for the disk.
Source: https://www.postgresql.org/docs/current/sql-notify.html
"""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from stowfast.blocking import check_pools
from stowfast.errors import InvalidError, StowfastError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import psycopg

    from stowfast.backends.postgres.database import Database

__all__ = ["HintListener", "HintSender", "channel_of", "mark_of", "send_hint"]

_APART_SECONDS: Final = 0.02
"""The least time between two hints of a process: those of the commits between go together."""
_MAX_MARKS: Final = 400
"""Streams in one hint: its text is shorter than 8,000 bytes. A hint of more says that any stream may have changed."""
_LINGER_SECONDS: Final = 10.0
_CLOSE_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 1.0


def channel_of(schema: str) -> str:
    """Return the name of the channel of a schema, within the 63 bytes of a name."""
    return f"stowfast_{hashlib.sha256(schema.encode()).hexdigest()[:16]}"


def mark_of(stream: str) -> str:
    """Return the short name of a stream in a hint. Two streams with one mark cost a query too many."""
    return hashlib.sha256(stream.encode(errors="replace")).hexdigest()[:16]


def send_hint(database: Database, channel: str, marks: str) -> None:
    """Send a hint on a connection of the pool that is free now.

    Raises:
        StowfastError: none is free, or the server gives no answer.
    """
    with database.lend(patience=0) as connection:
        connection.execute(database.statements["hint"], [channel, marks])


class HintListener:
    """Hears the hints of other processes, on a connection of its own. One thread uses it.

    A connection that ends, such as with a restart of the server, is made again, a second later at the soonest.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]], channel: str, *, listens: bool) -> None:
        self._connect = connect
        self._channel = channel
        self._connection: psycopg.Connection[Any] | None = None
        self._due = 0.0 if listens else float("inf")

    def connect(self) -> bool:
        """Return True if a connection was made now: hints before it were not heard."""
        import psycopg

        if self._connection is not None or time.monotonic() < self._due:
            return False
        self._due = time.monotonic() + _RETRY_SECONDS
        try:
            self._connection = self._connect()
            listen = psycopg.sql.SQL("LISTEN {}").format(psycopg.sql.Identifier(self._channel))
            self._connection.execute(listen, prepare=False)
        except (psycopg.Error, StowfastError):
            self.close()
            return False
        return True

    def sockets(self) -> list[psycopg.Connection[Any]]:
        """Return the connection, to wait for, if there is one."""
        return [] if self._connection is None else [self._connection]

    def hear(self) -> set[str] | None:
        """Return the marks of the hints that came, without waiting; None: any stream may have changed."""
        import psycopg

        if self._connection is None:
            return None
        try:
            said = [one.payload for one in self._connection.notifies(timeout=0)]
        except psycopg.Error:
            self.close()
            return None
        return None if "" in said else {mark for one in said for mark in one.split()}

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()


class HintSender:
    """Sends hints of commits from a thread of its own, so that no commit waits for one.

    The first is sent at once, the next 20 ms later at the soonest, for all commits between. A hint that cannot be sent
    is left out: waiters poll.
    """

    def __init__(self, send: Callable[[str], object]) -> None:
        self._send = send
        self._lock = threading.RLock()
        self._queue: SimpleQueue[Iterable[str]] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._closing = threading.Event()

    def announce(self, streams: Iterable[str]) -> None:
        """Tell other processes, once `begin` is called, that streams were changed."""
        self._queue.put(streams)

    def begin(self) -> None:
        """Begin to send, if there is something to send and no thread for it."""
        if self._thread is None and not self._queue.empty():
            with suppress(InvalidError):  # inside a lock of Python's: the next commit begins
                check_pools()
                self._start()

    def close(self) -> None:
        """Send the last hint, and end the thread; after a second without an answer, leave it alone."""
        self._closing.set()
        self._queue.put(())
        if (thread := self._thread) is not None:
            thread.join(_CLOSE_SECONDS)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None and not self._closing.is_set():
                thread = threading.Thread(target=self._run, name="stowfast-hint", daemon=True)
                with suppress(RuntimeError):  # no thread can be made: waiters poll
                    thread.start()
                    self._thread = thread

    def _run(self) -> None:
        while True:
            try:
                streams = set(self._queue.get(timeout=_LINGER_SECONDS))
            except Empty:
                with self._lock:
                    self._thread = None  # before the look: whoever announces now begins another one
                    if self._queue.empty():
                        return
                    self._thread = threading.current_thread()
                continue
            with suppress(Empty):
                while True:
                    streams.update(self._queue.get_nowait())
            if streams:
                with suppress(StowfastError):
                    self._send("" if len(streams) > _MAX_MARKS else " ".join(map(mark_of, streams)))
            if self._closing.wait(_APART_SECONDS) and self._queue.empty():
                return
