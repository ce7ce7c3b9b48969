"""Wrappers: backends around a backend. Each passes every clause of the backend interface.

Encryption, tenants, metrics and retries are wrappers: subclass `Wrapper` and override the methods that differ.

    class Counts(Wrapper):
        commits = 0

        async def commit(self, stream: str, change: Change) -> Receipt:
            self.commits += 1
            return await super().commit(stream, change)

    stores = stowfast.Stores(Counts(await SQLiteBackend.open("sqlite:///agent.db")))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.abc import ALL, Backend, Listed, Listing, Slice
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Sequence
    from datetime import timedelta

    from stowfast.abc import Change, Head, Query, Receipt, Swept, Window

__all__ = ["Prefixed", "Shared", "Wrapper"]


class Wrapper(Backend):
    """Wrapper every method to another backend, with its arguments, results and errors unchanged.

    `close` closes the wrapped backend. The sync face runs a wrapper on an event loop in a thread, since an override
    may await anything; set `in_place = True` in a subclass that awaits nothing but a backend that has it.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def backend(self) -> Backend:
        """The wrapped backend."""
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


class Prefixed(Wrapper):
    """A backend whose streams all lie below a prefix of another backend. It shows and changes no other stream.

    Names may have as many bytes fewer as the prefix has. `sweep` covers the whole wrapped backend.
    """

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
        """Forward, below the prefix. A cursor is the wrapped backend's own and is passed on unchanged."""
        page = await self.backend.streams(query._replace(prefix=self.prefix + query.prefix))
        bare = [
            Listed(listed.name.removeprefix(self.prefix), listed.updated_at, self._bare(listed.head))
            for listed in page.streams
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
            raise InvalidError("a name must have 1 byte or more")  # the prefix alone would be a valid name
        return self.prefix + stream

    def _bare(self, head: Head | None) -> Head | None:
        return head and head._replace(name=head.name.removeprefix(self.prefix))


class Shared(Wrapper):
    """One more opening of a backend that is open in this process. `close` closes this opening only."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._closed = False

    @property
    def backend(self) -> Backend:
        """The wrapped backend, until this opening is closed.

        Raises:
            InvalidError: this opening was closed.
        """
        if self._closed:
            raise InvalidError("this opening was closed: open another one")
        return super().backend

    async def close(self) -> None:
        """Close this opening. The wrapped backend stays open for its other openings."""
        self._closed = True
