"""The session service: its contract, races, lost answers, hostile ids."""

from __future__ import annotations

import asyncio
import time
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from google.adk.errors._stale_session_error import StaleSessionError
from google.adk.errors.already_exists_error import AlreadyExistsError
from google.adk.errors.session_not_found_error import SessionNotFoundError
from google.adk.events.event import Event
from google.adk.events.event_actions import EventActions
from google.adk.sessions.base_session_service import GetSessionConfig
from google.genai import types

import stowfast
from stowfast import DamagedError, Stores
from stowfast.adapters.google_adk import StowfastSessionService
from stowfast.testing import LosesAnswers
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from google.adk.sessions.session import Session

    from stowfast.abc import Listing, Query, Slice, Window
    from tests.frameworks.losing import LosingBucket

SAVERS, MANY, LARGE = 10, 5_000, 100_000
A: dict[str, Any] = {"app_name": "app", "user_id": "ada"}
HOSTILE = ["a/b", "..", "%2F", "a:b", "ü\0", " ", "x" * 600, "user:ada", "'; DROP TABLE sessions; --"]


@pytest.fixture
async def service(url: str) -> AsyncIterator[StowfastSessionService]:
    async with StowfastSessionService(url, scope=uuid.uuid4().hex) as service:
        yield service


def event(text: str = "hi", *, moment: float | None = None, **delta: Any) -> Event:
    actions = EventActions(state_delta={name.replace("_", ":", 1): value for name, value in delta.items()})
    made = Event(author="user", content=types.Content(parts=[types.Part(text=text)]), actions=actions)
    if moment is not None:
        made.timestamp = moment
    return made


def texts(session: Session | None) -> list[str | None]:
    assert session is not None
    return [part.text for one in session.events for part in (one.content and one.content.parts) or []]


async def load(service: StowfastSessionService, session: Session, **config: Any) -> Session:
    found = await service.get_session(
        app_name=session.app_name, user_id=session.user_id, session_id=session.id, config=GetSessionConfig(**config)
    )
    assert found is not None
    return found


async def test_a_session_returns_as_it_was(service: StowfastSessionService) -> None:
    session = await service.create_session(**A, state={"k": 1, "app:a": 2, "user:u": 3, "temp:t": 4}, session_id=" s ")
    assert (session.id, session.state) == ("s", {"k": 1, "app:a": 2, "user:u": 3})
    await service.append_event(session, event("one", moment=5.0, k=2, app_a=5, temp_x=6))
    found = await load(service, session)
    assert found.state == {"k": 2, "app:a": 5, "user:u": 3}
    assert found.events == session.events
    assert found.last_update_time == session.last_update_time == 5.0
    assert await service.get_session(**A, session_id=" s ") == found
    with pytest.raises(AlreadyExistsError):
        await service.create_session(**A, session_id="s", state={"app:a": 9})
    assert (await load(service, session)).state["app:a"] == 5
    assert await service.get_user_state(**A) == {"u": 3}
    assert await service.get_user_state(app_name="app", user_id="") == {}


async def test_events_are_chosen_by_number_and_time(service: StowfastSessionService) -> None:
    session = await service.create_session(**A)
    for number in range(4):
        await service.append_event(session, event(str(number), moment=10.0 + number))
    assert texts(await load(service, session, num_recent_events=2)) == ["2", "3"]
    assert texts(await load(service, session, num_recent_events=0)) == []
    assert texts(await load(service, session, num_recent_events=9)) == ["0", "1", "2", "3"]
    assert texts(await load(service, session, after_timestamp=11.0)) == ["1", "2", "3"]
    assert texts(await load(service, session, after_timestamp=11.0, num_recent_events=1)) == ["3"]


async def test_sessions_are_listed_by_their_last_update(service: StowfastSessionService) -> None:
    made = [
        await service.create_session(app_name="app", user_id=user, session_id=f"{user}{number}", state={"user:n": user})
        for user in ("ada", "bob")
        for number in range(2)
    ]
    await service.append_event(made[0], event(moment=made[3].last_update_time + 9))
    found = (await service.list_sessions(app_name="app")).sessions
    assert [one.id for one in found] == ["ada1", "bob0", "bob1", "ada0"]
    assert [one.state for one in found] == [{"user:n": one.user_id} for one in found]
    assert [one.id for one in (await service.list_sessions(**A)).sessions] == ["ada1", "ada0"]
    assert (await service.list_sessions(app_name="app", user_id="")).sessions == []
    assert (await service.list_sessions(app_name="ap")).sessions == []


async def test_a_session_loaded_before_another_append_is_stale(service: StowfastSessionService) -> None:
    session = await service.create_session(**A)
    stale = await load(service, session)
    await service.append_event(session, event("one", moment=9e9))
    with pytest.raises(StaleSessionError, match="get_session"):
        await service.append_event(stale, event("two", moment=1.0, app_k=1))
    assert texts(await load(service, session)) == ["one"]
    assert (await load(service, session)).state == {}
    await service.append_event(await load(service, session), event("two", moment=1.0))  # earlier by its own clock
    assert texts(await load(service, session)) == ["one", "two"]


async def test_a_deleted_session_takes_no_event(every_url: str) -> None:
    scope = uuid.uuid4().hex
    async with (
        StowfastSessionService(every_url, scope=scope) as service,
        StowfastSessionService(every_url, scope=scope) as other,
    ):
        for deletes in (service, other):
            session = await service.create_session(**A, session_id="s")
            await service.append_event(session, event("one"))
            await deletes.delete_session(**A, session_id="s")
            await deletes.delete_session(**A, session_id="s")
            with pytest.raises(SessionNotFoundError):
                await service.append_event(session, event("two"))
            await other.create_session(**A, session_id="s")
            with pytest.raises(StaleSessionError):
                await service.append_event(session, event("two"))
            assert texts(await service.get_session(**A, session_id="s")) == []
            await service.delete_session(**A, session_id="s")


async def test_savers_of_one_session_object_wait_for_each_other(service: StowfastSessionService) -> None:
    session = await service.create_session(**A)
    await asyncio.gather(*(service.append_event(session, event(str(number), k=number)) for number in range(SAVERS)))
    found = await load(service, session)
    assert sorted(map(str, texts(found))) == sorted(map(str, range(SAVERS)))
    assert texts(found) == texts(session)


async def test_savers_of_shared_state_lose_no_key(service: StowfastSessionService) -> None:
    made = [await service.create_session(**A) for _ in range(SAVERS)]
    deltas: list[dict[str, Any]] = [{f"app_{number}": 1, f"user_{number}": 2} for number in range(SAVERS)]
    await asyncio.gather(*map(service.append_event, made, [event(**delta) for delta in deltas]))
    keys = {str(number) for number in range(SAVERS)}
    assert (await service.get_user_state(**A)).keys() == keys
    assert (await load(service, made[0])).state.keys() == {
        f"{scope}:{key}" for scope in ("app", "user") for key in keys
    }


async def test_of_racing_creations_one_wins(service: StowfastSessionService) -> None:
    calls = (service.create_session(**A, session_id="s", state={"n": number}) for number in range(SAVERS))
    found = await asyncio.gather(*calls, return_exceptions=True)
    (won,) = [one for one in found if not isinstance(one, BaseException)]
    assert sum(isinstance(one, AlreadyExistsError) for one in found) == SAVERS - 1
    assert (await load(service, won)).state == won.state


async def test_the_same_event_again_is_stored_once(service: StowfastSessionService) -> None:
    session = await service.create_session(**A)
    one = event("one", k=1)
    await service.append_event(session, one)
    before = await load(service, session)
    session._storage_update_marker = "as it was before the answer was lost:0"
    await service.append_event(session, one)
    assert await load(service, session) == before
    await service.append_event(session, event("two"))
    other = Event(id=one.id, author="user", content=types.Content(parts=[types.Part(text="another")]))
    await service.append_event(session, other)
    assert texts(await load(service, session)) == ["one", "two", "another"]


async def test_a_lost_answer_adds_nothing_twice(url: str) -> None:
    async with stowfast.open(url) as stores:
        loses = LosesAnswers(stores.backend, 0)
        service = StowfastSessionService(Stores(loses))
        for answers in range(1, 4):
            loses.lose = answers
            session = await service.create_session(**A, state={"app:n": answers, "user:n": answers})
            loses.lose = answers
            await service.append_event(session, event("one", k=1, app_n=answers + 10, user_n=answers + 20))
            found = await load(service, session)
            assert texts(found) == ["one"]
            assert found.state == {"k": 1, "app:n": answers + 10, "user:n": answers + 20}


async def test_a_bucket_that_loses_answers_adds_nothing_twice(losing_bucket: LosingBucket) -> None:
    async with StowfastSessionService(losing_bucket.url) as service:
        session = await service.create_session(**A)
        for number in range(6):
            losing_bucket.lose_answer()
            await service.append_event(session, event(str(number), app_n=number, k=number))
        found = await load(service, session)
        assert texts(found) == [str(number) for number in range(6)]
        assert found.state == {"k": 5, "app:n": 5}


async def test_a_cancelled_append_is_whole_or_nothing(service: StowfastSessionService) -> None:
    session = await service.create_session(**A)
    for number in range(6):
        one = event(str(number), k=number)
        running = asyncio.create_task(service.append_event(session, one))
        for _ in range(number):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        session = await load(service, session)
        if one.id not in [stored.id for stored in session.events]:
            await service.append_event(session, one)
    assert texts(await load(service, session)) == [str(number) for number in range(6)]


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_ids_stay_apart(service: StowfastSessionService, name: str) -> None:
    for app, user in ((name, "u"), ("a", name)):
        made = await service.create_session(app_name=app, user_id=user, session_id=f"{name}.", state={"user:k": name})
        await service.append_event(made, event(name.replace("\0", "0")))
        listed = (await service.list_sessions(app_name=app, user_id=user)).sessions
        assert [(one.app_name, one.user_id, one.id) for one in listed] == [(app, user, made.id)]
        assert [one.state for one in listed] == [{"user:k": name}]
    assert (await service.list_sessions(app_name="a", user_id="b")).sessions == []


async def test_a_value_of_the_state_is_replaced_whole(service: StowfastSessionService) -> None:
    keys = ("k", "app:k", "user:k")
    for before, after in (({"a": 1, "b": 2}, {"a": 3}), (True, None), (None, False), ([1], [])):
        session = await service.create_session(**A, state=dict.fromkeys(keys, before) | {"other": False})
        one = event("one")
        one.actions.state_delta.update(dict.fromkeys(keys, after))
        await service.append_event(session, one)
        found = await load(service, session)
        assert found.state == session.state == dict.fromkeys(keys, after) | {"other": False}
        assert found.state["other"] is False


async def test_a_value_without_a_json_form_is_stored_as_text(service: StowfastSessionService) -> None:
    session = await service.create_session(**A, state={"made": print})
    one = event("one", ok=2)
    one.actions.state_delta["call"] = lambda: 1
    await service.append_event(session, one)
    found = await load(service, session)
    assert (texts(found), found.state["ok"]) == (["one"], 2)
    assert isinstance(found.state["call"], str)
    assert isinstance(found.state["made"], str)


async def test_a_session_id_is_one_with_and_without_spaces(service: StowfastSessionService) -> None:
    await service.create_session(**A, session_id="order\n", state={"k": 1})
    with pytest.raises(AlreadyExistsError):
        await service.create_session(**A, session_id="  order ", state={"k": 2})
    found = await service.get_session(**A, session_id="order")
    assert found is not None
    assert found.state == {"k": 1}
    await service.delete_session(**A, session_id=" order")
    assert await service.get_session(**A, session_id="order") is None
    assert (await service.create_session(**A, session_id="   ")).id.strip()


async def test_a_large_state_returns(service: StowfastSessionService) -> None:
    session = await service.create_session(**A, state={"k": "x" * LARGE})
    stale = await load(service, session)
    for text, size in (("one", LARGE), ("two", 2 * LARGE), ("three", 1), ("four", LARGE)):
        one = event(text)
        one.actions.state_delta["k"] = "y" * size
        await service.append_event(session, one)
        found = await load(service, session)
        assert found == session
        assert found.state == {"k": "y" * size}
        assert texts(await load(service, session, num_recent_events=1)) == [text]
        assert [one.state for one in (await service.list_sessions(**A)).sessions] == [found.state]
        with pytest.raises(StaleSessionError):
            await service.append_event(stale, event("stale"))
    assert texts(await load(service, session)) == ["one", "two", "three", "four"]


async def test_services_of_one_url_in_several_event_loops() -> None:
    name = uuid.uuid4().hex

    async def add(text: str) -> list[str | None]:
        async with StowfastSessionService("memory:", scope=name) as service:
            session = await service.get_session(**A, session_id="s") or await service.create_session(
                **A, session_id="s"
            )
            await service.append_event(session, event(text))
            return texts(await load(service, session))

    async with StowfastSessionService("memory:", scope=name) as keeps_it_open:
        await keeps_it_open.list_sessions(app_name="app")
        assert await asyncio.to_thread(asyncio.run, add("one")) == ["one"]
        assert await asyncio.to_thread(asyncio.run, add("two")) == ["one", "two"]


class CountsReads(Wrapper):
    """Counts the calls that read."""

    reads = 0

    async def read(self, stream: str, window: Window = stowfast.abc.ALL) -> Slice:
        self.reads += 1
        return await super().read(stream, window)

    async def streams(self, query: Query) -> Listing:
        self.reads += 1
        return await super().streams(query)


async def test_five_thousand_sessions_are_listed_in_a_few_reads_and_a_second(tmp_path: Path) -> None:
    async with stowfast.open(f"sqlite:///{tmp_path}/agent.db") as stores:
        service = StowfastSessionService(stores)
        for start in range(0, MANY, 500):
            users = (f"u{number % 50}" for number in range(start, start + 500))
            await asyncio.gather(*(service.create_session(app_name="app", user_id=user) for user in users))
        seconds = list[float]()
        for _ in range(5):
            counts = CountsReads(stores.backend)
            began = time.perf_counter()
            found = await StowfastSessionService(Stores(counts)).list_sessions(app_name="app")
            seconds.append(time.perf_counter() - began)
            assert len(found.sessions) == MANY
            assert counts.reads <= 3
        print(f"{MANY} sessions listed in {min(seconds):.2f} to {max(seconds):.2f} s")
        assert min(seconds) <= 1  # the best of five: other work on the machine slows some of them


async def test_an_event_of_another_program_is_named(url: str) -> None:
    async with stowfast.open(url) as stores:
        service = StowfastSessionService(stores)
        await service.create_session(**A, session_id="s")
        await stores.messages.add_message("adk/app/ada/s", {"author": ["of another program"]})
        with pytest.raises(DamagedError, match="'s'"):
            await service.get_session(**A, session_id="s")
        assert len((await service.list_sessions(**A)).sessions) == 1
        await stores.messages.add_message("adk/app/ada/t", {"text": "of another program"})
        with pytest.raises(DamagedError, match="adk/app/ada/t"):
            await service.list_sessions(**A)
