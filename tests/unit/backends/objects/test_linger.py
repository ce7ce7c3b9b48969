"""A commit that waits for its companions: one PUT for those that come meanwhile, and no wait beyond its end.

Where a wait has to last until something ends it, it lasts an hour here, which no option allows.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.abc import Change, Receipt
from stowfast.backends.objects.backend import ObjectBackend
from stowfast.backends.objects.driver.opening import open_store
from stowfast.errors import ConflictError
from stowfast.testing.clause import stored
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

HOUR = 3_600.0
STREAM = "notes/a"


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def url(server: FaultyS3, linger: float | None = None) -> str:
    more = "" if linger is None else f"&linger={linger}"
    return f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true{more}"


@asynccontextmanager
async def waits_an_hour(server: FaultyS3) -> AsyncIterator[ObjectBackend]:
    """A backend whose commits wait until it is closed, or there are enough of them."""
    store = open_store("s3://bucket", endpoint_url=server.endpoint, anonymous=True)
    store.linger = HOUR
    backend = ObjectBackend(store)
    try:
        yield backend
    finally:
        await backend.close()


def puts(server: FaultyS3) -> Counter[str]:
    """The PUTs of heads."""
    return Counter(one.key for one in server.requests if one.operation == "PUT" and one.key.startswith("h/"))


async def begun(*commits: asyncio.Task[Receipt]) -> None:
    """Return once commits wait in their queue: a task queues its change in its first step."""
    for _ in commits:
        await asyncio.sleep(0)
    assert not any(commit.done() for commit in commits)


async def lingers(backend: ObjectBackend) -> None:
    """Return once the leader of the stream waits for companions."""
    for _ in range(10_000):
        await asyncio.sleep(0.001)
        if (line := backend._lines._lines.get(STREAM)) and line.lingering:
            return
    pytest.fail("nobody waits")


async def test_what_comes_in_the_wait_is_one_put_and_a_close_ends_the_wait(server: FaultyS3) -> None:
    async with waits_an_hour(server) as backend:
        commits = []
        for number in range(20):  # each in a turn of the loop of its own, as callers that know nothing of each other
            commits.append(asyncio.create_task(backend.commit(STREAM, Change([b"%d" % number]))))
            await begun(commits[-1])
        others = [asyncio.create_task(backend.commit(f"notes/{one}", Change([b"x"]))) for one in "bc"]
        await begun(*others)
        assert not puts(server)
    assert [receipt.first for receipt in await asyncio.gather(*commits)] == list(range(20))
    await asyncio.gather(*others)
    assert sorted(puts(server).values()) == [1, 1, 1]


async def test_without_the_option_the_first_one_goes_alone(server: FaultyS3) -> None:
    async with stowfast.open(url(server)) as stores:
        await stores.backend.commit(STREAM, Change([b"x"]))
        held = server.fail(Fault.HOLD, operation="PUT", key="h/")
        commits = [asyncio.create_task(stores.backend.commit(STREAM, Change([b"first"])))]
        await asyncio.to_thread(held.wait)  # its request is on its way
        commits += [asyncio.create_task(stores.backend.commit(STREAM, Change([b"x"]))) for _ in range(3)]
        await begun(*commits)
        server.release()
        assert [receipt.first for receipt in await asyncio.gather(*commits)] == [1, 2, 3, 4]
    assert set(puts(server).values()) == {3}


@pytest.mark.parametrize("linger", [0, 0.001, 0.05])
async def test_one_alone_is_stored_with_one_put(server: FaultyS3, linger: float) -> None:
    async with stowfast.open(url(server, linger)) as stores:
        for number in range(3):
            assert (await stores.backend.commit(STREAM, Change([b"x"]))).first == number
    assert set(puts(server).values()) == {3}


def test_without_await_too(server: FaultyS3) -> None:
    with stowfast.sync.open(url(server), linger=0.02) as stores:
        for number in range(3):
            assert stores.messages.add_message("c", {"n": number}) == number
    assert set(puts(server).values()) == {3}


async def test_enough_for_a_commit_do_not_wait(server: FaultyS3) -> None:
    async with waits_an_hour(server) as backend:
        small = asyncio.create_task(backend.commit(STREAM, Change([b"small"])))
        await lingers(backend)
        assert (await backend.commit(STREAM, Change([bytes(2**23)]))).first == 1
        assert (await small).first == 0
        assert (await backend.commit(STREAM, Change([bytes(2**23)]))).first == 2  # the first of its batch
    assert set(puts(server).values()) == {2}


async def test_a_condition_sees_those_before_it_in_the_same_put(server: FaultyS3) -> None:
    async with waits_an_hour(server) as backend:
        commits = [asyncio.create_task(backend.commit(STREAM, Change([b"x"], expect=one))) for one in (0, 0, 1, 3)]
        await begun(*commits)
    found = await asyncio.gather(*commits, return_exceptions=True)
    assert [one.first if isinstance(one, Receipt) else type(one) for one in found] == [
        0, ConflictError, 1, ConflictError,
    ]  # fmt: skip
    assert set(puts(server).values()) == {1}


async def test_a_condition_sees_what_another_process_stored_in_the_wait(server: FaultyS3) -> None:
    async with waits_an_hour(server) as backend, stowfast.open(url(server)) as other:
        commit = asyncio.create_task(backend.commit(STREAM, Change([b"late"], expect=0)))
        await begun(commit)
        await other.backend.commit(STREAM, Change([b"theirs"]))
        await backend.close()
        with pytest.raises(ConflictError):
            await commit
        assert await stored(other.backend, STREAM) == [b"theirs"]


async def test_a_commit_cancelled_in_the_wait_stores_nothing(server: FaultyS3) -> None:
    async with waits_an_hour(server) as backend:
        commits = [asyncio.create_task(backend.commit(STREAM, Change([b"a%d" % n, b"b%d" % n]))) for n in range(3)]
        alone = asyncio.create_task(backend.commit("notes/alone", Change([b"x"])))
        await begun(*commits, alone)
        commits[0].cancel()
        alone.cancel()
        await asyncio.gather(commits[0], alone, return_exceptions=True)
        await backend.close()
        assert [receipt.first for receipt in await asyncio.gather(*commits[1:])] == [0, 2]
    async with stowfast.open(url(server)) as stores:
        assert await stored(stores.backend, STREAM) == [b"a1", b"b1", b"a2", b"b2"]
        assert await stored(stores.backend, "notes/alone") == []
    assert list(puts(server).values()) == [1]


CHILD = """
import asyncio, sys
from stowfast.abc import Change
from stowfast.backends.objects.backend import ObjectBackend
from stowfast.backends.objects.driver.opening import open_store

async def main():
    store = open_store(sys.argv[1], **dict(pair.split("=", 1) for pair in sys.argv[2:]))
    backend = ObjectBackend(store)
    await backend.commit("notes/a", Change([b"acknowledged"]))
    store.linger = 3_600.0
    backend = ObjectBackend(store)
    waiting = [asyncio.create_task(backend.commit("notes/a", Change([b"waiting"]))) for _ in range(3)]
    await asyncio.sleep(0)
    print("waiting", flush=True)
    await asyncio.gather(*waiting)

asyncio.run(main())
"""


def test_a_kill_in_the_wait_loses_nothing_that_was_acknowledged(server: FaultyS3) -> None:
    options = (f"endpoint_url={server.endpoint}", "anonymous=true")
    child = subprocess.Popen([sys.executable, "-c", CHILD, "s3://bucket", *options], stdout=subprocess.PIPE)
    assert child.stdout is not None
    with child:
        assert child.stdout.readline() == b"waiting\n"
        child.kill()

    async def what_is_there() -> list[bytes]:
        async with stowfast.open(url(server)) as stores:
            return await stored(stores.backend, STREAM)

    assert asyncio.run(what_is_there()) == [b"acknowledged"]


async def test_a_read_does_not_wait(server: FaultyS3) -> None:
    async with waits_an_hour(server) as backend:
        commit = asyncio.create_task(backend.commit(STREAM, Change([b"x"])))
        await begun(commit)
        assert await backend.heads([STREAM]) == [None]
        assert await stored(backend, STREAM) == []
    assert (await commit).first == 0
