"""The session: its contract, and its answers beside those of the SDK's own session."""

from __future__ import annotations

import asyncio
import inspect
import random
import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from agents import Agent, RunContextWrapper, Runner, SessionSettings, SQLiteSession
from agents.memory import Session
from agents.testing import ScriptedModel, assistant_message

import stowfast
from stowfast import InvalidError
from stowfast.adapters.openai_agents import StowfastSession

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from agents.items import TResponseInputItem

STEPS, SEEDS = 60, 5
HOSTILE = [
    "a",
    "a/b",
    "a%2Fb",
    "..",
    "%",
    "a:b",
    "ü",
    "\0",
    "\ud800",
    " ",
    "x" * 2000,
    "'; DROP TABLE t; --",
    "messages/a",
]


def item(content: Any, role: str = "user") -> Any:
    return {"role": role, "content": content}


@pytest.fixture
async def session(url: str) -> AsyncIterator[StowfastSession]:
    async with StowfastSession("s", url) as session:
        yield session


async def test_it_is_a_session_with_the_context_of_the_run(session: StowfastSession) -> None:
    assert isinstance(session, Session)
    for method in (session.get_items, session.add_items, session.pop_item, session.clear_session):
        assert inspect.signature(method).parameters["wrapper"].kind is inspect.Parameter.KEYWORD_ONLY
    context = RunContextWrapper(context=None)
    await session.add_items([item("a")], wrapper=context)
    assert await session.get_items(wrapper=context) == [item("a")]
    assert await session.pop_item(wrapper=context) == item("a")
    await session.clear_session(wrapper=context)


async def test_the_limit_is_that_of_the_call_or_of_the_settings(url: str) -> None:
    async with StowfastSession("s", url, session_settings={"limit": 2}) as session:
        await session.add_items([item(str(number)) for number in range(5)])
        assert await session.get_items() == [item("3"), item("4")]
        assert await session.get_items(1) == [item("4")]
        assert await session.get_items(0) == []
        assert len(await session.get_items(-1)) == 5
        assert session.session_settings == SessionSettings(limit=2)


async def test_an_unknown_setting_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="limitt"):
        StowfastSession("s", "memory:", session_settings={"limitt": 2})


async def test_an_item_without_a_json_form_is_a_type_error_and_nothing_is_stored(session: StowfastSession) -> None:
    with pytest.raises(TypeError, match=r"item 1: \$\.content") as refused:
        await session.add_items([item("a"), item(object())])
    assert isinstance(refused.value.__cause__, InvalidError)
    assert await session.get_items() == []
    await session.add_items([item(("a", "b"))])
    assert await session.get_items() == [item(["a", "b"])]


async def test_items_come_back_as_they_were_given(session: StowfastSession) -> None:
    given = [
        item("ü\U0001f600\0"),
        item(None),
        {"type": "reasoning", "summary": [], "n": 2**60, "x": {"y": [1.5, True]}},
    ]
    await session.add_items(given)
    assert await session.get_items() == given


async def test_hostile_ids_are_sessions_of_their_own(url: str) -> None:
    stores = await stowfast.open(url)
    try:
        sessions = [StowfastSession(name, stores) for name in HOSTILE]
        for number, session in enumerate(sessions):
            await session.add_items([item(str(number))])
        for number, session in enumerate(sessions):
            assert await session.get_items() == [item(str(number))]
        await sessions[0].clear_session()
        assert [len(await session.get_items()) for session in sessions] == [0] + [1] * (len(HOSTILE) - 1)
        with pytest.raises(InvalidError):
            await StowfastSession("", stores).add_items([item("a")])
    finally:
        await stores.close()


async def test_scopes_are_walls(url: str) -> None:
    stores = await stowfast.open(url)
    try:
        one, two = (StowfastSession("s", stores, scope=scope) for scope in ("tenant-1", "tenant-2"))
        await one.add_items([item("secret")])
        assert await two.get_items() == []
        await two.clear_session()
        assert await one.get_items() == [item("secret")]
    finally:
        await stores.close()


async def test_a_deleted_session_begins_anew(every_url: str) -> None:
    async with StowfastSession("s", every_url) as session, StowfastSession("s", every_url) as other:
        for clears in (session, other):
            await session.add_items([item("a")])
            snapshot = await session._get_compaction_snapshot(10)
            await clears.clear_session()
            assert await session.pop_item() is None
            assert snapshot is not None
            assert not await snapshot.replace_suffix(0, [item("summary")])  # nothing comes back
            await session.add_items([item("b")])
            assert not await snapshot.replace_suffix(0, [item("summary")])
            assert await other.get_items() == await session.get_items() == [item("b")]
            await session.clear_session()


async def test_a_session_ends_some_time_after_its_last_items(url: str) -> None:
    stores = await stowfast.open(url)
    try:
        await StowfastSession("s", stores, ttl=timedelta(hours=1)).add_items([item("a")])
        info = await stores.messages.info("s")
        assert info is not None
        assert info.expires_at is not None
        assert timedelta(minutes=59) < info.expires_at - info.updated_at < timedelta(minutes=61)
    finally:
        await stores.close()


def test_runs_in_one_event_loop_after_another_share_a_session(durable_url: str) -> None:
    session = StowfastSession("s", durable_url)
    agent = Agent(name="a", model=ScriptedModel(steps=[[assistant_message(str(number))] for number in range(3)]))
    for number in range(3):
        result = asyncio.run(Runner.run(agent, f"turn {number}", session=session))
        assert len(result.to_input_list()) == 2 * number + 2
    asyncio.run(session.close())


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_its_answers_are_those_of_the_sdks_own_session(url: str, seed: int) -> None:
    chance = random.Random(seed)
    name = uuid.uuid4().hex
    ours = [StowfastSession(f"{name}{number}", url) for number in range(2)]
    theirs = [SQLiteSession(f"{name}{number}") for number in range(2)]
    for step in range(STEPS):
        number = chance.randrange(2)
        one, other = ours[number], theirs[number]
        match chance.choice(["add", "add", "add", "get", "get", "pop", "clear", "replace"]):
            case "add":
                items: list[TResponseInputItem] = [item(f"{step} {n}") for n in range(chance.randrange(4))]
                await one.add_items(items)
                await other.add_items(items)
            case "get":
                limit = chance.choice([None, -1, 0, 1, 3, 100])
                assert await one.get_items(limit) == await other.get_items(limit)
            case "pop":
                assert await one.pop_item() == await other.pop_item()
            case "clear" if chance.random() < 0.3:
                await one.clear_session()
                await other.clear_session()
            case "replace":
                limit, start = chance.randrange(1, 6), chance.randrange(4)
                prune: Any = chance.choice([None, lambda old: old["content"].startswith(("1", "2"))])
                mine = await one._get_compaction_snapshot(limit, prune_prefix=prune)
                snapshot = await other._get_compaction_snapshot(limit, prune_prefix=prune)
                assert mine is not None
                assert snapshot is not None
                assert (mine.items, mine.complete) == (snapshot.items, snapshot.complete)
                output: list[TResponseInputItem] = [item(f"{step} sum")] * chance.randrange(3)
                assert await mine.replace_suffix(start, output) == await snapshot.replace_suffix(start, output)
    for one, other in zip(ours, theirs, strict=True):
        assert await one.get_items() == await other.get_items()
        await one.close()
        other.close()
