"""The chat of FastAPI under a real server: an answer is whole though its reader left in the middle."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import uvicorn

from tests.recipes.test_programs import recipe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest


async def test_an_answer_survives_a_client_who_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = recipe("fastapi_chat", "fastapi")
    left = asyncio.Event()

    async def model(history: list[dict[str, Any]]) -> AsyncIterator[str]:
        yield "first "
        await left.wait()
        yield "second"

    monkeypatch.setattr(module, "model", model)
    monkeypatch.setenv("STORES", f"sqlite:///{tmp_path}/chat.db")
    server = uvicorn.Server(uvicorn.Config(module.app, port=0, log_level="error", lifespan="on"))
    serving = asyncio.create_task(server.serve())
    while not server.started:
        assert not serving.done()
        await asyncio.sleep(0.01)
    address = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    async with httpx.AsyncClient(base_url=address, timeout=100) as client:
        turn, question = "/chats/chat-1/turns/turn-1", {"content": "hi"}
        async with client.stream("POST", turn, json=question) as response:
            async for text in response.aiter_text():
                assert text == "first "
                break
        left.set()
        assert (await client.post(turn, json=question)).text == "first second"  # a repeat, by a client who came back
        assert (await client.get(turn)).text == "first second"
        await asyncio.gather(*module.app.state.answers)
        assert (await client.get("/chats/chat-1")).json() == [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "content": "first second"},
        ]
    server.should_exit = True
    await serving
