"""Sessions in the files of Strands, imported: our repository returns the same, and an agent goes on with them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from strands import Agent
from strands.agent.conversation_manager import SlidingWindowConversationManager
from strands.session.file_session_manager import FileSessionManager
from strands.session.s3_session_manager import S3SessionManager
from strands.session.snapshot_session_manager import SnapshotSessionManager
from strands.storage.local_file_storage import LocalFileStorage
from strands.types.session import SessionAgent, SessionMessage

from stowfast import importing
from stowfast.adapters.strands import StowfastSessionManager, StowfastSessionRepository, StowfastStorage
from tests.frameworks.large import LENGTHS, import_twice
from tests.frameworks.strands.s3_work import SAID, Scripted

if TYPE_CHECKING:
    from pathlib import Path

SESSIONS = ["one", "ü 😀", "'; DROP TABLE t; --", "%2F", *(f"s{number}" for number in range(10))]
AGENTS = ["agent", "other ü"]
CONVERSATION = SlidingWindowConversationManager().get_state()


def messages(number: int) -> list[Any]:
    """Return a question with a picture, a call and its result."""
    picture = {"image": {"format": "png", "source": {"bytes": b"\x89PNG\0\xff" * 50}}}
    use = {"toolUse": {"toolUseId": f"t{number}", "name": "weather", "input": {"city": "Köln"}}}
    result = {"toolResult": {"toolUseId": f"t{number}", "status": "success", "content": [{"json": {"a": [1.5, None]}}]}}
    return [
        {"role": "user", "content": [{"text": f"{number} 😀"}, picture]},
        {"role": "assistant", "content": [use]},
        {"role": "user", "content": [result]},
    ]


def shown(repository: Any, session: str) -> list[Any]:
    found = [repository.read_session(session).to_dict()]
    for agent in AGENTS:
        found.append(repository.read_agent(session, agent).to_dict())
        found += [one.to_dict() for one in repository.list_messages(session, agent)]
    return found


def test_sessions_of_files(tmp_path: Path, durable_url: str) -> None:
    folder = str(tmp_path / "theirs")
    managers = {session: FileSessionManager(session, storage_dir=folder) for session in SESSIONS}
    for number, (session, manager) in enumerate(managers.items()):
        for name in AGENTS:
            manager.create_agent(session, SessionAgent(name, {"n": number}, CONVERSATION))
            # From 10 on the names of the files are out of order.
            for index, message in enumerate(messages(number) * (4 if number < 3 else 1)):
                manager.create_message(session, name, SessionMessage.from_message(message, index))
    for repeat in range(2):
        done = asyncio.run(importing.import_from("strands", folder, durable_url))
        assert done.differences == []
        assert (done.streams == 0) == bool(repeat)
    ours = StowfastSessionRepository(durable_url)
    for session, manager in managers.items():
        assert shown(ours, session) == shown(manager, session)
    grown = managers["one"]
    grown.create_message("one", "agent", SessionMessage.from_message(messages(9)[0], 12))
    assert asyncio.run(importing.import_from("strands", folder, durable_url)).differences == []
    assert shown(ours, "one") == shown(grown, "one")
    ours.close()
    with StowfastSessionManager("one", durable_url) as again:
        agent = Agent(agent_id="agent", session_manager=again, callback_handler=None)
        assert agent.state.get("n") == 0
        assert agent.messages == [*(messages(0) * 4), messages(9)[0]]


def ask(session: str, storage: Any, count: int) -> list[Any]:
    """Ask an agent with snapshots some questions, and return its messages."""
    manager = SnapshotSessionManager(session, storage=storage, snapshot_trigger=lambda **_: True)
    agent = Agent(model=Scripted(), agent_id="agent", session_manager=manager, callback_handler=None)
    for question, _ in SAID[:count]:
        agent(question)
    return list(agent.messages)


def test_snapshots(tmp_path: Path, durable_url: str) -> None:
    folder = str(tmp_path / "theirs")
    theirs = LocalFileStorage(folder)
    sessions = ["one", "ü 😀", *(f"s{number}" for number in range(5))]
    asked = {session: ask(session, theirs, 2) for session in sessions}
    for repeat in range(2):
        done = asyncio.run(importing.import_from("strands", folder, durable_url))
        assert done.differences == []
        assert (done.streams, done.already_there) == ((21, 0), (0, 21))[repeat]
    asyncio.run(same_keys(theirs, durable_url, 21))
    more = ask("one", theirs, 1)
    assert more[: len(asked["one"])] == asked["one"]
    done = asyncio.run(importing.import_from("strands", folder, durable_url))
    assert (done.streams, done.differences) == (2, [])
    asyncio.run(same_keys(theirs, durable_url, 22))
    for session in sessions[1:]:
        ours = StowfastStorage(durable_url)
        again = ask(session, ours, 1), ask(session, theirs, 1)
        asyncio.run(ours.close())
        assert [len(messages) for messages in again] == [len(asked[session]) + 2] * 2
        assert [text_of(messages) for messages in again] == [text_of(again[0])] * 2


def text_of(messages: list[Any]) -> list[str]:
    return [one["content"][0]["text"] for one in messages]


async def same_keys(theirs: Any, url: str, count: int) -> None:
    ours = StowfastStorage(url)
    keys = await ours.list("session/")
    assert keys == await theirs.list("session/")
    assert len(keys) == count
    for key in keys:
        assert await ours.read(key) == await theirs.read(key)
    await ours.close()


@pytest.mark.service
def test_sessions_of_a_bucket(s3_server: Any, tmp_path: Path) -> None:
    url = s3_server.url()
    parts = urlsplit(url)
    client = {"endpoint_url": dict(parse_qsl(parts.query))["endpoint_url"]}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL_S3", client["endpoint_url"])
        managers = {
            session: S3SessionManager(session, bucket=parts.netloc, prefix=parts.path.strip("/"))
            for session in ("one", "with space", "s2")
        }
        for number, (session, manager) in enumerate(managers.items()):
            for name in AGENTS:
                manager.create_agent(session, SessionAgent(name, {"n": number}, CONVERSATION))
                for index, message in enumerate(messages(number) * 4):
                    manager.create_message(session, name, SessionMessage.from_message(message, index))
        target = f"sqlite:///{tmp_path}/ours.db"
        for repeat in range(2):
            done = asyncio.run(importing.import_from("strands", url, target))
            assert done.differences == []
            assert (done.streams == 0) == bool(repeat)
        ours = StowfastSessionRepository(target)
        for session, manager in managers.items():
            assert shown(ours, session) == shown(manager, session)
        ours.close()


def test_two_hundred_sessions(tmp_path: Path) -> None:
    folder, url, managers = str(tmp_path / "theirs"), f"sqlite:///{tmp_path}/ours.db", {}
    for number, (name, length) in enumerate(LENGTHS.items()):
        managers[name] = FileSessionManager(name, storage_dir=folder)
        for agent in AGENTS:
            managers[name].create_agent(name, SessionAgent(agent, {"n": number}, CONVERSATION))
        for index, message in enumerate((messages(number) * length)[:length]):
            managers[name].create_message(name, AGENTS[0], SessionMessage.from_message(message, index))
    done = asyncio.run(import_twice("strands", folder, url))
    assert done.entries == sum(LENGTHS.values()) + 3 * len(LENGTHS)
    ours = StowfastSessionRepository(url)
    for name, manager in managers.items():
        assert shown(ours, name) == shown(manager, name)
    ours.close()
