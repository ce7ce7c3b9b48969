"""A stream whose head is damaged can be deleted, and begins anew. Nothing of it is left behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.abc import Change, Query
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

KEY = "h/messages/c!.sfh"
SECRET = "a secret"


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def stores_of(server: FaultyS3) -> AbstractAsyncContextManager[stowfast.Stores]:
    return stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&timeout=2")


async def filled(server: FaultyS3) -> None:
    async with stores_of(server) as stores:
        for number in range(40):
            await stores.messages.add_message("c", {"n": number, "text": SECRET * 2_000}, op_id=f"op-{number}")
        await stores.messages.add_message("other", {"n": 0})


def damage(server: FaultyS3, change: Callable[[bytes], bytes]) -> None:
    server.put(KEY, change(server.objects[KEY]))


def flipped(body: bytes) -> bytes:
    return body[:-1] + bytes((body[-1] ^ 1,))


def holding(server: FaultyS3) -> list[str]:
    return [key for key, body in server.objects.items() if SECRET.encode() in body or key.startswith("d/messages/c")]


@pytest.mark.parametrize(
    "change", [flipped, lambda body: body[:20], lambda body: body[:40] + b"\0" * 40], ids=["a bit", "cut off", "zeros"]
)
async def test_a_damaged_head_can_be_deleted(server: FaultyS3, change: Callable[[bytes], bytes]) -> None:
    await filled(server)
    damage(server, change)
    async with stores_of(server) as stores:
        with pytest.raises(stowfast.DamagedError):
            await stores.messages.add_message("c", {})
        with pytest.raises(stowfast.DamagedError):
            await stores.backend.commit("messages/c", Change(delete=True, expect=40))
        await stores.messages.delete("c")
        assert await stores.messages.get_messages("c") == []
        assert [one.name for one in (await stores.backend.streams(Query(""))).streams] == ["messages/other"]
        assert await stores.messages.add_message("c", {"n": "new"}, op_id="op-1") == 0
        assert await stores.messages.add_message("c", {"n": "new"}, op_id="op-1") == 0
        await stores.sweep()
        assert holding(server) == []
        assert [one["n"] for one in await stores.messages.get_messages("c")] == ["new"]
    async with stores_of(server) as stores:
        assert [one["n"] for one in await stores.messages.get_messages("c")] == ["new"]
        assert [one["n"] for one in await stores.messages.get_messages("other")] == [0]


async def test_every_kind_of_store_deletes_its_damaged_ones(server: FaultyS3) -> None:
    async with stores_of(server) as stores:
        await stores.messages.add_message("x", {})
        await stores.artifacts.create(stowfast.Artifact(artifact_id="x", content=b"x" * 100_000))
        await stores.tasks.save(stowfast.TaskState(task_id="x", data={}))
        await stores.documents.put("x", {})
    for kind in ("messages", "artifacts", "tasks", "documents"):
        key = f"h/{kind}/x!.sfh"
        server.put(key, flipped(server.objects[key]))
    async with stores_of(server) as stores:
        for store in (stores.messages, stores.artifacts, stores.tasks, stores.documents):
            await store.delete("x")
        assert (await stores.backend.streams(Query(""))).streams == []


async def test_a_head_that_is_damaged_on_the_way_is_deleted_as_a_sound_one(server: FaultyS3) -> None:
    """Its op_ids are remembered, so a writer that was stalled before the delete adds nothing."""
    await filled(server)
    async with stores_of(server) as stores:
        server.fail(Fault.FLIP, operation="GET", key=KEY, where=0.99, times=1)
        await stores.messages.delete("c")
        assert await stores.messages.add_message("c", {"n": "again"}, op_id="op-39") == 39
        assert await stores.messages.get_messages("c") == []


async def test_of_racing_deletes_of_a_damaged_head_all_end(server: FaultyS3) -> None:
    await filled(server)
    damage(server, flipped)
    async with stores_of(server) as one, stores_of(server) as other:
        await asyncio.gather(*(stores.messages.delete("c") for stores in (one, other) for _ in range(3)))
        assert [await stores.messages.count("c") for stores in (one, other)] == [0, 0]
        assert [await stores.messages.add_message("c", {}) for stores in (one, other, one)] == [0, 1, 2]


async def test_a_lost_answer_to_the_delete_of_a_damaged_head_is_found(server: FaultyS3) -> None:
    await filled(server)
    damage(server, flipped)
    async with stores_of(server) as stores:
        server.fail(Fault.CLOSE, after=True, operation="PUT", key=KEY, times=1)
        await stores.messages.delete("c")
        assert await stores.messages.get_messages("c") == []


async def test_another_opening_goes_on_after_the_delete(server: FaultyS3) -> None:
    """It knows the head from before the damage, and takes the new one for what it is: a later one."""
    await filled(server)
    async with stores_of(server) as one, stores_of(server) as other:
        assert await other.messages.count("c") == 40
        damage(server, flipped)
        await one.messages.delete("c")
        assert await other.messages.get_messages("c") == []
        assert await other.messages.add_message("c", {"n": "new"}) == 0


@pytest.mark.parametrize(
    "change", [lambda _: b"{}" * 20, lambda body: body[:3] + b"\x09" + body[4:]], ids=["not ours", "a later version"]
)
async def test_what_may_not_be_ours_stays(server: FaultyS3, change: Callable[[bytes], bytes]) -> None:
    await filled(server)
    damage(server, change)
    before = server.objects[KEY]
    async with stores_of(server) as stores:
        with pytest.raises((stowfast.DamagedError, stowfast.UnsupportedError)):
            await stores.messages.delete("c")
    assert server.objects[KEY] == before
