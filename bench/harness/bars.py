"""Bars: promises of Stowfast's speed, each with the figure of this run."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from bench.harness.rounds import Results

__all__ = ["Bar", "Spread", "ratios", "spread_of"]


class Spread(NamedTuple):
    """A figure over the rounds."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread | None:
        ranked = sorted(values)
        return cls(median(ranked), ranked[0], ranked[-1]) if ranked else None


class Bar(NamedTuple):
    """A promise and its figure. `spread` is None if it was not measured."""

    promise: str
    target: str
    spread: Spread | None
    unit: str
    met: bool | None
    remark: str = ""

    @classmethod
    def at_most(cls, promise: str, limit: float, unit: str, spread: Spread | None, remark: str = "") -> Bar:
        met = spread and spread.median <= limit
        return cls(promise, f"≤ {limit:g}{unit}", spread, unit, met, remark)

    @classmethod
    def at_least(cls, promise: str, limit: float, unit: str, spread: Spread | None, remark: str = "") -> Bar:
        met = spread and spread.median >= limit
        return cls(promise, f"≥ {limit:g}{unit}", spread, unit, met, remark)


def spread_of(results: Results, workload: str, figure: str, name: str) -> Spread | None:
    """Return one figure of one contender over the rounds in which it was measured."""
    return Spread.of(one[figure] for one in results[workload][name] if figure in one)


def ratios(results: Results, workload: str, figure: str, ours: str, theirs: str) -> Spread | None:
    """Divide our figure by theirs, within each round in which both were measured."""
    rounds = zip(results[workload][ours], results[workload][theirs], strict=True)
    return Spread.of(mine[figure] / other[figure] for mine, other in rounds if figure in mine and figure in other)
