"""Broken feeds: changes that are never told, told in another order, in another scope, or for ever."""

from __future__ import annotations

import asyncio
from typing import Any

from stowfast import DamagedError, Scope, Stores
from stowfast.scopes import ScopedBackend
from stowfast.stores.changes import KINDS, LATE, Cursor, Feed
from stowfast.testing import feeds
from stowfast.wrappers import Wrapper
from tests.mutants import breaks


def fed(kind: type[Feed]) -> type[Stores]:
    """Make stores with a broken feed, in each scope, too."""

    async def changes(self: Any, of: Any, *, after: Any = None, limit: Any = 1_000, wait: Any = None) -> Any:
        return await kind(self.backend, of).changes(after, limit, wait)

    class WithFeed(Stores):
        def within(self, scope: str) -> Scope:
            return FedScope(ScopedBackend(self.backend, scope))

    class FedScope(Scope):
        within = WithFeed.within

    WithFeed.changes = FedScope.changes = changes  # type: ignore[method-assign, assignment]
    WithFeed.__name__, WithFeed.__module__ = kind.__name__, kind.__module__
    return WithFeed


@breaks(feeds.a_feed_begins_with_all_that_exist)
@fed
class BeginsWithTheLastMinutes(Feed):
    async def begin(self, cursor, limit):
        return [], Cursor(cursor.at, cursor.name, None, b"")


@breaks(feeds.a_feed_begins_with_all_that_exist, feeds.a_feed_begun_anew_tells_all_that_exist)
@fed
class EndsWithTheFirstPage(Feed):
    async def begin(self, cursor, limit):
        found, cursor = await super().begin(cursor, limit)
        return found[:2], Cursor(cursor.at, cursor.name, None, cursor.told)


@breaks(feeds.a_feed_begins_with_all_that_exist, feeds.a_cursor_may_be_passed_again)
@fed
class KnowsOneKind(Feed):
    def __init__(self, backend, kind):
        super().__init__(backend, "messages" if kind in KINDS else kind)


@breaks(
    feeds.a_feed_tells_changes_the_oldest_first,
    feeds.a_feed_goes_on_after_a_clock_is_set_back,
    feeds.a_reader_beside_writers_is_told_the_last_state,
)
@fed
class TellsTheBeginningAlone(Feed):
    async def look(self, floor):
        return []


@breaks(feeds.a_feed_tells_changes_the_oldest_first)
@fed
class TellsTheNewestFirst(Feed):
    async def look(self, floor):
        return (await super().look(floor))[::-1]


@breaks(
    feeds.a_feed_tells_changes_the_oldest_first,
    feeds.a_reader_beside_writers_is_told_the_last_state,
    feeds.a_damaged_stream_is_told,
)
@fed
class TellsEachStreamOnce(Feed):
    async def begin(self, cursor, limit):
        found, cursor = await super().begin(cursor, limit)
        return found, Cursor(cursor.at, cursor.name, cursor.passing, b"".join(map(_name, found)))

    async def look(self, floor):
        return [one._replace(hash=_name(one)) for one in await super().look(floor)]


def _name(state):
    return state.place[1].encode().rjust(8)[-8:]


@breaks(feeds.a_feed_tells_changes_the_oldest_first, feeds.a_reader_beside_writers_is_told_the_last_state)
@fed
class ForgetsWhatIsBehindAPage(Feed):
    def page(self, seen, cursor, now, limit):
        found, after, _ = super().page(seen, cursor, now, limit)
        return found, Cursor(after.at, after.name, None, b"".join(one.hash for one in seen)), False


@breaks(feeds.a_cursor_may_be_passed_again)
class RemembersTheReader(Stores):
    told: Any = None

    async def changes(self, kind, *, after=None, limit=1_000, wait=None):
        after = after and (RemembersTheReader.told or after)
        page = await super().changes(kind, after=after, limit=limit, wait=wait)
        RemembersTheReader.told = page.cursor
        return page

    def within(self, scope):
        made = super().within(scope)
        made.__class__ = type("RemembersInAScope", (RemembersTheReader, Scope), {})
        return made


@breaks(feeds.a_change_that_is_seen_late_is_told)
@fed
class TrustsTheClock(Feed):
    def floor(self, cursor, now):
        return super().floor(cursor, now + LATE)

    def page(self, seen, cursor, now, limit):
        return super().page(seen, cursor, now + LATE, limit)


@breaks(feeds.a_feed_goes_on_after_a_clock_is_set_back)
@fed
class NeverLooksBack(Feed):
    def floor(self, cursor, now):
        return cursor.mark


@breaks(feeds.a_quiet_feed_has_a_short_cursor)
@fed
class NeverForgets(Feed):
    def page(self, seen, cursor, now, limit):
        found, after, more = super().page(seen, cursor, now, limit)
        return found, Cursor(after.at, after.name, None, cursor.told + b"".join(one.hash for one in found)), more


@breaks(feeds.a_quiet_feed_has_a_short_cursor)
@fed
class RemembersNothing(Feed):
    def page(self, seen, cursor, now, limit):
        found, after, _ = super().page(seen, cursor, now, limit)
        return found, Cursor(after.at, after.name, None, b""), False


@breaks(feeds.a_feed_begun_anew_tells_all_that_exist)
class KeepsTheDeleted(Wrapper):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(delete=False))


@breaks(feeds.a_feed_stays_in_its_scope_and_kind)
@fed
class TakesAnyCursor(Feed):
    def _sum(self, body):
        self._feed = b""
        return super()._sum(body)


@breaks(feeds.a_feed_stays_in_its_scope_and_kind)
@fed
class ShowsTheScopesOutside(Feed):
    async def begin(self, cursor, limit):
        self._backend = getattr(self._backend, "backend", self._backend)
        return await super().begin(cursor, limit)


@breaks(feeds.a_wait_ends_with_a_change)
@fed
class NeverWaits(Feed):
    async def changes(self, after, limit, wait):
        return await super().changes(after, limit, None)


@breaks(feeds.a_wait_ends_with_a_change)
@fed
class WaitsToTheEnd(Feed):
    async def changes(self, after, limit, wait):
        await asyncio.sleep(wait.total_seconds() if wait else 0)
        return await super().changes(after, limit, None)


@breaks(feeds.a_damaged_stream_is_told)
@fed
class LeavesOutTheDamaged(Feed):
    async def look(self, floor):
        return [one for one in await super().look(floor) if one.token is not None]


@breaks(feeds.a_damaged_stream_is_told)
@fed
class StopsAtTheDamaged(Feed):
    async def begin(self, cursor, limit):
        found, cursor = await super().begin(cursor, limit)
        if any(one.token is None for one in found):
            raise DamagedError("a head is damaged")
        return found, cursor
