"""Stowfast, content as bytes, in a file or a bucket."""

from __future__ import annotations

from bench.suites.artifacts.workloads import MIME_TYPE, SESSION
from bench.suites.stores import AsyncStores


class Stowfast(AsyncStores):
    async def save(self, name: str, content: bytes) -> None:
        artifacts = self.stores.artifacts
        async with artifacts.open_writer(name, context_id=SESSION, mime_type=MIME_TYPE) as writer:
            await writer.write(content)

    async def load(self, name: str) -> bytes:
        return (await self.stores.artifacts.get(name)).content

    async def versions(self, name: str) -> list[bytes]:
        found = await self.stores.artifacts.versions(name)
        return [(await self.stores.artifacts.get(name, version=one.version)).content for one in found]

    async def names(self) -> list[str]:
        return [name for name, _ in await self.described()]

    async def described(self) -> list[tuple[str, str | None]]:
        found = await self.stores.artifacts.list(context_id=SESSION, limit=1_000)
        return [(one.artifact_id, one.mime_type) for one in found]
