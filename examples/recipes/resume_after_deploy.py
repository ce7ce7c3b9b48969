"""A worker that a deploy may stop at any time: on SIGTERM it ends its step, saves, and gives the task back."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta

import stowfast

STEPS = 8
TTL = timedelta(minutes=10)  # after a kill without SIGTERM others wait so long; after SIGTERM they go on at once


async def step(number: int) -> str:
    """Stand in for a model and its tools."""
    await asyncio.sleep(0.02)
    return f"result {number}"


async def work(tasks: stowfast.Tasks, state: stowfast.TaskState, lease: stowfast.Lease, stop: asyncio.Event) -> None:
    results = state.data["results"]
    while len(results) < STEPS and not stop.is_set():
        results.append(await step(len(results)))
        await tasks.renew(lease, TTL)
        state = await tasks.save(state, lease=lease)
        print(state.task_id, "step", len(results), flush=True)
    if len(results) == STEPS:
        state.status = "completed"
        await tasks.save(state, lease=lease)
    await tasks.release(lease)


async def main(url: str) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with stowfast.open(url) as stores:
        async for state, lease in stores.tasks.work(f"worker-{os.getpid()}", ttl=TTL):
            await work(stores.tasks, state, lease, stop)
            if stop.is_set():
                break


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["sqlite:///agent.db"]))
