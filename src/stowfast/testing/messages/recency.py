"""Clauses of lists of conversations by recency."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from stowfast.testing.clause import clauses, holds, same, tick, unique
from stowfast.testing.data.messages import listed_ids, say

if TYPE_CHECKING:
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_SUM = {"role": "system", "content": "in short"}


async def contexts_are_listed_the_last_changed_first(make: Make[Stores]) -> None:
    """By recency, the default order, the last changed conversation comes first, page by page."""
    async with make() as stores:
        prefix = unique("context")
        ids = [f"{prefix}{number}" for number in range(7)]
        for context in (*ids, ids[2]):
            await stores.messages.add_message(context, say(context))
            await tick(stores.backend)
        wanted = [ids[2], *(context for context in reversed(ids) if context != ids[2])]
        for limit in (1, 3, 7, 100):
            same(
                await listed_ids(stores.messages, prefix=prefix, limit=limit),
                wanted,
                f"the last changed first, by {limit}",
            )
        page = await stores.messages.contexts(prefix=prefix, order="recent")
        times = [one.updated_at for one in page]
        holds(times == sorted(times, reverse=True) and times[0].tzinfo is UTC, "times in UTC, the latest first")


async def a_list_by_recency_is_ordered_by_messages(make: Make[Stores]) -> None:
    """Only messages move a conversation to the front: metadata, a compaction and an expiry leave it in its place."""
    async with make() as stores:
        prefix, messages = unique("context"), stores.messages
        ids = [f"{prefix}{number}" for number in range(4)]
        for context in ids:
            await messages.add_messages(context, list(map(say, range(3))))
            await tick(stores.backend)
        times = [info and info.updated_at for info in [await messages.info(context) for context in ids]]
        await messages.set_metadata(ids[0], {"title": "renamed"})
        await messages.update_metadata(ids[1], {"title": "renamed, too"})
        await messages.compact(ids[2], keep_last=1, summary=_SUM)
        await messages.set_expiry(ids[0], datetime(2999, 1, 1, tzinfo=UTC))
        for limit in (1, 2, 100):
            same(await listed_ids(messages, prefix=prefix, limit=limit), ids[::-1], f"unmoved ones, by {limit}")
        for context, time in zip(ids, times, strict=True):
            info = await messages.info(context)
            same(info and info.updated_at, time, f"the time of {context}")
        await messages.add_message(ids[1], say("new"), metadata={"title": "with a message"})
        same(await listed_ids(messages, prefix=prefix), [ids[1], ids[3], ids[2], ids[0]], "after a message")
        await messages.pop_message(ids[2])
        same((await listed_ids(messages, prefix=prefix))[0], ids[2], "after a message was popped")


CLAUSES = clauses(__name__)
