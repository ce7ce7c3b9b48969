"""Helpers of the artifact clauses: bodies in pieces, and a complete writer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final
from urllib.request import urlopen

from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator

    from stowfast.records import ArtifactInfo
    from stowfast.stores import Artifacts

__all__ = ["BODY", "KB", "MB", "CountsBlobs", "cut", "each", "fetch", "write"]

KB: Final = 2**10
MB: Final = 2**20
BODY: Final = bytes(range(251)) * 33_500
"""8 MB without two equal MiB."""


def cut(body: bytes, sizes: Iterable[int]) -> Iterator[bytes]:
    """Yield pieces of these sizes, then the rest."""
    start = 0
    for size in sizes:
        yield body[start : start + size]
        start += size
    if start < len(body):
        yield body[start:]


async def each(pieces: Iterable[Any]) -> AsyncIterator[Any]:
    """Yield pieces, as an async iterator."""
    for piece in pieces:
        yield piece


async def write(artifacts: Artifacts, name: str, body: bytes, **options: Any) -> ArtifactInfo:
    """Write a version with a writer, and return what it was told."""
    async with artifacts.open_writer(name, **options) as writer:
        for piece in cut(body, (1, 700_000)):
            await writer.write(piece)
    if writer.info is None:
        raise AssertionError("a writer that was closed does not say what was stored")
    return writer.info


async def fetch(url: str) -> bytes:
    """Return what anybody gets at a URL."""
    if not isinstance(url, str):
        raise AssertionError(f"{url!r} is no URL")

    def get() -> bytes:
        with urlopen(url, timeout=30) as answer:  # noqa: S310 - a backend returned this URL, and must serve it
            return bytes(answer.read())

    try:
        return await asyncio.to_thread(get)
    except (OSError, ValueError) as error:
        raise AssertionError(f"nobody can GET the URL: {type(error).__name__}") from error


class CountsBlobs(Wrapper):
    """Counts the blobs that were written whole."""

    written = 0

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        """Forward."""
        blob = await super().write_blob(stream, chunks)
        self.written += 1
        return blob
