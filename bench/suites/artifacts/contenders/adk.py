"""Google's ADK: `FileArtifactService`, a folder for each version, and the community's `S3ArtifactService`, an object
for each version, numbered from a listing. An artifact is known by app, user, session and file name.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from google.genai.types import Part

from bench.suites.artifacts.workloads import MIME_TYPE, SESSION

if TYPE_CHECKING:
    from bench.suites.artifacts.workloads import Job


class InFiles:
    def new_service(self, job: Job) -> Any:
        from google.adk.artifacts import FileArtifactService

        return FileArtifactService(job.location)

    async def open(self, job: Job) -> None:
        self.service = self.new_service(job)
        self.scope = {"app_name": job.location.rpartition("/")[2], "user_id": "one", "session_id": SESSION}

    async def close(self) -> None:
        pass  # the service in S3 makes a client for every call

    async def save(self, name: str, content: bytes) -> None:
        part = Part.from_bytes(data=content, mime_type=MIME_TYPE)
        await self.service.save_artifact(filename=name, artifact=part, **self.scope)

    async def load(self, name: str, version: int | None = None) -> bytes:
        part = await self.service.load_artifact(filename=name, version=version, **self.scope)
        return part.inline_data.data

    async def versions(self, name: str) -> list[bytes]:
        return [await self.load(name, one) for one in await self.service.list_versions(filename=name, **self.scope)]

    async def names(self) -> list[str]:
        return await self.service.list_artifact_keys(**self.scope)

    async def described(self) -> list[tuple[str, str | None]]:
        async def one(name: str) -> tuple[str, str | None]:
            return name, (await self.service.get_artifact_version(filename=name, **self.scope)).mime_type

        return await asyncio.gather(*map(one, await self.names()))


class InBucket(InFiles):
    def new_service(self, job: Job) -> Any:
        from google.adk_community.artifacts import S3ArtifactService

        return S3ArtifactService(job.location.partition("/")[0], {"endpoint_url": job.endpoint})
