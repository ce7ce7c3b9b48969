"""Clauses of lists: parents and children, last changed first, and expiry without a save."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError, NotFoundError
from stowfast.records import TaskInfo, TaskState
from stowfast.testing.clause import clauses, raises, same, tick, unique
from stowfast.testing.data.messages import exactly
from stowfast.testing.tasks.leases import HOUR
from stowfast.testing.tasks.states import Tells, listed, loads, noise, saved

if TYPE_CHECKING:
    from stowfast.stores import Stores, Tasks
    from stowfast.testing.clause import Make

_PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)
_FUTURE: Final = datetime(2999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)


async def children_are_listed_by_their_parent(make: Make[Stores]) -> None:
    """Tasks are listed by their parent task, with every other condition, page by page."""
    async with make() as stores:
        parent, context = unique("task"), unique("context")
        await saved(stores.tasks, parent, context_id=context)
        names = [f"{parent}/{number}" for number in range(5)]
        for number, name in enumerate(names):
            status, agent = ("working", "done")[number % 2], f"a{number // 2}"
            state = await saved(
                stores.tasks, name, number, context_id=context, parent_task_id=parent, status=status, agent_id=agent
            )
            same(state.parent_task_id, parent, "the parent that a save returned")
            found = await loads(stores.tasks, name, None, number, "a child")
            same((found.parent_task_id, found.agent_id), (parent, agent), "its parent and agent")
            await tick(stores.backend)
        await saved(stores.tasks, unique("task"), context_id=context, parent_task_id=names[0])
        cases: tuple[tuple[dict[str, Any], list[int]], ...] = (
            ({}, [4, 3, 2, 1, 0]), ({"status": "done"}, [3, 1]), ({"agent_id": "a1"}, [3, 2]),
            ({"status": "working", "agent_id": "a1"}, [2]), ({"context_id": unique("context")}, []),
            ({"context_id": context}, [4, 3, 2, 1, 0]),
        )  # fmt: skip
        for where, numbers in cases:
            for limit in (1, 2, 100):
                found_all = await listed(stores.tasks, parent_task_id=parent, limit=limit, **where)
                same([one.task_id for one in found_all], [names[n] for n in numbers], f"children where {where}")
        same(len(await listed(stores.tasks, context_id=context)), 7, "tasks of the context")
        await saved(stores.tasks, names[4], context_id=context)
        left = [one.task_id for one in await listed(stores.tasks, parent_task_id=parent)]
        same(left, [names[n] for n in (3, 2, 1, 0)], "children after one was saved without a parent")


async def what_is_known_of_a_task_is_one_request(make: Make[Stores]) -> None:
    """`info` of one task is one request, and so is a list of many; both show the same fields."""
    async with make() as stores:
        context = unique("context")
        fields: dict[str, Any] = {"context_id": context, "agent_id": "a", "expires_at": _FUTURE}
        state, *_ = [await saved(stores.tasks, unique("task"), [number], **fields) for number in range(5)]
        lease = await stores.tasks.claim(state.task_id, "w", HOUR)
        tells = Tells(stores.backend)
        tasks = type(stores)(tells).tasks
        info = await tasks.info(state.task_id)
        same(tells.asked, 1, "requests for what is known of a task")
        page = await tasks.list(context_id=context)
        same((tells.asked, len(page.items)), (2, 5), "requests and lines of a list")
        same(info, next(one for one in page if one.task_id == state.task_id), "a task, and its line in a list")
        same(type(info), TaskInfo, "what is known of a task has no data")
        if info is not None:
            same((info.version, info.agent_id, info.expires_at, info.lease), (1, "a", _FUTURE, lease), "what is known")
        same(await tasks.info(unique("task")), None, "what is known of an unknown task")


async def what_changes_a_task_moves_it_to_the_front(make: Make[Stores]) -> None:
    """A claim, a step or a release moves a task to the front of a list, as a save does; its version stays."""
    async with make() as stores:
        context = unique("context")
        names = [unique("task") for _ in range(3)]
        for name in names:
            await saved(stores.tasks, name, context_id=context)
        lease = None
        for subject in ("claim", "record", "renew", "release", "save"):
            for name in names:
                await tick(stores.backend)
                if subject == "claim":
                    await stores.tasks.claim(name, "w", HOUR)
                elif subject == "record":
                    await stores.tasks.record(name, "step", 1)
                elif subject == "save":
                    await saved(stores.tasks, name, context_id=context)
                elif lease := (await loads(stores.tasks, name, None, None, "a claimed task")).lease:
                    await (stores.tasks.renew(lease, 2 * HOUR) if subject == "renew" else stores.tasks.release(lease))
                found = await listed(stores.tasks, context_id=context)
                same(found[0].task_id, name, f"the first in a list after a {subject}")
                same({one.version for one in found} <= {1, 2}, True, "versions")
                same(found[0].version, 2 if subject == "save" else 1, f"its version after a {subject}")


async def the_end_of_a_task_is_set_without_a_version(make: Make[Stores]) -> None:
    """An expiry is set and removed without a version; a past one ends the task at once."""
    async with make() as one, make() as other:
        task, context = unique("task"), unique("context")
        await saved(one.tasks, task, "first", context_id=context)
        await saved(one.tasks, task, "second", context_id=context)
        lease = await one.tasks.claim(task, "w", HOUR)
        await one.tasks.record(task, "step", 1)
        for moment in (_FUTURE, _FUTURE - timedelta(days=1), None, _FUTURE):
            await other.tasks.set_expiry(task, moment)
            for reader in (one, other):
                found = await loads(reader.tasks, task, None, "second", "a task that will end")
                shown = (found.expires_at, found.version, found.lease, found.steps)
                same(shown, (moment, 2, lease, {"step": 1}), "its end, version, lease and steps")
                same([line.expires_at for line in await reader.tasks.list(context_id=context)], [moment], "in a list")
        await raises(InvalidError, one.tasks.set_expiry(task, _FUTURE.replace(tzinfo=None)), "without a timezone")
        await raises(NotFoundError, one.tasks.set_expiry(unique("task"), _FUTURE), "the end of an unknown task")
        await other.tasks.set_expiry(task, _PAST)
        for reader in (one, other):
            same(await reader.tasks.load(task), None, "a task that has ended")
            same(await reader.tasks.load(task, version=1), None, "its first version")
            same((await reader.tasks.history(task), await reader.tasks.info(task)), ([], None), "what is left of it")
            same(await listed(reader.tasks, context_id=context), [], "in a list")
            same((await reader.tasks.steps(task), await reader.tasks.prune(task, keep=1)), ({}, 0), "steps, pruned")
        await raises(NotFoundError, one.tasks.set_expiry(task, None), "an end that is taken back too late")
        await raises(NotFoundError, one.tasks.rewind(task, 1), "rewinding what has ended")
        again = await saved(one.tasks, task, "next")
        same((again.version, again.lease, again.steps, again.expires_at), (1, None, {}, None), "the next")


async def many_tasks_are_loaded_at_once(make: Make[Stores]) -> None:
    """`load_many` and `list(data=True)` return the states that `load` returns; unknown tasks are None."""
    async with make() as one, make() as other:
        context = unique("context")
        names = [unique("task") for _ in range(40)]
        for number, name in enumerate(names):
            for version in range(number % 4 + 1):
                await saved(one.tasks, name, [number, version, {"text": "é" * number * 99}], context_id=context)
            if number % 5 == 0:
                await one.tasks.record(name, "step", number)
        wanted = [await one.tasks.load(name) for name in names]
        for reader in (one, other):
            unknown = unique("task")
            found = await reader.tasks.load_many([*names, unknown, names[0]])
            same(found, [*wanted, None, wanted[0]], "states loaded at once")
            same(await reader.tasks.load_many([]), [], "no states")
            page = await reader.tasks.list(context_id=context, data=True)
            by_id = {state.task_id: state for state in page}
            same([by_id.get(name) for name in names], wanted, "states of a list")
        await raises(InvalidError, one.tasks.load_many([names[0], ""]), "an empty id")


async def tasks_are_listed_by_prefix_and_id(make: Make[Stores]) -> None:
    """A list takes the start of the ids, and returns tasks by id in code points, with every other condition."""
    async with make() as stores:
        prefix = unique("list")
        names = [f"{prefix}/{letter}" for letter in ("b", "a", "Z", "é", "日", "a/1")]
        for name in names:
            await saved(stores.tasks, name, 1, status="done" if name.endswith("a") else "working")
        await saved(stores.tasks, unique("task"))
        for limit in (1, 2, 100):
            found = await listed(stores.tasks, prefix=prefix, order="id", limit=limit)
            same([one.task_id for one in found], sorted(names), f"tasks by id, by {limit}")
            found = await listed(stores.tasks, prefix=prefix, order="id", limit=limit, updated_after=_PAST)
            same([one.task_id for one in found], sorted(names), f"tasks by id and time, by {limit}")
        found = await listed(stores.tasks, prefix=prefix, order="id", status="working")
        same([one.task_id for one in found], sorted(set(names) - {f"{prefix}/a"}), "working tasks by id")
        same({one.task_id for one in await listed(stores.tasks, prefix=prefix)}, set(names), "tasks by recency")
        wrong: Any = "size"
        await raises(InvalidError, stores.tasks.list(order=wrong), "an unknown order")


async def a_ttl_moves_with_each_save(make: Make[Stores]) -> None:
    """`ttl` of a save or an update counts from its commit; `expires_at` of a state holds for a save without one."""
    async with make() as stores:
        task, tasks = unique("task"), stores.tasks
        state = await tasks.save(TaskState(task_id=task, data=0, expires_at=_FUTURE), ttl=HOUR)
        for hours in (2, 1, 3):
            if hours == 1:
                state = await tasks.update(task, lambda found: replace(found, data=1), ttl=HOUR)
            else:
                state = await tasks.save(replace(state, data=hours), ttl=hours * HOUR)
            same(state.expires_at, state.updated_at and state.updated_at + hours * HOUR, "an expiry by ttl")
            same(await tasks.load(task), state, "a task with a time to live")
        same((await tasks.save(state)).expires_at, state.expires_at, "the expiry of a state that was loaded")
        same((await saved(tasks, task, "stays")).expires_at, None, "the expiry of a state without one")
        await raises(InvalidError, tasks.save(state, ttl=-HOUR), "a negative ttl")
        await tasks.save(state, ttl=timedelta(0))
        same(await tasks.load(task), None, "a task after its time to live")


async def metadata_of_a_task_are_returned_as_given(make: Make[Stores]) -> None:
    """Metadata of any size come back from saves, loads and lists, belong to their version, and are a JSON object."""
    async with make() as one, make() as other:
        context, large = unique("context"), noise(70_000)
        for subject in ("small", "large"):
            task = unique("task")
            wanted: dict[str, Any] = {"status": "mine", "to": [{"n": 1.0}], "text": large if subject == "large" else ""}
            state = await saved(one.tasks, task, 1, context_id=context, metadata=wanted)
            exactly(state.metadata, wanted, f"{subject} metadata that a save returned")
            for reader in (one, other):
                found = await loads(reader.tasks, task, None, 1, "a task with metadata")
                exactly((found.metadata, found.status), (wanted, "working"), f"{subject} metadata of a task")
                info = await reader.tasks.info(task)
                exactly(info and info.metadata, wanted, f"{subject} metadata without the data")
                for lines in (await listed(reader.tasks, context_id=context), [*await _states(reader.tasks, context)]):
                    line = next(line for line in lines if line.task_id == task)
                    exactly(line.metadata, wanted, f"{subject} metadata in a list")
            await saved(other.tasks, task, 2, metadata={"kind": "new"})
            again = await one.tasks.rewind(task, 1)
            exactly((again.version, again.metadata), (3, wanted), "metadata of a version that is the newest again")
            kinds = [found.metadata.get("kind") for found in await other.tasks.history(task)]
            same(kinds, [None, "new", None], "metadata of the versions")
            plain = await saved(one.tasks, task, "plain")
            same((plain.metadata, await other.tasks.load(task)), ({}, plain), "a task without metadata")
        not_stored: tuple[Any, ...] = ([], None, {"n": float("nan")}, {1: 2})
        for wrong in not_stored:
            await raises(InvalidError, saved(one.tasks, unique("task"), metadata=wrong), f"metadata {wrong!r}")


async def _states(tasks: Tasks, context: str) -> list[TaskState]:
    """Return the states of a list."""
    return (await tasks.list(context_id=context, data=True)).items


async def tasks_are_found_by_metadata(make: Make[Stores]) -> None:
    """`where` of lists and claims selects by texts, numbers, booleans and None of the newest version's metadata."""
    async with make() as stores:
        context, tasks = unique("context"), stores.tasks
        kinds: list[Any] = ["1", 1, 1.5, True, None, "ada"]
        names = [unique("task") for _ in kinds]
        for name, kind in zip(names, kinds, strict=True):
            await saved(tasks, name, context_id=context, metadata={"kind": kind, "status": "mine", "list": [1]})
        for name, kind in zip(names, kinds, strict=True):
            found = await listed(tasks, context_id=context, where={"kind": kind})
            same([line.task_id for line in found], [name], f"tasks of kind {kind!r}")
        same(len(await listed(tasks, context_id=context, where={"status": "mine"})), 6, "tasks of a status of ours")
        for nothing in ({"kind": "other"}, {"context_id": context}):
            same(await listed(tasks, context_id=context, where=nothing), [], f"tasks where {nothing}")
        mine: dict[str, Any] = {"context_id": context, "where": {"kind": "ada"}}
        lease = await tasks.claim_next("w", HOUR, **mine)
        same(lease and lease.task_id, names[5], "the task that was claimed by metadata")
        same([state.task_id async for state, _ in tasks.work("w", ttl=HOUR, **mine)], [], "work that is claimed")
        await saved(tasks, names[5], "new", context_id=context, metadata={"kind": "new"})
        same(await listed(tasks, context_id=context, where={"kind": "ada"}), [], "tasks of an earlier kind")
        not_asked: tuple[Any, ...] = ({"kind": [1]}, {"kind": {}}, {"kind": "x" * 600}, "kind")
        for where in not_asked:
            await raises(InvalidError, tasks.list(where=where), f"where={str(where)[:40]}")


CLAUSES: Final = clauses(__name__)
