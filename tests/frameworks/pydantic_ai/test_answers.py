"""Lost answers, cancelled calls and deleted conversations: no save is doubled, and none is a conflict with itself."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic_ai import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, TextPart, UserPromptPart

import stowfast
from stowfast.abc import Change
from stowfast.adapters.pydantic_ai import StowfastConversationStore
from stowfast.errors import DamagedError, InvalidError, UnavailableError
from stowfast.testing.faults import LosesAnswers
from stowfast.wrappers import Wrapper
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.abc import Backend, Receipt


def said(*texts: str) -> list[ModelMessage]:
    return [ModelRequest(parts=[UserPromptPart(text)]) for text in texts]


def texts(conversation: Conversation | None) -> list[object]:
    assert conversation is not None
    return [part.content for message in conversation.messages for part in message.parts if hasattr(part, "content")]


class Refuses(Wrapper):
    """Gives no answer and commits nothing, so many times."""

    def __init__(self, backend: Backend, count: int) -> None:
        super().__init__(backend)
        self.count = count

    async def commit(self, stream: str, change: Change) -> Receipt:
        if self.count:
            self.count -= 1
            raise UnavailableError("no answer")
        return await super().commit(stream, change)


class Held(Wrapper):
    """Commits, and then waits until it is told to go on."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.committed, self.go_on = asyncio.Event(), asyncio.Event()

    async def commit(self, stream: str, change: Change) -> Receipt:
        receipt = await super().commit(stream, change)
        self.committed.set()
        await self.go_on.wait()
        return receipt


async def test_a_lost_answer_stays_inside(url: str) -> None:
    async with stowfast.open(url) as stores:
        losing = LosesAnswers(stores.backend, count=0)
        store = StowfastConversationStore(stowfast.Stores(losing))
        conversation = Conversation(conversation_id="c")
        for number in range(3):
            conversation.messages += said(f"{number}")
            losing.lose = 2
            assert len(await store.save(conversation)) == 1
        losing.lose = 1
        branched = await store.branch("c", at=2, expected_revision=conversation.revision)
        losing.lose = 1
        await store.fork("c", new_conversation_id="f")
        assert texts(branched) == texts(await store.load("f")) == ["0", "1"]
        losing.lose = 1
        await store.delete("c")
        assert [record.conversation_id for record in await store.list_conversations()] == ["f"]


@pytest.mark.parametrize("fails", [lambda backend: LosesAnswers(backend, 1), lambda backend: Refuses(backend, 1)])
async def test_a_call_that_is_repeated_after_an_outage_is_no_conflict_with_itself(
    url: str, fails: Callable[[Backend], LosesAnswers]
) -> None:
    async with stowfast.open(url) as stores:

        def failing() -> StowfastConversationStore:
            return StowfastConversationStore(stowfast.Stores(fails(stores.backend)), within=None)

        store, conversation = failing(), Conversation(conversation_id="c", messages=said("0", "1"))
        with pytest.raises(UnavailableError):
            await store.save(conversation)
        conversation.messages += said("2")
        assert [entry.message for entry in await store.save(conversation)] == conversation.messages
        assert texts(await store.load("c")) == ["0", "1", "2"]

        store = failing()
        loaded = await store.load("c")
        assert loaded is not None
        loaded.messages += said("3")
        with pytest.raises(UnavailableError):
            await store.save(loaded)
        assert len(await store.save(loaded)) == 1
        assert await store.save(loaded) == []
        assert texts(await store.load("c")) == ["0", "1", "2", "3"]

        store = failing()
        with pytest.raises(UnavailableError):
            await store.branch("c", at=2, expected_revision=loaded.revision)
        branched = await store.branch("c", at=2, expected_revision=loaded.revision)
        assert texts(branched) == ["0", "1"]
        record = await store.read_record("c")
        assert record is not None
        assert len(record.branches) == 1

        store = failing()
        with pytest.raises(UnavailableError):
            await store.fork("c", new_conversation_id="f")
        assert texts(await store.fork("c", new_conversation_id="f")) == ["0", "1"]
        with pytest.raises(ConversationConflict):
            await store.fork("c", new_conversation_id="f")


async def test_a_cancelled_save_can_be_repeated(url: str) -> None:
    async with stowfast.open(url) as stores:
        held = Held(stores.backend)
        store = StowfastConversationStore(stowfast.Stores(held))
        conversation = Conversation(conversation_id="c", messages=said("0"))
        saving = asyncio.create_task(store.save(conversation))
        await held.committed.wait()
        saving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await saving
        held.go_on.set()
        assert len(await store.save(conversation)) == 1
        assert texts(await store.load("c")) == ["0"]


async def test_another_save_in_between_is_a_conflict(url: str) -> None:
    async with stowfast.open(url) as stores:
        store = StowfastConversationStore(stowfast.Stores(Refuses(stores.backend, 1)), within=None)
        other = StowfastConversationStore(stores)
        await other.save(Conversation(conversation_id="c", messages=said("0")))
        mine, yours = await store.load("c"), await other.load("c")
        assert mine is not None
        assert yours is not None
        mine.messages += said("mine")
        yours.messages += said("yours")
        with pytest.raises(UnavailableError):
            await store.save(mine)
        await other.save(yours)
        with pytest.raises(ConversationConflict):
            await store.save(mine)
        assert texts(await store.load("c")) == ["0", "yours"]


async def test_nothing_of_a_deleted_conversation_comes_back(every_url: str) -> None:
    async with stowfast.open(every_url) as stores:
        store, other = StowfastConversationStore(stores), StowfastConversationStore(stores)
        conversation = Conversation(conversation_id="c", messages=said("0", "secret"))
        entries = await store.save(conversation)
        fork = await store.fork("c", at=1, new_conversation_id="f")
        await other.delete("c")
        assert await store.load("c") is None
        conversation.messages += said("late")
        with pytest.raises(ConversationConflict):
            await store.save(conversation)
        await other.save(Conversation(conversation_id="c", messages=said("new")))
        with pytest.raises(ConversationConflict):
            await store.save(conversation)
        assert texts(await store.load("c")) == ["new"]
        assert texts(await store.load("f")) == texts(fork) == ["0"]
        assert (await store.read_entry(entries[0].id)).message == entries[0].message
        for one in (store, other):
            with pytest.raises(LookupError):
                await one.read_entry(entries[1].id)


async def test_hundreds_of_branches_and_a_large_history_are_kept(url: str) -> None:
    async with stowfast.open(url) as stores:
        store = StowfastConversationStore(stores)
        large = [ModelResponse(parts=[TextPart(f"{number} " * 100_000)]) for number in range(30)]
        conversation = Conversation(conversation_id="c", messages=[*said("0"), *large])
        await store.save(conversation)
        tips = 1_000
        record = await store.read_record("c")
        assert record is not None
        record.branches = [f"{number:036}" for number in range(tips)]
        expected, record.revision = record.revision, "next"
        await store.write_record(record, expected_revision=expected)
        fresh = StowfastConversationStore(stores)
        loaded = await fresh.load("c")
        assert loaded is not None
        assert loaded.messages == conversation.messages
        assert len(await fresh.load_entries("c", limit=3) or []) == 3
        loaded.messages += said("1")
        await fresh.save(loaded)
        (listed,) = await store.list_conversations()
        assert len(listed.branches) == tips
        assert len((await store.load("c") or loaded).messages) == len(large) + 2
        (head,) = await stores.backend.heads(["pydantic-ai/c"])
        assert head is not None
        assert head.length == len(large) + 3  # one record beside the messages


async def test_a_message_without_a_json_form_is_refused_and_nothing_is_stored(url: str) -> None:
    async with stowfast.open(url) as stores:
        store = StowfastConversationStore(stores)
        for bad in ("\ud800", object()):
            part = UserPromptPart("x")
            part.content = bad  # type: ignore[assignment]
            conversation = Conversation(conversation_id="c", messages=[*said("0"), ModelRequest(parts=[part])])
            with pytest.raises(InvalidError, match="JSON"):
                await store.save(conversation)
        assert await store.load("c") is None
        assert await store.list_conversations() == []


async def test_stored_bytes_that_do_not_decode_are_named(url: str) -> None:
    async with stowfast.open(url) as stores:
        store = StowfastConversationStore(stores)
        await store.save(Conversation(conversation_id="c", messages=said("0")))
        await store.save(Conversation(conversation_id="d", messages=said("0")))
        await stores.backend.commit("pydantic-ai/c", Change(note=b'{"record": {"format_version": 2}}'))
        with pytest.raises(DamagedError, match="pydantic-ai/c"):
            await StowfastConversationStore(stores).load("c")
        assert [record.conversation_id for record in await store.list_conversations()] == ["d"]
        assert [record.conversation_id for record in await store.list_conversations(limit=1)] == ["d"]


async def test_the_answers_of_a_faulty_bucket_stay_inside() -> None:
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        async with stowfast.open(url) as stores:
            store = StowfastConversationStore(stores)
            conversation = Conversation(conversation_id="c")
            for number in range(12):
                conversation.messages += said(f"{number}")
                fault = (Fault.RESET, Fault.INTERNAL, Fault.SLOW_DOWN)[number % 3]
                server.fail(fault, after=number % 2 == 0, operation="PUT")
                await store.save(conversation)
            with server.chaos(seed=5, probability=0.2):
                for number in range(12, 30):
                    conversation.messages += said(f"{number}")
                    await store.save(conversation)
            assert texts(await StowfastConversationStore(stores).load("c")) == [str(number) for number in range(30)]
