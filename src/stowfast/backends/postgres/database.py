"""A PostgreSQL database: its connections, its settings, and the schema with our tables."""

from __future__ import annotations

import math
import os
import time
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stowfast.backends.postgres.failures import NOT_PRIMARY, is_locked, is_retryable, is_unknown, ours
from stowfast.backends.postgres.migration import migrate
from stowfast.backends.postgres.options import without_values
from stowfast.backends.postgres.statements import Statements
from stowfast.counts import Counts
from stowfast.errors import InvalidError, UnavailableError, UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import psycopg

    from stowfast.backends.postgres.connection import BoundedConnection

__all__ = ["GRACE_SECONDS", "Database"]

R = TypeVar("R")

_IDLE_SECONDS: Final = 300.0
_MAX_CONNECT_SECONDS: Final = 10
_MIN_CONNECT_SECONDS: Final = 2
_MIN_LOCK_SECONDS: Final = 1.0
_MAX_LOCK_LIMIT: Final = 2**31 - 1
_MAX_PAUSE_MILLISECONDS: Final = 10_000
"""A process that stands still within a transaction holds locks for which all others wait: then the server ends it."""
GRACE_SECONDS: Final = 2.0
"""The server has so much more than the longest wait for a lock, to report the end of the wait."""
_PARAMETERS: Final = {
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
"""A vanished server is noticed within a minute; the system would wait for hours."""
_MIN_VERSION: Final = 15_00_00
"""The first with views that run with the rights of their user: row-level security holds for them, too."""


class Database:
    """Connections to one database, for one schema. Blocking: used from threads, or in place.

    Raises:
        InvalidError: the server refuses the role, or the schema belongs to another program.
        UnsupportedError: the server is too old, its encoding cannot hold all text, or the schema is newer.
        UnavailableError: the server gives no answer, or is not the primary.
    """

    def __init__(
        self, conninfo: str, parameters: Mapping[str, str], schema: str, *, pool: int, timeout: float, durable: bool,
        may_migrate: bool,
    ) -> None:  # fmt: skip
        self._conninfo = conninfo
        connect_seconds = max(_MIN_CONNECT_SECONDS, min(_MAX_CONNECT_SECONDS, math.ceil(timeout)))
        self._parameters = {**_PARAMETERS, "connect_timeout": str(connect_seconds), **parameters}
        self._process = os.getpid()
        self._timeout = timeout
        self._lost_at = -math.inf
        """The moment when a call for reading got no answer."""
        self._pool = pool
        # No semaphore: a signal handler that reads would wait for the lock inside it, which its own thread holds.
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(pool):
            self._free.put(None)
        self._idle: list[tuple[float, BoundedConnection]] = []
        """Used without a lock: a signal handler inside it may wait for the thread that commits, which uses it too."""
        self._closed = False
        self.counts = Counts()
        self.is_direct = False  # until it is known: the opening itself prepares nothing
        """No pooler stands between: prepared statements work."""
        self.is_read_committed = True
        self.schema = schema
        self.statements = Statements(schema)
        lock_limit = int(min(max(timeout, _MIN_LOCK_SECONDS) * 1_000, _MAX_LOCK_LIMIT))
        self.limits = [str(lock_limit), str(_MAX_PAUSE_MILLISECONDS)]
        """Milliseconds, as text: the longest wait for a lock of another session, the longest pause of a transaction."""
        with self.errors():
            connection = self.connect()
            try:
                self._look(connection, durable=durable)
                migrate(connection, schema, may_migrate=may_migrate)
            finally:
                connection.close()

    def __repr__(self) -> str:
        return f"schema {self.statements.schema.as_string()}"  # the URL holds a password

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Raise ours for the driver's, with the driver's as the cause."""
        import psycopg

        try:
            yield
        except psycopg.Error as error:
            if is_unknown(error) or is_locked(error):
                self._lost_at = time.monotonic()
            raise ours(error) from error

    def connect(self) -> BoundedConnection:
        """Return a new connection."""
        connection = self._connected()
        connection.patience = self._timeout + GRACE_SECONDS
        connection.prepared_max = 200
        # A read must see every acknowledged commit, and a replica may lag behind the primary.
        if "on" in map(connection.info.parameter_status, ("in_hot_standby", "default_transaction_read_only")):
            connection.close()
            raise UnavailableError(NOT_PRIMARY)
        if self.is_direct:  # a pooler would give the setting to others
            try:
                connection.execute(self.statements["limits"], [False, *self.limits], prepare=False)
            except BaseException:
                connection.close()
                raise
        return connection

    def _connected(self) -> BoundedConnection:
        """Return a new connection as it comes.

        Raises:
            psycopg.Error: the server refused, or gave no answer. No value of an option is in it.
            InvalidError: no server can have this name.
        """
        import psycopg

        from stowfast.backends.postgres.connection import BoundedConnection

        try:
            return BoundedConnection.connect(
                self._conninfo,
                autocommit=True,
                client_encoding="UTF8",
                prepare_threshold=0 if self.is_direct else None,
                **self._parameters,  # type: ignore[arg-type]
            )
        except psycopg.Error as error:
            failure: Exception = type(error)(without_values(str(error), self._parameters))
        except UnicodeError:
            failure = InvalidError("postgresql: the host is no name of a server")
        # Not in the block above: the driver's error, which holds the password, would be its context.
        raise failure

    def ask(self, query: Callable[[psycopg.Connection[Any], Statements], R], asked: float) -> R:
        """Run a query for reading; once more if the server ended the connection and there is time.

        Args:
            query: a function of a connection.
            asked: the moment of the call; it may have waited for a thread since then.

        Raises:
            StowfastError: as `ours`; UnavailableError also if no connection is free.
        """
        import psycopg

        self.check_answers(asked)
        try:
            with self.lend() as connection:
                return query(connection, self.statements)
        except UnavailableError as error:
            cause = error.__cause__
            if not isinstance(cause, psycopg.Error) or not (is_unknown(cause) or is_retryable(cause)):
                raise
            if time.monotonic() > asked + self._timeout:
                raise
        self.forget_idle()
        with self.lend() as connection:
            return query(connection, self.statements)

    def check_answers(self, asked: float) -> None:
        """Raise if a call has waited for a thread too long, and others got no answer meanwhile.

        Without that, a hundred calls on four threads would wait for a silent server one after the other.
        """
        if asked < self._lost_at and time.monotonic() > asked + self._timeout:
            raise UnavailableError(f"the calls before this one got no answer for {self._timeout:g} s: try again")

    @contextmanager
    def lend(self, patience: float | None = None) -> Iterator[psycopg.Connection[Any]]:
        """Lend a connection of the pool. One that failed is closed.

        Args:
            patience: seconds to wait for a free one, and, with two more, for each answer. The timeout, by default.

        Raises:
            UnavailableError: all connections were in use all that time.
        """
        self.check_process()
        patience = self._timeout if patience is None else patience
        try:
            if self._free.empty():
                with self.counts.waiting():
                    self._free.get(timeout=patience)
            else:
                self._free.get(timeout=patience)  # another thread may have been faster
            self.counts.request("read")
        except Empty:
            raise UnavailableError(
                f"all {self._pool} connections were in use for {patience:g} s: set pool= to a larger number"
            ) from None
        try:
            with self.errors():
                connection = self._take()
                connection.patience = patience + GRACE_SECONDS
                try:
                    yield connection
                except BaseException:
                    connection.close()
                    raise
                self._put(connection)
        finally:
            self._free.put(None)

    def _take(self) -> BoundedConnection:
        old = time.monotonic() - _IDLE_SECONDS
        while True:
            try:
                used, connection = self._idle.pop()
            except IndexError:
                return self.connect()
            if used > old and connection.is_quiet():
                return connection
            connection.close()

    def _put(self, connection: BoundedConnection) -> None:
        if connection.closed or connection.info.transaction_status != 0:
            connection.close()
            return
        self._idle.append((time.monotonic(), connection))
        if self._closed:
            self.forget_idle()

    def forget_idle(self) -> None:
        """Close the idle connections, such as after a restart of the server."""
        with suppress(IndexError):
            while True:
                _, connection = self._idle.pop()
                with suppress(Exception):
                    connection.close()

    @property
    def is_forked(self) -> bool:
        """This process is a child of the one that opened the connections."""
        return os.getpid() != self._process

    def check_process(self) -> None:
        """Raise in a forked process: two processes cannot speak on one connection."""
        if os.getpid() != self._process:
            raise InvalidError("the stores were opened before a fork: open them in each process")

    def close(self) -> None:
        """Close the idle connections. Those in use close when they are returned."""
        self._closed = True
        self.forget_idle()

    def _look(self, connection: psycopg.Connection[Any], *, durable: bool) -> None:
        version = connection.info.server_version
        if version < _MIN_VERSION:
            raise UnsupportedError(f"PostgreSQL {version // 10_000} is too old: Stowfast needs 15 or newer")
        row = connection.execute(
            "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('server_encoding'),"
            " pg_catalog.current_setting('default_transaction_isolation'), pg_catalog.pg_is_in_recovery(),"
            " pg_catalog.current_setting('default_transaction_read_only'),"
            " pg_catalog.current_setting('synchronous_commit'), pg_catalog.current_setting('fsync')"
        ).fetchone()
        assert row is not None
        pid, encoding, isolation, recovery, read_only, synchronous, fsync = row
        # A pooler gives its clients other numbers than the server does.
        self.is_direct = pid == connection.info.backend_pid
        self.is_read_committed = isolation == "read committed"
        if encoding not in {"UTF8", "SQL_ASCII"}:
            raise UnsupportedError(
                f"the database has the encoding {encoding}, which cannot hold all text: "
                "CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0"
            )
        if recovery or read_only == "on":
            raise UnavailableError(NOT_PRIMARY)
        if durable and (synchronous == "off" or fsync == "off"):
            raise UnsupportedError(
                f"the server has synchronous_commit={synchronous} and fsync={fsync}, so an acknowledged commit may be "
                "lost: change that, or open with durability=relaxed"
            )
