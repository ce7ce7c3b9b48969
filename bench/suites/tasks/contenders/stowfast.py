"""Stowfast in a SQLite file or on a bucket, in an event loop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import stowfast
from bench.suites.stores import AsyncStores

if TYPE_CHECKING:
    from bench.suites.tasks.workloads import Job


class Stowfast(AsyncStores):
    reads = 0
    """Calls of the backend's `read`."""

    async def open(self, job: Job) -> None:
        await super().open(job)
        read = self.stores.backend.read

        async def counted(*arguments: Any, **options: Any) -> Any:
            self.reads += 1
            return await read(*arguments, **options)

        self.stores.backend.read = counted

    def prepared(self, task: str, state: dict[str, Any]) -> tuple[Any, ...]:
        return (stowfast.TaskState(task_id=task, data=state),)

    async def save(self, state: Any) -> None:
        await self.stores.tasks.save(state)

    async def load(self, task: str) -> Any:
        return await self.stores.tasks.load(task)

    async def version(self, task: str, version: int) -> Any:
        return await self.stores.tasks.load(task, version=version)

    def as_given(self, loaded: Any) -> dict[str, Any]:
        return loaded.data
