"""Every column of every table with every hostile value: a difference or an error of ours, and nothing by halves."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import InvalidError, StowfastError, importing
from tests.unit.importing import test_agno as agno
from tests.unit.importing import test_hostile as others
from tests.unit.importing import test_pydantic_ai_harness as harness
from tests.unit.importing.sources import OPENAI, START, database, insert, messages

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

VALUES: list[Any] = [
    None,
    0,
    -1,
    2**62,
    1.5,
    float("inf"),
    "",
    "x",
    "x\0y",
    "x" * 3_000,
    b"",
    b"\xff\xfe",
    b"\x80\x04N.",
    b"\xc1",
    "[]",
    "[[]]",
    "{}",
    "null",
    "NaN",
    '"\\ud83d"',
    '{"a": NaN}',
    '{"a": 1, "a": 2}',
    '{"run_id": "r", "messages": [{"a": 1e999}]}',
    "[" * 100_000,
    '{"a":' * 100_000,
    "9" * 5_000,
    "9999-99-99",
    "+275760-09-13T00:00:00Z",
]
TEXTS: list[Any] = ["CAST(x'FF' AS TEXT)", "CAST(x'F09F' AS TEXT)", "zeroblob(70000000)"]
"""Values that Python cannot give: text that is no UTF-8, and one that is too large."""


PAYLOADS = {"message_data", "message", "event_data", "checkpoint", "run_data", "messages"}
"""The columns with messages. A value of another one may move them to another conversation."""


def of_openai(path: Path) -> None:
    database(path, OPENAI, "CREATE TABLE message_structure (id, session_id, message_id, branch_id, sequence_number)")
    for number, one in enumerate(messages(4), 1):
        insert(path, "agent_messages", (number, "a" if number < 3 else "b", json.dumps(one), START))
    insert(path, "message_structure", (1, "a", 1, "main", 1), (2, "a", 2, "main", 2), (3, "a", 1, "other", 3))


def of_langchain(path: Path) -> None:
    database(path, "CREATE TABLE message_store (id, session_id, message)")
    for number, one in enumerate(messages(4)):
        insert(path, "message_store", (number, "ab"[number % 2], json.dumps(one)))


def of_adk(path: Path) -> None:
    database(path, *others.ADK, *others.META)
    insert(path, "app_states", ("app", '{"a": 1}', START))
    insert(path, "user_states", ("app", "u", '{"a": 1}', START))
    for session in "ab":
        insert(path, "sessions", ("app", "u", session, "{}", START))
        insert(path, "events", *(("app", "u", session, f"{n}", "i", START, f'{{"n": {n}}}') for n in range(2)))


def of_langgraph(path: Path) -> None:
    database(path, *others.LANGGRAPH)
    for thread in "ab":
        for id in "cd":
            row = (thread, "", id, None, "msgpack", others.GOOD, '{"step": 1}')
            insert(path, "checkpoints", row)
            insert(path, "writes", (thread, "", id, "t", "", 0, "x", "msgpack", b"\x01"))


def of_agno(path: Path) -> None:
    database(path, *agno.NEW)
    for session in "ab":
        insert(path, "agno_sessions", agno.session(session, user_id="ada", session_data='{"n": 1}'))
        for id in ("1", "2"):
            insert(path, "agno_runs", (session + id, session, 0, 1, json.dumps(agno.run(session + id, "x", "y"))))


def of_harness(path: Path) -> None:
    database(path, *harness.TABLES)
    insert(path, "conversations", *((id, '{"title": "t"}', '[{"kind": "request"}]') for id in "ab"))
    for id in ("r", "s"):
        harness.add_run(path, id)
        harness.add_snapshot(path, id, "one", "two")
        insert(path, "events", (None, id, "run_completed", START, None))
        insert(path, "tool_effects", (id, "c", "tool", "completed", START, START, None, "{}"))
    insert(path, "media", ("2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", "text/plain", b"x"))


MADE: dict[str, Callable[[Path], None]] = {
    "openai-agents": of_openai,
    "langchain": of_langchain,
    "google-adk": of_adk,
    "langgraph": of_langgraph,
    "agno": of_agno,
    "pydantic-ai-harness": of_harness,
}


def columns(path: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT m.name, x.name FROM sqlite_master m, pragma_table_info(m.name) x WHERE m.type = 'table'"
        return list(connection.execute(query))


async def contents(stores: stowfast.Stores) -> dict[str, int]:
    return {one.context_id: one.count for one in await stores.messages.contexts(limit=1_000, info=True)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", MADE)
async def test_every_column_with_every_value(tmp_path: Path, kind: str) -> None:
    good, bad = tmp_path / "good.db", tmp_path / "bad.db"
    MADE[kind](good)
    async with stowfast.open("memory:") as stores:
        assert (await importing.import_from(kind, str(good), stores)).differences == []
        whole = await contents(stores)
    faults = []
    for table, column in columns(good):
        for value in (*VALUES, *TEXTS[: None if column in PAYLOADS else -1]):  # the large one takes its time
            shutil.copy(good, bad)
            with closing(sqlite3.connect(bad)) as connection, connection:
                first = f"UPDATE {table} SET {column} = {{}} WHERE rowid = (SELECT min(rowid) FROM {table})"
                try:
                    connection.execute(
                        first.format(value) if value in TEXTS else first.format("?"), [value][: value not in TEXTS]
                    )
                except sqlite3.IntegrityError:
                    continue  # of a primary key
            async with stowfast.open("memory:") as stores:
                where = f"{table}.{column} = {value!r:.30}"
                try:
                    done = await importing.import_from(kind, str(bad), stores)
                    again = await importing.import_from(kind, str(bad), stores)
                    if (again.entries, len(again.differences)) != (0, len(done.differences)):
                        faults.append(f"{where}: the second import is another one: {again}")
                    lost = {id for id, count in whole.items() if (await contents(stores)).get(id, count) < count}
                    if done.complete and lost and column in PAYLOADS and value != "[]":  # this one has no messages
                        faults.append(f"{where}: {lost} are shorter, and nothing says so")
                except StowfastError:
                    pass
                except Exception as error:  # noqa: BLE001 - all of them are told
                    faults.append(f"{where}: {type(error).__name__}: {error!s:.80}")
    assert faults == []


VIEWS = [
    ("openai-agents", "message_structure"),
    ("agno", "agno_runs"),
    ("google-adk", "adk_internal_metadata"),
    ("langgraph", "checkpoint_blobs"),
    ("pydantic-ai-harness", "runs"),
    ("pydantic-ai-harness", "media"),
]


@pytest.mark.parametrize(("kind", "table"), VIEWS)
async def test_a_view_in_the_place_of_a_table_that_may_be_absent(tmp_path: Path, kind: str, table: str) -> None:
    path = tmp_path / "s.db"
    MADE[kind](path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute(f"CREATE VIEW {table.upper()} AS SELECT 1 a")
    with pytest.raises(InvalidError, match="only an ordinary table is read"):
        await importing.import_from(kind, str(path), "memory:")


@pytest.mark.parametrize("kind", MADE)
async def test_a_trigger_does_not_run(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s.db"
    MADE[kind](path)
    with closing(sqlite3.connect(path)) as connection, connection:
        for table in {table for table, _ in columns(path)}:
            connection.execute(f"CREATE TRIGGER t_{table} AFTER INSERT ON {table} BEGIN DELETE FROM {table}; END")
    before = path.read_bytes()
    assert (await importing.import_from(kind, str(path), "memory:")).differences == []
    assert path.read_bytes() == before
