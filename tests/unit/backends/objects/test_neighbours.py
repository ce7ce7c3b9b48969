"""Damage harms only its readers: not the other conversations of a sweep, not the other calls of a batch."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import stowfast
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

STREAMS = 30
TWO_DAYS = 2 * 86_400
LARGE = "x" * 200_000
BLOB = "a" * 32


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    """A server with a clock two days behind, so a sweep takes all listed objects for old."""
    with FaultyS3(clock=lambda: time.time() - TWO_DAYS) as server:
        yield server


def stores_of(server: FaultyS3, timeout: float = 2) -> AbstractAsyncContextManager[stowfast.Stores]:
    return stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&timeout={timeout}")


def litter(name: str) -> str:
    """The key of a blob without a reference."""
    return f"d/artifacts/{name}/b/{BLOB}.sfb"


@pytest.mark.parametrize("damaged", [0, STREAMS // 2, STREAMS - 1], ids=["first", "middle", "last"])
@pytest.mark.parametrize("on_the_way", [False, True], ids=["stored", "on the way"])
async def test_a_damaged_head_does_not_stop_the_sweep_of_others(
    server: FaultyS3, damaged: int, on_the_way: bool
) -> None:
    names = [f"a-{number:02}" for number in range(STREAMS)]
    async with stores_of(server) as stores:
        for name in names:
            await stores.artifacts.create(stowfast.Artifact(artifact_id=name, content=b"kept"))
            server.put(litter(name), b"nobody's")
    head = f"h/artifacts/{names[damaged]}!.sfh"
    body = server.objects[head]
    if not on_the_way:
        server.put(head, body[:-1] + bytes((body[-1] ^ 1,)))
    async with stores_of(server) as stores:
        await stores.messages.count("first")
        if on_the_way:
            server.fail(Fault.FLIP, operation="GET", key=head, where=0.99, times=None)
        with pytest.raises(stowfast.DamagedError, match=names[damaged]):
            await stores.sweep()
    assert [name for name in names if litter(name) in server.objects] == [names[damaged]]
    server.heal()
    server.put(head, body)
    async with stores_of(server) as stores:
        await stores.sweep()
        assert [key for key in server.objects if BLOB in key] == []
        for name in names:
            found = await stores.artifacts.get(name)
            assert found is not None
            assert found.content == b"kept"


async def test_a_sweep_that_is_told_no_by_one_goes_on_with_the_others(server: FaultyS3) -> None:
    names = [f"a-{number:02}" for number in range(STREAMS)]
    async with stores_of(server) as stores:
        for name in names:
            await stores.artifacts.create(stowfast.Artifact(artifact_id=name, content=b"kept"))
            server.put(litter(name), b"nobody's")
        outage = server.fail(Fault.INTERNAL, key=litter(names[3]), operation="DELETE", times=None)
        with pytest.raises(stowfast.UnavailableError):
            await stores.sweep()
        assert [name for name in names if litter(name) in server.objects] == [names[3]]
        outage.times = 0
        await stores.sweep()
        assert [key for key in server.objects if BLOB in key] == []


async def test_one_lost_segment_fails_only_the_calls_that_need_it(server: FaultyS3) -> None:
    async with stores_of(server) as stores:
        for number in range(8):
            await stores.messages.add_message("c", {"n": number, "text": LARGE}, op_id=f"op-{number}")
    segments = [key for key in server.objects if key.startswith("d/")]
    assert segments
    async with stores_of(server, timeout=30) as stores:
        assert await stores.messages.add_message("c", {"n": 8}) == 8
        for key in segments:
            server.delete(key)
        held = server.fail(Fault.HOLD, operation="PUT", key="h/messages/c")
        first = asyncio.create_task(stores.messages.add_message("c", {"n": 9}))
        await asyncio.to_thread(held.wait)
        batch = [
            asyncio.create_task(stores.messages.add_message("c", {"n": number}, op_id=op_id))
            for number, op_id in [(10, None), (99, "never used"), (11, None)]
        ]
        await asyncio.sleep(0)  # each task runs up to where it is queued
        with server.counted() as made:
            server.release()
            assert await first == 9
            ended = await asyncio.gather(*batch, return_exceptions=True)
        assert isinstance(ended[1], stowfast.DamagedError)
        assert [ended[0], ended[2]] == [10, 11]
        assert sum(record.key == "h/messages/c!.sfh" and record.operation == "PUT" for record in made) == 1, (
            "they were not in one batch"
        )
        assert [message["n"] for message in await stores.messages.get_messages("c", last=4)] == [8, 9, 10, 11]
        with pytest.raises(stowfast.DamagedError):
            await stores.messages.get_messages("c")


@pytest.mark.parametrize(
    "damage",
    [lambda body: body[:-1] + bytes((body[-1] ^ 1,)), lambda body: body[:20], lambda _: b"\0" * 40,
     lambda body: body[:3] + b"\x09" + body[4:]],
    ids=["a bit", "cut off", "zeros", "a later version"],
)  # fmt: skip
async def test_a_damaged_head_stops_no_list_and_no_other_caller(
    server: FaultyS3, damage: Callable[[bytes], bytes]
) -> None:
    names = ["a", "b", "c"]
    async with stores_of(server) as stores:
        for name in names:
            await stores.messages.add_message(name, {}, metadata={"k": "v"})
            await stores.artifacts.create(stowfast.Artifact(artifact_id=name, content=b"x"))
            await stores.tasks.save(stowfast.TaskState(task_id=name, data={}))
    for kind in ("messages", "artifacts", "tasks"):
        key = f"h/{kind}/b!.sfh"
        spoilt = damage(server.objects[key])
        server.put(key, spoilt + b"\0" * (-len(spoilt) % 4))  # its size says that it lives
    async with stores_of(server) as stores:
        contexts = await stores.messages.contexts(where={"k": "v"}, order="id")
        artifacts, tasks = await stores.artifacts.list(), await stores.tasks.list()
        found = [{c.context_id for c in contexts}, {a.artifact_id for a in artifacts}, {t.task_id for t in tasks}]
        assert found == [{"a", "c"}] * 3
        assert [page.damaged for page in (contexts, artifacts, tasks)] == [["b"]] * 3
        for call in (
            stores.messages.get_messages("b"), stores.messages.add_message("b", {}), stores.artifacts.get("b"),
            stores.tasks.load("b"),
        ):  # fmt: skip
            with pytest.raises((stowfast.DamagedError, stowfast.UnsupportedError), match="b'"):
                await call
        ended = await asyncio.gather(*(stores.messages.add_message(name, {}) for name in names), return_exceptions=True)
        assert [ended[0], ended[2]] == [1, 1]
        assert isinstance(ended[1], stowfast.StowfastError)
        claimed = [await stores.tasks.claim_next("worker", timedelta(minutes=1)) for _ in range(3)]
        assert {one.task_id for one in claimed if one is not None} == {"a", "c"}
