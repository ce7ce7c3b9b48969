"""Memory: keeps everything in this process, for as long as it lives. For tests and trials, not for production."""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections import Counter
from typing import TYPE_CHECKING

from stowfast.abc import (
    ALL,
    OPERATIONS_REMEMBERED,
    Backend,
    Change,
    Entry,
    Head,
    Listed,
    Listing,
    Query,
    Receipt,
    Slice,
    Swept,
    Window,
)
from stowfast.answers import Answer, wake
from stowfast.blocking import alone
from stowfast.counts import counted
from stowfast.cursors import after_cursor, parse_cursor
from stowfast.errors import ConflictError, InvalidError, NotFoundError
from stowfast.names import check_name, clock, new_id
from stowfast.semantics import apply, check, is_news, living, placed, repeat, told_calls

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Sequence

__all__ = ["MemoryBackend"]

_CHUNK = 2**18
_UNLINKED_BLOBS_LIVE = 86_400 * 1_000_000
_ONCE_LINKED = 0


class _Stream:
    def __init__(self) -> None:
        self.head: Head | None = None
        self.entries: list[Entry] = []
        self.operations: dict[str, Receipt] = {}
        self.links: dict[int, tuple[str, ...]] = {}
        self.blobs: dict[str, tuple[int, bytes]] = {}

    def remove(self, start: int, stop: int) -> int:
        low, high = self.find(start), self.find(stop)
        for entry in self.entries[low:high]:
            self.links.pop(entry.position, None)
        del self.entries[low:high]
        self.forget()
        return high - low

    def find(self, position: int) -> int:
        return bisect_left(self.entries, position, key=lambda entry: entry.position)

    def linked(self) -> set[str]:
        return {blob for blobs in self.links.values() for blob in blobs}

    def ever_linked(self) -> set[str]:
        return {blob for blob, (written_at, _) in self.blobs.items() if written_at == _ONCE_LINKED}

    def forget(self) -> None:
        """Keep the operations of stored entries, and the newest of the others."""
        lowest = self.entries[0].position if self.entries else self.head.next if self.head else 0
        gone = [op_id for op_id, known in self.operations.items() if not self._lives(known, lowest)]
        for op_id in gone[:-OPERATIONS_REMEMBERED]:
            del self.operations[op_id]

    def untold(self) -> dict[str, Receipt]:
        """Return the operations that the entries do not tell."""
        count = Counter(entry.op_id for entry in self.entries)
        life = self.head.incarnation if self.head else ""
        return {
            op_id: known
            for op_id, known in self.operations.items()
            if known.incarnation != life or known.next == known.first or count[op_id] < known.next - known.first
        }

    def _lives(self, known: Receipt, lowest: int) -> bool:
        return self.head is not None and known.incarnation == self.head.incarnation and known.next > lowest


@counted
class MemoryBackend(Backend):
    """Streams and blobs in a dictionary. Every value is copied on its way in and out."""

    in_place = True

    def __init__(self) -> None:
        self._streams: dict[str, _Stream] = {}
        self._lock = threading.RLock()
        self._waiting: dict[str, list[Answer[bool]]] = {}
        self._closed = False

    @classmethod
    async def open(cls, url: str) -> MemoryBackend:
        """Open `memory:`, a new and empty place of its own at each call."""
        if url != "memory:":
            raise InvalidError("a backend in memory has no name: write memory:")
        return cls()

    def __repr__(self) -> str:
        return "MemoryBackend()"

    async def commit(self, stream: str, change: Change) -> Receipt:
        check_name(stream)
        check(change)
        with alone(self._lock):
            self._open()
            kept = self._streams.setdefault(stream, _Stream())
            if change.op_id is not None and change.op_id in kept.operations:
                return repeat(kept.operations[change.op_id], change)
            effect = apply(stream, kept.head, change, now=clock(), incarnation=new_id)
            ending = kept.ever_linked() if effect.fresh else set()
            if not set(change.blobs) <= kept.blobs.keys() - ending:
                raise ConflictError(f"{stream!r}: a blob of this change is gone, write it again")
            if effect.fresh:
                for blob in ending:
                    del kept.blobs[blob]
                kept.entries.clear()
                kept.links.clear()
            removed = sum(kept.remove(start, stop) for start, stop in effect.remove)
            kept.head = effect.head and effect.head._replace(length=effect.head.length - removed)
            for entry in placed(change, effect.receipt):
                kept.entries.append(entry)
                if change.blobs:
                    kept.links[entry.position] = tuple(change.blobs)
            for blob in change.blobs:
                kept.blobs[blob] = (_ONCE_LINKED, kept.blobs[blob][1])
            if change.op_id is not None:
                kept.operations[change.op_id] = effect.receipt
            if change.origin is not None:
                kept.operations |= told_calls(change.origin)
            if effect.fresh:
                kept.forget()
            waiting = self._waiting.pop(stream, ())
        wake(waiting)
        return effect.receipt

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        with alone(self._lock):
            head = self._head(stream)
            if head is None:
                return Slice(None, [])
            kept = self._streams[stream]
            low = kept.find(head.base if window.start is None else window.start)
            high = len(kept.entries) if window.stop is None else max(kept.find(window.stop), low)
            entries = kept.entries[low:high]
        if window.newest:
            entries.reverse()
        if window.max_bytes is not None:
            size = 0
            for taken, entry in enumerate(entries, 1):
                size += len(entry.data)
                if size >= window.max_bytes:
                    entries = entries[:taken]
                    break
        entries = entries if window.limit is None else entries[: window.limit]
        if window.newest:
            entries.reverse()
        return Slice(head, entries)

    async def remembered(self, stream: str) -> dict[str, Receipt]:
        with alone(self._lock):
            self._open()
            kept = self._streams.get(stream)
            return {} if kept is None else kept.untold()

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        with alone(self._lock):
            return [self._head(stream) for stream in streams]

    async def streams(self, query: Query) -> Listing:
        last = parse_cursor(query)
        with alone(self._lock):
            self._open()
            found = [
                Listed(head.name, head.updated_at, head if query.heads else None)
                for head in map(self._head, self._streams)
                if head is not None
                and head.name.startswith(query.prefix)
                and (query.where or {}).items() <= head.labels.items()
            ]
        if query.order == "name":
            found.sort()
            rest = [one for one in found if last is None or one.name > last.name]
        else:
            found.sort(key=_recency)
            rest = [one for one in found if last is None or _recency(one) > _recency(last)]
        page = rest[: query.limit]
        return Listing(page, after_cursor(query.order, page[-1]) if page and len(rest) > query.limit else None)

    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            news: Answer[bool] = Answer()
            with alone(self._lock):
                head = self._head(stream)
                if is_news(head, incarnation, next):
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._waiting.setdefault(stream, []).append(news)
            try:
                await news.settle(left)
            finally:
                with alone(self._lock):
                    waiting = self._waiting.get(stream, [])
                    if news in waiting:
                        waiting.remove(news)

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        check_name(stream)
        body = b"".join([bytes(chunk) async for chunk in chunks])
        self.counts.took(len(body))
        blob = new_id()
        with alone(self._lock):
            self._open()
            self._streams.setdefault(stream, _Stream()).blobs[blob] = (clock(), body)
        return blob

    async def read_blob(
        self, stream: str, blob: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        with alone(self._lock):
            kept = self._streams.get(stream)
            if self._head(stream) is None or kept is None or blob not in kept.linked():
                raise NotFoundError(f"{stream!r} has no blob {blob!r}")
            body = memoryview(kept.blobs[blob][1])[start:stop]
        self.counts.gave(len(body))
        for offset in range(0, len(body), _CHUNK):
            yield bytes(body[offset : offset + _CHUNK])

    async def now(self) -> int:
        return clock()

    async def sweep(self, *, dry_run: bool = False) -> Swept:
        streams = blobs = size = 0
        with alone(self._lock):
            self._open()
            for kept in self._streams.values():
                expired = kept.head is not None and self._head(kept.head.name) is None
                linked, now = set() if expired else kept.linked(), clock()
                orphans = [
                    blob
                    for blob, (written_at, _) in kept.blobs.items()
                    if blob not in linked and written_at + _UNLINKED_BLOBS_LIVE < now
                ]
                streams, blobs = streams + expired, blobs + len(orphans)
                size += sum(len(entry.data) for entry in kept.entries if expired)
                size += sum(len(kept.blobs[blob][1]) for blob in orphans)
                if dry_run:
                    continue
                if expired:
                    kept.head = None
                    kept.entries.clear()
                    kept.links.clear()
                for blob in orphans:
                    del kept.blobs[blob]
                kept.forget()
        return Swept(streams, blobs, size)

    async def close(self) -> None:
        with alone(self._lock):
            self._closed = True
            waiting = [news for waiting in self._waiting.values() for news in waiting]
        wake(waiting)

    def _head(self, stream: str) -> Head | None:
        self._open()
        kept = self._streams.get(stream)
        head = living(kept.head, clock()) if kept else None
        return head and head._replace(labels=dict(head.labels))

    def _open(self) -> None:
        if self._closed:
            raise InvalidError("memory: was closed: open it again")


def _recency(one: Listed) -> tuple[int, str]:
    return (-one.updated_at, one.name)
