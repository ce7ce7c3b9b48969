"""A chat whose answers survive a client who leaves: `uvicorn fastapi_chat:app`."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI
from fastapi.responses import StreamingResponse

import stowfast

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with stowfast.open(os.environ.get("STORES", "sqlite:///chat.db")) as stores:
        app.state.stores, app.state.answers = stores, set()
        yield
        await asyncio.gather(*app.state.answers)  # a deploy lets the answers come to their end


app = FastAPI(lifespan=lifespan)


async def model(history: list[dict[str, Any]]) -> AsyncIterator[str]:
    """Stand in for a model that streams."""
    for word in f"You said: {history[-1]['content']}".split():
        await asyncio.sleep(0.05)
        yield f"{word} "


async def answer(chat: str, turn: str) -> None:
    """Write the answer as it comes, for any number of readers, and then as a message."""
    stores: stowfast.Stores = app.state.stores
    history = await stores.messages.get_messages(chat)
    with suppress(stowfast.ConflictError):  # another process answers this turn already
        async with stores.artifacts.open_live(turn, context_id=chat, mime_type="text/plain") as writer:
            async for token in model(history):
                await writer.write(token)
        text = b"".join([piece async for piece in stores.artifacts.follow(turn)]).decode()
        await stores.messages.add_message(chat, {"role": "assistant", "content": text}, op_id=f"{turn}/answer")


@app.post("/chats/{chat}/turns/{turn}")
async def ask(chat: str, turn: str, question: dict[str, Any]) -> StreamingResponse:
    """Store the question, and answer it in a task of its own. The client names the turn, so it may repeat the call."""
    stores: stowfast.Stores = app.state.stores
    await stores.messages.add_message(chat, {"role": "user", **question}, op_id=turn)
    if await stores.artifacts.info(turn) is None:
        task = asyncio.create_task(answer(chat, turn))
        app.state.answers.add(task)
        task.add_done_callback(app.state.answers.discard)
    return follow(chat, turn)


@app.get("/chats/{chat}/turns/{turn}")
def follow(chat: str, turn: str) -> StreamingResponse:
    """Give the answer from its beginning, and then as it grows: also to a client who comes back."""
    stores: stowfast.Stores = app.state.stores
    return StreamingResponse(stores.artifacts.follow(turn, wait=timedelta(seconds=30)), media_type="text/plain")


@app.get("/chats/{chat}")
async def history(chat: str) -> list[dict[str, Any]]:
    stores: stowfast.Stores = app.state.stores
    return await stores.messages.get_messages(chat)
