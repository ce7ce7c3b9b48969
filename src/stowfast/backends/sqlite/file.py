"""The SQLite file: its schema, its connections, and the checks before the first write."""

from __future__ import annotations

import ctypes
import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from stowfast.backends.sqlite.failures import ours
from stowfast.backends.sqlite.guard import GuardedConnection
from stowfast.backends.sqlite.locks import AFTER_A_FORK, OPENING, Claim, check_companions, check_index, is_claimed
from stowfast.backends.sqlite.log import Log
from stowfast.backends.sqlite.migration import migrate, pragma, refuse_newer, version_known
from stowfast.backends.sqlite.opening import begin_session, check_log, find_mark, is_full, look, uri
from stowfast.backends.sqlite.reading import UNCHANGING, check_readable, reading_options
from stowfast.backends.sqlite.rights import absolute, check_folder, make_private, missing_right
from stowfast.backends.sqlite.schema import check_tables
from stowfast.backends.sqlite.write_queue import WriteQueue
from stowfast.blocking import alone
from stowfast.counts import Counts
from stowfast.errors import DamagedError, InvalidError, StowfastError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["Durability", "SQLiteFile"]

Durability = Literal["full", "relaxed"]


class SQLiteFile:
    """One file of ours. Hands out connections, begins write transactions, and turns the driver's errors into ours.

    A file without the right to write is opened for reading only; so is any file with `read_only=True`.
    """

    def __init__(
        self, path: str, *, durability: Durability = "full", timeout: float = 60.0, read_only: bool = False
    ) -> None:
        self.path = absolute(path)  # a later chdir must not lead later connections elsewhere
        self._synchronous = {"full": "FULL", "relaxed": "NORMAL"}[durability]
        self.counts = Counts()
        self._queue = WriteQueue(self.path, timeout, self.counts)
        self._process = os.getpid()
        self._idle: list[GuardedConnection] = []
        self._closed = False
        self._claim: Claim | None = None
        self._lost: str | None = None
        self._verified_ns = 0
        self._is_replaced = False
        check_folder(self.path)
        missing = missing_right(self.path)
        self.read_only = missing or ("it was opened for reading only" if read_only else None)
        """Why nothing may be written, as the end of a sentence; None: it may."""
        self._options = "mode=rw" if missing is None else "mode=ro"
        with alone(OPENING), self.errors():
            self._prepare(timeout, wanted=read_only)
            self.writer = self.connect(create=not self.read_only)
            try:
                if not self.read_only:
                    migrate(self.writer, self.path, self.patiently)
                self.patiently(lambda: check_tables(self.writer, self.path))
                self.writer.defend()
                # The log is there from the first read of a connection.
                self.patiently(lambda: self.writer.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone())
                header = look(self.path)  # on a full disk its mark is older than the one in the log
                self._marks = {self._mark_in(self.writer), *([header.mark] if header else [])}
                self._claim = Claim(self.path, unchanging=self._options.endswith(UNCHANGING))
                self.log = Log(self.path, self.writer, is_synced=durability == "full")
            except BaseException:
                self.close()
                raise

    def _prepare(self, timeout: float, *, wanted: bool) -> None:
        check_companions(self.path)
        claimed = is_claimed(self.path)
        header = look(self.path)
        if header is not None:
            refuse_newer(self.path, header.version)
            check_log(self.path)
        elif not self.read_only:
            self._check_new()
            make_private(self.path)
        if self.read_only:
            check_readable(self.path, header, self.read_only, wanted=wanted, known=version_known())
            if self._options == "mode=ro":
                self._options += reading_options(self.path, self.read_only)
        elif header is not None and not claimed:
            begin_session(self.path, timeout)

    def _check_new(self) -> None:
        try:
            check_index(self.path)
        except UnavailableError:
            # Else another process has just made the file: the log comes after its content.
            if not os.path.exists(self.path) or os.stat(self.path).st_size == 0:
                raise

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise ours for the driver's, with the driver's as the cause."""
        try:
            yield
        except sqlite3.Error as error:
            raise ours(self.path, error) from error
        except UnicodeDecodeError as error:  # a part of the schema in an error of the driver
            raise DamagedError(f"{self.path}: {error}: restore it from a backup") from error
        except PermissionError as error:
            raise InvalidError(f"{self.path}: this user has not the right to: {error.strerror}") from error
        except OSError as error:
            raise UnavailableError(f"{self.path}: {error.strerror or error}") from error

    def connect(self, *, create: bool = False) -> GuardedConnection:
        """Return a new connection with all settings of this file."""
        self.check_claim()
        # Only the first connection may make the file: a later one would make another in the place of one removed.
        connection = sqlite3.connect(
            uri(self.path, "mode=rwc" if create else self._options),
            uri=True,
            timeout=0,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=64,
            factory=GuardedConnection,
        )
        try:
            connection.harden()
            # Patiently: this pragma looks into the file, and is refused while another process turns it to WAL.
            self.patiently(lambda: connection.execute(f"PRAGMA synchronous={self._synchronous}"))  # takes no parameters
            connection.configure(read_only=bool(self.read_only))
            if self._claim is not None:
                connection.defend()
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def snapshot(self) -> Iterator[sqlite3.Connection]:
        """Lend a connection whose reads all see the same moment."""
        with self.errors():
            self._check_lost()
            try:
                connection = self._idle.pop()
            except IndexError:
                connection = self.connect()
            try:
                self.counts.request("read")
                self.patiently(lambda: connection.execute("BEGIN"))
                connection.start()
                self.check_claim(connection)
                yield connection
                if self._options.endswith(UNCHANGING):
                    self.check_claim()
            finally:
                self._put(connection)

    def begin(self, *, wait: bool) -> bool:
        """Begin a write transaction on `writer`; call it inside `errors`.

        With `wait=False` it returns False where another process is writing.

        Raises:
            InvalidError: this thread is in a write transaction of the file, and this call came inside of it.
            UnavailableError: another process held the lock for `timeout` seconds.
        """
        if self.writer.in_transaction:  # an interrupt came between a transaction and its end
            self.writer.execute("ROLLBACK")
        begun = self._queue.begin(self.writer, self._identity, wait=wait)
        if begun and self._claim is not None:
            self.log.begin(self._claim.log_bytes)
        if begun:
            self.counts.request("write")
            self.writer.start()
        return begun

    def check_place(self) -> None:
        """Raise if the file or its log was removed or replaced after it was opened. Only for the thread that writes.

        The log is folded into the file then, also one that has no name any more: nothing else can reach what was
        acknowledged. All connections are closed.
        """
        try:
            self.check_claim(self.writer)
        except UnavailableError as error:
            self._lost = str(error)
            self.close()
            raise

    def check_writable(self) -> None:
        """Raise if nothing may be written: the file was opened for reading only, or it is lost."""
        self._check_lost()
        if self.read_only:
            raise InvalidError(f"{self.path} may only be read: {self.read_only}")

    def check_claim(self, connection: sqlite3.Connection | None = None) -> None:
        """Raise if the file or its log was removed or replaced after it was opened.

        With a connection, also if the file was written over: it keeps its inode then, and has another mark. Its log
        must not be folded into it.
        """
        self._check_lost()
        claim = self._claim  # another thread may be closing the file
        if claim is None:
            return
        claim.check()
        changed_ns = claim.changed_ns
        if connection is None or changed_ns == self._verified_ns:
            return
        mark = find_mark(self.path, self._marks, lambda: self._mark_in(connection))
        if mark is None:
            claim.check()  # a file that was moved away meanwhile has no mark either, and its log is folded into it
            self._is_replaced = True
            self._lost = (
                f"{self.path} was replaced by another file since it was opened:"
                f" end all processes that use it, remove {self.path}-wal and {self.path}-shm, and open it again"
            )
            raise UnavailableError(self._lost)
        self._marks |= {mark}
        self._verified_ns = changed_ns

    def _mark_in(self, connection: sqlite3.Connection) -> int:
        return pragma(connection, "schema_version", self.patiently)

    def _check_lost(self) -> None:
        if self._lost is not None:
            raise UnavailableError(self._lost)

    def commit(self) -> None:
        """Commit the write transaction, as durably as `durability` promises."""
        self.writer.stop()
        self.writer.execute("COMMIT")
        self._queue.end(self.writer, self._identity)

    def roll_back(self) -> None:
        """Roll back the write transaction."""
        self.writer.stop()
        self.log.undo()
        with self.errors():
            if self.writer.in_transaction:  # a full disk has already rolled back
                self.writer.execute("ROLLBACK")
        self._queue.end(self.writer, self._identity)

    def make_room(self, error: BaseException) -> bool:
        """After a commit that found no room on the disk: empty the log. True if that gave room."""
        if not is_full(error.__cause__):
            return False
        try:
            return self.log.empty()
        except sqlite3.Error:
            return False

    def patiently(self, action: Callable[[], object]) -> None:
        """Repeat an action while another process holds the lock, as long as `timeout` allows.

        SQLite skips its own busy handler for some locks (recovery, the switch to WAL), and the fixed steps of the
        handler starve the last process in line.
        """
        self._queue.patiently(action)

    @property
    def _identity(self) -> tuple[int, ...] | None:
        return self._claim.identity if self._claim is not None else None

    @property
    def is_forked(self) -> bool:
        """This process is a child of the one that opened the file."""
        return os.getpid() != self._process

    def check_process(self) -> None:
        """Raise in a forked process: a fork copies the connection without SQLite's locks."""
        if os.getpid() != self._process:
            raise InvalidError(f"{self.path} was opened before a fork: {AFTER_A_FORK}")

    def close(self) -> None:
        """Close every connection. The last one in any process folds the log back into the file."""
        self._closed = True
        self._rescue()
        if self._claim is not None:
            self._claim.ending = True
        self._close_idle()
        if self._is_replaced:
            # The last connection that closes folds the log, into whatever file is there. So this one never closes.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self.writer))
        else:
            self.writer.close()
        if self._claim is not None:
            self._claim.release()
            self._claim = None
        self._queue.remove()

    def _rescue(self) -> None:
        # SQLite itself does not fold the log of a file that was moved away.
        try:
            self.check_claim(self.writer)
        except (StowfastError, sqlite3.Error):
            if self._claim is not None and self._claim.is_alone() and not self._is_replaced:
                with suppress(sqlite3.Error):
                    self.log.rescue()

    def _put(self, connection: GuardedConnection) -> None:
        try:
            connection.stop()
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except BaseException:
            connection.close()
            raise
        self._idle.append(connection)
        if self._closed:
            self._close_idle()

    def _close_idle(self) -> None:
        while self._idle:
            self._idle.pop().close()
