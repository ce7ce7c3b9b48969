"""Tables for people, and how a figure is written in them."""

from __future__ import annotations

import platform
import sqlite3
from statistics import median
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.harness.bars import Bar, Spread

__all__ = [
    "as_bytes",
    "as_count",
    "as_median",
    "as_requests",
    "as_spread",
    "as_time",
    "machine",
    "print_bars",
    "print_table",
]

WIDTH = 110


def machine(*more: str) -> str:
    """Describe the machine of this run."""
    named = (f"Python {platform.python_version()}", f"SQLite {sqlite3.sqlite_version}", platform.system())
    return ", ".join((*named, *more))


def as_time(microseconds: float) -> str:
    return f"{microseconds:,.0f} µs" if microseconds < 10_000 else f"{microseconds / 1e3:.1f} ms"


def as_bytes(count: float) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB" if count else "-"


def as_count(count: float) -> str:
    return f"{count:,.2f}".rstrip("0").rstrip(".") if count else "-"


def as_requests(kinds: Mapping[str, float]) -> str:
    return ", ".join(f"{as_count(count)} {kind}" for kind, count in sorted(kinds.items()) if count >= 0.005)


def as_spread(spread: Spread | None, unit: str = "") -> str:
    return f"{_short(spread.median)}{unit} ({_short(spread.low)}-{_short(spread.high)})" if spread else ""


def as_median(rounds: Iterable[Mapping[str, Any]], figure: str, unit: str = " ms") -> str:
    figures = [one[figure] for one in rounds if figure in one]
    return f"{median(figures):.1f}{unit}" if figures else ""


def _short(value: float) -> str:
    return f"{value:.2f}" if value < 100 else f"{value:,.0f}"


def print_bars(title: str, bars: Sequence[Bar]) -> None:
    verdicts = {True: "met", False: "MISSED", None: "not measured"}
    rows = [[bar.promise, bar.target, as_spread(bar.spread, bar.unit), verdicts[bar.met], bar.remark] for bar in bars]
    print_table(title, ("", "target", "measured", "", ""), rows)


def print_table(title: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
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
