"""Processes that are killed, and processes that race: every acknowledged message is there, once and in order."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic_ai.messages import ModelMessage, ModelRequest, UserPromptPart

import stowfast
from stowfast.adapters.pydantic_ai import StowfastConversationStore
from tests.frameworks.children import Child, race, race_from_ready

if TYPE_CHECKING:
    from pydantic_ai import Conversation

EXAMPLE = (Path(__file__).parents[3] / "examples/frameworks/pydantic_ai_agent.py").read_text(encoding="utf-8")
KILLS = int(os.environ.get("STOWFAST_KILLS", "8"))
WRITERS, SAVES = 2, 15

# Each line is one write to the pipe, made after the acknowledgement: the call ids and texts that are stored.
RUNS = """
import asyncio, os, sys
from pydantic_ai import Agent, RunContext, UsageLimits
from pydantic_ai.messages import ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import FunctionModel
from stowfast.adapters.pydantic_ai import StowfastConversationStore, run_saved

url, effects, calls = sys.argv[1], sys.argv[2], int(sys.argv[3])
UNLIMITED = UsageLimits(request_limit=None)

def say(*words):
    os.write(1, (" ".join(words) + "\\n").encode())

def name(part):
    return f"{part.part_kind}:{getattr(part, 'tool_call_id', 'text')}"

def scripted(messages, info):
    step = sum(isinstance(message, ModelResponse) for message in messages)
    if step == calls:
        return ModelResponse(parts=[TextPart("done")])
    return ModelResponse(parts=[ToolCallPart("act", {"step": step}, tool_call_id=f"call-{step}")])

agent = Agent(FunctionModel(scripted), instructions="Act.")

@agent.tool
async def act(context: RunContext, step: int) -> int:
    with open(effects, "a") as file:
        file.write(f"{context.tool_call_id} {step}\\n")
    return step

async def main():
    store = StowfastConversationStore(url)
    write = store.streams.write
    async def acknowledged(record, entries, expected_revision, **options):
        await write(record, entries, expected_revision, **options)
        say(*(name(part) for entry in entries for part in entry.message.parts))
    store.streams.write = acknowledged
    unfinished = await store.is_unfinished("c")
    say("opened")
    await run_saved(agent, None if unfinished else "go", store=store, conversation_id="c", usage_limits=UNLIMITED)
    say("ended")
    await store.close()

asyncio.run(main())
"""

SAVING = """
import asyncio, sys
from pydantic_ai import Conversation
from pydantic_ai.conversation_store import ConversationConflict
from pydantic_ai.messages import ModelRequest, UserPromptPart
from stowfast.adapters.pydantic_ai import StowfastConversationStore

url, writer, saves = sys.argv[1], sys.argv[2], int(sys.argv[3])

async def main():
    async with StowfastConversationStore(url) as store:
        await store.load("c")
        print("ready", flush=True)
        sys.stdin.readline()
        conflicts = 0
        for number in range(saves):
            while True:
                conversation = await store.load("c") or Conversation(conversation_id="c")
                for part in (0, 1):
                    text = f"{writer} {number} {part}"
                    conversation.messages.append(ModelRequest(parts=[UserPromptPart(text)]))
                try:
                    await store.save(conversation)
                    break
                except ConversationConflict:
                    conflicts += 1
        print(conflicts)

asyncio.run(main())
"""


def names(messages: list[ModelMessage]) -> list[str]:
    return [f"{p.part_kind}:{getattr(p, 'tool_call_id', 'text')}" for one in messages for p in one.parts]


async def stored(url: str, conversation_id: str = "c") -> tuple[Conversation | None, Any]:
    async with stowfast.open(url) as stores:
        store = StowfastConversationStore(stores)
        return await store.load(conversation_id), await store.read_record(conversation_id)


def test_a_run_that_is_killed_again_and_again_ends_with_its_whole_history(shared_url: str, tmp_path: Path) -> None:
    effects, chance = tmp_path / "effects", random.Random(7)
    acknowledged: list[str] = []
    calls, kills = 3 * KILLS, 0
    while True:
        with Child(RUNS, shared_url, str(effects), str(calls)) as child:
            if kills < KILLS:
                child.read(1 + chance.randrange(8))
                code = child.kill_within(chance, 5_000_000)
            else:
                child.read()
                code = child.wait()
            lines = child.lines
        acknowledged += [word for line in lines for word in line.split() if ":" in word]
        loaded, record = asyncio.run(stored(shared_url))
        found = [] if loaded is None else names(loaded.messages)
        assert set(acknowledged) <= set(found)
        assert max(Counter(found).values(), default=1) == 1
        if code == 0:
            assert lines[-1] == "ended"
            break
        assert code == -signal.SIGKILL, lines
        kills += 1
    expected = ["user-prompt:text"]
    for step in range(calls):
        expected += [f"tool-call:call-{step}", f"tool-return:call-{step}"]
    assert found == [*expected, "text:text"]
    assert record.branches == []
    done = Counter(effects.read_text(encoding="utf-8").splitlines())
    # A tool that was called again had the same id and arguments: for a receiver with an idempotency key it is one.
    assert set(done) == {f"call-{step} {step}" for step in range(calls)}
    assert len(done) <= done.total() <= len(done) + kills
    print(f"{kills} kills, {len(set(acknowledged))} messages acknowledged, all found in {len(found)}, ", end="")
    print(f"{done.total() - len(done)} calls repeated under their id")


def test_processes_that_save_one_conversation_lose_nothing(shared_url: str) -> None:
    conflicts = race_from_ready(SAVING, *[(shared_url, str(writer), str(SAVES)) for writer in range(WRITERS)])
    loaded, record = asyncio.run(stored(shared_url))
    assert loaded is not None
    found = [str(part.content) for one in loaded.messages for part in one.parts if isinstance(part, UserPromptPart)]
    assert sorted(found) == sorted(f"{w} {n} {part}" for w in range(WRITERS) for n in range(SAVES) for part in (0, 1))
    for writer in range(WRITERS):
        own = [text for text in found if text.startswith(f"{writer} ")]
        assert own == [f"{writer} {number} {part}" for number in range(SAVES) for part in (0, 1)]
    assert all(one[:-1] == two[:-1] for one, two in zip(found[::2], found[1::2], strict=True))
    assert record.branches == []
    assert all(isinstance(message, ModelRequest) for message in loaded.messages)
    print(f"{len(found)} messages of {WRITERS} processes, conflicts: {conflicts}")


def test_the_example_pays_each_bill_once_though_it_is_killed(tmp_path: Path) -> None:
    bank = tmp_path / "bank.db"
    place = f"sqlite:///{tmp_path}/agent.db"
    # More bills than a child can pay before its kill; the framework allows 50 requests.
    arguments = [place, str(bank), "45"]
    for wanted in (3, 6, 9):
        with Child(EXAMPLE, *arguments) as child:
            while len(payments(bank)) < wanted and not child.has_ended:
                pass
            child.kill_now()
    assert race(EXAMPLE, arguments) == [["Paid 45 bills."]]
    assert sorted(payments(bank), key=lambda paid: paid[1]) == [(f"pay-{number}", number) for number in range(45)]
    loaded, _ = asyncio.run(stored(place, "bills"))
    assert loaded is not None
    assert Counter(names(loaded.messages))["text:text"] == 1


def payments(bank: Path) -> list[tuple[str, int]]:
    if not bank.exists():
        return []
    with closing(sqlite3.connect(bank)) as connection:
        if not connection.execute("SELECT 1 FROM sqlite_master").fetchall():
            return []
        return connection.execute("SELECT key, bill FROM payments ORDER BY key").fetchall()
