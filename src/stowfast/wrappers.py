"""Wrappers: backends around a backend. Each passes every clause of the backend interface, but for what `Patient` says.

Encryption, tenants, metrics and retries are wrappers: subclass `Wrapper` and override the methods that differ.

    class Counts(Wrapper):
        commits = 0

        async def commit(self, stream: str, change: Change) -> Receipt:
            self.commits += 1
            return await super().commit(stream, change)

    stores = stowfast.Stores(Counts(await SQLiteBackend.open("sqlite:///agent.db")))
"""

from __future__ import annotations

import random
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar

from stowfast.abc import ALL, Backend, Listing, Slice
from stowfast.blocking import pause
from stowfast.errors import InvalidError, UnavailableError
from stowfast.names import new_id
from stowfast.operator_log import tell_repeat

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Sequence

    from stowfast.abc import Change, Head, Query, Receipt, Swept, Window
    from stowfast.counts import Counts
    from stowfast.errors import StowfastError

__all__ = ["Patient", "Prefixed", "Shared", "Wrapper"]

R = TypeVar("R")

_FIRST_PAUSE: Final = 0.02
_MAX_PAUSE: Final = 2.0
"""Seconds between two attempts; the first one doubles until the second."""


class Wrapper(Backend):
    """Forward every method to another backend, with its arguments, results and errors unchanged.

    `commit_many` and `read_many` call `commit` and `read` of this wrapper, so that a subclass overrides these alone.

    `close` closes the wrapped backend. The sync face runs a wrapper on an event loop in a thread, since an override
    may await anything; set `in_place = True` in a subclass that awaits nothing but a backend that has it.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @property
    def backend(self) -> Backend:
        """The wrapped backend."""
        return self._backend

    @property
    def counts(self) -> Counts:
        """The counts of the wrapped backend, also after the close of this opening."""
        return self._backend.counts

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._backend!r})"

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Forward."""
        return await self.backend.commit(stream, change)

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Forward."""
        return await self.backend.read(stream, window)

    async def remembered(self, stream: str) -> dict[str, Receipt]:
        """Forward."""
        return await self.backend.remembered(stream)

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

    async def remembered(self, stream: str) -> dict[str, Receipt]:
        """Forward, below the prefix."""
        return await self.backend.remembered(self._below(stream))

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Forward, below the prefix."""
        return [self._bare(head) for head in await self.backend.heads([self._below(stream) for stream in streams])]

    async def commit_many(self, changes: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        """Forward, below the prefix."""
        if not all(stream for stream, _ in changes):
            return await super().commit_many(changes)
        return await self.backend.commit_many([(self._below(stream), change) for stream, change in changes])

    async def streams(self, query: Query) -> Listing:
        """Forward, below the prefix. A cursor is the wrapped backend's own and is passed on unchanged."""
        page = await self.backend.streams(query._replace(prefix=self.prefix + query.prefix))
        bare = [
            listed._replace(name=listed.name.removeprefix(self.prefix), head=self._bare(listed.head))
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


class Patient(Wrapper):
    """A backend that repeats a call without an answer, until its time is over.

    Every commit gets an op_id if it has none, so a repeat after a lost answer adds nothing: a commit is made once, or
    raises. Reads, remembered calls, heads, listings and `now` are repeated, too. `write_blob`, `read_blob` and `sweep`
    are not: repeat these as a whole. A cancelled call is not repeated.

    Two differences can be seen: an entry of a commit without an op_id has one, and such op_ids count among the newest
    that a stream remembers. After a lost answer the receipt of the caller's own op_id says `repeated`.

    Args:
        backend: the backend.
        within: the time from the first attempt until the last one begins.

    Raises:
        UnavailableError: no attempt had an answer. A commit may be stored: repeat it with the op_id of your own call,
            if you gave one.
    """

    def __init__(self, backend: Backend, *, within: timedelta = timedelta(seconds=30)) -> None:
        super().__init__(backend)
        self.within = within
        self.in_place = backend.in_place

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Commit, and repeat under one op_id."""
        if change.op_id is not None:
            return await self._patiently(lambda: self.backend.commit(stream, change))
        named = change._replace(op_id=new_id())
        receipt = await self._patiently(lambda: self.backend.commit(stream, named))
        return receipt._replace(repeated=False)

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Read, and repeat."""
        return await self._patiently(lambda: self.backend.read(stream, window))

    async def remembered(self, stream: str) -> dict[str, Receipt]:
        """Return the calls, and repeat."""
        return await self._patiently(lambda: self.backend.remembered(stream))

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Return the heads, and repeat."""
        return await self._patiently(lambda: self.backend.heads(streams))

    async def streams(self, query: Query) -> Listing:
        """List, and repeat."""
        return await self._patiently(lambda: self.backend.streams(query))

    async def now(self) -> int:
        """Return the time, and repeat."""
        return await self._patiently(self.backend.now)

    async def _patiently(self, attempt: Callable[[], Awaitable[R]]) -> R:
        began, longest, attempts = time.monotonic(), _FIRST_PAUSE, 1
        while True:
            try:
                found = await attempt()
                if attempts > 1:
                    tell_repeat(attempts, time.monotonic() - began)
                return found
            except UnavailableError:
                # Half of the pause is chance, so that callers cut off together do not come back together.
                seconds = longest * random.uniform(0.5, 1)  # noqa: S311 - no secret
                if time.monotonic() + seconds > began + self.within.total_seconds():
                    raise
            await pause(seconds)
            attempts += 1
            longest = min(2 * longest, _MAX_PAUSE)
