"""Clauses of workers: each task goes to one worker, and fits its request."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError
from stowfast.records import Lease, TaskState
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.testing.faults import At
from stowfast.testing.tasks.leases import HOUR, MOMENT
from stowfast.testing.tasks.states import Meanwhile, both, loads, saved, when
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Listing, Query
    from stowfast.stores import Stores, Tasks
    from stowfast.testing.clause import Make


async def each_task_goes_to_one_worker(make: Make[Stores]) -> None:
    """Of many concurrent workers each gets tasks of its own until all are taken; then None."""
    async with make() as one, make() as other:
        context = unique("context")
        names = {unique("task") for _ in range(24)}
        for name in names:
            await saved(one.tasks, name, context_id=context)

        async def work(tasks: Tasks) -> list[Lease]:
            taken = list[Lease]()
            for _ in range(len(names) + 1):
                lease = await tasks.claim_next("same", HOUR, context_id=context)
                if lease is None:
                    return taken
                taken.append(lease)
            raise AssertionError("a worker got more tasks than there are")

        tasks = both(one, other)
        taken = await asyncio.gather(*(work(tasks[number % 2]) for number in range(6)))
        given = [lease.task_id for leases in taken for lease in leases]
        same(sorted(given), sorted(names), "tasks that were given out")
        for leases in taken:
            for lease in leases:
                found = await loads(other.tasks, lease.task_id, None, None, "a task that was given out")
                same(found.lease, lease, "its lease")
        left = taken[0][0] if taken[0] else taken[1][0]
        await one.tasks.release(left)
        again = await other.tasks.claim_next("next", HOUR, context_id=context)
        same(again and again.task_id, left.task_id, "the task that was released")
        holds(again and again.token > left.token, "its token is greater")
        same((await other.tasks.save(TaskState(task_id=left.task_id), lease=again)).version, 2, "a save of who got it")


async def workers_get_what_they_ask_for(make: Make[Stores]) -> None:
    """A worker gets an unowned task of the requested status, context, agent and parent."""
    async with make() as stores:
        context, tasks = unique("context"), stores.tasks
        fields: dict[str, dict[str, Any]] = {
            "plain": {}, "done": {"status": "done"}, "agent": {"agent_id": "a"}, "child": {"parent_task_id": "p"},
            "held": {"agent_id": "h"}, "expired": {"agent_id": "e"}, "gone": {"agent_id": "g"},
        }  # fmt: skip
        names = {key: unique("task") for key in fields}
        for key, own in fields.items():
            await saved(tasks, names[key], context_id=context, **own)
        await tasks.claim(names["held"], "other", HOUR)
        await tasks.claim(names["expired"], "other", MOMENT)
        await tasks.delete(names["gone"])
        cases: tuple[tuple[dict[str, Any], str | None], ...] = (
            ({"status": "no"}, None), ({"agent_id": "no"}, None), ({"parent_task_id": "no"}, None),
            ({"agent_id": "h"}, None), ({"agent_id": "g"}, None), ({"agent_id": "a", "status": "done"}, None),
            ({"agent_id": "a"}, "agent"), ({"agent_id": "a"}, None), ({"agent_id": "e"}, "expired"),
            ({"parent_task_id": "p"}, "child"), ({"status": "done"}, "done"), ({}, "plain"), ({}, None),
        )  # fmt: skip
        for where, wanted in cases:
            lease = await tasks.claim_next("w", HOUR, context_id=context, **where)
            same(lease and lease.task_id, None if wanted is None else names[wanted], f"what was got where {where}")
        same(await tasks.claim_next("w", HOUR, context_id=unique("context")), None, "what was got of another context")
        await raises(InvalidError, tasks.claim_next("w", timedelta(0), context_id=context), "a claim for no time")


async def workers_leave_alone_what_was_changed_of_late(make: Make[Stores]) -> None:
    """With `idle` a worker gets only tasks unchanged for that time, so a saver without a lease keeps its task."""
    async with make() as stores:
        task, context = unique("task"), unique("context")
        state = await saved(stores.tasks, task, context_id=context)
        at = At(stores.backend, when(state) + HOUR - MOMENT)
        tasks = type(stores)(at).tasks
        same(await tasks.claim_next("w", HOUR, context_id=context, idle=HOUR), None, "what was saved within the hour")
        at.moment = when(state) + HOUR
        backend = Meanwhile(at, lambda: stores.tasks.record(task, "step", 1))
        got = await type(stores)(backend).tasks.claim_next("w", HOUR, context_id=context, idle=HOUR)
        backend.done()
        same(got, None, "what was changed while a worker was about to get it")
        at.moment = when(await stores.tasks.info(task)) + HOUR
        got = await tasks.claim_next("w", HOUR, context_id=context, idle=HOUR)
        same(got and got.task_id, task, "what was idle for an hour")


async def workers_find_what_is_behind_many_pages(make: Make[Stores]) -> None:
    """A worker finds the free task among any number of owned ones."""
    async with make() as stores:
        context = unique("context")
        names = [f"{context}-{number}" for number in range(9)]
        for name in names:
            await saved(stores.tasks, name, context_id=context)
        for free in (names[0], names[4], names[8]):
            tasks = type(stores)(_SmallPages(stores.backend)).tasks
            for name in names:
                if name != free:
                    await tasks.claim(name, "other", HOUR)
            lease = await tasks.claim_next("w", HOUR, context_id=context)
            same(lease and lease.task_id, free, "the one that is free")
            same(await tasks.claim_next("w", HOUR, context_id=context), None, "what is left")
            for name in names:
                found = await loads(tasks, name, None, None, "a task")
                if found.lease is not None:
                    await tasks.release(found.lease)


async def a_worker_never_gets_what_was_finished_meanwhile(make: Make[Stores]) -> None:
    """A worker never gets a task that is finished, claimed or deleted during its request."""
    async with make() as stores, make() as other:
        for how in ("finished", "claimed", "deleted", "begun again"):
            task, context = unique("task"), unique("context")
            await saved(stores.tasks, task, context_id=context)

            async def meanwhile(how: str = how, task: str = task, context: str = context) -> None:
                if how == "finished":
                    await saved(other.tasks, task, context_id=context, status="completed")
                elif how == "claimed":
                    await other.tasks.claim(task, "w", HOUR)
                else:
                    await other.tasks.delete(task)
                    if how == "begun again":
                        await saved(other.tasks, task, context_id=context, status="completed")

            backend = Meanwhile(stores.backend, meanwhile)
            got = await type(stores)(backend).tasks.claim_next("w", HOUR, context_id=context)
            backend.done()
            same(got, None, f"what a worker got where the task was {how} meanwhile")


async def a_work_loop_does_each_task_once(make: Make[Stores]) -> None:
    """`work` yields each free task once with its newest state and a valid lease, over racing workers, then ends."""
    async with make() as one, make() as other:
        context = unique("context")
        names = [unique("task") for _ in range(12)]
        async for _ in one.tasks.work("w", ttl=HOUR, context_id=context):
            raise AssertionError("a task where there is none")
        for name in names:
            await saved(one.tasks, name, "first", context_id=context)
            await saved(one.tasks, name, name, context_id=context)
        await saved(one.tasks, unique("task"), context_id=context, status="asked")
        done: list[str] = []

        async def work(tasks: Tasks) -> None:
            async for state, lease in tasks.work("same", ttl=HOUR, context_id=context):
                same((state.task_id, state.data, state.lease), (lease.task_id, lease.task_id, lease), "a claimed task")
                state.status = "completed"
                same((await tasks.save(state, lease=lease)).version, 3, "a save of the owner")
                done.append(state.task_id)

        tasks = both(one, other)
        await asyncio.gather(*(work(tasks[number % 2]) for number in range(4)))
        same(sorted(done), sorted(names), "tasks done")
        same({(await loads(one.tasks, name, None, name, "a task")).lease for name in names}, {None}, "leases left")
        found = [state.status async for state, _ in one.tasks.work("w", ttl=HOUR, context_id=context, status="asked")]
        same(found, ["asked"], "tasks of another status")


async def a_work_loop_takes_no_task_again_at_once(make: Make[Stores]) -> None:
    """A task whose turn saved nothing or failed stays claimed; one that was saved as free again is yielded again."""
    async with make() as stores:
        task, context = unique("task"), unique("context")
        await saved(stores.tasks, task, 0, context_id=context)
        turns = 0
        async for state, lease in stores.tasks.work("w", ttl=HOUR, context_id=context):
            turns += 1
            holds(turns < 9, "a work loop ends after a turn that saved nothing")
            if state.data < 3:
                state.data += 1
                await stores.tasks.save(state, lease=lease)
        same(turns, 4, "turns of a task")
        left = (await loads(stores.tasks, task, None, 3, "a task")).lease
        same(left and left.owner, "w", "the owner after a turn that saved nothing")


class _SmallPages(Wrapper):
    async def streams(self, query: Query) -> Listing:
        return await super().streams(query._replace(limit=min(query.limit, 2)))


CLAUSES: Final = clauses(__name__)
