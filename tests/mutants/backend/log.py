from __future__ import annotations

import asyncio

from msgspec.structs import replace

from stowfast.abc import ALL, MAX_ENTRY_BYTES, Change, Receipt, Slice, Window
from stowfast.backends.memory import MemoryBackend
from stowfast.errors import ConflictError, InvalidError
from stowfast.semantics import apply
from stowfast.testing.backend import heads as heads_clauses
from stowfast.testing.backend import lifecycle, log, reads
from stowfast.testing.backend.laws import LAWS
from tests.mutants import breaks


@breaks(log.positions_begin_at_zero_and_leave_no_gap, log.an_entry_says_when_and_by_which_call_it_came)
class ReversesBatches(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(entries=change.entries[::-1]))


@breaks(log.an_acknowledged_commit_is_there_after_reopening, lifecycle.closing_twice_is_closing_once)
class ForgetsWhenClosed(MemoryBackend):
    def __init__(self):
        super().__init__()
        self.written = {}

    async def commit(self, stream, change):
        receipt = await super().commit(stream, change)
        self.written[stream] = change
        return receipt

    async def read(self, stream, window=ALL):
        return await super().read(stream, window) if stream in self.written else Slice(None, [])


@breaks(log.an_acknowledged_commit_is_seen_by_every_opening)
class ReadsFromACache(MemoryBackend):
    def __init__(self):
        super().__init__()
        self.cache = {}

    async def read(self, stream, window=ALL):
        if stream not in self.cache:
            self.cache[stream] = await super().read(stream, window)
        return self.cache[stream]


@breaks(log.any_bytes_come_back_as_given)
class StoresText(MemoryBackend):
    async def commit(self, stream, change):
        entries = [entry.decode(errors="replace").encode() for entry in change.entries]
        return await super().commit(stream, change._replace(entries=entries))


@breaks(log.an_entry_over_its_bound_is_refused)
class CutsLargeEntriesShort(MemoryBackend):
    async def commit(self, stream, change):
        entries = [entry[:MAX_ENTRY_BYTES] for entry in change.entries]
        return await super().commit(stream, change._replace(entries=entries))


@breaks(log.an_entry_of_the_largest_size_is_stored)
class RefusesTheLargestEntry(MemoryBackend):
    async def commit(self, stream, change):
        if any(len(entry) >= MAX_ENTRY_BYTES for entry in change.entries):
            raise InvalidError("an entry is over the limit")
        return await super().commit(stream, change)


@breaks(log.an_entry_that_is_not_bytes_is_refused)
class TakesOtherBuffers(MemoryBackend):
    async def commit(self, stream, change):
        entries = [bytes(entry) if isinstance(entry, bytearray | memoryview) else entry for entry in change.entries]
        return await super().commit(stream, change._replace(entries=entries))


@breaks(log.a_change_of_nothing_begins_nothing)
class BeginsWithNothing(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(entries=change.entries or (b"",)))


@breaks(log.an_entry_says_when_and_by_which_call_it_came)
class ForgetsWhoCalled(MemoryBackend):
    async def read(self, stream, window=ALL):
        head, entries = await super().read(stream, window)
        return Slice(head, [replace(entry, op_id=None) for entry in entries])


@breaks(log.time_never_goes_back_along_a_stream)
class TrustsTwoClocks(MemoryBackend):
    async def read(self, stream, window=ALL):
        head, entries = await super().read(stream, window)
        late = 5_000_000
        return Slice(
            head, [replace(entry, created_at=entry.created_at - entry.position % 2 * late) for entry in entries]
        )


@breaks(
    LAWS["of_racing_expectations_one_wins"],
    log.of_racing_cuts_one_wins,
    heads_clauses.of_racing_changes_under_one_revision_one_wins,
)
class LooksThenWrites(MemoryBackend):
    async def commit(self, stream, change):
        apply(stream, (await self.heads([stream]))[0], change, now=0, incarnation=str)
        await asyncio.sleep(0)
        return await super().commit(stream, change._replace(expect=None, revision=None, incarnation=None))


@breaks(LAWS["of_racing_expectations_one_wins"])
class TakesEqualBytesForARepeat(MemoryBackend):
    async def commit(self, stream, change):
        try:
            return await super().commit(stream, change)
        except ConflictError:
            _, entries = await self.read(stream, Window(start=change.expect or 0, limit=len(change.entries)))
            if change.entries and [entry.data for entry in entries] == list(change.entries):
                return Receipt("", entries[0].position, entries[-1].position + 1, 0)
            raise


@breaks(log.concurrent_appends_are_all_there_once)
class ReadsAddsWritesBack(MemoryBackend):
    async def commit(self, stream, change):
        _, entries = await self.read(stream, Window(start=0))
        await asyncio.sleep(0)
        both = [*(entry.data for entry in entries), *change.entries]
        receipt = await super().commit(stream, change._replace(entries=both, delete=True))
        return receipt._replace(first=len(entries))


@breaks(log.concurrent_appends_are_all_there_once)
class LosesEveryHundredth(MemoryBackend):
    async def commit(self, stream, change):
        head = (await self.heads([stream]))[0]
        return await super().commit(stream, change._replace(cut_from=99 if head and head.next == 100 else None))


@breaks(log.a_cut_takes_the_end)
class GivesPositionsAgain(MemoryBackend):
    async def commit(self, stream, change):
        receipt = await super().commit(stream, change)
        kept = self._streams[stream]
        if change.cut_from is not None and not change.entries and kept.head:
            kept.head = kept.head._replace(next=kept.entries[-1].position + 1 if kept.entries else 0)
        return receipt


@breaks(log.a_cut_of_all_is_a_drop)
class StaysAtTheFront(MemoryBackend):
    async def commit(self, stream, change):
        before = (await self.heads([stream]))[0]
        receipt = await super().commit(stream, change)
        kept = self._streams[stream]
        if change.cut_from is not None and before and kept.head and before.first < kept.head.first:
            kept.head = kept.head._replace(first=before.first)
        return receipt


@breaks(log.of_racing_cuts_one_wins, heads_clauses.of_racing_changes_under_one_revision_one_wins)
class IgnoresRevision(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(revision=None))


@breaks(log.a_drop_takes_the_front)
class DropsNothing(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(drop_before=None))


@breaks(log.a_drop_takes_the_front)
class CountsFromTheFirst(MemoryBackend):
    async def read(self, stream, window=ALL):
        head, entries = await super().read(stream, window)
        return Slice(head, [replace(entry, position=number) for number, entry in enumerate(entries)])


@breaks(log.a_removal_beyond_the_end_stops_there)
class DropsTheFuture(MemoryBackend):
    async def commit(self, stream, change):
        receipt = await super().commit(stream, change)
        kept = self._streams[stream]
        if change.drop_before is not None and kept.head:
            kept.head = kept.head._replace(next=max(kept.head.next, change.drop_before))
        return receipt


@breaks(reads.a_batch_is_seen_whole_or_not_at_all, lifecycle.a_cancelled_commit_is_done_or_not)
class StoresOneByOne(MemoryBackend):
    async def commit(self, stream, change):
        receipts = []
        for entry in change.entries or [None]:
            await asyncio.sleep(0)
            receipts.append(await super().commit(stream, change._replace(entries=[entry] if entry else [], op_id=None)))
        return receipts[-1]._replace(first=receipts[0].first)


@breaks(reads.a_stream_that_is_not_there_reads_as_empty)
class BeginsWhatItReads(MemoryBackend):
    async def read(self, stream, window=ALL):
        found = await super().read(stream, window)
        if found.head is None:
            await self.commit(stream, Change(note=b"read"))
        return found


@breaks(reads.a_read_takes_its_window)
class StopsOneLater(MemoryBackend):
    async def read(self, stream, window=ALL):
        later = None if window.stop is None else window.stop + 1
        return await super().read(stream, window._replace(stop=later))


@breaks(reads.a_read_takes_its_window, reads.a_read_ends_with_the_entry_that_fills_it)
class NewestFirst(MemoryBackend):
    async def read(self, stream, window=ALL):
        head, entries = await super().read(stream, window)
        return Slice(head, entries[::-1] if window.newest else entries)


@breaks(reads.a_read_without_a_start_begins_at_the_base)
class IgnoresTheBase(MemoryBackend):
    async def read(self, stream, window=ALL):
        return await super().read(stream, window._replace(start=window.start or 0))


@breaks(reads.a_read_without_a_start_begins_at_the_base)
class TakesZeroForNoStart(MemoryBackend):
    async def read(self, stream, window=ALL):
        return await super().read(stream, window._replace(start=window.start or None))


@breaks(reads.a_read_ends_with_the_entry_that_fills_it)
class NeverOverTheBytesAsked(MemoryBackend):
    async def read(self, stream, window=ALL):
        head, entries = await super().read(stream, window._replace(max_bytes=None))
        while window.max_bytes is not None and sum(len(entry.data) for entry in entries) > window.max_bytes:
            entries.pop()
        return Slice(head, entries)


@breaks(reads.a_read_after_another_is_of_a_moment_since)
class RemembersWhatWasSeen(MemoryBackend):
    """It answers with the seen head, and with the entries of today."""

    async def read(self, stream, window=ALL):
        found = await super().read(stream, window)
        return found if window.seen is None else Slice(window.seen, found.entries)
