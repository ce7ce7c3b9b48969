"""A writer of one version, piece by piece."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from holdfast.errors import InvalidError
from holdfast.stores.artifacts.content import Content, piece_of
from holdfast.stores.artifacts.records import CHUNK

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from types import TracebackType

    from holdfast.records import ArtifactInfo

__all__ = ["ArtifactWriter"]


class ArtifactWriter:
    """Takes a version piece by piece. It can be seen once the writer was closed, and after an exception never.

    What `write` took is handed on a MiB at a time; it waits where the place is slower than the caller.

    Raises:
        ConflictError: from `close`: the artifact is not what was expected. Nothing was stored.
        UnavailableError: nothing can be seen of it, or, from `close`, it may have been stored: with an op_id, write
            it again.
    """

    def __init__(self, store: Callable[[Content], Coroutine[Any, Any, ArtifactInfo]], encoding: str = "") -> None:
        self.info: ArtifactInfo | None = None
        """What was stored, once it is."""
        self.size = 0
        """Bytes taken so far."""
        self.content = Content(encoding, self._pieces())
        self._store = store
        self._held = bytearray()
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._task: asyncio.Task[ArtifactInfo] | None = None
        self._closed = self._given_up = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None or self._given_up:
            await self.abort()
            return
        try:
            await self.close()
        except BaseException:
            await self.abort()
            raise

    async def write(self, piece: bytes | bytearray | memoryview | str) -> None:
        """Take a piece of any size: bytes, or text, but not both in one artifact. Cancelled, it was taken."""
        if self._closed:
            raise InvalidError("this writer was closed")
        self.content.encoding, data = piece_of(piece, self.content.encoding)
        self._held += data
        self.size += len(data)
        while len(self._held) >= CHUNK:
            handed = bytes(memoryview(self._held)[:CHUNK])
            del self._held[:CHUNK]
            await self._hand_on(handed)

    async def close(self) -> ArtifactInfo:
        """Store what was written, and return what it is. Closing twice is closing once."""
        if not self._closed:
            self._closed = True
            if self._held:
                await self._hand_on(bytes(self._held))
                self._held.clear()
            await self._hand_on(None)
        if self._task is None:
            raise InvalidError("this writer was given up")
        self.info = await self._task
        return self.info

    async def abort(self) -> None:
        """Store nothing. Whoever was told what was stored keeps it."""
        self._closed = self._given_up = True
        self._held.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _hand_on(self, piece: bytes | None) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._store(self.content))
        if self._task.done() and self._task.exception() is None:
            return  # the call was made before, and what it has stored is known: whatever comes now is not needed
        putting = asyncio.ensure_future(self._queue.put(piece))
        try:
            await asyncio.wait({putting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not putting.done():
                putting.cancel()
                self._held[:0] = piece or b""  # whoever was cancelled may go on: no bytes are lost in between
        if self._task.done() and self._task.exception() is not None:
            self._closed = True
            self._task.result()

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        while (piece := await self._queue.get()) is not None:
            yield piece
