"""Blobs of a bucket: one object each, written and read piece by piece in threads."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.backends.objects.driver.transfers import Upload, download, let_go
from stowfast.backends.objects.protocol.draft import BLOB
from stowfast.backends.objects.protocol.keys import keys_of
from stowfast.backends.objects.protocol.read import find_blob
from stowfast.blocking import begin, in_thread, outcome
from stowfast.errors import DamagedError, InvalidError, NotFoundError, StowfastError
from stowfast.names import check_name, new_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Generator, Iterator
    from concurrent.futures import Executor, Future

    from stowfast.backends.objects.commit_queue import CommitQueues
    from stowfast.backends.objects.driver.readiness import Readiness
    from stowfast.backends.objects.driver.store import BucketClient

__all__ = ["Blobs"]

_SHORTEST_LINK: Final = timedelta(seconds=1)
_LONGEST_LINK: Final = timedelta(days=7)


class Blobs:
    """The blobs of a bucket. The methods are those of `Backend`.

    Args:
        check_open: raises an InvalidError if the backend was closed.
        ask: reads a stream by a function of the protocol.
    """

    def __init__(
        self, store: BucketClient, threads: Executor, lines: CommitQueues, ready: Readiness,
        check_open: Callable[[], None], ask: Callable[..., Awaitable[Any]],
    ) -> None:  # fmt: skip
        self._store = store
        self._threads = threads
        self._lines = lines
        self._ready = ready
        self._check_open = check_open
        self._ask = ask

    async def write(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        check_name(stream)
        self._check_open()
        known = self._lines.known(stream)
        file, size = new_id(), 0
        upload = Upload(self._store, keys_of(stream).blob(file))
        under_way: Future[Any] = begin(self._threads, self._ready.to_write)
        try:
            # One piece is handed to the driver while the next one is made.
            async for chunk in chunks:
                await outcome(under_way)
                size += len(chunk)
                under_way = begin(self._threads, upload.write, bytes(chunk))
            await outcome(under_way)
            under_way = begin(self._threads, upload.close)
            await outcome(under_way)
        except BaseException:
            # After what was under way when this call was cancelled.
            try:
                begin(self._threads, upload.abort_after, under_way)
            except StowfastError:  # the backend was closed, or no thread can be made
                upload.abort_after(under_way)
            raise
        blob = f"{file}-{size}"
        self._lines.wrote(stream, blob, known.dropped if known is not None else 0)
        return blob

    async def read(self, stream: str, blob: str, *, start: int, stop: int | None) -> AsyncIterator[bytes]:
        told = BLOB.fullmatch(blob)
        size = int(told[1]) if told is not None else 0
        offset, stop = start, size if stop is None else min(stop, size)
        self._check_open()
        # The body is asked for beside the head that says whether it may be shown: one round trip instead of two. A
        # blob that is not there now, and never comes back, is not there for whatever head was read meanwhile either.
        body = begin(self._threads, self._download, keys_of(stream).blob(blob), start, stop)
        try:
            found = await self._ask(stream, find_blob, blob)
            if not found or told is None:
                raise NotFoundError(f"{stream!r} has no blob {blob!r}")
            pieces = await outcome(body)
        except BaseException:
            body.cancel()
            body.add_done_callback(let_go)
            raise
        if pieces is None:
            if not await self._ask(stream, find_blob, blob):
                raise NotFoundError(f"{stream!r} has no blob {blob!r}: it was removed meanwhile")
            raise DamagedError(f"a blob of {stream!r} is not there, though an entry refers to it")
        # The next piece comes in while the caller has the one before. Not more of them: memory is bounded.
        ahead = begin(self._threads, _next, pieces)
        try:
            while piece := await outcome(ahead):
                ahead = begin(self._threads, _next, pieces)
                offset += len(piece)
                self._store.counts.gave(len(piece))
                yield piece
        finally:
            ahead.add_done_callback(lambda _: pieces.close())  # also of who goes on no further
        if start < stop != offset:
            raise DamagedError(f"a blob of {stream!r} ends after {offset:,} bytes, and should have {size:,}")

    async def url(self, stream: str, blob: str, expires: timedelta) -> str:
        if not _SHORTEST_LINK <= expires <= _LONGEST_LINK:
            raise InvalidError(f"expires={expires!s}: a link lives from a second to seven days")
        self._check_open()
        url = await in_thread(self._threads, self._store.sign, keys_of(stream).blob(blob), expires)
        if not await self._ask(stream, find_blob, blob):
            raise NotFoundError(f"{stream!r} has no blob {blob!r}")
        return url

    def _download(self, key: str, start: int, stop: int) -> Generator[bytes, None, None] | None:
        self._ready.to_read()
        return download(self._store, key, start=start, stop=stop)


def _next(pieces: Iterator[bytes]) -> bytes:
    return next(pieces, b"")
