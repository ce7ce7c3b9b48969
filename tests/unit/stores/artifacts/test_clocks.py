"""Live artifacts on machines with different clocks: the clock of the backend decides whether a writer is alive."""

from __future__ import annotations

import pytest

import stowfast
from stowfast import ConflictError
from stowfast.abc import ALL, Slice
from stowfast.backends.memory import MemoryBackend
from stowfast.testing import Shared
from stowfast.wrappers import Wrapper

HOUR = 3_600 * 1_000_000


class WrittenBySlowClocks(Wrapper):
    """Object storage seen by a clock an hour ahead of a writer's: heads have the writer's time."""

    async def heads(self, streams):
        return [head and head._replace(updated_at=head.updated_at - HOUR) for head in await super().heads(streams)]

    async def read(self, stream, window=ALL):
        head, entries = await super().read(stream, window)
        return Slice(head and head._replace(updated_at=head.updated_at - HOUR), entries)


class Later(Wrapper):
    """A place some seconds later."""

    def __init__(self, backend, seconds):
        super().__init__(backend)
        self.seconds = seconds

    async def now(self):
        return await super().now() + int(self.seconds * 1e6)


async def test_a_writer_whose_clock_is_wrong_is_alive():
    place = MemoryBackend()
    async with (
        stowfast.Stores(Shared(place)) as stores,
        stowfast.Stores(WrittenBySlowClocks(Shared(place))) as other,
        stores.artifacts.open_live("a", context_id="c") as writer,
    ):
        await writer.write(b"half")
        await writer.flush()
        info = await other.artifacts.info("a")
        assert info is not None
        assert info.state == "building"
        assert [one.state for one in await other.artifacts.list(context_id="c")] == ["building"]
        follower = other.artifacts.follow("a")
        assert await anext(follower) == b"half"
        with pytest.raises(ConflictError, match="is being written"):
            async with other.artifacts.open_live("a"):
                pass
        await writer.write(b" and half")
        await writer.close()
        assert b"".join([piece async for piece in follower]) == b" and half"


@pytest.mark.parametrize(("seconds", "state"), [(25, "building"), (31, "failed")])
async def test_a_writer_is_dead_after_30_seconds_of_the_place(seconds: float, state: str):
    place = MemoryBackend()
    async with (
        stowfast.Stores(Shared(place)) as stores,
        stowfast.Stores(Later(Shared(place), seconds)) as other,
        stores.artifacts.open_live("a") as writer,
    ):
        await writer.write(b"half")
        await writer.flush()
        info = await other.artifacts.info("a")
        assert info is not None
        assert info.state == state
