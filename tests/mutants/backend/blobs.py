from __future__ import annotations

import time

from stowfast.abc import Change, Swept
from stowfast.backends.memory import MemoryBackend
from stowfast.errors import NotFoundError, UnavailableError
from stowfast.testing.backend import blobs as blobs_clauses
from tests.mutants import breaks


async def _each(chunks):
    for chunk in chunks:
        yield chunk


@breaks(blobs_clauses.a_blob_comes_back_as_written)
class KeepsTheLastChunk(MemoryBackend):
    async def write_blob(self, stream, chunks):
        return await super().write_blob(stream, _each([chunk async for chunk in chunks][-1:]))


@breaks(blobs_clauses.a_blob_comes_back_as_written)
class EndsAtAnEmptyChunk(MemoryBackend):
    async def write_blob(self, stream, chunks):
        whole = [chunk async for chunk in chunks]
        return await super().write_blob(stream, _each(whole[: whole.index(b"")] if b"" in whole else whole))


@breaks(blobs_clauses.a_blob_is_read_by_range)
class RangesEndOneLater(MemoryBackend):
    async def read_blob(self, stream, blob, *, start=0, stop=None):
        async for chunk in super().read_blob(stream, blob, start=start, stop=stop and stop + 1):
            yield chunk


@breaks(blobs_clauses.a_blob_is_read_by_range)
class TakesZeroForNoEnd(MemoryBackend):
    async def read_blob(self, stream, blob, *, start=0, stop=None):
        async for chunk in super().read_blob(stream, blob, start=start, stop=stop or None):
            yield chunk


@breaks(blobs_clauses.a_blob_is_invisible_until_it_is_linked)
class ShowsUploads(MemoryBackend):
    async def read_blob(self, stream, blob, *, start=0, stop=None):
        kept = self._streams.get(stream)
        if kept is None or blob not in kept.blobs:
            raise NotFoundError(blob)
        yield kept.blobs[blob][1][start:stop]


@breaks(blobs_clauses.a_blob_is_invisible_until_it_is_linked)
class UploadsBeginAStream(MemoryBackend):
    async def write_blob(self, stream, chunks):
        blob = await super().write_blob(stream, chunks)
        await self.commit(stream, Change(note=b"blobs"))
        return blob


@breaks(blobs_clauses.a_blob_is_invisible_until_it_is_linked)
class NothingOfNothingIsFine(MemoryBackend):
    async def read_blob(self, stream, blob, *, start=0, stop=None):
        if stop is None or start < stop:
            async for chunk in super().read_blob(stream, blob, start=start, stop=stop):
                yield chunk


@breaks(blobs_clauses.one_change_links_many_blobs)
class LinksTheFirst(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(blobs=change.blobs[:1]))


@breaks(blobs_clauses.an_unknown_blob_is_a_conflict, blobs_clauses.a_blob_belongs_to_its_stream)
class IgnoresUnknownBlobs(MemoryBackend):
    async def commit(self, stream, change):
        known = self._streams[stream].blobs if stream in self._streams else {}
        return await super().commit(stream, change._replace(blobs=[blob for blob in change.blobs if blob in known]))


@breaks(blobs_clauses.an_unknown_blob_is_a_conflict)
class StoresThenLooksForBlobs(MemoryBackend):
    async def commit(self, stream, change):
        if change.blobs:
            await super().commit(stream, Change(labels=change.labels or {"k": "v"}))
        return await super().commit(stream, change)


@breaks(blobs_clauses.a_blob_belongs_to_its_stream)
class BlobsOfThePlace(MemoryBackend):
    async def read_blob(self, stream, blob, *, start=0, stop=None):
        owners = [name for name, kept in self._streams.items() if blob in kept.linked()]
        async for chunk in super().read_blob(owners[0] if owners else stream, blob, start=start, stop=stop):
            yield chunk


@breaks(blobs_clauses.a_blob_goes_with_its_entry, blobs_clauses.a_shared_blob_lives_until_its_last_entry_goes)
class BlobsStay(MemoryBackend):
    async def read_blob(self, stream, blob, *, start=0, stop=None):
        kept = self._streams.get(stream)
        if kept is None or blob not in kept.ever_linked():
            raise NotFoundError(blob)
        yield kept.blobs[blob][1][start:stop]


@breaks(blobs_clauses.a_blob_of_a_past_life_stays_gone)
class BlobsOutliveTheStream(MemoryBackend):
    async def commit(self, stream, change):
        before = dict(self._streams[stream].blobs) if stream in self._streams else {}
        receipt = await super().commit(stream, change)
        now = time.time_ns() // 1_000
        for blob, (_, body) in before.items():
            self._streams[stream].blobs.setdefault(blob, (now, body))
        return receipt


@breaks(blobs_clauses.a_shared_blob_lives_until_its_last_entry_goes)
class BlobsGoWithTheirFirstEntry(MemoryBackend):
    async def commit(self, stream, change):
        before = dict(self._streams[stream].links) if stream in self._streams else {}
        receipt = await super().commit(stream, change)
        links = self._streams[stream].links
        gone = {blob for position in before.keys() - links.keys() for blob in before[position]}
        for position, blobs in links.items():
            links[position] = tuple(blob for blob in blobs if blob not in gone)
        return receipt


@breaks(blobs_clauses.a_life_may_begin_with_a_blob)
class ADeleteTakesEveryUpload(MemoryBackend):
    async def commit(self, stream, change):
        if change.delete and stream in self._streams:
            self._streams[stream].blobs.clear()
        return await super().commit(stream, change)


@breaks(blobs_clauses.a_sweep_spares_blobs_that_are_needed)
class SweepsFreshUploads(MemoryBackend):
    async def sweep(self, *, dry_run=False):
        for kept in self._streams.values():
            kept.blobs = {blob: body for blob, body in kept.blobs.items() if blob in kept.linked()}
        return Swept(0, 0)


@breaks(blobs_clauses.an_upload_is_in_nobodys_way)
class OneWriterAtATime(MemoryBackend):
    uploading = False

    async def commit(self, stream, change):
        if self.uploading:
            raise UnavailableError("the place is locked")
        return await super().commit(stream, change)

    async def write_blob(self, stream, chunks):
        self.uploading = True
        try:
            return await super().write_blob(stream, chunks)
        finally:
            self.uploading = False


@breaks(blobs_clauses.an_interrupted_upload_leaves_nothing)
class SwallowsTheError(MemoryBackend):
    async def write_blob(self, stream, chunks):
        async def what_comes():
            try:
                async for chunk in chunks:
                    yield chunk
            except Exception:  # noqa: BLE001 - which is the bug
                return

        return await super().write_blob(stream, what_comes())


@breaks(blobs_clauses.an_interrupted_upload_leaves_nothing)
class BeginsAnUploadInTheStream(MemoryBackend):
    async def write_blob(self, stream, chunks):
        await self.commit(stream, Change([b"an upload began"]))
        return await super().write_blob(stream, chunks)
