"""Clauses of tasks after a clock was ahead: times in the future keep nobody away."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from stowfast.errors import ConflictError
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.testing.faults import At
from stowfast.testing.tasks.leases import HOUR, MOMENT
from stowfast.testing.tasks.states import saved, when

if TYPE_CHECKING:
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_YEARS: Final = timedelta(days=4_400)
_SKEW: Final = timedelta(minutes=1)


async def a_lease_from_a_clock_ahead_has_ended(make: Make[Stores]) -> None:
    """A lease that ends over a minute later than now plus its own length has ended: the clock was ahead."""
    async with make() as stores, make() as other:
        for renewed in (False, True):
            task, context = unique("task"), unique("context")
            state = await saved(stores.tasks, task, context_id=context)
            at = At(stores.backend, when(state) + (timedelta(0) if renewed else _YEARS))
            tasks = type(stores)(at).tasks
            lease = await tasks.claim(task, "ahead", HOUR)
            if renewed:
                at.moment = when(state) + _YEARS
                lease = await tasks.renew(lease, 2 * HOUR)
            at.moment -= _SKEW
            error = await raises(ConflictError, tasks.claim(task, "w", HOUR), "a claim by a clock a minute behind")
            same((error.owner, error.until), ("ahead", lease.expires_at), "its owner and end")
            same(await tasks.claim_next("w", HOUR, context_id=context), None, "a free task, a minute behind")
            at.moment -= MOMENT
            first = await tasks.claim(task, "first", HOUR)
            await tasks.release(first)
            at.moment = when(state) + _YEARS
            await tasks.claim(task, "ahead again", HOUR)
            newer = await other.tasks.claim_next("w", HOUR, context_id=context)
            same(newer and newer.task_id, task, "a free task by a clock that is right")
            holds(newer and newer.token > first.token > lease.token, "tokens grow under every clock")
            await raises(ConflictError, tasks.save(state, lease=lease), "a save under the lease that has ended")
            same((await other.tasks.save(state, lease=newer)).version, 2, "a save of the new owner")
            await raises(ConflictError, other.tasks.claim(task, "late", HOUR), "a claim of a task with an owner")


async def a_change_from_a_clock_ahead_keeps_no_worker_away(make: Make[Stores]) -> None:
    """A task whose last change lies over a minute in the future counts as idle."""
    async with make() as stores:
        task, context = unique("task"), unique("context")
        state = await saved(stores.tasks, task, context_id=context)
        at = At(stores.backend, when(state) - _SKEW)
        tasks = type(stores)(at).tasks
        got = await tasks.claim_next("w", HOUR, context_id=context, idle=HOUR)
        same(got, None, "a task that was changed a minute ahead")
        at.moment -= MOMENT
        got = await tasks.claim_next("w", HOUR, context_id=context, idle=HOUR)
        same(got and got.task_id, task, "a task that was changed over a minute ahead")


CLAUSES: Final = clauses(__name__)
