"""Broken artifacts: writers, sources of content, shared bytes of versions, pruning."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from os import PathLike

from stowfast import Artifacts, InvalidError, Page
from stowfast.abc import Change
from stowfast.stores.artifacts.records import stream_of
from stowfast.stores.artifacts.writing.commit import add
from stowfast.stores.artifacts.writing.content import source_of
from stowfast.testing.artifacts import sharing as content
from stowfast.testing.artifacts import writers as streams
from stowfast.testing.artifacts.bodies import each
from stowfast.wrappers import Wrapper
from tests.mutants import breaks, ignores


@breaks(streams.a_writer_follows_the_version_it_expects)
class TakesNoneForAny(Artifacts):
    def open_writer(self, artifact_id, *, expect=None, **options):
        return super().open_writer(artifact_id, expect=expect or None, **options)


@breaks(streams.a_writer_that_was_repeated_is_one_version)
class UploadsRepeats(Artifacts):
    @asynccontextmanager
    async def open_writer(self, artifact_id, **options):
        async with super().open_writer(artifact_id, **options) as writer:
            yield writer
        await self._backend.write_blob(stream_of(artifact_id), each([b"what was written"]))


@breaks(streams.writers_at_once_never_overwrite_one_another)
class ExpectsWhatItFound(Artifacts):
    @asynccontextmanager
    async def open_writer(self, artifact_id, *, expect=None, **options):
        found = len(await self.versions(artifact_id)) if expect is None else expect
        async with super().open_writer(artifact_id, expect=found, **options) as writer:
            yield writer


@breaks(streams.writers_at_once_never_overwrite_one_another)
class TheLastWriterWins(Artifacts):
    @asynccontextmanager
    async def open_writer(self, artifact_id, *, expect=None, **options):
        async with super().open_writer(artifact_id, **options) as writer:
            yield writer
            if expect is None:
                await self.delete(artifact_id)


@breaks(streams.content_comes_from_a_path_a_file_or_an_iterator)
class StoresThePath(Artifacts):
    async def create(self, artifact, **options):
        if isinstance(artifact.content, PathLike):
            artifact = replace(artifact, content=str(artifact.content).encode())
        return await super().create(artifact, **options)


@breaks(streams.content_comes_from_a_path_a_file_or_an_iterator)
class ReadsAFileOnce(Artifacts):
    async def create(self, artifact, **options):
        if hasattr(artifact.content, "read"):
            artifact = replace(artifact, content=artifact.content.read(2**20))
        return await super().create(artifact, **options)


@breaks(content.identical_bytes_of_an_artifact_are_stored_once)
class StoresThemAgain(Artifacts):
    async def update(self, artifact, *, expect=None, op_id=None, **options):
        change = Change(expect=expect, op_id=op_id)
        return await add(self._backend, artifact, source_of(artifact.content, "it"), change)


@breaks(content.identical_bytes_of_an_artifact_are_stored_once)
class LinksABlobOnce(Wrapper):
    def __init__(self, backend):
        super().__init__(backend)
        self.linked = set()

    async def commit(self, stream, change):
        blobs = [blob for blob in change.blobs if blob not in self.linked]
        self.linked |= set(blobs)
        return await super().commit(stream, change._replace(blobs=blobs))


@breaks(content.pruning_leaves_the_newest_versions)
class PrunesOneMore(Artifacts):
    async def prune(self, artifact_id, *, keep):
        return await super().prune(artifact_id, keep=max(1, keep - 1))


@breaks(content.pruning_leaves_the_newest_versions)
class NumbersAnew(Artifacts):
    async def prune(self, artifact_id, *, keep):
        infos = await self.versions(artifact_id)
        kept = [await self.get(artifact_id, version=info.version) for info in infos[-keep:]]
        await self.delete(artifact_id)
        for number, artifact in enumerate(filter(None, kept)):
            await (self.update(artifact) if number else self.create(artifact))
        return len(infos) - len(kept)


@breaks(content.pruning_leaves_the_newest_versions)
class KeepsNone(Artifacts):
    async def prune(self, artifact_id, *, keep):
        try:
            return await super().prune(artifact_id, keep=keep)
        except InvalidError:
            return 0


@breaks(content.pruning_beside_updates_loses_none)
class PrunesWhatItSaw(Artifacts):
    async def prune(self, artifact_id, *, keep):
        (head,) = await self._backend.heads([stream_of(artifact_id)])
        if head is None or head.next - keep <= head.first:
            return await super().prune(artifact_id, keep=keep)
        change = Change(drop_before=head.next - keep, revision=head.revision)
        await self._backend.commit(head.name, change)
        return head.next - keep - head.first


@breaks(content.pruning_beside_updates_loses_none)
class TellsOfTheOneBefore(Wrapper):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(revision=None) if change.drop_before else change)


@breaks(content.pruning_leaves_the_newest_versions)
class TellsTheTimeOfThePrune(Wrapper):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(note=None) if change.drop_before else change)


@breaks(content.pruning_beside_updates_loses_none)
class CutsTheEnd(Wrapper):
    async def commit(self, stream, change):
        if change.drop_before:
            change = change._replace(cut_from=change.drop_before + 1, revision=None)
        return await super().commit(stream, change)


@breaks(content.data_is_held_to_its_schema)
class IgnoresSchemas(Artifacts):
    async def create(self, artifact, **options):
        info = await super().create(replace(artifact, schema=None), **options)
        return replace(info, schema=artifact.schema)


@breaks(content.data_is_held_to_its_schema)
class ForgetsTheSchema(Artifacts):
    async def update(self, artifact, **options):
        return await super().update(replace(artifact, schema=artifact.schema or {}), **options)


@breaks(content.a_mime_type_is_given_or_guessed)
class GuessesFromTheKind(Artifacts):
    async def create(self, artifact, **options):
        kind = "application/octet-stream" if isinstance(artifact.content, bytes) else None
        return await super().create(replace(artifact, mime_type=artifact.mime_type or kind), **options)


@breaks(content.a_mime_type_is_given_or_guessed)
class KnowsBetter(Artifacts):
    async def create(self, artifact, **options):
        return await super().create(replace(artifact, mime_type=None), **options)


ignores(Artifacts, "info", "version", content.whatever_tells_of_a_version_tells_the_same)


@breaks(content.whatever_tells_of_a_version_tells_the_same)
class ListsWithoutMetadata(Artifacts):
    async def list(self, **options):
        page = await super().list(**options)
        return Page([replace(info, metadata={}) for info in page], page.next)
