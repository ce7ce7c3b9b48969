"""A Strands agent that may be killed at any moment: start it, kill it, start it again.

    pip install 'stowfast[strands]'
    python examples/frameworks/strands_agent.py [URL]

The model is scripted and needs no network. It books one city after the other. Each message is stored before the agent
goes on, so the next start goes on with the first city whose booking is not in the session. A process that dies after a
booking and before its message books again: hand the id of the call on to the other side, as the key of the booking.
"""

from __future__ import annotations

import asyncio
import sys
import time
from typing import TYPE_CHECKING, Any

from strands import Agent, tool
from strands.models.model import Model

from stowfast.adapters.strands import StowfastSessionManager

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CITIES = ["Paris", "Rome", "Oslo", "Bern", "Riga", "Kyiv", "Lima", "Cairo", "Quito", "Seoul", "Tunis", "Accra"]


class Scripted(Model):
    """Asks for the next city until all are booked."""

    def update_config(self, **model_config: Any) -> None:
        """Do nothing."""

    def get_config(self) -> Any:
        """Return no settings."""
        return {}

    def structured_output(self, *arguments: Any, **options: Any) -> Any:
        """Refuse."""
        raise NotImplementedError

    async def stream(self, messages: Any, *arguments: Any, **options: Any) -> AsyncIterator[Any]:
        """Yield the call of the next booking, or the last text."""
        results = [part["toolResult"] for message in messages for part in message["content"] if "toolResult" in part]
        number = sum(result["status"] == "success" for result in results)
        done = number == len(CITIES)
        yield {"messageStart": {"role": "assistant"}}
        call = {"name": "book", "toolUseId": f"call-{len(results)}"}
        yield {"contentBlockStart": {"start": {} if done else {"toolUse": call}}}
        argument = f'{{"city": "{CITIES[number % len(CITIES)]}"}}'
        yield {"contentBlockDelta": {"delta": {"text": "done"} if done else {"toolUse": {"input": argument}}}}
        yield {"contentBlockStop": {}}
        yield {"messageStop": {"stopReason": "end_turn" if done else "tool_use"}}


@tool
def book(city: str) -> str:
    """Book a hotel.

    Args:
        city: where.
    """
    time.sleep(0.02)  # what a booking takes
    print("booked", city, flush=True)
    return city


async def main(url: str) -> None:
    """Begin the trip, or go on with it."""
    with StowfastSessionManager("trip", url) as manager:
        agent = Agent(model=Scripted(), tools=[book], agent_id="clerk", session_manager=manager, callback_handler=None)
        result = await agent.invoke_async("Go on." if agent.messages else "Book all cities.")
        print(str(result).strip(), flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///trip.db"))
