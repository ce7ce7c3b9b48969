"""Broken tasks: leases, workers, steps, and how long versions stay."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

import msgspec

from stowfast import ConflictError, InvalidError, NotFoundError, Page, Retention, Tasks, TaskState
from stowfast.abc import Change, Listing, Window
from stowfast.deltas import decode
from stowfast.names import clock
from stowfast.stores.codec import to_time
from stowfast.stores.tasks.head_note import TaskNote
from stowfast.stores.tasks.heads import Heads
from stowfast.stores.tasks.leases import Leases
from stowfast.stores.tasks.versions import Versions
from stowfast.testing.tasks import leases, lists, races, retention, steps, workers
from stowfast.wrappers import Wrapper
from tests.mutants import breaks, ignores
from tests.mutants.stores import Alters, LooksAndThenWrites, part

HOUR = timedelta(hours=1)

breaks(workers.each_task_goes_to_one_worker)(LooksAndThenWrites)


@breaks(leases.of_racing_claims_one_wins, leases.who_lost_a_task_saves_nothing)
@part("_heads")
class HidesWho(Heads):
    async def change(self, *args, **options):
        try:
            return await super().change(*args, **options)
        except ConflictError as error:
            raise ConflictError(str(error)) from error


@breaks(leases.a_claim_needs_a_task_an_owner_and_a_time)
class TakesAnyTime(Tasks):
    async def claim(self, task_id, owner, ttl, **options):
        sound = isinstance(ttl, timedelta) and timedelta(0) < ttl < 366 * 24 * HOUR
        return await super().claim(task_id, owner, ttl if sound else HOUR, **options)


@breaks(leases.a_claim_needs_a_task_an_owner_and_a_time)
class ClaimsWhatIsNotThere(Tasks):
    async def claim(self, task_id, owner, ttl, **options):
        if await self.info(task_id) is None:
            await self.save(TaskState(task_id=task_id))
        return await super().claim(task_id, owner, ttl, **options)


ignores(Tasks, "save", "lease", leases.who_lost_a_task_saves_nothing, races.all_that_races_is_kept)


@breaks(leases.who_lost_a_task_saves_nothing)
class KnowsOwnersByName(Tasks):
    async def save(self, state, *, lease=None, **options):
        info = await self.info(state.task_id)
        if lease and info and info.lease and info.lease.owner == lease.owner:
            lease = info.lease
        return await super().save(state, lease=lease, **options)


ignores(Tasks, "record", "lease", leases.who_lost_a_task_saves_nothing)


@breaks(leases.who_lost_a_task_saves_nothing)
class AnswersOwnersOnly(Tasks):
    async def save(self, state, *, lease=None, **options):
        info = await self.info(state.task_id)
        if lease and info and info.lease and info.lease.token != lease.token:
            raise ConflictError("it has passed on", owner=info.lease.owner, until=info.lease.expires_at)
        return await super().save(state, lease=lease, **options)


@breaks(leases.a_lease_holds_until_another_has_claimed)
class TrustsTheClock(Tasks):
    async def save(self, state, *, lease=None, **options):
        if lease and lease.expires_at <= to_time(await self._backend.now()):
            raise ConflictError("its time is up")
        return await super().save(state, lease=lease, **options)


@breaks(leases.a_lease_holds_until_another_has_claimed)
class RenewsByClaiming(Tasks):
    async def renew(self, lease, ttl):
        await self.release(lease)
        return await self.claim(lease.task_id, lease.owner, ttl)


@breaks(leases.a_released_task_can_be_claimed_at_once, leases.the_lease_of_a_task_is_shown)
class WaitsForTheTime(Tasks):
    async def release(self, lease):
        pass


@breaks(leases.a_released_task_can_be_claimed_at_once, leases.renewals_and_releases_may_be_repeated)
class ReleasesAnothers(Tasks):
    async def release(self, lease):
        info = await self.info(lease.task_id)
        if info and info.lease:
            await super().release(info.lease)


@breaks(leases.tokens_only_grow)
class CountsInEachLife(Tasks):
    given: dict[str, int] = {}  # noqa: RUF012 - shared by all openings

    async def claim(self, *args, **options):
        lease = await super().claim(*args, **options)
        self.given[lease.incarnation] = self.given.get(lease.incarnation, 0) + 1
        return replace(lease, token=self.given[lease.incarnation])


@breaks(leases.tokens_only_grow)
class ForgetsTokens(Wrapper):
    async def commit(self, stream, change):
        if change.note and b'"holder"' not in change.note:
            change = change._replace(note=b"")
        return await super().commit(stream, change)


@breaks(leases.the_lease_of_a_task_is_shown)
class ShowsWhoHasItStill(Tasks):
    async def load(self, task_id, **options):
        found = await super().load(task_id, **options)
        over = found and found.lease and found.lease.expires_at <= to_time(await self._backend.now())
        return replace(found, lease=None) if found and over else found


@breaks(leases.the_lease_of_a_task_is_shown)
class ListsNoLeases(Tasks):
    async def list(self, **options):
        page = await super().list(**options)
        return Page([replace(info, lease=None) for info in page], page.next)


@breaks(leases.a_lease_ends_with_its_task)
class FitsEveryLife(Tasks):
    async def save(self, state, **options):
        return await super().save(replace(state, incarnation=""), **options)


ignores(Tasks, "claim", "op_id", leases.a_claim_is_repeated_by_its_name)


@breaks(leases.a_claim_is_repeated_by_its_name)
class KnowsTheNameAlone(Tasks):
    given: dict[str, object] = {}  # noqa: RUF012 - shared by all openings

    async def claim(self, task_id, owner, ttl, *, op_id=None):
        key = f"{task_id} {owner} {op_id}"
        if key not in self.given or op_id is None:
            self.given[key] = await super().claim(task_id, owner, ttl, op_id=op_id)
        return self.given[key]


@breaks(leases.renewals_and_releases_may_be_repeated)
class LeavesTheTimeAsItIs(Tasks):
    async def renew(self, lease, ttl):
        return lease


@breaks(
    workers.each_task_goes_to_one_worker,
    workers.workers_get_what_they_ask_for,
    workers.workers_leave_alone_what_was_changed_of_late,
    workers.workers_find_what_is_behind_many_pages,
    workers.a_worker_never_gets_what_was_finished_meanwhile,
)
class ListsAndThenClaims(Tasks):
    async def claim_next(self, owner, ttl, *, idle=None, **where):
        for info in await self.list(**{"status": "working", **where}):
            if info.lease is None:
                return await self.claim(info.task_id, owner, ttl)
        return None


ignores(Tasks, "claim_next", "parent_task_id", workers.workers_get_what_they_ask_for)


@breaks(workers.workers_leave_alone_what_was_changed_of_late)
@part("_leases")
class LooksOnceHowIdleItIs(Leases):
    async def claim(self, *args, idle=0, **options):
        return await super().claim(*args, **options)


@breaks(workers.workers_find_what_is_behind_many_pages)
class LooksAtOnePage(Wrapper):
    async def streams(self, query):
        return Listing((await super().streams(query)).streams, None)


@breaks(workers.a_worker_never_gets_what_was_finished_meanwhile)
@part("_leases")
class LooksOnceWhatItIs(Leases):
    async def claim(self, *args, where=None, **options):
        return await super().claim(*args, **options)


@breaks(steps.the_first_result_of_a_step_stays, steps.of_racing_records_one_is_kept)
class ReturnsWhatItWasGiven(Tasks):
    async def record(self, task_id, step_key, result=None, **options):
        await super().record(task_id, step_key, result, **options)
        return result


@breaks(steps.the_first_result_of_a_step_stays)
class SortsSteps(Tasks):
    async def steps(self, task_id):
        return dict(sorted((await super().steps(task_id)).items()))


@breaks(steps.what_cannot_be_recorded_is_refused)
class RecordsSomethingLikeIt(Tasks):
    async def record(self, task_id, step_key, result=None, **options):
        try:
            return await super().record(task_id, step_key, result, **options)
        except InvalidError:
            return await super().record(task_id, "key", repr(result)[:99], **options)


@breaks(steps.a_save_clears_the_steps_it_covers, steps.a_full_ledger_is_emptied_by_a_save)
class ClearsNothing(Tasks):
    async def save(self, state, *, covers=None, **options):
        return await super().save(state, covers=(), **options)


@breaks(steps.a_save_clears_the_steps_it_covers)
class ClearsEverything(Tasks):
    async def save(self, state, *, covers=None, **options):
        return await super().save(state, covers=await self.steps(state.task_id), **options)


@breaks(steps.a_state_and_its_steps_change_at_one_moment, races.all_that_races_a_pruning_is_kept)
class ClearsAfterwards(Tasks):
    async def save(self, state, *, covers=None, **options):
        known = await self.steps(state.task_id)
        await super().save(state, covers=(), **options)
        return await super().save(state, covers=known if covers is None else covers, **options)


@breaks(steps.what_another_recorded_and_was_loaded_is_covered)
class KnowsWhatItRecordedAlone(Tasks):
    async def load(self, task_id, **options):
        with patch.object(self._heads.cache, "show"):
            return await super().load(task_id, **options)


@breaks(steps.a_full_ledger_keeps_nobody_from_the_task)
class NeedsRoom(Wrapper):
    async def commit(self, stream, change):
        if len(change.note or b"") > 48 * 2**10:
            raise InvalidError("there is no room")
        return await super().commit(stream, change)


@breaks(steps.a_record_is_repeated_after_a_lost_answer)
class RecordsEachTime(Tasks):
    async def record(self, task_id, step_key, result=None, **options):
        first = await super().record(task_id, step_key, result, **options)
        await self._backend.commit(f"tasks/{task_id}", Change(base=0))
        return first


@breaks(
    retention.a_task_keeps_so_many_versions,
    retention.a_store_has_a_retention_for_its_tasks,
    retention.versions_go_when_they_are_old,
)
@part("_versions")
class ShowsAllThatIsStored(Versions):
    async def _first(self, head, entries, bounds):
        return 0


@breaks(retention.a_task_keeps_so_many_versions)
class DropsOneTooMany(Alters):
    def altered(self, change):
        return change._replace(drop_before=change.expect) if change.expect else change


@breaks(retention.a_store_has_a_retention_for_its_tasks)
class HasNoRetention(Tasks):
    def __init__(self, backend, **_):
        super().__init__(backend)


ignores(
    Tasks, "save", "retention", retention.a_store_has_a_retention_for_its_tasks, retention.a_task_keeps_so_many_versions
)


@breaks(retention.a_retention_that_was_widened_holds_from_then_on)
class KeepsTheFirstRetention(Tasks):
    first: dict[str, Retention] = {}  # noqa: RUF012 - shared by all openings

    async def save(self, state, *, retention=None, **options):
        if retention is not None:
            retention = self.first.setdefault(state.task_id, retention)
        return await super().save(state, retention=retention, **options)


@breaks(retention.versions_go_when_they_are_old, retention.pruning_by_age_ends_what_is_older)
class AsksItsOwnClock(Wrapper):
    async def now(self):
        return clock()


@breaks(retention.old_versions_take_no_room)
class RemovesNothing(Alters):
    def altered(self, change):
        return change._replace(drop_before=None)


@breaks(retention.pruning_ends_all_but_the_newest, retention.pruning_by_age_ends_what_is_older)
class PrunesWhatOthersAreMadeFrom(Alters):
    def altered(self, change):
        return change if change.base is None else change._replace(drop_before=change.base)


@breaks(retention.pruning_ends_all_but_the_newest)
class PrunesOneMore(Tasks):
    async def prune(self, task_id, *, keep=None, **options):
        return await super().prune(task_id, keep=keep - 1 if keep and keep > 1 else keep, **options)


@breaks(
    retention.pruning_leaves_lease_and_steps,
    retention.a_save_beside_a_pruning_is_kept,
    races.all_that_races_a_pruning_is_kept,
)
class PrunesByBeginningAgain(Tasks):
    async def prune(self, task_id, *, keep=None, **options):
        states = (await self.history(task_id))[: keep or 1]
        gone = len(await self.history(task_id)) - len(states)
        await self.delete(task_id)
        for state in reversed(states):
            await self.save(replace(state, incarnation=""))
        return gone


@breaks(retention.pruning_leaves_lease_and_steps)
class ClearsTheNote(Alters):
    def altered(self, change):
        return change if change.base is None else change._replace(note=b"")


@breaks(retention.a_pruned_version_is_none_while_it_is_loaded)
@part("_versions")
class TakesAnEndForDamage(Versions):
    async def _below(self, head, position, stored):
        _, entries = await self._heads.backend.read(head.name, Window(start=stored[position].whole, stop=position))
        return stored | {one.position: decode(one.data, one.position, "here") for one in entries}


ignores(Tasks, "list", "parent_task_id", lists.children_are_listed_by_their_parent)


@breaks(lists.children_are_listed_by_their_parent)
class ForgetsTheParent(Tasks):
    async def save(self, state, **options):
        return await super().save(replace(state, parent_task_id=None), **options)


@breaks(lists.what_is_known_of_a_task_is_one_request)
class LoadsForEachLine(Tasks):
    async def list(self, **options):
        page = await super().list(**options)
        for info in page:
            await self.load(info.task_id)
        return page


@breaks(lists.what_is_known_of_a_task_is_one_request)
class TellsAllOfIt(Tasks):
    async def info(self, task_id):
        return await self.load(task_id)


@breaks(lists.the_end_of_a_task_is_set_without_a_version)
class EndsByASave(Tasks):
    async def set_expiry(self, task_id, expires_at):
        state = await self.load(task_id)
        if state is None:
            raise NotFoundError("it is not there")
        await self.save(replace(state, expires_at=expires_at))


@breaks(lists.what_changes_a_task_moves_it_to_the_front)
class StepsAreVersions(Tasks):
    async def record(self, task_id, step_key, result=None, **options):
        state = await self.load(task_id)
        if state is not None:
            await self.save(state)
        return await super().record(task_id, step_key, result, **options)


@breaks(steps.steps_recorded_meanwhile_are_kept)
class CoversWhatCameLate(Wrapper):
    async def commit(self, stream, change):
        try:
            return await super().commit(stream, change)
        except ConflictError:
            (head,) = await self.heads([stream])
            if head is None or not change.entries or change.expect != head.next:
                raise
            note = msgspec.structs.replace(TaskNote.read(head), steps={})
            return await super().commit(stream, change._replace(revision=head.revision, note=note.write()))
