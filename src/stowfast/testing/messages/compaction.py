"""Clauses of compaction: a summary replaces older messages while others write."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.errors import ConflictError, InvalidError, NotFoundError
from stowfast.testing.clause import clauses, raises, same, unique
from stowfast.testing.data.messages import TOOLS, exactly, refused, say

if TYPE_CHECKING:
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

    Message = dict[str, Any]

_SUM: Message = {"role": "system", "content": "in short"}


async def a_summary_stands_for_the_older_messages(make: Make[Stores]) -> None:
    """After a compaction reading begins with the summary. Older messages are kept, counted and read on request."""
    context = unique("context")
    async with make() as stores:
        await _said(stores, context, 10)
        same(await stores.messages.compact(context, keep_last=3, summary=_SUM), 7, "the first not in the summary")
    async with make() as stores:
        exactly(await stores.messages.get_messages(context), [_SUM, *map(say, (7, 8, 9))], "messages")
        originals = await stores.messages.get_messages(context, originals=True)
        exactly(originals, list(map(say, range(10))), "originals")
        entries = [entry.position async for entry in stores.messages.entries(context)]
        same((entries, await stores.messages.count(context)), (list(range(10)), 10), "entries, and their count")
        info = await stores.messages.info(context)
        same(info and (info.compacted, info.next_position), (7, 10), "what is known of it")
        same(await stores.messages.add_message(context, say(10)), 10, "the next position")


async def older_messages_can_be_dropped_for_good(make: Make[Stores]) -> None:
    """With `drop` no read returns messages below the summary, even if they were summarised before."""
    for kept_first in (False, True):
        context = unique("context")
        async with make() as stores:
            await _said(stores, context, 10)
            if kept_first:
                await stores.messages.compact(context, keep_last=3, summary=_SUM)
            same(await stores.messages.compact(context, keep_last=3, summary=_SUM, drop=True), 7, "the first kept")
        async with make() as stores:
            exactly(await stores.messages.get_messages(context), [_SUM, *map(say, (7, 8, 9))], "messages")
            originals = await stores.messages.get_messages(context, originals=True)
            exactly(originals, list(map(say, (7, 8, 9))), "originals")
            exactly(await stores.messages.get_messages(context, after=-1, originals=True), originals, "from the start")
            entries = [entry.position async for entry in stores.messages.entries(context)]
            same((entries, await stores.messages.count(context)), ([7, 8, 9], 3), "entries, and their count")
            same(await stores.messages.add_message(context, say(10)), 10, "the next position")


async def a_window_over_a_summary_begins_with_it(make: Make[Stores]) -> None:
    """A window that reaches below a summary begins with it, counts it as one message, and counts its tokens first."""
    async with make() as stores:
        context = unique("context")
        await _said(stores, context, 12)
        await stores.messages.compact(context, keep_last=4, summary=_SUM)
        cases: tuple[tuple[dict[str, Any], list[Message]], ...] = (
            ({"after": -1}, [_SUM, *map(say, (8, 9, 10, 11))]),
            ({"after": 2}, [_SUM, *map(say, (8, 9, 10, 11))]),
            ({"after": 7}, list(map(say, (8, 9, 10, 11)))),
            ({"after": 8}, list(map(say, (9, 10, 11)))),
            ({"before": 10}, [_SUM, *map(say, (8, 9))]),
            ({"before": 5}, [_SUM]),
            ({"before": 0}, []),
            ({"last": 2}, list(map(say, (10, 11)))),
            ({"last": 5}, [_SUM, *map(say, (8, 9, 10, 11))]),
            ({"limit": 0}, []),
            ({"limit": 3}, [_SUM, *map(say, (8, 9))]),
            ({"limit": 3, "after": -1}, [_SUM, *map(say, (8, 9))]),
            ({"limit": 3, "after": 2}, [_SUM, *map(say, (8, 9))]),
            ({"limit": 2, "after": 8}, list(map(say, (9, 10)))),
            ({"limit": 2, "originals": True}, list(map(say, (0, 1)))),
            ({"last": 6, "originals": True}, list(map(say, range(6, 12)))),
            ({"max_tokens": 3}, [_SUM, *map(say, (10, 11))]),
            ({"max_tokens": 1}, [_SUM]),
            ({"max_tokens": 0}, []),
            ({"max_tokens": 99}, [_SUM, *map(say, (8, 9, 10, 11))]),
            ({"max_tokens": 99, "last": 2}, list(map(say, (10, 11)))),
            ({"max_tokens": 99, "last": 9}, [_SUM, *map(say, (8, 9, 10, 11))]),
            ({"max_tokens": 99, "after": 8}, list(map(say, (9, 10, 11)))),
            ({"max_tokens": 6, "originals": True}, list(map(say, range(6, 12)))),
        )
        for options, wanted in cases:
            tokens: dict[str, Any] = {"count_tokens": lambda _: 1} if "max_tokens" in options else {}
            exactly(await stores.messages.get_messages(context, **options, **tokens), wanted, f"messages in {options}")


async def a_summary_may_be_made_by_a_function(make: Make[Stores]) -> None:
    """A function, plain or async, gets the older messages, an earlier summary first, and returns the summary."""
    given: list[list[Message]] = []

    def plain(older: list[Message]) -> Message:
        given.append(older)
        return {"sum": len(older)}

    async def awaited(older: list[Message]) -> Message:
        return plain(older)

    async with make() as stores:
        for function in (plain, awaited):
            given.clear()
            context = unique("context")
            await _said(stores, context, 5)
            same(await stores.messages.compact(context, keep_last=2, summary=function), 3, "the first not in it")
            exactly(given, [list(map(say, (0, 1, 2)))], "what the function was given")
            exactly(await stores.messages.get_messages(context), [{"sum": 3}, *map(say, (3, 4))], "messages")
            same(await stores.messages.compact(context, keep_last=1, summary=function, drop=True), 4, "the second time")
            exactly(given[1:], [[{"sum": 3}, say(3)]], "what it was given the second time")
            exactly(await stores.messages.get_messages(context), [{"sum": 2}, say(4)], "messages after two")


async def nothing_older_is_nothing_to_sum_up(make: Make[Stores]) -> None:
    """Without older messages nothing changes, and no summary is made."""

    def never(_: list[Message]) -> Message:
        raise AssertionError("a summary of nothing was asked for")

    async with make() as stores:
        context = unique("context")
        await _said(stores, context, 2)
        for keep_last in (2, 3, 99):
            same(await stores.messages.compact(context, keep_last=keep_last, summary=never), 0, "the first not in it")
        exactly(await stores.messages.get_messages(context), [say(0), say(1)], "messages")
        same(await stores.messages.compact(context, keep_last=0, summary=_SUM), 2, "a summary of all")
        exactly(await stores.messages.get_messages(context), [_SUM], "messages that are all summed up")
        same(await stores.messages.compact(context, keep_last=0, summary=never), 2, "again")
        gap = unique("context")
        await stores.messages.add_message(gap, say("popped"))
        await stores.messages.pop_message(gap)
        await stores.messages.add_message(gap, say(0))
        await stores.messages.compact(gap, keep_last=1, summary=never)
        exactly(await stores.messages.get_messages(gap), [say(0)], "the only message, behind a gap")


async def older_messages_can_go_without_a_summary(make: Make[Stores]) -> None:
    """With `summary=None` nothing stands for the older messages, an earlier summary goes, and originals are kept."""
    context, fork = unique("context"), unique("context")
    async with make() as stores:
        await _said(stores, context, 6)
        await stores.messages.compact(context, keep_last=4, summary=_SUM)
        same(await stores.messages.compact(context, keep_last=2, summary=None), 4, "the first message that is read")
        same(await stores.messages.fork(context, fork), 6, "messages forked")
    async with make() as stores:
        for each in (context, fork):
            windows: tuple[dict[str, Any], ...] = ({}, {"after": -1}, {"limit": 9, "after": -1}, {"last": 9})
            for window in windows:
                exactly(await stores.messages.get_messages(each, **window), list(map(say, (4, 5))), f"{window}")
            originals = await stores.messages.get_messages(each, originals=True)
            exactly(originals, list(map(say, range(6))), "originals")
            info = await stores.messages.info(each)
            same(info and (info.compacted, info.count), (4, 6), "what is known of it")
        same(await stores.messages.compact(context, keep_last=2, summary=None, drop=True), 4, "the first one kept")
        originals = await stores.messages.get_messages(context, originals=True)
        exactly(originals, list(map(say, (4, 5))), "originals after one that drops")


async def a_compaction_that_means_nothing_is_refused(make: Make[Stores]) -> None:
    """An unknown conversation is a NotFoundError, a summary that is no JSON object an InvalidError; nothing changes."""
    async with make() as stores:
        unknown, context = unique("context"), unique("context")
        call = stores.messages.compact(unknown, keep_last=0, summary=_SUM)
        await raises(NotFoundError, call, "an unknown conversation")
        await _said(stores, context, 3)
        call = stores.messages.compact(context, keep_last=-1, summary=_SUM)
        await raises(InvalidError, call, "keep_last=-1")
        for subject, value in (*refused(), ("too large", "x" * 70_000)):
            for summary in ({"content": value}, lambda _, value=value: {"content": value}):
                await raises(InvalidError, stores.messages.compact(context, keep_last=1, summary=summary), subject)
        wrong: tuple[Any, ...] = ([], "text", lambda _: None, lambda _: [])
        for value in wrong:
            await raises(InvalidError, stores.messages.compact(context, keep_last=1, summary=value), repr(value))
        exactly(await stores.messages.get_messages(context), list(map(say, range(3))), "messages after refusals")


async def a_compaction_keeps_calls_and_results_together(make: Make[Stores]) -> None:
    """If the newest messages begin with results, more messages are kept, back to their calls."""
    async with make() as stores:
        for maker, write in TOOLS.items():
            talk = [say(0), *write(("a", "b"), ()), say("between"), *write((), ("a",)), *write((), ("b",)), say(1)]
            first = dict.fromkeys(range(2, len(talk)), 1) | {1: len(talk) - 1, len(talk): 0}
            for keep_last, base in first.items():
                context = unique("context")
                await stores.messages.add_messages(context, talk)
                found = await stores.messages.compact(context, keep_last=keep_last, summary=_SUM, drop=True)
                same(found, base, f"{maker}: the first of at least {keep_last} that stay")
                summary = [_SUM] if base else []
                exactly(await stores.messages.get_messages(context), summary + talk[base:], f"{maker}: messages")


async def messages_added_during_a_compaction_are_not_lost(make: Make[Stores]) -> None:
    """Messages that others add during a compaction follow the summary; metadata that others set meanwhile stays."""
    for drop in (False, True):
        context = unique("context")
        async with make() as stores, make() as other:
            await _said(stores, context, 4)

            async def meanwhile(older: list[Message], context: str = context, other: Stores = other) -> Message:
                await other.messages.add_messages(context, [say("late")] * 3)
                await other.messages.set_metadata(context, {"set": "meanwhile"})
                return {"sum": len(older)}

            same(await stores.messages.compact(context, keep_last=1, summary=meanwhile, drop=drop), 3, "the first kept")
            exactly(
                await other.messages.get_messages(context), [{"sum": 3}, say(3), *[say("late")] * 3], "messages after"
            )
            info = await other.messages.info(context)
            same(info and info.metadata, {"set": "meanwhile"}, "metadata set meanwhile")


async def of_two_compactions_one_wins(make: Make[Stores]) -> None:
    """Of two compactions at once the later is a ConflictError, even with the same summary."""
    context = unique("context")
    async with make() as stores, make() as other:
        await _said(stores, context, 6)

        async def meanwhile(_: list[Message]) -> Message:
            await other.messages.compact(context, keep_last=1, summary=_SUM)
            return _SUM

        call = stores.messages.compact(context, keep_last=2, summary=meanwhile)
        await raises(ConflictError, call, "the later compaction")
        exactly(await stores.messages.get_messages(context), [_SUM, say(5)], "messages after the one that won")


async def a_compaction_never_reaches_a_successor(make: Make[Stores]) -> None:
    """A compaction of a conversation deleted meanwhile is a ConflictError; the new conversation keeps its messages."""
    for begun_again in (False, True):
        context = unique("context")
        async with make() as stores, make() as other:
            await _said(stores, context, 6)

            async def meanwhile(
                _: list[Message], context: str = context, other: Stores = other, again: bool = begun_again
            ) -> Message:
                await other.messages.delete(context)
                if again:
                    await _said(other, context, 6)
                return _SUM

            call = stores.messages.compact(context, keep_last=2, summary=meanwhile, drop=True)
            await raises(ConflictError, call, "a compaction of a deleted conversation")
            wanted = list(map(say, range(6))) if begun_again else []
            exactly(await stores.messages.get_messages(context), wanted, "messages of the successor")


async def a_summary_is_not_popped(make: Make[Stores]) -> None:
    """Popping ends at the summary: neither the summary nor the messages below it are popped."""
    async with make() as stores:
        context = unique("context")
        await _said(stores, context, 4)
        await stores.messages.compact(context, keep_last=1, summary=_SUM)
        popped = [await stores.messages.pop_message(context) for _ in range(3)]
        exactly(popped, [say(3), None, None], "messages popped")
        exactly(await stores.messages.get_messages(context), [_SUM], "what is left")
        same(await stores.messages.count(context), 3, "originals left")


async def a_fork_keeps_the_summary_of_dropped_messages(make: Make[Stores]) -> None:
    """A fork begins with the summary, whether the messages below it were kept or dropped."""
    async with make() as stores:
        for drop in (False, True):
            context, fork = unique("context"), unique("fork")
            await stores.messages.add_messages(context, [say(number) for number in range(5)])
            await stores.messages.compact(context, keep_last=2, summary=say("sum"), drop=drop)
            await stores.messages.fork(context, fork)
            wanted = [say("sum"), say(3), say(4)]
            same(await stores.messages.get_messages(fork), wanted, f"a fork, drop={drop}")
            same(await stores.messages.count(fork), 2 if drop else 5, f"messages of a fork, drop={drop}")
            await stores.messages.add_message(fork, say(5))
            same(await stores.messages.get_messages(fork), [*wanted, say(5)], f"a fork that goes on, drop={drop}")


CLAUSES = clauses(__name__)


async def _said(stores: Stores, context_id: str, count: int) -> None:
    await stores.messages.add_messages(context_id, [say(number) for number in range(count)])
