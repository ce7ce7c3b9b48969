"""The task stores: lists, owners, versions, races, lost answers, and A2A's own store in memory beside them."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from a2a.server.cluster import ConcurrentTaskModificationError, TaskVersion, VersionedTaskStore
from a2a.server.tasks import InMemoryTaskStore
from a2a.server.tasks.task_store import TaskStore
from a2a.types import a2a_pb2
from a2a.utils.errors import InvalidParamsError
from google.protobuf.timestamp_pb2 import Timestamp

import stowfast
from stowfast import DamagedError, Stores, TaskState
from stowfast.adapters.a2a import StowfastTaskStore, StowfastVersionedTaskStore
from stowfast.testing import LosesAnswers
from stowfast.wrappers import Wrapper
from tests.frameworks.a2a.users import CANCELED, COMPLETED, SUBMITTED, WORKING, call_of, task_named, update_of
from tests.frameworks.children import KILLABLE, by_writer, check_writers, kill_writers, race
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.abc import Listing, Query, Slice, Window
    from tests.frameworks.losing import LosingBucket

RACERS, MANY = 20, 10_000
MOST_READS = 12
SAVED, KILLS = 12, 6
ADA, BOB = call_of("ada"), call_of("bob")
HOSTILE = ["a/b", "..", "%2F", "", "ü", "x" * 700, "{}", "'; DROP TABLE tasks; --"]

# Saves numbered tasks, and tells each number after its answer.
SAVES = """
import asyncio, os, sys
from stowfast.adapters.a2a import StowfastTaskStore
from tests.frameworks.a2a.users import call_of, task_named

url, scope, name, stop = *sys.argv[1:4], int(sys.argv[4])

async def main():
    async with StowfastTaskStore(url, scope=scope) as store:
        os.write(1, b"opened\\n")
        for number in range(stop):
            await store.save(task_named(f"{name}-{number}", seconds=number), call_of("ada"))
            os.write(1, f"{number}\\n".encode())

asyncio.run(main())
"""


async def numbers_in(url: str, scope: str) -> dict[str, list[int]]:
    """Return the numbers of the tasks of each writer, by the time of their status."""
    async with StowfastTaskStore(url, scope=scope) as store:
        found = await store.list(a2a_pb2.ListTasksRequest(page_size=100), ADA)
        assert found.total_size == len(found.tasks) or found.next_page_token
        ids = [task.id for task in found.tasks]
        while found.next_page_token:
            asked = a2a_pb2.ListTasksRequest(page_size=100, page_token=found.next_page_token)
            found = await store.list(asked, ADA)
            ids += [task.id for task in found.tasks]
    return by_writer(reversed(ids))


@pytest.fixture
async def plain(url: str) -> AsyncIterator[StowfastTaskStore]:
    async with StowfastTaskStore(url, scope=uuid.uuid4().hex) as store:
        yield store


@pytest.fixture
async def store(url: str) -> AsyncIterator[StowfastVersionedTaskStore]:
    async with StowfastVersionedTaskStore(url, scope=uuid.uuid4().hex) as store:
        yield store


async def put(
    store: StowfastVersionedTaskStore, task: a2a_pb2.Task, version: TaskVersion = TaskVersion.MISSING, user: Any = ADA
) -> TaskVersion:
    return await store.save(task, event=update_of(task), prev=None, prev_version=version, context=user)


async def test_a_task_returns_as_it_was(plain: StowfastTaskStore) -> None:
    task = task_named("t", WORKING, seconds=5)
    task.metadata.update({"k": [1.5, None, {"a": "ü"}]})
    task.artifacts.add(artifact_id="a").parts.add(raw=b"\xff\x00", media_type="image/png")
    task.history.add(message_id="m", role=a2a_pb2.ROLE_AGENT).parts.add(text="hi")
    await plain.save(task, ADA)
    assert await plain.get("t", ADA) == task
    assert (await plain.list(a2a_pb2.ListTasksRequest(), ADA)).tasks == [task]
    assert await plain.get("t", BOB) is None
    assert (await plain.list(a2a_pb2.ListTasksRequest(), BOB)).total_size == 0
    await plain.delete("t", BOB)
    assert await plain.get("t", ADA) == task
    await plain.delete("t", ADA)
    await plain.delete("t", ADA)
    assert await plain.get("t", ADA) is None


@pytest.mark.parametrize("name", HOSTILE)
async def test_hostile_ids_stay_apart(plain: StowfastTaskStore, name: str) -> None:
    for owner, task_id in ((name, "t"), ("a", name), (name, name), ("a", "b")):
        await plain.save(task_named(task_id), call_of(owner))
        await plain.save(task_named(task_id, WORKING), call_of(owner))
        assert await plain.get(task_id, call_of(owner)) == task_named(task_id, WORKING)
    expected = {name, "b"} if name != "a" else {"b"}
    assert {one.id for one in (await plain.list(a2a_pb2.ListTasksRequest(), call_of("a"))).tasks} == expected
    assert (await plain.list(a2a_pb2.ListTasksRequest(), call_of("a/"))).total_size == 0


async def test_random_histories_answer_as_the_store_in_memory(plain: StowfastTaskStore) -> None:
    theirs, choice = InMemoryTaskStore(), random.Random(7)
    states, token = [SUBMITTED, WORKING, COMPLETED], ""
    for number in range(120):
        user, name = choice.choice([ADA, BOB]), f"t{choice.randrange(9)}"
        if choice.random() < 0.1:
            await theirs.delete(name, user)
            await plain.delete(name, user)
        elif choice.random() < 0.6:
            seconds = choice.choice([None, 1, 2, 3])
            task = task_named(name, choice.choice(states), seconds=seconds, context_id=choice.choice("cd"))
            await theirs.save(task, user)
            await plain.save(task, user)
        asked = a2a_pb2.ListTasksRequest(page_size=choice.choice([0, 1, 2]), page_token=token)
        if choice.random() < 0.3:
            asked.status = choice.choice(states)
        if choice.random() < 0.3:
            asked.context_id = choice.choice("cd")
        if choice.random() < 0.3:
            asked.status_timestamp_after.CopyFrom(Timestamp(seconds=choice.choice([1, 2]), nanos=choice.choice([7, 8])))
        expected = await theirs.list(asked, user)
        assert await plain.list(asked, user) == expected, number
        assert await plain.get(name, user) == await theirs.get(name, user)
        token = expected.next_page_token if choice.random() < 0.7 else ""


async def test_a_wrong_page_token_is_refused(plain: StowfastTaskStore) -> None:
    await plain.save(task_named("t"), ADA)
    for token in ("wrong", "dDk", "%"):
        with pytest.raises(InvalidParamsError):
            await plain.list(a2a_pb2.ListTasksRequest(page_token=token), ADA)
    assert (await plain.list(a2a_pb2.ListTasksRequest(page_token="dA=="), ADA)).tasks == [task_named("t")]


class CountsReads(Wrapper):
    """Counts the calls that read."""

    reads = 0

    async def read(self, stream: str, window: Window = stowfast.abc.ALL) -> Slice:
        self.reads += 1
        return await super().read(stream, window)

    async def streams(self, query: Query) -> Listing:
        self.reads += 1
        return await super().streams(query)


async def test_a_page_of_ten_of_ten_thousand_costs_few_reads(tmp_path: Any) -> None:
    async with stowfast.open(f"sqlite:///{tmp_path}/agent.db") as stores:
        store = StowfastTaskStore(stores)
        for start in range(0, MANY, 500):
            saves = (store.save(task_named(f"t{number}", seconds=number), ADA) for number in range(start, start + 500))
            await asyncio.gather(*saves)
        counts = CountsReads(stores.backend)
        reader = StowfastTaskStore(Stores(counts))
        first = await reader.list(a2a_pb2.ListTasksRequest(page_size=10), ADA)
        assert [one.id for one in first.tasks] == [f"t{number}" for number in range(MANY - 1, MANY - 11, -1)]
        assert first.total_size == MANY
        assert counts.reads <= MOST_READS
        counts.reads = 0
        asked = a2a_pb2.ListTasksRequest(page_size=10, page_token=first.next_page_token)
        second = await reader.list(asked, ADA)
        assert second.tasks[0].id == f"t{MANY - 11}"
        assert counts.reads <= MOST_READS


async def test_a_page_of_ten_on_a_bucket_is_one_list_for_each_thousand_tasks_and_eleven_reads() -> None:
    """The index of a bucket has 10,000 heads: that is a test of the bucket, see test_index.py."""
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        async with StowfastTaskStore(url) as store:
            await asyncio.gather(
                *(store.save(task_named(f"t{number}", seconds=number), ADA) for number in range(1_100))
            )
            await store.list(a2a_pb2.ListTasksRequest(page_size=10), ADA)
        async with StowfastTaskStore(url) as reader:
            await reader.get("t0", ADA)  # the opening
            with server.counted() as made:
                page = await reader.list(a2a_pb2.ListTasksRequest(page_size=10), ADA)
        assert [one.id for one in page.tasks] == [f"t{number}" for number in range(1_099, 1_089, -1)]
        assert page.total_size == 1_100
        assert Counter(record.operation for record in made) == {"GET": 11, "LIST": 2}


async def test_a_save_names_the_version_it_replaces(store: StowfastVersionedTaskStore) -> None:
    assert isinstance(store, VersionedTaskStore)
    assert isinstance(store.as_task_store, TaskStore)
    first = await put(store, task_named("t"))
    second = await put(store, task_named("t", WORKING), first)
    assert second.is_after(first)
    found = await store.get("t", ADA)
    assert found is not None
    assert (found.task, found.version) == (task_named("t", WORKING), second)
    for version in (first, TaskVersion.MISSING):
        with pytest.raises(ConcurrentTaskModificationError):
            await put(store, task_named("t", COMPLETED), version)
    with pytest.raises(TypeError):
        await put(store, task_named("t"), TaskVersion("text"))
    assert await store.as_task_store.get("t", ADA) == task_named("t", WORKING)
    assert (await store.list(a2a_pb2.ListTasksRequest(), ADA)).tasks == [task_named("t", WORKING)]
    await store.delete("t", ADA)
    with pytest.raises(ConcurrentTaskModificationError):
        await put(store, task_named("t", COMPLETED), second)
    assert await store.get("t", ADA) is None


async def test_nothing_of_a_deleted_task_comes_back(every_url: str) -> None:
    scope = uuid.uuid4().hex
    async with (
        StowfastVersionedTaskStore(every_url, scope=scope) as store,
        StowfastVersionedTaskStore(every_url, scope=scope) as other,
    ):
        for deletes in (store, other):
            first = await put(store, task_named("t"))
            second = await put(store, task_named("t", WORKING), first)
            await deletes.delete("t", ADA)
            for state in (COMPLETED, CANCELED):
                with pytest.raises(ConcurrentTaskModificationError):
                    await put(store, task_named("t", state), second)
            assert await store.get("t", ADA) is None
            assert (await other.list(a2a_pb2.ListTasksRequest(), ADA)).total_size == 0
            assert await put(store, task_named("t")) == TaskVersion(1)
            await other.delete("t", ADA)


async def test_a_cancellation_needs_no_version(store: StowfastVersionedTaskStore) -> None:
    first = await put(store, task_named("t"))
    await put(store, task_named("t", WORKING), first)
    await put(store, task_named("t", CANCELED), first)
    with pytest.raises(ConcurrentTaskModificationError):
        await put(store, task_named("t", CANCELED))
    with pytest.raises(ConcurrentTaskModificationError):
        await put(store, task_named("unknown", CANCELED), TaskVersion(3))
    found = await store.get("t", ADA)
    assert found is not None
    assert found.task.status.state == CANCELED


async def test_of_racing_saves_one_is_stored(store: StowfastVersionedTaskStore) -> None:
    first = await put(store, task_named("t"))
    calls = (put(store, task_named("t", WORKING, seconds=number), first) for number in range(RACERS))
    found = await asyncio.gather(*calls, return_exceptions=True)
    (won,) = [one for one in found if isinstance(one, TaskVersion)]
    assert sum(isinstance(one, ConcurrentTaskModificationError) for one in found) == RACERS - 1
    stored = await store.get("t", ADA)
    assert stored is not None
    assert stored.version == won
    assert stored.task.status.timestamp.seconds == found.index(won)


async def test_a_task_id_of_a_cluster_belongs_to_one_owner(store: StowfastVersionedTaskStore) -> None:
    version = await put(store, task_named("t"))
    for other in (TaskVersion.MISSING, version):
        with pytest.raises(ConcurrentTaskModificationError):
            await put(store, task_named("t", WORKING), other, BOB)
    assert await store.get("t", BOB) is None
    await store.delete("t", BOB)
    await put(store, task_named("t", WORKING), version)
    await store.delete("t", ADA)
    await put(store, task_named("t"), user=BOB)
    assert await store.get("t", ADA) is None


async def test_a_lost_answer_stores_one_version(url: str) -> None:
    async with stowfast.open(url) as stores:
        loses = LosesAnswers(stores.backend, 0)
        store = StowfastVersionedTaskStore(Stores(loses))
        version = TaskVersion.MISSING
        for number, state in enumerate([SUBMITTED, WORKING, WORKING, CANCELED]):
            loses.lose = 2
            version = await put(store, task_named("t", state, seconds=number), version)
            assert version == TaskVersion(number + 1)


async def test_a_lost_answer_on_one_server_stores_a_task_once(url: str) -> None:
    async with stowfast.open(url) as stores:
        loses = LosesAnswers(stores.backend, 0)
        store = StowfastTaskStore(Stores(loses))
        for number in range(4):
            loses.lose = 2
            await store.save(task_named("t", WORKING, seconds=number), ADA)
            assert await store.get("t", ADA) == task_named("t", WORKING, seconds=number)
        (info,) = await stores.tasks.list()
        assert info.version == 4
        loses.lose = 2
        await store.delete("t", ADA)
        assert (await store.get("t", ADA), loses.lose) == (None, 0)


async def test_a_bucket_that_loses_answers_stores_a_task_once(losing_bucket: LosingBucket) -> None:
    async with StowfastTaskStore(losing_bucket.url) as store:
        for number in range(5):
            losing_bucket.lose_answer()
            await store.save(task_named(f"t{number}"), ADA)
        losing_bucket.lose_answer()
        await store.delete("t1", ADA)
        assert {one.id for one in (await store.list(a2a_pb2.ListTasksRequest(), ADA)).tasks} == {"t0", "t2", "t3", "t4"}


async def test_two_processes_on_one_store_lose_nothing(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    ended = race(SAVES, *[[shared_url, scope, name, str(SAVED)] for name in ("one", "two")])
    assert ended == [["opened", *map(str, range(SAVED))]] * 2
    assert await numbers_in(shared_url, scope) == {name: list(range(SAVED)) for name in ("one", "two")}


@KILLABLE
async def test_an_acknowledged_task_outlives_a_kill(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    told = kill_writers(SAVES, KILLS, lambda name: [shared_url, scope, name, "10000"], 12)
    check_writers(shared_url, told, await numbers_in(shared_url, scope))


async def test_a_bucket_that_loses_answers_stores_one_version(losing_bucket: LosingBucket) -> None:
    async with StowfastVersionedTaskStore(losing_bucket.url) as store:
        version = TaskVersion.MISSING
        for number in range(5):
            losing_bucket.lose_answer()
            version = await put(store, task_named("t", WORKING, seconds=number), version)
        assert version == TaskVersion(5)


async def test_a_cancelled_save_is_whole_or_nothing(store: StowfastVersionedTaskStore) -> None:
    version = await put(store, task_named("t"))
    for number in range(8):
        running = asyncio.create_task(put(store, task_named("t", WORKING, seconds=number), version))
        for _ in range(number):
            await asyncio.sleep(0)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        found = await store.get("t", ADA)
        assert found is not None
        if found.version == version:
            with suppress(ConcurrentTaskModificationError):  # the cancelled save was under way still, and is whole now
                await put(store, task_named("t", WORKING, seconds=number), version)
        found = await store.get("t", ADA)
        assert found is not None
        version = found.version
        assert (found.task, version) == (task_named("t", WORKING, seconds=number), TaskVersion(number + 2))


async def test_a_task_of_another_program_is_named(url: str) -> None:
    async with stowfast.open(url) as stores:
        store = StowfastTaskStore(stores)
        await store.save(task_named("good"), ADA)
        for name, data in (("bad", {}), ("worse", {"task": {"id": ["of another program"]}})):
            await stores.tasks.save(TaskState(task_id=f"a2a/tasks/ada/{name}", status="x", data=data))
            with pytest.raises(DamagedError, match=name):
                await store.get(name, ADA)
        assert await store.get("good", ADA) == task_named("good")
