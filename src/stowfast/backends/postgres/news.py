"""Wakes the waiters of this process after its own commits."""

import threading

from stowfast.answers import Answer, wake

__all__ = ["LocalNews"]


class LocalNews:
    """Waiters by stream. Commits of other processes are found by polling."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._waiting: dict[str, list[Answer[bool]]] = {}

    def subscribe(self, stream: str) -> Answer[bool]:
        """Return an answer that comes with the next commit of this process to a stream."""
        news: Answer[bool] = Answer()
        with self._lock:
            self._waiting.setdefault(stream, []).append(news)
        return news

    def announce(self, streams: set[str]) -> None:
        """Wake the waiters of streams."""
        with self._lock:
            woken = [news for stream in streams for news in self._waiting.pop(stream, ())]
        wake(woken)

    def forget(self, stream: str, news: Answer[bool]) -> None:
        """Wake a waiter no more."""
        with self._lock:
            left = [other for other in self._waiting.pop(stream, ()) if other is not news]
            if left:
                self._waiting[stream] = left
