"""Writers and readers with an early end: cancelled, given up, failed, abandoned."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import Artifact, InvalidError, StowfastError, UnavailableError
from stowfast.backends.memory import MemoryBackend
from stowfast.testing import LosesAnswers, Shared
from stowfast.wrappers import Wrapper
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator

MB = 2**20
BODY = Random(6).randbytes(20 * MB)


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def url_of(server: FaultyS3) -> str:
    return f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"


async def written(stores: stowfast.Stores) -> stowfast.ArtifactInfo | None:
    async with stores.artifacts.open_writer("a", op_id="op") as writer:
        await writer.write(BODY)
    return writer.info


async def test_a_failing_end_is_repeated_without_another_upload(server: FaultyS3) -> None:
    async with stowfast.open(url_of(server)) as opened:
        loses = LosesAnswers(opened.backend)
        stores = stowfast.Stores(loses)
        with pytest.raises(UnavailableError):
            await written(stores)
        info = await written(stores)
        assert info is not None
        assert (info.version, info.sha256) == (1, hashlib.sha256(BODY).hexdigest())
        assert sum("/b/" in key for key in server.objects) == 1
        assert server.uploads == []


class Slow(Wrapper):
    """Takes nothing of a blob until it is let."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.reached = asyncio.Event()
        self.let = asyncio.Event()

    async def write_blob(self, stream, chunks):
        self.reached.set()
        await self.let.wait()
        return await super().write_blob(stream, chunks)


@pytest.mark.parametrize("size", [40_000, MB, 2 * MB, 9 * MB])
async def test_a_writer_that_is_cancelled_anywhere_leaves_no_task(size: int) -> None:
    place = Slow()
    stores = stowfast.Stores(place)

    async def writes() -> None:
        async with stores.artifacts.open_writer("a") as writer:
            for start in range(0, size, MB):
                await writer.write(BODY[start : min(start + MB, size)])

    others = asyncio.all_tasks()
    task = asyncio.create_task(writes())
    await place.reached.wait()
    for _ in range(10):  # until it waits, in a write or at its end
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert asyncio.all_tasks() - others == set()
    place.let.set()
    assert await stores.artifacts.get("a") is None


async def test_a_writer_waits_for_a_slow_place() -> None:
    place = Slow()
    stores = stowfast.Stores(place)
    async with stores.artifacts.open_writer("a") as writer:
        writing = asyncio.create_task(writer.write(BODY))
        await place.reached.wait()
        for _ in range(100):
            await asyncio.sleep(0)
        assert not writing.done()
        place.let.set()
        await writing
    assert await stores.artifacts.info("a") == writer.info


@pytest.mark.parametrize("size", [MB, MB + 1, 5 * MB - 1])
async def test_what_a_cancelled_write_took_comes_before_what_follows(size: int) -> None:
    place = Slow()
    stores = stowfast.Stores(place)
    async with stores.artifacts.open_writer("a") as writer:
        await writer.write(BODY[:700_000])
        await writer.write(BODY[700_000 : 2 * MB])  # the place has one of these MiB, and the other waits
        writing = asyncio.create_task(writer.write(BODY[2 * MB : 2 * MB + size]))
        await place.reached.wait()
        for _ in range(10):
            await asyncio.sleep(0)
        assert not writing.done()
        writing.cancel()
        await asyncio.gather(writing, return_exceptions=True)
        assert writing.cancelled()
        assert writer.size == 2 * MB + size
        place.let.set()
        await writer.write(BODY[2 * MB + size : 17 * MB])
    found = await stores.artifacts.get("a")
    assert found is not None
    assert found.content == BODY[: 17 * MB]


@pytest.mark.parametrize("size", [1_000, 2**16 + 1, MB - 1, MB, MB + 1, 3 * MB + 5])
async def test_pieces_of_any_size_come_in_order(size: int) -> None:
    stores = stowfast.Stores(MemoryBackend())
    given = bytearray(size)
    async with stores.artifacts.open_writer("a") as writer:
        for start in range(0, 6 * MB, size):
            piece = BODY[start : start + size]
            given[:] = piece
            await writer.write(given)  # which the caller then writes over
    found = await stores.artifacts.get("a")
    assert found is not None
    assert found.content == BODY[: writer.size]
    assert writer.size >= 6 * MB


async def test_a_writer_may_be_given_up_or_closed_early() -> None:
    stores = stowfast.Stores(MemoryBackend())
    async with stores.artifacts.open_writer("a") as writer:
        await writer.write(BODY)
        await writer.abort()
    assert (writer.info, await stores.artifacts.info("a")) == (None, None)
    async with stores.artifacts.open_writer("a") as writer:
        await writer.write(BODY[:100])
        info = await writer.close()
        assert await writer.close() == info == await stores.artifacts.info("a")
    with suppress(ZeroDivisionError):
        async with stores.artifacts.open_writer("a") as writer:
            await writer.write(BODY[:50])
            info = await writer.close()
            raise ZeroDivisionError
    assert await stores.artifacts.info("a") == info, "what was acknowledged stays"


async def test_a_read_that_failed_is_read_again_from_where_it_was(server: FaultyS3) -> None:
    async with stowfast.open(url_of(server)) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
        async with stores.artifacts.open_reader("a") as reader:
            reader.seek(3 * MB + 7)
            server.fail(Fault.DENIED, operation="GET", key="d/", times=None)
            with pytest.raises(StowfastError):
                await reader.read(100)
            server.heal()
            assert reader.tell() == 3 * MB + 7
            assert await reader.read(100) == BODY[3 * MB + 7 : 3 * MB + 107]


async def test_a_reader_that_is_left_on_the_way_keeps_nothing(server: FaultyS3, tmp_path: Path) -> None:
    for url in (url_of(server), f"sqlite:///{tmp_path}/place.db"):
        async with stowfast.open(url) as stores:
            await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
            async with stores.artifacts.open_reader("a") as reader:
                async for piece in reader:
                    assert piece == BODY[:MB]
                    break
            file = await stores.artifacts.open_file("a")
            for _ in range(3):
                assert len(await asyncio.to_thread(file.read, MB)) == MB
            file.close()
            file.close()
            with pytest.raises(ValueError, match="closed"):
                file.read()


async def test_a_file_that_needs_the_loop_says_so_on_it() -> None:
    async with stowfast.Stores(Shared(MemoryBackend())) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
        file = await stores.artifacts.open_file("a")
        with pytest.raises(InvalidError, match="thread"):
            file.read(1)
        assert await asyncio.to_thread(file.read) == BODY
        await asyncio.to_thread(file.close)


@pytest.mark.parametrize("times", [1, 3])
async def test_a_commit_that_arrives_late_overwrites_nothing(server: FaultyS3, times: int) -> None:
    async with stowfast.open(url_of(server)) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=b"before"))
        server.fail(Fault.LATE, operation="PUT", key="h/", times=times)
        with suppress(UnavailableError):
            await written(stores)
        server.heal()
    async with stowfast.open(url_of(server)) as stores:
        await stores.artifacts.update(Artifact(artifact_id="a", content=BODY[1:]))
        server.release()
        found = [await stores.artifacts.get("a", version=info.version) for info in await stores.artifacts.versions("a")]
        contents = [artifact and artifact.content for artifact in found]
        assert contents in ([b"before", BODY[1:]], [b"before", BODY, BODY[1:]])
        info = await written(stores)
        assert info is not None
        assert [one.sha256 for one in await stores.artifacts.versions("a")].count(info.sha256) == 1
        assert hashlib.sha256(BODY).hexdigest() == info.sha256


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (Path("nowhere.bin"), "nowhere.bin: No such file"),
        (Path(), "Is a directory"),
        ((piece for piece in [b"x"]), "a is a generator: give an async iterator of bytes, or all of it as bytes"),
    ],
    ids=["missing", "folder", "generator"],
)
async def test_what_cannot_be_content_is_told_what_would_be(content: object, says: str) -> None:
    stores = stowfast.Stores(MemoryBackend())
    with pytest.raises(InvalidError) as raised:
        await stores.artifacts.create(Artifact(artifact_id="a", content=content))
    assert says in str(raised.value).replace("'a'", "a")
    assert await stores.artifacts.info("a") is None


async def test_a_link_for_a_number_of_seconds_is_told_what_to_give() -> None:
    stores = stowfast.Stores(MemoryBackend())
    await stores.artifacts.create(Artifact(artifact_id="a", content=b"x"))
    seconds: Any = 3_600
    with pytest.raises(InvalidError, match="give a timedelta"):
        await stores.artifacts.url("a", expires=seconds)


async def test_a_close_that_was_cancelled_can_be_called_again() -> None:
    place = Slow()
    stores = stowfast.Stores(place)
    async with stores.artifacts.open_writer("a") as writer:
        await writer.write(BODY[: MB + 7])
        closing = asyncio.create_task(writer.close())
        await place.reached.wait()
        for _ in range(10):  # until it waits to hand on the rest, or the end
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.gather(closing, return_exceptions=True)
        assert closing.cancelled()
        place.let.set()
        info = await asyncio.wait_for(writer.close(), 20)
    assert info.size == MB + 7
    found = await stores.artifacts.get("a")
    assert found is not None
    assert found.content == BODY[: MB + 7]
