"""Agents that share their tasks: one owner at a time, and no tool is called twice for one step."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import stowfast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TTL = timedelta(minutes=1)  # others wait so long for a worker that died
TOOLS = ("search", "book", "mail")


async def call(tool: str, key: str) -> str:
    """Stand in for a tool. Give the key to a service that takes one: it then refuses to do the same twice."""
    print("calling", tool, "for", key, flush=True)
    return f"{tool}: done"


@asynccontextmanager
async def held(tasks: stowfast.Tasks, lease: stowfast.Lease) -> AsyncIterator[None]:
    """Renew the lease while the block runs; the block is cancelled if the task is lost to another worker."""

    async def renew() -> None:
        while True:
            await asyncio.sleep(TTL.total_seconds() / 3)
            await tasks.renew(lease, TTL)

    async with asyncio.TaskGroup() as group:
        renewing = group.create_task(renew())
        yield
        renewing.cancel()


async def run(stores: stowfast.Stores, state: stowfast.TaskState, lease: stowfast.Lease) -> None:
    for tool in TOOLS:
        key = f"{state.task_id}/{tool}"
        if tool not in state.steps:  # else a worker before this one has called it
            result = await call(tool, key)
            state.steps[tool] = await stores.tasks.record(state.task_id, tool, result, lease=lease)
        message = {"role": "tool", "content": state.steps[tool]}
        await stores.messages.add_message(state.context_id or state.task_id, message, op_id=key)
    state.status = "completed"
    await stores.tasks.save(state, lease=lease)


async def worker(stores: stowfast.Stores, owner: str, ttl: timedelta = TTL) -> None:
    async for state, lease in stores.tasks.work(owner, ttl=ttl):
        with suppress(stowfast.ConflictError):  # the task is another worker's by now
            try:
                async with held(stores.tasks, lease):
                    await run(stores, state, lease)
            except* stowfast.ConflictError as lost:
                raise stowfast.ConflictError("the task was lost") from lost


async def main(url: str) -> None:
    async with stowfast.open(url) as stores:
        for number in range(3):
            with suppress(stowfast.ConflictError):  # it is there already
                await stores.tasks.save(stowfast.TaskState(task_id=f"trip-{number}", context_id="trips"), expect=0)
        await asyncio.gather(worker(stores, "worker-1"), worker(stores, "worker-2"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["sqlite:///agent.db"]))
