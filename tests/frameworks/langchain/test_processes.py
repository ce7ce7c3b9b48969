"""Histories in several processes, and in processes that are killed."""

from __future__ import annotations

from collections import Counter
from random import Random

from stowfast.adapters.langchain import StowfastChatMessageHistory
from tests.frameworks.children import KILLABLE, Child, race

BATCHES, KILLS, MOST_LINES = 15, 5, 12

# Adds batches of two numbered messages, and prints the number of each batch after its answer.
ADDS = """
import sys
from langchain_core.messages import AIMessage, HumanMessage
from stowfast.adapters.langchain import StowfastChatMessageHistory

url, name, start, stop = *sys.argv[1:3], *map(int, sys.argv[3:])
with StowfastChatMessageHistory("shared", url) as history:
    for number in range(start, stop):
        history.add_messages([HumanMessage(f"{name} {number}"), AIMessage(f"{name} {number}")])
        print(number, flush=True)
"""


async def texts(history: StowfastChatMessageHistory) -> list[str]:
    return [str(message.content) for message in await history.aget_messages()]


async def test_two_processes_on_one_history_lose_and_double_nothing(durable_url: str) -> None:
    arguments = [(durable_url, name, "0", str(BATCHES)) for name in ("one", "two")]
    assert race(ADDS, *arguments) == [[str(number) for number in range(BATCHES)]] * 2
    async with StowfastChatMessageHistory("shared", durable_url) as history:
        found = await texts(history)
    assert len(found) == 4 * BATCHES
    assert found[::2] == found[1::2]  # no batch is torn
    for name in ("one", "two"):
        assert [text for text in found[::2] if text.startswith(name)] == [f"{name} {n}" for n in range(BATCHES)]


@KILLABLE
async def test_an_acknowledged_message_outlives_a_kill(durable_url: str) -> None:
    chance, counts, following = Random(KILLS), Counter[str](), 0
    async with StowfastChatMessageHistory("shared", durable_url) as history:
        for _ in range(KILLS):
            with Child(ADDS, durable_url, "one", str(following), "100000") as child:
                acknowledged = len(child.kill(chance, MOST_LINES))
            found = await texts(history)
            assert found == [f"one {number // 2}" for number in range(len(found))]  # in order, none twice
            assert len(found) % 2 == 0  # a batch is stored whole
            stored = len(found) // 2 - following
            assert stored - acknowledged in {0, 1}  # one may be stored without an answer
            counts += Counter(kills=1, acknowledged=acknowledged, found=stored)
            following += stored
    print(f"{durable_url.partition(':')[0]}: {dict(counts)}")
