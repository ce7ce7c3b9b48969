"""A cache of task heads and of the versions that the next save needs. No promise depends on it.

Every commit names the head it was made for, so an outdated entry costs one more read and is never stored.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.errors import ConflictError
from stowfast.semantics import apply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stowfast.abc import Change, Head, Receipt
    from stowfast.deltas import DeltaChain

__all__ = ["CachedTask", "TaskCache"]

_MOST: Final = 64 * 2**20
_OVERHEAD: Final = 2_000
"""Approximate bytes of a cached task without its texts and its head."""
_MOST_SHOWN: Final = 16 * 2**20


class CachedTask(NamedTuple):
    """A task as it was seen last."""

    head: Head | None
    """None: it is not there."""
    chain: DeltaChain | None
    """None: it was not read, or does not decode."""

    def after(self, stream: str, change: Change, receipt: Receipt, chain: DeltaChain | None) -> CachedTask:
        """Return the cached task after a change of this head, assuming that no other process saved.

        Such a save leaves `revision` as it was; `receipt.first` tells the end of the stream before it.
        """
        head = self.head
        if head is not None and receipt.incarnation == head.incarnation:
            head = head._replace(next=receipt.first, length=head.length + receipt.first - head.next)
        try:
            effect = apply(stream, head, change, now=receipt.committed_at, incarnation=lambda: receipt.incarnation)
        except ConflictError:  # it ends before it was changed last, as a clock went back: what was done is done
            return CachedTask(None, None)
        return CachedTask(effect.head, chain)


class TaskCache:
    """The tasks used last, up to 64 MiB. Safe for several threads."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[CachedTask, int]] = OrderedDict()
        self._size = 0
        self._within_retention: OrderedDict[str, tuple[str, dict[str, bytes]]] = OrderedDict()
        self._shown_size = 0
        self._lock = threading.Lock()

    def get(self, stream: str) -> CachedTask | None:
        """Return the cached task, or None."""
        with self._lock:
            found = self._known.get(stream)
            if found is None:
                return None
            self._known.move_to_end(stream)
            return found[0]

    def put(self, stream: str, known: CachedTask) -> None:
        """Know this of a task from now on, unless something later is known: answers may come in another order."""
        size = _OVERHEAD + (known.chain.memory if known.chain is not None else 0)
        if known.head is not None:
            size += len(known.head.note) + sum(len(key) + len(value) for key, value in known.head.labels.items())
        with self._lock:
            found = self._known.get(stream)
            if found is not None and _before(known.head, found[0].head):
                return
            self._drop(stream)
            if size > _MOST:
                return
            self._known[stream] = (known, size)
            self._size += size
            while self._size > _MOST:
                self._size -= self._known.popitem(last=False)[1][1]

    def forget(self, stream: str) -> None:
        """Know nothing of a task."""
        with self._lock:
            self._drop(stream)

    def show(self, stream: str, incarnation: str, steps: Mapping[str, bytes]) -> None:
        """Remember step results that a caller has seen, so that the next save covers these and no others.

        Kept apart from the head, which may be read again at any time with steps that no caller here has seen.
        """
        if not steps:
            return
        with self._lock:
            life, before = self._within_retention.pop(stream, (incarnation, {}))
            self._shown_size -= _size(before)
            now = {**before, **steps} if life == incarnation else dict(steps)
            self._within_retention[stream] = (incarnation, now)
            self._shown_size += _size(now)
            while self._shown_size > _MOST_SHOWN:
                self._shown_size -= _size(self._within_retention.popitem(last=False)[1][1])

    def shown(self, stream: str, incarnation: str) -> dict[str, bytes]:
        """Return the step results that callers have seen in this incarnation; a later save covers forgotten ones."""
        with self._lock:
            life, steps = self._within_retention.get(stream, ("", {}))
            return dict(steps) if life == incarnation else {}

    def covered(self, stream: str, gone: Mapping[str, bytes]) -> None:
        """Forget step results that a save has covered, but not results recorded since."""
        with self._lock:
            life, before = self._within_retention.pop(stream, ("", {}))
            self._shown_size -= _size(before)
            if left := {key: result for key, result in before.items() if gone.get(key) != result}:
                self._within_retention[stream] = (life, left)
                self._shown_size += _size(left)

    def _drop(self, stream: str) -> None:
        found = self._known.pop(stream, None)
        if found is not None:
            self._size -= found[1]


def _size(steps: Mapping[str, bytes]) -> int:
    return sum(len(key) + len(result) for key, result in steps.items())


def _before(head: Head | None, other: Head | None) -> bool:
    if head is None or other is None or head.incarnation != other.incarnation:
        return False
    return head.next <= other.next and head.revision <= other.revision and head != other
