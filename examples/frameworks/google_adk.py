"""An ADK agent that may be killed at any moment: start it, kill it, start it again.

    pip install 'stowfast[google-adk]'
    python examples/frameworks/google_adk.py [URL]

The model is scripted and needs no network. It books one city after the other. Each event is stored before the agent
goes on, so the next start goes on with the first city whose booking is not in the session. A process that dies after a
booking and before its event books again: hand the id of the call on to the other side, as the key of the booking.
"""

from __future__ import annotations

import asyncio
import sys
import warnings
from typing import TYPE_CHECKING, Any

from google.adk.agents import LlmAgent
from google.adk.apps import App, ResumabilityConfig
from google.adk.models.base_llm import BaseLlm
from google.adk.models.llm_response import LlmResponse
from google.adk.runners import Runner
from google.adk.tools.tool_context import ToolContext  # noqa: TC002 - ADK reads the annotations of a tool
from google.genai import types

from stowfast.adapters.google_adk import StowfastSessionService

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from google.adk.models.llm_request import LlmRequest

CITIES = ["Paris", "Rome", "Oslo", "Bern", "Riga", "Kyiv", "Lima", "Cairo", "Quito", "Seoul", "Tunis", "Accra"]
IDS: dict[str, Any] = {"user_id": "ada", "session_id": "trip"}


class Scripted(BaseLlm):
    """Asks for the next city until all are booked."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse]:
        parts = [part for content in llm_request.contents for part in content.parts or []]
        booked = sum(part.function_response is not None for part in parts)
        if booked < len(CITIES):
            call = types.FunctionCall(id=f"call-{booked}", name="book", args={"city": CITIES[booked]})
            answer = types.Part(function_call=call)
        else:
            answer = types.Part(text="All booked.")
        yield LlmResponse(content=types.Content(role="model", parts=[answer]))


async def book(city: str, tool_context: ToolContext) -> dict[str, Any]:
    """Book a hotel."""
    await asyncio.sleep(0.02)  # what a booking takes
    tool_context.state["booked"] = [*tool_context.state.get("booked", []), city]
    return {"booked": city, "key": tool_context.function_call_id}


async def main(url: str) -> None:
    """Begin the trip, or go on with it."""
    agent = LlmAgent(name="clerk", model=Scripted(model="scripted"), tools=[book])
    app = App(name="trips", root_agent=agent, resumability_config=ResumabilityConfig(is_resumable=True))
    async with StowfastSessionService(url) as sessions:
        runner = Runner(app=app, session_service=sessions)
        session = await sessions.get_session(app_name="trips", **IDS)
        if session is None:
            session = await sessions.create_session(app_name="trips", **IDS)
        if session.events:
            todo: dict[str, Any] = {"invocation_id": session.events[-1].invocation_id}
        else:
            todo = {"new_message": types.UserContent("Book a hotel in each city.")}
        async for event in runner.run_async(**IDS, **todo):
            for answer in event.get_function_responses():
                print("booked", answer.response, flush=True)
        final = await sessions.get_session(app_name="trips", **IDS)
        assert final is not None
        print("done", final.state["booked"], flush=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///trip.db"))
