"""Clauses of updates: nothing is lost beside others, with a cached task, or after a lost answer."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from stowfast.records import TaskState
from stowfast.testing.clause import clauses, raises, same, unique
from stowfast.testing.faults import LosesAnswers
from stowfast.testing.tasks.states import Meanwhile, both, everything, loads, noise, save_all, saved

if TYPE_CHECKING:
    from collections.abc import Callable

    from stowfast.stores import Stores
    from stowfast.testing.clause import Make


async def updates_at_once_all_count(make: Make[Stores]) -> None:
    """Concurrent updates are each applied once, to the result of the one before: a counter counts them all."""
    async with make() as one, make() as other:
        task = unique("task")
        await saved(one.tasks, task, {"count": 0, "large": noise(3_000)})

        def count(state: TaskState) -> None:
            state.data["count"] += 1

        async def count_later(state: TaskState) -> TaskState:
            await asyncio.sleep(0)
            return TaskState(task_id=task, data={**state.data, "count": state.data["count"] + 1})

        tasks = both(one, other)
        racing = [tasks[n % 2].update(task, count_later if n % 3 else count) for n in range(18)]
        versions = sorted([state.version for state in await asyncio.gather(*racing)])
        same(versions, list(range(2, 20)), "versions of updates at once")
        for reader in (one, other):
            found = await loads(reader.tasks, task, None, {"count": 18, "large": noise(3_000)}, "a counter")
            same(found.version, 19, "its version")


async def an_update_is_called_again_with_what_is_there(make: Make[Stores]) -> None:
    """After a save by another, an update is called again with that state; its exception ends it, and saves nothing."""
    async with make() as stores, make() as other:
        task, seen = unique("task"), list[Any]()
        await saved(stores.tasks, task, ["first"], status="working")

        def add(state: TaskState) -> None:
            seen.append(list(state.data))
            state.data.append("update")
            state.status = "updated"

        backend = Meanwhile(stores.backend, *[lambda n=n: saved(other.tasks, task, [n]) for n in range(3)])
        updated = await type(stores)(backend).tasks.update(task, add)
        backend.done()
        same(seen, [["first"], [0], [1], [2]], "what the update was called with")
        same((updated.version, updated.data, updated.status), (5, [2, "update"], "updated"), "what it returned")
        await everything(other.tasks, task, [["first"], [0], [1], [2], [2, "update"]], "a task that was updated")

        def refuse(_: TaskState) -> None:
            raise ZeroDivisionError

        await raises(ZeroDivisionError, stores.tasks.update(task, refuse), "an update that raises")
        elsewhere: Callable[[TaskState], TaskState] = lambda _: TaskState(task_id=unique("task"))  # noqa: E731
        await raises(InvalidError, stores.tasks.update(task, elsewhere), "an update to another task")
        await raises(NotFoundError, stores.tasks.update(unique("task"), add), "an update of an unknown task")
        same((await loads(other.tasks, task, None, [2, "update"], "what was not updated")).version, 5, "its version")


async def an_update_never_saves_over_a_successor(make: Make[Stores]) -> None:
    """An update of a task deleted and begun again meanwhile is called again with the new task's state."""
    async with make() as stores, make() as other:
        for anew in (False, True):
            task = unique("task")
            await saved(stores.tasks, task, ["old"])

            async def change(state: TaskState, task: str = task, anew: bool = anew) -> TaskState:
                if state.data == ["old"]:
                    await other.tasks.delete(task)
                    await saved(other.tasks, task, ["new"])
                data = [*state.data, "update"]
                return TaskState(task_id=task, data=data) if anew else replace(state, data=data)

            await stores.tasks.update(task, change)
            await everything(other.tasks, task, [["new"], ["new", "update"]], "a task begun again during an update")


async def who_knows_a_task_sees_what_others_did(make: Make[Stores]) -> None:
    """The reads and saves of a process with a cached task follow the changes by others."""
    async with make() as one, make() as other:
        task, datas = unique("task"), [{"n": n, "large": noise(4_000)} for n in range(24)]
        for number, data in enumerate(datas):
            writer, reader = ((one, other), (other, one))[number // 3 % 2]
            same((await saved(writer.tasks, task, data)).version, number + 1, "the version of a save in turns")
            await loads(reader.tasks, task, None, data, "the newest, where the other saved")
        for reader in (one, other):
            await everything(reader.tasks, task, datas, "saved in turns")
        state = await loads(one.tasks, task, None, datas[-1], "before it was deleted")
        await other.tasks.delete(task)
        same(await one.tasks.load(task), None, "a task that another deleted")
        await raises(ConflictError, one.tasks.save(state, expect=24), "a save over what another deleted")
        for version in range(1, 25):
            same((await saved(other.tasks, task, [version])).version, version, "versions after another's deletion")
        await loads(one.tasks, task, None, [24], "a task that another began again")
        await raises(ConflictError, one.tasks.save(state, expect=24), "a save over what another began again")
        same((await saved(one.tasks, task, [25])).version, 25, "a save that asks for nothing")
        await everything(other.tasks, task, [[n] for n in range(1, 26)], "begun again")
        await other.tasks.delete(task)
        same((await saved(one.tasks, task, "again")).version, 1, "a save after another's deletion")
        await everything(other.tasks, task, ["again"], "begun again by a save that asks for nothing")


async def racing_saves_of_large_states_are_all_kept(make: Make[Stores]) -> None:
    """Racing saves without a condition are all versions, each with the data given to it."""
    async with make() as one, make() as other:
        task, sent = unique("task"), dict[int, Any]()

        tasks = both(one, other)

        async def save(number: int) -> None:
            data = {"n": number, "large": noise(3_000)}
            state = await saved(tasks[number % 2], task, data)
            sent[state.version] = data

        await save(0)
        for start in (1, 13):
            await asyncio.gather(*(save(number) for number in range(start, start + 12)))
        same(sorted(sent), list(range(1, 26)), "versions of saves at once")
        for reader in (one, other):
            await everything(reader.tasks, task, [sent[version] for version in range(1, 26)], "saved at once")


async def a_save_without_an_answer_is_whole(make: Make[Stores]) -> None:
    """A save with a lost answer is a whole version that later saves follow; its repeat returns the same version."""
    async with make() as stores, make() as other:
        for op_id in (None, "op"):
            task, datas = unique("task"), [{"n": n, "large": noise(2_000)} for n in range(4)]
            loses = LosesAnswers(stores.backend, 0)
            tasks = type(stores)(loses).tasks
            await save_all(tasks, task, datas[:2])
            for _ in range(2):
                loses.lose = 1
                state = TaskState(task_id=task, data=datas[2])
                await raises(UnavailableError, tasks.save(state, expect=2, op_id=op_id), "a lost answer")
                await everything(other.tasks, task, datas[:3], "after a lost answer")
                if op_id is None:
                    await raises(ConflictError, tasks.save(state, expect=2), "the repeat of a save without a name")
                    break
            if op_id is not None:
                again = await tasks.save(TaskState(task_id=task, data="other"), expect=2, op_id=op_id)
                same((again.version, again.data), (3, datas[2]), "what the repeat was answered")
            same((await saved(tasks, task, datas[3])).version, 4, "the next")
            await everything(other.tasks, task, datas, "after a lost answer, and on")


CLAUSES: Final = clauses(__name__)
