"""What every session service owes its callers: the statements of ADK's registry of backends, in words of our own.

The registry is `tests/unittests/sessions/_conformance.py` of ADK's repository. Its release has no tests.
"""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.in_memory_session_service import InMemorySessionService
from google.adk.sessions.session import Session
from google.genai import types

from stowfast.adapters.google_adk import StowfastSessionService

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from google.adk.sessions.base_session_service import BaseSessionService

ADA: dict[str, Any] = {"app_name": "app", "user_id": "ada"}
BOB: dict[str, Any] = {"app_name": "app", "user_id": "bob"}


@pytest.fixture
async def service(url: str) -> AsyncIterator[StowfastSessionService]:
    async with StowfastSessionService(url, scope=uuid.uuid4().hex) as service:
        yield service


@pytest.fixture(params=["theirs", "ours"])
async def both(request: pytest.FixtureRequest, url: str) -> AsyncIterator[BaseSessionService]:
    """ADK's service in memory, where the statements come from, and ours."""
    if request.param == "theirs":
        yield InMemorySessionService()
        return
    async with StowfastSessionService(url, scope=uuid.uuid4().hex) as service:
        yield service


def event(**delta: Any) -> Event:
    actions = EventActions(state_delta={name.replace("_", ":", 1): value for name, value in delta.items()})
    return Event(invocation_id="i", author="user", actions=actions)


async def test_an_event_with_every_field_returns_as_it_was(both: BaseSessionService) -> None:
    session = await both.create_session(**ADA)
    image = types.Part.from_bytes(data=b"\xff\0", mime_type="image/png")
    full = Event(
        invocation_id="i",
        author="user",
        content=types.Content(role="user", parts=[types.Part(text="hi"), image]),
        turn_complete=True,
        partial=False,
        actions=EventActions(artifact_delta={"f": 0}, transfer_to_agent="agent", escalate=True),
        long_running_tool_ids={"tool"},
        error_code="code",
        error_message="message",
        interrupted=True,
        grounding_metadata=types.GroundingMetadata(
            web_search_queries=["q"], search_entry_point=types.SearchEntryPoint(sdk_blob=b"\xfe\0")
        ),
        usage_metadata=types.GenerateContentResponseUsageMetadata(
            prompt_token_count=1, candidates_token_count=1, total_token_count=2
        ),
        citation_metadata=types.CitationMetadata(),
        custom_metadata={"k": "v"},
        timestamp=1_700_000_000.123,
        input_transcription=types.Transcription(text="in", finished=True),
        output_transcription=types.Transcription(text="out", finished=True),
    )
    await both.append_event(session, full)
    assert session.events == [full]
    assert await both.get_session(**ADA, session_id=session.id) == session


async def test_temporary_state_lives_in_the_object_alone(both: BaseSessionService) -> None:
    session = await both.create_session(**ADA)
    given = event(temp_k=1, k=2)
    await both.append_event(session, given)
    assert (session.state["temp:k"], session.state["k"]) == (1, 2)
    assert given.actions.state_delta == {"k": 2}
    await both.append_event(session, event(l=3))
    assert session.state["temp:k"] == 1
    found = await both.get_session(**ADA, session_id=session.id)
    assert found is not None
    assert found.state == {"k": 2, "l": 3}


async def test_the_state_of_an_app_and_of_a_user_reach_their_sessions_alone(both: BaseSessionService) -> None:
    first = await both.create_session(**ADA, state={"app:a": 1, "user:u": 1, "own": 1})
    await both.append_event(first, event(app_b=2, user_v=2, more=2))
    assert (await both.create_session(**ADA)).state == {"app:a": 1, "app:b": 2, "user:u": 1, "user:v": 2}
    assert (await both.create_session(**BOB)).state == {"app:a": 1, "app:b": 2}
    assert (await both.create_session(app_name="other", user_id="ada")).state == {}
    assert await both.get_user_state(**ADA) == {"u": 1, "v": 2}
    await both.append_event(first, event(user_v=3))
    assert await both.get_user_state(**ADA) == {"u": 1, "v": 3}
    assert not await both.get_user_state(**BOB)
    assert not await both.get_user_state(app_name="other", user_id="ada")


async def test_one_id_of_two_users_is_two_sessions(both: BaseSessionService) -> None:
    ada = await both.create_session(**ADA, session_id="s")
    await both.append_event(ada, event(k=1))
    bob = await both.create_session(**BOB, session_id="s")
    assert (bob.events, bob.state) == ([], {})
    await both.delete_session(**BOB, session_id="s")
    found = await both.get_session(**ADA, session_id="s")
    assert found is not None
    assert len(found.events) == 1


async def test_a_session_has_the_time_of_its_last_event(both: BaseSessionService) -> None:
    before = time.time()
    session = await both.create_session(**ADA)
    assert before <= session.last_update_time <= time.time()
    later = event()
    later.timestamp = session.last_update_time + 10
    await both.append_event(session, later)
    found = await both.get_session(**ADA, session_id=session.id)
    assert found is not None
    assert found.last_update_time == session.last_update_time == later.timestamp


async def test_spaces_around_an_id_mean_nothing(both: BaseSessionService) -> None:
    await both.create_session(**ADA, session_id=" s ")
    for name in ("s", " s "):
        found = await both.get_session(**ADA, session_id=name)
        assert found is not None
        assert found.id == "s"
    await both.delete_session(**ADA, session_id=" s ")
    assert await both.get_session(**ADA, session_id="s") is None


async def test_an_empty_user_lists_nobody_s_sessions(service: StowfastSessionService) -> None:
    await service.create_session(**ADA)
    assert (await service.list_sessions(app_name="app", user_id="")).sessions == []


async def test_an_event_for_a_session_that_was_never_stored_is_an_error(service: StowfastSessionService) -> None:
    with pytest.raises(SessionNotFoundError):
        await service.append_event(Session(**ADA, id="unknown"), event(app_k=1))
    assert await service.get_session(**ADA, session_id="unknown") is None
    assert (await service.create_session(**ADA)).state == {}
