"""A store with a limit on changes of a key gets no more requests than that, from any number of callers."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator

PACE = 0.3
SEALS = 200_000
"""Bytes of a message; a few messages make a segment."""


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def url(server: FaultyS3) -> str:
    return f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&pace={PACE}"


def pauses(server: FaultyS3, name: str = "c") -> list[float]:
    """Seconds between each two PUTs of a conversation's head as they came, done or not."""
    made = [
        record for record in server.requests if record.operation == "PUT" and record.key == f"h/messages/{name}!.sfh"
    ]
    return [second.came - first.came for first, second in pairwise(made)]


async def add(stores: stowfast.Stores, number: int, *, size: int = 0, where: str = "c") -> None:
    await stores.messages.add_message(where, {"n": number, "text": "x" * size}, op_id=f"op-{number}")


def numbers(found: list[dict[str, Any]]) -> list[int]:
    return sorted(message["n"] for message in found)


@pytest.mark.parametrize("size", [0, SEALS], ids=["small", "sealed"])
async def test_appends_one_after_the_other_keep_the_pace(server: FaultyS3, size: int) -> None:
    async with stowfast.open(url(server)) as stores:
        for number in range(6):
            await add(stores, number, size=size)
    assert len(pauses(server)) >= 5
    assert min(pauses(server)) >= PACE
    assert any(record.key.startswith("d/") for record in server.requests) == bool(size)


async def test_a_crowd_that_appends_at_once_keeps_the_pace_and_goes_together(server: FaultyS3) -> None:
    async with stowfast.open(url(server)) as stores:
        for first in range(0, 300, 100):
            await asyncio.gather(*(add(stores, number) for number in range(first, first + 100)))
        assert numbers(await stores.messages.get_messages("c")) == list(range(300))
    assert min(pauses(server)) >= PACE
    assert len(pauses(server)) < 10


async def test_conversations_do_not_wait_for_each_other(server: FaultyS3) -> None:
    names = [f"c-{number}" for number in range(50)]
    async with stowfast.open(url(server)) as stores:
        for number in range(3):
            await asyncio.gather(*(add(stores, number, where=name) for name in names))
    assert all(min(pauses(server, name)) >= PACE for name in names)
    heads = [record.came for record in server.requests if record.operation == "PUT" and record.key.startswith("h/")]
    assert max(heads) - min(heads) < len(names) * PACE


@pytest.mark.parametrize("fault", [Fault.TOO_MANY, Fault.SLOW_DOWN, Fault.CLOSE], ids=lambda one: one.name)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_what_was_refused_is_tried_again_at_the_pace(server: FaultyS3, fault: Fault, after: bool) -> None:
    async with stowfast.open(url(server)) as stores:
        await add(stores, 0)
        refused = server.fail(fault, after=after, operation="PUT", key="h/messages/c", times=4)
        await asyncio.gather(*(add(stores, number) for number in range(1, 20)))
        await add(stores, 20)
        assert refused.struck >= 2
        assert numbers(await stores.messages.get_messages("c")) == list(range(21))
    assert min(pauses(server)) >= PACE
