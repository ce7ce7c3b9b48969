"""A chat with LlamaIndex's memory that may be killed at any moment: start it, kill it, start it again.

    pip install 'stowfast[llama-index]'
    python examples/frameworks/llama_index_chat.py [URL]

The model is scripted and needs no network. It books one city after the other. A call and its result are stored in one
commit, so the next start goes on behind the last stored pair. A process that dies between the booking and its commit
books again: give the other side a key that tells the booking, here the trip and the city.
"""

from __future__ import annotations

import asyncio
import sys

from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import Memory

from stowfast.adapters.llama_index import StowfastChatStore

CITIES = ["Paris", "Rome", "Oslo", "Bern", "Riga", "Kyiv", "Lima", "Cairo", "Quito", "Seoul", "Tunis", "Accra"]


def answer(history: list[ChatMessage]) -> ChatMessage:
    """Stand in the place of a model: ask for the next city until all are booked."""
    booked = sum(message.role == "tool" for message in history)
    if booked == len(CITIES):
        return ChatMessage(role="assistant", content="All booked.")
    return ChatMessage(role="assistant", content="", additional_kwargs={"book": CITIES[booked]})


async def book(city: str) -> str:
    """Book a hotel."""
    await asyncio.sleep(0.1)  # what a booking takes
    print("booked", city, f"under the key trip/{city}", flush=True)
    return f"{city} is booked"


async def main(url: str) -> None:
    """Begin the trip, or go on with it."""
    async with StowfastChatStore(url) as store:
        memory = Memory.from_defaults(session_id="trip", token_limit=4_000, chat_store=store)
        if not await memory.aget_all():
            await memory.aput(ChatMessage(role="user", content="Book a hotel in each city."))
        while True:
            call = answer(await memory.aget_all())
            city = call.additional_kwargs.get("book")
            if city is None:
                break
            await memory.aput_messages([call, ChatMessage(role="tool", content=await book(city))])
        print("done", call.content, flush=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///trip.db"))
