"""Helpers of the live clauses: a complete writer, and followers that check the bytes they got."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import NotFoundError
from stowfast.testing.clause import holds, raises, same

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.records import ArtifactInfo
    from stowfast.stores import Artifacts

__all__ = ["SECONDS", "Follower", "all_of", "failed", "following", "write_live"]

SECONDS: Final = 30.0
"""Seconds until bytes are counted as missing."""


class Follower:
    """Follows a live artifact from `begin` on, and keeps its bytes."""

    def __init__(self, artifacts: Artifacts, artifact_id: str) -> None:
        self.got = b""
        self._followed = (artifacts, artifact_id)
        self._came = asyncio.Event()
        self._task: asyncio.Task[bytes] | None = None

    def begin(self) -> None:
        """Follow from now on."""
        self._task = asyncio.create_task(self._follow())

    async def _follow(self) -> bytes:
        artifacts, artifact_id = self._followed
        try:
            async for piece in artifacts.follow(artifact_id):
                self.got += piece
                self._came.set()
        finally:
            self._came.set()
        return self.got

    async def until(self, expected: bytes) -> None:
        """Wait until it got these bytes, and no others."""
        try:
            async with asyncio.timeout(SECONDS):
                while self.got != expected and len(self.got) <= len(expected) and not self._begun().done():
                    self._came.clear()
                    await self._came.wait()
        except TimeoutError:
            missing = len(expected) - len(self.got)
            raise AssertionError(f"{missing:,} bytes did not come to a follower within {SECONDS:g} s") from None
        same(self.got, expected, "what a follower got so far")
        holds(not self._begun().done(), "a follower goes on as long as it is written")

    async def to_the_end(self) -> bytes:
        """Return all it got, once there is no more."""
        try:
            return await asyncio.wait_for(self._begun(), SECONDS)
        except TimeoutError:
            raise AssertionError(f"a follower did not come to an end within {SECONDS:g} s") from None

    async def stop(self) -> None:
        """Follow no further."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def _begun(self) -> asyncio.Task[bytes]:
        if self._task is None:
            raise AssertionError("nothing was there to follow")
        return self._task


@asynccontextmanager
async def following(artifacts: Artifacts, artifact_id: str) -> AsyncIterator[Follower]:
    """Follow an artifact from now on, until the block ends."""
    follower = Follower(artifacts, artifact_id)
    follower.begin()
    try:
        yield follower
    finally:
        await follower.stop()


@asynccontextmanager
async def failed(artifacts: Artifacts, artifact_id: str) -> AsyncIterator[Follower]:
    """Follow an artifact from when it is told to begin in the block, at whose end the artifact was never finished."""
    follower = Follower(artifacts, artifact_id)
    try:
        yield follower
        await raises(NotFoundError, follower.to_the_end(), "what was never finished, followed to its end")
    finally:
        await follower.stop()


async def all_of(artifacts: Artifacts, artifact_id: str) -> bytes:
    """Follow an artifact to its end."""
    follower = Follower(artifacts, artifact_id)
    follower.begin()
    try:
        return await follower.to_the_end()
    finally:
        await follower.stop()


async def write_live(artifacts: Artifacts, name: str, body: bytes, **options: Any) -> ArtifactInfo:
    """Write a version live, and return what it was told."""
    async with artifacts.open_live(name, **options) as writer:
        await writer.write(body)
    if writer.info is None:
        raise AssertionError("a writer that was closed does not say what was stored")
    return writer.info
