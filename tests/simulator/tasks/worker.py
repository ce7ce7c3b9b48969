"""Workers: what people do with tasks, at random. Some stall, some die, some go on under a lease that has passed on."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, NotFoundError, UnavailableError
from stowfast.records import Lease, Retention, TaskState
from stowfast.stores.tasks import Tasks
from tests.simulator.tasks.backend import SimulatedBackend
from tests.simulator.tasks.calls import Attempt, Call

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.simulator.process import Process
    from tests.simulator.tasks.run import TaskRun

__all__ = ["Worker"]

_REPEATS: Final = 4
_IN_FOCUS: Final = 4
_NAMED: Final = ("save", "update", "claim")
_TTLS: Final = tuple(timedelta(seconds=seconds) for seconds in (0.2, 1, 3, 60, 3_600))


class Worker:
    """One after the other does what it has to do. It outlives its process, and then may repeat what it was at."""

    def __init__(self, run: TaskRun, left: int) -> None:
        self._run = run
        self._random = run.scheduler.random
        self._left = left
        self._under_way: Call | None = None
        self._leases: dict[str, Lease] = {}
        self._seen: dict[str, TaskState] = {}
        self._backend: SimulatedBackend
        self._tasks: Tasks
        self._recorded: set[int]
        self._ways: list[Callable[[str], Awaitable[None]]] = []
        for way, weight, focus in (
            (self._save, 10, "lives"), (self._guarded, 12, "ledger"), (self._leased, 24, "leases"),
            (self._update, 5, ""), (self._claim, 16, "leases"), (self._claim_next, 8, "leases"),
            (self._renew, 7, "leases"), (self._release, 5, "leases"), (self._record, 14, "ledger"),
            (self._steps, 3, "ledger"), (self._prune, 5, ""), (self._delete, 3, "lives"), (self._load, 8, "lives"),
            (self._version, 3, ""), (self._history, 3, ""), (self._sweep, 2, ""),
        ):  # fmt: skip
            self._ways += [way] * (weight * _IN_FOCUS if focus and focus == run.focus else weight)

    def join(self, process: Process) -> None:
        """Go on in a process. What that knows of tasks all its workers know."""
        self._backend = SimulatedBackend(self._run, process)
        self._tasks = Tasks(self._backend, retention=self._run.retention)
        self._tasks._heads.cache, self._recorded = self._run.memory(process)

    async def work(self) -> None:
        """Do what is left to do."""
        cut_short, self._under_way = self._under_way, None
        if cut_short is not None and cut_short.repeatable and self._random.random() < 0.8:
            await self._do(cut_short)
        while self._left > 0:
            self._left -= 1
            name = self._random.choice(self._run.names)
            if name not in self._seen and self._random.random() < 0.5:
                await self._save(name)
            else:
                await self._random.choice(self._ways)(name)

    async def look(self) -> None:
        """See all there is, as whoever comes last."""
        for name in self._run.names:
            newest = await self._do(self._call("load", name))
            await self._do(self._call("history", name))
            await self._do(self._call("steps", name))
            for version in range(1, newest.version + 1 if newest is not None else 2):
                await self._do(self._call("load", name, version=version))

    async def _do(self, call: Call) -> Any:
        """Make a call, repeat it as long as nobody answers, and let the answer be judged."""
        run, self._under_way = self._run, call
        counts = run.scheduler.counts
        for _ in range(_REPEATS):
            attempt = self._backend.attempt = Attempt(call, run.scheduler.step, frozenset(self._recorded))
            call.attempts.append(attempt)
            try:
                answer = await self._perform(call)
            except UnavailableError:
                counts["unavailable"] += 1
                if not call.repeatable or self._random.random() < 0.2:
                    break
                continue
            except (ConflictError, NotFoundError) as error:
                counts[f"{call.verb} refused"] += 1
                answer = error
            else:
                counts["acknowledged"] += 1
                counts["repeats"] += len(call.attempts) > 1
            run.answers.check(attempt, answer)
            self._learn(call, answer)
            if run.scheduler.trace is not None:
                run.scheduler.trace(f"      {call} -> {answer!r}")
            self._under_way = None
            return None if isinstance(answer, Exception) else answer
        self._under_way = None
        return None

    def _learn(self, call: Call, answer: Any) -> None:
        """Note what all of this process know to be recorded."""
        if isinstance(answer, TaskState):
            self._recorded.update(answer.steps.values())
        elif call.verb == "record" and isinstance(answer, int):
            self._recorded.add(answer)

    async def _perform(self, call: Call) -> Any:
        tasks, lease = self._tasks, call.lease
        if call.verb in {"claim_next", "claim"}:
            assert call.ttl is not None
            if call.verb == "claim":
                return await tasks.claim(call.task_id, call.owner, call.ttl, op_id=call.op_id)
            return await tasks.claim_next(call.owner, call.ttl, idle=call.idle or timedelta(0))
        if call.verb in {"renew", "release"}:
            assert lease is not None
            if call.verb == "release":
                return await tasks.release(lease)
            assert call.ttl is not None
            return await tasks.renew(lease, call.ttl)
        if call.verb == "save":
            state = TaskState(
                task_id=call.task_id, status=call.status, data=call.data, incarnation=call.incarnation
            )  # fmt: skip
            return await tasks.save(
                state, expect=call.expect, lease=lease, covers=call.covers, retention=call.retention, op_id=call.op_id
            )
        if call.verb == "update":

            def change(state: TaskState) -> None:
                over = [state.version, state.incarnation]
                state.data, state.status = {**call.data, "over": over}, call.status

            return await tasks.update(call.task_id, change, lease=lease, op_id=call.op_id)
        if call.verb == "record":
            return await tasks.record(call.task_id, call.key, call.data, lease=lease)
        if call.verb == "prune":
            return await tasks.prune(call.task_id, keep=call.keep, older_than=call.older_than)
        if call.verb == "load":
            return await tasks.load(call.task_id, version=call.version)
        others: dict[str, Callable[[str], Awaitable[Any]]] = {
            "delete": tasks.delete, "history": tasks.history, "steps": tasks.steps,
        }  # fmt: skip
        return await others[call.verb](call.task_id)

    # Saves

    async def _save(self, name: str) -> None:
        self._keep(name, await self._do(self._saving(name, covers=self._covers(name, 0.2))))

    async def _guarded(self, name: str) -> None:
        seen = self._seen.get(name)
        expect = seen.version if seen is not None and self._random.random() < 0.95 else 0
        incarnation = seen.incarnation if seen is not None and self._random.random() < 0.9 else ""
        lease = self._leases.get(name) if self._random.random() < 0.15 else None
        covers = self._covers(name, 0.3)
        call = self._saving(name, expect=expect, incarnation=incarnation, covers=covers, lease=lease)
        self._keep(name, await self._do(call) or await self._do(self._call("load", name)))

    async def _leased(self, name: str) -> None:
        name, lease = self._owned(name)
        if lease is None:
            await self._claim(name)
        else:
            self._keep(name, await self._do(self._saving(name, lease=lease, covers=self._covers(name, 0.3))))

    async def _update(self, name: str) -> None:
        name, lease = self._owned(name)
        lease = lease if self._random.random() < 0.5 else None
        call = self._call("update", name, data=self._data(name), status=self._status(), lease=lease)
        self._keep(name, await self._do(call))

    # Leases

    async def _claim(self, name: str) -> None:
        owner = self._random.choice(("ada", "bob"))
        lease = await self._do(self._call("claim", name, owner=owner, ttl=self._random.choice(_TTLS)))
        if lease is not None:
            self._leases[name] = lease
            if self._random.random() < 0.5:
                self._keep(name, await self._do(self._call("load", name)))

    async def _claim_next(self, name: str) -> None:
        idle = self._random.choice((None, None, timedelta(seconds=1)))
        call = self._call("claim_next", "", owner="eve", ttl=self._random.choice(_TTLS), idle=idle)
        lease = await self._do(call)
        if lease is not None:
            self._leases[f"tasks/{lease.task_id}"] = lease

    async def _renew(self, name: str) -> None:
        name, lease = self._owned(name)
        if lease is not None:
            renewed = await self._do(self._call("renew", name, lease=lease, ttl=self._random.choice(_TTLS)))
            if renewed is not None:
                self._leases[name] = renewed

    async def _release(self, name: str) -> None:
        name, lease = self._owned(name)
        if lease is not None:
            await self._do(self._call("release", name, lease=lease))

    # The ledger

    async def _record(self, name: str) -> None:
        name, lease = self._owned(name)
        lease = lease if self._random.random() < 0.6 else None
        call = self._call("record", name, lease=lease, key=self._key())
        call.data = call.number
        await self._do(call)

    async def _steps(self, name: str) -> None:
        await self._do(self._call("steps", name))

    # The rest

    async def _prune(self, name: str) -> None:
        call = self._call("prune", name)
        if self._random.random() < 0.7:
            call.keep = self._random.choice((1, 2, 3))
        else:
            call.older_than = timedelta(seconds=self._random.choice((0, 1, 10)))
        await self._do(call)

    async def _delete(self, name: str) -> None:
        await self._do(self._call("delete", name))

    async def _load(self, name: str) -> None:
        self._keep(name, await self._do(self._call("load", name)))

    async def _version(self, name: str) -> None:
        seen = self._seen.get(name)
        version = self._random.randrange(seen.version + 1 if seen is not None else 2) + 1
        await self._do(self._call("load", name, version=version))

    async def _history(self, name: str) -> None:
        await self._do(self._call("history", name))

    async def _sweep(self, name: str) -> None:
        try:
            await self._backend.sweep()
        except UnavailableError:
            self._run.scheduler.counts["unavailable"] += 1

    # What to say

    def _call(self, verb: str, name: str, **options: Any) -> Call:
        number = self._run.number()
        op_id = f"o{number}" if verb in _NAMED and self._random.random() < 0.6 else None
        return Call(verb=verb, name=name, number=number, op_id=op_id, **options)

    def _saving(self, name: str, **options: Any) -> Call:
        retention = None
        if self._random.random() < 0.06:
            retention = Retention(
                self._random.choice((None, 1, 2, 4)), self._random.choice((None, None, timedelta(seconds=2)))
            )
        return self._call("save", name, data=self._data(name), status=self._status(), retention=retention, **options)

    def _data(self, name: str) -> dict[str, Any]:
        return {"n": self._run.number(), "kept": self._run.constant(name)}

    def _status(self) -> str:
        return "working" if self._random.random() < 0.9 else "done"

    def _key(self) -> str:
        return f"k{self._random.randrange(3)}"

    def _covers(self, name: str, share: float) -> tuple[str, ...] | None:
        return (self._key(),) if self._random.random() < share else None

    def _owned(self, name: str) -> tuple[str, Lease | None]:
        """Return a task and the last lease that this worker had of it: mostly one that it had one of."""
        if name not in self._leases and self._leases and self._random.random() < 0.8:
            name = self._random.choice(list(self._leases))
        return name, self._leases.get(name)

    def _keep(self, name: str, state: TaskState | None) -> None:
        if state is not None:
            self._seen[name] = state
