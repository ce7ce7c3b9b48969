"""Stores for adapters: given to a constructor that cannot wait, opened at first use, shared within the process.

An adapter has one, and asks it for the stores:

    class MySession:
        def __init__(self, stores: str | Stores | sync.Stores) -> None:
            self._opener = Opener(stores)

        async def add(self, message: dict[str, Any]) -> None:
            stores = await self._opener.open()
            await stores.messages.add_message("chat", message)

        async def close(self) -> None:
            await self._opener.close()
"""

from __future__ import annotations

import asyncio
import os
import threading
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from stowfast import sync
from stowfast.blocking import alone
from stowfast.errors import InvalidError
from stowfast.portals import portal_of
from stowfast.registry import find
from stowfast.stores import Stores
from stowfast.wrappers import Patient

if TYPE_CHECKING:
    from collections.abc import Coroutine, Hashable

    from stowfast.portals import Portal

__all__ = ["Opener"]

R = TypeVar("R")

_Key: TypeAlias = "tuple[Hashable, ...]"


class _Opening:
    """One open backend of this process, and the number of its users."""

    def __init__(self, opened: sync.Stores) -> None:
        self.opened = opened
        self.users = 0


_openings: Final[dict[_Key, _Opening]] = {}
_lock = threading.RLock()
"""Guards `_openings`, also while a backend is opened: two openers of one URL open it once."""


class Opener:
    """Stores by URL or as objects, opened at first use.

    Openers of the same URL and options share one opening; the last `close` closes it. Stores that were given open are
    never closed. Safe in several threads and event loops, and usable again after `close`.

    Args:
        given: a URL, or open stores of either face.
        scope: the scope of these stores to use.
        within: the time for repeats of a call without an answer, see `stowfast.wrappers.Patient`; None: no repeats.
        options: options for the URL.

    Raises:
        InvalidError: `given` is neither a URL nor open stores, or the backend of the URL belongs to one event loop.
    """

    def __init__(
        self,
        given: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._url: str | None = None
        self._scope, self._within, self._options = scope, within, options
        self._stores: Stores | None = None
        self._key: _Key | None = None
        self._portal: Portal | None = None
        if isinstance(given, str):
            backend, _, _ = find(given)
            if not backend.in_place:
                raise InvalidError(f"{backend.__name__} belongs to one event loop: open the stores, and give these")
            self._url = given
        elif isinstance(given, Stores | sync.Stores):
            self._given = given if isinstance(given, Stores) else given.async_stores
        else:
            raise InvalidError(f"give a URL or open stores, not a {type(given).__name__}")

    async def open(self) -> Stores:
        """Return the stores. The first call opens the backend, in a thread.

        Raises:
            StowfastError: as `stowfast.open`.
        """
        return self._stores if self._stores is not None else await asyncio.to_thread(self._open)

    def open_sync(self) -> sync.Stores:
        """Return the stores without await. The first call opens the backend.

        Raises:
            StowfastError: as `stowfast.open`.
        """
        return sync.Stores(self._open(), self._shared_portal())

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run a coroutine over these stores to its end, for the sync method of an adapter. Opens the stores first.

        Raises:
            Exception: as `stowfast.open`, and as the coroutine.
        """
        try:
            portal = self._shared_portal()
        except BaseException:
            coroutine.close()
            raise
        return portal.run(coroutine)

    def _shared_portal(self) -> Portal:
        portal = self._portal
        if portal is None:
            backend = self._open().backend
            with alone(_lock):
                portal = self._portal = self._portal or portal_of(backend)
        return portal

    async def close(self) -> None:
        """Let go of the stores. The last opener of a URL closes the backend. A second close does nothing."""
        await asyncio.to_thread(self.close_sync)

    def close_sync(self) -> None:
        """As `close`, without await."""
        with alone(_lock):
            portal, self._portal = self._portal, None
        if portal is not None:
            portal.close()
        with alone(_lock):
            key, self._key, self._stores = self._key, None, None
            opening = _openings.get(key) if key is not None else None
            if opening is None or key is None:
                return
            opening.users -= 1
            if opening.users == 0:
                del _openings[key]
                opening.opened.close()

    def _open(self) -> Stores:
        if (stores := self._stores) is not None:
            return stores
        with alone(_lock):
            if self._stores is None:
                self._stores = self._within_scope(self._given if self._url is None else self._shared(self._url))
            return self._stores

    def _shared(self, url: str) -> Stores:
        # A child of a fork cannot use an opening of its parent.
        key = (os.getpid(), url, *sorted((name, repr(value)) for name, value in self._options.items()))
        opening = _openings.get(key)
        if opening is None:
            opening = _openings[key] = _Opening(sync.open(url, **self._options))
        opening.users += 1
        self._key = key
        return opening.opened.async_stores

    def _within_scope(self, stores: Stores) -> Stores:
        if self._within is not None:
            stores = Stores(Patient(stores.backend, within=self._within), retention=stores.tasks.retention)
        return stores if self._scope is None else stores.within(self._scope)


def _after_fork() -> None:
    # Another thread may have held it at the fork, for the seconds of an opening, and is not in the child.
    global _lock  # noqa: PLW0603 - an RLock that another thread holds cannot be released
    _lock = threading.RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
