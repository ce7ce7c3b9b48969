"""A cache of segments, which are immutable, and of indexes, checked by a 304."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stowfast.backends.objects.protocol.index import INDEXES
from stowfast.backends.objects.protocol.keys import DATA, is_blob
from stowfast.backends.objects.protocol.requests import UNCHANGED, All, Get, Object, Put, Token, drive
from stowfast.blocking import alone
from stowfast.lru import LRU

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.backends.objects.protocol.requests import Request, Steps

__all__ = ["Cache"]

R = TypeVar("R")

_CACHED_BYTES: Final = 2**25
_MAX_SEGMENT_BYTES: Final = 2**22


class Cache:
    """Performs requests, and answers requests for segments from memory: the newest used 32 MiB of them.

    A segment written by this process is cached too, since the next one is merged with it.

    Args:
        perform: performs a request. It is called from several threads.
    """

    def __init__(self, perform: Callable[[Request], Any]) -> None:
        self._perform = perform
        self._kept: LRU[Get, Object] = LRU(_CACHED_BYTES, lambda segment: len(segment.body))
        self._indexes: dict[str, Object] = {}
        self._lock = threading.RLock()

    def run(self, steps: Steps[R]) -> R:
        """Perform the requests of the steps, and return their result."""
        return drive(steps, self.perform)

    def perform(self, request: Request) -> Any:
        """Perform one request."""
        if isinstance(request, All):
            return self._all(request)
        if isinstance(request, Get) and request.key.startswith(INDEXES):
            return self._index(request)
        if not isinstance(request, Get) or not _is_segment(request):
            return self._perform(request)
        (found,) = self._all(All([request]))
        return found

    def _index(self, request: Get) -> Any:
        known = self._indexes.get(request.key)
        found = self._perform(request if known is None else request._replace(unless=known.token))
        if isinstance(found, Object):
            self._indexes[request.key] = found
        return known if found is UNCHANGED else found

    def _all(self, request: All) -> list[Any]:
        with alone(self._lock):
            results = [self._find(one) for one in request.requests]
        missing = [at for at, result in enumerate(results) if result is None]
        if missing:
            fetched = self._perform(All([request.requests[at] for at in missing]))
            with alone(self._lock):
                for at, result in zip(missing, fetched, strict=True):
                    results[at] = result
                    self._keep(request.requests[at], result)
        return results

    def _find(self, request: object) -> Object | None:
        return self._kept.get(request) if isinstance(request, Get) and not request.fresh else None

    def _keep(self, request: object, result: object) -> None:
        if isinstance(request, Put) and isinstance(result, Token):
            result = Object(request.body, result, len(request.body))
            request = Get(request.key)
        if not isinstance(request, Get) or not _is_segment(request):
            return
        request = request._replace(fresh=False)
        if isinstance(result, Object) and len(result.body) <= _MAX_SEGMENT_BYTES:
            self._kept.put(request, result)
        else:
            self._kept.pop(request)


def _is_segment(request: Get) -> bool:
    return request.key.startswith(DATA) and not is_blob(request.key)
