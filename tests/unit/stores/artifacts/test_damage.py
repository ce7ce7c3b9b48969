"""Changed stored bytes, in the file and in the bucket: damage, never wrong data."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import Artifact, DamagedError
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MB = 2**20
SIZE = 5 * MB + 1000
BODY, OTHER = Random(7).randbytes(SIZE), Random(8).randbytes(SIZE)


class StreamKeys:
    """A backend with stored bytes open to change."""

    def __init__(self, url: str) -> None:
        self.url = url

    def spoil(self, name: str, change: Callable[[bytes], bytes | None]) -> None:
        """Change the body of an artifact; None: remove it."""
        raise NotImplementedError


class File(StreamKeys):
    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self.path = path

    def spoil(self, name: str, change: Callable[[bytes], bytes | None]) -> None:
        with closing(sqlite3.connect(self.path)) as connection, connection:
            (blob,) = connection.execute(
                "SELECT blobs.id FROM blobs JOIN streams ON streams.id = blobs.stream WHERE streams.name = ?",
                (f"artifacts/{name}",),
            ).fetchone()
            ordered = "SELECT start, data FROM chunks WHERE blob = ? ORDER BY start"
            chunks = connection.execute(ordered, (blob,)).fetchall()
            changed = change(b"".join(data for _, data in chunks)) or b""
            for start, data in chunks:
                stop = None if start == chunks[-1][0] else start + len(data)
                row = (changed[start:stop], blob, start)
                connection.execute("UPDATE chunks SET data = ? WHERE blob = ? AND start = ?", row)
            connection.execute("DELETE FROM chunks WHERE blob = ? AND length(data) = 0", (blob,))


class Bucket(StreamKeys):
    def __init__(self, server: FaultyS3) -> None:
        super().__init__(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true")
        self.server = server

    def spoil(self, name: str, change: Callable[[bytes], bytes | None]) -> None:
        (key,) = [key for key in self.server.objects if "/b/" in key and name in key]
        changed = change(self.server.objects[key])
        if changed is None:
            self.server.delete(key)
        else:
            self.server.put(key, changed)


@pytest.fixture(params=["sqlite", "s3"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StreamKeys]:
    if request.param == "sqlite":
        yield File(tmp_path / "place.db")
        return
    with FaultyS3() as server:
        yield Bucket(server)


def flipped(at: int) -> Callable[[bytes], bytes]:
    return lambda body: body[:at] + bytes([body[at] ^ 4]) + body[at + 1 :]


async def whole(stores: stowfast.Stores, name: str) -> Any:
    found = await stores.artifacts.get(name)
    return found and found.content


async def part(stores: stowfast.Stores, name: str, start: int, stop: int) -> bytes:
    async with stores.artifacts.open_reader(name, start=start, stop=stop) as reader:
        return b"".join([piece async for piece in reader])


async def by_file(stores: stowfast.Stores, name: str, start: int, stop: int) -> bytes:
    file = await stores.artifacts.open_file(name)

    def read() -> bytes:
        with file:
            file.seek(start)
            return file.read(stop - start)

    return await asyncio.to_thread(read)


@pytest.mark.parametrize("at", [0, MB - 1, MB, 3 * MB + 77, SIZE - 1])
async def test_a_byte_that_was_changed(place: StreamKeys, at: int) -> None:
    async with stowfast.open(place.url) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
        await asyncio.to_thread(place.spoil, "a", flipped(at))
        with pytest.raises(DamagedError, match="artifact 'a', version 1"):
            await whole(stores, "a")
        first = at - at % MB
        for read in (part, by_file):
            for start, stop in ((at, at + 1), (first, first + 1), (0, SIZE)):
                with pytest.raises(DamagedError):
                    await read(stores, "a", start, stop)
            for start, stop in ((0, first), (first + MB, SIZE)):
                if start < stop:
                    assert await read(stores, "a", start, stop) == BODY[start:stop]
        assert (await stores.artifacts.versions("a"))[0].size == SIZE


@pytest.mark.parametrize("size", [0, 1, MB, 5 * MB, SIZE - 1])
async def test_a_body_that_was_cut(place: StreamKeys, size: int) -> None:
    async with stowfast.open(place.url) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
        await asyncio.to_thread(place.spoil, "a", lambda body: body[:size])
        with pytest.raises(DamagedError):
            await whole(stores, "a")
        for read in (part, by_file):
            for start, stop in ((size, SIZE), (max(size - 1, 0), size + 1), (SIZE - 1, SIZE)):
                with pytest.raises(DamagedError):
                    await read(stores, "a", start, stop)
            stop = size - size % MB
            if stop:
                assert await part(stores, "a", 0, stop) == BODY[:stop]


async def test_a_body_that_has_grown(place: StreamKeys) -> None:
    async with stowfast.open(place.url) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
        await asyncio.to_thread(place.spoil, "a", lambda body: body + b"more")
        assert await whole(stores, "a") == BODY
        assert await part(stores, "a", SIZE - 1, SIZE + 4) == BODY[-1:]


async def test_a_body_that_is_gone(place: StreamKeys) -> None:
    async with stowfast.open(place.url) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
        await asyncio.to_thread(place.spoil, "a", lambda _: None)
        for call in (whole(stores, "a"), part(stores, "a", 5, 6), by_file(stores, "a", 5, 6)):
            with pytest.raises(DamagedError):
                await call


async def test_bodies_that_were_exchanged(place: StreamKeys) -> None:
    async with stowfast.open(place.url) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
        await asyncio.to_thread(place.spoil, "a", lambda _: OTHER)
        for call in (whole(stores, "a"), part(stores, "a", 0, 1), by_file(stores, "a", SIZE - 1, SIZE)):
            with pytest.raises(DamagedError):
                await call


async def test_damage_of_one_version_is_none_of_another(place: StreamKeys) -> None:
    async with stowfast.open(place.url) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
        await asyncio.to_thread(place.spoil, "a", flipped(5))
        await stores.artifacts.update(Artifact(artifact_id="a", content=OTHER))
        assert await whole(stores, "a") == OTHER
        with pytest.raises(DamagedError):
            await stores.artifacts.get("a", version=1)
        assert [info.version for info in await stores.artifacts.versions("a")] == [1, 2]
        assert await stores.artifacts.prune("a", keep=1) == 1
        assert await whole(stores, "a") == OTHER
