"""The bars: what Stowfast promises of its speed, and whether this run kept it."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

from bench.rounds import PEERS, RAW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from bench.rounds import Results

__all__ = ["Bar", "Spread", "bars", "ratios"]


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
    """A promise and what came of it. `spread` is None where it could not be measured."""

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


def ratios(results: Results, workload: str, figure: str, ours: str, theirs: str) -> list[float]:
    """Divide our figure by theirs, in each round in which both were measured."""
    rounds = zip(results[workload][ours], results[workload][theirs], strict=True)
    return [mine[figure] / other[figure] for mine, other in rounds if figure in mine and figure in other]


def best_peer(results: Results, workload: str, figure: str, better: Callable[..., str]) -> str | None:
    """Name the peer with the best median over the rounds: one library, as a user picks one."""
    medians = {
        peer: spread.median
        for peer in PEERS
        if (spread := Spread.of(one[figure] for one in results[workload][peer] if figure in one))
    }
    return better(medians, key=lambda peer: medians[peer]) if medians else None


def bars(results: Results, imported: dict[str, Any]) -> list[Bar]:
    """Judge the run."""

    def against_raw(ours: str) -> Spread | None:
        return Spread.of(ratios(results, "append", "median", ours, RAW))

    crowd = best_peer(results, "appenders", "per_second", max)
    loader = best_peer(results, "load", "median", min)
    crowd_ratio = Spread.of(ratios(results, "appenders", "per_second", "stowfast_async", crowd)) if crowd else None
    load_ratio = Spread.of(ratios(results, "load", "median", "stowfast_async", loader)) if loader else None
    lasts = Spread.of(one["median"] for one in results["last"]["stowfast_async"] if "median" in one)
    dragged = ", ".join(imported.get("unwanted", ()))
    import_time = Spread(imported["stowfast"], *imported["spread"]) if "stowfast" in imported else None
    bare = f"bare interpreter {imported['bare']:.0f} ms" if import_time else imported.get("error", "")
    nothing_dragged = Bar("no driver or framework imported", "none", None, "", not dragged, dragged or "none came")
    return [
        Bar.at_most("append, async / by hand", 1.45, " x", against_raw("stowfast_async")),
        Bar.at_most("append, sync / by hand", 1.25, " x", against_raw("stowfast_sync")),
        Bar.at_least("64 appenders / best peer", 8, " x", crowd_ratio, crowd or ""),
        Bar.at_most("load 10,000 / best peer", 0.6, " x", load_ratio, loader or ""),
        Bar.at_most("last 20 of 10,000", 300, " µs", lasts),
        Bar.at_most("import stowfast", 120, " ms", import_time, bare),
        nothing_dragged if import_time else nothing_dragged._replace(met=None, remark=""),
    ]
