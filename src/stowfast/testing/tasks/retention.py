"""Clauses of retention: the number and age of versions, and pruning; the rest is whole and keeps its numbers."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import ALL, Window
from stowfast.errors import InvalidError, NotFoundError
from stowfast.records import Retention, TaskState
from stowfast.testing.clause import clauses, holds, raises, same, tick, unique
from stowfast.testing.faults import At
from stowfast.testing.tasks.leases import HOUR, MOMENT
from stowfast.testing.tasks.states import SHAPES, everything, loads, noise, save_all, saved, when
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Slice
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make


_SOME: Final = {
    subject: SHAPES[subject]
    for subject in ("an edit between large values", "another type each time", "what has nothing of the one before")
}
"""Long spans, small states, and spans of one or two versions."""


async def a_task_keeps_so_many_versions(make: Make[Stores]) -> None:
    """A task with a retention of n versions shows the newest n, each whole under its own number."""
    for subject, shape in _SOME.items():
        datas = [shape(number) for number in range(1, 21)]
        for count in (1, 2, 7):
            task = unique("task")
            async with make() as stores, make() as other:
                for number, data in enumerate(datas, 1):
                    state = TaskState(task_id=task, data=data)
                    await stores.tasks.save(state, retention=Retention(versions=count) if number == 1 else None)
                    if number in (1, 2, 9, 20):
                        first = max(number - count, 0)
                        left, told = datas[first:number], f"{subject}, {count} versions kept"
                        await everything(stores.tasks, task, left, told, first=first + 1)
                        await everything(other.tasks, task, left, f"{told}, elsewhere", first=first + 1)


async def a_store_has_a_retention_for_its_tasks(make: Make[Stores]) -> None:
    """The store's retention holds for tasks without their own; a task's own stays until it gets another."""
    async with make() as stores:
        kind = type(stores.tasks)
        for count, other in ((1, 3), (3, 1), (None, 2), (2, None)):
            tasks = kind(stores.backend, retention=Retention(versions=count))
            plain, own = unique("task"), unique("task")
            for number in range(5):
                await saved(tasks, plain, number)
                retention = Retention(versions=other) if number == 2 else None
                await tasks.save(TaskState(task_id=own, data=number), retention=retention)
            for task, wanted in ((plain, count), (own, other)):
                found = [state.data for state in await tasks.history(task)]
                holds(len(found) <= (wanted or 5), f"{len(found)} versions where {wanted} are kept")
                same(found[: wanted or 3], [4, 3, 2, 1, 0][: wanted or 3], f"versions where {wanted} are kept")
        wrong: tuple[Any, ...] = (Retention(versions=0), Retention(versions=-1), Retention(age=-MOMENT))
        for one in wrong:
            call = stores.tasks.save(TaskState(task_id=unique("task")), retention=one)
            await raises(InvalidError, call, f"{one}")


async def a_retention_that_was_widened_holds_from_then_on(make: Make[Stores]) -> None:
    """A longer retention keeps more versions from then on, a shorter one fewer at once."""
    async with make() as stores, make() as other:
        task = unique("task")

        async def save(start: int, stop: int, retention: Retention) -> None:
            for number in range(start, stop):
                await stores.tasks.save(TaskState(task_id=task, data=number), retention=retention)

        await save(1, 6, Retention(versions=2))
        await everything(other.tasks, task, [4, 5], "two kept", first=4)
        await save(6, 10, Retention())
        found = [state.data for state in await other.tasks.history(task, limit=5)]
        same(found, [9, 8, 7, 6, 5], "all kept from then on")
        await save(10, 11, Retention(versions=3))
        await everything(other.tasks, task, [8, 9, 10], "three kept", first=8)


async def versions_go_when_they_are_old(make: Make[Stores]) -> None:
    """With a retention of an age, versions are shown up to that age; the newest always is."""
    async with make() as stores:
        task, states = unique("task"), list[TaskState]()
        for number in range(6):
            await tick(stores.backend)
            state = TaskState(task_id=task, data=[number, noise(500)])
            states.append(await stores.tasks.save(state, retention=Retention(age=HOUR)))
        datas = [state.data for state in states]
        at = At(stores.backend, when(states[0]))
        for number, state in enumerate(states):
            at.moment = when(state) + HOUR
            await everything(type(stores)(at).tasks, task, datas[number:], "just old enough", first=number + 1)
            at.moment += MOMENT
            first = min(number + 1, 5)
            await everything(type(stores)(at).tasks, task, datas[first:], "a moment later", first=first + 1)
        at.moment = when(states[-1]) + 1_000 * HOUR
        await everything(type(stores)(at).tasks, task, datas[5:], "long after", first=6)
        plain = unique("task")
        states = await save_all(stores.tasks, plain, range(4))
        at.moment = when(states[-1]) + HOUR + MOMENT
        keeps = type(stores.tasks)(at, retention=Retention(age=HOUR, versions=3))
        await everything(keeps, plain, [3], "by the time of the store", first=4)
        at.moment -= HOUR
        await everything(keeps, plain, [1, 2, 3], "by the number of the store", first=2)


async def old_versions_take_no_room(make: Make[Stores]) -> None:
    """Later saves remove entries that no version within the retention needs, so a task does not grow."""
    async with make() as stores:
        cases = (
            (Retention(versions=1), SHAPES["an edit between large values"]),
            (Retention(versions=3), SHAPES["one of many values changes"]),
            (Retention(age=MOMENT), SHAPES["what has nothing of the one before"]),
        )
        for retention, shape in cases:
            task, sizes = unique("task"), list[int]()
            for number in range(90):
                await stores.tasks.save(TaskState(task_id=task, data=shape(number)), retention=retention)
                if number in (29, 89) or retention.versions == 1:
                    _, entries = await stores.backend.read(f"tasks/{task}", Window(start=0))
                    sizes.append(sum(len(entry.data) for entry in entries))
                    holds(retention.versions != 1 or len(entries) == 1, f"{len(entries)} stored where one is kept")
            holds(sizes[-1] <= 3 * sizes[0], f"a task that keeps {retention} grew to {sizes[-1]:,} bytes")


async def pruning_ends_all_but_the_newest(make: Make[Stores]) -> None:
    """Pruning ends all versions but n, or older ones, and returns how many; the rest are whole, with their numbers."""
    async with make() as stores, make() as other:
        for subject, shape in _SOME.items():
            task, datas = unique("task"), [shape(number) for number in range(1, 25)]
            await save_all(stores.tasks, task, datas)
            for keep, gone in ((99, 0), (24, 0), (23, 1), (9, 14), (8, 1), (3, 5), (3, 0), (1, 2), (1, 0)):
                pruner, reader = (stores, other) if keep % 2 else (other, stores)
                same(await pruner.tasks.prune(task, keep=keep), gone, f"{subject}: versions that went, {keep} kept")
                first = max(24 - keep, 0)
                await everything(reader.tasks, task, datas[first:], f"{subject}: {keep} kept", first=first + 1)
            more = [shape(number) for number in range(25, 29)]
            await save_all(other.tasks, task, more)
            await everything(stores.tasks, task, [datas[-1], *more], f"{subject}: saved after pruning", first=24)
            await raises(NotFoundError, other.tasks.rewind(task, 23), "rewinding to what was pruned")
            same((await other.tasks.rewind(task, 24)).version, 29, "rewinding to what is left")


async def pruning_by_age_ends_what_is_older(make: Make[Stores]) -> None:
    """Pruning by age ends versions saved before that time, by the backend's clock, and never the newest."""
    async with make() as stores:
        task, states = unique("task"), list[TaskState]()
        for number in range(9):
            await tick(stores.backend)
            states.append(await saved(stores.tasks, task, [number, noise(400)]))
        datas = [state.data for state in states]
        at = At(stores.backend, when(states[0]) + HOUR)
        tasks = type(stores)(at).tasks
        same(await tasks.prune(task, older_than=HOUR), 0, "versions that went, none old enough")
        for number, gone in ((3, 3), (4, 1), (7, 3)):
            at.moment = when(states[number]) + HOUR
            same(await tasks.prune(task, older_than=HOUR), gone, "versions that went")
            await everything(stores.tasks, task, datas[number:], "what was younger", first=number + 1)
        at.moment += 9 * HOUR
        same(await tasks.prune(task, older_than=HOUR), 1, "versions that went at last")
        await everything(stores.tasks, task, datas[8:], "the newest", first=9)
        same(await tasks.prune(unique("task"), keep=1), 0, "versions that went of an unknown task")
        wrong: tuple[dict[str, Any], ...] = ({}, {"keep": 0}, {"keep": -1}, {"keep": 1, "older_than": HOUR})
        wrong += ({"keep": "1"},)
        for options in wrong:
            await raises(InvalidError, stores.tasks.prune(task, **options), f"pruning by {options}")


async def pruning_leaves_lease_and_steps(make: Make[Stores]) -> None:
    """Pruning changes only the history: lease, steps, retention and the newest state stay."""
    async with make() as stores, make() as other:
        task, context = unique("task"), unique("context")
        for number in range(4):
            await saved(stores.tasks, task, number, context_id=context)
        lease = await stores.tasks.claim(task, "w", HOUR)
        await stores.tasks.record(task, "step", 1)
        before = await loads(other.tasks, task, None, 3, "before it is pruned")
        same(await other.tasks.prune(task, keep=1), 3, "versions that went")
        for reader in (stores, other):
            same(await reader.tasks.load(task), before, "a task that was pruned")
            same([one.lease for one in await reader.tasks.list(context_id=context)], [lease], "its lease in a list")
        same((await stores.tasks.save(before, lease=lease, expect=4)).version, 5, "the owner goes on")


async def a_save_beside_a_pruning_is_kept(make: Make[Stores]) -> None:
    """Concurrent saves and prunings do not disturb each other: each save is kept whole."""
    async with make() as one, make() as other:
        task, datas = unique("task"), [{"n": n, "large": noise(3_000)} for n in range(30)]
        await save_all(one.tasks, task, datas[:6])

        async def save() -> None:
            await save_all(one.tasks, task, datas[6:])

        async def prune() -> None:
            for _ in range(12):
                await other.tasks.prune(task, keep=3)
                found = await other.tasks.history(task, limit=2)
                for state in found:
                    same(state.data, datas[state.version - 1], f"version {state.version} beside a pruning")

        await asyncio.gather(save(), prune())
        await other.tasks.prune(task, keep=2)
        await everything(one.tasks, task, datas[-2:], "pruned and saved at once", first=29)


async def a_pruned_version_is_none_while_it_is_loaded(make: Make[Stores]) -> None:
    """A version pruned during its load is whole or None; so is that of a deleted task."""
    async with make() as stores, make() as other:
        for how in ("pruned", "deleted", "begun again"):
            for version in (None, 5):
                task, datas = unique("task"), [{"n": n, "large": noise(3_000)} for n in range(8)]
                await save_all(stores.tasks, task, datas)
                backend = _BetweenReads(stores.backend)

                async def end(how: str = how, task: str = task) -> None:
                    if how == "pruned":
                        await other.tasks.save(TaskState(task_id=task, data="new"), retention=Retention(versions=1))
                    else:
                        await other.tasks.delete(task)
                    if how == "begun again":
                        await save_all(other.tasks, task, [[n] for n in range(8)])

                backend.act = end
                found = await type(stores)(backend).tasks.load(task, version=version)
                same(backend.act, None, "what was to happen between two reads")
                allowed: list[Any] = [None, datas[(version or 8) - 1], "new", [(version or 8) - 1]]
                holds((found and found.data) in allowed, f"{found} of a task that was {how} while it was loaded")


class _BetweenReads(Wrapper):
    act: Any = None
    reads = 0

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        self.reads += 1
        if self.reads == 2 and self.act is not None:
            act, self.act = self.act, None
            await act()
        return await super().read(stream, window)


CLAUSES: Final = clauses(__name__)
