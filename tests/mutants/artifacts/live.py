"""Broken artifacts: live writers and followers."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from dataclasses import replace

from stowfast import Artifacts, ConflictError, NotFoundError, Page
from stowfast.abc import Change
from stowfast.stores.artifacts.live.build import live_stream_of
from stowfast.stores.artifacts.records import stream_of
from stowfast.testing.artifacts import live
from stowfast.wrappers import Wrapper
from tests.mutants import breaks
from tests.mutants.stores import ForgetsOpIds, IgnoresExpect

breaks(live.lost_answers_double_nothing_that_is_written_live)(ForgetsOpIds)
breaks(live.what_was_written_live_becomes_a_version)(IgnoresExpect)


@breaks(live.what_is_written_live_is_followed_meanwhile)
class YieldsAtTheEnd(Artifacts):
    async def follow(self, artifact_id, **options):
        for piece in [piece async for piece in super().follow(artifact_id, **options)]:
            yield piece


@breaks(live.what_is_written_live_is_followed_meanwhile)
class YieldsTheLastAgain(Artifacts):
    async def follow(self, artifact_id, **options):
        piece = b""
        async for piece in super().follow(artifact_id, **options):
            yield piece
        yield piece


@breaks(live.what_is_written_live_is_followed_meanwhile)
class HasNoNews(Wrapper):
    async def wait(self, stream, **known):
        await asyncio.Event().wait()


@breaks(live.what_is_written_live_is_followed_meanwhile, live.who_follows_late_gets_all_of_it)
class EndsWhereItIs(Wrapper):
    async def wait(self, stream, **known):
        raise NotFoundError("nothing came")


@breaks(live.who_follows_late_gets_all_of_it)
class FollowsFromNowOn(Artifacts):
    async def follow(self, artifact_id, **options):
        info = await self.info(artifact_id)
        before = info.size if info and info.state == "building" else 0
        async for piece in super().follow(artifact_id, **options):
            yield piece[before:]
            before = max(0, before - len(piece))


@breaks(live.who_follows_late_gets_all_of_it)
class ReadsOnInTheNewest(Artifacts):
    async def follow(self, artifact_id, **options):
        offset = 0
        async for piece in super().follow(artifact_id, **options):
            yield piece
            offset += len(piece)
            newest = await self.get(artifact_id)
            if newest is not None:
                yield newest.content[offset:]
                return


@breaks(live.who_follows_late_gets_all_of_it)
class FollowsOnlyWhatIsWritten(Artifacts):
    async def follow(self, artifact_id, **options):
        if (await self._backend.heads([live_stream_of(artifact_id)])) == [None]:
            raise NotFoundError("nobody is writing it")
        async for piece in super().follow(artifact_id, **options):
            yield piece


@breaks(live.what_fails_live_is_no_version, live.a_delete_ends_what_is_written_live)
class TakesAFailureForTheEnd(Artifacts):
    async def follow(self, artifact_id, **options):
        with suppress(NotFoundError):
            async for piece in super().follow(artifact_id, **options):
                yield piece


@breaks(live.what_fails_live_is_no_version)
class FailsInSilence(Wrapper):
    async def commit(self, stream, change):
        if b'"failed":""' not in (change.note or b'"failed":""'):
            raise ConflictError("not now")
        return await super().commit(stream, change)


@breaks(live.of_two_who_write_live_the_second_is_refused)
class TheLastWriterWins(Artifacts):
    @asynccontextmanager
    async def open_live(self, artifact_id, **options):
        await self._backend.commit(live_stream_of(artifact_id), Change(delete=True))
        async with super().open_live(artifact_id, **options) as writer:
            yield writer


@breaks(live.of_two_who_write_live_the_second_is_refused)
class NeverLetsGo(Artifacts):
    @asynccontextmanager
    async def open_live(self, artifact_id, **options):
        async with super().open_live(artifact_id, **options) as writer:
            await self._backend.commit(f"busy/{artifact_id}", Change([b"for ever"], expect=0))
            yield writer


@breaks(live.info_says_how_it_goes)
class ListsVersionsOnly(Artifacts):
    async def list(self, **options):
        page = await super().list(**options)
        return Page([info for info in page if info.version], page.next)


@breaks(live.info_says_how_it_goes)
class KnowsVersionsOnly(Artifacts):
    async def info(self, artifact_id, **options):
        info = await super().info(artifact_id, **options)
        return info if info and info.version else None


@breaks(live.info_says_how_it_goes, live.what_fails_live_is_no_version)
class IsAlwaysHopeful(Artifacts):
    async def info(self, artifact_id, **options):
        info = await super().info(artifact_id, **options)
        return info and replace(info, state="building" if info.state == "failed" else info.state)


@breaks(live.many_small_writes_are_few_commits)
class CommitsEachPiece(Artifacts):
    @asynccontextmanager
    async def open_live(self, artifact_id, *, flush_bytes=1, **options):
        async with super().open_live(artifact_id, flush_bytes=min(flush_bytes, 100), **options) as writer:
            yield writer


@breaks(live.many_small_writes_are_few_commits)
class TakesAnyBatch(Artifacts):
    @asynccontextmanager
    async def open_live(self, artifact_id, *, flush_bytes=1, flush_seconds=0.2, **options):
        sizes = {"flush_bytes": min(max(flush_bytes, 1), 2**23), "flush_seconds": max(flush_seconds, 0)}
        async with super().open_live(artifact_id, **sizes, **options) as writer:
            yield writer


@breaks(live.what_is_written_live_is_followed_meanwhile)
class WaitsForAFullBatch(Artifacts):
    def open_live(self, artifact_id, *, flush_seconds=3_600, **options):
        return super().open_live(artifact_id, flush_seconds=flush_seconds, **options)


@breaks(live.lost_answers_double_nothing_that_is_written_live)
class RepeatsBatches(Wrapper):
    async def commit(self, stream, change):
        change = change._replace(op_id=None) if stream.startswith("live/") and change.entries else change
        return await super().commit(stream, change)


@breaks(live.a_delete_ends_what_is_written_live)
class DeletesVersionsOnly(Artifacts):
    async def delete(self, artifact_id):
        await self._backend.commit(stream_of(artifact_id), Change(delete=True))
