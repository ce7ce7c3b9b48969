from __future__ import annotations

import asyncio
from datetime import timedelta
from itertools import count

from stowfast.abc import Change, Swept
from stowfast.backends.memory import MemoryBackend
from stowfast.errors import InvalidError, NotFoundError, UnavailableError
from stowfast.testing.backend import blobs as blobs_clauses
from stowfast.testing.backend import incarnations, lifecycle, reads
from tests.mutants import breaks, ignores


@breaks(lifecycle.a_wait_ends_at_once_where_there_is_news, lifecycle.a_wait_ends_with_a_delete)
class WaitsForALength(MemoryBackend):
    async def wait(self, stream, *, incarnation, next, timeout):
        head = (await self.heads([stream]))[0]
        return await super().wait(stream, incarnation=head and head.incarnation, next=next, timeout=timeout)


@breaks(lifecycle.a_wait_without_news_ends_with_its_time)
class TakesTimeForNews(MemoryBackend):
    async def wait(self, stream, *, incarnation, next, timeout):
        await super().wait(stream, incarnation=incarnation, next=next, timeout=timeout)
        return True


@breaks(lifecycle.a_wait_without_news_ends_with_its_time)
class TakesEveryChangeForNews(MemoryBackend):
    async def wait(self, stream, *, incarnation, next, timeout):
        before = (await self.heads([stream]))[0]
        news = await super().wait(stream, incarnation=incarnation, next=next, timeout=timeout)
        return news or (await self.heads([stream]))[0] != before


@breaks(lifecycle.a_wait_ends_with_a_commit_through_any_opening, lifecycle.news_is_for_everyone_who_waits)
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


@breaks(lifecycle.a_wait_ends_with_a_delete)
class DeletesInSilence(MemoryBackend):
    async def commit(self, stream, change):
        waiting = self._waiting.pop(stream, []) if change.delete else []
        receipt = await super().commit(stream, change)
        self._waiting.setdefault(stream, []).extend(waiting)
        return receipt


@breaks(lifecycle.news_is_for_everyone_who_waits)
class WakesTheFirst(MemoryBackend):
    async def commit(self, stream, change):
        waiting = self._waiting.pop(stream, [])
        self._waiting[stream], others = waiting[:1], waiting[1:]
        receipt = await super().commit(stream, change)
        self._waiting.setdefault(stream, []).extend(others)
        return receipt


@breaks(lifecycle.the_time_is_told)
class TellsSeconds(MemoryBackend):
    async def now(self):
        return await super().now() // 10**6


@breaks(lifecycle.the_time_is_told)
class HasAClockForEachOpening(MemoryBackend):
    openings = count()

    def __init__(self):
        self.ahead = next(self.openings) * 10**8
        super().__init__()

    async def now(self):
        return await super().now() + self.ahead


@breaks(reads.cold_entries_are_entries)
class ForgetsWhatIsCold(MemoryBackend):
    async def commit(self, stream, change):
        receipt = await super().commit(stream, change)
        if change.cold and not receipt.repeated and receipt.next == 12:
            await super().commit(stream, Change(drop_before=6))
        return receipt


@breaks(lifecycle.a_cancelled_commit_is_done_or_not)
class ACancelledCommitBlocksTheRest(MemoryBackend):
    busy = False

    async def commit(self, stream, change):
        if self.busy:
            raise UnavailableError("another commit is under way")
        self.busy = True
        await asyncio.sleep(0)
        self.busy = False
        return await super().commit(stream, change)


@breaks(lifecycle.closing_twice_is_closing_once)
class ClosesOnce(MemoryBackend):
    async def close(self):
        if self._closed:
            raise UnavailableError("this place was closed")
        await super().close()


@breaks(lifecycle.a_closed_place_gives_no_answer)
class NeverCloses(MemoryBackend):
    async def close(self):
        pass


@breaks(lifecycle.a_closed_place_gives_no_answer)
class AdvisesToRepeatWhenClosed(MemoryBackend):
    async def commit(self, stream, change):
        if self._closed:
            raise UnavailableError("this backend was closed")
        return await super().commit(stream, change)


@breaks(lifecycle.a_closed_place_gives_no_answer)
class ReadsWhenClosed(MemoryBackend):
    async def heads(self, streams):
        return [None for _ in streams] if self._closed else await super().heads(streams)


@breaks(lifecycle.closing_finishes_what_is_under_way)
class ClosingLosesTheLast(MemoryBackend):
    async def close(self):
        for kept in self._streams.values():
            del kept.entries[-1:]
        await super().close()


@breaks(lifecycle.closing_finishes_what_is_under_way)
class ClosingLeavesWritersWaiting(MemoryBackend):
    async def commit(self, stream, change):
        await asyncio.sleep(0)
        if self._closed:
            await asyncio.Event().wait()
        return await super().commit(stream, change)


ignores(MemoryBackend, "sweep", "dry_run", incarnations.a_dry_run_says_what_a_sweep_removes)


@breaks(incarnations.a_dry_run_says_what_a_sweep_removes)
class SaysNothingDry(MemoryBackend):
    async def sweep(self, *, dry_run=False):
        return Swept(0, 0) if dry_run else await super().sweep()


@breaks(incarnations.a_dry_run_says_what_a_sweep_removes)
class SaysAllStreams(MemoryBackend):
    async def sweep(self, *, dry_run=False):
        swept = await super().sweep(dry_run=dry_run)
        return swept._replace(streams=len(self._streams)) if dry_run else swept


@breaks(incarnations.a_dry_run_says_what_a_sweep_removes)
class DropsUploadsDry(MemoryBackend):
    async def sweep(self, *, dry_run=False):
        for kept in self._streams.values():
            for blob in kept.blobs.keys() - kept.linked() if dry_run else ():
                del kept.blobs[blob]
        return await super().sweep(dry_run=dry_run)


class _HasUrls(MemoryBackend):
    async def blob_url(self, stream, blob, *, expires):
        if not timedelta(seconds=1) <= expires <= timedelta(days=7):
            raise InvalidError("a link lives from a second to seven days")
        body = b"".join([chunk async for chunk in self.read_blob(stream, blob)])
        return f"data:application/octet-stream,{body.decode()}"


@breaks(blobs_clauses.a_blob_has_a_url_or_the_place_has_none)
class LinksToNowhere(_HasUrls):
    async def blob_url(self, stream, blob, *, expires):
        await super().blob_url(stream, blob, expires=expires)
        return f"memory:{blob}"


@breaks(blobs_clauses.a_blob_has_a_url_or_the_place_has_none)
class LinksSomethingElse(_HasUrls):
    async def blob_url(self, stream, blob, *, expires):
        return await super().blob_url(stream, blob, expires=expires) + "!"


@breaks(blobs_clauses.a_blob_has_a_url_or_the_place_has_none)
class LinksWhatIsNotThere(_HasUrls):
    async def blob_url(self, stream, blob, *, expires):
        try:
            return await super().blob_url(stream, blob, expires=expires)
        except NotFoundError:
            return "data:,"


@breaks(blobs_clauses.a_blob_has_a_url_or_the_place_has_none)
class LinksForever(_HasUrls):
    async def blob_url(self, stream, blob, *, expires):
        return await super().blob_url(stream, blob, expires=timedelta(days=1))


@breaks(blobs_clauses.a_blob_has_a_url_or_the_place_has_none)
class LinksNothing(MemoryBackend):
    async def blob_url(self, stream, blob, *, expires):
        return None
