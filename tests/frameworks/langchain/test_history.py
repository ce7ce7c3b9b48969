"""The history: its contract on both faces, and its answers beside those of LangChain's history in memory."""

from __future__ import annotations

import random
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.chat_history import BaseChatMessageHistory, InMemoryChatMessageHistory
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    BaseMessage,
    ChatMessage,
    FunctionMessage,
    HumanMessage,
    RemoveMessage,
    SystemMessage,
    ToolMessage,
)

import stowfast
from stowfast import DamagedError, InvalidError, Stores
from stowfast.adapters.langchain import StowfastChatMessageHistory
from stowfast.testing import LosesAnswers
from tests.services.faulty_s3.faults import Fault
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STEPS, SEEDS = 40, 5
HOSTILE = ["a", "a/b", "a%2Fb", "..", "%", "a:b", "ü", "\0", "\ud800", " ", "x" * 2000, "'; DROP TABLE t; --"]
CALL = {"name": "weather", "args": {"city": "Köln"}, "id": "call-1"}
EVERY_KIND: list[BaseMessage] = [
    SystemMessage("be brief"),
    HumanMessage(["text", {"type": "image_url", "image_url": {"url": "data:,"}}], name="ada", id="1"),
    AIMessage("", tool_calls=[CALL], usage_metadata={"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}),
    ToolMessage("rain", tool_call_id="call-1", artifact={"raw": [1, None]}, status="error"),
    ChatMessage(content="hm", role="critic"),
    FunctionMessage(content="42", name="f"),
    RemoveMessage(id="1"),
    AIMessageChunk(content="ü\U0001f600\0"),
]


@pytest.fixture
async def history(url: str) -> AsyncIterator[StowfastChatMessageHistory]:
    async with StowfastChatMessageHistory(uuid.uuid4().hex, url) as history:
        yield history


async def test_both_faces_see_the_same_messages(history: StowfastChatMessageHistory) -> None:
    assert isinstance(history, BaseChatMessageHistory)
    history.add_messages(EVERY_KIND)
    assert history.messages == await history.aget_messages() == EVERY_KIND
    await history.aadd_messages([HumanMessage("b")])
    history.add_user_message("c")
    history.add_ai_message("d")
    assert [one.content for one in history.messages[-3:]] == ["b", "c", "d"]
    history.clear()
    assert await history.aget_messages() == []
    await history.aadd_messages([HumanMessage("e")])
    await history.aclear()
    assert history.messages == []


async def test_a_batch_is_stored_whole_or_not_at_all(history: StowfastChatMessageHistory) -> None:
    with pytest.raises(InvalidError):
        history.add_messages([HumanMessage("a"), HumanMessage("b", additional_kwargs={"x": object()})])
    with pytest.raises(InvalidError, match="unexpected message type"):
        await history.aadd_messages([HumanMessage("a"), BaseMessage("b", type="mine")])
    assert history.messages == []
    with StowfastChatMessageHistory("batches", "memory:") as other:
        other.add_messages(EVERY_KIND)
        stores = await other._opener.open()
        ids = {entry.op_id async for entry in stores.messages.entries("batches")}
        assert len(ids) == 1  # one commit


async def test_hostile_ids_are_histories_of_their_own(url: str) -> None:
    stores = await stowfast.open(url)
    try:
        histories = [StowfastChatMessageHistory(name, stores) for name in HOSTILE]
        for number, history in enumerate(histories):
            await history.aadd_messages([HumanMessage(str(number))])
        for number, history in enumerate(histories):
            assert await history.aget_messages() == [HumanMessage(str(number))]
        await histories[0].aclear()
        assert [len(history.messages) for history in histories] == [0] + [1] * (len(HOSTILE) - 1)
        other = StowfastChatMessageHistory("ü", stores, scope="tenant")
        assert await other.aget_messages() == []
    finally:
        await stores.close()


async def test_a_deleted_session_begins_anew(every_url: str) -> None:
    async with (
        StowfastChatMessageHistory("s", every_url) as history,
        StowfastChatMessageHistory("s", every_url) as other,
    ):
        for clear in (history.clear, other.clear):
            await history.aadd_messages([HumanMessage("old"), AIMessage("older")])
            assert len(other.messages) == 2
            clear()
            assert history.messages == await other.aget_messages() == []
            await history.aadd_messages([HumanMessage("new")])
            assert other.messages == [HumanMessage("new")]
            await other.aclear()


async def test_a_session_ends_some_time_after_its_last_messages(url: str) -> None:
    stores = await stowfast.open(url)
    try:
        await StowfastChatMessageHistory("s", stores, ttl=timedelta(hours=1)).aadd_messages([HumanMessage("a")])
        info = await stores.messages.info("s")
        assert info is not None
        assert info.expires_at is not None
        assert timedelta(minutes=59) < info.expires_at - info.updated_at < timedelta(minutes=61)
    finally:
        await stores.close()


async def test_a_change_without_an_answer_is_made_once(url: str) -> None:
    stores = await stowfast.open(url)
    try:
        losing = LosesAnswers(stores.backend, count=2)
        history = StowfastChatMessageHistory("s", Stores(losing))
        await history.aadd_messages([HumanMessage("a"), AIMessage("b")])
        assert losing.lose == 0
        losing.lose = 2
        history.add_messages([HumanMessage("c")])
        assert losing.lose == 0
        assert [one.content for one in await history.aget_messages()] == ["a", "b", "c"]
        losing.lose = 2
        await history.aclear()
        assert losing.lose == 0
        assert await history.aget_messages() == []
    finally:
        await stores.close()


@pytest.mark.parametrize("after_effect", [False, True])
def test_a_connection_to_a_bucket_may_break(after_effect: bool) -> None:
    with FaultyS3() as server:
        url = f"s3://{server.bucket}/agents"
        with StowfastChatMessageHistory("s", url, endpoint_url=server.endpoint, anonymous=True) as history:
            history.add_messages([HumanMessage("a")])
            rule = server.fail(Fault.RESET, after=after_effect, operation="PUT", times=2)
            history.add_messages([HumanMessage("b"), AIMessage("c")])
            assert rule.struck > 0
            assert [one.content for one in history.messages] == ["a", "b", "c"]


@pytest.mark.filterwarnings("ignore:The class `InMemoryChatMessageHistory` was deprecated")
@pytest.mark.parametrize("seed", range(SEEDS))
async def test_its_answers_are_those_of_the_history_in_memory(url: str, seed: int) -> None:
    chance = random.Random(seed)
    theirs: Any = InMemoryChatMessageHistory()
    async with StowfastChatMessageHistory(uuid.uuid4().hex, url) as ours:
        for step in range(STEPS):
            batch: list[BaseMessage] = [
                *(HumanMessage(f"{step} {number}") for number in range(chance.randrange(3))),
                *chance.sample(EVERY_KIND, chance.randrange(3)),
            ]
            match chance.choice(["add", "aadd", "get", "aget", "clear"]):
                case "add":
                    ours.add_messages(batch)
                    theirs.add_messages(batch)
                case "aadd":
                    await ours.aadd_messages(batch)
                    await theirs.aadd_messages(batch)
                case "get":
                    assert ours.messages == theirs.messages
                case "aget":
                    assert await ours.aget_messages() == await theirs.aget_messages()
                case "clear" if chance.random() < 0.3:
                    ours.clear()
                    theirs.clear()
        assert ours.messages == theirs.messages


async def test_a_message_of_another_program_is_named(url: str) -> None:
    async with await stowfast.open(url) as stores:
        await stores.messages.add_message("s", {"text": "of another program"})
        history = StowfastChatMessageHistory("s", stores)
        with pytest.raises(DamagedError, match="'s'"):
            await history.aget_messages()
        with pytest.raises(DamagedError, match="'s'"):
            _ = history.messages
        history.clear()
        assert history.messages == []
