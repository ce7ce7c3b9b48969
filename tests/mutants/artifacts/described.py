"""Broken artifacts with large descriptions: some of it is lost, read in vain, or refused."""

from __future__ import annotations

import json
from dataclasses import replace

from stowfast import Artifacts, InvalidError, Page
from stowfast.abc import MAX_HEAD_BYTES
from stowfast.stores.artifacts.lookup import find_head
from stowfast.stores.artifacts.records import newest_of
from stowfast.testing.artifacts import described
from stowfast.wrappers import Wrapper
from tests.mutants import breaks


@breaks(described.a_description_of_an_artifact_may_be_large)
class RefusesWhatNoHeadHolds(Wrapper):
    async def commit(self, stream, change):
        if change.note and any(len(entry) > MAX_HEAD_BYTES for entry in change.entries):
            raise InvalidError("it is too large")
        return await super().commit(stream, change)


@breaks(described.a_description_of_an_artifact_may_be_large)
class TellsWhatTheHeadHas(Artifacts):
    async def info(self, artifact_id, **options):
        head = await find_head(self._backend, artifact_id)
        return await super().info(artifact_id, **options) if head is None else newest_of(head)


@breaks(described.a_description_of_an_artifact_may_be_large)
class TakesColumnsFromTheHead(Wrapper):
    """A read of the newest version finds what the head has of it."""

    async def heads(self, streams):
        return [head and head._replace(note=_with(head.note, left_out=[])) for head in await super().heads(streams)]


@breaks(described.a_list_leaves_out_large_descriptions)
class ReadsWhatItLists(Artifacts):
    async def list(self, **options):
        page = await super().list(**options)
        return Page([await self.info(one.artifact_id) for one in page], page.next, page.damaged)


@breaks(described.a_list_leaves_out_large_descriptions)
class SaysNothingIsMissing(Artifacts):
    async def list(self, **options):
        page = await super().list(**options)
        return Page([replace(one, left_out=()) for one in page], page.next, page.damaged)


@breaks(described.a_list_leaves_out_large_descriptions)
class ForgetsWhatIsMissing(Wrapper):
    async def commit(self, stream, change):
        if change.note and not change.entries:
            change = change._replace(note=_with(change.note, left_out=[]))
        return await super().commit(stream, change)


@breaks(described.a_list_leaves_out_large_descriptions)
class StoresWhatAListTold(Artifacts):
    async def update(self, artifact, **options):
        return await super().update(replace(artifact, left_out=()), **options)


@breaks(described.a_description_of_an_artifact_has_a_bound)
class CutsWhatIsTooLarge(Artifacts):
    async def put(self, artifact, **options):
        try:
            return await super().put(artifact, **options)
        except InvalidError:
            return await super().put(replace(artifact, metadata={}), **options)


@breaks(described.a_description_of_an_artifact_has_a_bound)
class BoundsEachPair(Artifacts):
    async def put(self, artifact, **options):
        if any(len(json.dumps(value)) > MAX_HEAD_BYTES for value in artifact.metadata.values()):
            raise InvalidError("a value is too large")
        return await super().put(artifact, **options)


def _with(note, **fields):
    return json.dumps({**json.loads(note), **fields}).encode() if note else note
