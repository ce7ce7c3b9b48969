"""PostgreSQL: keeps everything in one schema of a database, for many machines."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stowfast.abc import ALL, READS_TOGETHER, Backend, Change, Head, Listing, Query, Receipt, Slice, Swept, Window
from stowfast.backends.postgres.audit import LOOKS
from stowfast.backends.postgres.blobs import CHUNK_BYTES, begin_blob, write_chunks
from stowfast.backends.postgres.committer import Committer
from stowfast.backends.postgres.database import Database
from stowfast.backends.postgres.hints import HintListener, HintSender, channel_of, send_hint
from stowfast.backends.postgres.news import FIRST_POLL_SECONDS, MAX_POLL_SECONDS, LocalNews, Poller
from stowfast.backends.postgres.options import PARAMETERS, parse_address, parse_options
from stowfast.backends.postgres.read import calls, find_blob, heads, listing, read, read_chunks
from stowfast.backends.postgres.sweep import remove_garbage, sweep, would_sweep
from stowfast.backends.unclosed import warn_unclosed
from stowfast.backends.uploads import upload
from stowfast.blocking import begin, finish, in_thread, outcome, outcomes_in_threads, runs_in_place, submit
from stowfast.counts import counted
from stowfast.cursors import parse_cursor
from stowfast.errors import DamagedError, InvalidError, StowfastError, UnsupportedError
from stowfast.group_commit import GroupCommit
from stowfast.looks import look_through
from stowfast.names import check_name, new_id
from stowfast.semantics import check, is_news, refusals

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
    from concurrent.futures import Future

    from stowfast.group_commit import Begun

__all__ = ["PostgresBackend"]

R = TypeVar("R")

_CHUNKS_TOGETHER: Final = 2
_READ_AHEAD: Final = 2
_INLINE_SECONDS: Final = 0.0005
"""An append alone is sent from the event loop while commits take less. A switch to a thread and back costs 0.1 ms."""
_SWEEP_AT_END: Final = 10.0
"""Seconds of a closing for the rest of large deletions; what is left then is for the next sweep."""


@counted
class PostgresBackend(Backend):
    """Streams and blobs in one schema of a PostgreSQL database, 15 or newer.

    A commit returns after the server has it on disk. An asynchronous replica may lack the last commits: a failover to
    it can lose acknowledged ones, and no client can prevent that.
    """

    in_place = True

    def __init__(self, database: Database, timeout: float, *, notify: bool = True) -> None:
        self._database = database
        self._counts = database.counts
        self._committer = Committer(database, timeout)
        self._news = LocalNews()
        channel = channel_of(database.schema)
        notify = notify and database.is_direct  # a pooler lets a session listen, and delivers nothing
        listener = HintListener(database.connect, channel, listens=notify)
        self._poller = Poller(lambda streams: database.ask(partial(heads, streams=streams), time.monotonic()), listener)
        self._hints = HintSender(partial(send_hint, database, channel)) if notify else None
        self._group: GroupCommit[tuple[str, Change], Any] = GroupCommit(self._run, inline_below=_INLINE_SECONDS)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="stowfast-read")
        self._uploads = ThreadPoolExecutor(1, thread_name_prefix="stowfast-upload")
        self._downloads = ThreadPoolExecutor(1, thread_name_prefix="stowfast-download")
        self._sweeper = ThreadPoolExecutor(1, thread_name_prefix="stowfast-sweep")
        self._swept_until = inf
        self._closed = False

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        schema: str = "stowfast",
        durability: str = "full",
        timeout: str | float = 30,
        pool: str | int = 10,
        migrate: str | bool = True,
        notify: str | bool = True,
        **parameters: str,
    ) -> PostgresBackend:
        """Open `postgresql://user:password@host:port/database`, off the event loop.

        Args:
            url: a connection URI, without a query.
            schema: the schema with the tables. It is made if it is missing.
            durability: "full", or "relaxed" for a server that does not wait for its disk.
            timeout: seconds to wait for a connection of the pool, for a lock of another session (at least one second),
                and for the server to come back; and, with two more, for an answer, or ten times as many for a slow one.
                A new connection takes at most `connect_timeout` for each address: the timeout, within 2 and 10 s.
                Without an answer the connection is closed.
            pool: the most connections for reads and blobs. One more commits.
            migrate: make or update the tables.
            notify: tell other processes of commits, after them, so that their waits end at once instead of at the next
                query, up to a second later. It is off behind a pooler in any case.
            parameters: parameters of libpq, such as `sslmode`.

        Raises:
            InvalidError: an option is wrong, the server refuses the role, or the schema belongs to another program.
            UnsupportedError: psycopg is not installed, or the server or the schema does not fit.
            UnavailableError: the server gives no answer, or is not the primary.
        """
        try:
            import psycopg  # noqa: F401
        except ImportError as error:
            raise UnsupportedError("postgresql: needs psycopg: pip install 'stowfast[postgres]'") from error
        options = parse_options(
            schema, durability=durability, timeout=timeout, pool=pool, migrate=migrate, notify=notify,
            parameters=parameters,
        )  # fmt: skip
        parse_address(url)
        make = partial(
            Database, url, options.parameters, options.schema, pool=options.pool, timeout=options.timeout,
            durable=options.durable, may_migrate=options.migrate,
        )  # fmt: skip
        with ThreadPoolExecutor(1) as thread:
            return cls(await in_thread(thread, make), options.timeout, notify=options.notify)

    @classmethod
    def option_names(cls, scheme: str) -> Sequence[str]:
        return [*(name for name in super().option_names(scheme) if name != "parameters"), *PARAMETERS]

    async def commit(self, stream: str, change: Change) -> Receipt:
        check_name(stream)
        check(change)
        self._check_open()
        try:
            receipt: Receipt = await self._group.submit((stream, change))
        finally:
            self._begin_work_behind()
        return receipt

    async def commit_many(self, changes: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        self._check_open()
        refused = refusals(changes)
        made = [pair for pair, refusal in zip(changes, refused, strict=True) if refusal is None]
        try:
            found = iter(await self._group.submit_many(made))
        finally:
            self._begin_work_behind()
        return [refusal or next(found) for refusal in refused]

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        return await self._look(partial(read, stream=stream, window=window))

    async def read_many(self, reads: Sequence[tuple[str, Window]]) -> list[Slice | StowfastError]:
        self._check_open()
        asked = time.monotonic()

        def read_one(one: tuple[str, Window]) -> Slice:
            return self._database.ask(partial(read, stream=one[0], window=one[1]), asked)

        return await outcomes_in_threads(self._threads, read_one, reads, READS_TOGETHER)

    async def remembered(self, stream: str) -> dict[str, Receipt]:
        return await self._look(partial(calls, stream=stream))

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        return await self._look(partial(heads, streams=streams))

    async def streams(self, query: Query) -> Listing:
        return await self._look(partial(listing, query=query, last=parse_cursor(query)))

    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        deadline, pause = time.monotonic() + timeout, FIRST_POLL_SECONDS
        while True:
            news = self._news.subscribe(stream)
            try:
                if is_news((await self.heads([stream]))[0], incarnation, next):
                    return True
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                # The sync face has no other thread: it asks by itself.
                if runs_in_place() or not self._poller.watch(news, stream, incarnation, next):
                    left, pause = min(left, pause), min(1.5 * pause, MAX_POLL_SECONDS)
                await news.settle(left)
            finally:
                news.cancel()
                self._news.forget(stream, news)
                self._poller.forget(news)

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        check_name(stream)
        self._check_open()
        name = new_id()
        row = await in_thread(
            self._uploads, self._write, time.monotonic(), partial(begin_blob, stream=stream, blob=name)
        )
        await upload(chunks, partial(self._write_chunks, row))
        return name

    def _write_chunks(self, row: int, start: int, held: list[bytes], *, last: bool) -> Future[None]:
        self._check_open()
        self.counts.took(sum(map(len, held)))
        piece = partial(write_chunks, blob=row, start=start, pieces=held, last=last)
        return begin(self._uploads, self._write, time.monotonic(), piece)

    def _write(self, asked: float, piece: Callable[[Database], R]) -> R:
        self._database.check_answers(asked)
        return piece(self._database)

    async def read_blob(
        self, stream: str, blob: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        row, size = await self._look(partial(find_blob, stream=stream, blob=blob))
        stop = size if stop is None else min(stop, size)
        ahead: deque[Future[list[tuple[int, bytes]]]] = deque()
        at, asked = start, start
        while at < stop:
            while asked < stop and len(ahead) < _READ_AHEAD:
                ahead.append(begin(self._downloads, self._chunks, row, asked, stop, time.monotonic()))
                asked = (asked // CHUNK_BYTES + _CHUNKS_TOGETHER) * CHUNK_BYTES
            read_now = await outcome(ahead.popleft()) if ahead else []
            if not read_now:
                await self._look(partial(find_blob, stream=stream, blob=blob))  # it was removed meanwhile
                raise DamagedError(f"{stream!r}: pieces of its blob {blob!r} are missing: restore a backup")
            for offset, data in read_now:
                if offset > at or offset + len(data) <= at:
                    raise DamagedError(f"{stream!r}: pieces of its blob {blob!r} are missing: restore a backup")
                piece = bytes(data[at - offset : stop - offset])
                at += len(piece)
                self.counts.gave(len(piece))
                yield piece

    def _chunks(self, row: int, start: int, stop: int, asked: float) -> list[tuple[int, bytes]]:
        self._check_open()
        first = start // CHUNK_BYTES * CHUNK_BYTES
        query = partial(read_chunks, row=row, start=first, stop=stop, count=_CHUNKS_TOGETHER)
        return self._database.ask(query, asked)

    async def now(self) -> int:
        def look(connection: Any, statements: Any) -> int:
            return int(connection.execute(statements["now"]).fetchone()[0])

        return await self._look(look)

    async def sweep(self, *, dry_run: bool = False) -> Swept:
        self._check_open()
        return await in_thread(self._threads, would_sweep if dry_run else sweep, self._database)

    async def place_id(self) -> str:
        """Return the same text for each opening of this schema, whatever the spelling of the URL."""

        def look(connection: Any, statements: Any) -> str:
            return "/".join(connection.execute(statements["place"], [self._database.schema]).fetchone())

        return await self._look(look)

    async def audit(self) -> AsyncIterator[tuple[str, str]]:
        """Yield the damage that no read of a stream finds: a stream or table, and the reason. Nothing is written."""
        async for one in look_through(LOOKS, self._look):
            yield one

    def __repr__(self) -> str:
        return f"PostgresBackend({self._database!r})"

    def __del__(self) -> None:
        warn_unclosed("a PostgreSQL store", closed=getattr(self, "_closed", True))

    async def close(self) -> None:
        if self._closed:
            return
        if self._database.is_forked:  # all is the parent's: a goodbye of this process would end its connections
            self._closed = True
            return
        self._group.check_thread()
        self._closed = True
        self._swept_until = time.monotonic() + _SWEEP_AT_END
        await finish(self._threads, self._poller.close)
        await finish(self._threads, self._uploads.shutdown)
        await finish(self._threads, self._group.close)
        self._begin_work_behind()
        await finish(self._threads, self._committer.close)
        await finish(self._threads, self._sweeper.shutdown)
        if self._hints is not None:
            await finish(self._threads, self._hints.close)
        await finish(self._threads, self._database.close)
        self._downloads.shutdown(wait=False)
        self._threads.shutdown(wait=False)

    def _check_open(self) -> None:
        self._database.check_process()
        if self._closed:
            raise InvalidError("these stores were closed: open them again")

    def _run(self, works: Sequence[tuple[str, Change]], wait: bool) -> Begun[Any]:
        if wait:
            return self._told(works, self._committer.run(works))
        begun = self._committer.begin(*works[0]) if len(works) == 1 else None
        if callable(begun):
            rest = begun
            return lambda: self._told(works, rest())
        return None if begun is None else self._told(works, [begun])

    def _told(self, works: Sequence[tuple[str, Change]], outcomes: list[Any]) -> list[Any]:
        streams = {stream for stream, _ in works}
        self._news.announce(streams)
        if self._hints is not None:
            self._hints.announce(streams)
        return outcomes

    def _begin_work_behind(self) -> None:
        # In the caller's thread. The thread that commits would wait for a lock of Python's thread pools, and a signal
        # handler inside that lock may wait for the thread that commits.
        if self._committer.left_garbage:
            self._committer.left_garbage = False
            with suppress(StowfastError):  # without a thread it is left to the next sweep
                submit(self._sweeper, remove_garbage, self._database, self._may_sweep)
        if self._hints is not None:
            self._hints.begin()

    def _may_sweep(self) -> bool:
        return time.monotonic() < self._swept_until

    async def _look(self, query: Callable[[Any, Any], R]) -> R:
        self._check_open()
        return await in_thread(self._threads, self._database.ask, query, time.monotonic())
