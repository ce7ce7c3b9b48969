"""Storing content: what is small goes into its version, anything larger becomes a blob while its pieces come."""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from holdfast.blocking import begin, outcome
from holdfast.stores.artifacts.records import CHUNK, INLINE_BYTES, Digest, Version, blob_record

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable
    from concurrent.futures import Future

    from holdfast.abc import Backend
    from holdfast.stores.artifacts.content import Content

__all__ = ["hashed", "store_content"]

_PAGE_BYTES: Final = 2**20
_BEHIND: Final = 3
"""Pieces of about 1 MiB by which the hash may be behind."""


async def store_content(
    backend: Backend, stream: str, content: Content, *, follows: bool
) -> tuple[dict[str, Any], bytes, tuple[str, ...]]:
    """Write content, and return what its version says of it: a record, what stands behind that, and its blobs.

    Args:
        follows: there may be versions before it: what has the same bytes as one of them is not stored again.
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
        same = None
        if follows and content.held is not None:
            digest.update(content.held)
            same = await _earlier(backend, stream, digest)
            digest = digest if same is not None else Digest()
        if same is None:
            try:
                upload = _uploaded(backend, stream, bytes(first), pieces, digest, follows=follows)
                async with aclosing(upload):
                    blob = await backend.write_blob(stream, upload)
                return {**_record(content, digest), **blob_record(blob, digest)}, b"", (blob,)
            except _SameError as found:
                same = found.version
    assert same.blob is not None
    return {**_record(content, digest), **blob_record(same.blob, digest)}, b"", (same.blob,)


class _SameError(Exception):
    """These bytes are those of an earlier version: ends the upload, so that nothing of it stays."""

    def __init__(self, version: Version) -> None:
        super().__init__()
        self.version = version


def _record(content: Content, digest: Digest) -> dict[str, Any]:
    record: dict[str, Any] = {
        "encoding": content.encoding or "bytes", "size": digest.size, "sha256": digest.sha256,
    }  # fmt: skip
    return record if content.rows is None else {**record, "rows": content.rows}


async def _uploaded(
    backend: Backend, stream: str, first: bytes, rest: AsyncIterator[bytes], digest: Digest, *, follows: bool
) -> AsyncGenerator[bytes, None]:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield first
        async for piece in rest:
            yield piece

    async with aclosing(hashed(pieces(), digest.update)) as counted:
        async for piece in counted:
            yield piece
    if follows and (version := await _earlier(backend, stream, digest)) is not None:
        raise _SameError(version)


async def hashed(pieces: AsyncGenerator[bytes, None], update: Callable[[bytes], None]) -> AsyncGenerator[bytes, None]:
    """Pass pieces on while a thread hashes those that went by. At the end it has hashed all."""
    under_way: deque[Future[None]] = deque()
    with ThreadPoolExecutor(1, "holdfast-hash") as thread:
        async with aclosing(pieces):
            async for piece in pieces:
                under_way.append(begin(thread, update, piece))
                yield piece
                # Not of each: a switch between threads costs as much as the hash of a piece where all are busy.
                if len(under_way) > _BEHIND:
                    await outcome(under_way.popleft())
        for one in under_way:
            await outcome(one)


async def _earlier(backend: Backend, stream: str, digest: Digest) -> Version | None:
    position = 0
    while True:
        head, entries = await backend.read(stream, start=position, max_bytes=_PAGE_BYTES)
        if head is None or not entries:
            return None
        for entry in entries:
            version = Version.read(head.name, head, entry)
            if version.blob is not None and (version.info.size, version.info.sha256) == (digest.size, digest.sha256):
                return version
        position = entries[-1].position + 1


async def _regrouped(pieces: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """Make pieces of about 1 MiB of those that came, so that each costs a place one step."""
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
