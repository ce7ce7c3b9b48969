"""Threads as this process knows them: their logs, cached, and the reads to complete them."""

from __future__ import annotations

import asyncio
import itertools
import threading
from typing import TYPE_CHECKING, Final

from stowfast.abc import Query, Window
from stowfast.adapters.langgraph.entries import decode_entry
from stowfast.adapters.langgraph.log import ThreadLog
from stowfast.adapters.langgraph.outbox import Outbox
from stowfast.adapters.langgraph.texts import TextCache, ThreadTexts
from stowfast.blocking import alone
from stowfast.errors import UnavailableError
from stowfast.lru import LRU
from stowfast.names import check_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from stowfast.abc import Backend, Entry, Head, Receipt
    from stowfast.adapters import Opener
    from stowfast.adapters.langgraph.entries import StoredCheckpoint, StoredWrites
    from stowfast.adapters.langgraph.seal import Seal

__all__ = ["MAX_READS", "Thread", "Threads", "stream_of", "unsettled"]

MAX_READS: Final = 50
"""Reads of a thread that is deleted and begun again all the time, before it is given up."""
_STREAMS: Final = "langgraph/"
_MAX_ID_BYTES: Final = 1_024
_FIRST_PAGE_BYTES: Final = 2**17
_PAGE_BYTES: Final = 2**22
_FIRST_STEP: Final = 64
"""Entries of the first look further back; each one after it is four times as far."""
_CACHE_BYTES: Final = 2**26
"""Of entries, and as many of texts."""
_LIST_PAGE: Final = 1_000
_MAX_LIVES: Final = 10_000
"""Checkpoints put by this process, remembered with their incarnation."""


def stream_of(thread: str) -> str:
    """Return the name of a thread's stream.

    Raises:
        InvalidError: the id is empty, over 1,024 bytes of UTF-8, or has NUL.
    """
    check_name(thread, "a thread_id", max_bytes=_MAX_ID_BYTES)
    return _STREAMS + thread


def unsettled(thread: str) -> UnavailableError:
    """Return the error of a call after too many incarnations of a thread."""
    return UnavailableError(f"thread {thread!r} was deleted and begun again all the time: repeat the call")


class Thread:
    """One thread: the log and the texts of its present incarnation, and the entries on their way into it."""

    def __init__(self, id: str, outbox: Outbox) -> None:
        self.id = id
        self.stream = stream_of(id)
        self.outbox = outbox
        self.texts: ThreadTexts | None = None
        """None: unknown, or there is no such thread."""

    @property
    def memory(self) -> int:
        """Approximate bytes in memory."""
        return 1_024 + (self.texts.log.memory if self.texts is not None else 0)


class Threads:
    """The threads of one saver and its copies. Safe in several threads and event loops."""

    def __init__(self, opener: Opener, seal: Seal, linger: float) -> None:
        self.opener = opener
        self.seal = seal
        self.number = next(_numbers)
        self._linger = linger
        self._tasks: set[asyncio.Task[None]] = set()
        self._texts = TextCache(_CACHE_BYTES)
        self._lock = threading.RLock()
        self._lives: LRU[tuple[str, str, str], str] = LRU(_MAX_LIVES)
        self._threads: LRU[str, Thread] = LRU(_CACHE_BYTES, lambda thread: thread.memory)

    async def settle(self) -> None:
        """Wait for the commits of cancelled callers of this event loop."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(task for task in tuple(self._tasks) if task.get_loop() is loop), return_exceptions=True)

    async def backend(self) -> Backend:
        """Return the backend, opened."""
        return (await self.opener.open()).backend

    def get(self, id: str) -> Thread:
        """Return a thread as it is known."""
        with alone(self._lock):
            thread = self._threads.get(id)
            if thread is None:
                thread = Thread(id, Outbox(self._linger, self._tasks))
            self._threads.put(id, thread)
            return thread

    async def ids(self) -> AsyncIterator[str]:
        """Yield the ids of all threads, the last changed first."""
        after = None
        while True:
            query = Query(_STREAMS, order="recent", after=after, limit=_LIST_PAGE)
            page = await (await self.backend()).streams(query)
            for listed in page.streams:
                yield listed.name.removeprefix(_STREAMS)
            after = page.after
            if after is None:
                return

    async def refresh(self, thread: Thread) -> ThreadTexts | None:
        """Read the news of a thread; of an unknown one only the newest entries. None: there is no such thread."""
        backend = await self.backend()
        for _ in range(MAX_READS):
            texts = thread.texts
            if texts is None:
                window = Window(start=0, newest=True, max_bytes=_FIRST_PAGE_BYTES)
            else:
                window = Window(start=texts.log.next, max_bytes=_PAGE_BYTES)
            head, entries = await backend.read(thread.stream, window)
            texts = self._grown(thread, texts, head, entries)
            if head is None or (texts is not None and texts.log.next >= head.next):
                return texts
        raise unsettled(thread.id)

    async def extend(self, thread: Thread, texts: ThreadTexts, floor: int) -> bool:
        """Read a thread further back. False: it was deleted, or begun again."""
        backend, floor = await self.backend(), max(floor, 0)
        while texts.log.floor > floor:
            stop = texts.log.floor
            window = Window(start=floor, stop=stop, newest=True, max_bytes=_PAGE_BYTES)
            head, entries = await backend.read(thread.stream, window)
            if head is None or head.incarnation != texts.log.incarnation or not entries:
                self.forget(thread, texts)
                return False
            with alone(texts.log.lock):
                if texts.log.floor == stop:
                    texts.log.prepend(self._decoded(thread, entries))
        return True

    async def whole(self, id: str) -> tuple[Thread, ThreadTexts | None]:
        """Return a thread with all its entries."""
        thread = self.get(id)
        for _ in range(MAX_READS):
            texts = await self.refresh(thread)
            if texts is None or await self.extend(thread, texts, 0):
                return thread, texts
        raise unsettled(thread.id)

    async def find(self, id: str, ns: str, checkpoint: str | None) -> tuple[Thread, ThreadTexts | None, int | None]:
        """Return the position of a checkpoint, or of the newest, with its needs; None: there is none."""
        thread = self.get(id)
        for _ in range(MAX_READS):
            texts = await self.refresh(thread)
            if texts is None:
                return thread, None, None
            found, position = await self._found(thread, texts, ns, checkpoint)
            if found:
                return thread, texts, position
        raise unsettled(thread.id)

    async def complete(self, thread: Thread, texts: ThreadTexts, position: int) -> bool:
        """Read the needs of a checkpoint. False: the thread was deleted, or begun again."""
        with alone(texts.log.lock):
            floor = texts.needed_from(position)
        return await self.extend(thread, texts, floor)

    def landed(self, thread: Thread, receipt: Receipt, entries: Sequence[StoredCheckpoint | StoredWrites]) -> bool:
        """Take entries just committed. False: there are others before them, not read yet."""
        texts = thread.texts
        if texts is None and receipt.first == 0:
            texts = self._begun(thread, receipt.incarnation, 0)
        if texts is None or texts.log.incarnation != receipt.incarnation:
            return False
        with alone(texts.log.lock):
            if texts.log.next == receipt.first:
                texts.log.append(entries)
            return texts.log.next >= receipt.next

    def life_of(self, thread: str, ns: str, checkpoint: str | None) -> str | None:
        """Return the incarnation in which this process put a checkpoint; None: unknown."""
        with alone(self._lock):
            return None if checkpoint is None else self._lives.get((thread, ns, checkpoint))

    def note_life(self, thread: str, ns: str, checkpoint: str, incarnation: str) -> None:
        """Note the incarnation in which this process put a checkpoint."""
        with alone(self._lock):
            self._lives.put((thread, ns, checkpoint), incarnation)

    def blank(self, thread: Thread) -> ThreadTexts:
        """Return the texts of a thread without entries."""
        return ThreadTexts(thread.id, ThreadLog("", 0), self.seal, self._texts)

    def forget(self, thread: Thread, texts: ThreadTexts | None) -> None:
        """Forget an incarnation of a thread."""
        with alone(self._lock):
            if thread.texts is texts:
                thread.texts = None

    async def _found(
        self, thread: Thread, texts: ThreadTexts, ns: str, checkpoint: str | None
    ) -> tuple[bool, int | None]:
        log, step = texts.log, _FIRST_STEP
        while True:
            with alone(log.lock):
                position = log.newest(ns) if checkpoint is None else log.position_of(ns, checkpoint)
                if position is None:
                    floor = log.floor - step
                else:
                    # Those behind it that seem not to count might count, seen from further back.
                    behind = (one for one in log.candidates(ns) if checkpoint is None and one > position)
                    floor = min((texts.needed_from(position), *map(log.judged_from, behind)))
                if floor >= log.floor or log.floor == 0:
                    return True, position
            if position is None:
                step *= 4
            if not await self.extend(thread, texts, floor):
                return False, None

    def _grown(
        self, thread: Thread, texts: ThreadTexts | None, head: Head | None, entries: list[Entry]
    ) -> ThreadTexts | None:
        """Take the entries of a read. None: there is no such thread, or it has another incarnation than before."""
        if head is None:
            self.forget(thread, texts)
            return None
        if texts is None:
            texts = self._begun(thread, head.incarnation, entries[0].position if entries else head.next)
        if texts.log.incarnation != head.incarnation:
            self.forget(thread, texts)
            return None
        with alone(texts.log.lock):
            fresh = [entry for entry in entries if entry.position >= texts.log.next]
            if fresh and fresh[0].position == texts.log.next:
                texts.log.append(self._decoded(thread, fresh))
        return texts

    def _begun(self, thread: Thread, incarnation: str, start: int) -> ThreadTexts:
        with alone(self._lock):
            if thread.texts is None:
                thread.texts = ThreadTexts(thread.id, ThreadLog(incarnation, start), self.seal, self._texts)
            return thread.texts

    @staticmethod
    def _decoded(thread: Thread, entries: list[Entry]) -> list[StoredCheckpoint | StoredWrites]:
        where = f"thread {thread.id!r}"
        return [decode_entry(one.data, where, one.position) for one in entries]


_numbers: Final = itertools.count()
