"""Rounds: within one, each contender does the same workload directly after the other, and the first one changes.

On a shared machine two measurements a minute apart differ more than two libraries do. So nothing is compared across
rounds: a ratio is taken within each round, and the table shows the median of the ratios.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from bench.harness.contender import Contender, Figures

__all__ = ["Results", "Say", "errors", "new_results", "take_turns"]

Say = Callable[[str], None]
Results = dict[str, dict[str, list[Any]]]
"""workload -> contender -> the figures of each round. A contender that failed has {"error": ...}."""


def new_results() -> Results:
    return defaultdict(lambda: defaultdict(list))


def take_turns(
    contenders: Sequence[Contender],
    number: int,
    workloads: Iterable[str],
    ask: Callable[[Contender, str], Figures],
    results: Results,
) -> None:
    """Let all contenders do each workload, one after the other, and keep their figures."""
    turn = number % len(contenders)
    for workload in workloads:
        for contender in (*contenders[turn:], *contenders[:turn]):
            results[workload][contender.name].append(ask(contender, workload))


def errors(*many: Results) -> list[tuple[str, str]]:
    """Return the name of each contender that failed, and its error."""
    rows = (row for results in many for workload in results.values() for row in workload.items())
    return [(name, one["error"]) for name, row in rows for one in row if "error" in one]
