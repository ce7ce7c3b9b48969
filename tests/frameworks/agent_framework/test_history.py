"""`StowfastHistoryProvider` and `StowfastSessionStore`, beside the framework's own in memory."""

from __future__ import annotations

import asyncio
import random
import uuid
import warnings
from typing import TYPE_CHECKING, Any

import pytest
from agent_framework import AgentSession, Content, InMemoryHistoryProvider, Message

import stowfast
from stowfast import DamagedError, InvalidError
from stowfast.adapters.agent_framework import StowfastHistoryProvider
from stowfast.backends.memory import MemoryBackend
from stowfast.testing import LosesAnswers
from tests.frameworks.children import KILLABLE, by_writer, check_writers, kill_writers, race

if TYPE_CHECKING:
    from tests.frameworks.losing import LosingBucket

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # session stores are experimental in the framework
    from stowfast.adapters.agent_framework import StowfastSessionStore

ADDED, KILLS = 12, 6

# Saves numbered messages, and tells each number after its answer.
SAVES = """
import asyncio, os, sys
from agent_framework import Message
from stowfast.adapters.agent_framework import StowfastHistoryProvider

url, scope, name, start, stop = *sys.argv[1:4], *map(int, sys.argv[4:])

async def main():
    async with StowfastHistoryProvider(url, scope=scope) as history:
        os.write(1, b"opened\\n")
        for number in range(start, stop):
            await history.save_messages("s", [Message("user", [f"{name}-{number}"], message_id=f"{name}-{number}")])
            os.write(1, f"{number}\\n".encode())

asyncio.run(main())
"""


def texts(messages: list[Message]) -> list[str]:
    return [one.text for one in messages]


@pytest.mark.parametrize("seed", range(6))
async def test_random_saves_leave_the_messages_of_the_provider_in_memory(url: str, seed: int) -> None:
    randomness, theirs = random.Random(seed), InMemoryHistoryProvider()
    state: dict[str, Any] = {}
    async with StowfastHistoryProvider(url, scope=uuid.uuid4().hex) as ours:
        for _ in range(20):
            known = await theirs.get_messages("s", state=state)
            new = [
                Message(
                    randomness.choice(["user", "assistant"]),
                    [randomness.choice("ab")],
                    message_id=randomness.choice([None, None, uuid.uuid4().hex]),
                )
                for _ in range(randomness.randrange(3))
            ]
            replayed = randomness.choice([[], known, known[-2:], known[:1], known[1:]])
            for provider in (ours, theirs):
                await provider.save_messages("s", [*replayed, *new], state=state)
            stored = [one.to_dict() for one in await ours.get_messages("s")]
            assert stored == [one.to_dict() for one in await theirs.get_messages("s", state=state)]


async def test_sessions_and_providers_stay_apart(every_url: str) -> None:
    scope = uuid.uuid4().hex
    sessions = [None, "", "default", "a", "a/b", "a%2Fb", "..", "\0", "ü", "a" * 2_000]
    one = StowfastHistoryProvider(every_url, scope=scope)
    other = StowfastHistoryProvider(every_url, source_id="other/a", scope=scope)
    for session in sessions:
        await one.save_messages(session, [Message("user", [repr(session)])])
    for session in sessions:
        assert texts(await one.get_messages(session)) == [repr(session)]
        assert await other.get_messages(session) == []
    await one.delete("a")
    assert await one.get_messages("a") == []
    assert texts(await one.get_messages("a/b")) == ["'a/b'"]
    await one.aclose()
    await other.aclose()


async def test_a_deleted_history_begins_anew(every_url: str) -> None:
    scope = uuid.uuid4().hex
    async with (
        StowfastHistoryProvider(every_url, scope=scope) as history,
        StowfastHistoryProvider(every_url, scope=scope) as other,
    ):
        for deletes in (history, other):
            await history.save_messages("s", [Message("user", ["old"]), Message("assistant", ["older"])])
            await deletes.delete("s")
            assert await history.get_messages("s") == await other.get_messages("s") == []
            await history.save_messages("s", [Message("user", ["new"])])
            assert texts(await other.get_messages("s")) == ["new"]
            await other.delete("s")


async def test_contents_come_back_and_excluded_messages_can_be_left_out() -> None:
    stores = stowfast.Stores(MemoryBackend())
    history = StowfastHistoryProvider(stores)
    call = Content.from_function_call(call_id="1", name="look", arguments={"at": [1, None]})
    result = Content.from_function_result(call_id="1", result="seen")
    messages = [
        Message("assistant", [call]),
        Message("tool", [result]),
        Message("user", ["old"], additional_properties={"_excluded": True}),
    ]
    await history.save_messages("s", messages)
    assert [one.to_dict() for one in await history.get_messages("s")] == [one.to_dict() for one in messages]
    assert len(await StowfastHistoryProvider(stores, skip_excluded=True).get_messages("s")) == 2
    await stores.messages.add_message("agent-framework/stowfast/t", {"text": "without a role"})
    with pytest.raises(DamagedError):
        await history.get_messages("t")


async def test_a_bucket_that_loses_answers_stores_a_message_once(losing_bucket: LosingBucket) -> None:
    async with StowfastHistoryProvider(losing_bucket.url) as history:
        for number in range(4):
            losing_bucket.lose_answer()
            await history.save_messages("s", [Message("user", [f"{number}{one}"]) for one in "ab"])
        assert texts(await history.get_messages("s")) == [f"{number}{one}" for number in range(4) for one in "ab"]


async def test_a_lost_answer_stays_inside_and_a_cancelled_save_is_whole_or_absent(url: str) -> None:
    async with stowfast.open(url) as stores:
        backend = LosesAnswers(stores.backend, 0)
        history = StowfastHistoryProvider(stowfast.Stores(backend))
        for name in ("deleted", "anew"):
            for one in "ab":
                backend.lose = 2
                await history.save_messages("s", [Message("user", [f"{name} {one}"])])
            assert texts(await history.get_messages("s")) == [f"{name} a", f"{name} b"]
            backend.lose = 1
            await history.delete("s")
            assert (await history.get_messages("s"), backend.lose) == ([], 0)
    async with StowfastHistoryProvider(url, scope=uuid.uuid4().hex) as provider:
        saved, found = 0, list[str]()
        for number in range(8):
            save = asyncio.create_task(
                provider.save_messages("s", [Message("user", [f"{number}{one}"]) for one in "ab"])
            )
            for _ in range(number % 4):
                await asyncio.sleep(0)
            save.cancel()
            await asyncio.gather(save, return_exceptions=True)
            found = texts(await provider.get_messages("s"))
            assert len(found) in {saved, saved + 2}
            saved = len(found)
        assert [one[1] for one in found] == list("ab") * (saved // 2)


async def test_a_session_comes_back_as_an_object_of_its_own(url: str) -> None:
    async with StowfastSessionStore(url, scope=uuid.uuid4().hex) as store:
        session = AgentSession(session_id="s", service_session_id="r-1")
        session.state["in_memory"] = {"messages": [Message("user", ["hi"])], "count": 1}
        for name in ("k", "a/b", "\0", "x" * 3_000):
            await store.set(name, session)
        session.state["in_memory"]["count"] = 2
        first, second = await store.get("k"), await store.get("k")
        assert first is not None
        assert second is not None
        first.state["in_memory"]["count"] = 3
        assert second.state["in_memory"]["count"] == 1
        assert isinstance(second.state["in_memory"]["messages"][0], Message)
        assert (second.session_id, second.service_session_id) == ("s", "r-1")
        await store.delete("k")
        await store.delete("k")
        assert await store.get("k") is None
        assert await store.get("a/b") is not None
        for wrong in ("", None):
            with pytest.raises(ValueError, match="non-empty"):
                await store.get(wrong)  # type: ignore[arg-type]
        session.state["bad"] = float("nan")
        with pytest.raises(InvalidError):
            await store.set("k", session)
        assert await store.get("k") is None


async def test_two_processes_lose_and_double_nothing(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    ended = race(SAVES, *[[shared_url, scope, name, "0", str(ADDED)] for name in ("one", "two")])
    assert ended == [["opened", *map(str, range(ADDED))]] * 2
    async with StowfastHistoryProvider(shared_url, scope=scope) as history:
        found = texts(await history.get_messages("s"))
        assert len(found) == 2 * ADDED
        for name in ("one", "two"):
            assert [one for one in found if one.startswith(name)] == [f"{name}-{number}" for number in range(ADDED)]


@KILLABLE
async def test_an_acknowledged_message_outlives_a_kill(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    told = kill_writers(SAVES, KILLS, lambda name: [shared_url, scope, name, "0", "10000"], 8)
    async with StowfastHistoryProvider(shared_url, scope=scope) as history:
        check_writers(shared_url, told, by_writer(texts(await history.get_messages("s"))))
