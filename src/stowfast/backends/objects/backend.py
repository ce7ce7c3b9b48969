"""Object storage as a place: S3 and every store like it, Google, Azure. No other service beside the bucket."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stowfast.abc import ALL, READS_TOGETHER, Backend, Change, Head, Listing, Query, Receipt, Slice, Swept, Window
from stowfast.backends.objects.blobs import Blobs
from stowfast.backends.objects.cache import Cache
from stowfast.backends.objects.clock import StoreClock
from stowfast.backends.objects.commit_queue import CommitQueues
from stowfast.backends.objects.driver.examine import examine
from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.driver.options import SCHEMES
from stowfast.backends.objects.driver.readiness import Readiness
from stowfast.backends.objects.protocol.audit import LOOKS
from stowfast.backends.objects.protocol.listing import heads, listing
from stowfast.backends.objects.protocol.load import read_living
from stowfast.backends.objects.protocol.read import calls, read
from stowfast.backends.objects.protocol.requests import Environment
from stowfast.backends.objects.sweeper import BucketSweeper
from stowfast.backends.unclosed import warn_unclosed
from stowfast.blocking import finish, in_thread, outcomes, outcomes_in_threads
from stowfast.counts import counted
from stowfast.cursors import parse_cursor
from stowfast.errors import InvalidError, StowfastError, UnsupportedError
from stowfast.looks import look_through
from stowfast.names import check_name, clock, new_id
from stowfast.semantics import check, is_news, refusals

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
    from datetime import timedelta

    from stowfast.backends.objects.driver.examine import Finding
    from stowfast.backends.objects.driver.store import BucketClient
    from stowfast.backends.objects.protocol.requests import Steps
    from stowfast.backends.objects.protocol.state import State

__all__ = ["ObjectBackend"]

R = TypeVar("R")

_THREADS: Final = 64
_MANY_LEADERS: Final = 512
"""Where a leader waits before its request: for the pace, or for companions."""
_FIRST_LOOK: Final = 0.05
_LATER_LOOK: Final = 1.0


@counted
class ObjectBackend(Backend):
    """Streams and blobs in a bucket, for any number of processes and machines.

    A commit is one conditional PUT of the stream's head, and returns after the store has acknowledged it. Concurrent
    commits of this process to one stream share one PUT. With `linger` a commit waits so many seconds for others to
    share its PUT with: cancelled in this wait it stores nothing, and a close ends the wait. A read requests the head
    with its cached token: an unchanged head is a 304 without a body.

    A stream has expired once this machine's clock and the store's clock both say so. A listing shows the store's time
    of the last change, often in whole seconds. No safety depends on either clock.

    Args:
        store: performs the requests. The first call tests its conditional writes.

    Raises:
        UnsupportedError: the store ignores conditional writes, so no promise could be kept. Nothing was stored.
    """

    in_place = True

    def __init__(self, store: BucketClient) -> None:
        self._store = store
        self._counts = store.counts
        self._environment = Environment(clock, new_id, random.random, pace=store.pace, store_now=self._store_now)
        self._cache = Cache(store.perform)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="stowfast-objects")
        # Threads of their own: a commit may have to wait for its turn, and no read should wait for that.
        self._leaders = ThreadPoolExecutor(_MANY_LEADERS if store.pace or store.linger else _THREADS, "stowfast-commit")
        self._lines = CommitQueues(self._run_writing, self._leaders, self._threads, self._environment, store)
        self._clock = StoreClock(self._run)
        self.ready = Readiness(store, self._environment)
        self._blobs = Blobs(store, self._threads, self._lines, self.ready, self._check_open, self._ask)
        self._sweeper = BucketSweeper(self._run, store, self._lines.note_change, self._environment)
        self._closed = False

    @classmethod
    def option_names(cls, scheme: str) -> Sequence[str]:
        return SCHEMES[scheme]

    @classmethod
    async def open(cls, url: str, **options: Any) -> ObjectBackend:
        """Open `s3://bucket/prefix`, `gs://bucket/prefix` or `az://container/prefix`, and test the store."""
        with ThreadPoolExecutor(1) as thread:
            backend = await in_thread(thread, partial(cls.at, url, **options))
            try:
                await in_thread(thread, backend.ready.to_read)
            except BaseException:
                await backend.close()
                raise
        return backend

    @classmethod
    def at(cls, url: str, **options: Any) -> ObjectBackend:
        """Make the place of a URL without a request: the first call tests the store."""
        return cls(open_store(url, **options))

    async def commit(self, stream: str, change: Change) -> Receipt:
        check_name(stream)
        check(change)
        self._check_open()
        return await self._lines.submit(stream, change).outcome()

    async def commit_many(self, changes: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        self._check_open()
        refused = refusals(changes)
        made = self._lines.submit_many([one for one, no in zip(changes, refused, strict=True) if no is None])
        found = iter([*await outcomes(answer.outcome() for answer in made)])
        return [refusal or next(found) for refusal in refused]

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        return await self._ask(stream, read, window)

    async def read_many(self, reads: Sequence[tuple[str, Window]]) -> list[Slice | StowfastError]:
        self._check_open()
        return await outcomes_in_threads(self._threads, self._read_one, reads, READS_TOGETHER)

    async def remembered(self, stream: str) -> dict[str, Receipt]:
        return await self._ask(stream, calls)

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        known = {name: state for name in streams if (state := self._lines.known(name)) is not None}
        found, whole = await self._do(heads(streams, known, self._environment))
        for state in whole:
            self._lines.learn(state.name, state)
        return found

    async def streams(self, query: Query) -> Listing:
        return await self._do(listing(query, parse_cursor(query), self._environment))

    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        deadline, pause = time.monotonic() + timeout, _FIRST_LOOK
        while True:
            self._check_open()
            news = self._lines.subscribe(stream)
            try:
                if is_news(await self._ask(stream, read_living), incarnation, next):
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                # Other processes do not tell: look again, less and less often, for the price of a 304.
                told = await news.settle(min(left, pause))
                pause = _FIRST_LOOK if told else min(1.5 * pause, _LATER_LOOK)
            finally:
                self._lines.forget(stream, news)

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        return await self._blobs.write(stream, chunks)

    def read_blob(self, stream: str, blob: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        return self._blobs.read(stream, blob, start=start, stop=stop)

    async def blob_url(self, stream: str, blob: str, *, expires: timedelta) -> str:
        return await self._blobs.url(stream, blob, expires)

    async def now(self) -> int:
        self._check_open()
        return await in_thread(self._threads, self._store_now)

    async def sweep(self, *, dry_run: bool = False) -> Swept:
        self._check_open()
        return await in_thread(self._threads, partial(self._sweeper.sweep, dry_run=dry_run))

    async def audit(self) -> AsyncIterator[tuple[str, str]]:
        """Yield the damage that no read of a stream finds: a stream or key, and the reason. Nothing is written."""
        async for one in look_through(LOOKS, lambda look: self._do(look(self._environment))):
            yield one

    async def examine(self, *, race: bool) -> AsyncIterator[Finding]:
        """Yield the findings for `stowfast doctor`: a subject, its result, and a detail."""
        findings = examine(self._store, race_too=race)
        while (finding := await in_thread(self._threads, next, findings, None)) is not None:
            yield finding

    def __repr__(self) -> str:
        return f"ObjectBackend({self._store!r})"

    def __del__(self) -> None:
        warn_unclosed("an object store", closed=getattr(self, "_closed", True))

    async def close(self) -> None:
        if self._closed:
            return
        if self._store.is_forked:  # all is the parent's, also what was queued at the fork
            self._closed = True
            return
        self._lines.close()
        self._closed = True
        with ThreadPoolExecutor(1) as thread:
            await finish(thread, self._leaders.shutdown)
            await finish(thread, self._threads.shutdown)
            await finish(thread, self._store.close)

    async def _ask(self, stream: str, ask: Callable[..., Steps[tuple[State | None, R]]], *given: Any) -> R:
        state, found = await self._do(ask(stream, self._lines.known(stream), *given, self._environment))
        if state is not None:
            self._lines.learn(stream, state)
        return found

    def _read_one(self, one: tuple[str, Window]) -> Slice:
        stream, window = one
        state, found = self._run(read(stream, self._lines.known(stream), window, self._environment))
        if state is not None:
            self._lines.learn(stream, state)
        return found

    async def _do(self, steps: Steps[R]) -> R:
        self._check_open()
        return await in_thread(self._threads, self._run, steps)

    def _run(self, steps: Steps[R]) -> R:
        self.ready.to_read()
        return self._cache.run(steps)

    def _run_writing(self, steps: Steps[R]) -> R:
        self.ready.to_write()
        return self._cache.run(steps)

    def _store_now(self) -> int:
        try:
            return self._clock.now()
        except (InvalidError, UnsupportedError):  # these credentials may only read
            return clock()

    def _check_open(self) -> None:
        # Before a thread is asked for anything: threads do not come through a fork, and would never answer.
        self._store.check_open()
        if self._closed:
            raise InvalidError(f"{self._store.place} was closed: open it again")
