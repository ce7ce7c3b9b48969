"""Tests of an agent: real stores in memory, and a lost answer. Needs pytest-asyncio with `asyncio_mode = "auto"`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.testing.faults import LosesAnswers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


async def reply(stores: stowfast.Stores, chat: str, text: str) -> None:
    """Stand in for the code under test: it repeats a call that got no answer, under the same op_id."""
    while True:
        try:
            await stores.messages.add_message(chat, {"role": "assistant", "content": text}, op_id="reply-1")
        except stowfast.UnavailableError:
            continue
        return


@pytest.fixture
async def stores() -> AsyncIterator[stowfast.Stores]:
    """Stores of their own for each test, as durable as their process."""
    async with stowfast.open("memory:") as stores:
        yield stores


async def test_a_reply_is_stored(stores: stowfast.Stores) -> None:
    await reply(stores, "chat-1", "Hello")
    assert await stores.messages.get_messages("chat-1") == [{"role": "assistant", "content": "Hello"}]


async def test_a_reply_is_stored_once_when_answers_are_lost(stores: stowfast.Stores) -> None:
    faulty = LosesAnswers(stores.backend, count=3)  # commits, and then fails as a broken connection does
    await reply(stowfast.Stores(faulty), "chat-1", "Hello")
    assert faulty.lose == 0
    assert await stores.messages.count("chat-1") == 1
