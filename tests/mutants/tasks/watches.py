"""Broken watches, lists and work loops of tasks."""

from __future__ import annotations

import asyncio

from stowfast import ClaimedTask, Page, Tasks
from stowfast.stores.tasks.versions import Versions
from stowfast.testing.tasks import lists, watches, workers
from tests.mutants import breaks, ignores
from tests.mutants.stores import part

ignores(Tasks, "list", "prefix", lists.tasks_are_listed_by_prefix_and_id)
ignores(Tasks, "list", "order", lists.tasks_are_listed_by_prefix_and_id)
ignores(Tasks, "list", "data", lists.many_tasks_are_loaded_at_once)
ignores(Tasks, "save", "ttl", lists.a_ttl_moves_with_each_save)
ignores(Tasks, "watch", "after", watches.a_task_watch_begins_behind_a_version)
ignores(Tasks, "work", "status", workers.a_work_loop_does_each_task_once)


@breaks(watches.a_task_watch_yields_every_version, watches.a_task_watch_follows_the_next_life)
class WatchesTheNewestAlone(Tasks):
    async def watch(self, task_id, *, after=None):
        seen = None
        while True:
            state = await self.load(task_id)
            if state is not None and state.version != seen:
                seen = state.version
                yield state
            await asyncio.sleep(0.001)


@breaks(watches.a_task_watch_jumps_over_removed_versions)
@part("_versions")
class ShowsRemovedVersions(Versions):
    async def _within_retention(self, head, entries):
        return entries


@breaks(watches.a_task_watch_jumps_over_removed_versions)
class StopsAtAGap(Tasks):
    async def watch(self, task_id, *, after=None):
        version = after or 0
        while (state := await self.load(task_id, version=version + 1)) is not None:
            yield state
            version += 1


@breaks(lists.many_tasks_are_loaded_at_once)
class LoadsKnownTasksAlone(Tasks):
    async def load_many(self, task_ids):
        return [state for state in await super().load_many(task_ids) if state is not None]


@breaks(lists.many_tasks_are_loaded_at_once)
class ListsFirstVersions(Tasks):
    async def list(self, **options):
        page = await super().list(**options)
        return Page([await self.load(one.task_id, version=1) for one in page], page.next, page.damaged)


@breaks(workers.a_work_loop_does_each_task_once)
class KeepsEveryLease(Tasks):
    async def release(self, lease):
        pass


@breaks(workers.a_work_loop_takes_no_task_again_at_once)
class ReleasesEveryTask(Tasks):
    async def work(self, owner, **options):
        ttl = options.pop("ttl")
        while (lease := await self.claim_next(owner, ttl, **options)) is not None:
            state = await self.load(lease.task_id)
            assert state is not None
            yield ClaimedTask(state, lease)
            await self.release(lease)
