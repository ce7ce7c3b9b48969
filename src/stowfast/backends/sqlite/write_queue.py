"""The queue of processes that wait for the write lock of one SQLite file.

SQLite has no queue: it refuses, and each waiter asks again. Many that ask often use up the processors, and the last of
many that ask seldom starves. So a waiter first waits for an exclusive `flock` on a file beside the database, in the
kernel, in the order of arrival, and holds it to the end of its transaction. Only the first of the queue asks SQLite.
After it has waited, a process may go on for a turn of 10 ms. A process that is alone never opens the lock file. No
promise depends on the queue: a waiter that cannot use it asks by itself, and each of the others does so once a second,
for the case that the queue stands still.

The lock file is a file of its own. SQLite's locks belong to a process, and closing any descriptor of a file that SQLite
has open would drop them: https://www.sqlite.org/howtocorrupt.html.
"""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, Self

from stowfast.backends.sqlite.opening import is_busy
from stowfast.chance import uniform
from stowfast.errors import UnavailableError, nested

try:
    import fcntl
except ImportError:  # Windows: each waiter asks by itself
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.counts import Counts

__all__ = ["WriteQueue"]

_FIRST_PAUSE_SECONDS: Final = 0.0001
_LONGEST_PAUSE_SECONDS: Final = 0.002
_LOOK_SECONDS: Final = 1.0
_TURN_SECONDS: Final = 0.01
"""The turn of a process that has waited: it commits for so long, if it has more to commit, and then queues up again.
To wake another process up takes as long as a few commits, so turns of one commit each took half of the time."""
_ALONE_SECONDS: Final = 0.025
"""The longest pause of a waiter without a queue: as long as that of SQLite's own busy handler after a few tries."""


class _Writing(threading.local):
    """The connections of this thread in a write transaction, or on their way to one, by file."""

    def __init__(self) -> None:
        self.connections: dict[tuple[int, ...] | None, set[sqlite3.Connection]] = {}


_here = _Writing()


class WriteQueue:
    """Waits for the locks of one file.

    Args:
        path: the file.
        timeout: seconds until a waiter gives up.
        counts: counts the waits, and their seconds.
    """

    def __init__(self, path: str, timeout: float, counts: Counts) -> None:
        self._path = path
        self._timeout = timeout
        self._counts = counts
        self._waiter: _Waiter | None = None
        self._crowded = False
        """The last transaction had to wait: so others do, and this process queues up behind them after its turn."""
        self._turn_ends = 0.0

    def patiently(self, action: Callable[[], object]) -> None:
        """Repeat an action until no other connection holds the lock that it needs.

        Raises:
            UnavailableError: time is up.
        """
        if not _done(action):
            with self._counts.waiting(), _Waiter(self._path) as waiter:
                self._wait(waiter, action)

    def begin(self, connection: sqlite3.Connection, identity: tuple[int, ...] | None, *, wait: bool) -> bool:
        """Begin a write transaction. With `wait=False`: False where another connection is in one.

        Raises:
            InvalidError: this thread is in one, and this call came inside of it.
            UnavailableError: time is up.
        """
        here = _here.connections.setdefault(identity, set())
        if any(_is_writing(one) for one in tuple(here) if one is not connection):
            raise nested()
        here.add(connection)  # before the attempt: a signal handler may run right after it
        begun = False
        try:
            begun = self._begin(connection, wait=wait)
        finally:
            if not begun:  # another thread may write with this connection next
                here.discard(connection)
        return begun

    def _begin(self, connection: sqlite3.Connection, *, wait: bool) -> bool:
        self._leave()

        def begin() -> None:
            connection.execute("BEGIN IMMEDIATE")

        in_turn = self._crowded and time.monotonic() < self._turn_ends
        if (in_turn or not (self._crowded and wait)) and _done(begin):
            self._crowded = in_turn
        elif not wait:
            return False
        else:
            self._waiter = _Waiter(self._path).__enter__()
            self._crowded = not (self._waiter.first and _done(begin))
            if self._crowded:
                with self._counts.waiting():
                    self._wait(self._waiter, begin)
                self._turn_ends = time.monotonic() + _TURN_SECONDS
        return True

    def end(self, connection: sqlite3.Connection, identity: tuple[int, ...] | None) -> None:
        """Note the end of a write transaction, and let the next one of the queue ask."""
        _here.connections.get(identity, set()).discard(connection)
        self._leave()

    def remove(self) -> None:
        """Leave, and remove the lock file where no process has the database open."""
        self._leave()
        if not os.path.exists(f"{self._path}-wal"):
            with suppress(OSError):
                os.unlink(_lock_path(self._path))

    def _wait(self, waiter: _Waiter, action: Callable[[], object]) -> None:
        deadline = time.monotonic() + self._timeout
        while True:
            left = deadline - time.monotonic()
            waiter.wait(left)
            if _done(action):
                return
            if left < 0:
                raise UnavailableError(
                    f"{self._path}: another process held the lock for {self._timeout:g} s; nothing was stored"
                )

    def _leave(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.__exit__()


class _Waiter:
    """One waiter in the queue."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._file: int | None = None
        self.first = self._left = False
        self._called: SimpleQueue[None] = SimpleQueue()
        self._guard = threading.Lock()
        self._pause = _FIRST_PAUSE_SECONDS

    def __enter__(self) -> Self:
        if fcntl is not None:
            with suppress(OSError):
                self._queue_up()
        return self

    def __exit__(self, *_: object) -> None:
        with self._guard:
            self._left = True
            if self.first:
                _close(self._file)

    def wait(self, seconds: float) -> None:
        """Return when it is time to ask for the lock again, after at most `seconds`."""
        if self._file is not None and not self.first:
            with suppress(Empty):
                self._called.get(timeout=max(0.0, min(_LOOK_SECONDS, seconds)))
            return
        longest = _ALONE_SECONDS if self._file is None else _LONGEST_PAUSE_SECONDS
        time.sleep(uniform(0.3, 1.0) * self._pause)
        self._pause = min(self._pause * 1.3, longest)

    def _queue_up(self) -> None:
        # As the database, so that each user who may write to it may wait here. A link that was planted is not followed.
        mode = stat.S_IMODE(os.stat(self._path).st_mode)
        flags = os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        file = os.open(_lock_path(self._path), flags, mode)
        _open_files.add(file)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # `flock` knows no time limit, so a thread waits for it, and ends once it has it.
            thread = threading.Thread(target=self._wait_for_turn, args=(file,), name="stowfast-queue", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                _close(file)
                return
        except OSError:
            _close(file)
            raise
        else:
            self.first = True
        self._file = file

    def _wait_for_turn(self, file: int) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            return  # the waiter asks by itself, once a second
        with self._guard:
            if self._left:
                _close(file)
            else:
                self.first = True
        self._called.put(None)


def _is_writing(connection: sqlite3.Connection) -> bool:
    try:
        return connection.in_transaction
    except sqlite3.ProgrammingError:  # it was closed
        return False


def _done(action: Callable[[], object]) -> bool:
    try:
        action()
    except sqlite3.OperationalError as error:
        if is_busy(error):
            return False
        raise
    return True


def _lock_path(path: str) -> str:
    return f"{path}-queue"


_open_files: set[int] = set()


def _close(file: int | None) -> None:
    if file is not None and file in _open_files:
        _open_files.discard(file)
        os.close(file)


def _after_fork() -> None:
    # A child's copy of the descriptor would hold the lock for as long as the child lives.
    for file in list(_open_files):
        _close(file)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
