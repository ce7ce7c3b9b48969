"""Blobs on object storage: the time of an upload, and the remains of a failed read."""

from __future__ import annotations

import asyncio
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import Artifact, DamagedError, NotFoundError, UnavailableError
from stowfast.abc import Change
from stowfast.backends.objects import blobs as module
from stowfast.backends.objects.backend import ObjectBackend
from stowfast.backends.objects.driver import transfers
from stowfast.blocking import run_in_place
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

BODY = Random(1).randbytes(3 * 2**20 + 5)
ROUND_TRIP = 0.1
LONG_ROUND_TRIP = 0.7


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture
def streams(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The bodies under way."""
    streams: list[Any] = []
    download = transfers.download

    def watched(*args: Any, **kwargs: Any) -> Any:
        streams.append(download(*args, **kwargs))
        return streams[-1]

    monkeypatch.setattr(module, "download", watched)
    return streams


def place(server: FaultyS3) -> ObjectBackend:
    return ObjectBackend.at("s3://bucket", endpoint_url=server.endpoint, anonymous=True, timeout=2)


async def once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def keep(backend: ObjectBackend, body: bytes = BODY) -> str:
    blob = await backend.write_blob("s", once(body))
    await backend.commit("s", Change(entries=(b"entry",), blobs=(blob,)))
    return blob


async def test_an_artifact_is_there_after_two_round_trips(server: FaultyS3) -> None:
    async with stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true") as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=BODY[: 2**20]))
        server.latency = LONG_ROUND_TRIP
        with server.counted() as made:
            found = await stores.artifacts.get("a")
    assert found is not None
    assert found.content == BODY[: 2**20]
    assert len(made) == 3
    first, second, third = sorted(record.came for record in made)
    assert second - first >= LONG_ROUND_TRIP
    assert third - second < LONG_ROUND_TRIP, "one of the two waited for the answer to the other"


async def test_a_blob_that_nobody_refers_to_is_not_shown_and_its_body_not_kept(
    server: FaultyS3, streams: list[Any]
) -> None:
    backend = place(server)
    orphan = await backend.write_blob("s", once(BODY))
    for _ in range(100):  # a read whose head answers before its body was requested does not request the body
        with pytest.raises(NotFoundError):
            [piece async for piece in backend.read_blob("s", orphan)]
        if len(streams) >= 3:  # one request may begin late, beside the next read: 3 can be skipped
            break
    await backend.close()
    assert len(streams) >= 3
    assert [stream.gi_frame for stream in streams] == [None] * len(streams)


async def test_a_body_is_not_kept_where_the_head_has_no_answer(server: FaultyS3, streams: list[Any]) -> None:
    backend = place(server)
    blob = await keep(backend)
    server.fail(Fault.INTERNAL, operation="GET", key="h/", times=None)
    with pytest.raises(UnavailableError):
        [piece async for piece in backend.read_blob("s", blob)]
    assert [stream.gi_frame for stream in streams] == [None]
    await backend.close()


async def test_a_body_is_not_kept_by_who_was_cancelled(server: FaultyS3, streams: list[Any]) -> None:
    backend = place(server)
    blob = await keep(backend)
    server.latency = ROUND_TRIP

    async def read() -> None:
        async for _ in backend.read_blob("s", blob):
            pass

    for after in (0.0, ROUND_TRIP / 2, ROUND_TRIP):
        task = asyncio.create_task(read())
        await asyncio.sleep(after)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
    await backend.close()
    assert [stream.gi_frame for stream in streams if stream.gi_frame is not None] == []


@pytest.mark.parametrize("seen", [1, 3, 9])
async def test_a_body_is_let_go_by_who_has_seen_enough(server: FaultyS3, streams: list[Any], seen: int) -> None:
    body = Random(2).randbytes(20 * 2**20)
    backend = place(server)
    blob = await keep(backend, body)
    with server.counted() as made:
        pieces = backend.read_blob("s", blob)
        found = b"".join([await anext(pieces) for _ in range(seen)])
        await pieces.aclose()  # type: ignore[attr-defined]
        await backend.close()  # which waits for what is under way
    assert body.startswith(found)
    assert [stream.gi_frame for stream in streams] == [None]
    assert [record.operation for record in made if "/b/" in "/".join(record.key)].count("GET") <= 1


async def test_a_body_that_is_gone_is_damage(server: FaultyS3) -> None:
    backend = place(server)
    blob = await keep(backend)
    for key in server.objects:
        if "/b/" in key:
            server.delete(key)
    with pytest.raises(DamagedError, match="is not there, though an entry refers to it"):
        [piece async for piece in backend.read_blob("s", blob)]
    await backend.commit("s", Change(cut_from=0))
    with pytest.raises(NotFoundError):
        [piece async for piece in backend.read_blob("s", blob)]
    await backend.close()


def test_a_blob_is_read_in_the_calling_thread_too(server: FaultyS3) -> None:
    backend = place(server)

    async def read(blob: str, start: int = 0, stop: int | None = None) -> bytes:
        return b"".join([piece async for piece in backend.read_blob("s", blob, start=start, stop=stop)])

    blob = run_in_place(keep(backend))
    assert run_in_place(read(blob)) == BODY
    assert run_in_place(read(blob, 7, 10)) == BODY[7:10]
    assert run_in_place(read(blob, len(BODY))) == b""
    with pytest.raises(NotFoundError):
        run_in_place(read(blob.replace("-", "0-")))
    run_in_place(backend.close())
