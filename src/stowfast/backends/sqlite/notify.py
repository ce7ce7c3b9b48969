"""Notification of waiters after a commit of any process to the SQLite file."""

from __future__ import annotations

import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final

from stowfast.answers import Answer, wake
from stowfast.blocking import alone
from stowfast.errors import StowfastError, UnavailableError

if TYPE_CHECKING:
    import sqlite3

    from stowfast.backends.sqlite.file import SQLiteFile

__all__ = ["News"]

_POLL_SECONDS: Final = 0.01
_POLLS_IDLE: Final = 100


class News:
    """Polls SQLite's `data_version` in a thread that runs while there are waiters.

    https://www.sqlite.org/pragma.html#pragma_data_version
    """

    def __init__(self, file: SQLiteFile) -> None:
        self._file = file
        self._lock = threading.RLock()
        self._bell: SimpleQueue[None] = SimpleQueue()  # its `put` may come at any time, also in a finalizer
        self._waiting: list[Answer[bool]] = []
        self._connection: sqlite3.Connection | None = None
        self._thread: threading.Thread | None = None
        self._seen = 0

    def subscribe(self) -> Answer[bool]:
        """Return an answer that comes after the next commit. Read the file after this call: no commit is missed.

        Raises:
            UnavailableError: no thread can be made.
        """
        news: Answer[bool] = Answer()
        with alone(self._lock):
            if self._thread is None:
                self._seen = self._version()
                self._start()
            self._waiting.append(news)
        return news

    def announce(self) -> None:
        """Wake the waiters of this process at once after its own commit."""
        if self._waiting:
            self._bell.put(None)

    def close(self) -> None:
        """Wake the waiters and end the thread."""
        with alone(self._lock):
            thread, self._thread = self._thread, None
            waiting, self._waiting = self._waiting, []
        wake(waiting)
        self._bell.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._disconnect()

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
        idle = 0
        while True:
            with suppress(Empty):
                self._bell.get(timeout=_POLL_SECONDS)
                while True:
                    self._bell.get_nowait()
            with self._lock:
                self._waiting = [news for news in self._waiting if not news.cancelled]
                idle = 0 if self._waiting else idle + 1
                if self._thread is not threading.current_thread() or idle > _POLLS_IDLE:
                    self._thread = None if self._thread is threading.current_thread() else self._thread
                    return
                try:
                    version = self._version()
                except StowfastError:  # whoever waits looks at the file next, and gets the error there
                    version = self._seen - 1
                    self._disconnect()
                if version == self._seen:
                    continue
                self._seen = version
                waiting, self._waiting = self._waiting, []
            wake(waiting)
