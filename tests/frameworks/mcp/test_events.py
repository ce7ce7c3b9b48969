"""The event store: replays, races, lost answers, kills, hostile stream ids, and FastMCP's own store beside it."""

from __future__ import annotations

import asyncio
import random
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from fastmcp.server.event_store import EventStore as TheirEventStore
from mcp_types import JSONRPCNotification

import stowfast
from stowfast import DamagedError, Stores
from stowfast.adapters.mcp import StowfastEventStore
from stowfast.testing import LosesAnswers
from tests.frameworks.children import KILLABLE, by_writer, check_writers, kill_writers, race

if TYPE_CHECKING:
    from mcp.server.streamable_http import EventMessage, EventStore

    from tests.frameworks.losing import LosingBucket

EVENTS, KILLS, MOST_LINES = 20, 5, 8
HOSTILE = ("", "a/b", "../..", "id@id", "\r\nid: 0", "\0", "\ud800", "%2F", "ü" * 500, "1" * 5000)

# Stores numbered events, and prints the number of each after its answer.
STORES = """
import asyncio, sys
from mcp_types import JSONRPCNotification
from stowfast.adapters.mcp import StowfastEventStore

url, name, start, stop = *sys.argv[1:3], *map(int, sys.argv[3:])

async def main():
    async with StowfastEventStore(url) as store:
        for number in range(start, stop):
            event = JSONRPCNotification(jsonrpc="2.0", method="n", params={"text": f"{name}-{number}"})
            await store.store_event("stream", event)
            print(number, flush=True)

asyncio.run(main())
"""


def event(text: str) -> JSONRPCNotification:
    return JSONRPCNotification(jsonrpc="2.0", method="n", params={"text": text})


async def replay(store: EventStore, event_id: str) -> tuple[str | None, list[Any]]:
    """Return the stream and the texts of a replay."""
    found: list[Any] = []

    async def send(message: EventMessage) -> None:
        assert isinstance(message.message, JSONRPCNotification)
        assert message.event_id is not None
        found.append((message.message.params or {})["text"])

    return await store.replay_events_after(event_id, send), found


async def test_a_replay_has_all_later_events_of_its_stream_in_order(url: str) -> None:
    async with StowfastEventStore(url) as store:
        begin = await store.store_event("one", None)
        ids = [await store.store_event("one", event(str(number))) for number in range(3)]
        await store.store_event("two", event("of another stream"))
        assert await replay(store, begin) == ("one", ["0", "1", "2"])
        assert await replay(store, ids[1]) == ("one", ["2"])
        assert await replay(store, ids[2]) == ("one", [])


async def test_an_unknown_event_replays_nothing(url: str) -> None:
    async with StowfastEventStore(url) as store:
        known = await store.store_event("one", event("secret"))
        await store.store_event("one", event("secret"))
        guessed = f"0.{'0' * 16}@one"
        for unknown in ("", "0", "no-such-event", "9" * 30, guessed, known.replace("0.", "7.", 1), known + "x"):
            assert await replay(store, unknown) == (None, [])


async def test_a_stream_that_was_begun_again_is_another(url: str) -> None:
    async with StowfastEventStore(url, ttl=timedelta(milliseconds=1)) as store:
        old = await store.store_event("one", event("old"))
        while (await replay(store, old))[0] is not None:
            pass
        async with StowfastEventStore(url) as later:
            new = [await later.store_event("one", event(text)) for text in ("new", "newer")]
            assert await replay(later, old) == (None, [])
            assert await replay(later, new[0]) == ("one", ["newer"])


@pytest.mark.parametrize("stream", HOSTILE, ids=range(len(HOSTILE)))
async def test_any_text_is_a_stream(stream: str) -> None:
    async with StowfastEventStore("memory:") as store:
        first = await store.store_event(stream, event("first"))
        await store.store_event(stream, event("second"))
        assert first.isascii()
        assert first.isprintable()  # it stands in a header
        assert await replay(store, first) == (stream, ["second"])


async def test_the_newest_events_are_kept(url: str) -> None:
    async with StowfastEventStore(url, max_events=5) as store:
        ids = [await store.store_event("one", event(str(number))) for number in range(23)]
        for kept in range(18, 23):
            assert await replay(store, ids[kept]) == ("one", [str(number) for number in range(kept + 1, 23)])
        assert await replay(store, ids[0]) == (None, [])


async def test_a_bucket_that_loses_answers_stores_an_event_once(losing_bucket: LosingBucket) -> None:
    async with StowfastEventStore(losing_bucket.url) as store:
        begin = await store.store_event("one", None)
        for number in range(5):
            losing_bucket.lose_answer()
            await store.store_event("one", event(str(number)))
        assert await replay(store, begin) == ("one", ["0", "1", "2", "3", "4"])


async def test_a_lost_answer_stores_an_event_once(url: str) -> None:
    async with await stowfast.open(url) as stores:
        store = StowfastEventStore(Stores(LosesAnswers(stores.backend, 2)))
        first = await store.store_event("one", event("first"))
        await store.store_event("one", event("second"))
        assert await replay(store, first) == ("one", ["second"])


async def test_a_cancelled_call_stores_an_event_wholly_or_not_at_all(url: str) -> None:
    chance = random.Random(7)
    async with StowfastEventStore(url) as store:
        first = await store.store_event("one", None)
        for number in range(10):
            call = asyncio.create_task(store.store_event("one", event(f"cancelled {number}")))
            for _ in range(chance.randrange(4)):
                await asyncio.sleep(0)
            call.cancel()
            await asyncio.wait([call])
        last = await store.store_event("one", event("last"))
        _, texts = await replay(store, first)
        assert texts[-1] == "last"
        assert len(set(texts)) == len(texts)
        assert await replay(store, last) == ("one", [])


async def test_a_deleted_stream_replays_nothing(every_url: str) -> None:
    async with await stowfast.open(every_url) as stores:
        store = StowfastEventStore(stores)
        old = await store.store_event("one", event("old"))
        await store.store_event("one", event("older"))
        await stores.delete_context("mcp/one")
        assert await replay(store, old) == (None, [])
        new = [await store.store_event("one", event(text)) for text in ("new", "newer")]
        assert (await replay(store, old), await replay(store, new[0])) == ((None, []), ("one", ["newer"]))


async def test_a_stream_that_is_deleted_during_its_replay_ends_it(url: str) -> None:
    async with await stowfast.open(url) as stores:
        store = StowfastEventStore(stores)
        first = await store.store_event("one", event("first"))
        await store.store_event("one", event("second"))
        sent: list[EventMessage] = []

        async def send(message: EventMessage) -> None:
            sent.append(message)
            await stores.delete_context("mcp/one")

        assert await store.replay_events_after(first, send) == "one"
        assert len(sent) == 1
        assert await replay(store, first) == (None, [])


async def test_two_processes_on_one_stream_lose_and_double_nothing(shared_url: str) -> None:
    async with StowfastEventStore(shared_url) as store:
        begin = await store.store_event("stream", None)
        race(STORES, *[(shared_url, name, "0", str(EVENTS)) for name in ("one", "two")])
        _, texts = await replay(store, begin)
    assert len(texts) == 2 * EVENTS
    for name in ("one", "two"):
        assert [text for text in texts if text.startswith(name)] == [f"{name}-{number}" for number in range(EVENTS)]


@KILLABLE
async def test_an_acknowledged_event_outlives_a_kill(shared_url: str) -> None:
    async with StowfastEventStore(shared_url) as store:
        begin = await store.store_event("stream", None)
        told = kill_writers(STORES, KILLS, lambda name: [shared_url, name, "0", "100000"], MOST_LINES)
        _, texts = await replay(store, begin)
    check_writers(shared_url, told, by_writer(texts))


@pytest.mark.parametrize("seed", range(20))
async def test_it_replays_as_the_store_of_fastmcp(seed: int) -> None:
    chance, theirs = random.Random(seed), TheirEventStore(ttl=None)
    async with StowfastEventStore("memory:") as ours:
        ids: list[tuple[str, str]] = []
        for number in range(60):
            stream = chance.choice("abc")
            message = None if chance.random() < 0.2 else event(str(number))
            ids.append((await ours.store_event(stream, message), await theirs.store_event(stream, message)))
            one, other = chance.choice(ids)
            assert await replay(ours, one) == await replay(theirs, other)


async def test_an_event_of_another_program_is_named(url: str) -> None:
    async with await stowfast.open(url) as stores:
        store = StowfastEventStore(stores)
        begin = await store.store_event("one", None)
        await store.store_event("one", event("first"))
        await stores.messages.add_message("mcp/one", {"event": {"of": "another program"}})
        sent: list[EventMessage] = []

        async def send(message: EventMessage) -> None:
            sent.append(message)

        with pytest.raises(DamagedError, match="'one'"):
            await store.replay_events_after(begin, send)
        assert len(sent) == 1
