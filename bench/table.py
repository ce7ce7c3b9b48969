"""The tables, for people: every contender's figures, how to read them, and at the end the bars."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench.bars import Spread, ratios
from bench.rounds import CONTENDERS, RAW

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.bars import Bar
    from bench.rounds import Figures, Results

__all__ = ["bar_row", "print_table", "short", "show", "time_of"]

WIDTH = 110
NOTES = """\
Everybody waits for the disk with every message: WAL, synchronous=FULL. Concurrent appends to Stowfast may share a
commit; none is answered before it. Figures are medians of the rounds; in brackets the lowest and the highest round.
"By hand" compares within each round. Each of LangGraph's checkpoints holds the whole conversation, so the time of an
append grows with the conversation. See bench/README.md.
"""


def show(bars: Sequence[Bar], results: Results) -> None:
    """Print everything."""

    def rows(line: Callable[[str, Results, str], list[str]], workload: str) -> list[list[str]]:
        failed = {name: any("error" in one for one in results[workload][name]) for name in CONTENDERS}
        return [
            [CONTENDERS[name], *(["failed"] if failed[name] else line(name, results, workload))] for name in CONTENDERS
        ]

    header = ("", "median", "p10", "p90", "mean", "by hand x")
    print_table("One appender, one conversation: a message", header, rows(_times, "append"))
    print_table("64 appenders, 64 conversations, at once", ("", "messages/s", "by hand x"), rows(_rate, "appenders"))
    print_table("Loading 10,000 messages", header, rows(_times, "load"))
    print_table("The last 20 of 10,000", header, rows(_times, "last"))
    print_table("1,000 messages, appended one by one", ("", "file"), rows(_disk, "disk"))
    print_table("Reading 10,000 messages, piece by piece where it can", ("", "memory"), rows(_memory, "memory"))
    for complaint in sorted({f"{CONTENDERS[name]}: {one['error']}" for name, one in _all(results) if "error" in one}):
        print(complaint)
    print(NOTES)
    print_table("Bars", ("", "target", "measured", "", ""), [bar_row(bar) for bar in bars])


def _all(results: Results) -> list[tuple[str, Figures]]:
    return [(name, one) for workload in results.values() for name, rounds in workload.items() for one in rounds]


def _times(name: str, results: Results, workload: str) -> list[str]:
    rounds = results[workload][name]
    figures = [time_of(median(one[figure] for one in rounds)) for figure in ("median", "p10", "p90", "mean")]
    return [*figures, _spread(ratios(results, workload, "median", name, RAW))]


def _rate(name: str, results: Results, workload: str) -> list[str]:
    rate = median(one["per_second"] for one in results[workload][name])
    return [f"{rate:,.0f}", _spread(ratios(results, workload, "per_second", name, RAW))]


def _disk(name: str, results: Results, workload: str) -> list[str]:
    return [f"{results[workload][name][0]['bytes'] / 1e3:,.0f} kB"]


def _memory(name: str, results: Results, workload: str) -> list[str]:
    figures = results[workload][name][0]
    return [f"{figures['peak'] / 1e6:.2f} MB{'' if figures['streamed'] else ' (all at once)'}"]


def bar_row(bar: Bar) -> list[str]:
    verdict = {True: "met", False: "MISSED", None: "not measured"}[bar.met]
    measured = ""
    if bar.spread:
        measured = f"{short(bar.spread.median)}{bar.unit} ({short(bar.spread.low)}-{short(bar.spread.high)})"
    return [bar.promise, bar.target, measured, verdict, CONTENDERS.get(bar.remark, bar.remark)]


def time_of(microseconds: float) -> str:
    return f"{microseconds:,.0f} µs" if microseconds < 10_000 else f"{microseconds / 1e3:.1f} ms"


def _spread(values: list[float]) -> str:
    spread = Spread.of(values)
    return f"{short(spread.median)} ({short(spread.low)}-{short(spread.high)})" if spread else ""


def short(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    rows = [[*row, *[""] * (len(header) - len(row))] for row in rows]
    try:
        from rich import box
        from rich.console import Console
        from rich.table import Table
    except ImportError:
        _print_plainly(title, header, rows)
        return
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    for number, name in enumerate(header):
        table.add_column(name, justify="right" if number else "left", no_wrap=True)
    style = {"met": "green", "MISSED": "bold red", "failed": "red"}
    for row in rows:
        table.add_row(*(f"[{style[cell]}]{cell}[/]" if cell in style else cell for cell in row))
    console = Console()
    console.width = max(console.width, WIDTH)  # a pipe says 80, and cut figures help nobody
    console.print(table)


def _print_plainly(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    print(title)
    for row in (header, *rows):
        first, *others = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  " + "  ".join([first, *(cell.rstrip().rjust(len(cell)) for cell in others)]).rstrip())
    print()
