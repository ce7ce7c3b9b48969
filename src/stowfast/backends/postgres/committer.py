"""Commits the changes of concurrent callers: one statement for one append alone, one transaction for the others."""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Change, Receipt
from stowfast.backends.postgres.append import execute_briefly, one_statement
from stowfast.backends.postgres.database import GRACE_SECONDS
from stowfast.backends.postgres.failures import is_locked, is_read_only, is_retryable, is_unknown, ours
from stowfast.backends.postgres.transaction import BatchTransaction, RaceError
from stowfast.blocking import alone
from stowfast.chance import uniform
from stowfast.errors import StowfastError, UnavailableError
from stowfast.operator_log import tell_repeat

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import psycopg

    from stowfast.backends.postgres.connection import BoundedConnection
    from stowfast.backends.postgres.database import Database

__all__ = ["Committer"]

_MAX_BATCH_ENTRIES: Final = 1_000
_MAX_BATCH_BYTES: Final = 8 * 2**20
_MAX_BRIEF_BYTES: Final = 32 * 2**10
_FIRST_PAUSE: Final = 0.005
_MAX_PAUSE: Final = 0.5


class Committer:
    """The one connection on which this process commits."""

    def __init__(self, database: Database, timeout: float) -> None:
        self._database = database
        self._timeout = timeout
        self._connection: BoundedConnection | None = None
        self._lock = threading.RLock()
        self._deadline = 0.0
        self._locked: dict[str, StowfastError] = {}
        """Streams of this run under a lock of another session: one of their changes has waited for all."""
        self.left_garbage = False
        """A change left something for a sweep, since somebody set this to False."""
        self._commit_was_sent = False
        """The last transaction may be stored, whatever became of its answer."""

    def run(self, works: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        """Make changes, and return the receipt or the error of each.

        It waits for an absent server at most the timeout, for all changes together.
        """
        with alone(self._lock):
            try:
                self._begin_run()
                if len(works) == 1 and (outcome := self._append(*works[0])) is not None:
                    return [outcome]
                return [outcome for batch in _batches(works) for outcome in self._commit(batch)]
            except BaseException:  # an interrupt may have left half a call on the wire
                self._disconnect()
                raise

    def _begin_run(self) -> None:
        self._deadline = time.monotonic() + self._timeout
        self._locked = {}

    def close(self) -> None:
        """Close the connection."""
        with alone(self._lock):
            self._disconnect()

    def begin(self, name: str, change: Change) -> Receipt | Callable[[], list[Receipt | StowfastError]] | None:
        """Append with one statement, and wait only a millisecond for its answer: the caller is an event loop.

        Else it returns a function for the rest, such as the wait: to be called once, in a thread, before any `run`.
        With None, nothing was done: the general way decides, or there is no connection yet.
        """
        with alone(self._lock):
            connection = self._connection
            if connection is None or not self._database.is_direct or sum(map(len, change.entries)) > _MAX_BRIEF_BYTES:
                return None
            call = self._one_statement(name, change)
            if call is None or not connection.is_quiet():
                return None
            self._database.counts.request("write")
            connection.patience = self._timeout + GRACE_SECONDS
            try:
                row, rest = execute_briefly(connection, self._database.statements[call[0]], call[1])
            except BaseException:
                self._disconnect()
                raise
            return partial(self._land, name, change, rest) if row is None else Receipt(*row[:4])

    def _land(self, name: str, change: Change, rest: Callable[[], Any]) -> list[Receipt | StowfastError]:
        with alone(self._lock):
            try:
                self._begin_run()
                outcome = self._outcome(name, change, rest)
                return self._commit([(name, change)]) if outcome is None else [outcome]
            except BaseException:
                self._disconnect()
                raise

    def _append(self, name: str, change: Change) -> Receipt | StowfastError | None:
        """Append with one statement; None where that cannot be: the general way decides."""
        import psycopg

        call = self._one_statement(name, change)
        if call is None:
            return None
        self._database.counts.request("write")
        try:
            connection = self._connected()
        except (psycopg.Error, StowfastError):
            return None  # the general way waits for the server
        return self._outcome(name, change, partial(self._execute, connection, *call))

    def _one_statement(self, name: str, change: Change) -> tuple[str, dict[str, Any]] | None:
        return one_statement(name, change) if self._database.is_read_committed else None

    def _outcome(self, name: str, change: Change, ask: Callable[[], Any]) -> Receipt | StowfastError | None:
        """Return the receipt of an append from its row, or its error; None where the general way decides."""
        import psycopg

        try:
            row = ask()
        except psycopg.errors.UniqueViolation:
            return None  # a repeat came first: the general way returns its receipt
        except psycopg.Error as error:
            self._disconnect()
            if is_retryable(error):
                return None
            failure = _failure(error, unknown=is_unknown(error))
            if is_unknown(error) and change.op_id is not None:
                return self._commit([(name, change)], failure)[0]
            return failure
        return None if row is None else Receipt(*row[:4])

    def _execute(self, connection: BoundedConnection, statement: str, values: Mapping[str, Any]) -> Any:
        """Execute the statement of an append in one turn of the wire, and return its row."""
        statements = self._database.statements
        if self._database.is_direct:
            return connection.execute(statements[statement], values).fetchone()
        # One transaction, as all that is sent together: a setting of the session would be seen by others.
        with connection.pipeline():
            connection.execute(statements["limits"], [True, *self._database.limits])
            cursor = connection.execute(statements[statement], values)
        return cursor.fetchone()

    def _commit(
        self, works: Sequence[tuple[str, Change]], lost: StowfastError | None = None
    ) -> list[Receipt | StowfastError]:
        """Make changes in one transaction; each in one of its own where the server refused them together.

        `lost` is the error of an earlier commit with an unknown answer.
        """
        import psycopg

        pause, began, attempts = _FIRST_PAUSE, time.monotonic(), 1
        while True:
            self._commit_was_sent = False
            late = time.monotonic() > self._deadline
            if late and lost is not None:
                return [lost] * len(works)
            try:
                outcomes = self._attempt(works, late=late)
                if lost is not None:
                    tell_repeat(attempts, time.monotonic() - began)
                return outcomes
            except RaceError:
                failure: StowfastError = UnavailableError(
                    f"nothing was stored: {works[0][0]!r}, or another new stream of this commit, could not be begun, "
                    "again and again: other writers came first, or a trigger of the table refused it"
                )
                again = True
            except StowfastError as error:  # from a new connection
                failure, again = lost or error, isinstance(error, UnavailableError)
            except psycopg.Error as error:
                unknown = is_unknown(error) and self._commit_was_sent
                if is_unknown(error) or is_retryable(error) or is_read_only(error):
                    self._database.forget_idle()
                failure = _failure(error, unknown=unknown or lost is not None)
                lost = failure if unknown else lost
                again = is_retryable(error) or is_read_only(error) or (is_unknown(error) and not unknown)
                if is_locked(error) and len(works) == 1:
                    self._locked[works[0][0]] = failure
                if len(works) > 1 and (is_locked(error) or not again):
                    return [outcome for work in works for outcome in self._commit_again(work, failure, unknown=unknown)]
                again = again or (unknown and works[0][1].op_id is not None)
            if not again or late:
                return [failure] * len(works)
            attempts += 1
            self._database.counts.lose_answer()
            with self._database.counts.waiting():
                time.sleep(pause * uniform(0.5, 1))
            pause = min(2 * pause, _MAX_PAUSE)

    def _commit_again(
        self, work: tuple[str, Change], failure: StowfastError, *, unknown: bool
    ) -> list[Receipt | StowfastError]:
        """Repeat one change of a batch that failed. Without an op_id it might be made twice."""
        if unknown and (work[1].op_id is None or time.monotonic() > self._deadline):
            return [failure]
        if not unknown and work[0] in self._locked:
            return [self._locked[work[0]]]
        return self._commit([work], failure if unknown else None)

    def _attempt(self, works: Sequence[tuple[str, Change]], *, late: bool) -> list[Receipt | StowfastError]:
        """Make changes once.

        Raises:
            StowfastError: no connection can be made.
            psycopg.Error: the server refused the changes, or the connection ended.
            RaceError: another transaction began one of the streams.
        """
        connection = self._connected()
        self._database.counts.request("write")
        try:
            # Two turns of the wire: the locks and what they show, then all writes with the COMMIT.
            with connection.pipeline() as pipeline:
                connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
                if late:  # after a batch has waited for one lock, its other changes are made yet, each by itself
                    connection.execute(self._database.statements["hurry"])
                elif not self._database.is_direct:
                    connection.execute(self._database.statements["limits"], [True, *self._database.limits])
                transaction = BatchTransaction(connection, self._database.statements, pipeline)
                outcomes = transaction.run(works)
                self._commit_was_sent = True
                connection.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise
        self.left_garbage = self.left_garbage or transaction.removal.left_garbage
        return outcomes

    def _roll_back(self, connection: psycopg.Connection[Any]) -> None:
        with suppress(Exception):
            if not connection.closed:
                connection.execute("ROLLBACK")
                return
        self._disconnect()

    def _connected(self) -> BoundedConnection:
        """Return the connection, or a new one where the server has left it.

        Raises:
            StowfastError: none can be made.
        """
        if self._connection is not None and not self._connection.is_quiet():
            self._disconnect()
        if self._connection is None:
            with self._database.errors():
                self._connection = self._database.connect()
        self._connection.patience = max(self._deadline - time.monotonic(), 0) + GRACE_SECONDS
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()


def _failure(error: psycopg.Error, *, unknown: bool) -> StowfastError:
    failure = ours(error)
    if unknown:
        failure = UnavailableError(f"{failure}: the commit may be stored: repeat it with the same op_id")
    failure.__cause__ = error
    return failure


def _batches(works: Sequence[tuple[str, Change]]) -> list[list[tuple[str, Change]]]:
    """Return the works in groups of at most 1,000 entries or 8 MiB, or one change of any size."""
    batches: list[list[tuple[str, Change]]] = [[]]
    entries = size = 0
    for work in works:
        entries, size = entries + len(work[1].entries), size + sum(map(len, work[1].entries))
        if batches[-1] and (entries > _MAX_BATCH_ENTRIES or size > _MAX_BATCH_BYTES):
            batches.append([])
            entries, size = len(work[1].entries), sum(map(len, work[1].entries))
        batches[-1].append(work)
    return batches
