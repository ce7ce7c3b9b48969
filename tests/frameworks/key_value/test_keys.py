"""The key-value store: bulk calls, enumeration, destruction, expiry, lost answers, kills, and their own store."""

from __future__ import annotations

import asyncio
import random
import uuid
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.fernet import Fernet
from key_value.aio.errors import DeserializationError, SerializationError
from key_value.aio.protocols import AsyncKeyValue
from key_value.aio.stores.memory import MemoryStore
from key_value.aio.wrappers.encryption import FernetEncryptionWrapper

import stowfast
from stowfast import Stores
from stowfast.adapters.key_value import StowfastKeyValueStore
from stowfast.testing import LosesAnswers
from stowfast.testing.faults import At
from tests.frameworks.children import KILLABLE, by_writer, check_writers, kill_writers, race

if TYPE_CHECKING:
    from tests.frameworks.losing import LosingBucket

KILLS, MOST_LINES, RACED = 5, 8, 30
HOSTILE = ("a/b", "../..", "\0", "%2F", "a%2Fb", "ü" * 500, "x" * 5000, "x" * 5001)

# Puts numbered keys, and prints the number of each after its answer.
PUTS = """
import asyncio, sys
from stowfast.adapters.key_value import StowfastKeyValueStore

url, name = sys.argv[1:]

async def main():
    async with StowfastKeyValueStore(url) as store:
        for number in range(100_000):
            await store.put(f"{name}-{number:06}", {"number": number}, ttl=3600)
            print(number, flush=True)

asyncio.run(main())
"""


# Deletes numbered keys, and prints the number of each that it deleted itself.
DELETES = """
import asyncio, sys
from stowfast.adapters.key_value import StowfastKeyValueStore

url, collection, count = *sys.argv[1:3], int(sys.argv[3])

async def main():
    async with StowfastKeyValueStore(url) as store:
        for number in range(count):
            if await store.delete(str(number), collection=collection):
                print(number, flush=True)

asyncio.run(main())
"""


async def test_bulk_calls_enumeration_and_destruction(url: str) -> None:
    async with StowfastKeyValueStore(url) as store:
        assert isinstance(store, AsyncKeyValue)
        keys = [f"k{number:02}" for number in range(40)]
        await store.put_many(keys, [{"n": number} for number in range(40)], collection="one", ttl=60)
        await store.put("big", {"text": "x" * 100_000}, collection="two")
        assert await store.get_many([*keys, "no"], collection="one") == [*({"n": n} for n in range(40)), None]
        assert all(0 < (ttl or 0) <= 60 for _, ttl in await store.ttl_many(keys, collection="one"))
        assert await store.keys("one") == keys
        assert await store.keys("one", limit=3) == keys[:3]
        assert await store.keys("one", limit=40) == await store.keys("one", limit=41) == keys
        assert await store.keys("one", limit=0) == []
        assert await store.collections() == ["one", "two"]
        assert await store.delete_many([*keys[:5], "no"], collection="one") == 5
        assert await store.destroy_collection("one")
        assert not await store.destroy_collection("one")
        assert (await store.keys("one"), await store.collections()) == ([], ["two"])
        assert await store.destroy()
        assert await store.collections() == []


async def test_any_text_is_a_collection_and_a_key(url: str) -> None:
    async with StowfastKeyValueStore(url) as store:
        for name in HOSTILE:
            await store.put(name, {"name": name}, collection=name)
        for name in HOSTILE:
            assert await store.get(name, collection=name) == {"name": name}
            assert await store.keys(name) == [name]
        assert set(await store.collections()) == set(HOSTILE)


async def test_an_expired_key_is_gone_and_a_new_put_lives(url: str) -> None:
    async with StowfastKeyValueStore(url) as store:
        await store.put("key", {"a": 1}, ttl=0.001)
        while await store.get("key") is not None:
            pass
        assert (await store.ttl("key"), await store.keys()) == ((None, None), [])
        await store.put("key", {"a": 2})
        assert await store.ttl("key") == ({"a": 2}, None)


@pytest.mark.parametrize("hours", [-5, 5])
async def test_the_time_to_live_counts_by_the_clock_of_the_backend(hours: int) -> None:
    async with await stowfast.open("memory:") as stores:
        elsewhere = At(stores.backend, datetime.now(UTC) + timedelta(hours=hours))
        ours = StowfastKeyValueStore(stores)
        await ours.put("key", {"a": 1}, ttl=7 * 3600)
        value, left = await StowfastKeyValueStore(Stores(elsewhere)).ttl("key")
        assert value == {"a": 1}
        assert left == pytest.approx((7 - hours) * 3600, abs=60)


async def test_of_two_deletes_one_is_true(every_url: str) -> None:
    async with StowfastKeyValueStore(every_url) as store:
        for _ in range(5):
            await store.put("key", {"a": 1})
            assert sum(await asyncio.gather(*(store.delete("key") for _ in range(4)))) == 1


async def test_of_two_processes_one_deletes_each_key(shared_url: str) -> None:
    collection = uuid.uuid4().hex
    async with StowfastKeyValueStore(shared_url) as store:
        keys = [str(number) for number in range(RACED)]
        await store.put_many(keys, [{"n": 1}] * RACED, collection=collection)
        ended = await asyncio.to_thread(race, DELETES, *[[shared_url, collection, str(RACED)]] * 2)
        assert sorted(int(number) for lines in ended for number in lines) == list(range(RACED))
        assert await store.keys(collection) == []


async def test_a_bucket_that_loses_answers_is_not_seen(losing_bucket: LosingBucket) -> None:
    async with StowfastKeyValueStore(losing_bucket.url) as store:
        for number in range(3):
            losing_bucket.lose_answer()
            await store.put("key", {"n": number})
            assert await store.get("key") == {"n": number}
        losing_bucket.lose_answer()
        assert await store.delete("key")
        assert not await store.delete("key")


async def test_a_lost_answer_is_not_seen(url: str) -> None:
    async with await stowfast.open(url) as stores:
        store = StowfastKeyValueStore(Stores(LosesAnswers(stores.backend, 2)))
        await store.put("key", {"a": 1})
        assert await store.delete("key")
        assert not await store.delete("key")


async def test_a_value_without_json_is_refused() -> None:
    async with StowfastKeyValueStore("memory:") as store:
        for value in (object(), b"bytes", float("nan"), "\ud800"):
            with pytest.raises(SerializationError):
                await store.put("key", {"value": value})
        assert await store.get("key") is None


async def test_their_encryption_works_around_it(url: str) -> None:
    async with StowfastKeyValueStore(url) as store:
        sealed = FernetEncryptionWrapper(key_value=store, fernet=Fernet(Fernet.generate_key()))
        await sealed.put("key", {"token": "secret"})
        assert await sealed.get("key") == {"token": "secret"}
        assert "secret" not in str(await store.get("key"))


@KILLABLE
async def test_an_acknowledged_key_outlives_a_kill(shared_url: str) -> None:
    told = kill_writers(PUTS, KILLS, lambda name: [shared_url, name], MOST_LINES)
    async with StowfastKeyValueStore(shared_url) as store:
        check_writers(shared_url, told, by_writer(await store.keys()))


@pytest.mark.parametrize("seed", range(20))
async def test_it_answers_as_their_store_in_memory(seed: int) -> None:
    chance, theirs = random.Random(seed), MemoryStore()
    async with StowfastKeyValueStore("memory:") as ours:

        async def both(call: str, *arguments: Any, collection: str | None) -> None:
            one, other = [getattr(store, call)(*arguments, collection=collection) for store in (ours, theirs)]
            assert await one == await other

        for number in range(80):
            key, collection = chance.choice("abc"), chance.choice(["x", "y", None])
            value = chance.choice([{"n": number}, {"t": (1, 2)}, {"d": {"b": None, "a": 1.5}}, {}])
            match chance.randrange(6):
                case 0 | 1:
                    await both("put", key, value, collection=collection)
                case 2:
                    await both("delete", key, collection=collection)
                case 3:
                    await both("put_many", ["a", "c"], [value, value], collection=collection)
                case 4:
                    await both("delete_many", ["a", "b"], collection=collection)
                case 5:
                    await both("ttl", key, collection=collection)
            await both("get_many", ["a", "b", "c"], collection=collection)
            assert sorted(await ours.keys(collection)) == sorted(await theirs.keys(collection))


async def test_a_value_of_another_program_is_named(url: str) -> None:
    async with await stowfast.open(url) as stores:
        store = StowfastKeyValueStore(stores)
        await stores.documents.put("key_value/c/k", {"of": "another program"})
        with pytest.raises(DeserializationError, match="'k'"):
            await store.get("k", collection="c")
