"""The side bar of a chat: the chats of a user with titles, the last active first, a page at a time."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import stowfast

PAGE = 30


async def side_bar(stores: stowfast.Stores, user: str, after: str | None = None) -> dict[str, Any]:
    """Return one page. It costs one listing, not a call for each chat."""
    page = await stores.messages.contexts(where={"user": user}, limit=PAGE, after=after, info=True)
    chats = [{"id": chat.context_id, "title": chat.metadata.get("title", "New chat")} for chat in page]
    return {"chats": chats, "next": page.next}


async def main(url: str) -> None:
    async with stowfast.open(url) as stores:
        for number in range(35):
            message = {"role": "user", "content": f"Question {number}"}
            await stores.messages.add_message(f"chat-{number}", message, metadata={"user": "ada"})
        await stores.messages.update_metadata("chat-3", {"title": "Trains to Hamburg"})  # moves no chat to the top

        first = await side_bar(stores, "ada")
        rest = await side_bar(stores, "ada", first["next"])
        print(len(first["chats"]), "and", len(rest["chats"]), "the top is", first["chats"][0]["id"])
        print([line for line in rest["chats"] if line["title"] != "New chat"])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or ["sqlite:///side-bar.db"]))
