"""Clauses of watches: each version of a task as it is saved, from any process."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import InvalidError
from stowfast.records import Retention
from stowfast.testing.clause import clauses, raises, same, unique
from stowfast.testing.data.messages import exactly
from stowfast.testing.tasks.states import SHAPES, loads, save_all, saved

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stowfast.records import TaskState
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

SECONDS: Final = 30.0
"""Seconds until a version is counted as missed."""


async def a_task_watch_yields_every_version(make: Make[Stores]) -> None:
    """A watch yields existing, then new versions of every opening, once each, in order, as `load` returns them."""
    async with make() as one, make() as other:
        for name in ("a list that grows", "one of many values changes"):
            task, shape = unique("task"), SHAPES[name]
            watch = one.tasks.watch(task, after=0)
            await save_all(other.tasks, task, map(shape, range(3)))
            found = await _next(watch, 3)
            for number in range(3, 9):
                coming = asyncio.ensure_future(_next(watch, 1))
                await saved((one, other)[number % 2].tasks, task, shape(number))
                found += await coming
            await save_all(other.tasks, task, map(shape, range(9, 70)))
            found += await _next(watch, 61)
            await watch.aclose()
            same([state.version for state in found], list(range(1, 71)), f"versions of {name}")
            for number, state in enumerate(found):
                exactly(state.data, shape(number), f"version {state.version} of {name}")
            same(found[4], await other.tasks.load(task, version=5), "a version watched, and loaded")


async def a_task_watch_begins_behind_a_version(make: Make[Stores]) -> None:
    """A watch begins behind a version, or a state; without `after` it begins with the next version."""
    async with make() as one, make() as other:
        task = unique("task")
        await save_all(one.tasks, task, range(5))
        third = await loads(one.tasks, task, 3, 2, "a version")
        for after in (3, third):
            watch = other.tasks.watch(task, after=after)
            same([state.version for state in await _next(watch, 2)], [4, 5], "versions behind 3")
            await watch.aclose()
        watch = other.tasks.watch(task)
        coming = asyncio.ensure_future(_next(watch, 1))
        await asyncio.sleep(0)
        for number in range(5, 1000):
            await saved(one.tasks, task, number)
            await asyncio.wait({coming}, timeout=0.05)
            if coming.done():
                break
        (state,) = await coming
        same(state.data, state.version - 1, "the state without `after`")
        same(state.version > 5, True, "its version is new")
        await watch.aclose()
        wrong: Any = ("three", -1, await saved(one.tasks, unique("task")))
        for after in wrong:
            await raises(InvalidError, _next(other.tasks.watch(task, after=after), 1), f"after={after!r}")


async def a_task_watch_follows_the_next_life(make: Make[Stores]) -> None:
    """After a delete a watch yields the next task under the id from its version 1, also behind a state from before."""
    async with make() as one, make() as other:
        task = unique("task")
        watch = one.tasks.watch(task, after=0)
        await save_all(other.tasks, task, ("first", "second", "third"))
        (*_, last) = await _next(watch, 3)
        await other.tasks.delete(task)
        await save_all(other.tasks, task, ("anew", "again"))
        later = one.tasks.watch(task, after=last)
        for watching in (watch, later):
            found = [(state.version, state.data) for state in await _next(watching, 2)]
            same(found, [(1, "anew"), (2, "again")], "versions of the next life")
            await watching.aclose()


async def a_task_watch_jumps_over_removed_versions(make: Make[Stores]) -> None:
    """A watch leaves out versions that a prune or the retention removed, and yields all that are kept."""
    async with make() as one, make() as other:
        task, brief = unique("task"), unique("task")
        shape = SHAPES["one of many values changes"]  # stored as differences, so removed versions are still bases
        await save_all(one.tasks, task, map(shape, range(9)))
        await one.tasks.prune(task, keep=3)
        await save_all(one.tasks, brief, map(shape, range(9)), retention=Retention(versions=2))
        for name, versions in ((task, [7, 8, 9]), (brief, [8, 9])):
            watch = other.tasks.watch(name, after=0)
            found = await _next(watch, len(versions))
            same([state.version for state in found], versions, "versions kept")
            for state in found:
                exactly(state.data, shape(state.version - 1), "its data")
            await saved(one.tasks, name, "next")
            same([state.data for state in await _next(watch, 1)], ["next"], "the next version")
            await watch.aclose()


async def _next(watch: AsyncGenerator[TaskState, None], count: int) -> list[TaskState]:
    found: list[TaskState] = []
    try:
        async with asyncio.timeout(SECONDS):
            while len(found) < count:
                found.append(await anext(watch))
    except StopAsyncIteration:
        raise AssertionError("a watch ended by itself") from None
    except TimeoutError:
        raise AssertionError(f"{count - len(found)} versions did not come within {SECONDS:g} s") from None
    return found


CLAUSES: Final = clauses(__name__)
