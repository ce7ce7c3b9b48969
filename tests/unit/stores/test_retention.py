"""Sweeps by rule beside writers: each acknowledged message among the newest is there, once and in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import DamagedError, Retention, Stores
from stowfast.abc import ALL, Change, Window
from stowfast.backends.memory import MemoryBackend
from stowfast.stores.retention.bounds import Bounds
from stowfast.stores.retention.conversations import trim_conversation
from stowfast.wrappers import Shared, Wrapper

if TYPE_CHECKING:
    from pathlib import Path

    from stowfast.abc import Receipt, Slice

WRITERS, EACH, KEPT = 4, 60, 10


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_writers_and_two_sweepers_at_once(kind: str, tmp_path: Path) -> None:
    url = "memory:" if kind == "memory" else f"sqlite:///{tmp_path}/one.db"
    async with stowfast.open(url) as stores:
        second = Stores(Shared(stores.backend))
        await stores.rules.set("messages", Retention(count=KEPT))
        written: dict[str, list[int]] = {"a": [], "b": []}
        done = False

        async def write(number: int) -> None:
            for n in range(EACH):
                context = "ab"[(number + n) % 2]
                written[context].append(await stores.messages.add_message(context, {"writer": number, "n": n}))

        async def sweep(one: Stores) -> int:
            removed = 0
            while not done:
                removed += sum([found.entries async for found in one.rules.carry_out()])
                await asyncio.sleep(0)
            return removed

        sweepers = [asyncio.create_task(sweep(one)) for one in (stores, second)]
        await asyncio.gather(*map(write, range(WRITERS)))
        done = True
        removed = sum(await asyncio.gather(*sweepers))
        removed += (await stores.sweep()).entries
        for context, positions in written.items():
            entries = [entry async for entry in second.messages.entries(context)]
            assert [entry.position for entry in entries] == sorted(positions)[-KEPT:]
            for number in range(WRITERS):
                mine = [entry.message["n"] for entry in entries if entry.message["writer"] == number]
                assert mine == sorted(mine)
        assert removed == WRITERS * EACH - 2 * KEPT


class _AddsAfterARead(Wrapper):
    """Adds a message after the first read of a conversation."""

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        found = await super().read(stream, window)
        if stream == "messages/c" and not self.added:
            self.added = True
            await self.backend.commit(stream, Change([b'{"n":99}']))
        return found

    added = False


async def test_a_message_added_between_two_reads_is_no_removal() -> None:
    """A sweeper that comes late finds nothing to remove: it counts nothing and commits nothing."""
    backend = MemoryBackend()
    stores = Stores(backend)
    await stores.messages.add_messages("c", [{"n": n} for n in range(11)])
    (seen,) = await backend.heads(["messages/c"])
    assert seen is not None
    bounds = Bounds(now=0, since=None, age=None, versions=None, messages=KEPT, bytes=None)
    assert await trim_conversation(backend, seen, bounds, dry_run=False) == (1, False)
    (before,) = await backend.heads(["messages/c"])
    assert await trim_conversation(_AddsAfterARead(backend), seen, bounds, dry_run=False) is None
    (after,) = await backend.heads(["messages/c"])
    assert before is not None
    assert after is not None
    assert (after.length, after.revision) == (KEPT + 1, before.revision)


async def test_damaged_rules_remove_nothing() -> None:
    async with stowfast.open("memory:") as stores:
        await stores.messages.add_messages("c", [{}] * 5)
        for note in (
            b"{",
            b"7",
            b"[7]",
            b"[{}]",
            b'[{"kind": "messages", "prefix": "", "where": null, "scope": null}]',
        ):
            await stores.backend.commit("retention/rules", Change(note=note))
            with pytest.raises(DamagedError):
                await stores.sweep()
        assert await stores.messages.count("c") == 5


class Counts(Wrapper):
    """Counts reads of entries and commits."""

    reads = commits = 0

    async def read(self, *arguments: Any) -> Any:
        self.reads += 1
        return await super().read(*arguments)

    async def commit(self, stream: str, change: Change) -> Receipt:
        self.commits += 1
        return await super().commit(stream, change)


async def test_a_sweep_reads_heads_alone_where_nothing_is_due() -> None:
    async with stowfast.open("memory:") as stores:
        for number in range(300):
            await stores.messages.add_messages(f"c{number}", [{}] * 5)
            await stores.artifacts.put(stowfast.Artifact(artifact_id=f"a{number}", content="x"))
        await stores.rules.set("messages", Retention(count=5))
        await stores.rules.set("artifacts", Retention(versions=3))
        counted = Counts(Shared(stores.backend))
        assert (await Stores(counted).sweep()).entries == 0
        assert (counted.reads, counted.commits) == (0, 0)
        await stores.messages.add_message("c7", {})
        assert (await Stores(counted).sweep()).entries == 1
        assert counted.commits == 1
