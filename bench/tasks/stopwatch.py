"""Saves and loads task states and times it, in the contender's own process.

A contender is a class with `open(job)`, `close()`, `prepared(state)`, `save(task, prepared)`, `load(task)` and
`as_given(loaded)`; Stowfast's have `version(task, number)` and `reads` too. What is prepared is not timed: whoever
saves has its state in the shape that the library takes.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any

from bench.s3.proxy import take
from bench.s3.stopwatch import settling
from bench.stopwatch import serve as serve_jobs
from bench.stopwatch import timed
from bench.tasks.workloads import EARLY, LATE, Job, Large, growing, plain

try:
    import msgspec
except ImportError:  # where the peers are
    msgspec = None

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.s3.stopwatch import Settle

__all__ = ["serve"]

Figures = dict[str, Any]

WARM_UP = 2
"""Saves of a new opening that are not timed: the first has to load what is there."""
TIMED = 4
PATIENCE = 600.0


def serve(contender: Callable[[], Any]) -> None:
    """Answer jobs from standard input until it ends."""
    large: dict[str, Large] = {}

    def run(_first: Any, job: dict[str, Any]) -> Figures:
        with settling() as settle:
            return Run(contender, Job(**job), settle, large).do()

    serve_jobs(contender, run)


class Run:
    """One job. `large` has the states of each kind as far as they have come."""

    def __init__(self, contender: Callable[[], Any], job: Job, settle: Settle, large: dict[str, Large]) -> None:
        self.contender, self.job, self.settle, self.large = contender, job, settle, large
        self.seen: list[Any] = []

    def do(self) -> Figures:
        figures: Figures = getattr(self, self.job.workload)()
        return figures

    def open(self) -> Any:
        store = self.contender()
        self.settle(store.open(self.job))
        return store

    def close(self, store: Any) -> None:
        self.settle(store.close())

    def look(self, *, keep: bool) -> None:
        if self.job.counted:
            seen = take(self.job.endpoint)
            self.seen += seen if keep else []

    def asked(self, operations: int) -> Figures:
        """Report what was sent in all, and what one operation asked of the bucket."""
        if not self.job.counted:
            return {}
        kinds = Counter(one.kind for one in self.seen)
        return {
            "sent": sum(one.sent for one in self.seen),
            "asked": {kind: count / operations for kind, count in kinds.items()},
        }

    def saves(self, store: Any, states: Iterable[dict[str, Any]]) -> list[float]:
        """Save the states one after the other; milliseconds of each. What makes the next one is not timed."""
        calls = ((self.job.task, store.prepared(state)) for state in states)
        times = self.settle(timed(store.save, calls, PATIENCE))
        return [one / 1e6 for one in times]

    def compare(self, state: dict[str, Any]) -> None:
        """Look at what comes back: who changes a state is not measured."""
        store = self.open()
        found = store.as_given(self.settle(store.load(self.job.task)))
        self.close(store)
        if _gist(found) != _gist(state):
            raise AssertionError("the state came back changed")

    def grow(self) -> Figures:
        """A conversation saved after each of its messages, from the beginning."""
        states = list(growing())
        store = self.open()
        self.look(keep=False)
        times = self.saves(store, states)
        self.close(store)  # what it does in the background and at the end is asked of the bucket too
        self.look(keep=True)
        self.compare(states[-1])
        early, late = (median(times[step - 1] for step in steps) for steps in (EARLY, LATE))
        return {"early": early, "late": late, "size": len(plain(states[-1]))} | self.asked(len(times))

    def edit(self) -> Figures:
        """A large state saved `count` times, each time with another document changed."""
        large = self._large()
        store = self.open()
        self.look(keep=False)
        times = self.saves(store, (large.next() for _ in range(self.job.count)))
        self.close(store)
        self.look(keep=True)
        self.compare(large.state)
        figures = {"save": median(times[WARM_UP:]), "size": len(plain(large.state)), "saves": len(times)}
        return figures | self.asked(len(times))

    def turn(self) -> Figures:
        """The state saved a few times more and then loaded by a new opening, again and again: each load has another
        version to rebuild. Its plain JSON is parsed in turns with that.
        """
        large = self._large()
        saves, loads, parses, faster = [], [], [], []
        for _ in range(self.job.count):
            store = self.open()
            saves += self.saves(store, (large.next() for _ in range(WARM_UP + TIMED)))[WARM_UP:]
            self.close(store)
            store = self.open()
            self.look(keep=False)
            loads += self.settle(timed(store.load, [(self.job.task,)], PATIENCE))
            self.look(keep=True)
            self.close(store)
            text = plain(large.state)
            parses += timed(json.loads, [(text,)], PATIENCE)
            if msgspec is not None:
                faster += timed(msgspec.json.decode, [(text,)], PATIENCE)
        self.compare(large.state)
        figures = {"save": median(saves), "load": median(loads) / 1e6, "slowest": max(loads) / 1e6}
        figures |= {"json": median(parses) / 1e6} | ({"msgspec": median(faster) / 1e6} if faster else {})
        return figures | {"version": large.saves} | self.asked(len(loads))

    def old(self) -> Figures:
        """Versions chosen at random, each loaded by a new opening."""
        large, times, reads = Large(self.job.kind), [], []
        for version in sorted(random.Random(1).sample(range(1, self.job.first + 1), self.job.count)):
            store = self.open()
            self.look(keep=False)
            times += self.settle(timed(store.version, [(self.job.task, version)], PATIENCE))
            self.look(keep=True)
            reads.append(store.reads)
            found = self.settle(store.version(self.job.task, version))
            self.close(store)
            self.look(keep=False)
            if store.as_given(found) != large.after(version):
                raise AssertionError(f"version {version} came back changed")
        return {"load": median(times) / 1e6, "slowest": max(times) / 1e6, "reads": max(reads)} | self.asked(len(times))

    def _large(self) -> Large:
        """The state of the kind as it was saved last."""
        if self.job.kind not in self.large:
            self.large[self.job.kind] = Large(self.job.kind)
        large = self.large[self.job.kind]
        if large.saves != self.job.first:
            raise AssertionError(f"{large.saves:,} saves were made, not {self.job.first:,}")
        return large


def _gist(state: dict[str, Any]) -> Any:
    """Of a conversation who said what: a library may give back a call's arguments as another text of the same."""
    if "messages" not in state:
        return state
    return [(message["role"], message["content"] or None) for message in state["messages"]]
