"""`StowfastSessionStore` in several processes, in processes that are killed, and where answers are lost."""

from __future__ import annotations

import uuid
import warnings
from typing import TYPE_CHECKING

from agent_framework import AgentSession

import stowfast
from stowfast import Stores
from stowfast.testing import LosesAnswers
from tests.frameworks.children import KILLABLE, kill_writers, race

if TYPE_CHECKING:
    from tests.frameworks.losing import LosingBucket

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # session stores are experimental in the framework
    from stowfast.adapters.agent_framework import StowfastSessionStore

SETS, KILLS = 12, 6

# Stores numbered states of a session of its own and of a shared one, and tells each number after its answers.
SETTER = """
import asyncio, os, sys
from agent_framework import AgentSession
from stowfast.adapters.agent_framework import StowfastSessionStore

url, scope, name, start, stop = *sys.argv[1:4], *map(int, sys.argv[4:])

async def main():
    async with StowfastSessionStore(url, scope=scope) as store:
        os.write(1, b"opened\\n")
        for number in range(start, stop):
            session = AgentSession(session_id=name)
            session.state.update(by=name, number=number)
            await store.set("shared", session)
            await store.set(name, session)
            os.write(1, f"{number}\\n".encode())

asyncio.run(main())
"""


async def number_of(store: StowfastSessionStore, name: str) -> int:
    session = await store.get(name)
    return -1 if session is None else session.state["number"]


async def test_processes_keep_their_sessions_apart_and_share_the_last_one(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    ended = race(SETTER, *[[shared_url, scope, name, "0", str(SETS)] for name in ("one", "two")])
    assert ended == [["opened", *map(str, range(SETS))]] * 2
    async with StowfastSessionStore(shared_url, scope=scope) as store:
        assert [await number_of(store, name) for name in ("one", "two")] == [SETS - 1] * 2
        last = await store.get("shared")
        assert last is not None
        assert (last.session_id, last.state["number"]) in {("one", SETS - 1), ("two", SETS - 1)}


@KILLABLE
async def test_an_acknowledged_session_outlives_a_kill(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    told = kill_writers(SETTER, KILLS, lambda name: [shared_url, scope, name, "0", "10000"], 8)
    async with StowfastSessionStore(shared_url, scope=scope) as store:
        found = {name: 1 + await number_of(store, name) for name in told}
    for name, count in told.items():
        assert found[name] - count in {0, 1}  # one may have been stored without an answer
    place = shared_url.partition(":")[0]
    print(f"{place}: kills {len(told)}, acknowledged {sum(told.values())}, found {sum(found.values())}")
    assert sum(told.values()) > 0


async def test_a_lost_answer_stays_inside(url: str) -> None:
    async with stowfast.open(url) as stores:
        loses = LosesAnswers(stores.backend, 0)
        store = StowfastSessionStore(Stores(loses), scope=uuid.uuid4().hex)
        for number in range(3):
            session = AgentSession(session_id="s")
            session.state["number"] = number
            loses.lose = 2
            await store.set("s", session)
            assert await number_of(store, "s") == number
        loses.lose = 2
        await store.delete("s")
        assert await store.get("s") is None


async def test_a_bucket_that_loses_answers_keeps_the_last_session(losing_bucket: LosingBucket) -> None:
    async with StowfastSessionStore(losing_bucket.url) as store:
        for number in range(3):
            session = AgentSession(session_id="s")
            session.state["number"] = number
            losing_bucket.lose_answer()
            await store.set("s", session)
            assert await number_of(store, "s") == number
        losing_bucket.lose_answer()
        await store.delete("s")
        assert await store.get("s") is None


async def test_a_deleted_session_begins_anew(every_url: str) -> None:
    scope = uuid.uuid4().hex
    async with (
        StowfastSessionStore(every_url, scope=scope) as store,
        StowfastSessionStore(every_url, scope=scope) as other,
    ):
        for deletes in (store, other):
            await store.set("s", AgentSession(session_id="old"))
            await deletes.delete("s")
            await deletes.delete("s")
            assert await store.get("s") is None
            assert await other.get("s") is None
            await store.set("s", AgentSession(session_id="new"))
            found = await other.get("s")
            assert found is not None
            assert found.session_id == "new"
