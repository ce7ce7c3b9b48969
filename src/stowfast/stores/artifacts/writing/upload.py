"""The upload: content up to 32 KiB is stored in the version's entry; larger content is streamed to a blob."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, Self

from stowfast.blocking import in_thread
from stowfast.stores.artifacts.digest import CHUNK, Digest, Hasher
from stowfast.stores.artifacts.records import INLINE_BYTES
from stowfast.stores.artifacts.writing.dedup import is_whole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from stowfast.abc import Backend
    from stowfast.stores.artifacts.writing.content import Content

__all__ = ["ContentUpload"]

_HASHED_TOGETHER: Final = 4 * CHUNK


class ContentUpload:
    """Content on its way to storage: read once, in pieces of 1 MiB, each hashed while it is stored.

    async with ContentUpload(content) as upload:
        body = await upload.inline()
        blob = await upload.store(backend, stream, bodies) if body is None else None
    """

    def __init__(self, content: Content) -> None:
        self.digest = Digest()
        """The digest of the content, complete after `inline` or `store`."""
        self._content = content
        self._pieces = content.pieces
        self._held: deque[bytes | memoryview] = deque()
        """Read and not yet passed on: `_size` bytes."""
        self._size = 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._pieces.aclose()

    @property
    def record(self) -> dict[str, Any]:
        """The fields of the version's record that the content decides."""
        record = {"encoding": self._content.encoding or "bytes", "size": self.digest.size, "sha256": self.digest.sha256}
        return record if self._content.rows is None else {**record, "rows": self._content.rows}

    async def inline(self) -> bytes | None:
        """Return the whole content if it fits the entry; None: it goes to a blob, by `store`."""
        while self._size <= INLINE_BYTES:
            if not await self._read():
                body = self._take()
                self.digest.update(body)
                return body
        return None

    async def store(self, backend: Backend, stream: str, bodies: Mapping[str, str]) -> str:
        """Store the content in a blob, and return the id of the blob.

        Args:
            bodies: stored blobs by the SHA-256 of their content: equal bytes are not stored again.
        """
        if bodies and self._content.held is not None:
            # The digest of bytes in memory costs no upload.
            await self._hash(self._content.held)
            blob = await self._stored(backend, stream, bodies)
            if blob is not None:
                return blob
            bodies = {}
        try:
            async with aclosing(self._passed(backend, stream, bodies)) as pieces:
                return await backend.write_blob(stream, pieces)
        except _SameError as found:
            return found.blob

    async def _passed(self, backend: Backend, stream: str, bodies: Mapping[str, str]) -> AsyncGenerator[bytes, None]:
        """Yield the content; at the end of bytes that are stored already, raise instead of ending the blob."""
        known = self.digest.size > 0
        with Hasher(self.digest.update) as hasher:
            while piece := await self._next():
                if not known:
                    hasher.begin(piece)
                yield piece
                await hasher.catch_up()
            await hasher.finish()
        blob = await self._stored(backend, stream, bodies)
        if blob is not None:
            raise _SameError(blob)

    async def _stored(self, backend: Backend, stream: str, bodies: Mapping[str, str]) -> str | None:
        """Return the blob that has these bytes, undamaged; None for none."""
        blob = bodies.get(self.digest.sha256)
        return blob if blob is not None and await is_whole(backend, stream, blob, self.digest) else None

    async def _hash(self, held: bytes) -> None:
        with ThreadPoolExecutor(1, "stowfast-hash") as thread:
            for start in range(0, len(held), _HASHED_TOGETHER):
                await in_thread(thread, self.digest.update, held[start : start + _HASHED_TOGETHER])

    async def _next(self) -> bytes:
        """Return the next MiB, less at the end, and nothing after it."""
        while self._size < CHUNK and await self._read():
            pass
        return self._take()

    async def _read(self) -> bool:
        piece = await anext(self._pieces, None)
        if piece is None:
            return False
        self._held.append(piece)
        self._size += len(piece)
        return True

    def _take(self) -> bytes:
        """Return up to 1 MiB of the bytes read. A piece of this size is passed on uncopied."""
        taken: list[bytes | memoryview] = []
        missing = min(CHUNK, self._size)
        self._size -= missing
        while missing:
            piece = self._held.popleft()
            if len(piece) > missing:
                view = memoryview(piece)
                self._held.appendleft(view[missing:])
                piece = view[:missing]
            taken.append(piece)
            missing -= len(piece)
        return taken[0] if len(taken) == 1 and isinstance(taken[0], bytes) else b"".join(taken)


class _SameError(Exception):
    """Ends an upload of bytes that a stored blob already has."""

    def __init__(self, blob: str) -> None:
        super().__init__()
        self.blob = blob
