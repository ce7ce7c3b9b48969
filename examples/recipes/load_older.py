"""A chat window: the newest messages first, and older ones when the reader scrolls up."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import stowfast

PAGE = 50


async def page(stores: stowfast.Stores, chat: str, before: int | None = None) -> dict[str, Any]:
    """Return a page, oldest first. It costs a page, however long the conversation is."""
    entries = [entry async for entry in stores.messages.entries(chat, last=PAGE, before=before)]
    return {
        "messages": [entry.message for entry in entries],
        "before": entries[0].position if len(entries) == PAGE else None,  # None: this was the beginning
    }


async def newest_of(stores: stowfast.Stores, chat: str, role: str) -> dict[str, Any] | None:
    """Look back from the end, in constant memory, as far as needed."""
    async for entry in stores.messages.entries(chat, reverse=True):
        if entry.message["role"] == role:
            return dict(entry.message)
    return None


async def main(url: str) -> None:
    async with stowfast.open(url) as stores:
        await stores.messages.add_messages("chat", [{"role": "user", "content": str(number)} for number in range(120)])
        shown = await page(stores, "chat")
        while True:
            print(shown["messages"][0]["content"], "to", shown["messages"][-1]["content"])
            if shown["before"] is None:
                break
            shown = await page(stores, "chat", shown["before"])
        print("the newest question:", await newest_of(stores, "chat", "user"))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["sqlite:///chat.db"]))
