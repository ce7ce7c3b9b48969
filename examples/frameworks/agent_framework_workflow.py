"""A workflow of Microsoft Agent Framework that may be killed at any moment: start it, kill it, start it again.

    pip install 'stowfast[agent-framework]'
    python examples/frameworks/agent_framework_workflow.py [URL]

The model is scripted and needs no network. It books one city after the other. The framework stores a checkpoint after
each superstep, so the next start goes on behind the last one. A process that dies inside a superstep runs it again:
give the other side a key that tells the booking, here the trip and the city.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass, field

from agent_framework import Executor, WorkflowBuilder, WorkflowContext, handler

from stowfast.adapters.agent_framework import StowfastCheckpointStorage

CITIES = ["Paris", "Rome", "Oslo", "Bern", "Riga", "Kyiv", "Lima", "Cairo", "Quito", "Seoul", "Tunis", "Accra"]


@dataclass
class Trip:
    booked: list[str] = field(default_factory=list)


class Model(Executor):
    """Stands in the place of a model: asks for the next city until all are booked."""

    @handler
    async def answer(self, trip: Trip, context: WorkflowContext[Trip, str]) -> None:
        if len(trip.booked) == len(CITIES):
            await context.yield_output("All booked.")
        else:
            await context.send_message(trip)


class Clerk(Executor):
    """Books a hotel."""

    @handler
    async def book(self, trip: Trip, context: WorkflowContext[Trip]) -> None:
        city = CITIES[len(trip.booked)]
        await asyncio.sleep(0.1)  # what a booking takes
        print("booked", city, f"under the key trip/{city}", flush=True)
        await context.send_message(Trip([*trip.booked, city]))


async def main(url: str) -> None:
    """Begin the trip, or go on with it."""
    model, clerk = Model(id="model"), Clerk(id="clerk")
    async with StowfastCheckpointStorage(url, allowed_checkpoint_types=[Trip]) as storage:
        builder = WorkflowBuilder(start_executor=model, checkpoint_storage=storage, name="trip")
        workflow = builder.add_edge(model, clerk).add_edge(clerk, model).build()
        latest = await storage.get_latest(workflow_name="trip")
        if latest is None:
            result = await workflow.run(Trip())
        else:
            result = await workflow.run(checkpoint_id=latest.checkpoint_id)
        print("done", *result.get_outputs(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///trip.db"))
