"""Clauses of steps: a recorded step is known until a save covers it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import MAX_HEAD_BYTES
from stowfast.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from stowfast.records import TaskState
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.testing.data.messages import exactly, refused
from stowfast.testing.faults import LosesAnswers
from stowfast.testing.protocols import AS_GIVEN
from stowfast.testing.tasks.leases import HOUR, MOMENT
from stowfast.testing.tasks.states import Meanwhile, Tells, both, loads, saved
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stowfast.abc import Backend, Change, Receipt
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make


async def the_first_result_of_a_step_stays(make: Make[Stores]) -> None:
    """A step keeps its first recorded result, any JSON, for every caller; steps are shown in their order."""
    results: dict[str, Any] = {"z": AS_GIVEN, "a": None, "é/ ": [], "1": 0, "0": 1.0, "m": "text", "false": False}
    async with make() as one, make() as other:
        task = unique("task")
        await saved(one.tasks, task, "before")
        await saved(one.tasks, task)
        for key, result in results.items():
            exactly(await one.tasks.record(task, key, result), result, f"the first result of {key!r}")
            for stores in (other, one):
                exactly(await stores.tasks.record(task, key, "another"), result, f"the second of {key!r}")
        for reader in (one, other):
            exactly(await reader.tasks.steps(task), results, "the ledger")
            found = await loads(reader.tasks, task, None, None, "a task with steps")
            exactly(found.steps, results, "steps that are loaded with it")
            same((found.version, len(await reader.tasks.history(task))), (2, 2), "a step is no version")
            exactly([state.steps for state in await reader.tasks.history(task)], [results, {}], "of the newest alone")
            same((await loads(reader.tasks, task, 1, "before", "an older version")).steps, {}, "its steps")
        same(await one.tasks.steps(unique("task")), {}, "steps of an unknown task")


async def what_cannot_be_recorded_is_refused(make: Make[Stores]) -> None:
    """A result outside JSON, a key that is no name, or too much at once is refused; nothing is recorded."""
    async with make() as stores:
        task = unique("task")
        await raises(NotFoundError, stores.tasks.record(task, "step", 1), "a step of an unknown task")
        await saved(stores.tasks, task)
        for subject, value in refused():
            await raises(InvalidError, stores.tasks.record(task, "step", [value]), subject)
        keys: tuple[Any, ...] = ("", None, 1, "\0", "\ud800", "k" * 2_000)
        for key in keys:
            await raises(InvalidError, stores.tasks.record(task, key, 1), f"the key {key!r}")
        await raises(InvalidError, stores.tasks.record(task, "step", "x" * MAX_HEAD_BYTES), "a large result")
        same(await stores.tasks.steps(task), {}, "what was recorded")


async def of_racing_records_one_is_kept(make: Make[Stores]) -> None:
    """Of racing records of one step one result is kept, and all return it; records of other steps are kept too."""
    async with make() as one, make() as other:
        task = unique("task")
        await saved(one.tasks, task)
        tasks = both(one, other)
        racing = [tasks[n % 2].record(task, f"step {n % 3}", n) for n in range(15)]
        results = await asyncio.gather(*racing)
        ledger = await other.tasks.steps(task)
        same(sorted(ledger), ["step 0", "step 1", "step 2"], "steps")
        for number, result in enumerate(results):
            same(result, ledger[f"step {number % 3}"], "what a racing record returned")
            same(result % 3, number % 3, "of which step it is")


async def a_save_clears_the_steps_it_covers(make: Make[Stores]) -> None:
    """A save clears the steps it names; with a lease or an `expect` all there are; else none; a rewinding none."""
    async with make() as one, make() as other:
        task = unique("task")
        await saved(one.tasks, task)
        lease = await one.tasks.claim(task, "w", HOUR)
        cases: tuple[tuple[str, dict[str, Any], list[str]], ...] = (
            ("without a condition", {}, ["a", "b", "c"]),
            ("that covers two, and what is not there", {"covers": ["a", "c", "d"]}, ["b"]),
            ("that covers none, with a lease", {"lease": lease, "covers": []}, ["a", "b", "c"]),
            ("that covers one, with a lease", {"lease": lease, "covers": ["b"]}, ["a", "c"]),
            ("with a lease", {"lease": lease}, []),
            ("with an expect", {"expect": ...}, []),
        )  # fmt: skip
        for subject, options, left in cases:
            for key in ("a", "b", "c"):
                await one.tasks.record(task, key, f"result of {key}")
            state = await loads(one.tasks, task, None, None, "a task with steps")
            asked: dict[str, Any] = {key: state.version if value is ... else value for key, value in options.items()}
            after = await one.tasks.save(state, **asked)
            same(sorted(after.steps), left, f"steps that a save returned {subject}")
            for reader in (one, other):
                same(await reader.tasks.steps(task), {key: f"result of {key}" for key in left}, f"a save {subject}")
                found = await loads(reader.tasks, task, None, None, "a task with steps")
                same((sorted(found.steps), found.lease), (left, lease), f"steps and lease after a save {subject}")
        await one.tasks.record(task, "a", 1)
        await one.tasks.rewind(task, 1)
        await one.tasks.update(task, lambda _: None)
        same(await other.tasks.steps(task), {"a": 1}, "steps after a rewinding and an update")


async def a_state_and_its_steps_change_at_one_moment(make: Make[Stores]) -> None:
    """A save clears the steps it covers in the same commit: a step is always either recorded or saved."""
    async with make() as stores:
        task = unique("task")
        await saved(stores.tasks, task, [])

        async def look() -> None:
            found = await stores.tasks.load(task)
            done = [*(found.data if found else []), *(found.steps if found else {})]
            same(sorted(done), sorted({*done}), "what was done, once each, in the state or in the ledger")
            holds(len(done) >= looks.done, f"of {looks.done} steps {len(done)} are known")

        looks = _Looks(stores.backend, look)
        tasks = type(stores)(looks).tasks
        lease = await tasks.claim(task, "w", HOUR)
        for number in range(6):
            await tasks.record(task, f"step {number}", number, lease=lease)
            looks.done = number + 1
            state = await tasks.load(task)
            if state is None:
                raise AssertionError("the task is gone")
            state.data += list(state.steps)
            await tasks.save(state, lease=lease)
        same(looks.looked, 13, "commits that were looked behind: a claim, six records, six saves")


async def steps_recorded_meanwhile_are_kept(make: Make[Stores]) -> None:
    """A step recorded during a save is never cleared by it, for any `covers`."""
    async with make() as stores, make() as other:
        for subject in ("lease", "expect", "nothing"):
            task = unique("task")
            await saved(stores.tasks, task)
            lease = await stores.tasks.claim(task, "w", HOUR)
            await stores.tasks.record(task, "before", 1)
            backend = Meanwhile(stores.backend, lambda task=task: other.tasks.record(task, "meanwhile", 2))  # type: ignore[misc]
            tasks = type(stores)(backend).tasks
            state = await loads(tasks, task, None, None, "a task with steps")
            if subject == "lease":
                await tasks.save(state, lease=lease)
            else:
                await tasks.save(state, expect=1 if subject == "expect" else None)
            backend.done()
            wanted = {"before": 1, "meanwhile": 2} if subject == "nothing" else {"meanwhile": 2}
            same(await other.tasks.steps(task), wanted, f"steps after a save with {subject}")


async def what_another_recorded_and_was_loaded_is_covered(make: Make[Stores]) -> None:
    """The save of a loaded state clears the steps of others in it, whatever it had cached before."""
    async with make() as one, make() as other:
        task = unique("task")
        first = await saved(one.tasks, task)
        lease = await one.tasks.claim(task, "w", HOUR)
        both: tuple[dict[str, Any], ...] = ({"expect": first.version}, {"lease": lease})
        for version, options in enumerate(both, 1):
            await other.tasks.record(task, "step", version)
            state = await loads(one.tasks, task, None, None, "a task with a step of another's")
            same(state.steps, {"step": version}, "steps that are loaded")
            await one.tasks.save(state, **options)
            same(await other.tasks.steps(task), {}, "steps after they were loaded and saved")


async def a_full_ledger_is_emptied_by_a_save(make: Make[Stores]) -> None:
    """Results of 48 KB in all fit between two saves; one more is refused until a save by any opening covers some."""
    async with make() as one, make() as other:
        task, kept = unique("task"), dict[str, Any]()
        await saved(one.tasks, task)
        for number in range(200):
            try:
                await one.tasks.record(task, f"step {number}", "x" * 1_000)
            except InvalidError:
                break
            kept[f"step {number}"] = "x" * 1_000
        holds(48 <= len(kept) <= 64, f"{len(kept)} results of 1,000 bytes fit")
        await raises(InvalidError, one.tasks.record(task, "again", "x" * 1_000), "a result for which there is no room")
        same(await other.tasks.steps(task), kept, "the ledger when it was full")
        await other.tasks.save(TaskState(task_id=task), covers=[f"step {number}" for number in range(3)])
        await one.tasks.record(task, "again", "x" * 1_000)
        same(len(await other.tasks.steps(task)), len(kept) - 2, "steps after there was room again")


async def a_full_ledger_keeps_nobody_from_the_task(make: Make[Stores]) -> None:
    """A task with full steps is claimed, renewed, saved and released like any other."""
    async with make() as one, make() as other:
        task, context, size = unique("task"), unique("context"), 30_000
        await saved(one.tasks, task, context_id=context)
        for number in range(200):
            try:
                await one.tasks.record(task, f"{number}", "x" * size)
            except InvalidError:
                size //= 2
                if not size:
                    break
        lease = await other.tasks.claim(task, "\x01" * 1_200, MOMENT, op_id="\x01" * 1_200)
        await other.tasks.renew(lease, MOMENT)
        same((await other.tasks.save(TaskState(task_id=task), lease=lease, covers=())).version, 2, "a save")
        await other.tasks.release(lease)
        await saved(one.tasks, task, context_id=context)
        again = await one.tasks.claim_next("w" * 1_200, HOUR, context_id=context)
        same(again and again.task_id, task, "a task with a full ledger, given out")


async def a_record_is_repeated_after_a_lost_answer(make: Make[Stores]) -> None:
    """A record takes effect despite a lost answer; a repeat returns its result until a save covers it."""
    async with make() as stores, make() as other:
        task = unique("task")
        await saved(stores.tasks, task)
        lease = await stores.tasks.claim(task, "w", HOUR)
        loses = LosesAnswers(stores.backend)
        tells = Tells(loses)
        tasks = type(stores)(tells).tasks
        await raises(UnavailableError, tasks.record(task, "step", [1], lease=lease), "a record without an answer")
        same(await other.tasks.steps(task), {"step": [1]}, "the ledger after a lost answer")
        for value in ([1], "another"):
            same(await tasks.record(task, "step", value, lease=lease), [1], "a repeat")
        same(tells.changes, [], "what repeats changed")
        await tasks.save(TaskState(task_id=task, data=1), lease=lease)
        same(await other.tasks.steps(task), {}, "the ledger after a save")
        await tasks.record(task, "step", 2, lease=lease)
        loses.lose = 1
        call = tasks.save(TaskState(task_id=task, data=2), lease=lease, op_id="op")
        await raises(UnavailableError, call, "a save without an answer")
        same(await other.tasks.steps(task), {}, "the ledger after a save without an answer")
        await other.tasks.record(task, "step", 3)
        same((await tasks.save(TaskState(task_id=task, data=2), lease=lease, op_id="op")).version, 3, "its repeat")
        same(await other.tasks.steps(task), {"step": 3}, "what was recorded before the repeat")


async def steps_end_with_their_task(make: Make[Stores]) -> None:
    """A task deleted and begun again has no earlier steps, and earlier steps cannot be recorded in it."""
    async with make() as one, make() as other:
        task = unique("task")
        await saved(one.tasks, task)
        lease = await one.tasks.claim(task, "w", HOUR)
        await one.tasks.record(task, "step", "old", lease=lease)
        await other.tasks.delete(task)
        same(await one.tasks.steps(task), {}, "steps of a deleted task")
        await raises(NotFoundError, one.tasks.record(task, "step", 1), "a step of a deleted task")
        same((await saved(other.tasks, task)).steps, {}, "steps of the next")
        await raises(ConflictError, one.tasks.record(task, "step", 1, lease=lease), "a step under the lease of before")
        same(await one.tasks.record(task, "step", "new"), "new", "the first result in the next")


class _Looks(Wrapper):
    """Calls `look` after each commit."""

    def __init__(self, backend: Backend, look: Callable[[], Awaitable[None]]) -> None:
        super().__init__(backend)
        self.look = look
        self.looked = self.done = 0

    async def commit(self, stream: str, change: Change) -> Receipt:
        receipt = await super().commit(stream, change)
        self.looked += 1
        await self.look()
        return receipt


CLAUSES: Final = clauses(__name__)
