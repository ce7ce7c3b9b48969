"""Clauses of adding: batches, conditions, repeats and streamed reads."""

from __future__ import annotations

import asyncio
from datetime import UTC, timedelta
from itertools import product
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import ALL, Window
from stowfast.errors import ConflictError, InvalidError
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.testing.data.messages import MESSAGES as SHAPES
from stowfast.testing.data.messages import exactly, refused, say
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Slice
    from stowfast.records import MessageEntry
    from stowfast.stores import Messages, Stores
    from stowfast.testing.clause import Make

_PAGE_BYTES: Final = 2**20
_LARGE: Final = {"text": "x" * 300_000}
_SUM: Final = {"role": "system", "content": "in short"}


async def a_message_of_any_maker_comes_back_exactly(make: Make[Stores]) -> None:
    """A message is any JSON object and comes back exactly: unknown keys, their order, nulls, numbers, nesting."""
    one, other = unique("context"), unique("context")
    async with make() as stores:
        for message in SHAPES:
            await stores.messages.add_message(one, message)
        await stores.messages.add_messages(other, SHAPES)
    async with make() as stores:
        for context in (one, other):
            exactly(await stores.messages.get_messages(context), list(SHAPES), "messages after reopening")
            streamed = [entry.message for entry in await _entries(stores.messages, context)]
            exactly(streamed, list(SHAPES), "messages streamed")
        for message in reversed(SHAPES):
            exactly(await stores.messages.pop_message(one), message, "a message popped")


async def what_json_cannot_carry_is_refused(make: Make[Stores]) -> None:
    """A message that would not come back the same is an InvalidError, alone or in a batch; nothing is stored."""
    async with make() as stores:
        context = unique("context")
        for subject, value in refused():
            message = {"content": [{"of": value}]}
            await raises(InvalidError, stores.messages.add_message(context, message), subject)
            await raises(InvalidError, stores.messages.add_messages(context, [say(1), message, say(2)]), subject)
            await raises(InvalidError, stores.messages.set_metadata(context, message), f"{subject} in metadata")
            same(await stores.messages.count(context), 0, f"messages after {subject}")
        same(await stores.messages.info(context), None, "a conversation in which nothing was stored")


async def a_message_is_a_json_object(make: Make[Stores]) -> None:
    """A message that is no dict is refused: a list, a text, a number, None."""
    async with make() as stores:
        context = unique("context")
        wrong: tuple[Any, ...] = ([], [say(1)], "text", "", 1, None, True, b"{}", [("role", "user")])
        for message in wrong:
            await raises(InvalidError, stores.messages.add_message(context, message), repr(message))
            await raises(InvalidError, stores.messages.add_messages(context, [say(1), message]), repr(message))
        same(await stores.messages.get_messages(context), [], "messages after refusals")


async def a_message_gets_the_next_position(make: Make[Stores]) -> None:
    """Positions count from 0, and adding returns them; adding no messages adds none."""
    async with make() as stores:
        context = unique("context")
        same(await stores.messages.add_message(context, say(0)), 0, "the first position")
        same(await stores.messages.add_messages(context, [say(1), say(2)]), range(1, 3), "positions of a batch")
        same(len(await stores.messages.add_messages(context, [])), 0, "positions of no messages")
        same(await stores.messages.add_message(context, say(3)), 3, "the position after")
        same([entry.position for entry in await _entries(stores.messages, context)], [0, 1, 2, 3], "positions read")


async def messages_added_together_stay_together(make: Make[Stores]) -> None:
    """A batch gets consecutive positions, also when batches race, and each call returns its own positions."""
    async with make() as one, make() as other:
        context = unique("context")
        batches = [[{"batch": batch, "n": number} for number in range(4)] for batch in range(16)]
        added = await asyncio.gather(
            *((one, other)[n % 2].messages.add_messages(context, batch) for n, batch in enumerate(batches))
        )
        found = await one.messages.get_messages(context)
        same(len(found), 64, "messages")
        for positions, batch in zip(added, batches, strict=True):
            exactly(found[positions.start : positions.stop], batch, "a batch where it was said to be")


async def an_expected_position_is_held_to(make: Make[Stores]) -> None:
    """With `expect` a batch gets that position, or a ConflictError with the `current` one; nothing is stored."""
    async with make() as stores:
        context = unique("context")
        same(await stores.messages.add_messages(context, [say(0)], expect=0), range(1), "as expected, the first")
        same(await stores.messages.add_messages(context, [say(1)], expect=1), range(1, 2), "as expected, the next")
        for wrong in (0, 1, 3):
            call = stores.messages.add_messages(context, [say("late")], expect=wrong)
            same((await raises(ConflictError, call, f"expect={wrong}")).current, 2, "the error's current")
        same(await stores.messages.count(context), 2, "messages after conflicts")


async def a_repeated_op_id_adds_no_message(make: Make[Stores]) -> None:
    """A repeat with the same op_id adds nothing and returns the first answer, as long as its messages are there."""
    context = unique("context")
    async with make() as stores:
        same(await stores.messages.add_message(context, say("a"), op_id="one"), 0, "the first call")
        same(await stores.messages.add_messages(context, [say("b")] * 2, op_id="two"), range(1, 3), "another call")
        for number in range(100):
            await stores.messages.add_message(context, say("same"), op_id=f"more-{number}")
    async with make() as stores:
        for _ in range(2):
            same(await stores.messages.add_message(context, say("a"), op_id="one"), 0, "a repeat")
            again = await stores.messages.add_messages(context, [say("b")] * 2, op_id="two", expect=1)
            same(again, range(1, 3), "a repeated batch")
        same(await stores.messages.count(context), 103, "messages after repeats")
        same(await stores.messages.add_message(unique("context"), say("a"), op_id="one"), 0, "in another conversation")
        same(await stores.messages.add_message(context, say("a")), 103, "the same message without an op_id")


async def entries_say_where_when_and_by_which_call(make: Make[Stores]) -> None:
    """Entries between two positions come in order, with position, message, time in UTC and op_id."""
    async with make() as stores:
        context = unique("context")
        for number in range(6):
            await stores.messages.add_message(context, say(number), op_id=None if number % 2 else f"op-{number}")
        found = await _entries(stores.messages, context)
        same([entry.position for entry in found], list(range(6)), "positions")
        exactly([entry.message for entry in found], list(map(say, range(6))), "messages")
        same([entry.op_id for entry in found], ["op-0", None, "op-2", None, "op-4", None], "op_ids")
        times = [entry.created_at for entry in found]
        holds(all(time.utcoffset() == timedelta(0) and time.tzinfo is UTC for time in times), "times are in UTC")
        holds(times == sorted(times), "times do not go back")
        same(await _entries(stores.messages, context, after=1, before=4), found[2:4], "entries between")
        same(await _entries(stores.messages, context, after=5), [], "entries behind the last")
        same(await _entries(stores.messages, unique("context")), [], "entries of an unknown conversation")


async def entries_can_be_read_from_the_end(make: Make[Stores]) -> None:
    """`last` takes the newest entries between two positions, `reverse` yields them newest first, page by page."""
    async with make() as stores:
        context = unique("context")
        await stores.messages.add_messages(context, list(map(say, range(9))))
        await stores.messages.pop_message(context)
        await stores.messages.add_messages(context, [say(9), _LARGE, _LARGE, _LARGE, _LARGE, say(14)])
        await stores.messages.compact(context, keep_last=3, summary=_SUM)
        there = [*range(8), *range(9, 15)]
        for after, before, last in product((None, 2, 8), (None, 13, 9, 0), (None, 0, 1, 3, 7, 99)):
            wanted = [n for n in there if (after is None or n > after) and (before is None or n < before)]
            wanted = wanted if last is None else wanted[max(len(wanted) - last, 0) :]
            window: dict[str, Any] = {"after": after, "before": before, "last": last}
            for reverse in (False, True):
                found = await _entries(stores.messages, context, reverse=reverse, **window)
                order = wanted[::-1] if reverse else wanted
                same([entry.position for entry in found], order, f"positions in {window}, reverse={reverse}")
        page = await _entries(stores.messages, context, before=8, last=2)
        exactly([entry.message for entry in page], list(map(say, (6, 7))), "an older page")
        await raises(InvalidError, _entries(stores.messages, context, last=-1), "last=-1")


async def a_page_from_the_end_costs_a_page(make: Make[Stores]) -> None:
    """An older page of a long conversation reads no more than a page; newest first, no more than a page at a time."""
    async with make() as stores:
        context, reads = unique("context"), _SizesOfReads(stores.backend)
        for number in range(12):
            await stores.messages.add_message(context, {**_LARGE, "n": number})
        messages = type(stores)(reads).messages
        found = [entry.message["n"] for entry in await _entries(messages, context, last=2, before=6)]
        same((found, len(reads.sizes)), ([4, 5], 1), "an older page, and the reads for it")
        found = [entry.message["n"] for entry in await _entries(messages, context, reverse=True)]
        same(found, list(reversed(range(12))), "newest first")
        holds(max(reads.sizes) <= _PAGE_BYTES + 300_100, f"a read held {max(reads.sizes):,} bytes")


async def entries_stream_in_constant_memory(make: Make[Stores]) -> None:
    """A conversation of any length is streamed with at most a page in memory; no entry is missed or repeated."""
    async with make() as stores:
        context, reads = unique("context"), _SizesOfReads(stores.backend)
        for _ in range(12):
            await stores.messages.add_message(context, _LARGE)
        found = [entry.position for entry in await _entries(type(stores)(reads).messages, context)]
        same(found, list(range(12)), "positions over several pages")
        holds(max(reads.sizes) <= _PAGE_BYTES + 300_100, f"a read held {max(reads.sizes):,} bytes")


async def a_conversation_deleted_while_it_is_read_conflicts(make: Make[Stores]) -> None:
    """A stream of entries of a deleted conversation ends with a ConflictError.

    It never continues in the next incarnation.
    """
    async with make() as stores:
        for begun_again, reverse in product((False, True), repeat=2):
            context = unique("context")
            await stores.messages.add_messages(context, [_LARGE] * 8)
            reading = stores.messages.entries(context, reverse=reverse)
            await anext(reading)
            await stores.messages.delete(context)
            if begun_again:
                await stores.messages.add_messages(context, [_LARGE] * 8)
            await raises(ConflictError, _drain(reading), "a stream of a deleted conversation")


async def what_messages_give_out_are_copies(make: Make[Stores]) -> None:
    """Changing metadata, a summary or an entry that was given or returned changes nothing stored."""
    async with make() as stores:
        context, metadata, summary = unique("context"), {"tags": ["a"]}, {"parts": ["sum"]}
        await stores.messages.add_messages(context, [say(0), {"parts": ["one"]}])
        await stores.messages.set_metadata(context, metadata)
        await stores.messages.compact(context, keep_last=1, summary=summary)
        metadata["tags"].append("changed")
        summary["parts"].append("changed")
        for _ in range(2):
            info = await stores.messages.info(context)
            found = await stores.messages.get_messages(context)
            entries = await _entries(stores.messages, context)
            exactly(info and info.metadata, {"tags": ["a"]}, "metadata")
            exactly(found, [{"parts": ["sum"]}, {"parts": ["one"]}], "messages")
            exactly(entries[1].message, {"parts": ["one"]}, "an entry")
            if info is not None:
                info.metadata["tags"].append("changed")
            found[0]["parts"].append("changed")
            entries[1].message["parts"].append("changed")


CLAUSES = clauses(__name__)


class _SizesOfReads(Wrapper):
    sizes: tuple[int, ...] = ()

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        found = await super().read(stream, window)
        self.sizes += (sum(len(entry.data) for entry in found.entries),)
        return found


async def _entries(messages: Messages, context_id: str, **window: Any) -> list[MessageEntry]:
    return [entry async for entry in messages.entries(context_id, **window)]


async def _drain(reading: Any) -> None:
    async for _ in reading:
        pass
