"""Sessions of Agno, made by its agents, imported: conversations are those of its `get_messages`, runs are tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from agno.agent import Agent
from agno.db.base import SessionType
from agno.db.migrations.versions.v3_0_0 import down
from agno.db.postgres import PostgresDb
from agno.db.sqlite import SqliteDb
from agno.media import Image
from agno.models.base import Model
from agno.models.message import Message
from agno.models.response import ModelResponse
from agno.run.agent import RunOutput
from agno.run.base import RunStatus
from agno.session import AgentSession
from agno.session.summary import SessionSummary

import stowfast
from stowfast import importing
from tests.frameworks.large import LENGTHS
from tests.frameworks.large import import_twice as import_twice_and_tell

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

SESSIONS = ["a/b", "..", "%", "ü 😀", "'; DROP TABLE t; --", *(f"user-{number}" for number in range(5))]
PICTURE = b"\x89PNG\0\xff" * 50


class ScriptedModel(Model):
    """Calls the tool once in a run, then answers."""

    def _answer(self, messages: list[Any]) -> ModelResponse:
        if messages[-1].role == "tool":
            return ModelResponse(role="assistant", content="ü 😀")
        call = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Köln"}'}}
        return ModelResponse(role="assistant", tool_calls=[call])

    def invoke(self, messages: list[Any], **_: Any) -> ModelResponse:
        return self._answer(messages)

    async def ainvoke(self, messages: list[Any], **_: Any) -> ModelResponse:
        return self._answer(messages)

    def invoke_stream(self, **_: Any) -> Iterator[ModelResponse]:
        raise NotImplementedError

    def ainvoke_stream(self, *_: Any, **__: Any) -> AsyncIterator[ModelResponse]:
        raise NotImplementedError

    def _parse_provider_response(self, response: Any, **_: Any) -> ModelResponse:
        raise NotImplementedError

    def _parse_provider_response_delta(self, response: Any) -> ModelResponse:
        raise NotImplementedError


def weather(city: str) -> str:
    """Tell the weather."""
    return f"{city}: rain"


def talk(db: Any, session: str, count: int) -> None:
    """Run an agent with its history, so that each run repeats the messages before it."""
    agent = Agent(
        id="helper", model=ScriptedModel(id="m"), db=db, instructions="Help.", tools=[weather],
        add_history_to_context=True, telemetry=False,
    )  # fmt: skip
    for number in range(count):
        agent.run(f"{number} 😀", session_id=session, user_id="ada", images=[Image(content=PICTURE)])


def fill(db: Any) -> None:
    for number, session in enumerate(SESSIONS):
        talk(db, session, 1 + number % 3)
    stored = db.get_session(SESSIONS[0], SessionType.AGENT)
    stored.summary = SessionSummary(summary="About rain.", topics=["rain"])
    db.upsert_session(stored)
    # Agno leaves the messages of these out of a conversation.
    messages = stored.runs[0].messages
    for name, fields in (("part", {"parent_run_id": stored.runs[0].run_id}), ("failed", {"status": RunStatus.error})):
        run = RunOutput(run_id=name, agent_id="member", session_id=SESSIONS[0], messages=messages, **fields)
        db.upsert_run(run, SESSIONS[0])


def stored_runs(db: Any, session: str) -> tuple[list[Any], list[Any]]:
    """Return the messages and the runs of a session as the library reads them, as JSON objects."""
    found = db.get_session(session, SessionType.AGENT)
    assert isinstance(found, AgentSession)
    return [one.to_dict() for one in found.get_messages()], found.runs or []


async def check(db: Any, stores: stowfast.Stores) -> None:
    for session in SESSIONS:
        messages, runs = stored_runs(db, session)
        ours = await stores.messages.get_messages(session)
        assert [Message.from_dict(one).to_dict() for one in ours] == messages
        assert len([one for one in ours if one["role"] == "system"]) == 1
        info = await stores.messages.info(session)
        assert info is not None
        assert (info.metadata["user_id"], info.metadata["agent_id"]) == ("ada", "helper")
        for run in runs:
            task = await stores.tasks.load(run.run_id)
            assert task is not None
            assert RunOutput.from_dict(task.data).to_dict() == run.to_dict()
            assert (task.context_id, task.status) == (session, run.status.value.lower())
            assert (task.agent_id, task.parent_task_id) == (run.agent_id, run.parent_run_id)
    info = await stores.messages.info(SESSIONS[0])
    assert info is not None
    assert info.metadata["summary"]["summary"] == "About rain."


async def import_twice(source: str, target: str, db: Any) -> None:
    async with stowfast.open(target) as stores:
        for repeat in range(2):
            done = await importing.import_from("agno", source, stores)
            assert done.differences == []
            assert (done.streams == 0) == bool(repeat)
        await check(db, stores)


async def import_growth(source: Path, target: str, db: Any) -> None:
    """Let a session go on, and import it again: its conversation and its new runs alone."""
    talk(db, SESSIONS[1], 2)
    async with stowfast.open(target) as stores:
        done = await importing.import_from("agno", str(source), stores)
        assert (done.differences, done.streams) == ([], 3)
        await check(db, stores)


async def test_sessions_of_sqlite_and_their_growth(tmp_path: Path, durable_url: str) -> None:
    source = tmp_path / "theirs.db"
    db = SqliteDb(db_file=str(source))
    fill(db)
    await import_twice(str(source), durable_url, db)
    await import_growth(source, durable_url, db)
    db.close()


async def test_sessions_from_before_release_3(tmp_path: Path) -> None:
    source, target = tmp_path / "theirs.db", f"sqlite:///{tmp_path}/ours.db"
    db = SqliteDb(db_file=str(source))
    fill(db)
    # The library's own migration, back to the runs in one column. It reads them from there, too.
    assert down(db, "sessions", "agno_sessions")
    db.close()
    db = SqliteDb(db_file=str(source))
    await import_twice(str(source), target, db)
    # Release 3 adds its runs to a table, beside the column.
    await import_growth(source, target, db)
    db.close()


@pytest.mark.service
async def test_sessions_of_postgres(postgres_server: Any, tmp_path: Path) -> None:
    source = str(postgres_server.url()).partition("?")[0]
    db = PostgresDb(db_url="postgresql+psycopg" + source[source.index(":") :])
    fill(db)
    await import_twice(source, f"sqlite:///{tmp_path}/ours.db", db)
    db.close()


async def test_two_hundred_sessions(tmp_path: Path) -> None:
    """Each run of a session has ten messages; the first is the history of the run before."""
    source, url = tmp_path / "theirs.db", f"sqlite:///{tmp_path}/ours.db"
    db = SqliteDb(db_file=str(source))
    for name, length in LENGTHS.items():
        db.upsert_session(AgentSession(session_id=name, agent_id="helper", user_id="ada", created_at=1_767_322_800))
        for start in range(0, length, 10):
            said = [Message(role="user", content=f"{number} 😀") for number in range(start, min(start + 10, length))]
            before = [Message(role="user", content="before", from_history=True)] if start else []
            run = RunOutput(run_id=f"{name} {start}", agent_id="helper", session_id=name, messages=[*before, *said])
            run.status, run.created_at = RunStatus.completed, 1_767_322_800 + start
            db.upsert_run(run, name)
    done = await import_twice_and_tell("agno", str(source), url)
    assert done.entries == sum(LENGTHS.values()) + sum(-(-length // 10) for length in LENGTHS.values())
    async with stowfast.open(url) as stores:
        for name in LENGTHS:
            messages, runs = stored_runs(db, name)
            ours = await stores.messages.get_messages(name)
            assert [Message.from_dict(one).to_dict() for one in ours] == messages
            for run in runs:
                task = await stores.tasks.load(run.run_id)
                assert task is not None
                assert RunOutput.from_dict(task.data).to_dict() == run.to_dict()
    db.close()
