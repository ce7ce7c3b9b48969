"""`StowfastChatStore`: the same answers as LlamaIndex's store over SQL, and what only ours promises."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.memory import Memory
from llama_index.core.storage.chat_store.base_db import MessageStatus
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore

import stowfast
from stowfast import DamagedError, InvalidError
from stowfast.adapters.llama_index import StowfastChatStore
from stowfast.testing import LosesAnswers
from tests.frameworks.children import KILLABLE, by_writer, check_writers, kill_writers, race

if TYPE_CHECKING:
    from tests.frameworks.losing import LosingBucket

ACTIVE, ARCHIVED = MessageStatus.ACTIVE, MessageStatus.ARCHIVED
ADDED, KILLS = 12, 6

# Adds numbered messages and archives one after each third, and tells each number after its answer.
ADDS = """
import asyncio, os, sys
from llama_index.core.base.llms.types import ChatMessage
from stowfast.adapters.llama_index import StowfastChatStore

url, scope, name, start, stop = *sys.argv[1:4], *map(int, sys.argv[4:])

async def main():
    async with StowfastChatStore(url, scope=scope) as store:
        os.write(1, b"opened\\n")
        for number in range(start, stop):
            await store.add_message("chat", ChatMessage(role="user", content=f"{name}-{number}"))
            if number % 3 == 0:
                await store.archive_oldest_messages("chat", 1)
            os.write(1, f"{number}\\n".encode())

asyncio.run(main())
"""


def said(text: str, **more: Any) -> ChatMessage:
    return ChatMessage(role="user", content=text, **more)


def texts(messages: list[ChatMessage]) -> list[str | None]:
    return [one.content for one in messages]


@pytest.mark.parametrize("seed", range(4))
async def test_random_calls_give_the_answers_of_the_store_over_sql(url: str, seed: int) -> None:
    randomness, theirs = random.Random(seed), SQLAlchemyChatStore(table_name="t")
    async with StowfastChatStore(url, scope=uuid.uuid4().hex) as ours:
        both = (ours, theirs)
        for step in range(25):
            key, status = randomness.choice("ab"), randomness.choice([ACTIVE, ACTIVE, ARCHIVED])
            new = [said(f"{step}.{number}") for number in range(randomness.randrange(1, 4))]
            count, found = randomness.randrange(3), []
            call = randomness.choice(["add", "add", "add", "set", "delete", "oldest", "archive", "archive"])
            for store in both:
                match call:
                    case "add":
                        await store.add_messages(key, new, status)
                    case "set" if count == 0:
                        await store.set_messages(key, new, status)
                    case "delete" if count == 0:
                        await store.delete_messages(key, status)
                    case "oldest":
                        found.append(texts(await store.delete_oldest_messages(key, count)))
                    case "archive":
                        found.append(texts(await store.archive_oldest_messages(key, count)))
            assert found[:1] == found[1:]
            for one in (ACTIVE, ARCHIVED, None):
                first, second = [texts(await store.get_messages(key, one)) for store in both]
                assert first == second
                assert await ours.count_messages(key, one) == len(first)
            page = [texts(await store.get_messages(key, limit=2, offset=1)) for store in both]
            assert page[0] == page[1]
            assert sorted(await ours.get_keys()) == sorted(await theirs.get_keys())
        assert theirs._async_engine is not None
        await theirs._async_engine.dispose()


async def test_a_message_comes_back_whole(url: str) -> None:
    async with StowfastChatStore(url, scope=uuid.uuid4().hex) as store:
        message = said("hi", additional_kwargs={"tool_calls": [{"id": "1", "archived": False}], "archived": 7})
        for status in (ACTIVE, ARCHIVED):
            await store.add_message("k", message, status)
        assert await store.get_messages("k", None) == [message, message]
        assert await store.delete_message("k", 1) is None
        assert await store.delete_message("k", -1) is None
        assert await store.delete_message("k", 0) == message
        assert await store.get_messages("k", None) == await store.get_messages("k", ARCHIVED) == [message]
        await store.set_messages("k", [])
        assert await store.get_keys() == []
        with pytest.raises(InvalidError):
            await store.get_messages("k", limit=-1)


async def test_a_memory_archives_in_this_store(url: str) -> None:
    async with StowfastChatStore(url, scope=uuid.uuid4().hex) as store:
        memory = Memory.from_defaults(session_id="ada", token_limit=60, token_flush_size=20, chat_store=store)
        for number in range(8):
            await memory.aput(ChatMessage(role="user", content=f"{number} " + "word " * 12))
        active, archived = [await store.get_messages("ada", status) for status in (ACTIVE, ARCHIVED)]
        assert active
        assert archived
        assert [str(text)[0] for text in texts(archived + active)] == list("01234567")
        assert texts(await memory.aget()) == texts(active)


async def test_hostile_keys_stay_apart(url: str) -> None:
    keys = ["a", "a/", "a%2F", "/", "..", "%", "ü\x01", "a" * 250, "\0"]
    async with StowfastChatStore(url, scope=uuid.uuid4().hex) as store:
        for key in keys:
            await store.add_message(key, said(repr(key)))
        assert sorted(await store.get_keys()) == sorted(keys)
        for key in keys:
            assert texts(await store.get_messages(key)) == [repr(key)]
        with pytest.raises(InvalidError, match="250 bytes"):
            await store.add_message("a" * 251, said("x"))


async def test_a_lost_answer_stays_inside(url: str) -> None:
    async with stowfast.open(url) as stores:
        backend = LosesAnswers(stores.backend, count=2)
        store = StowfastChatStore(stowfast.Stores(backend))
        await store.add_messages("k", [said(str(number)) for number in range(4)])
        for number, change in enumerate((store.archive_oldest_messages, store.delete_oldest_messages)):
            backend.lose = 1
            assert texts(await change("k", 1)) == [str(number)]
        assert texts(await store.get_messages("k", None)) == ["0", "2", "3"]
        backend.lose = 1
        await store.set_messages("k", [said("a"), said("b")])
        assert texts(await store.get_messages("k", None)) == ["a", "b"]
        backend.lose = 1
        await store.delete_messages("k")
        assert (await store.get_messages("k", None), backend.lose) == ([], 0)


async def test_a_bucket_that_loses_answers_stores_a_message_once(losing_bucket: LosingBucket) -> None:
    async with StowfastChatStore(losing_bucket.url) as store:
        for number in range(4):
            losing_bucket.lose_answer()
            await store.add_message("k", said(str(number)))
        losing_bucket.lose_answer()
        assert texts(await store.delete_oldest_messages("k", 1)) == ["0"]
        assert texts(await store.get_messages("k", None)) == ["1", "2", "3"]


async def test_a_key_that_was_deleted_begins_anew(every_url: str) -> None:
    async with StowfastChatStore(every_url, scope=uuid.uuid4().hex) as store:
        await store.add_messages("k", [said(str(number)) for number in range(3)])
        await store.archive_oldest_messages("k", 2)
        await store.delete_messages("k")
        assert await store.archive_oldest_messages("k", 1) == []
        await store.add_message("k", said("new"))
        assert texts(await store.get_messages("k")) == ["new"]
        assert await store.get_messages("k", ARCHIVED) == []


async def test_a_cancelled_call_has_its_whole_effect_or_none(url: str) -> None:
    async with StowfastChatStore(url, scope=uuid.uuid4().hex) as store:
        for number in range(8):
            call = asyncio.create_task(store.set_messages("k", [said(f"{number}.{one}") for one in range(3)]))
            for _ in range(number % 4):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            found = texts(await store.get_messages("k"))
            assert found in [[]] + [[f"{turn}.{one}" for one in range(3)] for turn in range(number + 1)]


async def test_two_callers_never_archive_or_delete_the_same_message(url: str) -> None:
    async with StowfastChatStore(url, scope=uuid.uuid4().hex) as store:
        await store.add_messages("k", [said(str(number)) for number in range(20)])
        calls = [store.archive_oldest_messages("k", 2) for _ in range(4)]
        calls += [store.delete_oldest_messages("k", 2) for _ in range(4)]
        taken = [text for found in await asyncio.gather(*calls) for text in texts(found)]
        assert len(taken) == len(set(taken)) == 16
        assert sorted(map(int, map(str, taken))) == list(range(16))
        assert texts(await store.get_messages("k")) == [str(number) for number in range(16, 20)]


async def test_two_processes_lose_and_double_nothing(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    ended = race(ADDS, *[[shared_url, scope, name, "0", str(ADDED)] for name in ("one", "two")])
    assert ended == [["opened", *map(str, range(ADDED))]] * 2
    async with StowfastChatStore(shared_url, scope=scope) as store:
        found = texts(await store.get_messages("chat", None))
        for name in ("one", "two"):
            assert [one for one in found if str(one).startswith(name)] == [f"{name}-{n}" for n in range(ADDED)]
        assert await store.count_messages("chat", ARCHIVED) == 2 * len(range(0, ADDED, 3))


@KILLABLE
async def test_an_acknowledged_message_outlives_a_kill(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    told = kill_writers(ADDS, KILLS, lambda name: [shared_url, scope, name, "0", "10000"], 8)
    async with StowfastChatStore(shared_url, scope=scope) as store:
        check_writers(shared_url, told, by_writer(texts(await store.get_messages("chat", None))))


async def test_a_message_of_another_program_is_named(url: str) -> None:
    async with stowfast.open(url) as stores:
        store = StowfastChatStore(stores)
        await store.add_message("k", said("a"))
        await stores.messages.add_message("llama-index/k", {"role": "of another program"})
        with pytest.raises(DamagedError, match="position 1"):
            await store.get_messages("k")
        assert texts(await store.get_messages("k", limit=1)) == ["a"]
