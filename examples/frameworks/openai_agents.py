"""An agent of the OpenAI Agents SDK that may be killed at any moment: start it, kill it, start it again.

    pip install 'stowfast[openai-agents]'
    python examples/frameworks/openai_agents.py [URL]

The model is scripted and needs no network. It books one city after the other. The SDK stores each turn, a call with its
result, before the next one, so the next start goes on behind the last stored turn: with an empty input. A process that
dies inside a turn runs its tool again: give the other side a key that tells the booking, here the trip and the city.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from agents import Agent, Model, ModelResponse, Runner, Usage, function_tool, set_tracing_disabled
from agents.testing import assistant_message, function_call

from stowfast.adapters.openai_agents import StowfastSession

CITIES = ["Paris", "Rome", "Oslo", "Bern", "Riga", "Kyiv", "Lima", "Cairo", "Quito", "Seoul", "Tunis", "Accra"]


class Scripted(Model):
    """Asks for the next city until all are booked."""

    async def get_response(self, system_instructions: Any, input: Any, *settings: Any, **more: Any) -> ModelResponse:
        booked = sum(item.get("type") == "function_call_output" for item in input)
        if booked < len(CITIES):
            answer: Any = function_call("book", {"city": CITIES[booked]}, call_id=f"call-{booked}")
        else:
            answer = assistant_message("All booked.")
        return ModelResponse(output=[answer], usage=Usage(), response_id=None)

    def stream_response(self, *settings: Any, **more: Any) -> Any:
        raise NotImplementedError


@function_tool
async def book(city: str) -> str:
    """Book a hotel."""
    await asyncio.sleep(0.1)  # what a booking takes
    print("booked", city, f"under the key trip/{city}", flush=True)
    return f"{city} is booked"


async def main(url: str) -> None:
    """Begin the trip, or go on with it."""
    agent = Agent(name="clerk", model=Scripted(), tools=[book])
    async with StowfastSession("trip", url) as session:
        begun = await session.get_items(1)
        todo: Any = [] if begun else "Book a hotel in each city."
        result = await Runner.run(agent, todo, session=session, max_turns=20)
        print("done", result.final_output, flush=True)


if __name__ == "__main__":
    set_tracing_disabled(disabled=True)
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///trip.db"))
