"""Histories in several processes, and in processes that are killed."""

from __future__ import annotations

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


async def test_two_processes_on_one_history_lose_and_double_nothing(shared_url: str) -> None:
    arguments = [(shared_url, name, "0", str(BATCHES)) for name in ("one", "two")]
    assert race(ADDS, *arguments) == [[str(number) for number in range(BATCHES)]] * 2
    async with StowfastChatMessageHistory("shared", shared_url) as history:
        found = await texts(history)
    assert len(found) == 4 * BATCHES
    assert found[::2] == found[1::2]  # no batch is torn
    for name in ("one", "two"):
        assert [text for text in found[::2] if text.startswith(name)] == [f"{name} {n}" for n in range(BATCHES)]


@KILLABLE
async def test_an_acknowledged_message_outlives_a_kill(shared_url: str) -> None:
    chance, acknowledged = Random(KILLS), dict[str, int]()
    for name in map(str, range(KILLS)):
        with Child(ADDS, shared_url, name, "0", "100000") as child:
            acknowledged[name] = len(child.kill(chance, MOST_LINES))
    # Read at the end alone: what a killed writer has sent, a server may store some time after its death.
    async with StowfastChatMessageHistory("shared", shared_url) as history:
        found = await texts(history)
    for name, told in acknowledged.items():
        own = [text for text in found if text.startswith(f"{name} ")]
        assert own == [f"{name} {number // 2}" for number in range(len(own))]  # in order, none twice
        assert len(own) % 2 == 0  # a batch is stored whole
        assert len(own) // 2 - told in {0, 1}  # one may be stored without an answer
    told = sum(acknowledged.values())
    print(f"{shared_url.partition(':')[0]}: kills={KILLS} acknowledged={told} found={len(found) // 2}")
