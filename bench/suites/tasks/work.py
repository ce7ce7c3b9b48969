"""Saves and loads of task states, in the contender's own process.

A contender is a class with `open(job)`, `close()`, `prepared(task, state)`, `save(*prepared)`, `load(task)` and
`as_given(loaded)`; Stowfast's have `version(task, number)` and `reads` too. `prepared` makes the arguments of a save in
the shape that the library takes, and is not timed.
"""

from __future__ import annotations

import json
import random
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.harness.proxy import Requests
from bench.harness.stopwatch import timed
from bench.suites.tasks.workloads import EARLY, LATE, Job, Large, growing, plain

try:
    import msgspec
except ImportError:  # in the environment of the peers
    msgspec = None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.harness.contender import Figures
    from bench.harness.stopwatch import Settle

__all__ = ["Job", "do"]

WARM_UP = 2
"""Saves of a new opening that are not timed: the first loads the task."""
TIMED = 4
BUDGET = 600.0
"""Seconds."""

_LARGE: dict[str, Large] = {}
"""The large state of each kind after the last save of this process."""


def do(contender: Callable[[], Any], job: Job, settle: Settle) -> Figures:
    figures: Figures = getattr(Run(contender, job, settle), job.workload)()
    return figures


class Run:
    """One job."""

    def __init__(self, contender: Callable[[], Any], job: Job, settle: Settle) -> None:
        self.contender, self.job, self.settle = contender, job, settle
        self.requests = Requests(job.endpoint if job.counted else "")

    def open(self) -> Any:
        store = self.contender()
        self.settle(store.open(self.job))
        return store

    def close(self, store: Any) -> None:
        self.settle(store.close())

    def asked(self, operations: int) -> Figures:
        """Report the bytes that were sent in all, and the requests of one operation."""
        return {"sent": self.requests.sent(), "asked": self.requests.kinds(operations)} if self.requests else {}

    def saves(self, store: Any, states: Iterable[dict[str, Any]]) -> list[float]:
        """Save the states one after the other, and return the milliseconds of each. Making a state is not timed."""
        calls = (store.prepared(self.job.task, state) for state in states)
        times = self.settle(timed(store.save, calls, BUDGET))
        return [one / 1e6 for one in times]

    def compare(self, state: dict[str, Any]) -> Figures:
        """Load and compare the stored state: a contender that changes a state is not measured. Count the requests."""
        store = self.open()
        requests = Requests(self.job.endpoint if self.job.counted else "")
        found = store.as_given(self.settle(store.load(self.job.task)))
        requests.keep()
        self.close(store)
        if _gist(found) != _gist(state):
            raise AssertionError("the state came back changed")
        return {"asked of its newest": requests.kinds()} if requests else {}

    def grow(self) -> Figures:
        """A conversation saved after each of its messages, from the beginning."""
        states = list(growing())
        store = self.open()
        self.requests.skip()
        times = self.saves(store, states)
        self.close(store)  # the requests of its background work and of its end count too
        self.requests.keep()
        loaded = self.compare(states[-1])
        early, late = (median(times[step - 1] for step in steps) for steps in (EARLY, LATE))
        return {"early": early, "late": late, "size": len(plain(states[-1]))} | loaded | self.asked(len(times))

    def edit(self) -> Figures:
        """A large state saved `count` times, each time after a change of one document."""
        large = self._large()
        store = self.open()
        self.requests.skip()
        times = self.saves(store, (large.next() for _ in range(self.job.count)))
        self.close(store)
        self.requests.keep()
        self.compare(large.state)
        figures = {"save": median(times[WARM_UP:]), "size": len(plain(large.state)), "saves": len(times)}
        return figures | self.asked(len(times))

    def turn(self) -> Figures:
        """The state saved a few times more and then loaded by a new opening, again and again. Each load rebuilds
        another version. Its plain JSON is parsed after each load.
        """
        large = self._large()
        saves, loads, parses, faster = [], [], [], []
        for _ in range(self.job.count):
            store = self.open()
            saves += self.saves(store, (large.next() for _ in range(WARM_UP + TIMED)))[WARM_UP:]
            self.close(store)
            store = self.open()
            self.requests.skip()
            loads += self.settle(timed(store.load, [(self.job.task,)], BUDGET))
            self.requests.keep()
            self.close(store)
            text = plain(large.state)
            parses += timed(json.loads, [(text,)], BUDGET)
            if msgspec is not None:
                faster += timed(msgspec.json.decode, [(text,)], BUDGET)
        self.compare(large.state)
        figures = {"save": median(saves), "load": median(loads) / 1e6, "slowest": max(loads) / 1e6}
        figures |= {"json": median(parses) / 1e6} | ({"msgspec": median(faster) / 1e6} if faster else {})
        return figures | {"version": large.saves} | self.asked(len(loads))

    def old(self) -> Figures:
        """Versions chosen at random, each loaded by a new opening."""
        large, times, reads = Large(self.job.kind), [], []
        for version in sorted(random.Random(1).sample(range(1, self.job.first + 1), self.job.count)):
            store = self.open()
            self.requests.skip()
            times += self.settle(timed(store.version, [(self.job.task, version)], BUDGET))
            self.requests.keep()
            reads.append(store.reads)
            found = self.settle(store.version(self.job.task, version))
            self.close(store)
            self.requests.skip()
            if store.as_given(found) != large.after(version):
                raise AssertionError(f"version {version} came back changed")
        return {"load": median(times) / 1e6, "slowest": max(times) / 1e6, "reads": max(reads)} | self.asked(len(times))

    def _large(self) -> Large:
        """Return the state of the kind after its last save."""
        large = _LARGE.setdefault(self.job.kind, Large(self.job.kind))
        if large.saves != self.job.first:
            raise AssertionError(f"{large.saves:,} saves were made, not {self.job.first:,}")
        return large


def _gist(state: dict[str, Any]) -> Any:
    """Return role and content of each message: a library may return another text for the same arguments of a call."""
    if "messages" not in state:
        return state
    return [(message["role"], message["content"] or None) for message in state["messages"]]
