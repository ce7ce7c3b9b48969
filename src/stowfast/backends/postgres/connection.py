"""A connection whose calls end, also where the server stands still."""

from __future__ import annotations

import selectors
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from stowfast.backends.postgres.failures import UnansweredError
from stowfast.backends.postgres.sockets import until_usable, watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg.abc import PQGen

__all__ = ["BoundedConnection"]

R = TypeVar("R")

_SLOWNESS: Final = 10
_TURN_SECONDS: Final = 0.1
"""Between two looks at the patience of a call."""


class BoundedConnection(psycopg.Connection[Any]):
    """A connection for calls of bounded time: one without an answer ends, and the connection with it.

    The system notices a vanished server, but a standing one acknowledges every packet. Each call of the driver
    waits in `wait`. Source: https://www.psycopg.org/psycopg3/docs/api/connections.html#psycopg.Connection.wait
    """

    patience: float = 30.0
    """Seconds without a byte until a call ends. With a slow answer it ends after ten times as many."""
    brief: float | None = None
    """Seconds after which a call raises an UnansweredError, and leaves its rest to somebody else. None: it waits."""
    _since: float | None = None
    """The begin of the rows that come in parts: their waits share one patience."""
    _can_be_read: Callable[[float], bool] | None = None

    def is_quiet(self) -> bool:
        """Return True if this idle connection still stands: the server has said nothing, so no goodbye either.

        It costs no turn of the wire. Other bytes, such as of a changed setting, cost a new connection.
        """
        if self.closed:
            return False
        # Between two calls of ours it is idle, unless an interrupt left a call without its answer.
        return self.pgconn.transaction_status == TransactionStatus.IDLE and not self._ready(selectors.EVENT_READ, 0)

    def in_parts(self, statement: bytes, values: Sequence[object], size: int) -> Iterator[Any]:
        """Yield the rows of a statement, so many of them at a time, while the server sends more.

        A caller that stops before the last row ends the connection.
        """
        self._since = time.monotonic()
        try:
            yield from self.cursor().stream(statement, values, binary=True, size=size)
        finally:
            self._since = None

    def _try_cancel(self, *, timeout: float = 5.0) -> None:
        # The driver calls this where a stream is left. A cancellation would need another connection, and the rows sent
        # meanwhile would be read to their end.
        self.pgconn.finish()

    def wait(self, gen: PQGen[R], *args: Any, **options: Any) -> R:
        """Run a call of the driver to its end.

        Raises:
            psycopg.OperationalError: no answer came. The connection is closed.
            UnansweredError: no answer came within `brief`.
        """
        if args or options:  # a wait for notifications, with a limit of its own
            return super().wait(gen, *args, **options)
        # Not by the driver's function: its wait begins anew with each signal, so with many signals it never ends.
        began = time.monotonic()
        heard: float | None = None
        try:
            wanted = next(gen)
            while True:
                if self.brief is None:
                    ready = self._ready(wanted, _TURN_SECONDS)
                    if heard is not None:  # most answers come in the first turn
                        heard = self._check_patience(began, heard, wanted, ready)
                elif not (ready := self._ready(wanted, max(began + self.brief - time.monotonic(), 0))):
                    raise UnansweredError(_rest(gen, wanted))
                wanted = gen.send(ready)
                heard = began if heard is None else heard
        except StopIteration as end:
            result: R = end.value
            return result
        except UnansweredError:
            raise
        except BaseException as error:
            if not isinstance(error, Exception):  # an interrupt: nobody may read the answer as that of another call
                self.pgconn.finish()
            with suppress(Exception):  # Python would print them
                gen.close()
            raise

    def _ready(self, wanted: int, timeout: float) -> int:
        if wanted != selectors.EVENT_READ:
            return until_usable(self.pgconn.socket, wanted, timeout)
        if self._can_be_read is None:
            self._can_be_read = watch(self.pgconn.socket)
        return wanted if self._can_be_read(timeout) else 0

    def _check_patience(self, began: float, heard: float, wanted: int, ready: int) -> float:
        now = time.monotonic()
        # The answer may have come while a signal handler of the program ran. The bound of a slow answer stands.
        if ready or (now > heard + self.patience and self._ready(wanted, 0)):
            heard = now
        if now > heard + self.patience or now > (self._since or began) + _SLOWNESS * self.patience:
            self.pgconn.finish()  # nobody may read a late answer as that of another call
            raise psycopg.OperationalError(
                f"no answer for {now - heard:.1f} s: it stands still, or another session holds a lock: see "
                "pg_stat_activity"
            )
        return heard


def _rest(gen: PQGen[R], wanted: Any) -> PQGen[R]:
    # The driver begins each generator with None, but this one has begun. A socket that was ready is found so again.
    while True:
        ready = yield wanted
        try:
            wanted = gen.send(ready)
        except StopIteration as end:
            result: R = end.value
            return result
