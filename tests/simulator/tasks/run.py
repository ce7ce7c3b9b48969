"""A history of tasks: the task store itself, over processes that are simulated down to each request."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final
from unittest.mock import patch

from stowfast import deltas
from stowfast.backends.objects.protocol.requests import Limits
from stowfast.records import Retention
from stowfast.stores.tasks import leases, save, spans
from stowfast.stores.tasks.cache import TaskCache
from tests.simulator.drafts import tune
from tests.simulator.process import Process
from tests.simulator.run import Run, simulate
from tests.simulator.tasks.answers import Answers
from tests.simulator.tasks.judge import TaskJudge
from tests.simulator.tasks.model import bounds_of
from tests.simulator.tasks.worker import Worker

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Coroutine, Iterator
    from random import Random

__all__ = ["TaskRun", "simulate_tasks"]

_NAMES: Final = (("tasks/a",), ("tasks/a",), ("tasks/a", "tasks/b"), ("tasks/a", "tasks/b", "tasks/c"))
_DRIFTS: Final = (0, 0, 2_000_000, -2_000_000, 3_600_000_000)
_SET: Final = 0.05
"""How often the clock of a process is found to be set anew."""
_RETENTIONS: Final = (
    None, None, None, Retention(1), Retention(2), Retention(3),
    Retention(None, timedelta(seconds=2)), Retention(3, timedelta(0)),
)  # fmt: skip


class TaskRun(Run):
    judge: TaskJudge

    def _furnish(self, random: Random) -> None:
        self.bucket.removes = False  # no week passes here but in leaps, in the middle of calls
        self.names = random.choice(_NAMES)
        self.limits = Limits(
            tail=random.choice((900, 4_000)), kept=400, head=random.choice((2_000, 8_000)), block=500,
            growing=random.choice((1_000, 2_000)), segment=random.choice((2_000, 8_000)), fan_in=2,
            commits=random.choice((2, 4, 8, 64)),
        )  # fmt: skip
        tune(random.choice((3, 64, 64)), 2**20)
        _tune(random.choice((2, 3, 16)), random.choice((1, 3)), random.choice((1, 100)), random.choice((0, 2**14)))
        leases.random = random  # type: ignore[assignment, attr-defined]
        self.retention = random.choice(_RETENTIONS)
        self.stalls = random.choice((0.0, 0.03, 0.15))
        self._one_clock = random.random() < 0.3
        default = bounds_of(self.retention or Retention())
        self.judge = TaskJudge(self.names, self.bucket, self.scheduler, default, one_clock=self._one_clock)
        self.answers = Answers(self.judge)
        self._memories: dict[Process, tuple[TaskCache, set[int]]] = {}
        self._drifts: dict[Process, int] = {}
        self._works: dict[Process, list[Coroutine[Any, Any, None]]] = {}
        # Text that no compression makes smaller, so that a difference is.
        size = random.choice((0, 60, 300))
        self._constants = {name: f"{random.getrandbits(4 * size or 1):x}" for name in self.names}

    def _populate(self, random: Random, focus: str | None) -> None:
        self.focus = random.choice(("", "", "ledger", "leases"))
        self.focus = self.focus if focus is None else focus
        size = random.choice((12, 24, 40))
        processes = random.choice((1, 2, 3, 3))
        for _ in range(processes):
            self._begin([Worker(self, size // processes // 2 + 1) for _ in range(random.choice((1, 2, 3)))])

    def _begin(self, callers: list[Any]) -> None:
        process = Process(next(self._processes), self.scheduler, self._new_id, self.limits, self.judge)
        if self._one_clock:
            process.skew = 0
        self._callers[process] = callers
        for worker in callers:
            worker.join(process)
            self._spawn(process, worker.work())

    def _spawn(self, process: Process, work: Coroutine[Any, Any, None]) -> None:
        self._works.setdefault(process, []).append(work)
        self.scheduler.spawn(process, work)

    def _crash(self) -> None:
        super()._crash()
        for process in self._works.keys() - self._callers.keys():
            self._close(self._works.pop(process))

    def close(self) -> None:
        """End what is still under way, from the outside in, so that nothing is left for the collector of garbage."""
        for works in self._works.values():
            self._close(works)

    @staticmethod
    def _close(works: list[Coroutine[Any, Any, None]]) -> None:
        for work in works:
            work.close()

    def number(self) -> int:
        return next(self._numbers)

    def constant(self, name: str) -> str:
        """Return what is the same in all states of a task."""
        return self._constants[name]

    def memory(self, process: Process) -> tuple[TaskCache, set[int]]:
        """Return what a process knows of tasks, and the results that it has seen recorded."""
        return self._memories.setdefault(process, (TaskCache(), set()))

    def drift(self, process: Process) -> int:
        """Return by how much a process is wrong about the clock of the place. Now and then it is set anew."""
        if self._one_clock:
            return 0
        random = self.scheduler.random
        if process not in self._drifts or random.random() < _SET:
            self._drifts[process] = random.choice(_DRIFTS)
        return self._drifts[process]

    def _read_all(self) -> None:
        super()._read_all()
        worker, process = Worker(self, 0), self._quiet()
        worker.join(process)
        self._spawn(process, worker.look())
        self.scheduler.run()


def _tune(radix: int, polite: int, page: int, short: int) -> None:
    """Make small what the store counts to, so that short histories get there."""
    deltas._RULE = deltas.SpanRule((1, radix, radix**2), short)  # type: ignore[misc]
    deltas._MAX_SPAN, spans._MAX_SPANS = radix**3, 4  # type: ignore[misc]
    save._POLITE_ATTEMPTS, leases._PAGE = polite, page  # type: ignore[misc]


@contextmanager
def _tuned() -> Iterator[None]:
    """Leave everything as it was."""
    with (
        patch.multiple(deltas, _RULE=deltas._RULE, _MAX_SPAN=deltas._MAX_SPAN),
        patch.object(spans, "_MAX_SPANS", spans._MAX_SPANS),
        patch.object(save, "_POLITE_ATTEMPTS", save._POLITE_ATTEMPTS),
        patch.object(leases, "_PAGE", leases._PAGE),
        patch.object(leases, "random", leases.random),  # type: ignore[attr-defined]
    ):
        yield


def simulate_tasks(seed: int, *, focus: str | None = None, trace: Callable[[str], None] | None = None) -> Counter[str]:
    """Play one history of tasks, and return what was done in it.

    Raises:
        Violation: a promise was broken.
    """
    with _tuned():
        return simulate(seed, focus=focus, trace=trace, kind=TaskRun)
