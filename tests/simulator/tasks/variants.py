"""Task stores that are broken in one place each. A judge that lets one of them pass would prove nothing."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import msgspec

from stowfast.abc import Change
from stowfast.backends.objects.protocol import read
from stowfast.stores.tasks import heads, versions
from stowfast.stores.tasks import steps as ledger
from stowfast.stores.tasks.cache import CachedTask
from stowfast.stores.tasks.head_note import Holder, TaskNote, lease_of
from stowfast.stores.tasks.heads import Heads
from stowfast.stores.tasks.leases import Leases
from stowfast.stores.tasks.save import Save
from stowfast.stores.tasks.spans import first_version, next_version
from stowfast.stores.tasks.steps import StepRecords
from stowfast.stores.tasks.versions import Versions
from tests.simulator.tasks.run import simulate_tasks
from tests.simulator.variants import Variant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from stowfast.abc import Head

__all__ = ["TASK_VARIANTS"]

Broken = Any  # a patch, to be entered


# Reads


def _any_known_is_seen() -> Broken:
    """A read after another one takes any head that the process knows for the one that its caller has seen."""
    return patch.object(read, "_same", lambda head, seen: head is not None and seen is not None)


# Saves


def _saves(
    broken: Callable[[Save, CachedTask], Save], after: Callable[[Change, CachedTask], Change] | None = None
) -> Broken:
    """Save something else than was asked for, or commit something else than that takes."""
    change = Save.change

    def changed(self: Save, known: CachedTask) -> Any:
        made, chain = change(broken(self, known), known)
        return after(made, known) if after is not None else made, chain

    lease_is_over = Save.lease_is_over

    def is_over(self: Save, known: CachedTask) -> bool:
        return lease_is_over(broken(self, known), known)

    return patch.multiple(Save, change=changed, lease_is_over=is_over)


def _lease_is_not_looked_at() -> Broken:
    """Whoever has had a lease may save."""
    return _saves(lambda save, known: save._replace(lease=None))


def _note_is_written_back() -> Broken:
    """A save writes the note that it has read, whatever became of it since: a claim and a record are lost."""

    def unguarded(change: Change, known: CachedTask) -> Change:
        note = known.head.note if known.head is not None and change.note is None else change.note
        return change._replace(note=note, revision=None)

    return _saves(lambda save, known: save, unguarded)


def _expect_is_not_committed() -> Broken:
    """The version is compared with what is known, and what is known may be old."""
    return _saves(lambda save, known: save, lambda change, known: change._replace(expect=None))


def _repeat_is_saved_again() -> Broken:
    return _saves(lambda save, known: save._replace(op_id=None))


def _covers_what_is_recorded_meanwhile() -> Broken:
    def all_there_is(save: Save, known: CachedTask) -> Save:
        covers = dict.fromkeys(TaskNote.read(known.head).steps)
        return save._replace(covers=covers) if save.lease is not None or save.expect else save

    return _saves(all_there_is)


def _covers_by_key() -> Broken:
    """A step is covered with the one that had its key before."""
    return _saves(lambda save, known: save._replace(covers=dict.fromkeys(save.covers)))


def _difference_from_what_is_known() -> Broken:
    """A difference is made from the version that is known, whether or not it is the one before."""

    def entry(self: Save, known: CachedTask) -> Any:
        if known.head is None or known.chain is None:
            return first_version(known.head.next if known.head is not None else 0, self.text)
        newest = known.head.next - 1
        moved = tuple((newest + position - known.chain.position, delta) for position, delta in known.chain.links)
        return next_version(known.chain._replace(position=newest, links=moved), self.text, known.head.updated_at)

    return patch.object(Save, "_entry", entry)


# Retention


def _save_drops_what_is_needed() -> Broken:
    """What is out of bounds is dropped, though versions within are made from it."""

    def floor(self: Save, chain: Any, head: Head, keep: Any) -> int | None:
        bounds = self._keep(keep)
        return None if bounds.versions is None else max(chain.position + 1 - bounds.versions, 0)

    return patch.object(Save, "_floor", floor)


def _prune_drops_what_is_needed() -> Broken:
    def change(**options: Any) -> Change:
        return Change(**{**options, "drop_before": options["base"]})

    return patch.object(versions, "Change", change)


# Leases


def _claims(
    token: Callable[[Head, TaskNote], int],
    *,
    holder_counts: bool = True,
    where_counts: bool = True,
    rest_counts: bool = True,
) -> AbstractContextManager[Any]:
    """Claim with another token, or what nobody may claim."""
    claim = Leases.claim

    async def claimed(self: Leases, task_id: str, owner: str, ttl: Any, *, where: Any = None, **options: Any) -> Any:
        change = Heads.change

        async def changed(self: Heads, task_id: str, decide: Any, *args: Any, at_rest: bool) -> Any:
            async def decided(head: Head, note: TaskNote) -> Any:
                if not holder_counts and note.holder is not None:
                    free = msgspec.structs.replace(note, holder=None)
                    after, _ = await decide(head, free)
                else:
                    after, _ = await decide(head, note)
                if after is None:
                    return None, lease_of(head, note)
                number = token(head, note)
                holder = msgspec.structs.replace(after.holder, token=number)
                after = msgspec.structs.replace(after, token=number, holder=holder)
                return after, lease_of(head, after)

            return await change(self, task_id, decided, *args, at_rest=at_rest and rest_counts)

        with patch.object(self._heads, "change", changed.__get__(self._heads)):
            return await claim(self, task_id, owner, ttl, where=where if where_counts else None, **options)

    return patch.object(Leases, "claim", claimed)


def _next(head: Head, note: TaskNote) -> int:
    return max(note.token + 1, head.created_at)


def _held_is_claimed() -> Broken:
    """A claim passes over who has the task, and goes on under the number of that one."""
    return _claims(lambda head, note: note.token or head.created_at, holder_counts=False)


def _token_comes_twice() -> Broken:
    """A claim takes the number of the one before, whose time is up."""
    return _claims(lambda head, note: max(note.token, head.created_at))


def _status_is_not_looked_at() -> Broken:
    """`claim_next` takes what was free when it was listed, whatever it is by now."""
    return _claims(_next, where_counts=False)


def _rest_is_not_looked_at() -> Broken:
    """`claim_next` takes what was idle when it was listed, though a version was saved meanwhile."""
    return _claims(_next, rest_counts=False)


@contextmanager
def _lease_outlives_its_task() -> Iterator[None]:
    """Tokens are counted from one in each life of a task, and a lease of the life before is as good."""

    def of_any_life(save: Save, known: CachedTask) -> Save:
        if save.lease is None or known.head is None:
            return save
        return save._replace(lease=replace(save.lease, incarnation=known.head.incarnation))

    with ExitStack() as stack:
        stack.enter_context(_claims(lambda head, note: note.token + 1))
        stack.enter_context(_saves(of_any_life))
        yield


def _unguarded() -> Broken:
    """A claim, a renewal, a release and a record are committed whatever became of the head that they are made from."""
    return patch.object(heads, "Change", lambda **options: Change(**{**options, "revision": None}))


def _release_resets_the_token() -> Broken:
    async def release(self: Leases, lease: Any) -> None:
        async def decide(head: Head, note: TaskNote) -> Any:
            mine = note.holder is not None and note.holder.token == lease.token
            return msgspec.structs.replace(note, token=0, holder=None) if mine else None, None

        await self._heads.change(lease.task_id, decide)

    return patch.object(Leases, "release", release)


def _renewed_after_it_passed_on() -> Broken:
    """Whoever renews has the task again."""

    async def renew(self: Leases, lease: Any, ttl: Any) -> Any:
        length = round(ttl.total_seconds() * 1e6)
        until = await self._heads.backend.now() + length

        async def decide(head: Head, note: TaskNote) -> Any:
            note = msgspec.structs.replace(note, holder=Holder(lease.owner, lease.token, until, length))
            return note, lease_of(head, note)

        return await self._heads.change(lease.task_id, decide)

    return patch.object(Leases, "renew", renew)


# The ledger


def _recorded_after_it_passed_on() -> Broken:
    return patch.object(ledger, "check_lease", lambda *args: None)


def _second_result_wins() -> Broken:
    async def record(self: StepRecords, task_id: str, step_key: str, result: Any = None, *, lease: Any = None) -> Any:
        async def decide(head: Head, note: TaskNote) -> Any:
            if lease is not None:
                heads.check_lease(head, note, lease)
            return note.with_step(step_key, msgspec.json.encode(result)), result

        return await self._heads.change(task_id, decide)

    return patch.object(StepRecords, "record", record)


# What a process knows


def _known_of_another_life() -> Broken:
    """The text of a version is known by its number, in whichever life of the task."""
    find = Versions._known

    async def found(self: Versions, stream: str, head: Head, entry: Any) -> Any:
        before = self._heads.cache.get(stream)
        if before is not None and before.head is not None:
            of_this = before.head._replace(incarnation=head.incarnation, revision=0)
            self._heads.cache.forget(stream)
            self._heads.cache.put(stream, CachedTask(of_this, before.chain))
        return await find(self, stream, head, entry)

    return patch.object(Versions, "_known", found)


_ledgers = partial(simulate_tasks, focus="ledger")
_lives = partial(simulate_tasks, focus="lives")

TASK_VARIANTS = {
    "any known head is taken for the seen one": Variant(2_000, _any_known_is_seen, play=simulate_tasks),
    "a lease is not looked at": Variant(100, _lease_is_not_looked_at, play=simulate_tasks),
    "a save writes an old note": Variant(100, _note_is_written_back, play=simulate_tasks),
    "expect is not committed": Variant(500, _expect_is_not_committed, play=simulate_tasks),
    "a repeat is saved again": Variant(100, _repeat_is_saved_again, play=simulate_tasks),
    "a save covers what is recorded meanwhile": Variant(500, _covers_what_is_recorded_meanwhile, play=simulate_tasks),
    "a step is covered with another of its key": Variant(5_000, _covers_by_key, play=_ledgers, caught=849),
    "a difference is made from what is known": Variant(100, _difference_from_what_is_known, play=simulate_tasks),
    "a save drops what is needed": Variant(100, _save_drops_what_is_needed, play=simulate_tasks),
    "a prune drops what is needed": Variant(100, _prune_drops_what_is_needed, play=simulate_tasks),
    "what is held is claimed": Variant(100, _held_is_claimed, play=simulate_tasks),
    "a token comes twice": Variant(100, _token_comes_twice, play=simulate_tasks),
    "the status is not looked at": Variant(2_000, _status_is_not_looked_at, play=simulate_tasks),
    "what is not idle any more is claimed": Variant(2_000, _rest_is_not_looked_at, play=simulate_tasks, caught=181),
    "a lease outlives its task": Variant(500, _lease_outlives_its_task, play=simulate_tasks, caught=89),
    "the head is changed without a guard": Variant(100, _unguarded, play=simulate_tasks),
    "a release resets the token": Variant(100, _release_resets_the_token, play=simulate_tasks),
    "a lease is renewed after it passed on": Variant(100, _renewed_after_it_passed_on, play=simulate_tasks),
    "a step is recorded after the lease passed on": Variant(100, _recorded_after_it_passed_on, play=simulate_tasks),
    "the second result of a step wins": Variant(100, _second_result_wins, play=simulate_tasks),
    "what is known is of another life": Variant(1_000, _known_of_another_life, play=_lives),
}
