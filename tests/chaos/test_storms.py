"""Many writers, readers and a sweeper on object storage while every fourth request goes wrong, by many seeds."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import pytest

import stowfast
import stowfast.sync
from tests.amount import part
from tests.services.faulty_s3.server import FaultyS3, Quirks

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

R = TypeVar("R")

SEEDS = part(16, 4)
OPENINGS, WRITERS, CALLS = 2, 3, 7  # writers in each opening, calls of each writer
KINDS: list[Callable[[], Quirks]] = [
    Quirks,
    partial(Quirks, etag_form="unquoted", whole_seconds=True),
]  # Amazon's, and Ceph's
TRIES = 30
SIZES = [10, 10, 300, 40_000, 250_000]  # of a message: some batches are more than a head may hold


class Storm:
    """One bucket, its acknowledged writes, and the number of repeated calls."""

    def __init__(self, seed: int, quirks: Quirks) -> None:
        self.seed = seed
        self.server = FaultyS3(quirks)
        self.url = f"s3://bucket?endpoint_url={self.server.endpoint}&anonymous=true"
        self.positions: dict[str, int] = {}
        self.forks: dict[str, int] = {}
        """The number of messages of each fork."""
        self.counts: Counter[str] = Counter()

    async def run(self, probability: float) -> Counter[str]:
        with self.server as server:
            async with AsyncExitStack() as stack:
                openings = [await stack.enter_async_context(stowfast.open(self.url)) for _ in range(OPENINGS)]
                with stowfast.sync.open(self.url) as plain, server.counted() as made:
                    with server.chaos(self.seed, probability):
                        await self.weather(openings, plain)
                    server.release()
                    self.counts["requests"] = len(made)
                    self.counts["faults"] = sum(record.fault is not None for record in made)
                    self.counts["late and done"] = sum(record.applied for record in made if record.status is None)
                await self.check(openings)
            async with stowfast.open(self.url) as stores:
                await self.check([stores])
        self.counts["acknowledged"] = len(self.positions)
        return self.counts

    async def weather(self, openings: list[stowfast.Stores], plain: stowfast.sync.Stores) -> None:
        async with asyncio.TaskGroup() as group:
            for at, stores in enumerate(openings):
                for number in range(WRITERS):
                    group.create_task(self.write(stores, f"{at}.{number}"))
                group.create_task(self.read(stores))
                group.create_task(self.work(stores, f"task-{at}"))
            group.create_task(asyncio.to_thread(self.write_plainly, plain, "sync"))
            group.create_task(self.sweep(openings[0]))

    async def call(self, make: Callable[[], Awaitable[R]]) -> R:
        for _ in range(TRIES):
            try:
                return await make()
            except stowfast.UnavailableError:
                self.counts["repeats"] += 1
        raise AssertionError(f"no answer in {TRIES} tries")

    async def write(self, stores: stowfast.Stores, writer: str) -> None:
        for op_id, batch in self.batches(writer):
            got = await self.call(
                lambda op_id=op_id, batch=batch: stores.messages.add_messages("all", batch, op_id=op_id)  # type: ignore[misc]
            )
            self.acknowledge(batch, got)
        if writer.endswith(".0"):
            await self.fork(stores, f"fork-{writer}")

    async def fork(self, stores: stowfast.Stores, name: str) -> None:
        """Fork a conversation. Every message acknowledged before is in the fork."""
        before = dict(self.positions)
        count = await self.call(lambda: stores.messages.fork("all", name, op_id="fork"))
        assert count > max(before.values())
        assert await self.call(lambda: stores.messages.fork("all", name, op_id="fork")) == count
        self.forks[name] = count

    def write_plainly(self, stores: stowfast.sync.Stores, writer: str) -> None:
        for op_id, batch in self.batches(writer):
            for _ in range(TRIES):
                try:
                    got = stores.messages.add_messages("all", batch, op_id=op_id)
                except stowfast.UnavailableError:
                    self.counts["repeats"] += 1
                else:
                    self.acknowledge(batch, got)
                    break

    def batches(self, writer: str) -> list[tuple[str, list[dict[str, Any]]]]:
        draw = random.Random(f"{self.seed} {writer}")
        return [
            (
                f"{writer}:{call}",
                [
                    {"text": f"{writer}:{call}:{n}", "noise": "x" * draw.choice(SIZES)}
                    for n in range(draw.choice([1, 1, 4]))
                ],
            )
            for call in range(CALLS)
        ]

    def acknowledge(self, batch: list[dict[str, Any]], got: range) -> None:
        assert len(got) == len(batch)
        self.positions |= {message["text"]: position for message, position in zip(batch, got, strict=True)}

    async def read(self, stores: stowfast.Stores) -> None:
        """A read has every message acknowledged before it."""
        for _ in range(6):
            before = dict(self.positions)
            found = await self.call(lambda: stores.messages.get_messages("all"))
            texts = [message["text"] for message in found]
            assert all(texts[position] == text for text, position in before.items())
            assert await self.call(lambda: stores.messages.count("all")) >= len(found)
            self.counts["reads"] += 1

    async def work(self, stores: stowfast.Stores, name: str) -> None:
        """Other work: an artifact and a task, with their versions."""
        for version in range(1, 4):
            content = f"{name} {version}".encode() * (10_000 * (version % 2) + 1)
            one = stowfast.Artifact(artifact_id=name, content=content)
            change = stores.artifacts.create if version == 1 else stores.artifacts.update
            made = await self.call(lambda one=one, change=change, op=f"{version}": change(one, op_id=op))  # type: ignore[misc]
            assert made.version == version
            found = await self.call(lambda: stores.artifacts.get(name))
            assert found is not None
            assert found.content == content
            state = stowfast.TaskState(task_id=name, data=version)
            saved = await self.call(lambda state=state, op=f"{version}": stores.tasks.save(state, op_id=op))  # type: ignore[misc]
            assert saved.version == version
        await self.call(lambda: stores.messages.add_message(name, {"text": name}, op_id="1"))
        await self.call(lambda: stores.messages.delete(name))

    async def sweep(self, stores: stowfast.Stores) -> None:
        for _ in range(3):
            await self.call(stores.sweep)

    async def check(self, openings: list[stowfast.Stores]) -> None:
        """When all is well again, everything is there once, in order, where it was said to be, and nothing else."""
        written = {
            message["text"]: message
            for writer in [*(f"{at}.{number}" for at in range(OPENINGS) for number in range(WRITERS)), "sync"]
            for _, batch in self.batches(writer)
            for message in batch
        }
        assert self.positions.keys() == written.keys()
        for stores in openings:
            entries = [entry async for entry in stores.messages.entries("all")]
            assert [entry.position for entry in entries] == list(range(len(written)))
            assert {entry.message["text"]: entry.position for entry in entries} == self.positions
            assert all(entry.message == written[entry.message["text"]] for entry in entries)
            for name, count in self.forks.items():
                assert await stores.messages.get_messages(name) == [entry.message for entry in entries[:count]]
            for name in (f"task-{at}" for at in range(OPENINGS)):
                state = await stores.tasks.load(name)
                assert state is not None
                assert (state.data, state.version) == (3, 3)
                assert len(await stores.artifacts.versions(name)) == 3
                assert await stores.messages.get_messages(name) == []
            await stores.sweep()


@pytest.mark.soak
@pytest.mark.parametrize("probability", [0.15, 0.3])
async def test_a_storm_loses_doubles_and_reorders_nothing(probability: float) -> None:
    storms = [Storm(seed, KINDS[seed % len(KINDS)]()) for seed in range(SEEDS)]
    ended = await asyncio.gather(*(storm.run(probability) for storm in storms), return_exceptions=True)
    if failed := [error for error in ended if isinstance(error, Exception)]:
        raise ExceptionGroup(f"{len(failed)} of {len(storms)} storms", failed)
    total = sum((counts for counts in ended if isinstance(counts, Counter)), Counter())
    print(f"{len(storms)} seeds at {probability}: " + ", ".join(f"{what}: {n:,}" for what, n in total.items()))
