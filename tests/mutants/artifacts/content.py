"""Broken artifacts and saving."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, timedelta
from typing import Any

from stowfast import (
    Artifact,
    Artifacts,
    DamagedError,
    InvalidError,
    NotFoundError,
    Page,
    Tasks,
    TaskState,
)
from stowfast.testing.artifacts import content as artifacts
from stowfast.testing.artifacts import versions as artifacts_versions
from stowfast.testing.artifacts import writers
from stowfast.testing.tasks import saving
from stowfast.wrappers import Wrapper
from tests.mutants import breaks, ignores


@breaks(artifacts.content_of_any_size_comes_back_as_what_it_was)
class GivesTextAsBytes(Artifacts):
    async def get(self, artifact_id, **options):
        found = await super().get(artifact_id, **options)
        return replace(found, content=found.content.encode()) if found and isinstance(found.content, str) else found


@breaks(
    artifacts.content_of_any_size_comes_back_as_what_it_was,
    writers.what_a_writer_takes_is_seen_whole_once_it_closes,
)
class LosesTheEndOfBlobs(Wrapper):
    async def write_blob(self, stream, chunks):
        async def all_but_the_last_byte():
            async for chunk in chunks:
                yield chunk[:-1]

        return await super().write_blob(stream, all_but_the_last_byte())


@breaks(artifacts.bytes_of_any_type_are_bytes)
class TakesBytesAlone(Artifacts):
    async def create(self, artifact, **options):
        if isinstance(artifact.content, memoryview | bytearray):
            artifact = replace(artifact, content=list(artifact.content))
        return await super().create(artifact, **options)


@breaks(artifacts.what_is_known_of_an_artifact_comes_back_exactly)
class TakesEmptyForAbsent(Artifacts):
    async def create(self, artifact, **options):
        return await super().create(replace(artifact, description=artifact.description or None), **options)


@breaks(artifacts.what_cannot_be_an_artifact_is_refused)
class KeepsSomethingLikeIt(Artifacts):
    async def create(self, artifact, **options):
        try:
            return await super().create(artifact, **options)
        except InvalidError:
            return await super().create(Artifact(artifact_id=artifact.artifact_id, content=b"?"), **options)


@breaks(artifacts.an_artifact_deleted_while_it_is_read_is_none)
class GivesAPart(Artifacts):
    async def get(self, artifact_id, **options):
        return await super().get(artifact_id, **options) or Artifact(artifact_id=artifact_id)


@breaks(artifacts.damage_is_noticed)
class TrustsContent(Artifacts):
    async def get(self, artifact_id, **options):
        try:
            return await super().get(artifact_id, **options)
        except DamagedError:
            return Artifact(artifact_id=artifact_id)


@breaks(artifacts.what_artifacts_give_out_are_copies)
class KeepsTheArtifactItself(Artifacts):
    given: dict[str, Any] = {}  # noqa: RUF012 - shared by all openings

    async def create(self, artifact, **options):
        self.given[artifact.artifact_id] = artifact.content
        return await super().create(artifact, **options)

    async def get(self, artifact_id, **options):
        found = await super().get(artifact_id, **options)
        return found and replace(found, content=self.given[artifact_id])


@breaks(artifacts_versions.an_update_is_a_new_version, artifacts_versions.updates_without_a_condition_all_count)
class UpdatesInPlace(Artifacts):
    async def update(self, artifact, **options):
        await self.delete(artifact.artifact_id)
        return await self.create(artifact)


@breaks(artifacts_versions.an_update_is_a_new_version)
class ForgetsTheContext(Artifacts):
    async def update(self, artifact, **options):
        return replace(await super().update(artifact, **options), context_id=artifact.context_id)


@breaks(artifacts_versions.updates_without_a_condition_all_count)
class AlwaysExpects(Artifacts):
    async def update(self, artifact, **options):
        version = len(await self.versions(artifact.artifact_id))
        await asyncio.sleep(0)
        return await super().update(artifact, **{"expect": version, **options})


@breaks(artifacts_versions.what_was_deleted_is_not_updated)
class CreatesWhatIsNotThere(Artifacts):
    async def update(self, artifact, **options):
        try:
            return await super().update(artifact, **options)
        except NotFoundError:
            return await self.create(artifact)


@breaks(artifacts_versions.versions_are_listed_over_many_pages)
class ListsOnePageOfVersions(Artifacts):
    async def versions(self, artifact_id):
        return (await super().versions(artifact_id))[:32]


ignores(Tasks, "load", "version", saving.every_save_is_a_version_and_every_version_is_loaded)


@breaks(saving.every_save_is_a_version_and_every_version_is_loaded)
class WritesNumbersAsText(Tasks):
    async def save(self, state, **options):
        return await super().save(replace(state, data=str(state.data) if state.data == 1 else state.data), **options)


@breaks(saving.what_cannot_be_a_state_is_refused)
class TakesAnyState(Tasks):
    async def save(self, state, **options):
        try:
            return await super().save(state, **options)
        except InvalidError:
            return await super().save(TaskState(task_id=state.task_id, data=repr(state)[:99]), **options)


@breaks(saving.what_cannot_be_a_state_is_refused)
class TakesNaiveMoments(Tasks):
    async def save(self, state, **options):
        if isinstance(state, TaskState) and state.expires_at and state.expires_at.tzinfo is None:
            state = replace(state, expires_at=state.expires_at.replace(tzinfo=UTC))
        return await super().save(state, **options)


@breaks(saving.without_a_condition_the_last_writer_wins)
class ExpectsWhatWasLoaded(Tasks):
    async def save(self, state, *, expect=None, **options):
        return await super().save(state, expect=state.version or expect, **options)


@breaks(saving.the_history_is_the_newest_first)
class TellsTheHistoryForwards(Tasks):
    async def history(self, task_id, **options):
        return (await super().history(task_id, **options))[::-1]


@breaks(saving.the_history_is_the_newest_first)
class IncludesBefore(Tasks):
    async def history(self, task_id, *, before=None, **options):
        return await super().history(task_id, before=before and before + 1, **options)


ignores(Tasks, "list", "updated_after", saving.a_list_may_end_at_a_moment)


@breaks(saving.a_list_may_end_at_a_moment)
class IncludesTheMoment(Tasks):
    async def list(self, *, updated_after=None, **options):
        return await super().list(updated_after=updated_after and updated_after - timedelta(microseconds=1), **options)


ignores(Tasks, "list", "status", saving.a_list_shows_the_newest_state_alone)


@breaks(saving.a_list_shows_the_newest_state_alone)
class ListsOnePageOfTasks(Tasks):
    async def list(self, **options):
        return Page((await super().list(**options)).items, None)


@breaks(saving.a_damaged_state_is_noticed)
class TrustsStates(Tasks):
    async def load(self, task_id, **options):
        try:
            return await super().load(task_id, **options)
        except DamagedError:
            return TaskState(task_id=task_id)


@breaks(saving.what_tasks_give_out_are_copies)
class KeepsTheStateItself(Tasks):
    given: dict[str, Any] = {}  # noqa: RUF012 - shared by all openings

    async def save(self, state, **options):
        self.given[state.task_id] = state.data
        return await super().save(state, **options)

    async def load(self, task_id, **options):
        found = await super().load(task_id, **options)
        return found and replace(found, data=self.given[task_id])
