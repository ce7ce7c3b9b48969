"""Clauses of replacements: other messages in the place of all from a position on, in one commit."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError, UnavailableError
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.testing.data.messages import exactly, refused, say
from stowfast.testing.faults import LosesAnswers

if TYPE_CHECKING:
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_SUM: Final = {"role": "system", "content": "in short"}


async def messages_are_replaced_from_a_position_on(make: Make[Stores]) -> None:
    """What is at `start` and behind goes, the given messages come, at new positions; behind the end nothing goes."""
    context = unique("context")
    async with make() as stores:
        await stores.messages.add_messages(context, list(map(say, range(5))), metadata={"k": "v"})
        found = await stores.messages.replace_messages(context, [say("a"), say("b")], start=3)
        same(found, range(5, 7), "positions")
        same(await stores.messages.replace_messages(context, [say("c")], start=99), range(7, 8), "behind the end")
    async with make() as stores:
        wanted = [say(0), say(1), say(2), say("a"), say("b"), say("c")]
        exactly(await stores.messages.get_messages(context), wanted, "messages after a replacement")
        positions = [entry.position async for entry in stores.messages.entries(context)]
        same((positions, await stores.messages.count(context)), ([0, 1, 2, 5, 6, 7], 6), "positions, and their count")
        same(len(await stores.messages.replace_messages(context, [], start=6)), 0, "positions of no messages")
        exactly(await stores.messages.get_messages(context), wanted[:4], "messages after an end was cut off")
        same(await stores.messages.replace_messages(unique("context"), [say(0)], start=0), range(1), "a new one")


async def a_replacement_of_all_keeps_metadata_and_expiry(make: Make[Stores]) -> None:
    """With `start=0` all messages are replaced, a summary and its originals included; metadata and expiry stay."""
    context, moment = unique("context"), datetime(2999, 1, 1, tzinfo=UTC)
    async with make() as stores:
        await stores.messages.add_messages(context, list(map(say, range(5))), metadata={"k": context})
        await stores.messages.set_expiry(context, moment)
        await stores.messages.compact(context, keep_last=2, summary=_SUM)
        before = await stores.messages.info(context)
        same(await stores.messages.replace_messages(context, [say("a"), say("b")], start=0), range(5, 7), "positions")
    async with make() as stores:
        for window in ({}, {"originals": True}, {"after": -1}):
            options: dict[str, Any] = window
            exactly(await stores.messages.get_messages(context, **options), [say("a"), say("b")], f"{window}")
        info = await stores.messages.info(context)
        holds(info and before and info.incarnation == before.incarnation, "the same life")
        same(
            info and (info.count, info.compacted, info.metadata, info.expires_at),
            (2, 0, {"k": context}, moment),
            "what is known after a replacement",
        )
        listed = await stores.messages.contexts(where={"k": context})
        same([one.context_id for one in listed], [context], "found by its metadata")


async def a_replacement_inside_a_summary_is_refused(make: Make[Stores]) -> None:
    """A `start` among the messages that a summary stands for is an InvalidError; from its end on all is replaced."""
    async with make() as stores:
        context = unique("context")
        await stores.messages.add_messages(context, list(map(say, range(5))))
        await stores.messages.compact(context, keep_last=2, summary=_SUM)
        for start in (1, 2, -1):
            call = stores.messages.replace_messages(context, [say("no")], start=start)
            await raises(InvalidError, call, f"start={start}")
        exactly(await stores.messages.get_messages(context), [_SUM, say(3), say(4)], "messages after refusals")
        await stores.messages.replace_messages(context, [say("a")], start=3)
        exactly(await stores.messages.get_messages(context), [_SUM, say("a")], "messages behind the summary")
        for subject, value in refused():
            call = stores.messages.replace_messages(context, [say(0), {"v": value}], start=0)
            await raises(InvalidError, call, subject)
        exactly(await stores.messages.get_messages(context), [_SUM, say("a")], "messages after refusals")


async def a_repeated_replacement_replaces_nothing(make: Make[Stores]) -> None:
    """A repeat with the same op_id returns the first positions, also after the conversation went on."""
    context = unique("context")
    async with make() as stores:
        await stores.messages.add_messages(context, list(map(say, range(4))))
        loses = LosesAnswers(stores.backend, 1)
        messages = type(stores)(loses).messages
        call = messages.replace_messages(context, [say("a"), say("b")], start=1, op_id="op")
        await raises(UnavailableError, call, "a lost answer")
        await stores.messages.add_messages(context, [say(6), say(7)])
        await stores.messages.compact(context, keep_last=2, summary=_SUM)
        found = await messages.replace_messages(context, [say("a"), say("b")], start=1, op_id="op")
        same(found, range(4, 6), "the repeat")
        exactly(await stores.messages.get_messages(context), [_SUM, say(6), say(7)], "messages after the repeat")


async def a_replacement_is_whole_for_every_reader(make: Make[Stores]) -> None:
    """Readers see all of a replacement or nothing of it, while replacements race."""
    async with make() as stores, make() as other:
        context = unique("context")
        await stores.messages.add_messages(context, [{"by": 0}] * 4)
        racing = asyncio.gather(
            *((stores, other)[n % 2].messages.replace_messages(context, [{"by": n}] * 4, start=0) for n in range(1, 9))
        )
        for _ in range(8):
            found = [message["by"] for message in await other.messages.get_messages(context)]
            same(found, found[:1] * 4, "messages of one replacement")
        await racing
        same(await stores.messages.count(context), 4, "messages after the race")


CLAUSES = clauses(__name__)
