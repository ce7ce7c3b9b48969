"""A hundred real conversations, kept and read back in every way there is, and compared to the last key."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
import stowfast.sync
from tests.conformance.places import PLACES, memory

if TYPE_CHECKING:
    from pathlib import Path

    Conversations = list[dict[str, Any]]

WRITERS = 4
BATCH = 7


def written(messages: object) -> str:
    return json.dumps(messages, ensure_ascii=False)


def batches(messages: list[Any]) -> list[list[Any]]:
    return [messages[start : start + BATCH] for start in range(0, len(messages), BATCH)]


def report(found: dict[str, list[Any]], airline: Conversations, how: str) -> None:
    for conversation in airline:
        assert written(found[conversation["context_id"]]) == written(conversation["messages"])
    print(f"{how}: {len(found)} conversations, {sum(map(len, found.values())):,} messages, all exactly as given")
    assert len(found) == len(airline)


async def write(store: stowfast.Messages, conversation: dict[str, Any], *, batched: bool) -> None:
    if batched:
        for number, batch in enumerate(batches(conversation["messages"])):
            await store.add_messages(conversation["context_id"], batch, op_id=str(number), expect=number * BATCH)
    else:
        for message in conversation["messages"]:
            await store.add_message(conversation["context_id"], message)


async def read(store: stowfast.Messages, airline: Conversations) -> dict[str, list[Any]]:
    return {one["context_id"]: await store.get_messages(one["context_id"]) for one in airline}


@pytest.mark.parametrize("batched", [False, True], ids=["one-by-one", "in-batches"])
@pytest.mark.parametrize("place", PLACES)
async def test_async(place, batched: bool, airline: Conversations, tmp_path: Path) -> None:
    make = place(tmp_path)
    async with make() as stores:
        for conversation in airline:
            await write(stores.messages, conversation, batched=batched)
    async with make() as stores:
        report(await read(stores.messages, airline), airline, f"{place.__name__}, async")
        streamed = {
            one["context_id"]: [entry.message async for entry in stores.messages.entries(one["context_id"])]
            for one in airline
        }
        report(streamed, airline, f"{place.__name__}, streamed")
        assert len(await stores.messages.contexts(limit=1_000)) == len(airline)


@pytest.mark.parametrize("place", PLACES)
async def test_four_writers_at_once(place, airline: Conversations, tmp_path: Path) -> None:
    make = place(tmp_path)

    async def writer(number: int) -> None:
        async with make() as stores:
            for conversation in airline[number::WRITERS]:
                await write(stores.messages, conversation, batched=bool(number % 2))

    await asyncio.gather(*map(writer, range(WRITERS)))
    async with make() as stores:
        report(await read(stores.messages, airline), airline, f"{place.__name__}, {WRITERS} writers")


@pytest.mark.parametrize("place", PLACES)
async def test_four_writers_in_one_conversation(place, airline: Conversations, tmp_path: Path) -> None:
    make = place(tmp_path)

    async def writer(number: int) -> None:
        async with make() as stores:
            for conversation in airline[number::WRITERS]:
                await stores.messages.add_messages("all", conversation["messages"])

    await asyncio.gather(*map(writer, range(WRITERS)))
    async with make() as stores:
        found = await stores.messages.get_messages("all")
    wanted = [written(conversation["messages"])[1:-1] for conversation in airline]
    text = written(found)
    print(f"{place.__name__}: {len(found):,} messages of {WRITERS} writers in one conversation")
    assert len(found) == sum(len(conversation["messages"]) for conversation in airline)
    assert all(one in text for one in wanted), "a conversation was torn, or another's message is in between"


@pytest.mark.parametrize("batched", [False, True], ids=["one-by-one", "in-batches"])
@pytest.mark.parametrize("place", PLACES)
def test_sync(place, batched: bool, airline: Conversations, tmp_path: Path) -> None:
    url = "memory:" if place is memory else f"sqlite:///{tmp_path}/place.db"
    with stowfast.sync.open(url) as stores:

        def writer(number: int) -> None:
            for conversation in airline[number::WRITERS]:
                context_id, messages = conversation["context_id"], conversation["messages"]
                if batched:
                    for batch in batches(messages):
                        stores.messages.add_messages(context_id, batch)
                else:
                    for message in messages:
                        stores.messages.add_message(context_id, message)

        with ThreadPoolExecutor(WRITERS) as threads:
            list(threads.map(writer, range(WRITERS)))
        found = {one["context_id"]: stores.messages.get_messages(one["context_id"]) for one in airline}
        report(found, airline, f"{place.__name__}, sync, {WRITERS} threads")
        streamed = {
            one["context_id"]: [entry.message for entry in stores.messages.entries(one["context_id"])]
            for one in airline
        }
        report(streamed, airline, f"{place.__name__}, sync, streamed")
