"""Commits the changes of concurrent callers: one statement for one append alone, one transaction for the others."""

from __future__ import annotations

import random
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Change, Receipt
from stowfast.backends.postgres.failures import is_retryable, is_unknown, ours
from stowfast.backends.postgres.transaction import BatchTransaction, RaceError
from stowfast.blocking import alone
from stowfast.errors import StowfastError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import psycopg

    from stowfast.backends.postgres.database import Database

__all__ = ["Committer"]

_MAX_BATCH_ENTRIES: Final = 1_000
_MAX_BATCH_BYTES: Final = 8 * 2**20
_FIRST_PAUSE: Final = 0.005
_MAX_PAUSE: Final = 0.5


class Committer:
    """The one connection on which this process commits."""

    def __init__(self, database: Database, timeout: float) -> None:
        self._database = database
        self._timeout = timeout
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = threading.RLock()

    def run(self, works: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        """Make changes, and return the receipt or the error of each."""
        self._database.check_process()
        with alone(self._lock):
            if len(works) == 1 and (receipt := self._append(*works[0])) is not None:
                return [receipt]
            outcomes: list[Receipt | StowfastError] = []
            for batch in _batches(works):
                outcomes += self._commit(batch)
            return outcomes

    def close(self) -> None:
        """Close the connection."""
        with alone(self._lock):
            self._disconnect()

    def _append(self, name: str, change: Change) -> Receipt | StowfastError | None:
        """Append with one statement; None where that cannot be: the general way decides.

        Source of the form: https://www.postgresql.org/docs/current/queries-with.html#QUERIES-WITH-MODIFYING
        """
        import psycopg

        if not change.entries or change._replace(entries=(), op_id=None, cold=False) != Change():
            return None
        if not self._database.is_read_committed:
            return None
        statement = "append" if change.op_id is None else "append_once"
        values = {"name": name, "count": len(change.entries), "op_id": change.op_id, "entries": list(change.entries)}
        try:
            connection = self._connected()
        except psycopg.Error:
            return None  # the general way waits for the server
        try:
            row = connection.execute(self._database.statements[statement], values).fetchone()
        except psycopg.errors.UniqueViolation:
            return None  # a repeat came first: the general way returns its receipt
        except psycopg.Error as error:
            self._disconnect()
            if is_retryable(error) or (is_unknown(error) and change.op_id is not None):
                return None
            return _failure(error)
        return None if row is None else Receipt(*row)

    def _commit(self, works: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        """Make changes in one transaction; each in one of its own where the server refused them together."""
        import psycopg

        deadline, pause = time.monotonic() + self._timeout, _FIRST_PAUSE
        while True:
            try:
                self._connected()
            except psycopg.Error as error:  # nothing was sent: any change may wait and be tried again
                if time.monotonic() > deadline or not is_unknown(error):
                    return [ours(error)] * len(works)
                time.sleep(pause)
                pause = min(2 * pause, _MAX_PAUSE)
                continue
            try:
                return self._attempt(works)
            except RaceError:
                pass
            except psycopg.Error as error:
                retryable, unknown = is_retryable(error), is_unknown(error)
                if unknown:
                    self._disconnect()
                    self._database.forget_idle()
                if not retryable and len(works) > 1:
                    return [outcome for work in works for outcome in self._commit_again(work, error, unknown=unknown)]
                if not (retryable or (unknown and works[0][1].op_id is not None)) or time.monotonic() > deadline:
                    return [_failure(error)] * len(works)
            time.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - no secret
            pause = min(2 * pause, _MAX_PAUSE)

    def _commit_again(
        self, work: tuple[str, Change], error: psycopg.Error, *, unknown: bool
    ) -> list[Receipt | StowfastError]:
        """Repeat one change of a batch that failed. Without an op_id it might be made twice."""
        if unknown and work[1].op_id is None:
            return [_failure(error)]
        return self._commit([work])

    def _attempt(self, works: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        connection = self._connected()
        try:
            # Two turns of the wire: the locks and what they show, then all writes with the COMMIT.
            with connection.pipeline():
                connection.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
                outcomes = BatchTransaction(connection, self._database.statements).run(works)
                connection.execute("COMMIT")
        except BaseException:
            self._roll_back(connection)
            raise
        return outcomes

    def _roll_back(self, connection: psycopg.Connection[Any]) -> None:
        with suppress(Exception):
            if not connection.closed:
                connection.execute("ROLLBACK")
                return
        self._disconnect()

    def _connected(self) -> psycopg.Connection[Any]:
        if self._connection is None or self._connection.closed:
            self._connection = self._database.connect()
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):
                connection.close()


def _failure(error: psycopg.Error) -> StowfastError:
    failure = ours(error)
    if is_unknown(error):
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
