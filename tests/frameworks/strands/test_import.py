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
from strands.types.session import SessionAgent, SessionMessage

from stowfast import importing
from stowfast.adapters.strands import StowfastSessionManager, StowfastSessionRepository

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
