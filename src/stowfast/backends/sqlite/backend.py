"""SQLite: keeps everything in one local file, for one machine and any number of its processes. The embedded default."""

from __future__ import annotations

import math
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast, get_args

from stowfast.abc import ALL, Backend, Change, Head, Listing, Query, Receipt, Slice, Swept, Window
from stowfast.backends.sqlite.audit import LOOKS
from stowfast.backends.sqlite.blobs import begin_blob, write_chunks
from stowfast.backends.sqlite.file import Durability, SQLiteFile
from stowfast.backends.sqlite.listing import listing
from stowfast.backends.sqlite.notify import News
from stowfast.backends.sqlite.read import END, calls, heads, read, read_chunks, read_many
from stowfast.backends.sqlite.rights import absolute, path_of
from stowfast.backends.sqlite.sweep import Sweeper, all_garbage, left_garbage, would_sweep
from stowfast.backends.sqlite.sweep_clock import SweepClock
from stowfast.backends.sqlite.writer import Work, Writer
from stowfast.backends.unclosed import warn_unclosed
from stowfast.backends.uploads import upload
from stowfast.blocking import begin, finish, in_thread, outcome
from stowfast.counts import counted
from stowfast.cursors import parse_cursor
from stowfast.errors import InvalidError
from stowfast.group_commit import GroupCommit
from stowfast.looks import look_through
from stowfast.names import check_name, clock, is_one_of, new_id, number_of, truth_of
from stowfast.semantics import check, is_news, refusals

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence
    from concurrent.futures import Future

    from stowfast.backends.sqlite.transaction import Transaction
    from stowfast.errors import StowfastError
    from stowfast.looks import Looked

__all__ = ["SQLiteBackend"]

R = TypeVar("R")

_CHUNK = 2**20
_READ_TOGETHER = 2**21
_READ_AHEAD = 2
_SECONDS_BETWEEN_SWEEPS = 3_600


@counted
class SQLiteBackend(Backend):
    """Streams and blobs in one SQLite file, in WAL mode.

    With `durability="full"` a commit returns after the operating system reports the log on disk: it survives a killed
    process and a power cut. With `durability="relaxed"` it survives a killed process; a power cut may lose the last
    commits, and the file stays whole, with the other commits in order.

    Args:
        path: the file. Created if missing, in an existing folder.
        durability: "full" or "relaxed".
        timeout: seconds to wait for the write lock of another process, before UnavailableError.
        read_only: the file is not made, changed or swept; each write is an InvalidError. A file without the right to
            write is opened so by itself.

    Raises:
        InvalidError: the file belongs to another program; it was left untouched.
        UnsupportedError: the file has a newer version, or its file system has no shared memory.
    """

    in_place = True

    def __init__(
        self, path: str, *, durability: Durability = "full", timeout: float = 60.0, read_only: bool = False
    ) -> None:
        self._sweep_clock = SweepClock(absolute(path))
        self._file = SQLiteFile(path, durability=durability, timeout=timeout, read_only=read_only)
        self._counts = self._file.counts
        self._news = News(self._file)
        self._writer = Writer(self._file, self._news)
        self._group: GroupCommit[Work, Any] = GroupCommit(self._writer.run)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="stowfast-read")
        self._uploads = ThreadPoolExecutor(1, thread_name_prefix="stowfast-upload")
        # One for all: each thread that makes MiBs keeps some of them, and one is faster than whoever checks a hash.
        self._downloads = ThreadPoolExecutor(1, thread_name_prefix="stowfast-download")
        self._sweeper = Sweeper(self._look_for_garbage, self._group.commit_here, self._empty_log)
        self._next_sweep = math.inf
        self._closed = False

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        durability: str = "full",
        timeout: str | float = 60,
        sweep: str | bool = True,
        read_only: str | bool = False,
    ) -> SQLiteBackend:
        """Open `sqlite:///relative.db` or `sqlite:////absolute/path.db`, off the event loop.

        With `sweep` a sweep runs behind, at once and every hour: no call waits for it.
        """
        path = path_of(url)
        if not is_one_of(durability, get_args(Durability)):
            raise InvalidError(f"durability: it is one of {', '.join(get_args(Durability))}")
        seconds = number_of(timeout)
        if not 0 <= seconds < math.inf:
            raise InvalidError("timeout: it is a number of seconds, 0 or more")
        sweeps, reads = _switch("sweep", sweep), _switch("read_only", read_only)
        opening = partial(cls, path, durability=cast("Durability", durability), timeout=seconds, read_only=reads)
        with ThreadPoolExecutor(1) as thread:
            backend = await in_thread(thread, opening)
        if sweeps and not backend._file.read_only:  # noqa: SLF001 - its own
            backend.sweep_behind()
        return backend

    def sweep_behind(self) -> None:
        """Begin a sweep in a thread of its own, now and every hour from now on, until `close`."""
        self._next_sweep = time.monotonic() + _SECONDS_BETWEEN_SWEEPS
        self._sweeper.begin(all_garbage)

    async def commit(self, stream: str, change: Change) -> Receipt:
        check_name(stream)
        check(change)
        self._check_open()
        receipt: Receipt = await self._group.submit(lambda transaction: transaction.commit(stream, change))
        self._sweep_if_due()
        return receipt

    async def commit_many(self, changes: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        self._check_open()
        refused = refusals(changes)
        made = [pair for pair, refusal in zip(changes, refused, strict=True) if refusal is None]
        found = iter(await self._group.submit_many([partial(_commit, stream, change) for stream, change in made]))
        self._sweep_if_due()
        return [refusal or next(found) for refusal in refused]

    def _sweep_if_due(self) -> None:
        if self._writer.take_garbage():
            self._sweeper.begin(left_garbage)
        if time.monotonic() > self._next_sweep:
            self.sweep_behind()

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        self._check_open()
        return await in_thread(self._threads, self._look, partial(read, stream=stream, window=window))

    async def read_many(self, reads: Sequence[tuple[str, Window]]) -> list[Slice | StowfastError]:
        self._check_open()
        return await in_thread(self._threads, self._look, partial(read_many, reads=reads))

    async def remembered(self, stream: str) -> dict[str, Receipt]:
        self._check_open()
        return await in_thread(self._threads, self._look, partial(calls, stream=stream))

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        self._check_open()
        return await in_thread(self._threads, self._look, partial(heads, streams=streams))

    async def streams(self, query: Query) -> Listing:
        self._check_open()
        last = parse_cursor(query)
        return await in_thread(self._threads, self._look, partial(listing, query=query, last=last))

    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        deadline = time.monotonic() + timeout
        while True:
            self._check_open()
            news = self._news.subscribe(stream, incarnation, next)
            try:
                if is_news((await self.heads([stream]))[0], incarnation, next):
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                await news.settle(left)
            finally:
                self._news.forget(stream, news)

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        check_name(stream)
        self._check_open()
        name = new_id()
        blob = await self._group.submit(partial(begin_blob, name=stream, blob=name))
        await upload(chunks, partial(self._write_chunks, blob, name))
        return name

    async def read_blob(
        self, stream: str, blob: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        self._check_open()
        stop = END if stop is None else min(stop, END)
        # The next few MiB are read while the caller has those before.
        ahead: deque[Future[list[bytes]]] = deque()
        more = True  # also who asks for nothing is told where there is no such blob
        while True:
            while more and len(ahead) < _READ_AHEAD:
                self._check_open()
                until = min(start + _READ_TOGETHER, max(start, stop))
                ahead.append(begin(self._downloads, self._read_chunks, stream, blob, start, until))
                start, more = until, until < stop
            if not ahead or not (read := await outcome(ahead.popleft())):
                return
            self.counts.gave(sum(map(len, read)))
            for chunk in read:
                yield chunk

    async def now(self) -> int:
        return clock()

    async def sweep(self, *, dry_run: bool = False) -> Swept:
        self._check_open()
        if dry_run:
            return await in_thread(self._threads, self._look_for_garbage, would_sweep)
        self._file.check_writable()
        swept = await in_thread(self._threads, self._sweeper.run, all_garbage)
        await in_thread(self._threads, self._empty_log)
        return swept

    async def audit(self) -> AsyncIterator[tuple[str, str]]:
        """Yield the damage that no read of a stream finds: a stream or table, and the reason. Nothing is written."""

        def perform(look: Callable[[sqlite3.Connection, int], Looked]) -> Awaitable[Looked]:
            self._check_open()
            return in_thread(self._threads, self._look, look)

        async for one in look_through(LOOKS, perform):
            yield one

    def __repr__(self) -> str:
        return f"SQLiteBackend({self._file.path!r})"

    def __del__(self) -> None:
        warn_unclosed("a SQLite file", closed=getattr(self, "_closed", True))

    async def close(self) -> None:
        if self._closed:
            return
        if self._file.is_forked:  # all is the parent's, also what was queued at the fork
            self._closed = True
            return
        self._group.check_thread()
        self._closed = True
        await finish(self._threads, self._uploads.shutdown)
        await finish(self._threads, self._sweeper.close)
        await finish(self._threads, self._group.close)
        self._news.close()
        await finish(self._threads, self._file.close)
        self._downloads.shutdown(wait=False)
        self._threads.shutdown(wait=False)

    def _check_open(self) -> None:
        # Before a thread is asked for anything: threads do not come through a fork, and would never answer.
        self._file.check_process()
        if self._closed:
            raise InvalidError(f"{self._file.path} was closed: open it again")

    def _write_chunks(self, blob: int, name: str, start: int, held: list[bytes], *, last: bool) -> Future[None]:
        self._check_open()
        self.counts.took(sum(map(len, held)))
        # A thread that does nothing else: no reader waits for a thread behind an upload.
        return begin(self._uploads, self._group.commit_here, partial(_write, blob, name, start, held, last))

    def _read_chunks(self, stream: str, blob: str, offset: int, stop: int) -> list[bytes]:
        self._check_open()
        return self._look(partial(read_chunks, stream=stream, blob=blob, offset=offset, stop=stop))

    def _look(self, query: Callable[[sqlite3.Connection, int], R]) -> R:
        with self._file.snapshot() as connection:
            return query(connection, clock())

    def _look_for_garbage(self, query: Callable[[sqlite3.Connection, int], R]) -> R:
        with self._file.snapshot() as connection:
            return query(connection, self._sweep_clock.now())

    def _empty_log(self) -> None:
        # What was deleted is overwritten in the file (secure_delete); an older copy may still be in the log.
        with self._file.errors():
            connection = self._file.connect()
            try:
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")  # most of it without the write lock
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()


def _commit(stream: str, change: Change, transaction: Transaction) -> Receipt:
    return transaction.commit(stream, change)


def _switch(name: str, value: str | bool) -> bool:
    if (said := truth_of(value)) is None:
        raise InvalidError(f"{name}: it is true or false")
    return said


def _write(blob: int, name: str, start: int, held: list[bytes], last: bool, transaction: Transaction) -> None:
    if all(len(piece) == _CHUNK for piece in held):
        write_chunks(transaction, blob, name, start, held, last=last)
        return
    whole = memoryview(b"".join(held))
    chunks = [whole[offset : offset + _CHUNK] for offset in range(0, len(whole), _CHUNK)]
    write_chunks(transaction, blob, name, start, chunks, last=last)
