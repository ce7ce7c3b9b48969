"""Clauses of large metadata: kept as given, beside messages as they are without them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, UnavailableError
from stowfast.testing.clause import clauses, raises, same, unique
from stowfast.testing.data.messages import exactly, listed_ids, say
from stowfast.testing.faults import LosesAnswers
from stowfast.testing.tasks.states import noise
from stowfast.wrappers import Shared

if TYPE_CHECKING:
    from stowfast.stores import Messages, Stores
    from stowfast.testing.clause import Make

_LARGE: Final = noise(100_000)


def _metadata(number: int) -> dict[str, Any]:
    return {"n": number, "state": {"text": _LARGE, "n": [number]}}


async def metadata_of_any_size_are_kept(make: Make[Stores]) -> None:
    """Metadata over 64 KiB come back as given from each call, are found by `where`, and replaced by others."""
    async with make() as one, make() as other:
        context = unique("context")
        for number, wanted in enumerate((_metadata(0), _metadata(1), {"n": 2}, _metadata(3), {}, _metadata(5))):
            await one.messages.set_metadata(context, wanted)
            await one.messages.add_message(context, say(number))
            await _is(other.messages, context, wanted, number + 1)
            if wanted:
                same(await listed_ids(other.messages, prefix=context, where={"n": number}), [context], "by metadata")
        merged = await other.messages.update_metadata(context, {"more": 1})
        exactly(merged, {**_metadata(5), "more": 1}, "metadata that were updated")
        added = await one.messages.add_messages(context, [say(6), say(7)], metadata=_metadata(7))
        info = await _is(other.messages, context, _metadata(7), 8)
        same((len(added), added.stop), (2, info.next_position), "positions of messages that came with metadata")
        for outdated in ("a:1:1", f"{info.token}1"):
            await raises(ConflictError, one.messages.set_metadata(context, _metadata(8), if_token=outdated), "a token")
        await one.messages.add_message(context, say(8), metadata=_metadata(8), if_token=info.token)
        await _is(other.messages, context, _metadata(8), 9)
        await one.messages.delete(context)
        same((await other.messages.info(context), await other.messages.count(context)), (None, 0), "what is left")


async def large_metadata_are_no_messages(make: Make[Stores]) -> None:
    """Windows, entries, pops, replacements, compactions and forks see messages alone, and keep the metadata."""
    async with make() as stores:
        messages, context = stores.messages, unique("context")
        for number in range(12):
            await messages.add_message(context, say(number), metadata=_metadata(number) if number % 2 else None)
        await messages.set_metadata(context, _metadata(12))
        wanted = [say(number) for number in range(12)]
        await _window(messages, context, wanted)
        same(await messages.pop_message(context), say(11), "the newest message")
        same(await messages.pop_message(context, op_id="pop"), say(10), "the next one")
        same(await messages.pop_message(context, op_id="pop"), say(10), "a repeated pop")
        await _is(messages, context, _metadata(12), 10)
        await _window(messages, context, wanted[:10])
        entries = [entry async for entry in messages.entries(context)]
        for _ in range(2):
            new = await messages.replace_messages(context, [say("a"), say("b")], start=entries[8].position, op_id="new")
            same(len(new), 2, "positions of a replacement")
            await _window(messages, context, [*wanted[:8], say("a"), say("b")])
        await messages.compact(context, keep_last=3, summary=say("sum"), drop=True)
        await _is(messages, context, _metadata(12), 3)
        same(await messages.get_messages(context), [say("sum"), wanted[7], say("a"), say("b")], "a compaction")
        fork = unique("fork")
        same(await messages.fork(context, fork), 3, "messages of a fork")
        await _is(messages, fork, _metadata(12), 3)
        same(await messages.get_messages(fork), await messages.get_messages(context), "a fork")
        await messages.replace_messages(context, [], start=0)
        await _is(messages, context, _metadata(12), 0)
        same((await messages.get_messages(context), await messages.pop_message(context)), ([], None), "nothing left")


async def a_lost_answer_doubles_no_large_metadata(make: Make[Stores]) -> None:
    """A repeat of a call with large metadata returns the first positions, and adds nothing."""
    async with make() as stores:
        context, lossy = unique("context"), LosesAnswers(Shared(stores.backend), count=0)
        lost = type(stores)(lossy).messages
        for number in range(3):
            lossy.lose = 1
            call: dict[str, Any] = {"op_id": f"add {number}", "metadata": _metadata(number)}
            await raises(UnavailableError, lost.add_messages(context, [say(number)], **call), "a lost answer")
            added = await lost.add_messages(context, [say(number)], **call)
            (newest,) = [entry async for entry in stores.messages.entries(context, last=1)]
            same((added.start, newest.message), (newest.position, say(number)), "the position of a repeat")
            await _is(stores.messages, context, _metadata(number), number + 1)


async def _is(messages: Messages, context: str, metadata: dict[str, Any], count: int) -> Any:
    info = await messages.info(context)
    found = await messages.read(context)
    (listed,) = await messages.contexts(prefix=context, info=True)
    for one in (info, found.info, listed):
        exactly(one and one.metadata, metadata, "metadata")
        same(one and one.count, count, "number of messages")
    same(await messages.count(context), count, "count")
    return info


async def _window(messages: Messages, context: str, wanted: list[Any]) -> None:
    same(await messages.get_messages(context), wanted, "all messages")
    for count in (1, 2, 5, 100):
        same(await messages.get_messages(context, last=count), wanted[-count:], f"the last {count}")
        same(await messages.get_messages(context, limit=count), wanted[:count], f"the first {count}")
        same([one.message async for one in messages.entries(context, last=count)], wanted[-count:], "entries")
    reverse = [entry.message async for entry in messages.entries(context, reverse=True)]
    same(reverse, wanted[::-1], "entries, the newest first")
    same(await messages.get_messages(context, max_tokens=10**6), wanted, "a window of tokens")
    watched = []
    async for entry in messages.watch(context, after=-1):
        watched.append(entry.message)
        if len(watched) == len(wanted):
            break
    same(watched, wanted, "messages of a watch")


CLAUSES = clauses(__name__)
