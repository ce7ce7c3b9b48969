"""Clauses of watches: the messages of a conversation as they are added, from any process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from stowfast.testing.clause import clauses, same, unique
from stowfast.testing.data.messages import exactly, say
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from stowfast.abc import Backend
    from stowfast.records import MessageEntry
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

SECONDS: Final = 30.0
"""Seconds until a message is counted as missed."""


async def a_watch_yields_messages_as_they_come(make: Make[Stores]) -> None:
    """A watch yields existing, then new messages, through every opening, once each and in order."""
    context = unique("context")
    async with make() as stores, make() as other:
        await other.messages.add_messages(context, [say(0), say(1)])
        watch = _watch(stores, context, after=-1)
        found = await _next(watch, 2)
        for number in range(2, 12):
            coming = asyncio.ensure_future(anext(watch))
            added = (other, stores)[number % 2].messages.add_message(context, say(number), op_id=f"op-{number}")
            (entry, _) = await asyncio.gather(asyncio.wait_for(coming, SECONDS), added)
            same(entry.op_id, f"op-{number}", "the op_id of what came")
            found.append(entry)
        await other.messages.add_messages(context, [say(number) for number in range(12, 40)])
        found += await _next(watch, 28)
        await watch.aclose()
        same([entry.position for entry in found], list(range(40)), "positions watched")
        exactly([entry.message for entry in found], list(map(say, range(40))), "messages watched")


async def a_watch_goes_on_behind_a_position(make: Make[Stores]) -> None:
    """With `after` a watch begins behind that position, without it at the next new message."""
    context = unique("context")
    async with make() as stores, make() as other:
        await stores.messages.add_messages(context, [say(number) for number in range(5)])
        behind = _watch(stores, context, after=2)
        same([entry.position for entry in await _next(behind, 2)], [3, 4], "positions behind 2")
        waits = _SaysThatItWaits(stores.backend)
        new = _watch(type(stores)(waits), context)
        coming = asyncio.ensure_future(anext(new))
        await asyncio.wait_for(waits.waiting.wait(), SECONDS)
        await other.messages.add_message(context, say(5))
        same((await asyncio.wait_for(coming, SECONDS)).position, 5, "the next that came")
        same([entry.position for entry in await _next(behind, 1)], [5], "the next behind")
        await behind.aclose()
        await new.aclose()


async def a_watch_follows_a_new_beginning(make: Make[Stores]) -> None:
    """A watch of a conversation that is deleted and begun again continues at position 0 of the new one."""
    context = unique("context")
    async with make() as stores, make() as other:
        watch = _watch(stores, context, after=-1)
        for life in range(3):
            await other.messages.add_messages(context, [say((life, number)) for number in range(3 - life)])
            found = await _next(watch, 3 - life)
            same([entry.position for entry in found], list(range(3 - life)), "positions of a life")
            exactly([entry.message for entry in found], [say((life, n)) for n in range(3 - life)], "messages of a life")
            await other.messages.delete(context)
        await watch.aclose()


async def a_watch_may_begin_before_its_conversation(make: Make[Stores]) -> None:
    """A watch of an unknown or deleted conversation begins with its first message."""
    async with make() as stores:
        for after, deleted in ((None, False), (-1, False), (None, True), (-1, True), (2, True)):
            context = unique("context")
            if deleted:
                await stores.messages.add_messages(context, [say("old")] * 3)
                await stores.messages.delete(context)
            waits = _SaysThatItWaits(stores.backend)
            watch = _watch(type(stores)(waits), context, after=after)
            coming = asyncio.ensure_future(anext(watch))
            await asyncio.wait_for(waits.waiting.wait(), SECONDS)
            await stores.messages.add_messages(context, [say(0), say(1)])
            first = await asyncio.wait_for(coming, SECONDS)
            exactly([first.position, first.message], [0, say(0)], "the first message")
            same([entry.position for entry in await _next(watch, 1)], [1], "the second")
            await watch.aclose()


CLAUSES = clauses(__name__)


class _SaysThatItWaits(Wrapper):
    """Sets `waiting` once somebody waits for news: then what came before has been looked at."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.waiting = asyncio.Event()

    async def wait(self, *args: Any, **options: Any) -> bool:
        self.waiting.set()
        return await super().wait(*args, **options)


def _watch(stores: Stores, context_id: str, *, after: int | None = None) -> AsyncGenerator[MessageEntry, None]:
    return stores.messages.watch(context_id, after=after)


async def _next(watch: AsyncIterator[MessageEntry], count: int) -> list[MessageEntry]:
    async with asyncio.timeout(SECONDS):
        return [await anext(watch) for _ in range(count)]
