"""A bucket in memory: one request takes effect at a time, and whoever watches is told of it at that moment."""

from __future__ import annotations

from hashlib import md5
from typing import Any, NamedTuple, Protocol

from stowfast.backends.objects.protocol.keys import MARKER
from stowfast.backends.objects.protocol.requests import (
    ABSENT,
    ANY,
    UNCHANGED,
    Delete,
    Get,
    Item,
    Items,
    List,
    Object,
    Pause,
    Put,
    Remove,
    Token,
)

__all__ = ["Bucket", "KnownLimit", "Stored", "Violation", "Watcher"]


class Violation(AssertionError):  # noqa: N818 - it is what was found
    """The protocol broke a promise."""


class KnownLimit(Exception):  # noqa: N818 - it is not an error, it ends a history
    """What happened is beyond what the protocol promises, so that nothing more can be said of this history."""


class Stored(NamedTuple):
    body: bytes
    token: Token
    modified: int


class Watcher(Protocol):
    """Who is told of what took effect."""

    def put(self, key: str, stored: Stored) -> None: ...

    def deleted(self, key: str) -> None: ...

    def removed(self, key: str, stored: Stored) -> None: ...


class Bucket:
    """A bucket with the marker of a store in it."""

    removes = True
    """It is asked to remove keys under a condition."""
    keeps_removals = True
    """And it keeps the condition."""

    def __init__(self) -> None:
        self.objects = {MARKER: Stored(b'{"format":1,"id":"0"}', Token("marker", None), 0)}
        self.watcher: Watcher | None = None

    def apply(self, request: Get | Put | Delete | Remove | List | Pause, now: int) -> Any:
        if isinstance(request, Get):
            return self._get(request)
        if isinstance(request, Put):
            return self._put(request, now)
        if isinstance(request, Delete):
            for key in request.keys:
                if self.objects.pop(key, None) is not None and self.watcher is not None:
                    self.watcher.deleted(key)
            return None
        if isinstance(request, Remove):
            return self._remove(request)
        if isinstance(request, List):
            return self._list(request)
        return None

    def _get(self, request: Get) -> Object | object | None:
        found = self.objects.get(request.key)
        if found is None:
            return None
        if request.unless == found.token:
            return UNCHANGED
        body = found.body if not request.start and request.stop is None else found.body[request.start : request.stop]
        return Object(body, found.token, len(found.body))

    def _put(self, request: Put, now: int) -> Token | None:
        if not self.allows(request, self.objects.get(request.key)):
            return None
        # Of the content, as S3's: so an ETag would come twice if ever a content did.
        stored = Stored(request.body, Token(md5(request.body, usedforsecurity=False).hexdigest(), None), now)
        self.objects[request.key] = stored
        if self.watcher is not None:
            self.watcher.put(request.key, stored)
        return stored.token

    def _remove(self, request: Remove) -> bool | None:
        found = self.objects.get(request.key)
        if found is None or not self.allows_removal(request, found):
            return None
        del self.objects[request.key]
        if self.watcher is not None:
            self.watcher.removed(request.key, found)
        return True

    def allows_removal(self, request: Remove, found: Stored) -> bool:
        """Say whether the condition of a removal holds."""
        return found.token == request.token

    def allows(self, request: Put, found: Stored | None) -> bool:
        """Say whether the condition of a PUT holds."""
        if request.condition is ANY:
            return True
        if request.condition is ABSENT:
            return found is None
        return found is not None and found.token == request.condition

    def _list(self, request: List) -> Items:
        keys = sorted(
            key
            for key in self.objects
            if key.startswith(request.prefix) and (request.after is None or key > request.after)
        )
        taken = keys if request.enough is None else keys[: request.enough]
        found = [(key, self.objects[key]) for key in taken]
        items = [Item(key, len(stored.body), stored.modified, stored.token.e_tag) for key, stored in found]
        return Items(items, len(taken) == len(keys))
