from __future__ import annotations

import asyncio

from holdfast.backends.memory import MemoryBackend
from holdfast.errors import UnavailableError
from holdfast.testing import waist_place
from tests.mutants import breaks


@breaks(waist_place.a_wait_ends_at_once_where_there_is_news, waist_place.a_wait_ends_with_a_delete)
class WaitsForALength(MemoryBackend):
    async def wait(self, stream, *, incarnation, next, timeout):
        head = (await self.heads([stream]))[0]
        return await super().wait(stream, incarnation=head and head.incarnation, next=next, timeout=timeout)


@breaks(waist_place.a_wait_without_news_ends_with_its_time)
class TakesTimeForNews(MemoryBackend):
    async def wait(self, stream, *, incarnation, next, timeout):
        await super().wait(stream, incarnation=incarnation, next=next, timeout=timeout)
        return True


@breaks(waist_place.a_wait_without_news_ends_with_its_time)
class TakesEveryChangeForNews(MemoryBackend):
    async def wait(self, stream, *, incarnation, next, timeout):
        before = (await self.heads([stream]))[0]
        news = await super().wait(stream, incarnation=incarnation, next=next, timeout=timeout)
        return news or (await self.heads([stream]))[0] != before


@breaks(waist_place.a_wait_ends_with_a_commit_through_any_opening, waist_place.news_is_for_everyone_who_waits)
class HearsOnlyItself(MemoryBackend):
    def __init__(self):
        self.own = {}
        super().__init__()

    @property
    def _waiting(self):
        return self.own

    @_waiting.setter
    def _waiting(self, _):
        pass


@breaks(waist_place.a_wait_ends_with_a_delete)
class DeletesInSilence(MemoryBackend):
    async def commit(self, stream, change):
        waiting = self._waiting.pop(stream, []) if change.delete else []
        receipt = await super().commit(stream, change)
        self._waiting.setdefault(stream, []).extend(waiting)
        return receipt


@breaks(waist_place.news_is_for_everyone_who_waits)
class WakesTheFirst(MemoryBackend):
    async def commit(self, stream, change):
        waiting = self._waiting.pop(stream, [])
        self._waiting[stream], others = waiting[:1], waiting[1:]
        receipt = await super().commit(stream, change)
        self._waiting.setdefault(stream, []).extend(others)
        return receipt


@breaks(waist_place.a_cancelled_commit_is_done_or_not)
class ACancelledCommitBlocksTheRest(MemoryBackend):
    busy = False

    async def commit(self, stream, change):
        if self.busy:
            raise UnavailableError("another commit is under way")
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False
        return await super().commit(stream, change)


@breaks(waist_place.closing_twice_is_closing_once)
class ClosesOnce(MemoryBackend):
    async def close(self):
        if self._closed:
            raise UnavailableError("this place was closed")
        await super().close()


@breaks(waist_place.a_closed_place_gives_no_answer)
class NeverCloses(MemoryBackend):
    async def close(self):
        pass


@breaks(waist_place.a_closed_place_gives_no_answer)
class ReadsWhenClosed(MemoryBackend):
    async def heads(self, streams):
        return [None for _ in streams] if self._closed else await super().heads(streams)


@breaks(waist_place.closing_finishes_what_is_under_way)
class ClosingLosesTheLast(MemoryBackend):
    async def close(self):
        for kept in self._streams.values():
            del kept.entries[-1:]
        await super().close()


@breaks(waist_place.closing_finishes_what_is_under_way)
class ClosingLeavesWritersWaiting(MemoryBackend):
    async def commit(self, stream, change):
        await asyncio.sleep(0)
        if self._closed:
            await asyncio.Event().wait()
        return await super().commit(stream, change)
