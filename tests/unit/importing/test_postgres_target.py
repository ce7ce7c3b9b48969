"""An import into PostgreSQL keeps the same as an import into memory, and a repeat adds nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

import stowfast
from stowfast import importing
from stowfast.abc import Query, Window
from tests.unit.importing.sources import database, insert, messages, sessions
from tests.unit.importing.test_folders import made as strands_session

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from stowfast.abc import Backend
    from tests.services.postgres import PostgresServer

TIME = 1_767_000_000.5


def openai_agents(folder: Path, count: int) -> Path:
    return sessions(folder / "s.db", {"a": messages(count), "b/x": messages(1)})


def langchain(folder: Path, count: int) -> Path:
    path = database(
        folder / "s.db", "CREATE TABLE message_store (id INTEGER PRIMARY KEY, session_id TEXT, message TEXT)"
    )
    stored = [json.dumps({"type": "human", "data": one}) for one in messages(count)]
    insert(path, "message_store", *((None, "a", one) for one in stored), (None, "ü", stored[0]))
    return path


def langgraph(folder: Path, count: int) -> Path:
    ids = "thread_id, checkpoint_ns, checkpoint_id"
    path = database(
        folder / "s.db",
        f"CREATE TABLE checkpoints ({ids}, parent_checkpoint_id, type, checkpoint, metadata)",
        f"CREATE TABLE writes ({ids}, task_id, task_path, idx, channel, type, value)",
    )
    for number in range(count):
        values = {"messages": [one["content"] for one in messages(number + 1)]}
        body = {"v": 4, "id": f"c{number:04}", "ts": f"2026-01-02T03:04:{number:02}+00:00", "channel_values": values}
        parent = f"c{number - 1:04}" if number else None
        facts = json.dumps({"step": number})
        insert(path, "checkpoints", ("t", "", body["id"], parent, "msgpack", msgspec.msgpack.encode(body), facts))
        insert(path, "writes", ("t", "", body["id"], "task", "", 0, "messages", "msgpack", msgspec.msgpack.encode("x")))
    return path


def google_adk(folder: Path, count: int) -> Path:
    path = database(
        folder / "s.db",
        "CREATE TABLE sessions (app_name, user_id, id, state, create_time, update_time)",
        "CREATE TABLE events (id, app_name, user_id, session_id, invocation_id, timestamp, event_data)",
        "CREATE TABLE app_states (app_name, state, update_time)",
        "CREATE TABLE user_states (app_name, user_id, state, update_time)",
    )
    insert(path, "sessions", ("app", "ada", "s", '{"a": 1}', TIME, TIME), ("app", "ada", "empty", "{}", TIME, TIME))
    insert(path, "app_states", ("app", '{"shared": "ü"}', TIME))
    insert(path, "user_states", ("app", "ada", '{"own": []}', TIME))
    for number, one in enumerate(messages(count)):
        insert(path, "events", (f"e{number}", "app", "ada", "s", "i", TIME + number, json.dumps(one)))
    return path


def strands(folder: Path, count: int) -> Path:
    strands_session(folder, "good", count)
    strands_session(folder, "other", 1)
    return folder


MAKERS: dict[str, Callable[[Path, int], Path]] = {
    "google-adk": google_adk,
    "langchain": langchain,
    "langgraph": langgraph,
    "openai-agents": openai_agents,
    "strands": strands,
}


async def stored(backend: Backend, *, times: bool) -> dict[str, Any]:
    found = {}
    for one in (await backend.streams(Query("", limit=100))).streams:
        head, entries = await backend.read(one.name, Window(start=0))
        assert head is not None
        told = [(entry.position, entry.op_id, entry.data, entry.created_at if times else 0) for entry in entries]
        found[one.name] = (head.next, head.labels, head.note, told)
    return found


@pytest.mark.parametrize("kind", sorted(MAKERS))
async def test_an_import_into_postgresql(kind: str, tmp_path: Path, postgres_server: PostgresServer) -> None:
    assert MAKERS.keys() <= importing.KINDS.keys()
    small, grown = tmp_path / "small", tmp_path / "grown"
    small.mkdir()
    grown.mkdir()
    source = str(MAKERS[kind](small, 5))
    # Without a time at the source it is that of the import: messages of LangChain, states of Strands.
    has_times = kind not in {"langchain", "strands"}
    async with stowfast.open("memory:") as wanted, stowfast.open(postgres_server.url()) as stores:
        for into in (None, "tenant-1"):
            first = await importing.import_from(kind, source, stores, into=into)
            assert first.complete
            assert first.entries >= 5
            assert (await importing.import_from(kind, source, wanted, into=into)).entries == first.entries
            again = await importing.import_from(kind, source, stores, into=into)
            assert (again.streams, again.entries, again.complete) == (0, 0, True)
            assert again.already_there == first.streams
        assert await stored(stores.backend, times=has_times) == await stored(wanted.backend, times=has_times)
        more = str(MAKERS[kind](grown, 9))
        later = await importing.import_from(kind, more, stores)
        assert (later.complete, later.streams, later.entries > 0) == (True, 1, True)
        await importing.import_from(kind, more, wanted)
        assert await stored(stores.backend, times=has_times) == await stored(wanted.backend, times=has_times)


async def test_a_long_conversation_in_parts(tmp_path: Path, postgres_server: PostgresServer) -> None:
    many = messages(12_000)
    source = sessions(tmp_path / "s.db", {"a": messages(2), "bad": [*messages(2), "{"], "long": many})
    async with stowfast.open(postgres_server.url()) as stores:
        done = await importing.import_from("openai-agents", str(source), stores)
        assert (done.streams, done.entries) == (2, 12_002)
        assert [one.stream for one in done.differences] == ["messages/bad"]
        assert await stores.messages.get_messages("long") == many
        assert (await importing.import_from("openai-agents", str(source), stores)).already_there == 2
