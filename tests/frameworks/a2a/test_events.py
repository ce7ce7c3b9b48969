"""The event stream, the push configurations, and processes that race or are killed."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

import pytest
from a2a.server.cluster import TaskVersion, VersionedEvent
from a2a.types import a2a_pb2

from stowfast.adapters.a2a import StowfastTaskEventStream, StowfastVersionedTaskStore
from tests.frameworks.a2a.users import COMPLETED, SUBMITTED, WORKING, call_of, task_named, update_of
from tests.frameworks.children import KILLABLE, check_writers, kill_writers, race

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from a2a.server.events.event_queue import Event

ADA = call_of("ada")
PROCESSES, SAVES, KILLS = 3, 12, 6

# Moves a counter in a task's metadata forward, and tells each number after its answer.
COUNTS = """
import asyncio, os, sys
from a2a.auth.user import UnauthenticatedUser
from a2a.server.cluster import ConcurrentTaskModificationError
from a2a.server.context import ServerCallContext
from a2a.types import a2a_pb2
from stowfast.adapters.a2a import StowfastVersionedTaskStore

url, scope, name, saves = *sys.argv[1:4], int(sys.argv[4])

async def main():
    call = ServerCallContext(user=UnauthenticatedUser())
    async with StowfastVersionedTaskStore(url, scope=scope) as store:
        stored = await store.get(name, call)
        os.write(1, b"opened\\n")
        for _ in range(saves):
            while True:
                stored = await store.get(name, call)
                number = int(stored.task.metadata["n"]) + 1
                stored.task.metadata["n"] = number
                event = a2a_pb2.TaskStatusUpdateEvent(task_id=name, metadata={"n": number})
                try:
                    await store.save(
                        stored.task, event=event, prev=None, prev_version=stored.version, context=call
                    )
                    break
                except ConcurrentTaskModificationError:
                    pass
            os.write(1, f"{number}\\n".encode())

asyncio.run(main())
"""


@pytest.fixture
def scope() -> str:
    return uuid.uuid4().hex


@pytest.fixture
async def store(url: str, scope: str) -> AsyncIterator[StowfastVersionedTaskStore]:
    async with StowfastVersionedTaskStore(url, scope=scope) as store:
        yield store


@pytest.fixture
async def stream(url: str, scope: str) -> AsyncIterator[StowfastTaskEventStream]:
    async with StowfastTaskEventStream(url, scope=scope) as stream:
        yield stream


async def follow(stream: StowfastTaskEventStream, after: int, count: int, name: str = "t") -> list[tuple[Any, int]]:
    seen: list[tuple[Any, int]] = []
    async with aclosing(stream.subscribe(name, after=TaskVersion(after))) as events:
        async for one in events:
            seen.append((one.event, number_of(one)))
            if len(seen) == count:
                break
    return seen


def number_of(event: VersionedEvent) -> int:
    return int(event.version._value)


async def test_the_versions_are_the_events(store: StowfastVersionedTaskStore, stream: StowfastTaskEventStream) -> None:
    early = asyncio.create_task(follow(stream, 0, 4))
    version, expected = TaskVersion.MISSING, []
    for number, state in enumerate([SUBMITTED, WORKING, WORKING, COMPLETED], 1):
        task = task_named("t", state, seconds=number)
        events: list[Event] = [task, update_of(task), a2a_pb2.Message(message_id="m"), update_of(task)]
        event = events[number - 1]
        version = await store.save(task, event=event, prev=None, prev_version=version, context=ADA)
        await stream.publish("t", VersionedEvent(event, version))
        expected.append((event, number))
    async with asyncio.timeout(60):
        assert await early == expected
        assert await follow(stream, 2, 2) == expected[2:]
    await stream.destroy("t")
    assert await follow(stream, 0, 4) == expected


async def test_a_direct_write_is_no_event(store: StowfastVersionedTaskStore, stream: StowfastTaskEventStream) -> None:
    version = await store.save(task_named("t"), event=None, prev=None, prev_version=TaskVersion.MISSING, context=ADA)
    task = task_named("t", WORKING)
    await store.save(task, event=update_of(task), prev=None, prev_version=version, context=ADA)
    async with asyncio.timeout(60):
        assert await follow(stream, 0, 1) == [(update_of(task), 2)]


def counted(holder: Any) -> int:
    return int(holder.metadata["n"])


def numbers_in(lines: list[str]) -> list[int]:
    return [int(line) for line in lines if line.isdigit()]


async def first(store: StowfastVersionedTaskStore, name: str) -> None:
    task = task_named(name, WORKING)
    task.metadata["n"] = 0
    await store.save(task, event=None, prev=None, prev_version=TaskVersion.MISSING, context=call_of(""))


async def test_processes_count_each_number_once(shared_url: str, scope: str) -> None:
    async with (
        StowfastVersionedTaskStore(shared_url, scope=scope) as store,
        StowfastTaskEventStream(shared_url, scope=scope) as stream,
    ):
        await first(store, "t")
        processes = asyncio.to_thread(race, COUNTS, *[[shared_url, scope, "t", str(SAVES)]] * PROCESSES)
        async with asyncio.timeout(100):
            ended, seen = await asyncio.gather(processes, follow(stream, 1, PROCESSES * SAVES))
        numbers = [number for lines in ended for number in numbers_in(lines)]
        assert sorted(numbers) == list(range(1, PROCESSES * SAVES + 1))
        assert [(counted(event), version - 1) for event, version in seen] == [
            (number, number) for number in range(1, PROCESSES * SAVES + 1)
        ]


@KILLABLE
async def test_an_acknowledged_save_outlives_a_kill(shared_url: str, scope: str) -> None:
    async with (
        StowfastVersionedTaskStore(shared_url, scope=scope) as store,
        StowfastTaskEventStream(shared_url, scope=scope) as stream,
    ):
        for kill in range(KILLS):
            await first(store, f"w{kill}")
        arguments = [shared_url, scope]
        told = await asyncio.to_thread(kill_writers, COUNTS, KILLS, lambda name: [*arguments, name, "10000"], 12)
        found = dict[str, list[int]]()
        for name in told:
            stored = await store.get(name, call_of(""))
            assert stored is not None
            number = counted(stored.task)
            async with asyncio.timeout(60):
                seen = await follow(stream, 1, number, name) if number else []
            found[name] = [counted(event) - 1 for event, _ in seen]
    check_writers(shared_url, told, found)
