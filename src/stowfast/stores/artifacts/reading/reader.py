"""Reading a version: whole or in part, streamed, each MiB held against its checksum before anybody sees it."""

from __future__ import annotations

import io
from contextlib import aclosing
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Self
from zlib import crc32

from stowfast.errors import DamagedError, InvalidError, NotFoundError
from stowfast.lru import LRU
from stowfast.stores.artifacts.digest import CHUNK, Hasher
from stowfast.stores.codec import check_given

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from stowfast.abc import Backend
    from stowfast.records import ArtifactInfo
    from stowfast.stores.artifacts.records import Version

__all__ = ["ArtifactReader"]

_REMEDY: Final = "store the same content again, which repairs it"
_READ_AHEAD_FACTOR: Final = 4
_CACHED_CHUNKS: Final = 8
"""Cached chunks of 1 MiB, for readers that jump back and forth."""


class ArtifactReader:
    """The bytes `start <= offset < stop` of one version. Iterate it, or call `read` and `seek`.

    An iteration is one request from the current offset to the end, in pieces of at most 1 MiB. A `read` requests the
    MiBs that it touches, with one request; after consecutive reads a request reaches four times as far as the one
    before, fetched on demand. Every MiB is checked before it is returned, and a whole iteration also against its
    SHA-256 at the end.

    Raises:
        DamagedError: bytes do not match their checksum.
        NotFoundError: the artifact or this version was removed meanwhile.
    """

    def __init__(
        self, backend: Backend, stream: str, version: Version, start: int = 0, stop: int | None = None
    ) -> None:
        check_given(start=start)
        if start < 0 or (stop is not None and stop < 0):
            raise InvalidError(f"start={start}, stop={stop}: offsets begin at 0")
        self.info: ArtifactInfo = version.info
        """The version of this reader."""
        self._backend = backend
        self._stream = stream
        self._version = version
        self._start = min(start, version.info.size)
        self._stop = max(min(version.info.size if stop is None else stop, version.info.size), self._start)
        self._position = self._start
        self._kept: LRU[int, bytes] = LRU(_CACHED_CHUNKS)
        self._ahead: AsyncGenerator[bytes, None] | None = None
        self._following = -1
        """The next chunk from `_ahead`, or from a new request."""
        self._reach = 1

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def size(self) -> int:
        """How many bytes there are from start to stop."""
        return self._stop - self._start

    def tell(self) -> int:
        """Return where the next read begins, counted from `start`."""
        return self._position - self._start

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to an offset: from `start`, from here (whence=1) or from the end (whence=2). No request.

        Raises:
            InvalidError: it would lie before the start, or is no offset.
        """
        check_given(offset=offset, whence=whence)
        base = {io.SEEK_SET: self._start, io.SEEK_CUR: self._position, io.SEEK_END: self._stop}.get(whence)
        if base is None or base + offset < self._start:
            raise InvalidError(f"seek({offset}, {whence}): this is before the start")
        self._position = base + offset
        return self.tell()

    async def read(self, size: int = -1) -> bytes:
        """Return the next `size` bytes, fewer only at the end; without a size all remaining bytes."""
        check_given(size=size)
        stop = self._stop if size < 0 else min(self._position + size, self._stop)
        if self._position >= stop:
            return b""
        start = self._position
        if self._version.blob is None:
            self._check_whole(self._version.content)
            self._position = stop
            return self._version.content[start:stop]
        first, last = start // CHUNK, (stop - 1) // CHUNK
        chunks = [chunk async for chunk in self._take(first, last)]
        chunks[-1] = chunks[-1][: stop - last * CHUNK]
        chunks[0] = chunks[0][start - first * CHUNK :]
        self._position = stop  # after an error the same bytes are read again
        return b"".join(chunks)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async with aclosing(self._iterate(each=True)) as pieces:
            async for piece in pieces:
                yield piece

    async def _iterate(self, *, each: bool) -> AsyncGenerator[bytes, None]:
        """Yield from where the reader stands to the end: a whole content also without the checksum of each MiB."""
        start, stop = self._position, self._stop
        if self._version.blob is None:
            self._position = stop
            self._check_whole(self._version.content)
            if start < stop:
                yield self._version.content[start:stop]
            return
        if start >= stop:
            return
        first = start // CHUNK
        whole = start == 0 and stop == self.info.size
        chunks = self._fetch(first, (stop - 1) // CHUNK, each=each or not whole)
        digest, size, number = sha256(), 0, first
        async with aclosing(chunks):
            with Hasher(digest.update) as hasher:
                async for chunk in chunks:
                    if whole:
                        hasher.begin(chunk)
                    size += len(chunk)
                    part = chunk[max(start - number * CHUNK, 0) : stop - number * CHUNK]
                    self._position = min((number + 1) * CHUNK, stop)
                    number += 1
                    yield part
                    await hasher.catch_up()
                await hasher.finish()
        if whole:
            self._check_digest(size, digest.hexdigest())

    async def content(self) -> bytes:
        """Return all from here to the end, in memory once. Of a whole content nobody sees a part before its SHA-256."""
        whole = io.BytesIO()
        async for piece in self._iterate(each=False):
            whole.write(piece)
        return whole.getvalue()

    async def close(self) -> None:
        """End the running requests. A second close does nothing."""
        ahead, self._ahead = self._ahead, None
        self._kept.clear()
        if ahead is not None:
            await ahead.aclose()

    async def _take(self, first: int, last: int) -> AsyncIterator[bytes]:
        """Return chunks, and cache the newest."""
        while first <= last:
            if (kept := self._kept.get(first)) is not None:
                yield kept
                first += 1
                continue
            if self._ahead is None or self._following != first:
                await self._look_ahead(first, last)
            assert self._ahead is not None
            chunk = await anext(self._ahead, None)
            if chunk is None:
                self._ahead = None
                continue
            self._kept.put(first, chunk)
            first += 1
            self._following = first
            yield chunk

    async def _look_ahead(self, first: int, last: int) -> None:
        if self._ahead is not None:
            await self._ahead.aclose()
        # A reader that has gone on for long goes on; one that has just begun may need a small part only.
        self._reach = self._reach * _READ_AHEAD_FACTOR if self._following == first else 1
        end = max(last, min(first + self._reach, -(-self._stop // CHUNK)) - 1)
        self._ahead, self._following = self._fetch(first, end), first

    async def _fetch(self, first: int, last: int, *, each: bool = True) -> AsyncGenerator[bytes, None]:
        """Ask for chunks with one request, and hold each against its length, and its checksum."""
        blob, number, size = self._version.blob, first, self.info.size
        assert blob is not None
        held: list[memoryview] = []
        length = 0
        stop = min((last + 1) * CHUNK, size)
        try:
            async with aclosing(self._pieces(blob, first * CHUNK, stop)) as pieces:
                async for piece in pieces:
                    if not held and len(piece) == CHUNK and isinstance(piece, bytes):
                        yield self._checked(number, piece, stop, each)
                        number += 1
                        continue
                    # Views, so that each byte is copied once, whatever the pieces are.
                    rest = memoryview(piece)
                    while length + len(rest) >= CHUNK:
                        chunk = b"".join((*held, rest[: CHUNK - length]))
                        rest = rest[CHUNK - length :]
                        held, length = [], 0
                        yield self._checked(number, chunk, stop, each)
                        number += 1
                    if rest:
                        held.append(rest)
                        length += len(rest)
        except NotFoundError as error:
            raise NotFoundError(f"{self._version.where}: it was removed while it was read") from error
        if length or number <= last:
            yield self._checked(number, b"".join(held), stop, each)

    async def _pieces(self, blob: str, start: int, stop: int) -> AsyncGenerator[bytes, None]:
        async for piece in self._backend.read_blob(self._stream, blob, start=start, stop=stop):
            yield piece

    def _checked(self, number: int, chunk: bytes, stop: int, each: bool = True) -> bytes:
        wanted = self._version.checksums[4 * number : 4 * number + 4] if each else b""
        expected = min(CHUNK, stop - number * CHUNK)
        if len(chunk) != expected or (wanted and int.from_bytes(wanted, "little") != crc32(chunk)):
            raise DamagedError(
                f"{self._version.where}: its bytes from {number * CHUNK:,} on do not match their checksum: {_REMEDY}"
            )
        return chunk

    def _check_digest(self, size: int, sha256: str) -> None:
        if (size, sha256) != (self.info.size, self.info.sha256):
            raise DamagedError(f"{self._version.where}: the content does not match its SHA-256: {_REMEDY}")

    def _check_whole(self, content: bytes) -> None:
        self._check_digest(len(content), sha256(content).hexdigest())
