"""The rounds on a bucket: first each workload once through the counting proxy, then all of them in turns, twice over:
on the server as it is, without the proxy, and behind the proxy with S3's latencies.
"""

from __future__ import annotations

import os
import sys
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from bench.peers import peers_python
from bench.rounds import Contender
from bench.s3.proxy import running, set_delays
from bench.s3.published import LATENCIES
from bench.s3.server import server
from bench.s3.workloads import DUEL, WORKLOADS, Job

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.rounds import Figures, Results
    from bench.s3.server import Server

__all__ = ["CONTENDERS", "RAW", "Measured", "measure"]

RAW: Final = ("obstore_new", "obstore_over")
SAME_AS: Final = "stowfast_async"
"""Whose PUTs the bare driver repeats, byte for byte as many. So it is counted before the driver."""

CONTENDERS: Final = {
    "stowfast_async": "Stowfast, async",
    "stowfast_sync": "Stowfast, sync",
    "obstore_new": "obstore, PUT a new key",
    "obstore_over": "obstore, PUT over a key",
    "boto3_objects": "boto3 by hand",
    "strands": "Strands",
    "langgraph": "LangGraph objectstorage",
}
BARRED: Final = ("stowfast_async", "stowfast_sync", *RAW)
"""Whom the bars compare at single PUTs, and in crowds."""

PEERS: Final = ("boto3_objects", "strands", "langgraph")

BUDGET: Final = 0.25
BUDGET_COUNTED: Final = 1.0
"""Seconds in which a timed loop ends after the call it is in: a slow contender costs samples, not patience."""

DUELS: Final = 5
"""So many more turns a round at single PUTs, for those."""

MOST_DELAYED: Final = 2
"""A latency of S3 hides what a machine does between two rounds, so fewer of them say as much."""


class Measured(NamedTuple):
    """`counted` has one turn for each contender and workload; in the others "asked" is missing."""

    server: str
    counted: Results
    plain: Results
    delayed: Results
    complaints: list[str]


def measure(rounds: int, endpoint: str | None, say: Callable[[str], None]) -> Measured:
    """Run everything, on a server of our own if no endpoint is given."""
    peers = peers_python()
    with ExitStack() as stack:
        say("S3: starting a server")
        there = stack.enter_context(server(endpoint))
        proxy = stack.enter_context(running(there.endpoint))
        # Every client takes its credentials from the environment, as they do where they run.
        os.environ.update(there.environment)
        turns = Turns(there, proxy)
        for name in CONTENDERS:
            python = peers if name in PEERS else sys.executable
            turns.contenders.append(Contender.start(name, python, "bench.s3.contenders"))
            stack.callback(turns.contenders[-1].stop)
        say(f"S3: filling a bucket on {there.name}")
        turns.prepare()
        say("S3: counting requests")
        counted = turns.counted()
        say("S3: measuring")
        plain = turns.plain(rounds, say)
        delayed = turns.delayed(min(rounds, MOST_DELAYED), say)
    rows = [row for results in (counted, plain, delayed) for workload in results.values() for row in workload.items()]
    errors = [*turns.out.items(), *((name, one["error"]) for name, row in rows for one in row if "error" in one)]
    complaints = sorted({f"{CONTENDERS[name]}: {error}" for name, error in errors})
    return Measured(there.name, counted, plain, delayed, complaints)


class Turns:
    """Lets contenders do a workload, one after the other."""

    def __init__(self, there: Server, proxy: str) -> None:
        self.there, self.proxy = there, proxy
        self.contenders: list[Contender] = []
        self.out: dict[str, str] = {}
        """Who could not fill the bucket, or got something else back, and what it said."""

        self.sizes: list[int] = []
        self.turn = 0

    def prepare(self) -> None:
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda one: self._ask(one, "prepare", self.there.endpoint), self.contenders))
        named = zip(self.contenders, answers, strict=True)
        self.out = {one.name: answer["error"] for one, answer in named if "error" in answer}

    def counted(self) -> Results:
        results = _results()
        self.turn += 1
        for workload, how in WORKLOADS.items():
            for one in self.contenders:
                figures = self._ask(one, workload, self.proxy, how.counted, budget=BUDGET_COUNTED, counted=True)
                results[workload][one.name].append(figures)
                if (workload, one.name) == (DUEL, SAME_AS):
                    self.sizes = figures.get("asked", {}).get("sizes", [])
        return results

    def plain(self, rounds: int, say: Callable[[str], None]) -> Results:
        results = _results()
        for number in range(rounds):
            say(f"S3: round {number + 1} of {rounds}")
            self._round(number, self.there.endpoint, {name: how.calls for name, how in WORKLOADS.items()}, results)
            for duel in range(DUELS):
                for one in self._from(duel):
                    duels = one.name in BARRED
                    figures = self._ask(one, DUEL, self.there.endpoint, WORKLOADS[DUEL].calls) if duels else {}
                    results[DUEL][one.name].append(figures)
        return results

    def delayed(self, rounds: int, say: Callable[[str], None]) -> Results:
        results = _results()
        set_delays(self.proxy, LATENCIES)
        for number in range(rounds):
            say(f"S3: with latencies, round {number + 1} of {rounds}")
            self._round(number, self.proxy, {name: how.delayed for name, how in WORKLOADS.items()}, results)
        return results

    def _round(self, number: int, endpoint: str, calls: dict[str, int], results: Results) -> None:
        self.turn += 1
        for workload, how in WORKLOADS.items():
            for one in self._from(number):
                # That others lose messages is seen in one round.
                skipped = how.crowd and number and one.name not in BARRED
                figures = {} if skipped else self._ask(one, workload, endpoint, calls[workload])
                results[workload][one.name].append(figures)

    def _ask(self, contender: Contender, workload: str, endpoint: str, calls: int = 0, **more: Any) -> Figures:
        if contender.name in self.out:
            return {}
        job = Job(
            workload=workload,
            endpoint=endpoint,
            bucket=self.there.bucket,
            prefix=contender.name.replace("_", "-"),
            turn=self.turn,
            calls=calls,
            budget=BUDGET,
            sizes=self.sizes,
        )
        return contender.ask(job._replace(**more)._asdict())

    def _from(self, number: int) -> list[Contender]:
        turn = number % len(self.contenders)
        return self.contenders[turn:] + self.contenders[:turn]


def _results() -> Results:
    return defaultdict(lambda: defaultdict(list))
