"""Clauses of removal: popped, deleted and expired messages are gone for every reader at once, for good."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING

from stowfast.abc import Change
from stowfast.errors import ConflictError, DamagedError, InvalidError, NotFoundError, UnavailableError
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.testing.data.messages import exactly, say
from stowfast.testing.faults import LosesAnswers
from stowfast.testing.protocols import AS_GIVEN

if TYPE_CHECKING:
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make


async def a_pop_removes_the_newest_message(make: Make[Stores]) -> None:
    """A pop returns and removes the newest message; its position is not given again.

    Without a message it returns None.
    """
    context = unique("context")
    async with make() as stores:
        same(await stores.messages.pop_message(context), None, "a pop of an unknown conversation")
        await stores.messages.add_messages(context, [say(0), say(1)])
        exactly(await stores.messages.pop_message(context), say(1), "a pop")
        same(await stores.messages.count(context), 1, "messages after a pop")
        same(await stores.messages.add_message(context, say(2)), 2, "the position after a pop")
    async with make() as stores:
        exactly(await stores.messages.get_messages(context), [say(0), say(2)], "messages after a pop")
        popped = [await stores.messages.pop_message(context) for _ in range(3)]
        exactly(popped, [say(2), say(0), None], "pops to the end")


async def two_callers_never_pop_the_same_message(make: Make[Stores]) -> None:
    """Concurrent pops, through every opening, pop each message once."""
    async with make() as one, make() as other:
        context = unique("context")
        await one.messages.add_messages(context, [say(number) for number in range(20)])
        popped = await asyncio.gather(*((one, other)[n % 2].messages.pop_message(context) for n in range(24)))
        found = sorted(int(message["content"]) for message in popped if message is not None)
        same(found, list(range(20)), "messages popped")
        same(await other.messages.get_messages(context), [], "messages left")


async def a_repeated_pop_returns_the_same_message(make: Make[Stores]) -> None:
    """A repeat with the same op_id pops nothing and returns the message of the first call, also after a lost answer.

    It does so whatever was added, set or summed up since, until 8 newer pops.
    """
    context = unique("context")
    async with make() as stores, make() as other:
        loses = LosesAnswers(stores.backend, 1)
        messages = type(stores)(loses).messages
        await stores.messages.add_messages(context, [say(0), say(1), say(2), AS_GIVEN])
        await raises(UnavailableError, messages.pop_message(context, op_id="op"), "a lost answer")
        exactly(await messages.pop_message(context, op_id="op"), AS_GIVEN, "the repeat")
        racing = ((stores, other)[n % 2].messages.pop_message(context, op_id="2") for n in range(4))
        together = await asyncio.gather(*racing)
        exactly(together, [say(2)] * 4, "pops with one op_id at once")
        await other.messages.add_messages(context, [say(4), say(5)])
        await other.messages.set_metadata(context, {"k": "v"})
        await other.messages.compact(context, keep_last=2, summary=say("sum"))
    async with make() as stores:
        for op_id, message in (("op", AS_GIVEN), ("2", say(2))):
            exactly(await stores.messages.pop_message(context, op_id=op_id), message, "a repeat much later")
        exactly(await stores.messages.get_messages(context), [say("sum"), say(4), say(5)], "messages after repeats")
        info = await stores.messages.info(context)
        same(info and (info.count, info.metadata), (4, {"k": "v"}), "what is known after repeats")
        fork = unique("context")
        await stores.messages.fork(context, fork)
        exactly(await stores.messages.pop_message(fork, op_id="op"), say(5), "the same op_id in a fork")
        await stores.messages.add_messages(context, [say(number) for number in range(8)])
        for number in range(8):
            await stores.messages.pop_message(context, op_id=f"newer-{number}")
        call = stores.messages.pop_message(context, op_id="op")
        await raises(InvalidError, call, "a repeat of a pop that is not remembered")
        same(await stores.messages.count(context), 4, "messages after it")


async def a_pop_that_cannot_be_repeated_is_refused(make: Make[Stores]) -> None:
    """With an op_id, a message of over 32 KiB is not popped: an InvalidError; without one it is."""
    async with make() as stores:
        context, large = unique("context"), {"text": "x" * 33_000}
        await stores.messages.add_messages(context, [say(0), large])
        await raises(InvalidError, stores.messages.pop_message(context, op_id="op"), "a large message")
        same(await stores.messages.count(context), 2, "messages after a refusal")
        exactly(await stores.messages.pop_message(context), large, "a pop without an op_id")
        exactly(await stores.messages.pop_message(context, op_id="op"), say(0), "the same op_id afterwards")


async def a_damaged_message_is_not_popped(make: Make[Stores]) -> None:
    """A pop of a message that does not decode is a DamagedError; the message stays."""
    async with make() as stores:
        context = unique("context")
        await stores.messages.add_message(context, say(0))
        await stores.backend.commit(f"messages/{context}", Change(entries=(b"{not JSON",)))
        for op_id in (None, "op"):
            await raises(DamagedError, stores.messages.pop_message(context, op_id=op_id), "a damaged message")
        same(await stores.messages.count(context), 2, "messages after it")


async def a_deleted_conversation_leaves_nothing(make: Make[Stores]) -> None:
    """Nothing of a deleted conversation can be read. The next message begins at 0. Deleting an unknown one succeeds."""
    context = unique("context")
    async with make() as stores:
        await stores.messages.delete(context)
        await stores.messages.set_metadata(context, {"k": "v"})
        await stores.messages.add_messages(context, [say(number) for number in range(5)])
        await stores.messages.compact(context, keep_last=2, summary=say("sum"))
        for _ in range(2):
            await stores.messages.delete(context)
            same(await stores.messages.get_messages(context), [], "messages of a deleted conversation")
            same(await stores.messages.get_messages(context, originals=True), [], "originals of a deleted one")
            same([entry async for entry in stores.messages.entries(context)], [], "entries of a deleted one")
            same(await stores.messages.count(context), 0, "its count")
            same(await stores.messages.info(context), None, "its info")
            same(list(await stores.messages.contexts(prefix=context)), [], "listed")
            same(await stores.messages.pop_message(context), None, "popped from it")
    async with make() as stores:
        same(await stores.messages.add_message(context, say("new")), 0, "the first position after a deletion")
        exactly(await stores.messages.get_messages(context), [say("new")], "messages after a new beginning")
        info = await stores.messages.info(context)
        same(info and (info.metadata, info.compacted, info.count), ({}, 0, 1), "what is known after a new beginning")


async def a_stalled_writer_brings_nothing_back(make: Make[Stores]) -> None:
    """After a deletion a repeated op_id returns its first answer and adds nothing; an old `expect` conflicts."""
    context = unique("context")
    async with make() as stalled, make() as stores:
        await stalled.messages.add_message(context, say(0))
        same(await stalled.messages.add_message(context, say("old"), op_id="stalled"), 1, "before the deletion")
        await stores.messages.delete(context)
        same(await stalled.messages.add_message(context, say("old"), op_id="stalled"), 1, "repeated after it")
        same(await stores.messages.get_messages(context), [], "messages after the repeat")
        await raises(ConflictError, stalled.messages.add_messages(context, [say("old")], expect=2), "an old expect")
        await stores.messages.add_message(context, say("new"))
        same(await stalled.messages.add_message(context, say("old"), op_id="stalled"), 1, "repeated once more")
        exactly(await stores.messages.get_messages(context), [say("new")], "messages of the new conversation")


async def an_expired_conversation_is_gone_at_once(make: Make[Stores]) -> None:
    """An expired conversation cannot be read, swept or not, and the next message is at 0."""
    context = unique("context")
    async with make() as stores, make() as other:
        await stores.messages.add_messages(context, [say(0), say(1)])
        await stores.messages.set_metadata(context, {"k": context})
        await stores.messages.set_expiry(context, datetime.now(UTC) - timedelta(seconds=1))
        for reader in (stores, other):
            same(await reader.messages.get_messages(context), [], "messages of an expired conversation")
            same([entry async for entry in reader.messages.entries(context)], [], "its entries")
            same(await reader.messages.count(context), 0, "its count")
            same(await reader.messages.info(context), None, "its info")
            same(await reader.messages.pop_message(context), None, "popped from it")
            same(list(await reader.messages.contexts(prefix=context)), [], "listed by id")
            same(list(await reader.messages.contexts(where={"k": context})), [], "listed by its metadata")
            await raises(NotFoundError, reader.messages.fork(context, unique("context")), "a fork of it")
        same(await other.messages.add_message(context, say("new")), 0, "the first position after expiry")
        exactly(await stores.messages.get_messages(context), [say("new")], "messages after a new beginning")
        info = await stores.messages.info(context)
        same(info and (info.metadata, info.expires_at), ({}, None), "what is known after a new beginning")


async def a_sweep_removes_what_has_expired(make: Make[Stores]) -> None:
    """A sweep removes expired conversations for good, returns their number, and touches no readable one."""
    async with make() as stores:
        living, dead = unique("context"), [unique("context") for _ in range(3)]
        for context in (living, *dead):
            await stores.messages.add_message(context, say(context))
        await stores.messages.set_expiry(living, datetime.now(UTC) + timedelta(days=1))
        for context in dead:
            await stores.messages.set_expiry(context, datetime(2020, 1, 1, tzinfo=UTC))
        swept = await stores.sweep()
        holds(swept.streams >= 3, f"three conversations had expired, {swept.streams} were swept")
        exactly(await stores.messages.get_messages(living), [say(living)], "a living conversation after a sweep")
        for context in dead:
            same(await stores.messages.info(context), None, "an expired conversation after a sweep")


async def a_moment_of_expiry_is_exact_and_can_be_taken_back(make: Make[Stores]) -> None:
    """`info` returns the moment of expiry exactly, in UTC; another moment replaces it; None removes it."""
    async with make() as stores:
        context = unique("context")
        await stores.messages.add_message(context, say(0))
        moment = datetime(2999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=-7)))
        for expires_at in (moment, moment + timedelta(days=1), None):
            await stores.messages.set_expiry(context, expires_at)
            info = await stores.messages.info(context)
            same(info and info.expires_at, expires_at, "the moment of expiry")
            holds(info and (info.expires_at is None or info.expires_at.tzinfo is UTC), "it is in UTC")
        await stores.messages.add_message(context, say(1))
        exactly(await stores.messages.get_messages(context), [say(0), say(1)], "messages that never expire")


async def an_expiry_that_means_nothing_is_refused(make: Make[Stores]) -> None:
    """A datetime without a timezone is an InvalidError, an unknown conversation a NotFoundError; nothing changes."""
    async with make() as stores:
        context, moment = unique("context"), datetime(2020, 1, 1, tzinfo=UTC)
        await raises(NotFoundError, stores.messages.set_expiry(context, moment), "an unknown conversation")
        await stores.messages.add_message(context, say(0))
        call = stores.messages.set_expiry(context, moment.replace(tzinfo=None))
        await raises(InvalidError, call, "a datetime without a timezone")
        same(await stores.messages.count(context), 1, "messages after a refusal")


async def a_ttl_moves_with_each_message(make: Make[Stores]) -> None:
    """`ttl` ends a conversation so long after the last message with one; a message without one moves nothing."""
    async with make() as stores:
        context, messages, half = unique("context"), stores.messages, timedelta(minutes=30)
        for number in range(3):
            hours = timedelta(hours=number + 1)
            if number == 1:
                await messages.add_messages(context, [say(0), say(1)], ttl=hours, metadata={"n": number})
            else:
                await messages.add_message(context, say(number), ttl=hours)
            info = await messages.info(context)
            same(info and info.expires_at, info and info.updated_at + hours, "the expiry by a ttl")
            await messages.add_message(context, say(number))
            later = await messages.info(context)
            same(later and later.expires_at, info and info.expires_at, "the expiry after a message without a ttl")
        await messages.replace_messages(context, [say("other")], start=1, ttl=half)
        info = await messages.info(context)
        same(info and info.expires_at, info and info.updated_at + half, "the expiry after a replacement")
        await messages.add_message(context, say("last"), ttl=timedelta(0))
        same(await messages.get_messages(context), [], "messages after the end")
        await raises(InvalidError, messages.add_message(context, say(0), ttl=timedelta(seconds=-1)), "a negative ttl")
        await messages.replace_messages(context, [], start=0, ttl=half)
        same(await messages.info(context), None, "a conversation that a replacement by nothing begins")
        same(await messages.add_message(context, say("new")), 0, "the first position of the next life")


CLAUSES = clauses(__name__)
