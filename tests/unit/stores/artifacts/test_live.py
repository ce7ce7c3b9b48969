"""Live artifacts: written a token at a time, followed meanwhile, finished as one version or seen to have failed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import aclosing, asynccontextmanager, suppress
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import Artifact, ConflictError, InvalidError, NotFoundError, UnavailableError
from stowfast.backends.memory import MemoryBackend
from stowfast.names import clock
from stowfast.stores.artifacts.live import build
from stowfast.stores.artifacts.live import writer as live_writer
from stowfast.testing.faults import LosesAnswers
from stowfast.wrappers import Wrapper
from tests.conformance.places import memory, sqlite
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from stowfast.abc import Backend, Change, Receipt
    from stowfast.testing import Make

failing = pytest.raises  # around a whole block, where it is the end of the block that fails

SECONDS = 30
SMALL = 10_000
LARGE = Random(4).randbytes(3 * 2**20 + 17)


def object_url(server: FaultyS3) -> str:
    return f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"


@pytest.fixture(params=["memory", "sqlite", "objects"])
def make(request, tmp_path) -> Iterator[Make[stowfast.Stores]]:
    if request.param == "objects":
        with FaultyS3() as server:
            url = object_url(server)
            yield lambda: stowfast.open(url)
    else:
        yield {"memory": memory, "sqlite": sqlite}[request.param](tmp_path)


@pytest.fixture
async def artifacts(make) -> AsyncIterator[stowfast.Artifacts]:
    async with make() as stores:
        yield stores.artifacts


@pytest.fixture
def soon_silent(monkeypatch) -> None:
    """A writer without a commit for half a second counts as dead."""
    monkeypatch.setattr(build, "SILENCE", 0.5)


class Counts(Wrapper):
    """Counts commits by the kind of stream."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.commits: Counter[str] = Counter()

    async def commit(self, stream: str, change: Change) -> Receipt:
        self.commits[stream.partition("/")[0]] += 1
        return await super().commit(stream, change)


async def content(artifacts: stowfast.Artifacts) -> Any:
    found = await artifacts.get("a")
    assert found is not None
    return found.content


async def known(artifacts: stowfast.Artifacts) -> stowfast.ArtifactInfo:
    found = await artifacts.info("a")
    assert found is not None
    return found


async def everything(pieces: AsyncIterator[bytes]) -> bytes:
    return b"".join([piece async for piece in pieces])


@asynccontextmanager
async def following(artifacts: stowfast.Artifacts, artifact_id: str) -> AsyncIterator[Follower]:
    follower = Follower(artifacts, artifact_id)
    try:
        yield follower
    finally:
        follower.task.cancel()
        await asyncio.gather(follower.task, return_exceptions=True)


class Follower:
    """A follower of an artifact, in a task."""

    def __init__(self, artifacts: stowfast.Artifacts, artifact_id: str) -> None:
        self.got = b""
        self._more = asyncio.Event()
        self.task = asyncio.create_task(self._follow(artifacts, artifact_id))

    async def _follow(self, artifacts: stowfast.Artifacts, artifact_id: str) -> bytes:
        try:
            async for piece in artifacts.follow(artifact_id):
                self.got += piece
                self._more.set()
        finally:
            self._more.set()
        return self.got

    async def until(self, expected: bytes) -> None:
        async with asyncio.timeout(SECONDS):
            while self.got != expected and not self.task.done():
                self._more.clear()
                await self._more.wait()
        assert self.got == expected

    async def until_more_than(self, size: int) -> None:
        async with asyncio.timeout(SECONDS):
            while len(self.got) <= size and not self.task.done():
                self._more.clear()
                await self._more.wait()

    async def to_the_end(self, seconds: float = SECONDS) -> bytes:
        async with asyncio.timeout(seconds):
            return await self.task


async def test_followers_read_what_is_written_and_then_the_version(artifacts):
    described: dict[str, Any] = {"name": "a.txt", "context_id": "c", "metadata": {"n": 1}}
    async with artifacts.open_live("a", **described) as writer, following(artifacts, "a") as early:
        await writer.write("é")
        await early.until("é".encode())
        await writer.write("x" * 1_000)
        await writer.flush()
        await early.until("é".encode() + b"x" * 1_000)
        async with following(artifacts, "a") as late:
            await late.until(early.got)
            assert writer.size == 1_002
            await writer.write("end")
            info = await writer.close()
            assert await early.to_the_end() == await late.to_the_end() == "é".encode() + b"x" * 1_000 + b"end"
    assert info == writer.info == await artifacts.info("a")
    assert (info.version, info.size, info.state, info.mime_type) == (1, 1_005, "complete", "text/plain")
    assert (info.context_id, info.metadata) == ("c", {"n": 1})
    assert await content(artifacts) == "é" + "x" * 1_000 + "end"
    assert await everything(artifacts.follow("a")) == (await content(artifacts)).encode()


async def test_large_pieces_become_one_blob(artifacts):
    async with artifacts.open_live("a") as writer, following(artifacts, "a") as follower:
        for start in range(0, len(LARGE), 700_001):
            await writer.write(LARGE[start : start + 700_001])
        await writer.close()
        assert await follower.to_the_end() == LARGE
    assert await content(artifacts) == LARGE
    async with artifacts.open_reader("a", start=2**20 - 5, stop=2**20 + 5) as reader:
        assert await everything(reader) == LARGE[2**20 - 5 : 2**20 + 5]


async def test_one_that_is_finished_in_the_middle_is_read_on_in_the_version(artifacts):
    async with artifacts.open_live("a") as writer:
        await writer.write(LARGE)
        await writer.flush()
        async with aclosing(artifacts.follow("a")) as pieces:
            got = await anext(pieces)
            assert 0 < len(got) < len(LARGE)
            await writer.close()
            await artifacts.update(Artifact(artifact_id="a", content=b"another"))  # not what was followed
            assert got + await everything(pieces) == LARGE


async def test_nothing_written_is_an_empty_artifact(artifacts):
    async with artifacts.open_live("a"):
        assert (await known(artifacts)).size == 0
    assert (await known(artifacts)).size == 0
    assert await content(artifacts) == b""
    assert await everything(artifacts.follow("a")) == b""


async def test_who_is_unknown_cannot_be_followed(artifacts):
    with pytest.raises(NotFoundError):
        await everything(artifacts.follow("a"))
    assert await artifacts.info("a") is None


async def test_while_it_is_built_it_shows_as_building(artifacts):
    async with artifacts.open_live("a", context_id="c", name="log", description="d") as writer:
        await writer.write(b"x" * 100)
        await writer.flush()
        info = await known(artifacts)
        assert (info.state, info.version, info.size, info.name) == ("building", 0, 100, "log")
        assert info.created_at is not None
        assert await artifacts.get("a") is None
        assert await artifacts.info("a", version=1) is None
        assert await artifacts.versions("a") == []
        assert list(await artifacts.list(context_id="c")) == [info]
        with pytest.raises(NotFoundError):
            await artifacts.update(Artifact(artifact_id="a"))
        with pytest.raises(NotFoundError):
            await artifacts.open_file("a")
    assert [(info.state, info.version) for info in await artifacts.list(context_id="c")] == [("complete", 1)]


async def test_a_further_version_is_built_beside_those_there_are(artifacts):
    await artifacts.create(Artifact(artifact_id="a", content=b"one", context_id="c"))
    async with artifacts.open_live("a", expect=1) as writer:
        await writer.write(b"two")
        await writer.flush()
        assert (await known(artifacts)).state == "complete"
        assert await content(artifacts) == b"one"
        async with following(artifacts, "a") as follower:
            await follower.until(b"two")
    assert (writer.info.version, writer.info.context_id) == (2, "c")
    assert await content(artifacts) == b"two"
    with pytest.raises(ConflictError) as caught:
        async with artifacts.open_live("a", expect=1) as writer:
            await writer.write(b"three")
    assert caught.value.current == 2
    assert len(await artifacts.versions("a")) == 2
    assert await everything(artifacts.follow("a")) == b"two"


async def test_an_exception_leaves_no_version_and_tells_those_who_follow(artifacts):
    with failing(RuntimeError):
        async with artifacts.open_live("a", context_id="c") as writer:
            async with following(artifacts, "a") as follower:
                await writer.write("half")
                await follower.until(b"half")
                await writer.write(" and more")
                await writer.abort(RuntimeError())
                with pytest.raises(NotFoundError, match="never finished: its writer ended with RuntimeError, after 13"):
                    await follower.to_the_end()
                assert follower.got == b"half and more"
            raise RuntimeError
    info = await known(artifacts)
    assert (info.state, info.size, info.version) == ("failed", 13, 0)
    assert list(await artifacts.list(context_id="c")) == [info]
    assert await artifacts.get("a") is None
    with pytest.raises(NotFoundError, match="RuntimeError"):
        await everything(artifacts.follow("a"))
    async with artifacts.open_live("a") as writer:
        await writer.write("whole")
    assert await content(artifacts) == "whole"


async def test_a_version_outlives_a_build_that_failed(artifacts):
    await artifacts.create(Artifact(artifact_id="a", content=b"one"))
    with failing(RuntimeError):
        async with artifacts.open_live("a") as writer:
            await writer.write(b"two")
            raise RuntimeError
    assert await everything(artifacts.follow("a")) == b"one"
    assert (await known(artifacts)).state == "complete"


async def test_what_remains_of_a_failure_is_collected(make, monkeypatch):
    monkeypatch.setattr(live_writer, "REMAINS", 0.05)
    async with make() as stores:
        artifacts = stores.artifacts
        with failing(RuntimeError):
            async with artifacts.open_live("a") as writer:
                await writer.write(b"x" * 100_000)
                raise RuntimeError
        await asyncio.sleep(0.1)
        assert await artifacts.info("a") is None
        assert list(await artifacts.list()) == []
        await stores.sweep()
        assert await stores.backend.heads(["live/a", "artifacts/a"]) == [None, None]
        async with artifacts.open_live("a") as writer:
            await writer.write(b"whole")
        await asyncio.sleep(0.1)
        await stores.sweep()
        assert await content(artifacts) == b"whole"  # what announced it passes, the version stays


async def test_a_cancelled_writer_has_failed(artifacts):
    begun = asyncio.Event()

    async def write() -> None:
        async with artifacts.open_live("a") as writer:
            await writer.write(b"x")
            begun.set()
            await asyncio.sleep(SECONDS)

    task = asyncio.create_task(write())
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(NotFoundError, match="CancelledError"):
        await everything(artifacts.follow("a"))


async def test_two_writers_at_once(make):
    async with make() as one, make() as other:
        async with one.artifacts.open_live("a") as writer:
            await writer.write(b"x")
            with pytest.raises(ConflictError, match="being written"):
                async with other.artifacts.open_live("a"):
                    pytest.fail("there were two writers")
        assert await content(other.artifacts) == b"x"

        all_lost = asyncio.Event()
        lost = 0

        async def race(stores: stowfast.Stores) -> int:
            nonlocal lost
            try:
                async with stores.artifacts.open_live("b") as writer:
                    await writer.write(b"same")
                    async with asyncio.timeout(SECONDS):
                        await all_lost.wait()
            except ConflictError:
                lost += 1
                if lost == 5:
                    all_lost.set()
                return 0
            return 1

        assert sum(await asyncio.gather(*(race(stores) for stores in (one, other) * 3))) == 1
        assert len(await one.artifacts.versions("b")) == 1


async def test_the_same_call_repeated_takes_over_and_is_one_version(artifacts):
    stalled = artifacts.open_live("a", op_id="call")
    writer = await stalled.__aenter__()
    await writer.write(b"interrup")
    await writer.flush()
    async with artifacts.open_live("a", op_id="call") as again:
        await again.write(b"whole")
    with failing(ConflictError, match="begun anew"):
        await writer.write(b"ted")
        await stalled.__aexit__(None, None, None)
    await writer.abort()
    async with artifacts.open_live("a", op_id="call") as third:
        await third.write(b"something else")
    assert third.info == again.info
    assert await content(artifacts) == b"whole"
    assert len(await artifacts.versions("a")) == 1


async def test_deleted_while_it_is_written(artifacts):
    with failing(ConflictError, match="deleted"):
        async with artifacts.open_live("a") as writer, following(artifacts, "a") as follower:
            await writer.write(b"x")
            await follower.until(b"x")
            await artifacts.delete("a")
            with pytest.raises(NotFoundError, match="deleted"):
                await follower.to_the_end()
    assert await artifacts.info("a") is None
    assert list(await artifacts.list()) == []


async def test_a_writer_that_is_silent_counts_as_dead_and_is_not_raised_again(artifacts, soon_silent, monkeypatch):
    monkeypatch.setattr(live_writer, "HEARTBEAT", SECONDS)
    with failing(ConflictError, match="begun anew"):
        async with artifacts.open_live("a") as writer:
            await writer.write(b"half")
            with pytest.raises(NotFoundError, match="has not been heard of"):
                await everything(artifacts.follow("a"))
            assert (await known(artifacts)).state == "failed"
            async with artifacts.open_live("a") as other:
                await other.write(b"whole")
            await writer.write(b"late")
    assert await content(artifacts) == b"whole"


async def test_a_writer_that_pauses_gives_signs_of_life(artifacts, monkeypatch):
    monkeypatch.setattr(live_writer, "HEARTBEAT", 0.05)
    async with artifacts.open_live("a") as writer, following(artifacts, "a") as follower:
        await writer.write(b"x")
        signs = set[int]()
        async with asyncio.timeout(SECONDS):
            while len(signs) < 4:
                (head,) = await artifacts._backend.heads(["live/a"])
                signs.add(build.Build.read(head).at)
                await asyncio.sleep(0.01)
        assert (await known(artifacts)).state == "building"
        await writer.write(b"y")
        await writer.close()
        assert await follower.to_the_end() == b"xy"


async def test_bytes_or_text_and_nothing_after_the_end(artifacts):
    wrong: Any = 5
    async with artifacts.open_live("a") as writer:
        await writer.write("text")
        for piece in (b"bytes", wrong, "\ud800"):
            with pytest.raises(InvalidError):
                await writer.write(piece)
    for call in (writer.write("more"), writer.flush()):
        with pytest.raises(InvalidError):
            await call
    assert await writer.close() == writer.info
    assert await content(artifacts) == "text"
    for options in ({"flush_bytes": 0}, {"flush_seconds": -1}, {"flush_seconds": "1"}, {"op_id": ""}, {"op_id": 5},
                    {"metadata": {"k": "x" * 2**25}}, {"expect": "1"}, {"name": 5}):  # fmt: skip
        with pytest.raises(InvalidError):
            async with artifacts.open_live("b", **options):
                pytest.fail(f"{options} was taken")
    assert await artifacts.info("b") is None


async def test_many_small_pieces_are_few_commits():
    place = Counts(MemoryBackend())
    artifacts = stowfast.Stores(place).artifacts
    async with artifacts.open_live("a", flush_bytes=2**14) as writer:
        for number in range(SMALL):
            await writer.write(f"token {number} ")
    commits, size = place.commits["live"], (await known(artifacts)).size
    print(f"{SMALL:,} pieces, {size:,} bytes: {commits} commits")
    assert size // 2**17 < commits <= size // 2**14 + 6
    assert place.commits["artifacts"] == 2


async def test_a_piece_is_seen_although_the_writer_pauses(artifacts):
    async with artifacts.open_live("a", flush_seconds=0.1) as writer, following(artifacts, "a") as follower:
        for number in range(5):
            await writer.write(f"{number}")
            began = time.perf_counter()
            await follower.until(b"01234"[: number + 1])
            assert time.perf_counter() - began < 3  # on a busy machine; 0.1 and a commit else


@pytest.mark.parametrize("every", [1, 2, 3])
async def test_lost_answers_are_made_up_for(every):
    class Loses(LosesAnswers):
        calls = 0

        async def commit(self, stream: str, change: Change) -> Receipt:
            self.calls += 1
            self.lose = int(self.calls % (every + 1) == 0)
            return await super().commit(stream, change)

    place = Loses(MemoryBackend(), 0)
    artifacts = stowfast.Stores(place).artifacts
    async with artifacts.open_live("a", flush_seconds=0.01) as writer, following(artifacts, "a") as follower:
        for number in range(20):
            await writer.write(f"{number},")
            await writer.flush()
        await writer.write("x" * 100_000)
        await writer.close()
        body = ",".join(map(str, range(20))) + "," + "x" * 100_000
        assert await follower.to_the_end() == body.encode()
    assert await content(artifacts) == body
    assert len(await artifacts.versions("a")) == 1


async def test_a_place_that_is_gone_for_longer_is_told_to_the_writer(monkeypatch):
    monkeypatch.setattr(live_writer, "_PATIENCE", 0.2)
    place = LosesAnswers(MemoryBackend(), 0)
    artifacts = stowfast.Stores(place).artifacts
    with failing(UnavailableError):
        async with artifacts.open_live("a", flush_seconds=0) as writer:
            await writer.write(b"x")
            await writer.flush()
            place.lose = 10**9
            async with asyncio.timeout(SECONDS):
                while True:
                    await writer.write(b"y")
                    await asyncio.sleep(0.01)


async def test_what_cannot_be_deleted_any_more_is_finished_all_the_same(monkeypatch, soon_silent):
    monkeypatch.setattr(live_writer, "_PATIENCE", 0.1)

    class NeverDeletes(Wrapper):
        async def commit(self, stream: str, change: Change) -> Receipt:
            if change.delete:
                raise UnavailableError("no answer")
            return await super().commit(stream, change)

    artifacts = stowfast.Stores(NeverDeletes(MemoryBackend())).artifacts
    async with artifacts.open_live("a") as writer, following(artifacts, "a") as follower:
        await writer.write(b"x")
        await follower.until(b"x")
        await writer.close()
        assert await follower.to_the_end() == b"x"
    assert (await known(artifacts)).state == "complete"


CHILD = """
import asyncio, os, sys
import stowfast

async def main():
    async with stowfast.open(sys.argv[1]) as stores:
        async with stores.artifacts.open_live("a", context_id="c", flush_seconds=0.01) as writer:
            number = 0
            while True:
                await writer.write(f"{number},")
                if number % 100 == 0:
                    await writer.flush()
                    os.write(1, f"{number}\\n".encode())
                number += 1

asyncio.run(main())
"""


def begin_child(url: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", CHILD, url], stdout=subprocess.PIPE)


@pytest.mark.slow
@pytest.mark.parametrize("place", ["sqlite", "objects"])
async def test_a_writer_that_is_killed_has_failed(place, tmp_path, monkeypatch):
    with FaultyS3() as server:
        url = object_url(server) if place == "objects" else f"sqlite:///{tmp_path}/place.db"
        async with stowfast.open(url) as stores:
            child = await asyncio.to_thread(begin_child, url)
            assert child.stdout is not None
            said = [int(await asyncio.to_thread(child.stdout.readline)) for _ in range(5)]
            async with following(stores.artifacts, "a") as follower:
                await follower.until_more_than(1_000)
                os.kill(child.pid, signal.SIGKILL)
                said += [int(line) for line in child.stdout.readlines()]
                child.stdout.close()
                assert child.wait() == -signal.SIGKILL
                monkeypatch.setattr(build, "SILENCE", 0.5)  # not before: a busy child may be silent for so long
                with pytest.raises(NotFoundError, match="has not been heard of"):
                    # A wait that began before may still be as long as a writer may really be silent.
                    await follower.to_the_end(2 * SECONDS)
            numbers = follower.got.decode().split(",")[:-1]
            assert numbers == [str(number) for number in range(len(numbers))]  # each once, in order
            assert len(numbers) > said[-1]  # what was flushed is there
            info = await known(stores.artifacts)
            assert (info.state, info.version) == ("failed", 0)
            assert await stores.artifacts.get("a") is None
            # As if an hour had passed: what it left has an end, and a sweep takes it.
            (head,) = await stores.backend.heads(["live/a"])
            assert head is not None
            assert head.expires_at is not None
            assert 0 < head.expires_at - clock() <= 3_700 * 1_000_000
            async with stores.artifacts.open_live("a") as writer:
                await writer.write("whole")
            assert await content(stores.artifacts) == "whole"


async def test_what_small_pieces_cost_on_object_storage():
    with FaultyS3() as server:
        async with stowfast.open(object_url(server)) as stores:
            with server.counted() as made:
                async with stores.artifacts.open_live("a") as writer:
                    for number in range(SMALL):
                        await writer.write(f"token {number} ")
                        if number % 1_000 == 0:
                            await asyncio.sleep(0.05)
            costs = Counter(record.operation for record in made)
            print(f"{SMALL:,} pieces, {writer.size:,} bytes: {dict(costs)}")
            assert sum(costs.values()) <= 40
            assert await content(stores.artifacts) == "".join(f"token {n} " for n in range(SMALL))


@pytest.mark.parametrize("fault", [Fault.RESET, Fault.CLOSE])
async def test_faults_of_the_network_are_made_up_for(fault):
    with FaultyS3() as server:
        async with stowfast.open(object_url(server)) as stores:
            artifacts = stores.artifacts
            async with artifacts.open_live("a", flush_bytes=2**15) as writer, following(artifacts, "a") as follower:
                for start in range(0, 2**18, 2**15):
                    server.fail(fault, after=start % 2**16 == 0, operation="PUT")
                    await writer.write(LARGE[start : start + 2**15])
                await writer.close()
                assert await follower.to_the_end() == LARGE[: 2**18]
            assert await content(artifacts) == LARGE[: 2**18]


async def test_a_write_that_ran_out_of_time_can_be_repeated():
    class Slow(Wrapper):
        async def commit(self, stream: str, change: Change) -> Receipt:
            await asyncio.sleep(0.02)
            return await super().commit(stream, change)

    artifacts = stowfast.Stores(Slow(MemoryBackend())).artifacts
    async with artifacts.open_live("a") as writer:
        for start in range(0, len(LARGE), 2**19):
            while True:
                with suppress(TimeoutError):
                    async with asyncio.timeout(0.01):
                        await writer.write(LARGE[start : start + 2**19])
                        break
    assert await content(artifacts) == LARGE
