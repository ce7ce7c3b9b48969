"""Wrappers over any backend: one that loses answers, one below a prefix, one that shares a place within a process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.abc import ALL, Backend, Listed, Listing, Query, Slice, Window
from stowfast.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Sequence
    from datetime import timedelta

    from stowfast.abc import Change, Head, Receipt, Swept

__all__ = ["Forwards", "LosesAnswers", "Prefixed", "Shared"]


class Forwards(Backend):
    """Hands all methods to another backend. Override the one that is to be different."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def backend(self) -> Backend:
        """Whoever does the work."""
        return self._backend

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Forward."""
        return await self.backend.commit(stream, change)

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Forward."""
        return await self.backend.read(stream, window)

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Forward."""
        return await self.backend.heads(streams)

    async def streams(self, query: Query) -> Listing:
        """Forward."""
        return await self.backend.streams(query)

    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        """Forward."""
        return await self.backend.wait(stream, incarnation=incarnation, next=next, timeout=timeout)

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        """Forward."""
        return await self.backend.write_blob(stream, chunks)

    def read_blob(self, stream: str, blob: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Forward."""
        return self.backend.read_blob(stream, blob, start=start, stop=stop)

    async def blob_url(self, stream: str, blob: str, *, expires: timedelta) -> str:
        """Forward."""
        return await self.backend.blob_url(stream, blob, expires=expires)

    async def now(self) -> int:
        """Forward."""
        return await self.backend.now()

    async def sweep(self, *, dry_run: bool = False) -> Swept:
        """Forward."""
        return await self.backend.sweep(dry_run=dry_run)

    async def close(self) -> None:
        """Forward."""
        await self.backend.close()


class LosesAnswers(Forwards):
    """Commits, and then says that there was no answer: the cable was pulled at the worst moment.

    Args:
        backend: the one that commits.
        count: how many answers are lost, from the next one on. `lose` may be set again at any time.
    """

    def __init__(self, backend: Backend, count: int = 1) -> None:
        super().__init__(backend)
        self.lose = count

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Commit, and lose the answer while there are answers to lose."""
        receipt = await self.backend.commit(stream, change)
        if self.lose > 0:
            self.lose -= 1
            raise UnavailableError("the answer was lost after the commit")
        return receipt


class Prefixed(Forwards):
    """Everything below a prefix: whoever holds this sees, and can change, nothing else of the place."""

    def __init__(self, backend: Backend, prefix: str) -> None:
        super().__init__(backend)
        self.prefix = prefix

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Forward, below the prefix."""
        return await self.backend.commit(self._below(stream), change)

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Forward, below the prefix."""
        head, entries = await self.backend.read(self._below(stream), window)
        return Slice(self._bare(head), entries)

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Forward, below the prefix."""
        return [self._bare(head) for head in await self.backend.heads([self._below(stream) for stream in streams])]

    async def streams(self, query: Query) -> Listing:
        """Forward, below the prefix. Cursors are the backend's own: nobody reads them but the place that wrote them."""
        page = await self.backend.streams(query._replace(prefix=self.prefix + query.prefix))
        bare = [
            Listed(one.name.removeprefix(self.prefix), one.updated_at, self._bare(one.head)) for one in page.streams
        ]
        return Listing(bare, page.after)

    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        """Forward, below the prefix."""
        return await self.backend.wait(self._below(stream), incarnation=incarnation, next=next, timeout=timeout)

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        """Forward, below the prefix."""
        return await self.backend.write_blob(self._below(stream), chunks)

    def read_blob(self, stream: str, blob: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Forward, below the prefix."""
        return self.backend.read_blob(self._below(stream), blob, start=start, stop=stop)

    async def blob_url(self, stream: str, blob: str, *, expires: timedelta) -> str:
        """Forward, below the prefix."""
        return await self.backend.blob_url(self._below(stream), blob, expires=expires)

    def _below(self, stream: str) -> str:
        if not stream:
            raise InvalidError("a name must have 1 byte or more")  # with the prefix it would be a name
        return self.prefix + stream

    def _bare(self, head: Head | None) -> Head | None:
        return head and head._replace(name=head.name.removeprefix(self.prefix))


class Shared(Forwards):
    """One more opening of a backend that lives in this process only. Closing it closes only itself."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._closed = False

    @property
    def backend(self) -> Backend:
        """The backend that all openings share, until this one is closed."""
        if self._closed:
            raise UnavailableError("this opening was closed")
        return super().backend

    async def close(self) -> None:
        """Let go of the backend, which stays open for the other openings."""
        self._closed = True
