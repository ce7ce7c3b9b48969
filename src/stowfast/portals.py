"""Portals: the ways of a sync caller into a coroutine."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from stowfast.answers import run_on
from stowfast.blocking import run_in_place
from stowfast.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from stowfast.abc import Backend

__all__ = ["InPlace", "LoopThread", "Portal", "portal_of"]

R = TypeVar("R")


class Portal(Protocol):
    """Runs a coroutine to its end for a sync caller."""

    @property
    def is_forked(self) -> bool:
        """This process is a child of the one that made the portal, and the thread of the portal is not in it."""
        ...

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Return the result of the coroutine, or raise its error."""
        ...

    def close(self) -> None:
        """End the thread and the event loop of the portal."""
        ...


class InPlace:
    """Runs a coroutine in the calling thread."""

    run = staticmethod(run_in_place)
    is_forked = False

    def close(self) -> None:
        """Do nothing: there is no thread."""


class LoopThread:
    """Runs coroutines on an event loop in a thread of its own.

    Raises:
        UnavailableError: no thread can be made.
    """

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="stowfast-portal", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            self._loop.close()
            raise UnavailableError(f"no thread can be made: {error}") from error

    @property
    def is_forked(self) -> bool:
        """This process is a child of the one that made the portal, and the thread of the portal is not in it."""
        return os.getpid() != self._process

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Return the result of the coroutine, or raise its error."""
        if self.is_forked:
            coroutine.close()
            raise InvalidError("the stores were opened before a fork: open them in each process")
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise InvalidError("a function that a store calls cannot call it again without await")
        if self._loop.is_closed():
            coroutine.close()
            raise InvalidError("these stores were closed: open them again")
        return run_on(self._loop, coroutine)

    def close(self) -> None:
        """End the thread and the event loop. In a child after a fork both are the parent's."""
        if self.is_forked:
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def portal_of(backend: type[Backend] | Backend) -> Portal:
    """Return the portal for a backend: in the calling thread if the backend allows it."""
    return InPlace() if backend.in_place else LoopThread()
