"""The clock of an object store: the shared time of machines with different clocks.

A store reports the time of each write, often in whole seconds. Three requests measure the difference to this machine's
clock; the result is used for ten minutes, or until this machine's clock is set.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final

from stowfast.backends.objects.protocol.requests import Delete, List, Put
from stowfast.blocking import alone
from stowfast.names import clock, new_id

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from stowfast.backends.objects.protocol.requests import Items, Steps

__all__ = ["StoreClock"]

_KNOWN_FOR: Final = 600.0
_SET: Final = 1_000_000
"""Microseconds of drift against the steady clock after which this machine's clock counts as set."""
_WITHIN: Final = 1_500_000
"""Microseconds of uncertainty: the time of the requests, and the seconds that the store cuts off."""
_HALF_A_SECOND: Final = 500_000


class StoreClock:
    """Tells the time of a store.

    Args:
        run: performs the requests. Blocking.
    """

    def __init__(self, run: Callable[[Steps[Any]], Any]) -> None:
        self._run = run
        self._lock = threading.RLock()
        self._ahead = 0
        self._steady = 0
        self._until = float("-inf")

    def now(self) -> int:
        """Return the time of the store, microseconds since 1970, about a second off at most. Blocking."""
        with alone(self._lock):
            if time.monotonic() > self._until or abs(_against_steady() - self._steady) > _SET:
                self._ahead = self._run(_ahead())
                self._steady = _against_steady()
                self._until = time.monotonic() + _KNOWN_FOR
            return clock() + self._ahead


def _against_steady() -> int:
    return clock() - time.monotonic_ns() // 1_000


def _ahead() -> Steps[int]:
    """Return by how much the clock of the store is ahead of this machine's."""
    folder = f"clock/{new_id()}/"
    began = clock()
    yield Put(f"{folder}now", b"")
    ended = clock()
    found: Items = yield List(folder)
    yield Delete((f"{folder}now",))
    if not found.items:
        return 0  # a store that lists late: this machine's clock is the best there is
    ahead = found.items[0].modified + _HALF_A_SECOND - (began + ended) // 2
    return ahead if abs(ahead) > _WITHIN + (ended - began) else 0
