"""A writer of one version, piece by piece."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Self

from stowfast.errors import InvalidError
from stowfast.stores.artifacts.digest import CHUNK
from stowfast.stores.artifacts.lookup import find_head
from stowfast.stores.artifacts.writing.commit import add
from stowfast.stores.artifacts.writing.content import Content, piece_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine
    from types import TracebackType

    from stowfast.abc import Backend, Change
    from stowfast.records import Artifact, ArtifactInfo

__all__ = ["ArtifactWriter", "write_version"]


class ArtifactWriter:
    """Writes a version piece by piece. It is visible after the writer was closed, and never after an exception.

    Pieces are passed on one MiB at a time; `write` waits for a slower backend.

    Raises:
        ConflictError: from `close`: the artifact is not at the expected version. Nothing was stored.
        UnavailableError: nothing is visible; or, from `close`, it may be stored: with an op_id, write it again.
    """

    def __init__(self, store: Callable[[Content], Coroutine[Any, Any, ArtifactInfo]], encoding: str = "") -> None:
        self.info: ArtifactInfo | None = None
        """The stored version, after the block ended."""
        self.size = 0
        """Bytes taken so far."""
        self.content = Content(encoding, self._pieces())
        self._store = store
        self._whole: deque[bytes | memoryview] = deque()
        """Pieces of one MiB, not yet passed on."""
        self._held = bytearray()
        """The bytes after those."""
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self._putting = 0
        self._task: asyncio.Task[ArtifactInfo] | None = None
        self._closed = self._ended = self._given_up = False

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
        self._take(data)
        while self._whole:
            await self._hand_on(bytes(self._whole.popleft()))

    async def close(self) -> ArtifactInfo:
        """Store the written bytes, and return the version. A second close does nothing."""
        self._closed = True
        if not (self._ended or self._given_up):
            if self._held:
                self._whole.append(bytes(self._held))
                self._held.clear()
            while self._whole:
                await self._hand_on(bytes(self._whole.popleft()))
            await self._hand_on(None)
            self._ended = True  # not before: a close that was cancelled can be called again
        if self._task is None:
            raise InvalidError("this writer was given up")
        self.info = await self._task
        return self.info

    async def abort(self) -> None:
        """Store nothing. After a close the version stays."""
        self._closed = self._given_up = True
        self._whole.clear()
        self._held.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _take(self, data: bytes) -> None:
        # A large piece is cut into views, and a piece of exactly a MiB, as many are, is not copied at all.
        self.size += len(data)
        if len(data) == CHUNK and not self._held:
            self._whole.append(data)
            return
        view = memoryview(data)
        if self._held:
            missing = CHUNK - len(self._held)
            self._held += view[:missing]
            view = view[missing:]
            if len(self._held) == CHUNK:
                self._whole.append(bytes(self._held))
                self._held.clear()
        while len(view) >= CHUNK:
            self._whole.append(view[:CHUNK])
            view = view[CHUNK:]
        self._held += view

    async def _hand_on(self, piece: bytes | None) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._store(self.content))
        if self._task.done() and self._task.exception() is None:
            return  # the call was made before, and what it has stored is known: whatever comes now is not needed
        if not (self._queue.full() or self._putting or self._task.done()):
            self._queue.put_nowait(piece)  # and never past one who waits to put theirs
            return
        putting = asyncio.ensure_future(self._queue.put(piece))
        self._putting += 1
        try:
            await asyncio.wait({putting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._putting -= 1
            if not putting.done():
                putting.cancel()
                if piece:  # a cancelled caller may go on, and no bytes are lost
                    self._whole.appendleft(piece)
        if self._task.done() and self._task.exception() is not None:
            self._closed = True
            self._task.result()

    async def _pieces(self) -> AsyncGenerator[bytes, None]:
        while (piece := await self._queue.get()) is not None:
            yield piece


@asynccontextmanager
async def write_version(backend: Backend, artifact: Artifact, change: Change) -> AsyncIterator[ArtifactWriter]:
    """Write the next version of an artifact, as `Artifacts.open_writer` does."""
    head = await find_head(backend, artifact.artifact_id)
    change = change._replace(incarnation=head.incarnation if head and change.expect else None)
    async with ArtifactWriter(lambda content: add(backend, artifact, content, change, head)) as writer:
        yield writer
