"""Clauses of conversations: info, metadata, lists and forks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from stowfast.errors import ConflictError, InvalidError, NotFoundError
from stowfast.testing.clause import clauses, either, holds, raises, same, tick, unique
from stowfast.testing.data.messages import exactly, listed_ids, say
from stowfast.testing.protocols import AS_GIVEN, LOOK_ALIKES

if TYPE_CHECKING:
    from stowfast.stores import Messages, Stores
    from stowfast.testing.clause import Make

_SUM = {"role": "system", "content": "in short"}


async def count_says_how_many_can_be_read(make: Make[Stores]) -> None:
    """A count is of readable messages: 0 for an unknown conversation, less after a pop, kept originals included."""
    async with make() as stores:
        context = unique("context")
        same(await stores.messages.count(context), 0, "an unknown conversation")
        await stores.messages.add_messages(context, list(map(say, range(8))))
        same(await stores.messages.count(context), 8, "after eight")
        await stores.messages.pop_message(context)
        same(await stores.messages.count(context), 7, "after a pop")
        await stores.messages.compact(context, keep_last=2, summary=_SUM)
        same(await stores.messages.count(context), 7, "after a compaction")
        await stores.messages.compact(context, keep_last=1, summary=_SUM, drop=True)
        same(await stores.messages.count(context), 1, "after one that drops")


async def info_says_what_is_known(make: Make[Stores]) -> None:
    """`info` returns count, next position, times and incarnation of a conversation; None for an unknown one."""
    async with make() as stores:
        context = unique("context")
        same(await stores.messages.info(context), None, "an unknown conversation")
        lives = set()
        for _ in range(2):
            await stores.messages.add_messages(context, [say(0), say(1), say(2)])
            await stores.messages.pop_message(context)
            info = await stores.messages.info(context)
            if info is None:
                raise AssertionError("a conversation is there and has no info")
            found = (info.context_id, info.count, info.next_position, info.compacted, info.metadata, info.expires_at)
            same(found, (context, 2, 3, 0, {}, None), "what is known")
            holds(info.created_at <= info.updated_at and info.updated_at.tzinfo is UTC, "times in UTC, in order")
            position = await stores.messages.add_messages(context, [say(3)], expect=info.next_position)
            same(position, range(3, 4), "expect=info.next_position")
            later = await stores.messages.info(context)
            same(later and (later.created_at, later.incarnation), (info.created_at, info.incarnation), "the same life")
            holds(later and later.updated_at >= info.updated_at, "updated_at does not go back")
            lives.add(info.incarnation)
            await stores.messages.delete(context)
        same(len(lives), 2, "lives of a conversation that was deleted and begun again")


async def metadata_is_replaced_and_returned_exactly(make: Make[Stores]) -> None:
    """Metadata is any JSON object, may come first, is replaced whole, and leaves messages and summary unchanged."""
    context = unique("context")
    async with make() as stores:
        await stores.messages.set_metadata(context, AS_GIVEN)
        same(await stores.messages.get_messages(context), [], "messages of a conversation with metadata only")
        same(await stores.messages.add_message(context, say(0)), 0, "the first position behind metadata")
    async with make() as stores:
        await _metadata(stores.messages, context, AS_GIVEN)
        await stores.messages.add_messages(context, [say(1), say(2)])
        await stores.messages.compact(context, keep_last=1, summary=_SUM)
        await _metadata(stores.messages, context, AS_GIVEN)
        for metadata in ({"only": 1}, {}, {"z": 1, "a": 2}):
            await stores.messages.set_metadata(context, metadata)
            await _metadata(stores.messages, context, metadata)
        exactly(await stores.messages.get_messages(context), [_SUM, say(2)], "messages after new metadata")
        await asyncio.gather(*(stores.messages.set_metadata(context, {"n": n, "m": [n] * 99}) for n in range(8)))
        info = await stores.messages.info(context)
        holds(info and info.metadata["m"] == [info.metadata["n"]] * 99, "racing metadata is one of them, whole")


async def metadata_is_updated_key_by_key(make: Make[Stores]) -> None:
    """An update sets its keys, keeps the others and returns all; of updates at once, none is lost."""
    async with make() as stores, make() as other:
        context = unique("context")
        found = await stores.messages.update_metadata(context, {"title": "a", "n": {"x": 1}})
        exactly(found, {"title": "a", "n": {"x": 1}}, "metadata of a new conversation")
        await stores.messages.add_messages(context, [say(0), say(1)])
        await stores.messages.compact(context, keep_last=1, summary=_SUM)
        found = await other.messages.update_metadata(context, {"title": "b", "n": {"y": 2}, "none": None})
        exactly(found, {"title": "b", "n": {"y": 2}, "none": None}, "metadata returned")
        racing = ((stores, other)[n % 2].messages.update_metadata(context, {f"k{n}": n}) for n in range(8))
        await asyncio.gather(*racing)
        info = await stores.messages.info(context)
        wanted = {"title": "b", "n": {"y": 2}, "none": None, **{f"k{n}": n for n in range(8)}}
        same(info and info.metadata, wanted, "metadata after updates at once")
        same(
            await listed_ids(stores.messages, where={"title": "b", "k7": 7}, prefix=context), [context], "found by both"
        )
        exactly(await stores.messages.get_messages(context), [_SUM, say(1)], "messages after updates")
        await raises(InvalidError, stores.messages.update_metadata(context, {"k": (1,)}), "what JSON cannot carry")
        wrong: Any = ["k"]
        await raises(InvalidError, stores.messages.update_metadata(context, wrong), "a list")


async def metadata_that_cannot_be_kept_is_refused(make: Make[Stores]) -> None:
    """Metadata that are no JSON object, or of which over 64 KiB are searched, are refused; the earlier ones stay."""
    async with make() as stores:
        context = unique("context")
        await stores.messages.set_metadata(context, {"k": "x" * 60_000})
        wrong: tuple[Any, ...] = ({f"k{n}": "x" * 100 for n in range(700)}, {"k": (1,)}, [], "text", None)
        for metadata in wrong:
            await raises(InvalidError, stores.messages.set_metadata(context, metadata), "metadata that cannot be kept")
        await _metadata(stores.messages, context, {"k": "x" * 60_000})


async def contexts_are_listed_by_id(make: Make[Stores]) -> None:
    """By id, in code points, every conversation with a prefix is on exactly one page; the last page says so."""
    async with make() as stores:
        prefix = unique("context")
        ids = sorted(f"{prefix}{name}" for name in LOOK_ALIKES)
        for context in (*reversed(ids), unique("context")):
            await stores.messages.add_message(context, say(context))
        for limit in (1, 4, len(ids), 100):
            same(await listed_ids(stores.messages, prefix=prefix, order="id", limit=limit), ids, f"ids by {limit}")
        page = await stores.messages.contexts(prefix=prefix, order="id", limit=len(ids))
        same((len(page), page.next), (len(ids), None), "a page that holds all")
        same([one.context_id for one in page], ids, "ids")
        same(await listed_ids(stores.messages, prefix=ids[3], order="id"), [ids[3], *_below(ids, ids[3])], "a prefix")


async def a_list_with_info_says_the_same_as_info(make: Make[Stores]) -> None:
    """With `info` a list has each conversation as `info` returns it, by recency, by id and by metadata."""
    async with make() as stores:
        prefix = unique("context")
        ids = [f"{prefix}{number}" for number in range(5)]
        for number, context in enumerate(ids):
            await stores.messages.add_messages(context, list(map(say, range(number + 1))))
            await stores.messages.set_metadata(context, {"title": f"chat {number}", "even": number % 2 == 0})
        await stores.messages.pop_message(ids[2])
        await stores.messages.compact(ids[3], keep_last=1, summary=_SUM)
        await stores.messages.set_expiry(ids[4], datetime(2999, 1, 1, tzinfo=UTC))
        for options, wanted in (
            ({}, ids),
            ({"where": {"even": True}}, ids[::2]),
            ({"order": "id", "limit": 2}, ids[:2]),
        ):
            query: dict[str, Any] = {"prefix": prefix, **options}
            listed = {one.context_id: one for one in await stores.messages.contexts(info=True, **query)}
            same(listed, {context: await stores.messages.info(context) for context in wanted}, f"infos of {options}")
        first = await stores.messages.contexts(prefix=prefix, order="id", limit=3, info=True)
        rest = await stores.messages.contexts(prefix=prefix, order="id", after=first.next, info=True)
        same([one.context_id for one in (*first, *rest)], ids, "ids page by page")
        await tick(stores.backend)
        await stores.messages.add_message(ids[1], say("newest"))
        newest = await stores.messages.contexts(prefix=prefix, info=True, limit=1)
        same([one.context_id for one in newest], [ids[1]], "the last changed")


async def contexts_are_found_by_metadata(make: Make[Stores]) -> None:
    """`where` finds the conversations whose metadata has all given texts, numbers, booleans or None, exactly."""
    async with make() as stores:
        prefix = unique("context")
        kept: dict[str, dict[str, Any]] = {
            "a": {"user": "u1", "n": 1, "f": 1.5, "b": True, "none": None, "": "empty"},
            "b": {"user": "u1", "n": "1", "f": 2, "b": False, "é": "\U0001f600"},
            "c": {"user": "u2", "n": 1, "b": "true", "none": "null", "list": ["u1"], "object": {"user": "u1"}},
            "d": {"User": "u1", "long": "x" * 480},
        }
        for name, metadata in kept.items():
            await stores.messages.set_metadata(prefix + name, metadata)
        cases: tuple[tuple[dict[str, Any], str], ...] = (
            ({}, "abcd"), ({"user": "u1"}, "ab"), ({"user": "u1", "n": 1}, "a"), ({"n": 1}, "ac"), ({"n": "1"}, "b"),
            ({"f": 1.5}, "a"), ({"b": True}, "a"), ({"b": "true"}, "c"), ({"none": None}, "a"), ({"none": "null"}, "c"),
            ({"é": "\U0001f600"}, "b"), ({"": "empty"}, "a"), ({"user": "u3"}, ""), ({"nowhere": None}, ""),
            ({"long": "x" * 480}, "d"), ({"user": "u1' OR '1'='1"}, ""),
        )  # fmt: skip
        for where, names in cases:
            found = await listed_ids(stores.messages, prefix=prefix, where=where, limit=2, order="id")
            same(found, [prefix + name for name in names], f"conversations where {where}")
        await stores.messages.set_metadata(f"{prefix}a", {"user": "u9"})
        same(await listed_ids(stores.messages, prefix=prefix, where={"user": "u1"}), [f"{prefix}b"], "after a change")
        same(await listed_ids(stores.messages, prefix=prefix, where={"user": "u9"}), [f"{prefix}a"], "the new value")


async def a_listing_that_means_nothing_is_refused(make: Make[Stores]) -> None:
    """An unknown order, a cursor of another order, and a `where` pair out of bounds are InvalidErrors."""
    async with make() as stores:
        wrong: tuple[dict[str, Any], ...] = (
            {"order": "name"}, {"order": ""}, {"after": "not a cursor"}, {"where": {"k": [1]}}, {"where": {"k": {}}},
            {"where": {"k": "x" * 501}}, {"where": {"k": float("nan")}}, {"where": {1: "k"}},
        )  # fmt: skip
        for options in wrong:
            await raises(InvalidError, stores.messages.contexts(**options), str(options))


async def a_fork_begins_with_what_was_there(make: Make[Stores]) -> None:
    """A fork has the messages at positions from 0, metadata and summary, not the expiry.

    Later changes of either do not reach the other.
    """
    source, fork = unique("context"), unique("context")
    async with make() as stores:
        await stores.messages.add_messages(source, list(map(say, range(7))))
        await stores.messages.pop_message(source)
        await stores.messages.add_message(source, say(7))
        await stores.messages.set_metadata(source, {"user": source})
        await stores.messages.compact(source, keep_last=3, summary=_SUM)
        await stores.messages.set_expiry(source, datetime(2999, 1, 1, tzinfo=UTC))
        same(await stores.messages.fork(source, fork), 7, "messages forked")
        await stores.messages.add_message(source, say("source"))
        await stores.messages.set_metadata(source, {"user": "changed"})
    async with make() as stores:
        same(await stores.messages.add_message(fork, say("fork")), 7, "the next position of the fork")
        originals = [*map(say, (0, 1, 2, 3, 4, 5, 7)), say("fork")]
        exactly(await stores.messages.get_messages(fork, originals=True), originals, "originals of the fork")
        exactly(await stores.messages.get_messages(fork), [_SUM, *originals[4:]], "messages of the fork")
        info = await stores.messages.info(fork)
        same(info and (info.compacted, info.metadata, info.expires_at), (4, {"user": source}, None), "what came along")
        same(await listed_ids(stores.messages, where={"user": source}), [fork], "found by its metadata")
        await stores.messages.delete(source)
        exactly(await stores.messages.get_messages(fork, originals=True), originals, "after the source was deleted")


async def a_fork_may_end_before_a_position(make: Make[Stores]) -> None:
    """With `at` a fork has only the messages below it, and the summary only if all its messages are below it."""
    async with make() as stores:
        source = unique("context")
        await stores.messages.add_messages(source, list(map(say, range(6))))
        await stores.messages.compact(source, keep_last=2, summary=_SUM)
        for at, wanted in ((0, []), (2, [0, 1]), (4, [_SUM]), (5, [_SUM, 4]), (99, [_SUM, 4, 5])):
            fork = unique("context")
            same(await stores.messages.fork(source, fork, at=at), min(at, 6), "messages forked")
            messages = [say(one) if isinstance(one, int) else one for one in wanted]
            exactly(await stores.messages.get_messages(fork), messages, f"messages of a fork at {at}")


async def a_fork_needs_a_source_and_a_free_id(make: Make[Stores]) -> None:
    """An unknown source is a NotFoundError, an existing target a ConflictError; of racing forks one wins."""
    async with make() as one, make() as other:
        source, taken, known = unique("context"), unique("context"), unique("context")
        await raises(NotFoundError, one.messages.fork(source, unique("context")), "an unknown source")
        await one.messages.add_message(source, say(0))
        await one.messages.add_message(taken, say("taken"))
        await one.messages.set_metadata(known, {"k": "v"})
        for target in (taken, known, source):
            await raises(ConflictError, one.messages.fork(source, target), "a target that exists")
        exactly(await one.messages.get_messages(taken), [say("taken")], "the target after a conflict")
        target = unique("context")
        racing = (either((one, other)[n % 2].messages.fork(source, target), ConflictError) for n in range(6))
        lost = sum(isinstance(result, ConflictError) for result in await asyncio.gather(*racing))
        same((lost, await one.messages.count(target)), (5, 1), "racing forks that lost, and messages of the one")


CLAUSES = clauses(__name__)


def _below(ids: list[str], prefix: str) -> list[str]:
    return [one for one in ids if one != prefix and one.startswith(prefix)]


async def _metadata(messages: Messages, context_id: str, wanted: object) -> None:
    info = await messages.info(context_id)
    exactly(info and info.metadata, wanted, "metadata")
