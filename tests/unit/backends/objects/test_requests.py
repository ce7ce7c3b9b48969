"""The requests of each call on object storage, counted at the server: a user waits for them and pays them."""

from __future__ import annotations

import asyncio
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
import stowfast.sync
from stowfast.abc import Change, Receipt
from stowfast.backends.objects.protocol.keys import MARKER, keys_of
from stowfast.backends.objects.protocol.requests import Token
from stowfast.backends.objects.protocol.state import decode_state
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from tests.services.faulty_s3.server import Record

MANY = 100_000
# Of hexadecimal digits, which compress to a half at best, as text does.
TEXTS = [Random(seed).randbytes(500).hex() for seed in range(100)]


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    """A server without LIST requests, except in tests about them. A store has begun in its bucket."""
    with FaultyS3() as server:
        server.put(MARKER, b'{"format":1,"id":"0"}')
        yield server
        assert [record for record in server.requests if record.operation == "LIST"] == []


def stores_of(server: FaultyS3) -> AbstractAsyncContextManager[stowfast.Stores]:
    return stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true")


def message(number: int) -> dict[str, Any]:
    """A message of 1 KB, as JSON."""
    return {"n": number, "content": TEXTS[number % len(TEXTS)]}


def messages(start: int, stop: int) -> list[dict[str, Any]]:
    return [message(number) for number in range(start, stop)]


def is_segment(key: str) -> bool:
    return key.startswith("d/") and "/b/" not in key


def costs(made: Sequence[Record]) -> list[str]:
    """Each request by its operation and the kind of its object: "PUT head", "GET segment"."""
    return [f"{record.operation} {_of(record.key)}" for record in made]


def _of(key: str) -> str:
    if key.startswith("h/"):
        return "head"
    return "segment" if is_segment(key) else "blob"


@asynccontextmanager
async def cold(server: FaultyS3) -> AsyncIterator[tuple[stowfast.Stores, list[Record]]]:
    """A new opening, with nothing cached, and its requests."""
    async with stores_of(server) as stores:
        with server.counted() as made:
            yield stores, made


@pytest.mark.parametrize("count", [1, 10, 100, 490])
async def test_an_append_is_one_put_and_a_cold_one_looks_before(server: FaultyS3, count: int) -> None:
    async with cold(server) as (stores, made):
        await stores.messages.add_message("c", message(0))
        assert costs(made) == ["GET head", "PUT head"]
        made.clear()
        await stores.messages.add_messages("c", messages(0, count))
        assert costs(made) == ["PUT head"]
        made.clear()
        await stores.messages.add_message("other", message(0), op_id="op")
        await stores.messages.add_message("other", message(1), op_id="op 2")
        assert costs(made) == ["GET head", "PUT head", "PUT head"]
        made.clear()
        await stores.messages.add_messages("new", messages(0, count), expect=0)  # which says that there is none
        assert costs(made) == ["PUT head"]


async def test_many_changes_are_one_put_for_each_stream(server: FaultyS3) -> None:
    async with cold(server) as (stores, made):
        changes = [(f"notes/{number % 3}", Change([b"%d" % number], expect=number // 3)) for number in range(12)]
        receipts = await stores.backend.commit_many(changes)
        assert [receipt.first for receipt in receipts if isinstance(receipt, Receipt)] == [n // 3 for n in range(12)]
        assert sorted(costs(made)) == ["GET head"] * 3 + ["PUT head"] * 3
        made.clear()
        await stores.backend.commit_many([("notes/0", Change([b"a"])), ("notes/0", Change([b"b"], op_id="op"))])
        assert costs(made) == ["PUT head"]


async def test_what_is_together_at_once_is_one_put(server: FaultyS3) -> None:
    async with cold(server) as (stores, made):
        await stores.messages.add_message("c", {})
        made.clear()
        server.latency = 0.1
        await asyncio.gather(*(stores.messages.add_message("c", {"n": number}) for number in range(50)))
        assert set(costs(made)) == {"PUT head"}
        assert len(made) <= 3


async def test_reading_what_is_in_the_tail(server: FaultyS3) -> None:
    async with stores_of(server) as stores:
        for number in range(10):
            await stores.messages.add_message("c", message(number))
    windows: list[tuple[dict[str, Any], int]] = [
        ({}, 10),
        ({"last": 3}, 3),
        ({"max_tokens": 600}, 2),
        ({"after": 4}, 5),
    ]
    for window, wanted in windows:
        async with cold(server) as (stores, made):
            assert len(await stores.messages.get_messages("c", **window)) == wanted
            assert costs(made) == ["GET head"]
            assert len(await stores.messages.get_messages("c", **window)) == wanted
            assert [(record.operation, record.status, record.sent) for record in made[1:]] == [("GET", 304, 0)]
    async with cold(server) as (stores, made):
        assert await stores.messages.count("c") == 10
        assert costs(made) == ["GET head"]


async def test_sealing_and_merging_cost_one_put_in_twenty_appends(server: FaultyS3) -> None:
    appends = 2_000
    with server.counted() as made:
        async with stores_of(server) as stores:
            del made[:]
            for number in range(appends):
                await stores.messages.add_message("c", message(number))
    counts = Counter(costs(made))
    extra = counts["PUT head"] + counts["PUT segment"] - appends
    print(f"{appends:,} appends of 1 KB: {dict(counts)}, {extra / appends:.4f} extra PUT an append")
    assert extra <= 0.05 * appends
    assert counts["GET head"] == 1
    async with cold(server) as (stores, made):
        assert await stores.messages.get_messages("c") == messages(0, appends)
        print(f"reading {appends:,} of them cold: {len(made)} requests")
        assert len(made) <= 4
        made.clear()
        assert await stores.messages.get_messages("c") == messages(0, appends)
        assert [(record.operation, record.status) for record in made] == [("GET", 304)]


@pytest.mark.parametrize("batch", [1, 10, 1_000])
async def test_reading_a_thousand_messages(server: FaultyS3, batch: int) -> None:
    async with stores_of(server) as stores:
        for start in range(0, 1_000, batch):
            await stores.messages.add_messages("c", messages(start, start + batch))
    async with cold(server) as (stores, made):
        assert await stores.messages.get_messages("c") == messages(0, 1_000)
        print(f"1,000 messages in batches of {batch}: {len(made)} requests")
        assert len(made) <= 4
    async with cold(server) as (stores, made):
        assert await stores.messages.count("c") == 1_000
        assert len(made) == 1
        made.clear()
        assert await stores.messages.get_messages("c", last=5) == messages(995, 1_000)
        # What came in one batch larger than a head may be lies in a segment, down to the newest.
        assert costs(made) == ["GET head"] + ["GET segment"] * (batch == 1_000)


@pytest.mark.parametrize("batch", [pytest.param(100, marks=pytest.mark.soak), 10_000])
async def test_reading_a_hundred_thousand_messages_in_two_round_trips(server: FaultyS3, batch: int) -> None:
    with server.counted() as made:
        async with stores_of(server) as stores:
            del made[:]
            for start in range(0, MANY, batch):
                await stores.messages.add_messages("c", messages(start, start + batch))
    written = sum(record.received for record in made) / 2**20
    print(f"{MANY:,} messages in batches of {batch:,}: {dict(Counter(costs(made)))}, {written:,.0f} MiB sent")
    segments = sorted(key for key in server.objects if is_segment(key))
    assert 1 + len(segments) <= 20
    async with cold(server) as (stores, made):
        # No answer of a segment is given before every segment was asked for: what is one round trip, comes through.
        server.fail(Fault.HOLD, after=True, operation="GET", key=is_segment, times=len(segments))
        reading = asyncio.create_task(stores.messages.get_messages("c"))
        await _until(lambda: len(made) == 1 + len(segments) or reading.done())
        assert costs(made) == ["GET head"] + ["GET segment"] * len(segments)
        assert sorted(record.key for record in made[1:]) == segments
        server.release()
        found = await reading
        print(f"read cold: {len(made)} requests")
        assert len(made) == 1 + len(segments)
    assert len(found) == MANY
    assert all(one == message(number) for number, one in enumerate(found))


async def _until(done: Any) -> None:
    for _ in range(2_000):
        if done():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError


async def test_listing_a_thousand_conversations_is_one_list() -> None:
    with FaultyS3() as server:
        async with stores_of(server) as stores:
            for start in range(0, 1_000, 100):
                ids = range(start, start + 100)
                await asyncio.gather(*(stores.messages.add_message(f"c-{number:04}", {}) for number in ids))
            await stores.messages.add_message("c-0007", {})
        async with cold(server) as (stores, made):
            page = await stores.messages.contexts(limit=1_000)
            # The end of a listing of none, or of whole pages, is asked for again: a login page looks like an empty one.
            # Then a head for each stream of a second with others: the bucket does not order these.
            assert [record.operation for record in made[:3]] == ["LIST", "GET", "LIST"]
            assert {record.operation for record in made[3:]} <= {"GET"}
            assert len(made) <= 3 + 1_000
            assert (len(page), page[0].context_id, page.next) == (1_000, "c-0007", None)
            assert [ref.updated_at for ref in page] == sorted((ref.updated_at for ref in page), reverse=True)
            made.clear()
            page = await stores.messages.contexts(order="id", limit=1_000)
            assert [ref.context_id for ref in page] == [f"c-{number:04}" for number in range(1_000)]
            made.clear()
            await stores.messages.add_message("c-1000", {})
            made.clear()
            assert len(await stores.messages.contexts(order="id", limit=2_000)) == 1_001
            assert [record.operation for record in made] == ["LIST"] * 2


async def test_a_task_is_saved_by_one_put_and_loaded_by_one_get(server: FaultyS3) -> None:
    async with cold(server) as (stores, made):
        for step in range(20):
            await stores.tasks.save(stowfast.TaskState(task_id="t", data={"step": step}))
        assert costs(made)[:11] == ["GET head"] + ["PUT head"] * 10
        assert Counter(costs(made)) == {"GET head": 1, "PUT head": 20, "PUT segment": 1}
    async with cold(server) as (stores, made):
        state = await stores.tasks.load("t")
        assert state is not None
        assert state.data == {"step": 19}
        assert costs(made) == ["GET head"]
        made.clear()
        await stores.tasks.save(state, expect=state.version)
        assert costs(made) == ["PUT head"]


@pytest.mark.parametrize(
    ("size", "written", "read"),
    [
        (30_000, ["PUT head"], ["GET head"]),
        (8 * 2**20, ["PUT blob", "PUT head"], ["GET blob", "GET head", "GET head"]),
        (
            9 * 2**20,
            ["MULTIPART_CREATE blob", *["MULTIPART_PART blob"] * 2, "MULTIPART_COMPLETE blob", "PUT head"],
            ["GET blob", "GET head", "GET head"],
        ),
    ],
    ids=["small", "large", "in parts"],
)
async def test_an_artifact_is_one_put_or_two_or_parts(
    server: FaultyS3, size: int, written: list[str], read: list[str]
) -> None:
    artifact = stowfast.Artifact(artifact_id="a", content=bytes(size))
    async with cold(server) as (stores, made):
        await stores.artifacts.create(artifact)
        assert costs(made) == written
        made.clear()
        await stores.artifacts.update(stowfast.Artifact(artifact_id="a", content=b"\1" * size))
        # Before that it asked whether it is there, and in which versions these bytes are already.
        assert [cost for cost in costs(made) if not cost.startswith("GET")] == written
    async with cold(server) as (stores, made):
        found = await stores.artifacts.get("a", version=1)
        assert found is not None
        assert found.content == artifact.content
        assert sorted(costs(made)) == read  # the last two side by side


def test_many_reads_of_the_sync_face_are_under_way_together(server: FaultyS3) -> None:
    ids = [f"id-{number}" for number in range(8)]
    url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
    with stowfast.sync.open(url) as writer, stowfast.sync.open(url) as stores, ThreadPoolExecutor(1) as thread:
        for id in ids:
            writer.tasks.save(stowfast.TaskState(task_id=id, data=id))
        held = [server.fail(Fault.HOLD, operation="GET", key=keys_of(f"tasks/{id}").head) for id in ids]
        try:
            loaded = thread.submit(stores.tasks.load_many, [*ids, "unknown"])
            for rule in held:
                rule.wait()
        finally:
            server.heal()
            server.release()
        assert [None if state is None else state.data for state in loaded.result()] == [*ids, None]


async def test_a_head_tells_one_id_for_each_writer(server: FaultyS3) -> None:
    head = keys_of("messages/c").head

    def told() -> list[int]:
        """The ages, in commits, of the ids that the head tells."""
        state = decode_state("messages/c", server.objects[head], Token(None, None))
        return [age for age, id in enumerate(reversed(state.recent)) if id]

    async with stores_of(server) as one, stores_of(server) as other, stores_of(server) as third:
        for number in range(70):
            await one.messages.add_message("c", message(number))
            assert told() == [0]
        await other.messages.add_message("c", message(0))
        assert told() == [0, 1]
        await third.messages.add_message("c", message(1))
        assert told() == [0, 1, 2]
        # The ids of those that are silent stay for 64 commits, this one included.
        for number in range(1, 70):
            await one.messages.add_message("c", message(number))
            assert told() == [0, *(age for age in (number, number + 1) if age < 64)]
