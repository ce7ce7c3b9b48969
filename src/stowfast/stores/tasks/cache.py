"""A cache of task heads and of the versions that the next save needs. No promise depends on it.

Every commit names the head it was made for, so an outdated entry costs one more read and is never stored.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.blocking import holds
from stowfast.errors import ConflictError
from stowfast.lru import LRU
from stowfast.semantics import apply

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stowfast.abc import Change, Head, Receipt
    from stowfast.deltas import DeltaChain

__all__ = ["CachedTask", "TaskCache"]

_CACHED_BYTES: Final = 64 * 2**20
_OVERHEAD_BYTES: Final = 2_000
"""A cached task without its texts and its head, about."""
_SHOWN_BYTES: Final = 16 * 2**20


class CachedTask(NamedTuple):
    """A task as it was seen last."""

    head: Head | None
    """None: it is not there."""
    chain: DeltaChain | None
    """None: it was not read, or does not decode."""

    def at(self, head: Head | None) -> CachedTask:
        """Return the cached task with a newer head. The versions of another incarnation are no base of a save."""
        same = self.head is not None and head is not None and self.head.incarnation == head.incarnation
        return CachedTask(head, self.chain if same else None)

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
    """The tasks used last, up to 64 MiB. Safe for several threads.

    A call that comes inside another call of its thread, from a signal handler or a finalizer, finds and changes
    nothing: it costs a read.
    """

    def __init__(self) -> None:
        self._known: LRU[str, CachedTask] = LRU(_CACHED_BYTES, _bytes_of)
        self._shown: LRU[str, tuple[str, dict[str, bytes]]] = LRU(_SHOWN_BYTES, _bytes_of_steps)
        """The incarnation of each task, and the step results that callers have seen."""
        self._lock = threading.RLock()

    def get(self, stream: str) -> CachedTask | None:
        """Return the cached task, or None."""
        if holds(self._lock):
            return None
        with self._lock:
            return self._known.get(stream)

    def put(self, stream: str, known: CachedTask) -> None:
        """Know this of a task from now on, unless something later is known: answers may come in another order."""
        if holds(self._lock):
            return
        with self._lock:
            found = self._known.get(stream)
            if found is None or not _before(known.head, found.head):
                self._known.put(stream, known)

    def forget(self, stream: str) -> None:
        """Know nothing of a task."""
        if holds(self._lock):
            return
        with self._lock:
            self._known.pop(stream)

    def show(self, stream: str, incarnation: str, steps: Mapping[str, bytes]) -> None:
        """Remember step results that a caller has seen, so that the next save covers these and no others.

        Kept apart from the head, which may be read again at any time with steps that no caller here has seen.
        """
        if not steps or holds(self._lock):
            return
        with self._lock:
            self._shown.put(stream, (incarnation, {**self._seen(stream, incarnation), **steps}))

    def shown(self, stream: str, incarnation: str) -> dict[str, bytes]:
        """Return the step results that callers have seen in this incarnation; a later save covers forgotten ones."""
        if holds(self._lock):
            return {}
        with self._lock:
            return dict(self._seen(stream, incarnation))

    def covered(self, stream: str, gone: Mapping[str, bytes]) -> None:
        """Forget step results that a save has covered, but not results recorded since."""
        if holds(self._lock):
            return
        with self._lock:
            incarnation, before = self._shown.pop(stream) or ("", {})
            if left := {key: result for key, result in before.items() if gone.get(key) != result}:
                self._shown.put(stream, (incarnation, left))

    def _seen(self, stream: str, incarnation: str) -> dict[str, bytes]:
        of, steps = self._shown.get(stream) or ("", {})
        return steps if of == incarnation else {}


def _bytes_of(known: CachedTask) -> int:
    size = _OVERHEAD_BYTES + (known.chain.memory if known.chain is not None else 0)
    if known.head is not None:
        size += len(known.head.note) + sum(len(key) + len(value) for key, value in known.head.labels.items())
    return size


def _bytes_of_steps(shown: tuple[str, dict[str, bytes]]) -> int:
    return sum(len(key) + len(result) for key, result in shown[1].items())


def _before(head: Head | None, other: Head | None) -> bool:
    if head is None or other is None or head.incarnation != other.incarnation:
        return False
    return head.next <= other.next and head.revision <= other.revision and head != other
