"""Sessions in several processes, and in processes that are killed."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from stowfast.adapters.openai_agents import StowfastSession
from tests.frameworks.children import KILLABLE, Child, kill_writers, race

BATCHES, KILLS, MOST_LINES = 15, 5, 8

# Adds batches of two numbered items, and prints the number of each batch after its answer.
ADDS = """
import asyncio, sys
from stowfast.adapters.openai_agents import StowfastSession

url, name, start, stop = *sys.argv[1:3], *map(int, sys.argv[3:])

async def main():
    async with StowfastSession("shared", url) as session:
        for number in range(start, stop):
            await session.add_items([{"role": role, "content": f"{name} {number}"} for role in ("user", "assistant")])
            print(number, flush=True)

asyncio.run(main())
"""

# Runs turns with numbered inputs; the SDK compacts the history by itself. A summary names the last number in it.
COMPACTS = """
import asyncio, re, sys
from types import SimpleNamespace
from agents import Agent, Runner
from agents.memory import OpenAIResponsesCompactionSession
from agents.testing import ScriptedModel, assistant_message
from stowfast.adapters.openai_agents import StowfastSession

url, name = sys.argv[1:]

class Responses:
    async def compact(self, *, input, **_):
        last = max(int(number) for number in re.findall(r"(?:turn|reply|up to) (\\d+)", str(input)))
        return SimpleNamespace(output=[{"type": "compaction", "id": "c", "encrypted_content": f"up to {last}"}])

async def main():
    async with StowfastSession(name, url) as below:
        session = OpenAIResponsesCompactionSession(
            name, below, client=SimpleNamespace(responses=Responses()), compaction_mode="input",
            should_trigger_compaction=lambda context: len(context["session_items"]) >= 4,
        )
        numbers = range(500)
        steps = [[assistant_message(f"reply {number}")] for number in numbers]
        agent = Agent(name="a", model=ScriptedModel(steps=steps))
        for number in numbers:
            await Runner.run(agent, f"turn {number}", session=session)
            print(number, flush=True)

asyncio.run(main())
"""


def texts(items: list[Any]) -> list[str]:
    found = []
    for item in items:
        content = item.get("encrypted_content") or item["content"]
        found.append(content if isinstance(content, str) else content[0]["text"])
    return found


async def test_two_processes_on_one_session_lose_and_double_nothing(shared_url: str) -> None:
    arguments = [(shared_url, name, "0", str(BATCHES)) for name in ("one", "two")]
    assert race(ADDS, *arguments) == [[str(number) for number in range(BATCHES)]] * 2
    async with StowfastSession("shared", shared_url) as session:
        found = texts(await session.get_items())
    assert len(found) == 4 * BATCHES
    assert found[::2] == found[1::2]  # no batch is torn
    for name in ("one", "two"):
        assert [text for text in found[::2] if text.startswith(name)] == [f"{name} {n}" for n in range(BATCHES)]


@KILLABLE
async def test_an_acknowledged_item_outlives_a_kill(shared_url: str) -> None:
    chance, acknowledged = Random(KILLS), dict[str, int]()
    for name in map(str, range(KILLS)):
        with Child(ADDS, shared_url, name, "0", "100000") as child:
            acknowledged[name] = len(child.kill(chance, MOST_LINES))
    # Read at the end alone: what a killed writer has sent, a server may store some time after its death.
    async with StowfastSession("shared", shared_url) as session:
        found = texts(await session.get_items())
    for name, told in acknowledged.items():
        own = [text for text in found if text.startswith(f"{name} ")]
        assert own == [f"{name} {number // 2}" for number in range(len(own))]  # in order, none twice
        assert len(own) % 2 == 0  # a batch is stored whole
        assert len(own) // 2 - told in {0, 1}  # one may be stored without an answer
    told = sum(acknowledged.values())
    print(f"{shared_url.partition(':')[0]}: kills={KILLS} acknowledged={told} found={len(found) // 2}")


@KILLABLE
async def test_a_kill_in_a_compaction_loses_nothing(shared_url: str) -> None:
    told = kill_writers(COMPACTS, KILLS, lambda name: [shared_url, name], MOST_LINES)
    counts = Counter(kills=KILLS, acknowledged=sum(told.values()))
    for name, count in told.items():
        async with StowfastSession(name, shared_url) as session:
            found = texts(await session.get_items())
        begun = 0
        if found and found[0].startswith("up to "):
            begun = int(found.pop(0).removeprefix("up to ")) + 1
            counts["summaries"] += 1
        numbers = [int(text.split()[1]) for text in found]
        assert not numbers or numbers[0] <= begun, "turns between the summary and the first item are lost"
        assert set(range(begun, count)) <= set(numbers)
        last = max([begun - 1, *numbers])
        assert last + 1 - count in {0, 1}  # one may have been stored without an answer
        counts["found"] += last + 1
    print(f"{shared_url.partition(':')[0]}: {dict(counts)}")
    assert counts["summaries"] > 0
