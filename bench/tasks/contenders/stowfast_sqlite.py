"""Stowfast in a SQLite file, as an agent in an event loop uses it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import stowfast
from bench.tasks.stopwatch import serve

if TYPE_CHECKING:
    from bench.tasks.workloads import Job

__all__ = ["Stowfast"]


class Stowfast:
    reads = 0
    """How often the place was read."""

    def url(self, job: Job) -> str:
        return f"sqlite:///{job.place}"

    async def open(self, job: Job) -> None:
        self.opened = stowfast.open(self.url(job))
        stores = await self.opened.__aenter__()
        self.tasks = stores.tasks
        read = stores.backend.read

        async def counted(*arguments: Any, **options: Any) -> Any:
            self.reads += 1
            return await read(*arguments, **options)

        stores.backend.read = counted

    async def close(self) -> None:
        await self.opened.__aexit__(None, None, None)

    def prepared(self, state: dict[str, Any]) -> dict[str, Any]:
        return state

    async def save(self, task: str, state: dict[str, Any]) -> None:
        await self.tasks.save(stowfast.TaskState(task_id=task, data=state))

    async def load(self, task: str) -> Any:
        return await self.tasks.load(task)

    async def version(self, task: str, version: int) -> Any:
        return await self.tasks.load(task, version=version)

    def as_given(self, loaded: Any) -> dict[str, Any]:
        return loaded.data


if __name__ == "__main__":
    serve(Stowfast)
