"""Clauses of saves: loading, versions, racing writers, expiry, and lists of the newest states."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Change
from stowfast.errors import ConflictError, DamagedError, InvalidError
from stowfast.records import TaskInfo, TaskState
from stowfast.testing.clause import clauses, holds, raises, same, tick, unique
from stowfast.testing.data.messages import exactly, refused
from stowfast.testing.protocols import AS_GIVEN
from stowfast.testing.tasks.states import listed

if TYPE_CHECKING:
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_PAST: Final = datetime(2020, 1, 1, tzinfo=UTC)
_FUTURE: Final = datetime(2999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone(timedelta(hours=5)))


async def every_save_is_a_version_and_every_version_is_loaded(make: Make[Stores]) -> None:
    """A save returns the state with its version, from 1; the newest, or any by number, is loaded exactly."""
    task = unique("task")
    datas: list[Any] = [AS_GIVEN, [AS_GIVEN], {}, [], "text", "", None, 0, 1.0, True, {"fill": "x" * 2**20}]
    async with make() as stores:
        same(await stores.tasks.load(task), None, "an unknown task")
        saved = [
            await stores.tasks.save(
                TaskState(task_id=task, context_id=f"c{n}", agent_id=None if n % 2 else "é", status=f"s{n}", data=data)
            )
            for n, data in enumerate(datas)
        ]
    async with make() as stores:
        for version, data in enumerate(datas, 1):
            found = await stores.tasks.load(task, version=version)
            exactly(found and found.data, data, f"data of version {version}")
            same(found, saved[version - 1], f"what was returned of version {version}, and what is there")
            same(found and (found.version, found.status), (version, f"s{version - 1}"), "its version and status")
            holds(found and found.updated_at is not None and found.updated_at.tzinfo is UTC, "its time is in UTC")
        same(await stores.tasks.load(task), saved[-1], "the newest")
        same(await stores.tasks.load(task, version=len(datas) + 1), None, "a version that is not there yet")
        for wrong in (0, -1):
            await raises(InvalidError, stores.tasks.load(task, version=wrong), f"version={wrong}")
        bare = await stores.tasks.save(TaskState(task_id=unique("task")))
        same((bare.status, bare.data, bare.context_id, bare.agent_id), ("working", {}, None, None), "a bare state")


async def what_cannot_be_a_state_is_refused(make: Make[Stores]) -> None:
    """Data that would not come back the same, or a moment without a timezone, is an InvalidError; nothing is stored."""
    async with make() as stores:
        task = unique("task")
        for subject, value in refused():
            await raises(InvalidError, stores.tasks.save(TaskState(task_id=task, data={"k": [value]})), subject)
        naive = TaskState(task_id=task, expires_at=_FUTURE.replace(tzinfo=None))
        await raises(InvalidError, stores.tasks.save(naive), "a moment without a timezone")
        wrong: tuple[Any, ...] = (None, {"task_id": task}, TaskInfo(task_id=task), task)
        for state in wrong:
            await raises(InvalidError, stores.tasks.save(state), "what is no TaskState")
        same(await stores.tasks.load(task), None, "a task that was refused")


async def a_save_replaces_the_version_it_expects(make: Make[Stores]) -> None:
    """With `expect` a save replaces that version, 0 for none, or is a ConflictError with the `current` one."""
    async with make() as stores:
        state = TaskState(task_id=unique("task"), data="same")
        await raises(ConflictError, stores.tasks.save(state, expect=1), "expect=1 of a task that is not there")
        first = await stores.tasks.save(state, expect=0)
        second = await stores.tasks.save(first, expect=1)
        same((first.version, second.version), (1, 2), "versions of saves as expected")
        for wrong in (0, 1, 3):
            for stale in (state, first):
                error = await raises(ConflictError, stores.tasks.save(stale, expect=wrong), f"expect={wrong}")
                same(error.current, 2, "the error's current")
        same(await stores.tasks.load(state.task_id), second, "the state after conflicts")


async def without_a_condition_the_last_writer_wins(make: Make[Stores]) -> None:
    """Without `expect` every save counts, also of an outdated state; the saves of others stay in the history."""
    async with make() as one, make() as other:
        task = unique("task")
        stale = await one.tasks.save(TaskState(task_id=task, data="first"))
        await other.tasks.save(TaskState(task_id=task, data="between"))
        same((await one.tasks.save(stale)).version, 3, "the version of a save over the newest")
        racing = ((one, other)[n % 2].tasks.save(TaskState(task_id=task, data="race")) for n in range(8))
        found = sorted([state.version for state in await asyncio.gather(*racing)])
        same(found, list(range(4, 12)), "versions of racing saves")
        datas = [state.data for state in await other.tasks.history(task)]
        same(datas, ["race"] * 8 + ["first", "between", "first"], "the history")


async def the_history_is_the_newest_first(make: Make[Stores]) -> None:
    """A history has the states of a task, the newest first, at most `limit` of them, below a version."""
    task = unique("task")
    async with make() as stores:
        saved = [await stores.tasks.save(TaskState(task_id=task, data=number)) for number in range(9)]
    async with make() as stores:
        same(await stores.tasks.history(task), saved[::-1], "the history")
        cases: tuple[tuple[int | None, int, list[int]], ...] = (
            (None, 3, [9, 8, 7]), (7, 3, [6, 5, 4]), (2, 3, [1]), (1, 3, []), (-5, 3, []), (99, 1, [9]), (5, 0, []),
        )  # fmt: skip
        for before, limit, versions in cases:
            found = await stores.tasks.history(task, before=before, limit=limit)
            same([state.version for state in found], versions, f"before={before}, limit={limit}")
        same(await stores.tasks.history(unique("task")), [], "the history of an unknown task")


async def a_list_shows_the_newest_state_alone(make: Make[Stores]) -> None:
    """A list shows each task once, as last saved, the last saved first, by context, agent and status."""
    async with make() as stores:
        context = unique("context")
        names = [f"{context}-{number}" for number in range(6)]
        for n, name in enumerate(names):
            await stores.tasks.save(TaskState(task_id=name, context_id=context, agent_id=f"a{n % 2}", data=n))
            await tick(stores.backend)
        await stores.tasks.save(TaskState(task_id=unique("task"), context_id=unique("context"), agent_id="a0"))
        done = TaskState(task_id=names[1], context_id=context, agent_id="a1", status="completed", expires_at=_FUTURE)
        saved = await stores.tasks.save(done)
        await stores.tasks.delete(names[2])
        await stores.tasks.save(TaskState(task_id=names[3], context_id=unique("context"), agent_id="a1"))
        wanted = [names[number] for number in (1, 5, 4, 0)]
        for limit in (1, 2, 4):
            found = await listed(stores.tasks, context_id=context, limit=limit)
            same([info.task_id for info in found], wanted, f"the last saved first, by {limit}")
        found = await listed(stores.tasks, context_id=context)
        line = {field: getattr(saved, field) for field in TaskInfo.__dataclass_fields__}
        same(found[0], TaskInfo(**line), "a line of a list, and what was saved")
        cases: tuple[tuple[dict[str, str], tuple[int, ...]], ...] = (
            ({"agent_id": "a1"}, (1, 5)), ({"agent_id": "a0"}, (4, 0)), ({"status": "completed"}, (1,)),
            ({"status": "working"}, (5, 4, 0)), ({"agent_id": "a1", "status": "working"}, (5,)), ({"status": "no"}, ()),
        )  # fmt: skip
        for where, numbers in cases:
            found = await listed(stores.tasks, context_id=context, **where)
            same([info.task_id for info in found], [names[n] for n in numbers], f"tasks where {where}")


async def a_list_may_end_at_a_moment(make: Make[Stores]) -> None:
    """With `updated_after` a list has the tasks saved later than that, page by page; a moment needs a timezone."""
    async with make() as stores:
        context = unique("context")
        saved = []
        for n in range(6):
            saved.append(await stores.tasks.save(TaskState(task_id=unique("task"), context_id=context, data=n)))
            await tick(stores.backend)
        since = saved[2].updated_at
        later = [state.task_id for state in reversed(saved) if since is None or (state.updated_at or since) > since]
        for limit in (1, 2, 3, 4, 100):
            found = await listed(stores.tasks, context_id=context, updated_after=since, limit=limit)
            same([info.task_id for info in found], later, f"saved later than the third, by {limit}")
        same(await listed(stores.tasks, context_id=context, updated_after=_FUTURE), [], "saved in the future")
        same(len(await listed(stores.tasks, context_id=context, updated_after=_PAST)), 6, "saved since 2020")
        call = stores.tasks.list(updated_after=_PAST.replace(tzinfo=None))
        await raises(InvalidError, call, "a moment without a timezone")
        await raises(InvalidError, stores.tasks.list(after="not a cursor"), "what is no cursor")


async def a_deleted_task_leaves_nothing(make: Make[Stores]) -> None:
    """Nothing of a deleted task can be read; a state from before never fits the `expect` of the next incarnation."""
    async with make() as stores:
        state = TaskState(task_id=unique("task"), context_id=unique("context"), data="old")
        await stores.tasks.delete(state.task_id)
        await stores.tasks.save(state)
        loaded = await stores.tasks.load(state.task_id)
        if loaded is None:
            raise AssertionError("a task that was saved is not there")
        for _ in range(2):
            await stores.tasks.delete(state.task_id)
            same(await stores.tasks.load(state.task_id), None, "a deleted task")
            same(await stores.tasks.load(state.task_id, version=1), None, "its first version")
            same(await stores.tasks.history(state.task_id), [], "its history")
            same(await listed(stores.tasks, context_id=state.context_id), [], "listed")
            await raises(ConflictError, stores.tasks.save(loaded, expect=1), "a save over what was deleted")
        again = await stores.tasks.save(TaskState(task_id=state.task_id, data="new"), expect=0)
        same(again.version, 1, "the first version of the next")
        await raises(ConflictError, stores.tasks.save(loaded, expect=1), "a save over the successor")
        found = await stores.tasks.load(state.task_id)
        same(found and found.data, "new", "the successor")


async def an_expired_task_is_gone_at_once(make: Make[Stores]) -> None:
    """An expired task is gone for every reader at once, and the next save begins at version 1."""
    async with make() as stores, make() as other:
        context = unique("context")
        state = TaskState(task_id=unique("task"), context_id=context, expires_at=_FUTURE, data="kept")
        for expires_at in (_FUTURE, _FUTURE - timedelta(days=1), None, _FUTURE):
            state.expires_at = expires_at
            await stores.tasks.save(state)
            found = await other.tasks.load(state.task_id)
            lines = await listed(other.tasks, context_id=context)
            for one in (found, lines[0]):
                same(one and one.expires_at, expires_at, "the moment of expiry")
                holds(one and (one.expires_at is None or one.expires_at.tzinfo is UTC), "it is in UTC")
        state.expires_at = _PAST
        await stores.tasks.save(state)
        for reader in (stores, other):
            same(await reader.tasks.load(state.task_id), None, "an expired task")
            same(await reader.tasks.load(state.task_id, version=1), None, "its first version")
            same(await reader.tasks.history(state.task_id), [], "its history")
            same(await listed(reader.tasks, context_id=context), [], "listed")
        holds((await other.sweep()).streams >= 1, "it is swept")
        state.expires_at = None
        same((await other.tasks.save(state, expect=0)).version, 1, "the first version of the next")
        found = await stores.tasks.load(state.task_id)
        same(found and (found.data, found.expires_at), ("kept", None), "the next")


async def a_damaged_state_is_noticed(make: Make[Stores]) -> None:
    """Bytes that are no task state are a DamagedError, never a wrong state."""
    async with make() as stores:
        for data in (b"", b"not json", b"1", b"[]", b"{}", b'{"data": 1}', b'{"expires_at": null}'):
            task = unique("task")
            await stores.backend.commit(f"tasks/{task}", Change(entries=(data,)))
            await raises(DamagedError, stores.tasks.load(task), f"a state of {data!r}")
            await raises(DamagedError, stores.tasks.history(task), f"a history of {data!r}")


async def what_tasks_give_out_are_copies(make: Make[Stores]) -> None:
    """Changing a given or returned state changes nothing stored."""
    async with make() as stores:
        data = {"steps": [1]}
        state = TaskState(task_id=unique("task"), data=data)
        saved = await stores.tasks.save(state)
        data["steps"].append(2)
        saved.data["steps"].append(3)
        for _ in range(2):
            found = await stores.tasks.load(state.task_id)
            (past,) = await stores.tasks.history(state.task_id)
            for one in (found, past):
                exactly(one and deepcopy(one.data), {"steps": [1]}, "data that was changed outside")
                if one is not None:
                    one.data["steps"].append(4)


CLAUSES = clauses(__name__)
