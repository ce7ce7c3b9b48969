"""A connection whose calls end, also where the server stands still."""

from __future__ import annotations

import selectors
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.waiting import READY_R, WAIT_R

from stowfast.backends.postgres.failures import UnansweredError
from stowfast.backends.postgres.hints import SELECTOR

if TYPE_CHECKING:
    from psycopg.abc import PQGen

__all__ = ["BoundedConnection"]

R = TypeVar("R")

_SLOWNESS: Final = 10


class BoundedConnection(psycopg.Connection[Any]):
    """A connection for calls of bounded time: one without an answer ends, and the connection with it.

    The system notices a vanished server, but a standing one acknowledges every packet. Each call of the driver
    waits in `wait`. Source: https://www.psycopg.org/psycopg3/docs/api/connections.html#psycopg.Connection.wait
    """

    patience: float = 30.0
    """Seconds without a byte until a call ends. With a slow answer it ends after ten times as many."""
    brief: float | None = None
    """Seconds after which a call raises an UnansweredError, and leaves its rest to somebody else. None: it waits."""
    _watched: selectors.BaseSelector | None = None

    def is_quiet(self) -> bool:
        """Return True if this idle connection still stands: the server has said nothing, so no goodbye either.

        It costs no turn of the wire. Other bytes, such as of a changed setting, cost a new connection.
        """
        if self.closed:
            return False
        # Between two calls of ours it is idle, unless an interrupt left a call without its answer.
        return self.pgconn.transaction_status == TransactionStatus.IDLE and not self._can_be_read(0)

    def _can_be_read(self, timeout: float) -> bool:
        if self._watched is None:
            self._watched = SELECTOR()
            self._watched.register(self, selectors.EVENT_READ)
        return bool(self._watched.select(timeout))

    def wait(self, gen: PQGen[R], *args: Any, **options: Any) -> R:
        """Run a call of the driver to its end.

        Raises:
            psycopg.OperationalError: no answer came. The connection is closed.
            UnansweredError: no answer came within `brief`.
        """
        if self.brief is not None:
            return self._wait_briefly(gen, time.monotonic() + self.brief)
        return super().wait(self._bounded(gen), *args, **options)

    def _wait_briefly(self, gen: PQGen[R], until: float) -> R:
        # Not by the driver's function: its wait begins anew with each signal, and it may take an interrupt for itself.
        try:
            wanted = next(gen)
            while wanted == WAIT_R and self._can_be_read(max(until - time.monotonic(), 0)):
                wanted = gen.send(READY_R)
        except StopIteration as end:
            result: R = end.value
            return result
        raise UnansweredError(_rest(gen, wanted))

    def _bounded(self, gen: PQGen[R]) -> PQGen[R]:
        began = heard = time.monotonic()
        ready: Any = None
        while True:
            try:
                wanted = gen.send(ready)
            except StopIteration as end:
                result: R = end.value
                return result
            ready = yield wanted  # the driver gives a turn every tenth of a second, ready or not
            now = time.monotonic()
            heard = now if ready else heard
            if now > heard + self.patience or now > began + _SLOWNESS * self.patience:
                self.pgconn.finish()  # nobody may read a late answer as that of another call
                raise psycopg.OperationalError(
                    f"no answer for {now - heard:.1f} s: it stands still, or another session holds a lock: see "
                    "pg_stat_activity"
                )


def _rest(gen: PQGen[R], wanted: Any) -> PQGen[R]:
    # The driver begins each generator with None, but this one has begun. A socket that was ready is found so again.
    while True:
        ready = yield wanted
        try:
            wanted = gen.send(ready)
        except StopIteration as end:
            result: R = end.value
            return result
