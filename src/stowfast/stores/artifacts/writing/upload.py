"""Uploads: content up to 32 KiB is stored in the version's entry; larger content is streamed to a blob."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from stowfast.blocking import begin, in_thread, outcome
from stowfast.stores.artifacts.records import CHUNK, INLINE_BYTES, Digest, blob_record
from stowfast.stores.artifacts.writing.dedup import is_whole

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
    from concurrent.futures import Future

    from stowfast.abc import Backend
    from stowfast.stores.artifacts.writing.content import Content

__all__ = ["hashed", "store_content"]

_AT_ONCE: Final = 4 * CHUNK
_BEHIND: Final = 3
"""Pieces of about 1 MiB by which the hash may lag behind."""


async def store_content(
    backend: Backend,
    stream: str,
    content: Content,
    *,
    bodies: Mapping[str, str],
    before_upload: Callable[[], Awaitable[None]],
) -> tuple[dict[str, Any], bytes, tuple[str, ...]]:
    """Store content, and return its record, the bytes for the entry, and its blobs.

    Args:
        bodies: stored blobs by their SHA-256: equal bytes are not stored again.
        before_upload: called for content too large for the entry, before the upload.
    """
    digest = Digest()
    first = bytearray()
    async with aclosing(content.pieces), aclosing(_regrouped(content.pieces)) as pieces:
        async for piece in pieces:
            first += piece
            if len(first) > INLINE_BYTES:
                break
        else:
            digest.update(bytes(first))
            return _record(content, digest), bytes(first), ()
        await before_upload()
        if bodies and content.held is not None:
            await _hash(content.held, digest)
            blob = bodies.get(digest.sha256)
            if blob is not None and await is_whole(backend, stream, blob, digest):
                return {**_record(content, digest), **blob_record(blob, digest)}, b"", (blob,)
            bodies = {}
        try:
            async with aclosing(_uploaded(backend, stream, bytes(first), pieces, digest, bodies)) as upload:
                blob = await backend.write_blob(stream, upload)
        except _SameError as found:
            blob = found.blob
    return {**_record(content, digest), **blob_record(blob, digest)}, b"", (blob,)


class _SameError(Exception):
    """Ends an upload of bytes that a stored blob already has."""

    def __init__(self, blob: str) -> None:
        super().__init__()
        self.blob = blob


def _record(content: Content, digest: Digest) -> dict[str, Any]:
    record: dict[str, Any] = {
        "encoding": content.encoding or "bytes", "size": digest.size, "sha256": digest.sha256,
    }  # fmt: skip
    return record if content.rows is None else {**record, "rows": content.rows}


async def _uploaded(
    backend: Backend,
    stream: str,
    first: bytes,
    rest: AsyncIterator[bytes],
    digest: Digest,
    bodies: Mapping[str, str],
) -> AsyncGenerator[bytes, None]:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield first
        async for piece in rest:
            yield piece

    # Of what was in memory the digest is known.
    async with aclosing(pieces() if digest.size else hashed(pieces(), digest.update)) as passed:
        async for piece in passed:
            yield piece
    blob = bodies.get(digest.sha256)
    if blob is not None and await is_whole(backend, stream, blob, digest):
        raise _SameError(blob)


async def _hash(held: bytes, digest: Digest) -> None:
    with ThreadPoolExecutor(1, "stowfast-hash") as thread:
        for start in range(0, len(held), _AT_ONCE):
            await in_thread(thread, digest.update, held[start : start + _AT_ONCE])


async def hashed(pieces: AsyncGenerator[bytes, None], update: Callable[[bytes], None]) -> AsyncGenerator[bytes, None]:
    """Pass pieces on while a thread hashes them. At the end all are hashed."""
    under_way: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, "stowfast-hash") as thread:
        async with aclosing(pieces):
            async for piece in pieces:
                under_way.append(begin(thread, update, piece))
                yield piece
                while under_way and under_way[0].done():
                    under_way.popleft().result()
                # Not for each: to wait for a thread costs a good part of a piece's hash where all are busy.
                if len(under_way) > _BEHIND:
                    await outcome(under_way[_BEHIND // 2])
        for one in under_way:
            await outcome(one)


async def _regrouped(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Join pieces to about 1 MiB, so that each costs the backend one step."""
    held: list[bytes] = []
    size = 0
    async for piece in pieces:
        if len(piece) > CHUNK:
            if held:
                yield b"".join(held)
                held, size = [], 0
            view = memoryview(piece)
            for start in range(0, len(piece), CHUNK):
                yield bytes(view[start : start + CHUNK])
            continue
        held.append(piece)
        size += len(piece)
        if size >= CHUNK:
            yield held[0] if len(held) == 1 else b"".join(held)
            held, size = [], 0
    if size:
        yield b"".join(held)
