"""Broken metadata of tasks."""

from __future__ import annotations

from dataclasses import replace

from stowfast import Tasks
from stowfast.testing.tasks import lists
from tests.mutants import breaks, ignores
from tests.mutants.stores import Alters, ListsAll

ignores(Tasks, "list", "where", lists.tasks_are_found_by_metadata)
ignores(Tasks, "claim_next", "where", lists.tasks_are_found_by_metadata)
breaks(lists.tasks_are_found_by_metadata)(ListsAll)


@breaks(lists.tasks_are_found_by_metadata)
class KeepsTheFirstLabels(Alters):
    def altered(self, change):
        return change if change.labels is None or change.expect == 0 else change._replace(labels=None)


@breaks(lists.tasks_are_found_by_metadata)
class TakesFieldsForMetadata(Tasks):
    async def save(self, state, **options):
        own = {"context_id": state.context_id, **state.metadata}
        return await super().save(replace(state, metadata=own), **options)


@breaks(lists.metadata_of_a_task_are_returned_as_given)
class KeepsSmallMetadata(Tasks):
    async def info(self, task_id):
        info = await super().info(task_id)
        return info and replace(info, metadata=info.metadata if len(str(info.metadata)) < 16_384 else {})


@breaks(lists.metadata_of_a_task_are_returned_as_given)
class ShowsTheNewestMetadata(Tasks):
    async def history(self, task_id, **options):
        states = await super().history(task_id, **options)
        return [replace(state, metadata=states[0].metadata) for state in states]


@breaks(lists.metadata_of_a_task_are_returned_as_given)
class RewindsDataAlone(Tasks):
    async def rewind(self, task_id, version, **options):
        state = await self.load(task_id, version=version)
        return await self.update(task_id, lambda now: replace(now, data=state and state.data))
