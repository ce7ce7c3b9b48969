"""Tables of the Pydantic AI harness made by hand: runs that go on, and hostile rows, which refuse their own alone."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import InvalidError, importing, moving
from tests.unit.importing.sources import artifact_of, database, insert
from tests.unit.importing.test_hostile import BAD_MESSAGES

if TYPE_CHECKING:
    from pathlib import Path

START = "2026-01-02T03:04:05.678901+00:00"
EFFECT = "run_id, tool_call_id, tool_name, status, started_at, ended_at, idempotency_key, effect_summary"
TABLES = [
    "CREATE TABLE conversations (id, metadata, messages)",
    "CREATE TABLE runs (run_id, conversation_id, parent_run_id, agent_name, metadata, started_at)",
    "CREATE TABLE events (seq INTEGER PRIMARY KEY, run_id, kind, timestamp, error)",
    "CREATE TABLE snapshots (seq INTEGER PRIMARY KEY, run_id, step_index, timestamp, state, messages)",
    "CREATE TABLE snapshot_messages (sha256, message)",
    "CREATE TABLE snapshot_message_refs (snapshot_seq, position, sha256)",
    f"CREATE TABLE tool_effects ({EFFECT})",
    "CREATE TABLE media (sha256, media_type, bytes)",
]


def add_run(path: Path, *ids: str) -> None:
    for id in ids:
        insert(path, "runs", (id, "c", "parent", "agent", '{"k": "v"}', START))


def add_snapshot(path: Path, run: str, *texts: str, step: Any = 1) -> None:
    """Add a snapshot that refers to its messages."""
    with closing(sqlite3.connect(path)) as connection, connection:
        stored = json.dumps({"stored_messages": len(texts)})
        row = (run, step, START, "complete", stored)
        seq = connection.execute("INSERT INTO snapshots VALUES (NULL, ?, ?, ?, ?, ?)", row).lastrowid
    for position, text in enumerate(texts):
        message = json.dumps({"kind": text, "padding": "x" * 2_000})
        digest = sha256(message.encode()).hexdigest()
        with closing(sqlite3.connect(path)) as connection, connection:
            if not connection.execute("SELECT 1 FROM snapshot_messages WHERE sha256 = ?", [digest]).fetchone():
                connection.execute("INSERT INTO snapshot_messages VALUES (?, ?)", (digest, message))
        insert(path, "snapshot_message_refs", (seq, position, digest))


async def imported(path: Path, stores: stowfast.Stores) -> tuple[list[str], int]:
    done = await importing.import_from("pydantic-ai-harness", str(path), stores)
    return [one.stream for one in done.differences], done.streams


async def test_a_run_goes_on_and_ends(tmp_path: Path) -> None:
    path, target = database(tmp_path / "s.db", *TABLES), f"sqlite:///{tmp_path}/ours.db"
    add_run(path, "r")
    async with stowfast.open(target) as stores:
        texts = [str(number) for number in range(12)]
        for number in range(0, 12, 4):
            for count in range(number, number + 4):
                add_snapshot(path, "r", *texts[: count + 1], step=count)
            assert await imported(path, stores) == ([], 1)
            assert await imported(path, stores) == ([], 0)
        effect = ("weather", "started", START, None, "key", "x" * 1_000)
        insert(path, "tool_effects", *(("r", f"call-{number:03}", *effect) for number in range(100)))
        insert(path, "events", (1, "r", "run_started", START, None), (2, "r", "run_failed", START, "no"))
        assert await imported(path, stores) == ([], 1)
        assert await imported(path, stores) == ([], 0)
        history = (await stores.tasks.history("r"))[::-1]
        assert [len(one.data["messages"]) for one in history] == [0, *range(1, 13), 12]
        assert [one["kind"] for one in history[-1].data["messages"]] == texts
        assert (history[-1].status, history[-1].data["error"], history[0].status) == ("failed", "no", "working")
        newest = history[-1]
        assert (newest.context_id, newest.parent_task_id, newest.agent_id) == ("c", "parent", "agent")
        assert newest.metadata == {"k": "v"}
        # As many as a task may have.
        assert 20 < len(newest.steps) < 100
        assert newest.steps["call-000"]["status"] == "started"
        await stores.tasks.save(newest)
        add_snapshot(path, "r", "more")
        assert (await imported(path, stores))[0] == ["tasks/r"]
    assert (await moving.verify(target)).damaged == []


@pytest.mark.parametrize("bad", [*BAD_MESSAGES, "{}", '{"stored_messages": 1}'], ids=lambda bad: repr(bad)[:20])
async def test_a_bad_snapshot_refuses_its_run(tmp_path: Path, bad: Any) -> None:
    path = database(tmp_path / "s.db", *TABLES)
    add_run(path, "a", "b", "c")
    for run in "abc":
        add_snapshot(path, run, "1")
    insert(path, "snapshots", (None, "b", 1, START, "complete", bad))
    async with stowfast.open("memory:") as stores:
        assert await imported(path, stores) == ((["tasks/b"], 2) if bad != "[1]" else ([], 3))


@pytest.mark.parametrize("bad", BAD_MESSAGES, ids=lambda bad: repr(bad)[:20])
async def test_a_bad_conversation_is_refused_alone(tmp_path: Path, bad: Any) -> None:
    path = database(tmp_path / "s.db", *TABLES)
    good = json.dumps([{"kind": "request"}, {"kind": "response", "timestamp": START}])
    insert(path, "conversations", ("a", "{}", good), ("b", "{}", bad), ("c", "[]", good), ("z", "{}", good))
    async with stowfast.open("memory:") as stores:
        assert len((await imported(path, stores))[0]) == 2
        assert [one.context_id for one in await stores.messages.contexts(order="id")] == ["a", "z"]
        assert len(await stores.messages.get_messages("a")) == 2


async def test_media_are_the_bytes_of_their_digest(tmp_path: Path) -> None:
    path = database(tmp_path / "s.db", *TABLES)
    bodies = [b"", b"small", b"large" * 50_000]
    rows = [(sha256(one).hexdigest(), "image/png", one) for one in bodies]
    insert(path, "media", *rows, (sha256(b"x").hexdigest(), None, b"y"), ("../x", None, b"y"), (b"\xff", None, b""))
    insert(path, "media", (sha256(b"t").hexdigest(), None, "t"), (sha256(b"n").hexdigest(), 7, b"n"))
    insert(path, "media", ("0" * 64, None, bytes(70_000_000)), ("f" * 64, None, None))
    async with stowfast.open(f"sqlite:///{tmp_path}/ours.db") as stores:
        refused, streams = await imported(path, stores)
        assert (len(refused), streams) == (6, 4)
        for digest, kind, body in rows:
            found = await artifact_of(stores, f"media+sha256://{digest}")
            assert (found.content, found.mime_type) == (body, kind)


@pytest.mark.parametrize("missing", range(1, len(TABLES)))
async def test_another_schema_is_refused(tmp_path: Path, missing: int) -> None:
    tables = [one for number, one in enumerate(TABLES) if number != missing]
    path = database(tmp_path / "s.db", *tables, "CREATE VIEW extra AS SELECT 1 x")
    async with stowfast.open("memory:") as stores:
        if missing in {1, len(TABLES) - 1}:  # a file of conversations alone, and one without media
            assert await imported(path, stores) == ([], 0)
            return
        with pytest.raises(InvalidError, match="table"):
            await imported(path, stores)


@pytest.mark.parametrize(
    "row",
    [
        (b"\xff", "c", None, None, "{}", START), ("r", 7, None, None, "{}", START), ("r", "c", None, None, "[]", START),
        ("r\0", "c", None, None, "{}", START), ("r", "c", None, None, None, START),
    ],
    ids=repr,
)  # fmt: skip
async def test_a_hostile_run_is_refused_alone(tmp_path: Path, row: tuple[Any, ...]) -> None:
    path = database(tmp_path / "s.db", *TABLES)
    add_run(path, "good")
    insert(path, "runs", row)
    async with stowfast.open("memory:") as stores:
        refused, streams = await imported(path, stores)
        assert (len(refused), streams) == (1, 1)
