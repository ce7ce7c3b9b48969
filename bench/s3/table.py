"""The tables of the bucket: what each operation asks of it and costs, how long it takes, and at the end the bars."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any

from bench.bars import Spread, ratios
from bench.s3.published import DOLLARS_PER_MILLION, LATENCIES, PRICES_OF
from bench.s3.rounds import CONTENDERS, RAW
from bench.s3.workloads import WORKLOADS
from bench.table import bar_row, print_table, time_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.bars import Bar
    from bench.rounds import Figures, Results
    from bench.s3.rounds import Measured

__all__ = ["show"]

LATER = "S3's latencies"
PUT, GET, LIST = (f"{LATENCIES[kind] * 1e3:.0f} ms" for kind in ("PUT", "GET", "LIST"))
NOTES = f"""\
$/M: dollars for a million such operations at the list prices of S3 Standard of {PRICES_OF}; traffic
within the region is free, and so is DELETE. GET has HEAD in it, PUT has POST. Who reads does so
with a client that was just opened. S3's latencies: no PUT is answered before {PUT}, no GET before
{GET}, no LIST before {LIST}. Ratios are taken within each round, in brackets the lowest and the
highest: for the append, to one PUT of as many bytes to a new key; else to Stowfast, async.
bench/README.md says more.
"""


def show(bars: Sequence[Bar], measured: Measured) -> None:
    """Print everything."""

    def asked(workload: str, name: str) -> list[str]:
        return _asked(_good(measured.counted, workload, name)[0])

    def times(workload: str, name: str) -> list[str]:
        return [cell for results in (measured.plain, measured.delayed) for cell in _time(results, workload, name)]

    def rates(workload: str, name: str) -> list[str]:
        return [cell for results in (measured.plain, measured.delayed) for cell in _rate(results, workload, name)]

    timed = [name for name, workload in WORKLOADS.items() if not workload.crowd]
    counted = [name for name in WORKLOADS if name != "writers"]
    print_table(
        "What an operation asks of the bucket",
        ("", "PUT", "GET", "LIST", "sent", "received", "$/M"),
        list(_sections(measured.counted, counted, asked)),
    )
    times_header = ("", "as it is", "x", LATER, "x")
    print_table("How long it takes", times_header, list(_sections(measured.plain, timed, times)))
    crowds = [name for name, workload in WORKLOADS.items() if workload.crowd]
    crowds_header = ("acknowledged, a second", "as it is", "lost", LATER, "lost")
    print_table("Everybody at once", crowds_header, list(_sections(measured.plain, crowds, rates)))
    for complaint in measured.complaints:
        print(complaint)
    print(NOTES)
    print_table("Bars on a bucket", ("", "target", "measured", "", ""), [bar_row(bar) for bar in bars])


def _sections(results: Results, workloads: Sequence[str], line: Callable[[str, str], list[str]]) -> Iterator[list[str]]:
    """Give a row with the workload's title, then those of the contenders that can do it."""
    for workload in workloads:
        yield [f"{WORKLOADS[workload].title}:"]
        for name, label in CONTENDERS.items():
            rounds = results[workload][name]
            if any("error" in one for one in rounds):
                yield [f"  {label}", "failed"]
            elif _good(results, workload, name):
                yield [f"  {label}", *line(workload, name)]


def _good(results: Results, workload: str, name: str) -> list[Figures]:
    return [one for one in results[workload][name] if "n" in one]


def _asked(figures: Figures) -> list[str]:
    asked: dict[str, Any] = figures["asked"]
    kinds = {kind: asked.get(kind, 0) for kind in DOLLARS_PER_MILLION}
    cost = sum(count * DOLLARS_PER_MILLION[kind] for kind, count in kinds.items())
    counts = (kinds["PUT"] + kinds["POST"], kinds["GET"] + kinds["HEAD"], kinds["LIST"])
    return [*map(_count, counts), _bytes(asked["sent"]), _bytes(asked["received"]), f"{cost:,.2f}"]


def _time(results: Results, workload: str, name: str) -> list[str]:
    good = _good(results, workload, name)
    if not good:
        return ["", ""]
    base = RAW[0] if workload == "append" else "stowfast_async"
    ratio = Spread.of(ratios(results, workload, "median", name, base)) if _good(results, workload, base) else None
    return [time_of(median(one["median"] for one in good)), _spread(ratio) if name != base else ""]


def _rate(results: Results, workload: str, name: str) -> list[str]:
    good = _good(results, workload, name)
    if not good:
        return ["", ""]
    acknowledged, stored = (sum(one[figure] for one in good) for figure in ("n", "stored"))
    lost = f"{acknowledged - stored:,} of {acknowledged:,}" if stored < acknowledged else "none"
    rate = Spread.of(one["per_second"] for one in good if "per_second" in one)
    return [f"{rate.median:,.0f} ({rate.low:,.0f}-{rate.high:,.0f})" if rate else f"{acknowledged} in all", lost]


def _count(value: float) -> str:
    return f"{value:,.2f}".rstrip("0").rstrip(".") if value else "-"


def _bytes(value: float) -> str:
    return f"{value / 1e3:,.1f} kB" if value else "-"


def _spread(spread: Spread | None) -> str:
    return f"{_short(spread.median)} ({_short(spread.low)}-{_short(spread.high)})" if spread else ""


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"
