"""Stowfast on a bucket, as an agent in an event loop uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import stowfast
from bench.s3.stopwatch import serve

if TYPE_CHECKING:
    from bench.s3.workloads import Job

__all__ = ["BATCH", "url"]

BATCH = 50
"""A history is written in pieces of so many messages, as turns would, so that it is stored as one that grew."""


def url(job: Job) -> str:
    return f"s3://{job.bucket}/{job.prefix}?endpoint_url={job.endpoint}"


class StowfastAsync:
    async def open(self, job: Job) -> None:
        self.opened = stowfast.open(url(job))
        self.stores = await self.opened.__aenter__()

    async def close(self) -> None:
        await self.opened.__aexit__(None, None, None)

    async def add(self, name: str, message: dict[str, Any]) -> int:
        return await self.stores.messages.add_message(name, message)

    async def add_all(self, name: str, messages: list[dict[str, Any]]) -> None:
        for start in range(0, len(messages), BATCH):
            await self.stores.messages.add_messages(name, messages[start : start + BATCH])

    async def load(self, name: str) -> list[dict[str, Any]]:
        return await self.stores.messages.get_messages(name)

    async def last(self, name: str, count: int) -> list[dict[str, Any]]:
        return await self.stores.messages.get_messages(name, last=count)

    async def count(self, name: str) -> int:
        return await self.stores.messages.count(name)

    async def conversations(self, count: int) -> list[str]:
        return [one.context_id for one in await self.stores.messages.contexts(limit=count)]

    async def save(self, name: str, state: dict[str, Any]) -> None:
        await self.stores.tasks.save(stowfast.TaskState(task_id=name, data=state))

    async def load_task(self, name: str) -> Any:
        return await self.stores.tasks.load(name)

    async def put_artifact(self, name: str, content: bytes) -> None:
        await self.stores.artifacts.create(stowfast.Artifact(artifact_id=name, content=content))

    async def get_artifact(self, name: str) -> Any:
        return await self.stores.artifacts.get(name)


if __name__ == "__main__":
    serve(StowfastAsync)
