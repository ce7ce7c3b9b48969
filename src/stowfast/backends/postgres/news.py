"""Wakes the waiters of this process after its own commits."""

from __future__ import annotations

import threading
from concurrent.futures import Future

from stowfast.blocking import wake

__all__ = ["LocalNews"]


class LocalNews:
    """Futures of waiters by stream. Commits of other processes are found by polling."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: dict[str, list[Future[bool]]] = {}

    def subscribe(self, stream: str) -> Future[bool]:
        """Return a future that resolves with the next commit of this process to a stream."""
        future: Future[bool] = Future()
        with self._lock:
            self._waiting.setdefault(stream, []).append(future)
        return future

    def announce(self, streams: set[str]) -> None:
        """Wake the waiters of streams."""
        with self._lock:
            woken = [future for stream in streams for future in self._waiting.pop(stream, ())]
        wake(woken)

    def forget(self, stream: str, future: Future[bool]) -> None:
        """Wake a waiter no more."""
        with self._lock:
            left = [other for other in self._waiting.pop(stream, ()) if other is not future]
            if left:
                self._waiting[stream] = left
