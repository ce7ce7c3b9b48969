"""Directories: lists read no head twice, are never wrong, and bring nothing back."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast.abc import Change, Query
from stowfast.backends.objects.protocol import index
from stowfast.backends.objects.protocol.commit import commit
from stowfast.backends.objects.protocol.index import INDEXES, entries_of
from stowfast.backends.objects.protocol.listing import listing
from stowfast.backends.objects.protocol.requests import ABSENT, ANY, All, Environment, Item, Put, Token
from stowfast.backends.objects.protocol.sweep import survey, sweep_stream
from tests.services.faulty_s3.server import FaultyS3
from tests.simulator.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK = b"<what was deleted>"


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def url(server: FaultyS3) -> str:
    return f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"


def artifact(number: int, **given: Any) -> stowfast.Artifact:
    return stowfast.Artifact(artifact_id=f"a{number:04}", content=b"x", **given)


async def test_a_list_asks_for_heads_that_are_new_and_for_no_other(server: FaultyS3) -> None:
    async with stowfast.open(url(server)) as stores:
        for number in range(100):
            await stores.artifacts.create(artifact(number, context_id=f"c{number % 2}"))
    for new in range(2):
        async with stowfast.open(url(server)) as stores:
            await stores.artifacts.info("a0000")  # the store is tested before anything is counted
            with server.counted() as made:
                page = await stores.artifacts.list(limit=1_000)
            counts = Counter(record.operation for record in made)
            print(f"100 artifacts listed by process {new}: {dict(counts)}")
            assert len(page) == 100
            assert counts == ({"GET": 101, "LIST": 1, "PUT": 1} if new == 0 else {"GET": 1, "LIST": 1})
            with server.counted() as made:
                assert len(await stores.artifacts.list(context_id="c1", limit=1_000)) == 50
            assert [(record.operation, record.status) for record in made] == [
                ("GET", 304 if new else 200),
                ("LIST", 200),
            ]
    async with stowfast.open(url(server)) as stores, stowfast.open(url(server)) as others:
        assert len(await stores.artifacts.list(limit=1_000)) == 100
        await others.artifacts.update(artifact(7, metadata={"n": "new"}))
        await others.artifacts.delete("a0008")
        await others.artifacts.create(artifact(100))
        with server.counted() as made:
            page = await stores.artifacts.list(limit=1_000)
        assert Counter(record.operation for record in made) == {"GET": 3, "LIST": 1}
        assert {info.artifact_id for info in page} == {f"a{number:04}" for number in range(101) if number != 8}
        assert {info.artifact_id: info.version for info in page if info.version != 1} == {"a0007": 2}


async def test_tasks_and_conversations_are_found_without_their_heads(server: FaultyS3) -> None:
    async with stowfast.open(url(server)) as stores:
        for number in range(40):
            await stores.tasks.save(stowfast.TaskState(task_id=f"t{number}", status=f"s{number % 4}", data="x" * 9_000))
            await stores.messages.set_metadata(f"c{number}", {"user": number % 4})
        for new in range(2):
            with server.counted() as made:
                assert len(await stores.tasks.list(status="s1")) == 10
                assert len(await stores.messages.contexts(where={"user": 2})) == 10
            if new:
                assert Counter(record.operation for record in made) == {"GET": 2, "LIST": 2}


@pytest.mark.parametrize(
    "harm", [b"", b"SFI\x02", b"SFI\x01\0\0\0\0noise", None], ids=["empty", "newer", "noise", "bit"]
)
async def test_a_damaged_directory_is_made_anew(server: FaultyS3, harm: bytes | None) -> None:
    async with stowfast.open(url(server)) as stores:
        for number in range(20):
            await stores.artifacts.create(artifact(number))
        await stores.artifacts.list()
        (key,) = [key for key in server.objects if key.startswith(INDEXES)]
        body = server.objects[key]
        server.put(key, bytes([*body[:-9], body[-9] ^ 1, *body[-8:]]) if harm is None else harm)
    async with stowfast.open(url(server)) as stores:
        assert len(await stores.artifacts.list()) == 20
        assert len(entries_of(server.objects[key])) == 20


async def test_after_a_delete_and_a_sweep_no_directory_has_a_byte_of_it(server: FaultyS3) -> None:
    async with stowfast.open(url(server)) as stores:
        for number in range(20):
            await stores.artifacts.create(artifact(number, metadata={"secret": MARK.decode()}))
        await stores.artifacts.list()
        (key,) = [key for key in server.objects if key.startswith(INDEXES)]
        for number in range(19):
            await stores.artifacts.delete(f"a{number:04}")
        await stores.sweep()
        assert [line.key for line in entries_of(server.objects[key])] == ["h/artifacts/a0019!.sfh"]


class Stepped:
    """A listing, stopped before it writes its index."""

    def __init__(self, bucket: Bucket, environment: Environment) -> None:
        self._bucket = bucket
        self._steps = listing(Query("s/", order="recent", heads=True), None, environment)
        self.put = next(self._steps)
        while not isinstance(self.put, Put):
            self.put = self._steps.send(perform(bucket, self.put))

    def end(self) -> None:
        with pytest.raises(StopIteration):
            self._steps.send(perform(self._bucket, self.put))


def perform(bucket: Bucket, request: Any) -> Any:
    if isinstance(request, All):
        return [bucket.apply(one, 0) for one in request.requests]
    return bucket.apply(request, 0)


def run(bucket: Bucket, steps: Any) -> Any:
    result = None
    while True:
        try:
            result = perform(bucket, steps.send(result))
        except StopIteration as end:
            return end.value


def sweep(bucket: Bucket, environment: Environment) -> None:
    litter, folders, _ = run(bucket, survey())
    for one in litter:
        run(bucket, sweep_stream(one, environment))
    for folder in folders:
        assert run(bucket, index.tidy(folder, environment))


@pytest.mark.parametrize("before", [0, 1], ids=["the first directory", "another directory"])
@pytest.mark.parametrize("fenced", [True, False], ids=["fenced", "not fenced"])
def test_a_listing_that_was_overtaken_by_a_sweep_brings_nothing_back(
    monkeypatch: pytest.MonkeyPatch, before: int, fenced: bool
) -> None:
    monkeypatch.setattr(index, "_WORTH", 1)
    bucket, ids = Bucket(), iter(range(1, 1_000))
    environment = Environment(lambda: 0, lambda: f"{next(ids):032x}", lambda: 0.5)
    run(bucket, commit("s/gone", None, [Change([b"x"], note=MARK)], environment))
    run(bucket, commit("s/kept", None, [Change([b"x"])], environment))
    for _ in range(before):
        sweep(bucket, environment)
    overtaken = Stepped(bucket, environment)
    assert isinstance(overtaken.put, Put)
    assert isinstance(overtaken.put.condition, Token) if before else overtaken.put.condition is ABSENT
    run(bucket, commit("s/gone", None, [Change(delete=True)], environment))
    sweep(bucket, environment)
    if not fenced:
        overtaken.put = overtaken.put._replace(condition=ANY)
    overtaken.end()
    headers = b"".join(line.header for line in entries_of(bucket.objects["i/s.sfi"].body))
    assert (MARK in headers) is not fenced


def test_an_index_of_the_most_and_longest_heads_is_read_again() -> None:
    heads = index.Index("i/t.sfi", None)
    items = [Item(f"h/t/{number:01000}", 1, number, f'"{number}"') for number in range(index._MOST + 1)]
    for item in items:
        heads.learn(item, bytes(index._LONGEST))
    put = next(heads.replace(items, Environment(lambda: 0, lambda: "0" * 16, lambda: 0.0)))
    assert isinstance(put, Put)
    assert {entry.key for entry in entries_of(put.body)} == {item.key for item in items[1:]}
