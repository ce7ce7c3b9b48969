"""Steps before the first read and the first write: the self-test of the store, and its marker."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from stowfast.backends.objects.driver.neighbours import check_alone
from stowfast.backends.objects.driver.probe import self_test
from stowfast.backends.objects.protocol.marker import write_marker
from stowfast.blocking import alone

if TYPE_CHECKING:
    from stowfast.backends.objects.driver.store import BucketClient
    from stowfast.backends.objects.protocol.requests import Environment

__all__ = ["Readiness"]


class Readiness:
    """The state of a bucket as this process found it. Every method blocks, and does its work once.

    Raises:
        UnsupportedError: the store ignores conditional writes.
        InvalidError: it lies inside another store, or around one.
        UnavailableError: no answer. The next call tries again.
    """

    def __init__(self, store: BucketClient, environment: Environment) -> None:
        self._store = store
        self._environment = environment
        self._readable = self._marked = False
        self._lock = threading.RLock()

    def to_read(self) -> None:
        """Find out whether the store keeps its conditions, and lies inside no other.

        An opening for reading only skips the test of conditional writes: no read relies on it.
        """
        if not self._readable:
            with alone(self._lock):
                if not self._readable:
                    if not self._store.read_only:
                        self_test(self._store)
                    self._marked = check_alone(self._store)
                    self._readable = True

    def to_write(self) -> None:
        """Write the marker too, if there is none."""
        self._store.check_writable()
        self.to_read()
        if not self._marked:
            with alone(self._lock):
                if not self._marked:
                    # Another store may have begun since this one was opened.
                    if not check_alone(self._store):
                        self._store.run(write_marker(self._environment))
                    self._marked = True
