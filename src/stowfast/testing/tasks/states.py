"""Helpers of the task clauses: states of every shape, and wrappers that observe a backend."""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import ALL, Query, Window
from stowfast.records import TaskState
from stowfast.testing.clause import holds, same
from stowfast.testing.data.messages import exactly, say
from stowfast.testing.protocols import AS_GIVEN
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Sequence
    from datetime import datetime

    from stowfast.abc import Backend, Change, Head, Listing, Receipt, Slice
    from stowfast.records import TaskInfo
    from stowfast.stores import Stores, Tasks

__all__ = [
    "SHAPES", "LetsOthers", "Meanwhile", "Tells", "both", "everything", "listed", "loads",
    "noise", "save_all", "saved", "when",
]  # fmt: skip


_AT_ONCE: Final = 20
"""Versions requested at once: a backend may be far away."""


def noise(size: int, *seed: object) -> str:
    """Return text that does not get smaller than by half, the same for the same seed."""
    return hashlib.shake_256(repr(seed).encode()).hexdigest(size // 2 + 1)[:size]


def _one_of_many(number: int) -> dict[str, str]:
    return {f"key {key}": noise(60, key, max(0, number - (number - key) % 30)) for key in range(30)}


_ANY: Final[tuple[Any, ...]] = (AS_GIVEN, None, True, 1, 1.0, "", "text", [], {}, [AS_GIVEN], 0, {"": 0.0}, False)

SHAPES: Final[dict[str, Callable[[int], Any]]] = {
    "a list that grows": lambda n: {"messages": [say(f"{number} é 日本語") for number in range(n)], "step": n},
    "an edit between large values": lambda n: {"a": noise(9_000), "n": n, "b": noise(9_000, "b"), "z": [n, "\0é"]},
    "one of many values changes": _one_of_many,
    "what has nothing of the one before": lambda n: noise(3_000, n),
    "another type each time": lambda n: _ANY[n % len(_ANY)],
    "grows and shrinks": lambda n: noise(20_000)[: 613 * (n * n % 31)],
    "moves round": lambda n: [noise(300, (place + n) % 40) for place in range(40)],
    "never changes": lambda _: {"constant": noise(700)},
    "text of every kind": lambda n: [f'\u2028 \x00 \x7f {chr(0x1F600 + n)} \\ " e\u0301 {"日本" * n}' * 9],
}
"""The data of the versions of a task, by their numbers."""


async def save_all(tasks: Tasks, task_id: str, datas: Iterable[Any], **options: Any) -> list[TaskState]:
    """Save data after data, and return what the store said of each."""
    return [await tasks.save(TaskState(task_id=task_id, data=data), **options) for data in datas]


def when(state: TaskInfo | None) -> datetime:
    """Return when a task was changed."""
    if state is None or state.updated_at is None:
        raise AssertionError("nobody says when a task was changed")
    return state.updated_at


async def saved(tasks: Tasks, task_id: str, data: Any = None, **fields: Any) -> TaskState:
    """Save one state."""
    return await tasks.save(TaskState(task_id=task_id, data=data, **fields))


async def loads(tasks: Tasks, task_id: str, version: int | None, data: Any, subject: str) -> TaskState:
    """Return a version, which must have just this data."""
    found = await tasks.load(task_id, version=version)
    if found is None:
        raise AssertionError(f"{subject}: version {version or 'newest'} is not there")
    exactly(found.data, data, f"{subject}: data of version {version or 'newest'}")
    return found


async def everything(tasks: Tasks, task_id: str, datas: Sequence[Any], subject: str, *, first: int = 1) -> None:
    """Raise unless a task has just these versions, loaded one by one and as a history."""
    numbers = list(range(first, first + len(datas)))
    for start in range(0, len(datas), _AT_ONCE):
        some = zip(numbers[start : start + _AT_ONCE], datas[start:], strict=False)
        calls = [loads(tasks, task_id, version, data, subject) for version, data in some]
        for version, found in zip(numbers[start:], await asyncio.gather(*calls, return_exceptions=True), strict=False):
            if isinstance(found, BaseException):
                raise found
            same(found.version, version, f"{subject}: its number")
    for outside in {first - 1, first + len(datas)} - {0}:
        same(await tasks.load(task_id, version=outside), None, f"{subject}: version {outside}")
    await loads(tasks, task_id, None, datas[-1], subject)
    states, before = list[TaskState](), None
    for _ in range(len(datas) + 1):
        page = await tasks.history(task_id, before=before, limit=50)
        if not page:
            break
        states += page
        before = page[-1].version
    same([state.version for state in states], numbers[::-1], f"{subject}: versions of the history")
    for state in states:
        exactly(state.data, datas[state.version - first], f"{subject}: data of version {state.version} in the history")


async def listed(tasks: Tasks, **options: Any) -> list[TaskInfo]:
    """Return all pages of a list."""
    found, after = list[Any](), None
    for _ in range(100):
        page = await tasks.list(**options, after=after)
        found += page
        after = page.next
        if after is None:
            return found
    raise AssertionError("a list of a few tasks does not end after 100 pages")


class Tells(Wrapper):
    """Counts the requests, and records the changes."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.asked = 0
        self.changes: list[Change] = []

    @property
    def written(self) -> int:
        """Bytes of all entries and notes."""
        return sum(len(change.note or b"") + sum(map(len, change.entries)) for change in self.changes)

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Forward, and remember."""
        receipt = await super().commit(stream, change)
        self.changes.append(change)
        return receipt

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Forward, and count."""
        self.asked += 1
        return await super().read(stream, window)

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Forward, and count."""
        self.asked += 1
        return await super().heads(streams)

    async def streams(self, query: Query) -> Listing:
        """Forward, and count."""
        self.asked += 1
        return await super().streams(query)


class LetsOthers(Wrapper):
    """Lets other tasks run first at random: some backends answer at once, and no call would ever come between."""

    def __init__(self, backend: Backend, *seed: int) -> None:
        super().__init__(backend)
        self.seed, self.turn = seed, 0

    async def _wait(self) -> None:
        self.turn += 1
        for _ in range(int(noise(2, self.seed, self.turn), 16) % 4):
            await asyncio.sleep(0)

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Forward, after others and before them."""
        await self._wait()
        receipt = await super().commit(stream, change)
        await self._wait()
        return receipt

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Forward, after others."""
        await self._wait()
        return await super().read(stream, window)

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Forward, after others."""
        await self._wait()
        return await super().heads(streams)

    async def streams(self, query: Query) -> Listing:
        """Forward, after others."""
        await self._wait()
        return await super().streams(query)


class Meanwhile(Wrapper):
    """Lets others act right before a commit: the worst moment for a call."""

    def __init__(self, backend: Backend, *acts: Callable[[], Awaitable[object]]) -> None:
        super().__init__(backend)
        self.acts = list(acts)

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Let the next one act, then forward."""
        if self.acts:
            await self.acts.pop(0)()
        return await super().commit(stream, change)

    def done(self) -> None:
        """Raise unless all have acted."""
        holds(not self.acts, "the call made no commit that others could have come before")


def both(one: Stores, other: Stores) -> tuple[Tasks, Tasks]:
    """Return the tasks of two openings of a backend that let each other run first at random."""
    first, second = (type(stores)(LetsOthers(stores.backend, seed)) for seed, stores in enumerate((one, other)))
    return first.tasks, second.tasks
