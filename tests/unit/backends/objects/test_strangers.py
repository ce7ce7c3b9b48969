"""A bucket with other users: foreign objects are never deleted, overwritten or listed."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.backends.objects.protocol.keys import MARKER
from stowfast.backends.objects.protocol.marker import write_marker
from stowfast.backends.objects.protocol.requests import Get, Item, Items, List, Object, Token
from stowfast.backends.objects.protocol.sweep import survey
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractAsyncContextManager

TWO_DAYS = 2 * 86_400
ID = "0123456789abcdef" * 2
LARGE = "x" * 200_000

SHAPES = [
    "photo.jpg", "2026/11/photo.jpg", "reports/march/b/total.csv", "x/y/z", "messages/c", "messages/c/",
    "messages/c/b/", "messages/c/00000001/part-0", f"messages/c/b/{ID}", f"messages/c/00000001/{ID}",
    f"messages/c/b/{ID}.bin", f"messages/c/0/{ID}.sfs", f"messages/c/b/{ID}x.sfb", f"messages/c/b/x/{ID}.sfb",
    f"messages/C/b/{ID}.sfb", "messages/C!.sfh", "messages/c!.sfh/x", "messages/c.sfi", "é/ü b/ö", "messages/🦊",
    "artifacts/a", "tasks/t", f"b/{ID}.sfs", f"00000001/{ID}", f"00000001/{ID}.sfb",
]  # fmt: skip
INNER = [f"d/messages/c/b/{ID}.sfb", f"d/messages/c/00000001/{ID}.sfs", "h/messages/c!.sfh", "i/messages.sfi"]
FOLDERS = ["h/", "d/", "i/", "probe/", "h/messages/", "d/messages/c/", "h/messages/c!.sfh/"]


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    """A server with a clock two days behind, so a sweep takes all listed objects for old."""
    with FaultyS3(clock=lambda: time.time() - TWO_DAYS) as server:
        yield server


def stores_of(server: FaultyS3, place: str = "bucket") -> AbstractAsyncContextManager[stowfast.Stores]:
    return stowfast.open(f"s3://{place}?endpoint_url={server.endpoint}&anonymous=true&timeout=3")


async def fill(stores: stowfast.Stores) -> None:
    for number in range(8):
        await stores.messages.add_message("c", {"n": number, "text": LARGE})
    await stores.artifacts.create(stowfast.Artifact(artifact_id="a", content=b"x" * 100_000))
    await stores.tasks.save(stowfast.TaskState(task_id="t", data={}))


async def listed(stores: stowfast.Stores) -> tuple[list[str], list[str], list[str]]:
    contexts = (await stores.messages.contexts()).items
    artifacts = (await stores.artifacts.list()).items
    tasks = (await stores.tasks.list()).items
    return [c.context_id for c in contexts], [a.artifact_id for a in artifacts], [t.task_id for t in tasks]


@pytest.mark.parametrize("body", [b"", b"x" * 20, b"x" * 21, b"x" * 23])
async def test_nothing_of_others_is_deleted_overwritten_or_listed(server: FaultyS3, body: bytes) -> None:
    strangers = {folder + shape for folder in FOLDERS for shape in [*SHAPES, *INNER]}
    strangers |= {*SHAPES, "a//b", "./a", "\x01"}  # the last three cannot be listed by the driver
    for key in strangers:
        server.put(key, body)
    async with stores_of(server) as stores:
        await fill(stores)
        assert await listed(stores) == (["c"], ["a"], ["t"])
        await stores.messages.delete("c")
        assert await listed(stores) == ([], ["a"], ["t"])
        for _ in range(2):
            await stores.sweep()
        assert await listed(stores) == ([], ["a"], ["t"])
    assert {key: found for key, found in server.objects.items() if key in strangers} == dict.fromkeys(strangers, body)
    ours = server.objects.keys() - strangers
    assert {key for key in ours if key.startswith("d/messages/")} == set(), "what was ours is gone"


@pytest.mark.parametrize("key", ["h/messages//x", "h/messages/./x", "h/messages/a\x01"])
async def test_a_key_that_the_driver_cannot_list_is_named(server: FaultyS3, key: str) -> None:
    async with stores_of(server) as stores:
        await stores.messages.add_message("c", {})
        server.put(key, b"")
        for call in (stores.messages.contexts, stores.sweep):
            with pytest.raises(stowfast.InvalidError, match=r"cannot list the key h/messages/.*Move that object away"):
                await call()
        await stores.messages.add_message("c", {})
        assert await stores.messages.count("c") == 2


async def test_the_empty_object_of_a_folder_is_no_second_conversation(server: FaultyS3) -> None:
    async with stores_of(server) as stores:
        await stores.messages.add_message("c", {})
        await stores.messages.add_message("d", {})
        for name in ("c", "e"):
            server.put(f"h/messages/{name}!.sfh/", b"")
        server.put("h/messages/d!.sfh.bak", b"x" * 20)  # it lies between the two
        server.put("h/messages/d!.sfh/", b"x" * 20)
        for order in ("id", "recent"):
            assert sorted(c.context_id for c in await stores.messages.contexts(order=order)) == ["c", "d"]
        await stores.messages.delete("c")
        assert (await listed(stores))[0] == ["d"]
        await stores.messages.delete("d")
        assert (await listed(stores))[0] == []


@pytest.mark.slow
@pytest.mark.parametrize("inner", ["bucket/d", "bucket/prod", "bucket/d/messages/c", "bucket/a/b/c"])
async def test_a_store_inside_another_or_around_one_is_refused(server: FaultyS3, inner: str) -> None:
    async with stores_of(server, inner) as stores:
        await stores.messages.add_message("c", {"text": "inner"})
    before = server.objects
    for _ in range(2):
        with pytest.raises(stowfast.InvalidError, match=f"s3://bucket lies around the store s3://{inner}: stores"):
            await stores_of(server).__aenter__()
    with pytest.raises(stowfast.InvalidError, match=f"s3://{inner}/x/y lies inside the store s3://{inner}: stores do"):
        await stores_of(server, f"{inner}/x/y").__aenter__()
    assert server.objects == before
    async with stores_of(server, f"{inner}-2") as beside:
        await beside.messages.add_message("c", {})


async def test_credentials_for_one_prefix_are_enough(server: FaultyS3) -> None:
    server.fail(Fault.DENIED, key=lambda key: not key.startswith("a/b/"), times=None)
    async with stores_of(server, "bucket/a/b") as stores:
        await fill(stores)
        await stores.sweep()
    async with stores_of(server, "bucket/a/b") as stores:
        assert await listed(stores) == (["c"], ["a"], ["t"])


async def test_a_store_that_began_meanwhile_is_found_by_the_first_write(server: FaultyS3) -> None:
    async with stores_of(server) as outer, stores_of(server, "bucket/d") as inner:
        await inner.messages.add_message("c", {})
        with pytest.raises(stowfast.InvalidError, match="lies around the store s3://bucket/d"):
            await outer.messages.add_message("c", {})
    assert [key for key in server.objects if not key.startswith("d/")] == []


async def test_two_stores_that_began_at_the_same_moment_take_nothing_from_each_other(server: FaultyS3) -> None:
    # Each of them looked before the other had written its marker.
    for prefix in ("", "d/", "d/messages/", "d/messages/c/"):
        server.put(prefix + MARKER, b'{"format":1,"id":"0"}')
    places = ["bucket", "bucket/d", "bucket/d/messages", "bucket/d/messages/c"]
    for place in places:
        async with stores_of(server, place) as stores:
            await fill(stores)
    for place in places * 2:
        async with stores_of(server, place) as stores:
            await stores.sweep()
    for place in places:
        async with stores_of(server, place) as stores:
            assert await listed(stores) == (["c"], ["a"], ["t"])
            assert [message["n"] for message in await stores.messages.get_messages("c")] == list(range(8))
            found = await stores.artifacts.get("a")
            assert found is not None
            assert found.content == b"x" * 100_000


async def test_opening_and_looking_write_no_marker(server: FaultyS3) -> None:
    async with stores_of(server) as stores:
        assert await listed(stores) == ([], [], [])
        await stores.sweep()
        assert server.objects == {}
        await asyncio.gather(*(stores.messages.add_message(f"c-{number}", {}) for number in range(9)))
    assert len(server.history[MARKER]) == 1


async def test_a_sweep_without_a_marker_deletes_nothing(server: FaultyS3) -> None:
    async with stores_of(server) as stores:
        await fill(stores)
        server.put(f"d/messages/c/b/{ID}.sfb", b"nobody's")
        server.delete(MARKER)
        before = server.objects
        with pytest.raises(stowfast.DamagedError, match=r"the marker stowfast\.sfm is gone\. Open the store again"):
            await stores.sweep()
        assert server.objects == before
    async with stores_of(server) as stores:
        await stores.messages.add_message("c", {})
        await stores.sweep()
        assert f"d/messages/c/b/{ID}.sfb" not in server.objects


@pytest.mark.parametrize(
    ("body", "error", "says"),
    [
        (b"a note", stowfast.InvalidError, "stowfast.sfm is not a marker of Stowfast: use another prefix"),
        (b"[]", stowfast.InvalidError, "is not a marker"),
        (b'{"format":2,"id":"0"}', stowfast.UnsupportedError, "has format 2, and this Stowfast reads format 1"),
    ],
)
async def test_a_marker_that_is_not_ours_is_refused(
    server: FaultyS3, body: bytes, error: type[Exception], says: str
) -> None:
    server.put(MARKER, body)
    with pytest.raises(error, match=says):
        await stores_of(server).__aenter__()
    assert server.objects == {MARKER: body}


async def test_a_damaged_marker_is_deleted_and_made_anew(server: FaultyS3) -> None:
    async with stores_of(server) as stores:
        await fill(stores)
    server.put(MARKER, server.objects[MARKER][:-9])
    with pytest.raises(stowfast.InvalidError, match="delete that object: the next write makes it anew"):
        await stores_of(server).__aenter__()
    server.delete(MARKER)
    async with stores_of(server) as stores:
        assert await listed(stores) == (["c"], ["a"], ["t"])
        await stores.messages.add_message("c", {})
        await stores.sweep()
        assert MARKER in server.objects


def test_a_marker_whose_answer_was_lost_is_looked_up() -> None:
    from stowfast.backends.objects.protocol.requests import Environment, Get, Put

    steps = write_marker(Environment(lambda: 0, lambda: "0", lambda: 0.0))
    assert isinstance(next(steps), Put)
    assert steps.send(None) == Get(MARKER)
    with pytest.raises(StopIteration):
        steps.send(type("Found", (), {"body": b'{"format":1,"id":"1"}'})())


def test_a_store_that_begins_beside_a_sweep_has_its_marker() -> None:
    steps, key = survey(), "h/messages/c!.sfh"
    token = Token("e", None)
    assert next(steps) == Get(MARKER)
    assert steps.send(None) == List("h/")  # the first write of another process comes now: its marker, then its head
    steps.send(Items([Item(key, 400, 0)], complete=True))
    again = steps.send(Items([], complete=True))
    assert again == Get(MARKER)
    with pytest.raises(StopIteration) as end:
        steps.send(Object(b'{"format":1,"id":"x"}', token, 21))
    assert end.value.value == ([], ["h/messages/"], [])
