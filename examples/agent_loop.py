"""An agent that may be killed at any moment, and goes on where it stood: run it, press Ctrl-C, run it again.

    python examples/agent_loop.py

Two habits are all it takes. Every write carries an op_id that is the same whenever the step is tried, so that a repeat
adds nothing. And the task state says which step is next, so that a new process knows where to begin.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import stowfast

CONTEXT, TASK = "trip-to-rome", "plan-trip"
STEPS = ["Find a train.", "Book a room.", "Reserve a table.", "Write the itinerary."]


async def work(step: int) -> dict[str, Any]:
    """What a model and its tools would do."""
    await asyncio.sleep(0.5)
    return {"role": "assistant", "content": f"Done: {STEPS[step]}"}


async def main(url: str) -> None:
    async with stowfast.open(url) as stores:
        state = await stores.tasks.load(TASK)
        if state is None:
            state = stowfast.TaskState(task_id=TASK, context_id=CONTEXT, data={"step": 0})
        print(f"begins at step {state.data['step']} of {len(STEPS)}")

        for step in range(state.data["step"], len(STEPS)):
            op_id = f"{TASK}-{step}"
            messages = [{"role": "user", "content": STEPS[step]}, await work(step)]
            await stores.messages.add_messages(CONTEXT, messages, op_id=op_id)
            state.data = {"step": step + 1}
            state.status = "completed" if step + 1 == len(STEPS) else "working"
            await stores.tasks.save(state, op_id=op_id)

        for message in await stores.messages.get_messages(CONTEXT):
            print(f"{message['role']:>9}: {message['content']}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///trip.db"))
