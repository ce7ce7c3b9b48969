"""Tables of Agno made by hand: the form before release 3, and hostile rows, which refuse their session or run alone."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import InvalidError, importing
from tests.unit.importing.sources import database, insert
from tests.unit.importing.test_hostile import BAD_MESSAGES, Bomb

if TYPE_CHECKING:
    from pathlib import Path

FACTS = "session_id, session_type, agent_id, team_id, workflow_id, user_id, session_data, metadata, summary"
OLD = f"CREATE TABLE agno_sessions ({FACTS}, runs)"
NEW = [
    f"CREATE TABLE agno_sessions ({FACTS})",
    "CREATE TABLE agno_runs (run_id, session_id, run_index, created_at, run_data)",
]


def run(id: str, *texts: str, **fields: Any) -> dict[str, Any]:
    """Return a run with messages; those that begin with `h` are of its history."""
    messages = [{"role": "user", "content": text, "from_history": text.startswith("h")} for text in texts]
    return {"run_id": id, "agent_id": "a", "status": "COMPLETED", "created_at": 7, "messages": messages, **fields}


def session(id: Any, **facts: Any) -> tuple[Any, ...]:
    return (id, *(facts.get(name) for name in FACTS.split(", ")[1:]))


async def imported(path: Path, stores: stowfast.Stores) -> tuple[list[str], dict[str, list[str]]]:
    """Import, and return the names of refused streams, and the texts of the conversations."""
    done = await importing.import_from("agno", str(path), stores)
    page = await stores.messages.contexts(limit=1_000)
    found = {one.context_id: await stores.messages.get_messages(one.context_id) for one in page}
    return [one.stream for one in done.differences], {id: [one["content"] for one in found[id]] for id in found}


async def test_runs_in_one_column_and_in_a_table(tmp_path: Path) -> None:
    path = database(tmp_path / "s.db", OLD, NEW[1])
    old = json.dumps(
        [run("1", "a", status="PAUSED"), run("2", "ha", "b", parent_run_id=None), run("9", "x", parent_run_id="2")]
    )
    # Before release 3 the JSON was the text of a JSON column.
    insert(path, "agno_sessions", (*session("s", user_id="ada", session_data=json.dumps('{"n": 1}')), json.dumps(old)))
    insert(path, "agno_sessions", (*session("t"), "null"), (*session("u"), None))
    insert(
        path, "agno_runs", ("1", "s", 0, 1, json.dumps(run("1", "now"))), ("4", "s", 2, 1, json.dumps(run("4", "d")))
    )
    insert(
        path,
        "agno_runs",
        ("3", "s", 1, 1, json.dumps(run("3", "hb", "c"))),
        ("5", "t", 0, 1, json.dumps(run("5", "z"))),
    )
    async with stowfast.open("memory:") as stores:
        assert await imported(path, stores) == ([], {"s": ["now", "b", "c", "d"], "t": ["z"], "u": []})
        assert [one.context_id for one in await stores.messages.contexts(where={"user_id": "ada"})] == ["s"]
        info = await stores.messages.info("s")
        assert info is not None
        assert info.metadata == {"user_id": "ada", "session_data": {"n": 1}}
        tasks = await stores.tasks.list(context_id="s")
        assert {(one.task_id, one.parent_task_id, one.status) for one in tasks} == {
            ("9", "2", "completed"), *((str(number), None, "completed") for number in (1, 2, 3, 4)),
        }  # fmt: skip


async def test_a_run_that_changed_is_replaced_until_it_is_changed_here(tmp_path: Path) -> None:
    async with stowfast.open("memory:") as stores:
        for number, status in enumerate(("RUNNING", "PAUSED", "COMPLETED")):
            path = database(tmp_path / f"{number}.db", *NEW)
            insert(path, "agno_sessions", session("s"))
            insert(path, "agno_runs", ("1", "s", 0, 1, json.dumps(run("1", status=status))))
            if status == "COMPLETED":
                state = await stores.tasks.load("1")
                assert state is not None
                assert (state.status, state.version) == ("paused", 2)
                await stores.tasks.save(state)
            assert (await imported(path, stores))[0] == (["tasks/1"] if status == "COMPLETED" else [])


BAD_RUNS: list[Any] = [*BAD_MESSAGES, '"{"', '"\\"{}\\""', '{"run_id": 7}', '{"run_id": ""}']


@pytest.mark.parametrize("bad", BAD_RUNS, ids=lambda bad: repr(bad)[:20])
async def test_a_bad_run_refuses_itself_and_its_conversation(tmp_path: Path, bad: Any) -> None:
    path = database(tmp_path / "s.db", *NEW)
    insert(path, "agno_sessions", *map(session, "abc"))
    for number, name in enumerate("abc"):
        insert(path, "agno_runs", (str(number), name, 0, 1, json.dumps(run(str(number), name))))
    insert(path, "agno_runs", ("bad", "b", 1, 1, bad))
    async with stowfast.open("memory:") as stores:
        refused, found = await imported(path, stores)
        # One without messages that can be read leaves the conversation as it is.
        assert set(refused) | {"messages/b"} == {"messages/b", "session 'b', run 1"}
        assert {"a": ["a"], "c": ["c"]}.items() <= found.items()
        assert await stores.tasks.load("1") is not None


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": 7}, {"messages": [7]}, {"status": ["x"]}, {"agent_id": 7}, {"parent_run_id": 7}, {"run_id": "0"},
        {"run_id": "x" * 2_000}, {"run_id": "a\0b"}, {"messages": [{"created_at": 1e300, "content": "1"}]},
    ],
    ids=repr,
)  # fmt: skip
async def test_a_hostile_run(tmp_path: Path, fields: dict[str, Any]) -> None:
    path = database(tmp_path / "s.db", OLD)
    insert(path, "agno_sessions", (*session("good"), json.dumps([run("0", "a")])))
    insert(path, "agno_sessions", (*session("s"), json.dumps([run("1", "b") | fields])))
    async with stowfast.open("memory:") as stores:
        refused, found = await imported(path, stores)
        assert found["good"] == ["a"]
        assert (refused == []) == ("created_at" in repr(fields))


@pytest.mark.parametrize("id", [b"\xff\xfe", None, "", 7, b"blob"])
async def test_an_id_that_is_no_text_is_refused(tmp_path: Path, id: Any) -> None:
    path = database(tmp_path / "s.db", *NEW)
    insert(path, "agno_sessions", session(id), session("zz"), session("zz"))
    async with stowfast.open("memory:") as stores:
        refused, found = await imported(path, stores)
        assert (len(refused), found) == (1, {"zz": []})


@pytest.mark.parametrize("column", ["session_data", "metadata", "summary", "user_id"])
async def test_a_pickled_value_refuses_its_session(tmp_path: Path, column: str) -> None:
    path = database(tmp_path / "s.db", *NEW)
    insert(path, "agno_sessions", session("a", **{column: pickle.dumps(Bomb())}), session("b"))
    async with stowfast.open("memory:") as stores:
        assert await imported(path, stores) == (["b'a'"], {"b": []})


@pytest.mark.parametrize(
    "statements",
    [
        [NEW[1]],
        [NEW[0]],
        ["CREATE TABLE agno_sessions (session_id, runs)"],
        [NEW[0], "CREATE TABLE agno_runs (run_id, session_id, run_data)"],
        [NEW[1], f"CREATE VIEW agno_sessions AS SELECT 1 {FACTS.replace(', ', ', 1 ')}"],
        [NEW[0], "CREATE VIEW agno_runs AS SELECT 1 run_id, 1 session_id, 1 run_index, 1 created_at, 1 run_data"],
    ],
)
async def test_another_schema_is_refused(tmp_path: Path, statements: list[str]) -> None:
    async with stowfast.open("memory:") as stores:
        with pytest.raises(InvalidError, match=r"table|column"):
            await imported(database(tmp_path / "s.db", *statements), stores)
