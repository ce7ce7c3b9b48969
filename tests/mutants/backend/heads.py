from __future__ import annotations

import asyncio
import time

from stowfast.abc import ALL, KEEP, MAX_HEAD_BYTES, Change, Receipt, Slice, Swept, Window
from stowfast.backends.memory import MemoryBackend
from stowfast.errors import ConflictError, NotFoundError
from stowfast.names import MAX_MOMENT
from stowfast.testing.backend import heads as heads_clauses
from stowfast.testing.backend import incarnations, lifecycle
from tests.mutants import breaks


@breaks(heads_clauses.labels_are_replaced_or_kept)
class MergesLabels(MemoryBackend):
    async def commit(self, stream, change):
        head = (await self.heads([stream]))[0]
        labels = change.labels and {**(head.labels if head else {}), **change.labels}
        return await super().commit(stream, change._replace(labels=labels))


@breaks(heads_clauses.labels_are_replaced_or_kept, heads_clauses.a_note_is_replaced_or_kept)
class TakesNoneForNothing(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(labels=change.labels or {}, note=change.note or b""))


@breaks(heads_clauses.a_note_is_replaced_or_kept)
class NotesAreText(MemoryBackend):
    async def commit(self, stream, change):
        note = change.note and change.note.decode(errors="replace").encode()
        return await super().commit(stream, change._replace(note=note))


@breaks(heads_clauses.revision_0_is_that_of_a_stream_that_does_not_exist)
class RefusesRevision0OfANewStream(MemoryBackend):
    async def commit(self, stream, change):
        if change.revision is not None and (await self.heads([stream]))[0] is None:
            raise ConflictError(f"{stream!r} is not there", current=0)
        return await super().commit(stream, change)


@breaks(heads_clauses.revision_0_is_that_of_a_stream_that_does_not_exist)
class TakesAnyRevisionForANewStream(MemoryBackend):
    async def commit(self, stream, change):
        there = (await self.heads([stream]))[0] is not None
        return await super().commit(stream, change if there else change._replace(revision=None))


@breaks(heads_clauses.a_removal_of_nothing_leaves_the_revision)
class CountsEveryRemoval(MemoryBackend):
    async def commit(self, stream, change):
        removes = change.cut_from is not None or change.drop_before is not None
        return await super().commit(stream, change._replace(note=b"") if removes and change.note is None else change)


@breaks(heads_clauses.a_head_alone_begins_a_stream)
class BeginsWithEntriesOnly(MemoryBackend):
    async def commit(self, stream, change):
        if not change.entries and (await self.heads([stream]))[0] is None:
            return Receipt("", 0, 0, 0)
        return await super().commit(stream, change)


@breaks(heads_clauses.a_head_over_its_bounds_is_refused)
class CutsNotesShort(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(note=change.note and change.note[:MAX_HEAD_BYTES]))


@breaks(heads_clauses.a_head_over_its_bounds_is_refused)
class CountsCharacters(MemoryBackend):
    async def commit(self, stream, change):
        labels, characters = (
            change.labels or {},
            sum(len(key) + len(value) for key, value in (change.labels or {}).items()),
        )
        receipt = await super().commit(stream, change._replace(labels=None) if characters <= MAX_HEAD_BYTES else change)
        kept = self._streams[stream]
        kept.head = kept.head and kept.head._replace(labels=dict(labels))
        return receipt


@breaks(heads_clauses.a_revision_counts_all_but_plain_appends)
class RevisionCountsAppends(MemoryBackend):
    async def commit(self, stream, change):
        receipt = await super().commit(stream, change)
        kept = self._streams[stream]
        kept.head = kept.head and kept.head._replace(revision=kept.head.revision + 1)
        return receipt


@breaks(heads_clauses.a_revision_counts_all_but_plain_appends)
class RevisionCountsDifferences(MemoryBackend):
    async def commit(self, stream, change):
        head = (await self.heads([stream]))[0]
        same = head is not None and change.labels == head.labels
        return await super().commit(stream, change._replace(labels=None) if same else change)


@breaks(heads_clauses.a_condition_that_fails_stores_nothing, incarnations.a_delete_and_a_beginning_are_one_change)
class DeletesFirst(MemoryBackend):
    async def commit(self, stream, change):
        if change.delete and change != Change(delete=True):
            await super().commit(stream, Change(delete=True))
            await asyncio.sleep(0)
        return await super().commit(stream, change)


@breaks(heads_clauses.a_condition_that_fails_stores_nothing)
class StoresLabelsFirst(MemoryBackend):
    async def commit(self, stream, change):
        if change.labels is not None:
            await super().commit(stream, Change(labels=change.labels))
        return await super().commit(stream, change)


@breaks(heads_clauses.heads_come_in_the_order_asked)
class SortsHeads(MemoryBackend):
    async def heads(self, streams):
        return await super().heads(sorted(set(streams)))


@breaks(heads_clauses.heads_come_in_the_order_asked)
class LeavesOutWhatIsNotThere(MemoryBackend):
    async def heads(self, streams):
        return [head for head in await super().heads(streams) if head] or [None] * len(streams)


@breaks(heads_clauses.what_goes_in_and_comes_out_is_a_copy)
class HandsOutItsOwn(MemoryBackend):
    def _head(self, stream):
        head = super()._head(stream)
        return head and self._streams[stream].head


@breaks(heads_clauses.what_goes_in_and_comes_out_is_a_copy)
class KeepsWhatItWasGiven(MemoryBackend):
    async def commit(self, stream, change):
        receipt = await super().commit(stream, change)
        kept = self._streams[stream]
        if kept.head and change.labels is not None:
            kept.head = kept.head._replace(labels=change.labels)
        return receipt


@breaks(incarnations.a_delete_hides_everything, incarnations.a_stream_begun_again_is_another)
class DeletesEntriesOnly(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(
            stream, change._replace(delete=False, cut_from=0 if change.delete else change.cut_from)
        )


@breaks(incarnations.an_expiry_is_a_moment_of_the_years_1_to_9999)
class TakesAnyNumberForATime(MemoryBackend):
    async def commit(self, stream, change):
        late = change.expires_at is not None and change.expires_at > MAX_MOMENT
        return await super().commit(stream, change._replace(expires_at=MAX_MOMENT) if late else change)


@breaks(incarnations.a_large_removal_is_one_moment)
class RemovesInPieces(MemoryBackend):
    async def commit(self, stream, change):
        if change.drop_before is not None:
            head = (await self.heads([stream]))[0]
            change = change._replace(drop_before=min(change.drop_before, (head.first if head else 0) + 1_000))
        return await super().commit(stream, change)


@breaks(incarnations.deleting_what_is_not_there_is_fine)
class MissesWhatItDeletes(MemoryBackend):
    async def commit(self, stream, change):
        if change.delete and (await self.heads([stream]))[0] is None:
            raise NotFoundError(stream)
        return await super().commit(stream, change)


@breaks(
    incarnations.a_stream_begun_again_is_another,
    incarnations.a_pinned_incarnation_ends_with_it,
    incarnations.appends_that_race_a_delete_are_before_or_after_it,
    incarnations.an_append_to_an_expired_stream_begins_anew,
    lifecycle.a_wait_ends_with_a_delete,
)
class OneIncarnationForAll(MemoryBackend):
    async def commit(self, stream, change):
        await asyncio.sleep(0)
        receipt = await super().commit(stream, change)
        kept = self._streams[stream]
        kept.head = kept.head and kept.head._replace(incarnation="the only one")
        return receipt._replace(incarnation="the only one")


@breaks(incarnations.a_stream_begun_again_is_another)
class LeavesTheBase(MemoryBackend):
    async def commit(self, stream, change):
        kept = self._streams.get(stream)
        self.bases = getattr(self, "bases", {})
        if kept and kept.head:
            self.bases[stream] = max(self.bases.get(stream, 0), kept.head.base)
        return await super().commit(stream, change._replace(base=change.base or self.bases.get(stream)))


@breaks(incarnations.a_pinned_incarnation_ends_with_it)
class IgnoresIncarnation(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(incarnation=None))


@breaks(incarnations.appends_that_race_a_delete_are_before_or_after_it)
class DeletesWhatItSaw(MemoryBackend):
    async def commit(self, stream, change):
        seen = (await self.read(stream, Window(start=0))).entries
        await asyncio.sleep(0)
        receipt = await super().commit(stream, change._replace(delete=False))
        if change.delete:
            self._streams[stream].entries[: len(seen) + 1] = []
        return receipt


@breaks(incarnations.an_expired_stream_is_gone_at_once, incarnations.an_append_to_an_expired_stream_begins_anew)
class ExpiresWithTheSweep(MemoryBackend):
    async def commit(self, stream, change):
        expires_at = change.expires_at
        past = expires_at not in (None, KEEP) and expires_at < time.time_ns() // 1_000
        return await super().commit(stream, change._replace(expires_at=KEEP) if past else change)


@breaks(incarnations.an_append_to_an_expired_stream_begins_anew)
class RevivesTheExpired(MemoryBackend):
    async def commit(self, stream, change):
        kept = self._streams.get(stream)
        if kept and kept.head:
            kept.head = kept.head._replace(expires_at=None)
        return await super().commit(stream, change)


@breaks(incarnations.an_expiry_is_replaced_removed_or_kept)
class AppendsRemoveTheExpiry(MemoryBackend):
    async def commit(self, stream, change):
        expires_at = None if change.entries and change.expires_at == KEEP else change.expires_at
        return await super().commit(stream, change._replace(expires_at=expires_at))


@breaks(incarnations.an_expiry_is_replaced_removed_or_kept)
class TakesNoneForKeep(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(expires_at=change.expires_at or KEEP))


@breaks(incarnations.a_ttl_counts_from_its_commit)
class CountsATtlFromTheFirstCommit(MemoryBackend):
    async def commit(self, stream, change):
        head = (await self.heads([stream]))[0]
        return await super().commit(stream, change._replace(ttl=None) if head and change.ttl else change)


@breaks(incarnations.a_ttl_counts_from_its_commit)
class EveryAppendMovesTheExpiry(MemoryBackend):
    async def commit(self, stream, change):
        head = (await self.heads([stream]))[0]
        if change.is_plain and head and head.expires_at is not None:
            change = change._replace(ttl=head.expires_at - head.created_at)
        return await super().commit(stream, change)


@breaks(incarnations.a_sweep_removes_the_expired_and_spares_the_living)
class SweepsWhatWillExpire(MemoryBackend):
    async def sweep(self, *, dry_run=False):
        for stream, kept in self._streams.items():
            if kept.head and kept.head.expires_at:
                await self.commit(stream, Change(delete=True))
        return Swept(1, 0)


@breaks(incarnations.an_expired_stream_is_gone_at_once)
class ListsTheExpired(MemoryBackend):
    async def read(self, stream, window=ALL):
        kept = self._streams.get(stream)
        return Slice(kept.head, list(kept.entries)) if kept and kept.head else Slice(None, [])
