"""A conflict after a write without a condition is a fault of the store, never a mistake of the caller."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import stowfast
from tests.chaos.object_lives import LARGE
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.services.faulty_s3.server import Rule

Write = tuple[str, str, "Callable[[stowfast.Stores], Awaitable[object]]"]


def _messages(stores: stowfast.Stores) -> Awaitable[object]:
    return stores.messages.add_messages("c", [{"text": "x" * 200_000}] * 4, op_id="op")


def _artifact(size: int) -> Callable[[stowfast.Stores], Awaitable[object]]:
    one = stowfast.Artifact(artifact_id="a", content=bytes(size))
    return lambda stores: stores.artifacts.create(one, op_id="op")


WRITES: dict[str, Write] = {
    "segment": ("PUT", "d/messages/", _messages),
    "blob": ("PUT", "d/artifacts/", _artifact(100_000)),
    "upload begin": ("MULTIPART_CREATE", "d/artifacts/", _artifact(LARGE)),
    "upload part": ("MULTIPART_PART", "d/artifacts/", _artifact(LARGE)),
    "upload end": ("MULTIPART_COMPLETE", "d/artifacts/", _artifact(LARGE)),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
@pytest.mark.parametrize("times", [1, None], ids=["once", "without end"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
async def test_a_conflict_where_nothing_was_conditional_is_no_caller_s_mistake(
    write: Write, times: int | None, after: bool
) -> None:
    operation, key, call = write
    with FaultyS3() as server:
        async with stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&timeout=3") as stores:
            rule = server.fail(Fault.CONFLICT, after=after, operation=operation, key=key, times=times)
            await _until_answered(lambda: call(stores), rule)
            assert rule.struck
            await call(stores)
            assert await stores.messages.count("c") in {0, 4}
            assert await stores.messages.count("c") == 4 or len(await stores.artifacts.versions("a")) == 1


async def _until_answered(call: Callable[[], Awaitable[object]], rule: Rule) -> None:
    try:
        await call()
    except stowfast.UnavailableError:
        rule.times = 0
        await call()
    else:
        rule.times = 0
