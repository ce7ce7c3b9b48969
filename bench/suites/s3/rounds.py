"""The rounds on a bucket: each workload once through the counting proxy, then all contenders in turns, twice over:
on the server as it is, without the proxy, and behind the proxy with S3's latencies.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple

from bench.harness.contender import started
from bench.harness.proxy import running, set_delays
from bench.harness.rounds import errors, new_results, take_turns
from bench.harness.server import server
from bench.suites.s3.published import LATENCIES
from bench.suites.s3.workloads import BARRED, CONTENDERS, DUEL, SAME_AS, WORKLOADS, Job

if TYPE_CHECKING:
    from bench.harness.contender import Contender, Figures
    from bench.harness.rounds import Results, Say
    from bench.harness.server import Server

__all__ = ["Measured", "measure"]

BUDGET: Final = 0.25
BUDGET_COUNTED: Final = 1.0
DUELS: Final = 5
"""So many more turns a round at single PUTs, for the contenders of the bars."""

ROUNDS_DELAYED: Final = 2
"""A latency of S3 hides the noise of the machine between two rounds, so fewer rounds say as much."""


class Measured(NamedTuple):
    """`counted` has one turn for each contender and workload; in the others "asked" is missing."""

    server: str
    counted: Results
    plain: Results
    delayed: Results
    complaints: list[str]


def measure(rounds: int, endpoint: str | None, say: Say) -> Measured:
    """Run everything, on a server of our own if no endpoint is given."""
    with ExitStack() as stack:
        say("S3: starting a server")
        there = stack.enter_context(server(endpoint))
        turns = Turns(
            there, stack.enter_context(running(there.endpoint)), stack.enter_context(started("s3", CONTENDERS))
        )
        say(f"S3: filling a bucket on {there.name}")
        turns.prepare()
        say("S3: counting requests")
        counted = turns.counted()
        plain, delayed = new_results(), new_results()
        for number in range(rounds):
            say(f"S3: round {number + 1} of {rounds}")
            turns.plain(number, plain)
        set_delays(turns.proxy, LATENCIES)
        for number in range(min(rounds, ROUNDS_DELAYED)):
            say(f"S3: with latencies, round {number + 1}")
            turns.delayed(number, delayed)
    failed = [*turns.out.items(), *errors(counted, plain, delayed)]
    return Measured(
        there.name, counted, plain, delayed, sorted({f"{CONTENDERS[name].label}: {error}" for name, error in failed})
    )


class Turns:
    """Lets contenders do a workload, one after the other."""

    def __init__(self, there: Server, proxy: str, contenders: list[Contender]) -> None:
        self.there, self.proxy, self.contenders = there, proxy, contenders
        self.out: dict[str, str] = {}
        """The contenders that could not fill the bucket or got something else back, with their errors."""

        self.sizes: list[int] = []
        self.turn = 0

    def prepare(self) -> None:
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda one: self._ask(one, "prepare", self.there.endpoint), self.contenders))
        named = zip(self.contenders, answers, strict=True)
        self.out = {one.name: answer["error"] for one, answer in named if "error" in answer}

    def counted(self) -> Results:
        results = new_results()
        self.turn += 1

        def ask(one: Contender, workload: str) -> Figures:
            calls = WORKLOADS[workload].counted
            figures = self._ask(one, workload, self.proxy, calls, budget=BUDGET_COUNTED, counted=True)
            if (workload, one.name) == (DUEL, SAME_AS):
                self.sizes = figures.get("asked", {}).get("sizes", [])
            return figures

        take_turns(self.contenders, 0, WORKLOADS, ask, results)
        return results

    def plain(self, number: int, results: Results) -> None:
        self._round(number, self.there.endpoint, {name: how.calls for name, how in WORKLOADS.items()}, results)

        def duel(one: Contender, workload: str) -> Figures:
            barred = one.name in BARRED
            return self._ask(one, workload, self.there.endpoint, WORKLOADS[DUEL].calls) if barred else {}

        for turn in range(DUELS):
            take_turns(self.contenders, turn, [DUEL], duel, results)

    def delayed(self, number: int, results: Results) -> None:
        self._round(number, self.proxy, {name: how.delayed for name, how in WORKLOADS.items()}, results)

    def _round(self, number: int, endpoint: str, calls: dict[str, int], results: Results) -> None:
        self.turn += 1

        def ask(one: Contender, workload: str) -> Figures:
            # The lost messages of others are seen in one round.
            skipped = WORKLOADS[workload].crowd and number and one.name not in BARRED
            return {} if skipped else self._ask(one, workload, endpoint, calls[workload])

        take_turns(self.contenders, number, WORKLOADS, ask, results)

    def _ask(
        self, one: Contender, workload: str, endpoint: str, calls: int = 0, *,
        budget: float = BUDGET, counted: bool = False,
    ) -> Figures:  # fmt: skip
        if one.name in self.out:
            return {}
        location = f"{self.there.bucket}/{one.name.replace('_', '-')}"
        return one.ask(
            Job(
                workload=workload, location=location, endpoint=endpoint, counted=counted,
                turn=self.turn, calls=calls, budget=budget, sizes=self.sizes,
            )
        )  # fmt: skip
