"""Conversations and steps of the harness, made by its agents and stores, imported: the same versions and bytes."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

from pydantic_ai import Agent
from pydantic_ai.messages import (
    BinaryContent,
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models.function import AgentInfo, FunctionModel
from pydantic_ai_harness.media import MediaContext, SqliteMediaStore, restore_media
from pydantic_ai_harness.step_persistence import SqliteStepStore, StepPersistence
from pydantic_ai_harness.step_persistence.conversations import ConversationSummary, SqliteConversationStore

import stowfast
from stowfast import importing
from tests.frameworks.large import LENGTHS
from tests.frameworks.large import import_twice as import_twice_and_tell

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PICTURE = b"\x89PNG\0\xff" * 20_000
IDS = ["a/b", "..", "%", "ü 😀", "'; DROP TABLE t; --", *(f"user-{number}" for number in range(10))]
_NO_CONTEXT = MediaContext()


def scripted(messages: list[ModelMessage], _: AgentInfo) -> ModelResponse:
    """Call the tool twice, then answer; or fail."""
    turns = sum(isinstance(one, ModelResponse) for one in messages)
    if "fail" in str(messages[0]):
        raise RuntimeError("no ü😀")
    if turns < 2:
        return ModelResponse([ToolCallPart("weather", {"city": f"Köln {turns}"}, f"c{turns}")])
    return ModelResponse([TextPart("rain ü😀")])


async def run(path: Path, id: str, prompt: str) -> list[ModelMessage]:
    """Run an agent whose steps are stored."""
    steps = StepPersistence(store=SqliteStepStore(database=path), run_id=f"run-{id}", agent_name="helper")
    agent = Agent(FunctionModel(scripted), capabilities=[steps])

    @agent.tool_plain
    def weather(city: str) -> str:
        return f"{city}: rain " * 10_000

    result = await agent.run([prompt, BinaryContent(PICTURE, media_type="image/png")], conversation_id=id)
    return result.all_messages()


class StoredMedia(SqliteMediaStore):
    """The media that were imported, by the references in the messages."""

    def __init__(self, stores: stowfast.Stores) -> None:
        self._stores = stores

    async def get(self, uri: str, *, context: MediaContext = _NO_CONTEXT) -> bytes:
        found = await self._stores.artifacts.get(uri)
        assert found is not None
        assert isinstance(found.content, bytes)
        return found.content


async def restored(stores: stowfast.Stores, messages: Sequence[Any]) -> list[ModelMessage]:
    found = await restore_media([*messages], media_store=StoredMedia(stores))
    return ModelMessagesTypeAdapter.validate_python(found)


async def import_twice(path: Path, stores: stowfast.Stores) -> None:
    for repeat in range(2):
        done = await importing.import_from("pydantic-ai-harness", str(path), stores)
        assert done.differences == []
        assert (done.streams == 0) == bool(repeat)


async def test_conversations_and_their_growth(tmp_path: Path, durable_url: str) -> None:
    path = tmp_path / "theirs.db"
    theirs = SqliteConversationStore(database=path)
    grown: list[ModelMessage] = [ModelRequest([UserPromptPart("more ü😀")]), ModelResponse([TextPart("x" * 100_000)])]
    summaries = {}
    for number, id in enumerate(IDS):
        picture = BinaryContent(PICTURE + bytes([number]), media_type="image/png")
        call = ModelResponse([ToolCallPart("weather", {"city": "Köln"}, "c")])
        messages: list[ModelMessage] = [ModelRequest([UserPromptPart([f"{number} 😀", picture])]), call]
        summary = ConversationSummary(id=id, workspace="/w", title=f"T{number}", tags=("a",))
        summaries[id] = await theirs.save(summary=summary, messages=messages)
    async with stowfast.open(durable_url) as stores:
        await import_twice(path, stores)
        last = await theirs.get(conversation_id=IDS[0])
        await theirs.save(summary=summaries[IDS[0]], messages=[*last.messages, *grown])
        await import_twice(path, stores)
        for number, id in enumerate(IDS):
            stored = await theirs.get(conversation_id=id)
            assert await restored(stores, await stores.messages.get_messages(id)) == stored.messages
            info = await stores.messages.info(id)
            assert info is not None
            assert (info.metadata["title"], info.metadata["tags"]) == (f"T{number}", ["a"])
        assert len(await stores.messages.get_messages(IDS[0])) == 4
        page = await stores.artifacts.list(limit=100)
        assert len([*page]) == len(IDS) + 1


async def test_runs_their_snapshots_and_their_effects(tmp_path: Path, durable_url: str) -> None:
    path = tmp_path / "theirs.db"
    for id in IDS[:4]:
        await run(path, id, "hi")
    theirs = SqliteStepStore(database=path)
    with suppress(RuntimeError):
        await run(path, "bad", "fail")
    async with stowfast.open(durable_url) as stores:
        await import_twice(path, stores)
        for id in (*IDS[:4], "bad"):
            record = await theirs.get_run(run_id=f"run-{id}")
            assert record is not None
            task = await stores.tasks.load(record.run_id)
            assert task is not None
            assert (task.context_id, task.agent_id) == (record.conversation_id, "helper")
            assert task.status == ("failed" if id == "bad" else "completed")
            snapshots = await theirs.list_snapshots(run_id=record.run_id, include_interrupted=True)
            first, *versions, end = (await stores.tasks.history(record.run_id))[::-1]
            assert (first.updated_at, first.data["messages"]) == (record.started_at, [])
            assert len(versions) == len(snapshots)
            assert len(snapshots) > 1 or id == "bad"
            for one, snapshot in zip(versions, snapshots, strict=True):
                assert await restored(stores, one.data["messages"]) == snapshot.messages
                assert (one.data["state"], one.data["step_index"]) == (snapshot.state, snapshot.step_index)
                assert one.updated_at == snapshot.timestamp
            assert end.data["messages"] == (versions or [first])[-1].data["messages"]
            for call, effect in task.steps.items():
                known = await theirs.get_tool_effect(run_id=record.run_id, tool_call_id=call)
                assert known is not None
                assert (effect["tool_name"], effect["status"]) == (known.tool_name, known.status)
            with closing(sqlite3.connect(path)) as connection:
                query = "SELECT count(*) FROM tool_effects WHERE run_id = ?"
                assert connection.execute(query, [record.run_id]).fetchone() == (len(task.steps),)
        assert [info.sha256 for info in await stores.artifacts.list(limit=10)]


async def test_two_hundred_conversations(tmp_path: Path) -> None:
    path, url = tmp_path / "theirs.db", f"sqlite:///{tmp_path}/ours.db"
    theirs = SqliteConversationStore(database=path)
    for number, (name, length) in enumerate(LENGTHS.items()):
        summary = ConversationSummary(id=name, workspace="/w", title=f"T{number}", tags=())
        said: list[ModelMessage] = [ModelRequest([UserPromptPart(f"{one} ü😀")]) for one in range(length)]
        await theirs.save(summary=summary, messages=said)
    assert (await import_twice_and_tell("pydantic-ai-harness", str(path), url)).entries == sum(LENGTHS.values())
    async with stowfast.open(url) as stores:
        for name in LENGTHS:
            stored = await theirs.get(conversation_id=name)
            assert await restored(stores, await stores.messages.get_messages(name)) == stored.messages
