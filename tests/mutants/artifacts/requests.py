"""Broken artifacts: too many requests to a backend, and once too few."""

from __future__ import annotations

import hashlib
import json
from contextlib import asynccontextmanager

from stowfast import Artifacts, ConflictError
from stowfast.abc import Change, Window
from stowfast.stores.artifacts.reading.reader import ArtifactReader
from stowfast.stores.artifacts.records import stream_of
from stowfast.testing.artifacts import requests
from stowfast.testing.artifacts.bodies import each
from stowfast.wrappers import Wrapper
from tests.mutants import breaks
from tests.mutants.artifacts.reads import ReadsWith


@breaks(requests.a_repeat_sends_no_body)
class SendsItAndSees(Wrapper):
    async def commit(self, stream, change):
        if change.expect == -1:
            raise ConflictError("unknown")
        return await super().commit(stream, change)


@breaks(requests.a_repeat_sends_no_body)
class NamesEveryCall(Artifacts):
    async def create(self, artifact, *, op_id=None, **options):
        return await super().create(artifact, op_id=op_id or f"{artifact.artifact_id} is made", **options)


@breaks(requests.bytes_that_were_damaged_are_stored_anew)
class LinksUnread(Artifacts):
    async def update(self, artifact, **options):
        body = artifact.content if isinstance(artifact.content, bytes) else artifact.content.getvalue()
        stream, digest = stream_of(artifact.artifact_id), hashlib.sha256(body).hexdigest()
        head, entries = await self._backend.read(stream, Window(start=0))
        for entry in entries:
            record = json.loads(entry.data.partition(b"\n")[0])
            assert head is not None
            if (record.get("blob"), record["sha256"]) == (record.get("blob") or 0, digest):
                change = Change((entry.data,), blobs=(record["blob"],), labels=head.labels, note=head.note)
                await self._backend.commit(stream, change)
                return await self.info(artifact.artifact_id)
        return await super().update(artifact, **options)


@breaks(requests.bytes_that_were_damaged_are_stored_anew, requests.an_update_reads_no_more_for_many_versions)
class StoresAnewEachTime(Wrapper):
    async def commit(self, stream, change):
        note = json.loads(change.note) if change.note else {}
        note.pop("bodies", None)
        return await super().commit(stream, change._replace(note=json.dumps(note).encode()) if change.note else change)


@breaks(requests.an_update_reads_no_more_for_many_versions)
class ReadsEveryVersion(Artifacts):
    async def update(self, artifact, **options):
        await self.versions(artifact.artifact_id)
        return await super().update(artifact, **options)


@breaks(requests.a_range_is_asked_for_once)
class ReadsFromTheBeginning(ReadsWith):
    class reader(ArtifactReader):  # noqa: N801
        async def __aiter__(self):
            skipped, self._position = self._position, 0
            async for piece in super().__aiter__():
                yield piece[skipped:]
                skipped = max(0, skipped - len(piece))


@breaks(requests.a_range_is_asked_for_once)
class NeverLooksAhead(ReadsWith):
    class reader(ArtifactReader):  # noqa: N801
        async def _look_ahead(self, first, last):
            self._following = -1
            await super()._look_ahead(first, last)


@breaks(requests.a_list_asks_no_more_for_many_artifacts)
class ListsOneByOne(Artifacts):
    async def list(self, **options):
        page = await super().list(**options)
        for line in page:
            await self.info(line.artifact_id)
        return page


@breaks(requests.what_was_written_live_is_one_body)
class KeepsTheParts(Artifacts):
    @asynccontextmanager
    async def open_live(self, artifact_id, **options):
        async with super().open_live(artifact_id, **options) as writer:
            yield writer
            await self._backend.write_blob(stream_of(artifact_id), each([b"a part"]))
