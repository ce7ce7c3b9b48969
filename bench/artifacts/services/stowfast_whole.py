"""Stowfast, content as bytes: in a file or a bucket, as the URL says."""

from __future__ import annotations

from contextlib import AsyncExitStack

import stowfast
from bench.artifacts.stopwatch import MIME_TYPE, SESSION, serve


class Stowfast:
    async def open(self, where: str) -> None:
        self.stack = AsyncExitStack()
        stores = await self.stack.enter_async_context(stowfast.open(where))
        self.artifacts = stores.artifacts

    async def close(self) -> None:
        await self.stack.aclose()

    async def save(self, name: str, content: bytes) -> None:
        async with self.artifacts.open_writer(name, context_id=SESSION, mime_type=MIME_TYPE) as writer:
            await writer.write(content)

    async def load(self, name: str) -> bytes:
        return (await self.artifacts.get(name)).content

    async def versions(self, name: str) -> list[bytes]:
        found = await self.artifacts.versions(name)
        return [(await self.artifacts.get(name, version=one.version)).content for one in found]

    async def names(self) -> list[str]:
        return [one.artifact_id for one in await self.artifacts.list(context_id=SESSION, limit=1_000)]

    async def described(self) -> list[tuple[str, str | None]]:
        found = await self.artifacts.list(context_id=SESSION, limit=1_000)
        return [(one.artifact_id, one.mime_type) for one in found]


if __name__ == "__main__":
    serve(Stowfast())
