"""Clauses of leases: one owner of a task, earlier owners are refused, and safety never depends on clocks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from stowfast.records import Lease, TaskState
from stowfast.stores.codec import to_time
from stowfast.testing.clause import clauses, either, holds, raises, same, tick, unique
from stowfast.testing.faults import At, LosesAnswers
from stowfast.testing.tasks.states import both, loads, saved

if TYPE_CHECKING:
    from stowfast.stores import Stores, Tasks
    from stowfast.testing.clause import Make

HOUR: Final = timedelta(hours=1)
MOMENT: Final = timedelta(microseconds=1)
"""A lease of this length is over before the next claim."""
_PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)


async def of_racing_claims_one_wins(make: Make[Stores]) -> None:
    """Of racing identical claims one gets the task; the others learn its owner and the end of the lease."""
    async with make() as one, make() as other:
        for _ in range(5):
            task = unique("task")
            await saved(one.tasks, task)
            before = await one.backend.now()
            tasks = both(one, other)
            racing = [either(tasks[n % 2].claim(task, "same", HOUR), ConflictError) for n in range(8)]
            results = await asyncio.gather(*racing)
            won = [result for result in results if isinstance(result, Lease)]
            lost = [result for result in results if isinstance(result, ConflictError)]
            same((len(won), len(lost)), (1, 7), "claims that won, and that lost")
            same((won[0].task_id, won[0].owner), (task, "same"), "whose lease it is")
            ends = to_time(before) + HOUR
            holds(ends <= won[0].expires_at <= ends + HOUR, f"a lease for an hour ends at {won[0].expires_at}")
            for error in lost:
                same((error.owner, error.until), ("same", won[0].expires_at), "what a loser learned")
            same((await loads(other.tasks, task, None, None, "a claimed task")).version, 1, "a claim adds no version")


async def a_claim_needs_a_task_an_owner_and_a_time(make: Make[Stores]) -> None:
    """An unknown task cannot be claimed; an owner has a name, a lease more than no time and at most 366 days."""
    async with make() as stores:
        task = unique("task")
        await raises(NotFoundError, stores.tasks.claim(task, "w", HOUR), "a claim of an unknown task")
        await saved(stores.tasks, task)
        wrong: tuple[tuple[Any, Any], ...] = (
            ("w", timedelta(0)), ("w", -MOMENT), ("w", timedelta(days=367)), ("w", 60), ("w", None), ("", HOUR),
            (None, HOUR), ("\ud800", HOUR), ("w" * 2_000, HOUR),
        )  # fmt: skip
        for owner, ttl in wrong:
            await raises(InvalidError, stores.tasks.claim(task, owner, ttl), f"a claim by {owner!r} for {ttl!r}")
        await raises(InvalidError, stores.tasks.claim(task, "w", HOUR, op_id=""), "an empty op_id")
        lease = await stores.tasks.claim(task, "\n" * 1_200, timedelta(days=366), op_id="\n" * 1_200)
        for ttl in (timedelta(0), timedelta(days=367)):
            await raises(InvalidError, stores.tasks.renew(lease, ttl), f"a renewal for {ttl}")


async def who_lost_a_task_saves_nothing(make: Make[Stores]) -> None:
    """The old owner of a reclaimed task can no longer save, record or renew, also under the same name."""
    async with make() as one, make() as other:
        for owner in ("new", "old"):
            task = unique("task")
            await saved(one.tasks, task, "first")
            lease = await one.tasks.claim(task, "old", MOMENT)
            state = await one.tasks.save(TaskState(task_id=task, data="in time"), lease=lease, op_id="in time")
            newer = await other.tasks.claim(task, owner, HOUR)
            for _ in range(2):  # at first the old owner knows nothing of it
                save, told = one.tasks.save, list[ConflictError]()
                for options in ({}, {"op_id": "op"}, {"expect": state.version}, {"covers": ()}):
                    call = save(state, lease=lease, **options)
                    told.append(await raises(ConflictError, call, f"a save with {options} of an owner who lost it"))
                call = one.tasks.update(task, lambda _: None, lease=lease)
                told.append(await raises(ConflictError, call, "an update of an owner who lost it"))
                call = one.tasks.record(task, "step", 1, lease=lease)
                told.append(await raises(ConflictError, call, "a record of an owner who lost it"))
                renewal = one.tasks.renew(lease, HOUR)
                told.append(await raises(ConflictError, renewal, "a renewal of an owner who lost it"))
                for error in told:
                    same((error.owner, error.until), (owner, newer.expires_at), "what the old owner learned")
                    same(error.current, None, "the version, which is not in the way")
                await one.tasks.release(lease)
            again = await one.tasks.save(state, lease=lease, op_id="in time")
            same((again.version, again.data), (2, "in time"), "a repeat of what was saved in time")
            found = await loads(other.tasks, task, None, "in time", "a task that passed on")
            same((found.version, found.lease, found.steps), (2, newer, {}), "its version, lease and steps")
            same((await other.tasks.save(state, lease=newer)).version, 3, "a save of the new owner")


async def a_lease_holds_until_another_has_claimed(make: Make[Stores]) -> None:
    """An owner saves, records and renews after the end of its lease as before, until another claims the task."""
    async with make() as one, make() as other:
        task = unique("task")
        await saved(one.tasks, task)
        lease = await one.tasks.claim(task, "slow", MOMENT)
        await one.tasks.record(task, "step", 1, lease=lease)
        same((await one.tasks.save(TaskState(task_id=task), lease=lease)).version, 2, "a save when the time is up")
        renewed = await other.tasks.renew(lease, HOUR)
        same((renewed.token, renewed.owner, renewed.incarnation), (lease.token, "slow", lease.incarnation), "renewed")
        holds(renewed.expires_at > lease.expires_at + HOUR / 2, "a renewal counts from when it is made")
        error = await raises(ConflictError, other.tasks.claim(task, "other", HOUR), "a claim of what was renewed")
        same((error.owner, error.until), ("slow", renewed.expires_at), "what it learned")
        same((await one.tasks.save(TaskState(task_id=task), lease=lease)).version, 3, "a save with the lease as it was")
        same((await one.tasks.renew(renewed, MOMENT)).token, lease.token, "the token of a renewal for a moment")
        holds((await other.tasks.claim(task, "other", HOUR)).token > lease.token, "a claim when the time is up")


async def a_released_task_can_be_claimed_at_once(make: Make[Stores]) -> None:
    """A release ends the lease, and others can claim at once; releasing another's lease changes nothing."""
    async with make() as one, make() as other:
        task = unique("task")
        state = await saved(one.tasks, task)
        lease = await one.tasks.claim(task, "a", HOUR)
        await raises(ConflictError, other.tasks.claim(task, "b", HOUR), "a claim of what is held")
        for _ in range(2):
            await one.tasks.release(lease)
        same((await loads(other.tasks, task, None, None, "released")).lease, None, "the lease of a released task")
        released = "a call with a lease that was released"
        for error in (
            await raises(ConflictError, one.tasks.save(state, lease=lease), released),
            await raises(ConflictError, one.tasks.renew(lease, HOUR), released),
        ):
            same((error.owner, error.until), (None, None), "who has it: nobody")
        newer = await other.tasks.claim(task, "b", HOUR)
        await one.tasks.release(lease)
        same((await loads(one.tasks, task, None, None, "claimed again")).lease, newer, "another's lease")
        await other.tasks.delete(task)
        for gone in (lease, newer):
            await one.tasks.release(gone)
        same(await one.tasks.load(task), None, "a release brings nothing back")
        await raises(NotFoundError, one.tasks.renew(newer, HOUR), "a renewal of a deleted task")


async def tokens_only_grow(make: Make[Stores]) -> None:
    """Each lease of a task has a greater token than all before: after a release, an end, or a clock that went back."""
    async with make() as one, make() as other:
        task, tokens = unique("task"), list[int]()
        await saved(one.tasks, task)

        async def claim(stores: Stores) -> Lease:
            lease = await stores.tasks.claim(task, "w", MOMENT)
            tokens.append(lease.token)
            return lease

        await claim(one)
        await claim(other)
        await one.tasks.release(await claim(one))
        await claim(other)
        await one.tasks.save(TaskState(task_id=task, data=1))
        await one.tasks.rewind(task, 1)
        await one.tasks.release(await claim(one))
        late = to_time(await one.backend.now()) - HOUR  # a clock that was set back
        await one.tasks.release(await claim(type(one)(At(one.backend, late))))
        await claim(other)
        for end in ("deleted", "expired", "deleted"):
            if end == "expired":
                await saved(one.tasks, task, expires_at=_PAST)
            else:
                await one.tasks.delete(task)
            same((await saved(other.tasks, task)).version, 1, f"the first version after it was {end}")
            await claim(other)
            await claim(one)
        same(tokens, sorted(set(tokens)), "tokens")


async def the_lease_of_a_task_is_shown(make: Make[Stores]) -> None:
    """The current or last owner of a task is shown with its newest state; a save does not change the lease."""
    async with make() as one, make() as other:
        task, context = unique("task"), unique("context")
        await saved(one.tasks, task, context_id=context)
        for ttl in (MOMENT, HOUR):  # over, and not
            lease = await one.tasks.claim(task, "é", ttl)
            for _ in range(2):
                for reader in (one, other):
                    info = await reader.tasks.info(task)
                    (line,) = await reader.tasks.list(context_id=context)
                    (state, *older) = await reader.tasks.history(task)
                    shown = await loads(reader.tasks, task, None, None, "a claimed task")
                    for found in (info, line, state, shown):
                        same(found and found.lease, lease, "the lease that is shown")
                    same([state.lease for state in older], [None] * len(older), "the lease of older versions")
                same((await saved(other.tasks, task, context_id=context)).lease, lease, "what a save returned")
            await one.tasks.release(await one.tasks.renew(lease, MOMENT))
            same((await saved(other.tasks, task, context_id=context)).lease, None, "the lease of a released task")


async def a_lease_ends_with_its_task(make: Make[Stores]) -> None:
    """A task deleted, or expired, and begun again has no owner; no earlier lease or state fits it."""
    async with make() as one, make() as other:
        for expired in (False, True):
            task = unique("task")
            old = await saved(one.tasks, task, "old")
            lease = await one.tasks.claim(task, "old", HOUR)
            if expired:
                await other.tasks.set_expiry(task, _PAST)
            else:
                await other.tasks.delete(task)
            await raises(ConflictError, one.tasks.save(old, lease=lease), "a save of an owner whose task is gone")
            await raises(NotFoundError, one.tasks.record(task, "s", 1, lease=lease), "a record of a task that is gone")
            await raises(NotFoundError, other.tasks.claim(task, "new", HOUR), "a claim of a task that is gone")
            same((await saved(other.tasks, task, "new")).lease, None, "the lease of the next")
            await _refused(one.tasks, old, lease)
            newer = await other.tasks.claim(task, "new", HOUR)
            await _refused(one.tasks, old, lease)
            for stores in (one, other):
                call = stores.tasks.save(old, lease=newer, expect=1)
                await raises(ConflictError, call, "a state of before, saved with the lease of the next")
            await one.tasks.release(lease)
            found = await loads(one.tasks, task, None, "new", "the next")
            same((found.version, found.lease), (1, newer), "its version and lease")


async def _refused(tasks: Tasks, state: TaskState, lease: Lease) -> None:
    await raises(ConflictError, tasks.save(state, lease=lease), "a save with the lease of what was deleted")
    await raises(ConflictError, tasks.record(lease.task_id, "s", 1, lease=lease), "a record with it")
    await raises(ConflictError, tasks.renew(lease, HOUR), "its renewal")


async def a_claim_is_repeated_by_its_name(make: Make[Stores]) -> None:
    """A repeated claim with the same op_id returns the same lease, but never once another owns the task."""
    async with make() as stores, make() as other:
        task = unique("task")
        await saved(stores.tasks, task)
        loses = LosesAnswers(stores.backend, 2)
        tasks = type(stores)(loses).tasks
        await raises(UnavailableError, tasks.claim(task, "w", HOUR, op_id="op"), "a claim without an answer")
        first = await tasks.claim(task, "w", HOUR, op_id="op")
        same(loses.lose, 1, "answers to lose, as the repeat changed nothing")
        loses.lose = 0
        same(await other.tasks.claim(task, "w", HOUR, op_id="op"), first, "the claim repeated elsewhere")
        for owner, op_id in (("w", "other"), ("w", None), ("v", "op")):
            error = await raises(ConflictError, other.tasks.claim(task, owner, HOUR, op_id=op_id), "another claim")
            same((error.owner, error.until), ("w", first.expires_at), "what another claim learned")
        await tasks.renew(first, MOMENT)
        newer = await other.tasks.claim(task, "v", HOUR)
        await raises(ConflictError, tasks.claim(task, "w", HOUR, op_id="op"), "a repeat when another has it")
        same((await loads(tasks, task, None, None, "a task that passed on")).lease, newer, "whose it is")


async def renewals_and_releases_may_be_repeated(make: Make[Stores]) -> None:
    """A renewal or a release takes effect despite a lost answer and may be repeated; a claim without op_id may not."""
    async with make() as stores, make() as other:
        task = unique("task")
        await saved(stores.tasks, task)
        loses = LosesAnswers(stores.backend)
        tasks = type(stores)(loses).tasks
        await raises(UnavailableError, tasks.claim(task, "w", HOUR), "a claim without an answer")
        error = await raises(ConflictError, tasks.claim(task, "w", HOUR), "its repeat, which has no name")
        found = await loads(other.tasks, task, None, None, "a claimed task")
        if found.lease is None:
            raise AssertionError("a claim whose answer was lost was made")
        same((error.owner, error.until), ("w", found.lease.expires_at), "what the repeat learned")
        await tick(stores.backend)
        loses.lose = 1
        await raises(UnavailableError, tasks.renew(found.lease, 2 * HOUR), "a renewal without an answer")
        renewed = await tasks.renew(found.lease, 2 * HOUR)
        holds(renewed.expires_at > found.lease.expires_at, "a repeated renewal")
        same((await loads(other.tasks, task, None, None, "a renewed task")).lease, renewed, "the renewed lease")
        loses.lose = 1
        await raises(UnavailableError, tasks.release(renewed), "a release without an answer")
        newer = await other.tasks.claim(task, "v", HOUR)
        await tasks.release(renewed)
        same((await loads(tasks, task, None, None, "claimed again")).lease, newer, "another's lease after the repeat")


CLAUSES: Final = clauses(__name__)
