"""The findings of reads: damage by name, a time that is over, and nothing written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import stowfast
from stowfast import DamagedError, UnavailableError
from stowfast.abc import ALL, Listing, Query, Slice, Window
from stowfast.backends.memory import MemoryBackend
from stowfast.findings import surveyed
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    import pytest


async def filled(backend: MemoryBackend, count: int) -> None:
    stores = stowfast.Stores(backend)
    for n in range(count):
        await stores.messages.add_messages(f"c{n}", [{"n": n}] * 3)


async def test_all_is_read_and_damage_is_named() -> None:
    class Damaged(Wrapper):
        async def read(self, stream: str, window: Window = ALL) -> Slice:
            if stream.endswith("/c2"):
                raise DamagedError("messages/c2: entry 1 has another checksum")
            return await super().read(stream, window)

    inner = MemoryBackend()
    await filled(inner, 4)
    findings = await surveyed(Damaged(inner), seconds=60)
    assert [one.sentence for one in findings if one.passed is False] == [
        "gives messages/c2 back",
        "gives undamaged entries back",
    ]
    assert findings[-1].detail == "the newest 9 entries of 4 streams were read"
    assert [one.passed for one in await surveyed(inner, seconds=60)] == [None, True, True, True]


async def test_a_time_that_is_over_is_told() -> None:
    class Stuck(Wrapper):
        async def read(self, stream: str, window: Window = ALL) -> Slice:
            if stream.endswith("/c0"):  # the last of the list
                await asyncio.Event().wait()
            return await super().read(stream, window)

    inner = MemoryBackend()
    await filled(inner, 3)
    findings = await surveyed(Stuck(inner), seconds=0.05)
    assert findings[-1].detail.startswith(
        "the newest 6 entries of 2 streams were read, then the 0.05 s for it were over"
    )


async def test_many_streams_are_not_all_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stowfast.findings._STREAMS", 2)
    monkeypatch.setattr("stowfast.findings._PAGE", 1)
    inner = MemoryBackend()
    await filled(inner, 3)
    told = (await surveyed(inner, seconds=60))[-1].detail
    assert told == "the newest 6 entries of 2 streams were read, those that changed last: stowfast verify reads all"


async def test_a_backend_without_an_answer_is_a_finding() -> None:
    class Away(Wrapper):
        async def streams(self, query: Query) -> Listing:
            raise UnavailableError("no answer")

    findings = await surveyed(Away(MemoryBackend()), seconds=60)
    assert ("answers", False, "no answer") in [one[:3] for one in findings]
