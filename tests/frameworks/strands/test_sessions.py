"""Sessions: two managers, conflicts, redaction, lost answers, kills, and hostile ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from strands import Agent
from strands.session.repository_session_manager import RepositorySessionManager
from strands.types.exceptions import SessionException
from strands.types.session import Session, SessionAgent, SessionMessage, SessionType

import stowfast
from stowfast import Stores
from stowfast.adapters.strands import SessionConflictError, StowfastSessionManager, StowfastSessionRepository
from stowfast.errors import ConflictError, DamagedError
from stowfast.testing import LosesAnswers
from tests.frameworks.children import KILLABLE, by_writer, check_writers, kill_writers, race

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.frameworks.losing import LosingBucket

KILLS, MOST_LINES, RACED = 5, 8, 20
HOSTILE = ("a/b", "../..", "\0", "%2F", "ü" * 500, "x" * 5000)

# Adds numbered messages to an agent of a session beside another process.
RACES = """
import sys
from strands import Agent
from strands.session.repository_session_manager import RepositorySessionManager
from stowfast.adapters.strands import StowfastSessionRepository

url, name, count = *sys.argv[1:3], int(sys.argv[3])
repository = StowfastSessionRepository(url)
manager = RepositorySessionManager("session", repository)
agent = Agent(agent_id="agent", session_manager=manager)
for number in range(count):
    manager.append_message({"role": "user", "content": [{"text": f"{name}-{number}"}]}, agent)
repository.close()
"""

# Adds numbered messages to an agent of a session, and prints the number of each after its answer.
ADDS = """
import sys
from strands import Agent
from stowfast.adapters.strands import StowfastSessionManager

url, name = sys.argv[1:]
with StowfastSessionManager("session", url) as manager:
    agent = Agent(agent_id="agent", session_manager=manager)
    for number in range(100_000):
        manager.append_message({"role": "user", "content": [{"text": f"{name}-{number}"}]}, agent)
        print(number, flush=True)
"""


def said(text: str) -> Any:
    return {"role": "user", "content": [{"text": text}]}


def texts(messages: Any) -> list[str]:
    return [message["content"][0]["text"] for message in messages]


def agent_of(manager: Any) -> Agent:
    return Agent(agent_id="agent", session_manager=manager, callback_handler=None)


def test_two_managers_lose_no_message(url: str) -> None:
    repository = StowfastSessionRepository(url)
    managers = [RepositorySessionManager("session", repository) for _ in range(2)]
    agents = [agent_of(manager) for manager in managers]
    for number in range(20):
        managers[number % 2].append_message(said(str(number)), agents[number % 2])
    found = repository.list_messages("session", "agent")
    assert texts(one.message for one in found) == [str(number) for number in range(20)]
    assert [one.message_id for one in found] == list(range(20))
    repository.close()


def test_two_processes_lose_and_double_nothing(shared_url: str) -> None:
    repository = StowfastSessionRepository(shared_url)
    agent_of(RepositorySessionManager("session", repository))
    race(RACES, *[(shared_url, name, str(RACED)) for name in ("one", "two")])
    found = repository.list_messages("session", "agent")
    assert by_writer(texts(one.message for one in found)) == {name: list(range(RACED)) for name in ("one", "two")}
    assert [one.message_id for one in found] == list(range(2 * RACED))
    repository.close()


def test_the_second_of_two_managers_gets_a_conflict(url: str) -> None:
    with StowfastSessionManager("session", url) as one:
        first = agent_of(one)
        with StowfastSessionManager("session", one._repository._opener.open_sync()) as other:
            second = agent_of(other)
            one.append_message(said("a"), first)
            for _ in range(2):  # it stays a conflict
                with pytest.raises(SessionConflictError):
                    other.append_message(said("b"), second)
            first.state.set("key", 1)
            one.sync_agent(first)
            second.state.set("key", 2)
            with pytest.raises(SessionConflictError) as error:
                other.sync_agent(second)
            assert isinstance(error.value.__cause__, ConflictError)
            one.append_message(said("c"), first)
        with StowfastSessionManager("session", one._repository._opener.open_sync()) as later:
            restored = agent_of(later)
            assert texts(restored.messages) == ["a", "c"]
            assert restored.state.get("key") == 1


def test_a_redaction_takes_the_place_of_its_message(url: str) -> None:
    with StowfastSessionManager("session", url) as manager:
        agent = agent_of(manager)
        for text in "abc":
            manager.append_message(said(text), agent)
        manager.redact_latest_message(said("redacted"), agent)
        repository = manager._repository
        message = repository.read_message("session", "agent", 0)
        assert message is not None
        message.redact_message = said("also")
        repository.update_message("session", "agent", message)
        found = repository.list_messages("session", "agent")
        assert texts(one.to_message() for one in found) == ["also", "b", "redacted"]
        assert [one.message_id for one in found] == [0, 1, 2]
        assert texts(one.message for one in repository.list_messages("session", "agent", limit=1, offset=1)) == ["b"]


def test_a_deleted_session_is_gone(every_url: str) -> None:
    with StowfastSessionManager("session", every_url) as manager:
        manager.append_message(said("a"), agent_of(manager))
        repository = manager._repository
        repository.delete_session("session")
        assert repository.read_session("session") is None
        assert repository.read_agent("session", "agent") is None
        with pytest.raises(SessionException):
            repository.create_message("session", "agent", SessionMessage.from_message(said("b"), 1))


@pytest.mark.parametrize("name", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_is_an_id(name: str) -> None:
    repository = StowfastSessionRepository("memory:")
    repository.create_session(Session(session_id=name, session_type=SessionType.AGENT))
    with pytest.raises(SessionException):
        repository.create_session(Session(session_id=name, session_type=SessionType.AGENT))
    repository.create_agent(name, SessionAgent(agent_id=name, state={}, conversation_manager_state={}))
    repository.create_message(name, name, SessionMessage.from_message(said("a"), 0))
    assert len(repository.list_messages(name, name)) == 1
    repository.close()


def test_bytes_and_values_without_json() -> None:
    repository = StowfastSessionRepository("memory:")
    repository.create_session(Session(session_id="s", session_type=SessionType.AGENT))
    repository.create_agent("s", SessionAgent(agent_id="a", state={}, conversation_manager_state={}))
    image: Any = {"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"\0\1"}}}]}
    repository.create_message("s", "a", SessionMessage.from_message(image, 0))
    assert repository.list_messages("s", "a")[0].message == image
    with pytest.raises(SessionException):
        repository.create_message("s", "a", SessionMessage.from_message(said(object()), 1))  # type: ignore[arg-type]
    repository.close()


def test_a_bucket_that_loses_answers_adds_a_message_once(losing_bucket: LosingBucket) -> None:
    with StowfastSessionManager("session", losing_bucket.url) as manager:
        agent = agent_of(manager)
        for number in range(5):
            losing_bucket.lose_answer()
            manager.append_message(said(str(number)), agent)
            agent.state.set("key", number)
            losing_bucket.lose_answer()
            manager.sync_agent(agent)
    with StowfastSessionManager("session", losing_bucket.url) as manager:
        restored = agent_of(manager)
        assert (texts(restored.messages), restored.state.get("key")) == (list("01234"), 4)


async def test_a_lost_answer_adds_a_message_once(url: str) -> None:
    async with await stowfast.open(url) as stores:
        repository = StowfastSessionRepository(Stores(LosesAnswers(stores.backend, 4)))
        manager = RepositorySessionManager("session", repository)
        agent = agent_of(manager)
        for text in "ab":
            manager.append_message(said(text), agent)
        assert texts(one.message for one in repository.list_messages("session", "agent")) == ["a", "b"]


@KILLABLE
def test_an_acknowledged_message_outlives_a_kill(shared_url: str) -> None:
    told = kill_writers(ADDS, KILLS, lambda name: [shared_url, name], MOST_LINES)
    repository = StowfastSessionRepository(shared_url)
    found = texts(one.message for one in repository.list_messages("session", "agent"))
    repository.close()
    check_writers(shared_url, told, by_writer(found))


async def test_a_value_of_another_program_is_named(url: str) -> None:
    async with await stowfast.open(url) as stores:
        repository = StowfastSessionRepository(stores)
        agent_of(RepositorySessionManager("session", repository))
        await stores.documents.put("strands/other", {"of": "another program"})
        await stores.documents.put("strands/session/agents/other", {"of": "another program"})
        await stores.messages.add_message("strands/session/agent", {"message_id": 0})
        reads: list[Callable[[], Any]] = [
            lambda: repository.read_session("other"),
            lambda: repository.read_agent("session", "other"),
            lambda: repository.list_messages("session", "agent"),
            lambda: repository.read_message("session", "agent", 0),
        ]
        for read in reads:
            with pytest.raises(SessionException) as error:
                read()
            assert isinstance(error.value.__cause__, DamagedError)
