"""Push notification configurations: encrypted, bound to their place, apart, and all of them for dispatch."""

from __future__ import annotations

import asyncio
import logging
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from a2a.types.a2a_pb2 import TaskPushNotificationConfig
from cryptography.fernet import Fernet

import stowfast
from stowfast import DamagedError, InvalidError, Stores
from stowfast.adapters.a2a import StowfastPushNotificationConfigStore
from stowfast.testing import LosesAnswers
from tests.frameworks.a2a.users import call_of
from tests.frameworks.children import KILLABLE, by_writer, check_writers, kill_writers, race

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.frameworks.losing import LosingBucket

SETTERS, KILLS = 10, 6
ADA, BOB = call_of("ada"), call_of("bob")
KEY = Fernet.generate_key()
SECRET = "https://example.com/hook?token=secret"

# Sets numbered configurations of one task, and tells each number after its answer.
SETS = """
import asyncio, os, sys
from a2a.types.a2a_pb2 import TaskPushNotificationConfig
from stowfast.adapters.a2a import StowfastPushNotificationConfigStore
from tests.frameworks.a2a.users import call_of

url, scope, name, start, stop = *sys.argv[1:4], *map(int, sys.argv[4:])

async def main():
    async with StowfastPushNotificationConfigStore(url, scope=scope) as store:
        os.write(1, b"opened\\n")
        for number in range(start, stop):
            config = TaskPushNotificationConfig(id=f"{name}-{number}", url="https://example.com/hook")
            await store.set_info("t", config, call_of("ada"))
            os.write(1, f"{number}\\n".encode())

asyncio.run(main())
"""


@pytest.fixture(params=[None, KEY], ids=["plain", "encrypted"])
async def store(url: str, request: pytest.FixtureRequest) -> AsyncIterator[StowfastPushNotificationConfigStore]:
    async with StowfastPushNotificationConfigStore(url, encryption_key=request.param, scope=uuid.uuid4().hex) as store:
        yield store


def config(config_id: str = "", url: str = SECRET, task_id: str = "") -> TaskPushNotificationConfig:
    return TaskPushNotificationConfig(id=config_id, url=url, task_id=task_id)


async def test_configurations_return_and_go(store: StowfastPushNotificationConfigStore) -> None:
    given = config()
    stored = await store.set_info("t", given, ADA)
    assert stored == config("t", task_id="t")
    assert given == config()
    await store.set_info("t", config("b"), ADA)
    await store.set_info("t", config("t", "https://example.com/2"), ADA)
    await store.set_info("t", config("b"), BOB)
    assert [one.id for one in await store.get_info("t", ADA)] == ["b", "t"]
    assert (await store.get_info("t", ADA))[1].url == "https://example.com/2"
    assert [one.id for one in await store.get_info("t", BOB)] == ["b"]
    assert [one.id for one in await store.get_info_for_dispatch("t")] == ["b", "t", "b"]
    await store.delete_info("t", ADA, "b")
    await store.delete_info("t", ADA, "unknown")
    assert [one.id for one in await store.get_info("t", ADA)] == ["t"]
    await store.delete_info("t", ADA)
    assert await store.get_info("t", ADA) == []
    assert [one.id for one in await store.get_info_for_dispatch("t")] == ["b"]
    await store.delete_info("t", BOB)
    assert await store.get_info_for_dispatch("t") == []


async def test_setters_at_once_lose_nothing(store: StowfastPushNotificationConfigStore) -> None:
    names = [str(number) for number in range(SETTERS)]
    await asyncio.gather(*(store.set_info("t", config(name), call_of(name)) for name in names))
    found = await store.get_info_for_dispatch("t")
    assert sorted(one.id for one in found) == names
    await asyncio.gather(*(store.delete_info("t", call_of(name)) for name in names))
    assert await store.get_info_for_dispatch("t") == []


async def test_a_deleted_configuration_stays_deleted(every_url: str) -> None:
    scope = uuid.uuid4().hex
    async with (
        StowfastPushNotificationConfigStore(every_url, scope=scope) as store,
        StowfastPushNotificationConfigStore(every_url, scope=scope) as other,
    ):
        for deletes in (store, other):
            for name in "ab":
                await store.set_info("t", config(name), ADA)
            await deletes.delete_info("t", ADA, "a")
            assert [one.id for one in await other.get_info("t", ADA)] == ["b"]
            await deletes.delete_info("t", ADA)
            await deletes.delete_info("t", ADA)
            assert await store.get_info_for_dispatch("t") == await other.get_info("t", ADA) == []


async def test_a_lost_answer_is_not_seen(url: str) -> None:
    async with stowfast.open(url) as stores:
        loses = LosesAnswers(stores.backend, 0)
        store = StowfastPushNotificationConfigStore(Stores(loses))
        for name in "abc":
            loses.lose = 2
            await store.set_info("t", config(name), ADA)
        loses.lose = 2
        await store.delete_info("t", ADA, "b")
        assert [one.id for one in await store.get_info_for_dispatch("t")] == ["a", "c"]


async def test_a_bucket_that_loses_answers_keeps_each_configuration(losing_bucket: LosingBucket) -> None:
    async with StowfastPushNotificationConfigStore(losing_bucket.url) as store:
        for name in "abc":
            losing_bucket.lose_answer()
            await store.set_info("t", config(name), ADA)
        losing_bucket.lose_answer()
        await store.delete_info("t", ADA, "b")
        assert [one.id for one in await store.get_info_for_dispatch("t")] == ["a", "c"]


async def test_two_processes_lose_and_double_nothing(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    ended = race(SETS, *[[shared_url, scope, name, "0", str(SETTERS)] for name in ("one", "two")])
    assert ended == [["opened", *map(str, range(SETTERS))]] * 2
    async with StowfastPushNotificationConfigStore(shared_url, scope=scope) as store:
        found = by_writer(one.id for one in await store.get_info("t", ADA))
    assert found == {name: list(range(SETTERS)) for name in ("one", "two")}


@KILLABLE
async def test_an_acknowledged_configuration_outlives_a_kill(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    told = kill_writers(SETS, KILLS, lambda name: [shared_url, scope, name, "0", "10000"], 12)
    async with StowfastPushNotificationConfigStore(shared_url, scope=scope) as store:
        found = by_writer(one.id for one in await store.get_info("t", ADA))
    check_writers(shared_url, told, found)


async def test_nothing_is_readable_without_the_key() -> None:
    async with stowfast.open("memory:") as stores:
        store = StowfastPushNotificationConfigStore(stores, encryption_key=KEY.decode())
        await store.set_info("t", config(), ADA)
        (document,) = await stores.documents.list()
        assert "secret" not in str(document)
        assert "example.com" not in str(document)
        assert KEY.decode() not in repr(store) + str(vars(store))
        for key, words in ((None, "give its key"), (Fernet.generate_key(), "another key")):
            other = StowfastPushNotificationConfigStore(stores, encryption_key=key)
            with pytest.raises(InvalidError, match=words):
                await other.get_info("t", ADA)
            assert await other.get_info_for_dispatch("t") == []


async def test_nothing_is_accepted_in_plain_where_a_key_is_set(caplog: pytest.LogCaptureFixture) -> None:
    async with stowfast.open("memory:") as stores:
        await StowfastPushNotificationConfigStore(stores).set_info("t", config(), ADA)
        store = StowfastPushNotificationConfigStore(stores, encryption_key=KEY)
        await store.set_info("t", config("good"), BOB)
        with pytest.raises(InvalidError, match="in plain"):
            await store.get_info("t", ADA)
        with caplog.at_level(logging.ERROR):
            assert [one.id for one in await store.get_info_for_dispatch("t")] == ["good"]
        assert "in plain" in caplog.text
        assert "secret" not in caplog.text


async def test_a_configuration_that_was_moved_is_refused() -> None:
    async with stowfast.open("memory:") as stores:
        store = StowfastPushNotificationConfigStore(stores, encryption_key=KEY)
        await store.set_info("t", config("a"), ADA)
        (document,) = await stores.documents.list()
        sealed: dict[str, Any] = document.data["ada"]["a"]
        for task_id, owner, config_id in (("u", "ada", "a"), ("t", "bob", "a"), ("t", "ada", "b")):
            moved = document.document_id.replace("/t", f"/{task_id}")
            await stores.documents.put(moved, {owner: {config_id: sealed}})
            with pytest.raises(DamagedError, match="another owner"):
                await store.get_info(task_id, call_of(owner))


@pytest.mark.parametrize("key", ["", "short", b"\xff" * 44, "x" * 44])
async def test_a_wrong_key_is_refused_without_showing_it(key: Any) -> None:
    with pytest.raises(InvalidError, match="encryption_key") as caught:
        StowfastPushNotificationConfigStore("memory:", encryption_key=key)
    assert not key or str(key) not in str(caught.value)
    assert caught.value.__cause__ is None
