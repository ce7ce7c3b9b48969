"""The tables of the bucket: requests and cost of each operation, its time, and at the end the bars."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from bench.harness.bars import Bar, Spread, ratios, spread_of
from bench.harness.table import as_bytes, as_count, as_spread, as_time, machine, print_bars, print_table
from bench.suites.s3.published import DOLLARS_PER_MILLION, LATENCIES, PRICES_OF
from bench.suites.s3.rounds import measure
from bench.suites.s3.workloads import APPENDS_EACH, CONTENDERS, RAW, WORKLOADS, WRITERS

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable, Iterator, Sequence

    from bench.harness.contender import Figures
    from bench.harness.rounds import Results, Say
    from bench.suites.s3.rounds import Measured

__all__ = ["bars", "run", "show"]

LATER = "S3's latencies"
PUT, GET, LIST = (f"{LATENCIES[kind] * 1e3:.0f} ms" for kind in ("PUT", "GET", "LIST"))
NOTES = f"""\
$/M: dollars for a million such operations at the list prices of S3 Standard of {PRICES_OF}; traffic
within the region is free, and so is DELETE. GET includes HEAD, PUT includes POST. A read has a
client that was just opened. S3's latencies: no PUT is answered before {PUT}, no GET before
{GET}, no LIST before {LIST}. Ratios are taken within each round, in brackets the lowest and the
highest: for the append, to one PUT of as many bytes to a new key; else to Stowfast, async.
See bench/README.md.
"""


def run(options: Namespace, say: Say) -> tuple[list[Bar], dict[str, Any]]:
    measured = measure(options.half, options.endpoint, say)
    judged = bars(measured)
    print(f"\n{machine(measured.server)}\n")
    show(judged, measured)
    return judged, measured._asdict()


def bars(measured: Measured) -> list[Bar]:
    """Judge the run."""
    judged: list[Bar] = []
    promised = WRITERS * APPENDS_EACH
    for results, how in ((measured.plain, "as it is"), (measured.delayed, "with S3's latencies")):
        for ours in ("stowfast_async", "stowfast_sync"):
            for raw, put in zip(RAW, ("PUT of a new key", "PUT over a key"), strict=True):
                promise = f"append, {ours.removeprefix('stowfast_')} / {put}"
                judged.append(Bar.at_most(promise, 1.15, " x", ratios(results, "append", "median", ours, raw), how))
        loads = ratios(results, "load_1000", "median", "strands", "stowfast_async")
        rate = spread_of(results, "appenders", "per_second", "stowfast_async")
        stored = spread_of(results, "writers", "stored", "stowfast_async")
        judged += [
            Bar.at_least("load 1,000, Strands / async", 20, " x", loads, how),
            Bar.at_least("64 appenders, messages/s", 500, "", rate, how),
            Bar("two writers, stored", f"{promised}", stored, "", stored and stored.low == promised, how),
        ]
    return judged


def show(judged: Sequence[Bar], measured: Measured) -> None:
    """Print everything."""
    both = (measured.plain, measured.delayed)

    def asked(workload: str, name: str) -> list[str]:
        return _asked(_good(measured.counted, workload, name)[0])

    def times(workload: str, name: str) -> list[str]:
        return [cell for results in both for cell in _time(results, workload, name)]

    def rates(workload: str, name: str) -> list[str]:
        return [cell for results in both for cell in _rate(results, workload, name)]

    def table(title: str, header: tuple[str, ...], results: Results, names: Any, cells: Any) -> None:
        print_table(title, header, list(_sections(results, list(names), cells)))

    crowds = [name for name, workload in WORKLOADS.items() if workload.crowd]
    alone = [name for name in WORKLOADS if name not in crowds]
    requests = ("", "PUT", "GET", "LIST", "sent", "received", "$/M")
    crowd_header = ("acknowledged, a second", "as it is", "lost", LATER, "lost")
    table("Requests of an operation", requests, measured.counted, [*alone, "appenders"], asked)
    table("Time of an operation", ("", "as it is", "x", LATER, "x"), measured.plain, alone, times)
    table("Many writers at once", crowd_header, measured.plain, crowds, rates)
    for complaint in measured.complaints:
        print(complaint)
    print(NOTES)
    print_bars("Bars on a bucket", judged)


def _sections(results: Results, workloads: Sequence[str], line: Callable[[str, str], list[str]]) -> Iterator[list[str]]:
    """Give a row with the workload's title, then a row for each contender that can do it."""
    for workload in workloads:
        yield [f"{WORKLOADS[workload].title}:"]
        for name, (label, *_) in CONTENDERS.items():
            rounds = results[workload][name]
            if any("error" in one for one in rounds):
                yield [f"  {label}", "failed"]
            elif _good(results, workload, name):
                yield [f"  {label}", *line(workload, name)]


def _good(results: Results, workload: str, name: str) -> list[Figures]:
    return [one for one in results[workload][name] if "n" in one]


def _asked(figures: Figures) -> list[str]:
    asked: dict[str, Any] = figures["asked"]
    kinds = {kind: asked["kinds"].get(kind, 0) for kind in DOLLARS_PER_MILLION}
    cost = sum(count * DOLLARS_PER_MILLION[kind] for kind, count in kinds.items())
    counts = (kinds["PUT"] + kinds["POST"], kinds["GET"] + kinds["HEAD"], kinds["LIST"])
    return [*map(as_count, counts), as_bytes(asked["sent"]), as_bytes(asked["received"]), f"{cost:,.2f}"]


def _time(results: Results, workload: str, name: str) -> list[str]:
    good = _good(results, workload, name)
    if not good:
        return ["", ""]
    base = RAW[0] if workload == "append" else "stowfast_async"
    ratio = ratios(results, workload, "median", name, base) if _good(results, workload, base) else None
    return [as_time(median(one["median"] for one in good)), as_spread(ratio) if name != base else ""]


def _rate(results: Results, workload: str, name: str) -> list[str]:
    good = _good(results, workload, name)
    if not good:
        return ["", ""]
    acknowledged, stored = (sum(one[figure] for one in good) for figure in ("n", "stored"))
    lost = f"{acknowledged - stored:,} of {acknowledged:,}" if stored < acknowledged else "none"
    rate = Spread.of(one["per_second"] for one in good if "per_second" in one)
    return [f"{rate.median:,.0f} ({rate.low:,.0f}-{rate.high:,.0f})" if rate else f"{acknowledged} in all", lost]
