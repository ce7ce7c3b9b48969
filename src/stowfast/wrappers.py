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

import time
from collections.abc import AsyncGenerator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Final, TypeVar, cast

from stowfast.abc import ALL, Backend, Listing, Receipt, Slice
from stowfast.blocking import pause
from stowfast.chance import uniform
from stowfast.errors import InvalidError, StowfastError, UnavailableError
from stowfast.names import new_id
from stowfast.operator_log import tell_repeat

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterator, Sequence

    from stowfast.abc import Change, Head, Query, Swept, Window
    from stowfast.counts import Counts

__all__ = ["Patient", "Prefixed", "Shared", "Wrapper"]

R = TypeVar("R")
T = TypeVar("T")

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

    Names may have as many bytes fewer as the prefix has. Errors name a stream without the prefix. `sweep` covers the
    whole wrapped backend.
    """

    def __init__(self, backend: Backend, prefix: str) -> None:
        super().__init__(backend)
        self.prefix = prefix

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Forward, below the prefix."""
        with self._bare_errors():
            return await self.backend.commit(self._below(stream), change)

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Forward, below the prefix."""
        with self._bare_errors():
            head, entries = await self.backend.read(self._below(stream), window)
        return Slice(self._bare(head), entries)

    async def remembered(self, stream: str) -> dict[str, Receipt]:
        """Forward, below the prefix."""
        with self._bare_errors():
            return await self.backend.remembered(self._below(stream))

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Forward, below the prefix."""
        with self._bare_errors():
            return [self._bare(head) for head in await self.backend.heads([self._below(stream) for stream in streams])]

    async def commit_many(self, changes: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        """Forward, below the prefix."""
        if not all(stream for stream, _ in changes):
            return await super().commit_many(changes)
        with self._bare_errors():
            found = await self.backend.commit_many([(self._below(stream), change) for stream, change in changes])
        return [self._bare_error(one) if isinstance(one, StowfastError) else one for one in found]

    async def read_many(self, reads: Sequence[tuple[str, Window]]) -> list[Slice | StowfastError]:
        """Forward, below the prefix."""
        if not all(stream for stream, _ in reads):
            return await super().read_many(reads)
        with self._bare_errors():
            found = await self.backend.read_many([(self._below(stream), window) for stream, window in reads])
        return [
            self._bare_error(one) if isinstance(one, StowfastError) else Slice(self._bare(one.head), one.entries)
            for one in found
        ]

    async def streams(self, query: Query) -> Listing:
        """Forward, below the prefix. A cursor is the wrapped backend's own and is passed on unchanged."""
        with self._bare_errors():
            page = await self.backend.streams(query._replace(prefix=self.prefix + query.prefix))
        bare = [
            listed._replace(name=listed.name.removeprefix(self.prefix), head=self._bare(listed.head))
            for listed in page.streams
        ]
        return Listing(bare, page.after)

    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        """Forward, below the prefix."""
        with self._bare_errors():
            return await self.backend.wait(self._below(stream), incarnation=incarnation, next=next, timeout=timeout)

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        """Forward, below the prefix."""
        with self._bare_errors():
            return await self.backend.write_blob(self._below(stream), chunks)

    async def read_blob(
        self, stream: str, blob: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Forward, below the prefix."""
        chunks = self.backend.read_blob(self._below(stream), blob, start=start, stop=stop)
        try:
            with self._bare_errors():
                async for chunk in chunks:
                    yield chunk
        finally:
            if isinstance(chunks, AsyncGenerator):
                await chunks.aclose()

    async def blob_url(self, stream: str, blob: str, *, expires: timedelta) -> str:
        """Forward, below the prefix."""
        with self._bare_errors():
            return await self.backend.blob_url(self._below(stream), blob, expires=expires)

    def _below(self, stream: str) -> str:
        if not stream:
            raise InvalidError("a name must have 1 byte or more")  # the prefix alone would be a valid name
        return self.prefix + stream

    def _bare(self, head: Head | None) -> Head | None:
        return head and head._replace(name=head.name.removeprefix(self.prefix))

    @contextmanager
    def _bare_errors(self) -> Iterator[None]:
        try:
            yield
        except StowfastError as error:
            self._bare_error(error)
            raise

    def _bare_error(self, error: StowfastError) -> StowfastError:
        """Take the prefix out of the names in the text of an error: of a tenant, it is nobody's business below."""
        # A name is quoted as repr does it, and begins with the prefix. Anywhere else the same characters stay.
        prefix = repr(f"{self.prefix}x")[1:-2]
        for quote in "'\"":
            error.args = tuple(
                one.replace(quote + prefix, quote) if isinstance(one, str) else one for one in error.args
            )
        return error


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
    raises. Reads, remembered calls, heads, listings and `now` are repeated, too, and a `wait` until its own timeout.
    `write_blob`, `read_blob` and `sweep` are not: repeat these as a whole. A cancelled call is not repeated.

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

    async def commit_many(self, changes: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        """Commit, and repeat those without an answer. Changes of one stream are made one after the other."""
        if len({stream for stream, _ in changes}) < len(changes):
            return await super().commit_many(changes)
        named = [
            (stream, change if change.op_id is not None else change._replace(op_id=new_id()))
            for stream, change in changes
        ]
        found = await self._patiently_each(self.backend.commit_many, named)
        return [
            one._replace(repeated=False) if change.op_id is None and isinstance(one, Receipt) else one
            for one, (_, change) in zip(found, changes, strict=True)
        ]

    async def read_many(self, reads: Sequence[tuple[str, Window]]) -> list[Slice | StowfastError]:
        """Read, and repeat those without an answer."""
        return await self._patiently_each(self.backend.read_many, reads)

    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        """Wait, and repeat until the timeout; a look at the end is repeated as other calls are."""
        deadline, longest = time.monotonic() + timeout, _FIRST_PAUSE
        while (left := deadline - time.monotonic()) > 0:
            try:
                return await self.backend.wait(stream, incarnation=incarnation, next=next, timeout=left)
            except UnavailableError:
                await pause(min(longest, left))
                longest = min(2 * longest, _MAX_PAUSE)
        return await self._patiently(lambda: self.backend.wait(stream, incarnation=incarnation, next=next, timeout=0))

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

    async def _patiently_each(
        self, attempt: Callable[[Sequence[T]], Awaitable[list[R | StowfastError]]], calls: Sequence[T]
    ) -> list[R | StowfastError]:
        """Make calls together, and repeat those that have no answer."""
        found: dict[int, R | StowfastError] = {}
        left: Sequence[int] = range(len(calls))

        async def attempt_left() -> None:
            nonlocal left
            found.update(zip(left, await attempt([calls[number] for number in left]), strict=True))
            left = [number for number in left if isinstance(found[number], UnavailableError)]
            if left:
                raise cast("UnavailableError", found[left[0]])

        try:
            await self._patiently(attempt_left)
        except UnavailableError:
            if len(found) < len(calls):
                raise
        return [found[number] for number in range(len(calls))]

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
                seconds = longest * uniform(0.5, 1)
                if time.monotonic() + seconds > began + self.within.total_seconds():
                    raise
            await pause(seconds)
            attempts += 1
            longest = min(2 * longest, _MAX_PAUSE)
