"""Clauses of races: saves, claims, steps, prunings and deletions at once, through two openings."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stowfast.errors import ConflictError, NotFoundError, UnavailableError
from stowfast.records import Lease, TaskState
from stowfast.testing.clause import clauses, holds, same, unique
from stowfast.testing.faults import LosesAnswers
from stowfast.testing.tasks.leases import HOUR, MOMENT
from stowfast.testing.tasks.states import LetsOthers, loads, noise, saved

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stowfast.stores import Stores, Tasks
    from stowfast.testing.clause import Make

T = TypeVar("T")

_ACTORS: Final = 6
_ACTS: Final = 10
_SAVES: Final = ("save", "save as owner", "save what was loaded", "save as owner", "claim", "claim", "release")
_STEPS: Final = ("record", "record", "cover")


async def all_that_races_is_kept(make: Make[Stores]) -> None:
    """Racing saves, claims, releases and steps, answers lost: each save is one version, each step kept or covered."""
    await _storms(make, (*_SAVES, *_STEPS))


async def all_that_races_a_pruning_is_kept(make: Make[Stores]) -> None:
    """During prunings every save is one version, and the remaining versions are whole."""
    await _storms(make, (*_SAVES, *_STEPS, "prune", "prune"))


async def all_that_races_a_deletion_is_of_one_life(make: Make[Stores]) -> None:
    """During deletions every save belongs to one incarnation; an owner never saves in the next one."""
    await _storms(make, (*_SAVES, "delete"))


async def _storms(make: Make[Stores], kinds: tuple[str, ...]) -> None:
    async with make() as one, make() as other:
        for seed in range(3):
            storm = _Storm((one, other), kinds, seed)
            await storm.run()
            await storm.check(other.tasks)
            async with make() as cold:
                await storm.check(cold.tasks)


class _Storm:
    """Actors that change one task at random, and remember the answers."""

    def __init__(self, stores: tuple[Stores, Stores], kinds: tuple[str, ...], seed: int) -> None:
        self.task, self.kinds, self.seed = unique("task"), kinds, seed
        slow = [LetsOthers(stores[actor % 2].backend, seed, actor) for actor in range(_ACTORS)]
        self.losing = [LosesAnswers(backend, 0) for backend in slow]
        self.tasks = [type(stores[0])(backend).tasks for backend in self.losing]
        self.leases: list[Lease | None] = [None] * _ACTORS
        self.saved: dict[tuple[str, int], tuple[Any, int | None]] = {}
        self.tokens: list[int] = []
        self.recorded: dict[str, str] = {}
        self.covered: set[str] = set()

    async def run(self) -> None:
        self._saw(await saved(self.tasks[0], self.task, {"by": "the first"}), {"by": "the first"}, None)
        await asyncio.gather(*(self._act(actor) for actor in range(_ACTORS)))

    async def _act(self, actor: int) -> None:
        for number in range(_ACTS):
            chance = int(noise(8, self.seed, actor, number), 16)
            self.losing[actor].lose = int(chance % 5 == 0)
            try:
                await self._do(self.kinds[chance % len(self.kinds)], actor, f"{actor}.{number}")
            except NotFoundError:
                holds("delete" in self.kinds, "the task is there")

    async def _do(self, kind: str, actor: int, name: str) -> None:
        tasks, task, lease = self.tasks[actor], self.task, self.leases[actor]
        if kind == "claim":
            ttl = MOMENT if actor % 2 else HOUR
            got = await _answered(lambda: tasks.claim(task, f"w{actor % 3}", ttl, op_id=name))
            if got is not None:
                self.leases[actor] = got
                self.tokens.append(got.token)
        elif kind == "release" and lease is not None:
            await _answered(lambda: tasks.release(lease))
            self.leases[actor] = None
        elif kind == "record":
            await _answered(lambda: tasks.record(task, name, name))
            self.recorded[name] = name
        elif kind == "cover":
            key = f"{actor}.{int(name.partition('.')[2]) - 1}"
            if await self._save(actor, name, None, covers=[key]):
                self.covered.add(key)
        elif kind == "prune":
            await _answered(lambda: tasks.prune(task, keep=7))
        elif kind == "delete":
            await _answered(lambda: tasks.delete(task))
        elif kind == "save as owner":
            await self._save(actor, name, lease, covers=())
        else:
            await self._save(actor, name, None, loaded=kind == "save what was loaded", covers=())

    async def _save(self, actor: int, name: str, lease: Lease | None, *, loaded: bool = False, **options: Any) -> bool:
        tasks, data = self.tasks[actor], {"by": name, "large": noise(900), "own": noise(30, self.seed, name)}
        state = TaskState(task_id=self.task, data=data)
        if loaded:
            found = await tasks.load(self.task)
            state = state if found is None else replace(found, data=data)
            options["expect"] = state.version
        answer = await _answered(lambda: tasks.save(state, lease=lease, op_id=name, **options))
        if answer is not None:
            self._saw(answer, data, lease)
        return answer is not None

    def _saw(self, state: TaskState, data: Any, lease: Lease | None) -> None:
        life = (state.incarnation, state.version)
        holds(life not in self.saved, f"version {state.version} was given to two saves")
        holds(lease is None or lease.incarnation == state.incarnation, "an owner saves in the life it claimed")
        self.saved[life] = (data, lease.token if lease is not None else None)

    async def check(self, tasks: Tasks) -> None:
        """Raise unless all answers hold."""
        same(len(set(self.tokens)), len(self.tokens), "tokens, each once")
        info = await tasks.info(self.task)
        if info is None:
            holds("delete" in self.kinds, "the task is there")
            return
        last = {version: told for (life, version), told in self.saved.items() if life == info.incarnation}
        same(sorted(last), list(range(1, info.version + 1)), "versions that were given, and that there are")
        history = {state.version: state for state in await tasks.history(self.task)}
        least = 7 if "prune" in self.kinds else info.version
        holds(len(history) >= min(least, info.version), f"{len(history)} versions are left")
        for version, (data, _) in last.items():
            if version in history:
                await loads(tasks, self.task, version, data, "a version that was acknowledged")
                same(history[version].data, data, f"data of version {version} in the history")
            else:
                same(await tasks.load(self.task, version=version), None, "what is not in the history")
        owners = [token for _, (_, token) in sorted(last.items()) if token is not None]
        same(owners, sorted(owners), "tokens of the owners, in the order in which they saved")
        if "delete" not in self.kinds:
            wanted = {key: result for key, result in self.recorded.items() if key not in self.covered}
            same(await tasks.steps(self.task), wanted, "steps that no save covered")


async def _answered(call: Callable[[], Awaitable[T]]) -> T | None:
    """Repeat a call until it is answered, and return the answer; None for a refusal."""
    for _ in range(3):
        try:
            return await call()
        except UnavailableError:
            continue
        except ConflictError:
            return None
    raise AssertionError("one answer was lost, and there is none for the repeat either")


CLAUSES: Final = clauses(__name__)
