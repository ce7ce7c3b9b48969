"""Two places as one keep the contract before, while and after their streams move."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import ConflictError, Retention, Stores, moving
from stowfast.abc import Change, Query
from stowfast.backends.memory import MemoryBackend
from stowfast.moving import MovingBackend
from stowfast.moving.marks import Marked, cut_over
from stowfast.moving.results import Copied
from stowfast.moving.streams import StreamCopy
from stowfast.testing import BACKEND, STORES
from stowfast.wrappers import Shared
from tests.unit.moving.places import content, fill

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.abc import Backend
    from stowfast.testing import Clause


def name(clause: Clause[Backend]) -> str:
    return clause.__name__


@pytest.mark.slow
@pytest.mark.parametrize("clause", BACKEND, ids=name)
async def test_two_places_keep_every_promise_of_one(clause: Clause[Backend]) -> None:
    old, new = MemoryBackend(), MemoryBackend()

    @asynccontextmanager
    async def make() -> AsyncIterator[Backend]:
        yield MovingBackend(Shared(old), Shared(new))

    await clause(make)


class MovesBefore(MovingBackend):
    """Moves a stream before each third commit to it."""

    count = 0

    async def commit(self, stream: str, change: Change) -> stowfast.abc.Receipt:
        self.count += 1
        if self.count % 3 == 0:
            await moving.move(Stores(self.old), Stores(self.backend))
        return await super().commit(stream, change)


@pytest.mark.slow
@pytest.mark.parametrize(
    "clause", [one for one in STORES if "messages" in one.__module__ or "tasks" in one.__module__], ids=name
)
async def test_stores_keep_every_promise_while_they_move(clause: Clause[Stores]) -> None:
    old, new = MemoryBackend(), MemoryBackend()

    @asynccontextmanager
    async def make() -> AsyncIterator[Stores]:
        # Streams begin at the old place, as those of programs before the move.
        yield Stores(MovesBefore(Shared(new), Shared(old)))

    await clause(make)


async def test_a_moved_place_is_as_it_was() -> None:
    async with stowfast.open("memory:") as old, stowfast.open("memory:") as new:
        await fill(old)
        wanted = await content(old.backend)
        both = MovingBackend(Shared(old.backend), Shared(new.backend))
        assert await content(both) == wanted
        done = await moving.move(old, new)
        assert (done.complete, done.streams) == (True, len(wanted))
        assert await content(old.backend) == {}
        assert await content(new.backend) == wanted
        assert await content(both) == wanted


async def test_a_stream_deleted_while_it_is_copied_stays_deleted() -> None:
    async with stowfast.open("memory:") as old, stowfast.open("memory:") as new:
        await old.messages.add_message("c", {"n": 1})
        both = Stores(MovingBackend(Shared(old.backend), Shared(new.backend)))
        await StreamCopy(old.backend, Marked(new.backend), "messages/c", Copied()).run()
        assert len(await both.messages.get_messages("c")) == 1
        await both.messages.delete("c")
        assert await both.messages.get_messages("c") == []
        assert (await new.backend.streams(Query(""))).streams == []
        await moving.move(old, new)
        assert await both.messages.get_messages("c") == []


async def test_a_mover_killed_after_the_cut_leaves_the_stream_readable() -> None:
    async with stowfast.open("memory:") as old, stowfast.open("memory:") as new:
        await old.messages.add_message("c", {"n": 1})
        both = Stores(MovingBackend(Shared(old.backend), Shared(new.backend)))
        head = await StreamCopy(old.backend, Marked(new.backend), "messages/c", Copied()).run()
        assert head is not None
        await cut_over(old.backend, head)
        assert await both.messages.get_messages("c") == [{"n": 1}]
        assert await both.messages.add_message("c", {"n": 2}) == 1
        assert len(await new.messages.get_messages("c")) == 2


async def test_a_message_that_comes_meanwhile_stops_the_cut() -> None:
    async with stowfast.open("memory:") as old, stowfast.open("memory:") as new:
        await old.messages.add_message("c", {"n": 1})
        head = await StreamCopy(old.backend, Marked(new.backend), "messages/c", Copied()).run()
        assert head is not None
        await old.messages.add_message("c", {"n": 2})
        with pytest.raises(ConflictError):
            await cut_over(old.backend, head)
        assert (await moving.move(old, new)).complete
        assert await new.messages.get_messages("c") == [{"n": 1}, {"n": 2}]


async def test_a_writer_without_the_wrapper_is_named() -> None:
    async with stowfast.open("memory:") as old, stowfast.open("memory:") as new:
        await old.messages.add_message("c", {"n": 1})
        await moving.move(old, new)
        await old.messages.add_message("c", {"n": "behind our back"})
        done = await moving.move(old, new)
        assert [one.stream for one in done.differences] == ["messages/c"]
        assert await new.messages.get_messages("c") == [{"n": 1}]


async def test_the_rules_of_retention_move_with_the_rest() -> None:
    async with stowfast.open("memory:") as old, stowfast.open("memory:") as new:
        await old.messages.add_messages("c", [{"n": n} for n in range(5)])
        await old.rules.set("messages", Retention(count=2))
        rules = await old.rules.list()
        both = Stores(MovingBackend(Shared(old.backend), Shared(new.backend)))
        assert await both.rules.list() == rules
        assert (await moving.move(old, new)).complete
        assert (await both.rules.list(), await new.rules.list(), await old.rules.list()) == (rules, rules, [])
        assert (await both.sweep()).entries == 3
        assert await new.messages.get_messages("c") == [{"n": 3}, {"n": 4}]
