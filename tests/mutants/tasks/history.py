"""Broken tasks: their history, changes beside others, damage, and everything at once."""

from __future__ import annotations

from dataclasses import replace

from stowfast import ConflictError, DamagedError, NotFoundError, Tasks, TaskState
from stowfast.stores.tasks.cache import CachedTask
from stowfast.stores.tasks.save import Saves
from stowfast.stores.tasks.versions import Versions
from stowfast.testing.tasks import changes, damage, history, leases, lists, races, steps
from stowfast.testing.tasks import laws as tasks_laws
from tests.mutants import breaks, ignores
from tests.mutants.artifacts.content import TrustsStates
from tests.mutants.stores import (
    Alters,
    CutsInsteadOfDeleting,
    ExpiresLate,
    ForgetsOpIds,
    IgnoresExpect,
    ListsByName,
    LooksAndThenWrites,
    MixesLives,
    part,
)

breaks(
    changes.a_save_without_an_answer_is_whole,
    tasks_laws.LAWS["a_lost_answer_doubles_no_task_update"],
    tasks_laws.LAWS["a_lost_answer_doubles_no_rewinding"],
    races.all_that_races_is_kept,
)(ForgetsOpIds)
breaks(changes.updates_at_once_all_count)(IgnoresExpect)
breaks(
    leases.of_racing_claims_one_wins,
    steps.of_racing_records_one_is_kept,
    races.all_that_races_is_kept,
)(LooksAndThenWrites)
breaks(leases.a_lease_ends_with_its_task, steps.steps_recorded_meanwhile_are_kept)(MixesLives)
breaks(
    steps.steps_end_with_their_task,
    races.all_that_races_a_deletion_is_of_one_life,
    changes.who_knows_a_task_sees_what_others_did,
)(CutsInsteadOfDeleting)
breaks(lists.what_changes_a_task_moves_it_to_the_front)(ListsByName)
breaks(lists.the_end_of_a_task_is_set_without_a_version)(ExpiresLate)
breaks(damage.a_damaged_byte_is_never_a_wrong_state)(TrustsStates)


@breaks(history.a_history_of_any_shape_comes_back_exactly)
class KeepsTheLastEight(Alters):
    def altered(self, change):
        return change._replace(drop_before=max(0, change.expect - 8)) if change.expect else change


@breaks(history.a_long_history_comes_back_exactly)
class KeepsTheLast256(Alters):
    def altered(self, change):
        return change._replace(drop_before=max(0, change.expect - 256)) if change.expect else change


@breaks(history.a_history_of_any_shape_comes_back_exactly, changes.who_knows_a_task_sees_what_others_did)
@part("_versions")
class KnowsItAlready(Versions):
    async def _known(self, stream, head, entry):
        known = self._heads.cache.get(stream)
        return CachedTask(head, known.chain) if known and known.chain else await super()._known(stream, head, entry)


@breaks(changes.who_knows_a_task_sees_what_others_did)
class LoadsFromMemory(Tasks):
    loaded: dict[str, TaskState]

    async def load(self, task_id, *, version=None):
        self.loaded = getattr(self, "loaded", {})
        if version is None and task_id in self.loaded:
            return self.loaded[task_id]
        found = await super().load(task_id, version=version)
        if version is None and found is not None:
            self.loaded[task_id] = found
        return found


@breaks(history.a_save_takes_about_what_it_changed)
@part("_saves")
class StoresAllOfItEachTime(Saves):
    async def _commit(self, stream, save, known):
        return await super()._commit(stream, save, CachedTask(known.head, None))


@breaks(history.any_version_takes_two_reads)
class LooksAtTheHeadFirst(Tasks):
    async def load(self, task_id, **options):
        await self._backend.heads([f"tasks/{task_id}"])
        return await super().load(task_id, **options)


@breaks(history.a_history_comes_in_pages)
class LeavesOneOutBetweenPages(Tasks):
    async def history(self, task_id, *, before=None, **options):
        return await super().history(task_id, before=before and before - 1, **options)


@breaks(history.a_history_comes_in_pages)
class TellsWhenItWasRead(Tasks):
    async def history(self, task_id, **options):
        found = await super().history(task_id, **options)
        return [replace(state, updated_at=found[0].updated_at) for state in found]


@breaks(history.a_diff_is_the_patch_from_one_version_to_another)
class DiffsBackwards(Tasks):
    async def diff(self, task_id, a, b):
        return await super().diff(task_id, b, a)


@breaks(history.a_diff_is_the_patch_from_one_version_to_another)
class TakesOneForTrue(Tasks):
    async def diff(self, task_id, a, b):
        patch = await super().diff(task_id, a, b)
        before, after = await self.load(task_id, version=a), await self.load(task_id, version=b)
        return [] if before and after and before.data == after.data else patch


@breaks(history.an_earlier_version_is_made_the_newest)
class RewindsTheDataAlone(Tasks):
    async def rewind(self, task_id, version, **options):
        state, newest = await self.load(task_id, version=version), await self.load(task_id)
        if state is None or newest is None:
            raise NotFoundError("there is no such version")
        return await self.save(replace(newest, data=state.data), expect=newest.version, covers=(), **options)


@breaks(history.an_earlier_version_is_made_the_newest)
class RewindsForGood(Tasks):
    async def rewind(self, task_id, version, **options):
        state = await super().rewind(task_id, version, **options)
        await self.prune(task_id, keep=1)
        return state


@breaks(history.a_rewinding_gives_way_to_a_save)
class RewindsAnyway(Tasks):
    async def rewind(self, task_id, version, **options):
        state = await self.load(task_id, version=version)
        if state is None:
            raise NotFoundError("there is no such version")
        return await self.save(state, covers=(), **options)


class ChangesOnce(Tasks):
    """Updates in a way of its own, with the result of `change`."""

    async def changed(self, task_id, change):
        state = await self.load(task_id)
        if state is None:
            raise NotFoundError("it is not there")
        made = change(state)
        made = await made if hasattr(made, "__await__") else made
        return state.version, made or state


@breaks(changes.updates_at_once_all_count, changes.an_update_is_called_again_with_what_is_there)
class UpdatesWhateverIsThere(ChangesOnce):
    async def update(self, task_id, change, **options):
        _, state = await self.changed(task_id, change)
        return await self.save(state, covers=(), **options)


@breaks(changes.an_update_is_called_again_with_what_is_there)
class UpdatesOnce(ChangesOnce):
    async def update(self, task_id, change, **options):
        version, state = await self.changed(task_id, change)
        return await self.save(state, expect=version, covers=(), **options)


@breaks(changes.an_update_never_saves_over_a_successor)
class UpdatesByTheVersionAlone(ChangesOnce):
    async def update(self, task_id, change, **options):
        for _ in range(9):
            version, state = await self.changed(task_id, change)
            try:
                return await self.save(replace(state, incarnation=""), expect=version, covers=(), **options)
            except ConflictError:
                continue
        raise ConflictError("it was changed too often")


@breaks(changes.racing_saves_of_large_states_are_all_kept)
class SaysTheNextVersion(Tasks):
    async def save(self, state, **options):
        before = await self.load(state.task_id)
        return replace(await super().save(state, **options), version=before.version + 1 if before else 1)


ignores(Tasks, "update", "op_id", tasks_laws.LAWS["a_repeated_task_update_changes_nothing"])


@breaks(changes.a_save_without_an_answer_is_whole)
class AnswersWithWhatItWasGiven(Tasks):
    async def save(self, state, **options):
        return replace(await super().save(state, **options), data=state.data)


@breaks(damage.a_damaged_version_stands_in_nobody_s_way)
class LoadsBeforeItSaves(Tasks):
    async def save(self, state, **options):
        await self.load(state.task_id)
        return await super().save(state, **options)


@breaks(damage.a_damaged_version_is_no_reason_to_end_others, damage.a_damaged_version_stands_in_nobody_s_way)
class EndsWhatIsDamaged(Tasks):
    async def save(self, state, **options):
        try:
            await self.load(state.task_id)
        except DamagedError:
            await self.delete(state.task_id)
        return await super().save(state, **options)


@breaks(races.all_that_races_a_deletion_is_of_one_life)
class SavesInAnyLife(Tasks):
    async def save(self, state, *, lease=None, **options):
        return await super().save(replace(state, incarnation=""), **options)
