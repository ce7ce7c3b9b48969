"""Deleted content is gone from the bucket: from heads, segments, blobs, and late arrivals."""

from __future__ import annotations

import asyncio
import time
import zlib
from contextlib import suppress
from datetime import UTC, datetime
from random import Random
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.abc import Query
from stowfast.backends.objects.protocol.index import INDEXES, entries_of
from stowfast.backends.objects.protocol.keys import MARKER
from stowfast.backends.objects.protocol.requests import Token
from stowfast.backends.objects.protocol.state import decode_state
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

SECRET = "the launch code is 7431"
NOISE = Random(1).randbytes(15_000).hex()  # which no compression makes small
DAY = 86_400
LARGE = 9 * 2**20  # beyond one part of an upload


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    """A server with a clock two days behind, so a sweep takes all listed objects for old."""
    with FaultyS3(clock=lambda: time.time() - 2 * DAY) as server:
        yield server


def stores_of(server: FaultyS3) -> AbstractAsyncContextManager[stowfast.Stores]:
    return stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true")


def told(body: bytes) -> bool:
    """Whether the secret is in these bytes, plain, in one of a segment's compressed blocks, or in a directory."""
    if body.startswith(b"SFI"):
        body = b"".join(line.header for line in entries_of(body))
    start = body.find(b"\x78\x9c")
    while start >= 0:
        with suppress(zlib.error):
            if SECRET.encode() in zlib.decompressobj().decompress(body[start:]):
                return True
        start = body.find(b"\x78\x9c", start + 1)
    return SECRET.encode() in body


def holding(server: FaultyS3) -> list[str]:
    return sorted({key for key, body in server.objects.items() if told(body)} | set(server.holding(SECRET.encode())))


def ever_held(server: FaultyS3) -> set[str]:
    """The last parts of all keys with the secret in their objects at some time."""
    return {key for key, bodies in server.history.items() if any(map(told, bodies))}


def assert_only_tombstones(server: FaultyS3, *names: str) -> None:
    assert holding(server) == []
    kept = [key for key in server.objects if not key.startswith(INDEXES) and key != MARKER]
    assert sorted(kept) == sorted(f"h/{name}!.sfh" for name in names)
    for name in names:
        state = decode_state(name, server.objects[f"h/{name}!.sfh"], Token("any", None))
        assert (state.head, state.tail, state.segments) == (None, (), ())


def told_in(number: int) -> dict[str, str]:
    return {"content": f"{number}: {SECRET}", "noise": NOISE}


async def fill(stores: stowfast.Stores) -> None:
    """Store it in a tail, in segments, in merged segments, in a summary and in metadata."""
    messages = stores.messages
    for number in range(20):
        await messages.add_message("c", told_in(number), op_id=f"op-{number}")
    await messages.add_messages("c", [told_in(number) for number in range(40)])
    for number in range(10):
        await messages.add_message("c", told_in(number))
    await messages.set_metadata("c", {"about": SECRET})
    await messages.compact("c", keep_last=20, summary={"summary": SECRET}, drop=True)
    await messages.pop_message("c")
    await messages.add_message("c", {"content": SECRET})


async def test_a_deleted_conversation_leaves_a_tombstone_without_content(server: FaultyS3) -> None:
    async with stores_of(server) as stores:
        await fill(stores)
        await stores.messages.add_message("kept", {"content": "something else"})
    segments = {key for key in ever_held(server) if key.startswith("d/")}
    present = {key for key in server.objects if key.startswith("d/")}
    print(f"{len(segments)} segments have held it, {len(present)} still do; now it is deleted")
    assert holding(server) == sorted({"h/messages/c!.sfh", *present})
    assert len(segments - present) >= 3
    async with stores_of(server) as stores:
        await stores.messages.delete("c")
        await stores.sweep()
        assert await stores.messages.get_messages("kept") == [{"content": "something else"}]
        await stores.messages.delete("kept")
    assert_only_tombstones(server, "messages/c", "messages/kept")


async def test_what_was_dropped_or_popped_is_gone_while_the_rest_stays(server: FaultyS3) -> None:
    async with stores_of(server) as stores:
        messages = stores.messages
        for number in range(30):
            await messages.add_message("c", told_in(number))
        for number in range(30):
            await messages.add_message("c", {"content": number, "noise": NOISE})
        await messages.compact("c", keep_last=30, summary={"content": "nothing"}, drop=True)
        await messages.add_message("c", told_in(30))
        popped = await messages.pop_message("c")
        assert popped == told_in(30)
        assert len(await messages.get_messages("c", originals=True)) == 30
    async with stores_of(server) as stores:
        await stores.sweep()
        assert [one["content"] for one in await stores.messages.get_messages("c", originals=True)] == list(range(30))
    assert holding(server) == []


@pytest.mark.parametrize("size", [100, 40_000, LARGE])
async def test_a_deleted_artifact_leaves_nothing_of_any_version(server: FaultyS3, size: int) -> None:
    content = (SECRET * (size // len(SECRET) + 1)).encode()
    async with stores_of(server) as stores:
        artifact = stowfast.Artifact(artifact_id="a", content=content, name=SECRET, metadata={"about": SECRET})
        await stores.artifacts.create(artifact)
        await stores.artifacts.update(artifact)
        # The same bytes again are stored once.
        assert len(holding(server)) == (1 if size == 100 else 2)
        await stores.artifacts.delete("a")
        await stores.sweep()
    assert_only_tombstones(server, "artifacts/a")
    assert server.uploads == []


async def test_an_expired_task_is_swept() -> None:
    with FaultyS3() as server:  # by its clock too
        async with stores_of(server) as stores:
            soon = datetime.fromtimestamp(time.time() + 0.5, UTC)
            for number in range(40):  # so small that they are stored as they are, and so many that segments hold them
                data = {"secret": SECRET, "number": number}
                await stores.tasks.save(stowfast.TaskState(task_id="t", data=data, expires_at=soon))
            assert holding(server)
            for _ in range(100):
                if await stores.tasks.load("t") is None:
                    break
                await asyncio.sleep(0.02)
            assert (await stores.sweep()).streams == 1
        assert_only_tombstones(server, "tasks/t")


@pytest.mark.parametrize(
    ("operation", "size"),
    [("PUT", 40_000), ("MULTIPART_PART", LARGE), ("MULTIPART_COMPLETE", LARGE)],
    ids=["blob", "part", "completion"],
)
async def test_an_upload_that_arrives_after_the_deletion(server: FaultyS3, operation: str, size: int) -> None:
    content = (SECRET * (size // len(SECRET) + 1)).encode()
    async with stores_of(server) as stores:
        rule = server.fail(Fault.LATE, operation=operation, key="d/")
        with suppress(stowfast.UnavailableError):
            await stores.artifacts.create(stowfast.Artifact(artifact_id="a", content=content))
        assert rule.struck == 1
        await stores.artifacts.delete("a")
        await stores.sweep()
        (late,) = server.release()
        assert late.applied or operation != "PUT"
        assert bool(holding(server)) == late.applied
        await stores.sweep()
        assert holding(server) == []


@pytest.mark.parametrize("large", [False, True], ids=["sealed", "before its head"])
async def test_a_segment_that_arrives_after_the_deletion(server: FaultyS3, large: bool) -> None:
    async with stores_of(server) as stores:
        rule = server.fail(Fault.LATE, operation="PUT", key="d/")
        if large:
            await stores.messages.add_messages("c", [told_in(number) for number in range(40)])
        else:
            for number in range(30):
                await stores.messages.add_message("c", told_in(number))
            await asyncio.to_thread(rule.wait)  # sealing goes on behind the back of who appends
        await stores.messages.delete("c")
    async with stores_of(server) as stores:
        await stores.sweep()
        assert holding(server) == []
        (late,) = server.release()
        assert late.applied
        assert holding(server) == [late.key]
        await stores.sweep()
    assert_only_tombstones(server, "messages/c")


async def test_an_upload_that_nobody_refers_to_is_spared_for_a_day() -> None:
    moment = [time.time()]
    content = (SECRET * 4_000).encode()
    with FaultyS3(clock=lambda: moment[0]) as server:
        async with stores_of(server) as stores:

            async def chunks():
                yield content

            await stores.artifacts.create(stowfast.Artifact(artifact_id="a", content=b"another"))
            await stores.backend.write_blob("artifacts/a", chunks())
            assert await stores.sweep() == (0, 0, 0, 0)
            assert len(holding(server)) == 1
            # The clock of the store says how old something is, that of this machine what day it is.
            moment[0] -= DAY + 60
            for key in holding(server):
                server.put(key, content)
            assert await stores.sweep(dry_run=True) == (0, 1, len(content), 0)
            assert len(holding(server)) == 1
            assert await stores.sweep() == (0, 1, len(content), 0)
            assert holding(server) == []
            found = await stores.artifacts.get("a")
            assert found is not None
            assert found.content == b"another"


async def test_one_damaged_head_keeps_nothing_else_from_deletion(server: FaultyS3) -> None:
    async with stores_of(server) as stores:
        one = stores.within("one")
        for name in ("a", "bad", "c"):
            await one.tasks.save(stowfast.TaskState(task_id=name, context_id=name))
            await one.artifacts.create(stowfast.Artifact(artifact_id=name, context_id="a", content=name))
            await one.messages.add_message(name, {})
    key = "h/one_3atasks/bad!.sfh"
    server.put(key, server.objects[key][:-4] + b"....")
    async with stores_of(server) as stores:
        one = stores.within("one")
        with pytest.raises(stowfast.DamagedError, match="task_id 'bad' is damaged, and its conversation is unknown"):
            await one.delete_context("a")
        tasks = await one.tasks.list()
        assert ([task.task_id for task in tasks], tasks.damaged) == (["c"], ["bad"])
        assert (await one.artifacts.list()).items == []
        assert {found.context_id for found in await one.messages.contexts()} == {"bad", "c"}
        assert (await one.tasks.list()).damaged == ["bad"], "it may be of another conversation"
        await one.delete_all()
        assert (await one.backend.streams(Query(""))).streams == []
