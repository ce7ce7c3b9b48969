"""Clauses of feeds: every change is told, the oldest first, to a reader with a cursor, in any process."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Listing, Query
from stowfast.errors import InvalidError
from stowfast.records import Artifact, ChangedStream, TaskState
from stowfast.stores.codec import to_time
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.testing.data.feeds import MOST_PAGES, any_of, everything, states, told
from stowfast.testing.data.messages import say
from stowfast.testing.faults import At, DamagesHeads
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Backend
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

SECONDS = 20.0
_HOUR: Final = timedelta(hours=1)
_WRITERS: Final = 4
_MESSAGES: Final = 8
_IDS: Final = tuple("abcde")


async def a_feed_begins_with_all_that_exist(make: Make[Stores]) -> None:
    """Without a cursor a feed tells each stream of its kind once, page by page; `more` is False with the last page."""
    async with make() as stores:
        at, scope = At(stores.backend, to_time(await stores.backend.now()) + _HOUR), unique("feed")
        within = type(stores)(at).within(scope)
        for id in _IDS:
            await within.messages.add_message(id, say(id))
            await within.artifacts.put(Artifact(artifact_id=f"artifact {id}", content=id))
            await within.tasks.save(TaskState(task_id=f"task {id}"))
            await within.documents.put(f"document {id}", id)
        for kind, name in (
            ("messages", ""),
            ("artifacts", "artifact "),
            ("tasks", "task "),
            ("documents", "document "),
        ):
            cursor, found, pages = None, list[ChangedStream](), list[tuple[int, bool]]()
            while not pages or pages[-1][1]:
                holds(len(pages) < MOST_PAGES, "a feed comes to its end")
                page = await within.changes(any_of(kind), after=cursor, limit=2)
                cursor, pages = page.cursor, [*pages, (len(page), page.more)]
                found += page
            same(pages, [(2, True), (2, True), (1, False)], f"items of each page of {kind}, and whether more are there")
            same([(one.kind, one.id) for one in found], [(kind, f"{name}{id}") for id in _IDS], f"the feed of {kind}")
        same(*await states(within, _IDS), "the states of conversations")


async def a_feed_tells_changes_the_oldest_first(make: Make[Stores]) -> None:
    """A new, a longer, a shorter and a new beginning of a stream are told, in their order, each in its last state."""
    async with make() as stores, make() as other:
        scope = unique("feed")
        one, two = stores.within(scope), other.within(scope)
        for id in _IDS:
            await one.messages.add_messages(id, [say(0), say(1)])
        before, cursor = await told(one, None)
        same([item.id for item in before], list(_IDS), "the streams at the beginning")
        await two.messages.add_message("e", say(2))
        await one.messages.delete("c")
        await one.messages.add_message("c", say("again"))
        await two.messages.pop_message("b")
        await two.messages.add_message("new", say(0))
        await two.messages.add_message("e", say(3))
        changed = ["c", "b", "new", "e"]
        for limit in (1, 3, 1_000):
            found, end = await told(one, cursor, limit)
            same([item.id for item in found], changed, f"changes, in pages of {limit}")
            same((await told(two, end))[0], [], "changes since then")
            infos = [await one.messages.info(id) for id in changed]
            same([item.token for item in found], [info and info.token for info in infos], "their states")
            same([item.updated_at for item in found], sorted(item.updated_at for item in found), "their times")


async def a_cursor_may_be_passed_again(make: Make[Stores]) -> None:
    """A reader that was stopped passes its last cursor again, in any process, and is told the same and more."""
    async with make() as stores, make() as other:
        scope = unique("feed")
        one, two = stores.within(scope), other.within(scope)
        await one.documents.put("old", 0)
        _, cursor = await told(one, None, kind="documents")
        await one.documents.put("a", 1)
        first, end = await told(one, cursor, kind="documents")
        await one.documents.put("b", 1)
        second, _ = await told(two, cursor, kind="documents")
        same([[item.id for item in found] for found in (first, second)], [["a"], ["a", "b"]], "changes since a cursor")
        same(second[:1], first, "the change that was told twice")
        same([item.id for item in (await told(two, end, kind="documents"))[0]], ["b"], "changes since a later one")


class _Hides(Wrapper):
    """A backend with a stream that lists do not show yet, as its commit is not done."""

    def __init__(self, backend: Backend, end: str) -> None:
        super().__init__(backend)
        self.end = end

    async def streams(self, query: Query) -> Listing:
        streams, after = await super().streams(query)
        return Listing([one for one in streams if not self.end or not one.name.endswith(self.end)], after)


async def a_change_that_is_seen_late_is_told(make: Make[Stores]) -> None:
    """A change that is seen up to two minutes after its time is told, behind others with a later time."""
    async with make() as stores:
        hides, scope = _Hides(stores.backend, "/late"), unique("feed")
        within = type(stores)(hides).within(scope)
        _, cursor = await told(within, None)
        for id in ("late", "one", "two"):
            await within.messages.add_message(id, say(0))
        found, cursor = await told(within, cursor, 1)
        same([item.id for item in found], ["one", "two"], "changes seen in time")
        hides.end = ""
        found, cursor = await told(within, cursor, 1)
        same([item.id for item in found], ["late"], "changes seen late")
        same((await told(within, cursor))[0], [], "changes since then")


async def a_feed_goes_on_after_a_clock_is_set_back(make: Make[Stores]) -> None:
    """After a clock that was ahead is set right, each later change is told."""
    async with make() as stores:
        now = to_time(await stores.backend.now())
        at, scope = At(stores.backend, now + 24 * _HOUR), unique("feed")
        within = type(stores)(at).within(scope)
        await within.messages.add_message("a", say(0))
        _, cursor = await told(within, None)
        _, cursor = await told(within, cursor)
        at.moment = now
        await within.messages.add_message("b", say(0))
        found, _ = await told(within, cursor)
        holds("b" in [item.id for item in found], "a change by the clock set right is told")


async def a_quiet_feed_has_a_short_cursor(make: Make[Stores]) -> None:
    """A reader of a quiet place is told nothing twice, and its cursor has no room for states of long ago."""
    async with make() as stores:
        now = to_time(await stores.backend.now())
        at, scope = At(stores.backend, now), unique("feed")
        within = type(stores)(at).within(scope)
        for id in _IDS:
            await within.messages.add_message(id, say(0))
        _, cursor = await told(within, None)
        full = len(cursor)
        for _ in range(3):
            found, cursor = await told(within, cursor)
            same(found, [], "changes of a quiet place")
        at.moment = now + _HOUR
        for _ in range(2):
            found, cursor = await told(within, cursor)
            same(found, [], "changes of a quiet place, an hour later")
        holds(
            len(cursor) < full - 8 * len(_IDS), f"a cursor of {len(cursor)} characters, after one of {full}, is short"
        )


async def a_feed_begun_anew_tells_all_that_exist(make: Make[Stores]) -> None:
    """A feed begun anew tells exactly what exists, as it is now: a reader finds deletions and quiet changes by it."""
    async with make() as stores:
        within = stores.within(unique("feed"))
        for id in _IDS:
            await within.messages.add_message(id, say(0))
        _, cursor = await told(within, None)
        await within.messages.delete("a")
        await within.messages.set_metadata("b", {"title": "b"})
        found, _ = await told(within, cursor)
        same("a" in [item.id for item in found], False, "a deleted conversation is told")
        same(*await states(within, _IDS[1:]), "the states of all conversations")


async def a_feed_stays_in_its_scope_and_kind(make: Make[Stores]) -> None:
    """A feed tells nothing of another scope or kind, and refuses their cursors, and whatever is no cursor."""
    async with make() as stores:
        token = unique("feed")
        scopes = [stores.within(token), stores.within(f"{token}2"), stores.within(token).within("in")]
        cursors = []
        for number, scope in enumerate(scopes):
            await scope.documents.put("same", 0)
            await scope.messages.add_message(f"{number}", say(0))
            found, cursor = await told(scope, None)
            same([item.id for item in found], [f"{number}"], "the feed of a scope")
            first = await scope.changes("messages", limit=1)
            cursors.append((scope, "messages", cursor))
            cursors += [
                (scope, "messages", first.cursor),
                (scope, "documents", (await told(scope, None, kind="documents"))[1]),
            ]
        for owner, kind, cursor in cursors:
            for scope in scopes:
                for asked in ("messages", "documents"):
                    if (scope, asked) != (owner, kind):
                        call = scope.changes(any_of(asked), after=cursor)
                        await raises(InvalidError, call, "a cursor of another feed")
        scope, _, cursor = cursors[0]
        strange: tuple[Any, ...] = (
            "",
            "A",
            "é",
            "\0",
            7,
            b"x",
            cursor[:-1],
            cursor[1:],
            f"{cursor[:-4]}AAAA",
            "A" * 200_000,
        )
        for wrong in strange:
            await raises(InvalidError, scope.changes("messages", after=wrong), f"{str(wrong)[:30]!r} as a cursor")
        options: tuple[dict[str, Any], ...] = (
            {"kind": "retention"}, {"kind": None}, {"limit": 0}, {"limit": -1}, {"limit": None}, {"wait": 1},
            {"wait": timedelta(seconds=-1)},
        )  # fmt: skip
        for option in options:
            await raises(InvalidError, scope.changes(**{"kind": "messages", **option}), f"a feed with {option}")


async def a_wait_ends_with_a_change(make: Make[Stores]) -> None:
    """With `wait` a feed returns once there is a change of any opening, and without one after that time."""
    async with make() as stores, make() as other:
        scope = unique("feed")
        one, two = stores.within(scope), other.within(scope)
        page = await one.changes("tasks", wait=timedelta(milliseconds=1))
        same((page.items, page.more), ([], False), "the feed of an empty place")
        waiting = asyncio.ensure_future(one.changes("tasks", after=page.cursor, wait=timedelta(seconds=3 * SECONDS)))
        await asyncio.sleep(0)
        await two.tasks.save(TaskState(task_id="t"))
        began = time.monotonic()
        page = await waiting
        same([item.id for item in page], ["t"], "the change that was waited for")
        holds(time.monotonic() - began < 2 * SECONDS, "a wait ends with the change")
        began = time.monotonic()
        page = await one.changes("tasks", after=page.cursor, wait=timedelta(milliseconds=200))
        same(page.items, [], "changes since then")
        holds(time.monotonic() - began >= 0.19, "a wait without a change lasts its time")


async def a_reader_beside_writers_is_told_the_last_state(make: Make[Stores]) -> None:
    """While many write, in several openings, a reader is told the last state of each stream, whatever the pages are."""
    async with make() as stores, make() as other:
        scope = unique("feed")
        reader = stores.within(scope)
        for id in _IDS:
            await reader.messages.add_message(id, say("first"))

        found, cursor = await told(reader, None)
        last = {item.id: item.token for item in found}

        async def write(number: int) -> None:
            writer = (stores, other)[number % 2].within(scope)
            for count in range(_MESSAGES):
                await writer.messages.add_message(_IDS[(number + count) % len(_IDS)], say(count))
                await asyncio.sleep(0)  # a backend in memory never waits

        writing, ended = asyncio.gather(*map(write, range(_WRITERS))), False
        while not ended:
            await asyncio.sleep(0)
            ended = writing.done()
            found, cursor = await told(reader, cursor, 2)
            last |= {item.id: item.token for item in found}
        await writing
        infos = [(id, await reader.messages.info(id)) for id in _IDS]
        same(last, {id: info and info.token for id, info in infos}, "the states that were told last")


async def a_damaged_stream_is_told(make: Make[Stores]) -> None:
    """A stream with a damaged head is told without a token, and hides no other one."""
    async with make() as stores:
        scope = unique("feed")
        within = stores.within(scope)
        for id in _IDS:
            await within.documents.put(id, 0)
        names = [one.name for one in (await stores.backend.streams(everything(within, "documents"))).streams]
        broken = type(stores)(DamagesHeads(stores.backend, {}, names[1:2])).within(scope)
        found, cursor = await told(broken, None, 2, kind="documents")
        same([(one.id, one.token is None) for one in found], [(id, id == "b") for id in _IDS], "the feed of all")
        await within.documents.put("b", 1)
        await within.documents.put("c", 1)
        found, _ = await told(broken, cursor, kind="documents")
        same([(one.id, one.token is None) for one in found], [("b", True), ("c", False)], "the feed of changes")


CLAUSES = clauses(__name__)
