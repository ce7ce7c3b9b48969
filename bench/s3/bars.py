"""The bars of the bucket: what Stowfast promises there, and whether this run kept it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.bars import Bar, Spread, ratios
from bench.s3.rounds import RAW
from bench.s3.workloads import APPENDS_EACH, WRITERS

if TYPE_CHECKING:
    from bench.rounds import Results
    from bench.s3.rounds import Measured

__all__ = ["bars"]


def bars(measured: Measured) -> list[Bar]:
    """Judge the run."""
    judged: list[Bar] = []
    for results, how in ((measured.plain, "as it is"), (measured.delayed, "with S3's latencies")):
        for ours in ("stowfast_async", "stowfast_sync"):
            for raw, what in zip(RAW, ("PUT of a new key", "PUT over a key"), strict=True):
                promise = f"append, {ours.removeprefix('stowfast_')} / {what}"
                judged.append(Bar.at_most(promise, 1.3, " x", _against(results, "append", ours, raw), how))
        loads = _against(results, "load_1000", "strands", "stowfast_async")
        rate, stored = (_figures(results, *what) for what in (("appenders", "per_second"), ("writers", "stored")))
        promised = WRITERS * APPENDS_EACH
        judged += [
            Bar.at_least("load 1,000, Strands / async", 20, " x", loads, how),
            Bar.at_least("64 appenders, messages/s", 500, "", rate, how),
            Bar("two writers, stored", f"{promised}", stored, "", stored and stored.low == promised, how),
        ]
    return judged


def _against(results: Results, workload: str, ours: str, theirs: str) -> Spread | None:
    return Spread.of(ratios(results, workload, "median", ours, theirs))


def _figures(results: Results, workload: str, figure: str) -> Spread | None:
    return Spread.of(one[figure] for one in results[workload]["stowfast_async"] if figure in one)
