"""The rounds on a SQLite file, their tables and their bars."""

from __future__ import annotations

from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from bench.harness.bars import Bar, Spread, ratios, spread_of
from bench.harness.contender import started
from bench.harness.peers import new_folder
from bench.harness.rounds import errors, new_results, take_turns
from bench.harness.table import as_count, as_spread, as_time, machine, print_bars, print_table
from bench.suites.sqlite.imports import measure_import
from bench.suites.sqlite.processes import add_crowds, crowd_name
from bench.suites.sqlite.workloads import CONTENDERS, FULL, PEERS, QUICK, RAW, Job, Sizes

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Callable
    from pathlib import Path

    from bench.harness.contender import Contender, Figures
    from bench.harness.rounds import Results, Say

__all__ = ["ask", "bars", "run", "show"]

APART: Final = {"append", "appenders", "disk"}
"""Workloads with a file of their own, which is deleted afterwards. The others read the file that `prepare` fills."""

QUIET: Final = 1.5
"""The largest p90 / p10 of the driver by hand in a quiet run."""

NOTES: Final = """\
Every contender waits for the disk with every message: WAL, synchronous=FULL. Concurrent appends to Stowfast may share a
commit; none is answered before it. Figures are medians of the rounds; in brackets the lowest and the highest round.
"By hand" compares within each round. CPU is that of the process for a message, and "waits" how often a thread of it
went to sleep: for the disk, or for another thread. Each of LangGraph's checkpoints holds the whole conversation, so the
time of an append grows with the conversation. See bench/README.md.
"""


def run(options: Namespace, say: Say) -> tuple[list[Bar], dict[str, Any]]:
    sizes = QUICK if options.quick else FULL
    imported = measure_import(sizes.imports)
    results = new_results()
    with started("sqlite", CONTENDERS) as contenders, new_folder() as folder:
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}")
            _round(number, contenders, folder, sizes, results)
        for number in range(options.half):
            say(f"processes, round {number + 1} of {options.half}")
            add_crowds(results, folder, sizes.processes, sizes.each, ours_first=bool(number % 2))
    judged = bars(results, imported)
    print(f"\n{machine()}, {options.rounds} rounds\n")
    show(judged, results)
    return judged, {"machine": machine(), "sizes": asdict(sizes), "import": imported, "results": results}


def _round(number: int, contenders: list[Contender], folder: Path, sizes: Sizes, results: Results) -> None:
    # The time of an append depends on the moment, so each contender has three turns a round, a second apart. A size is
    # the same in every round.
    workloads = [*("append",) * 3, "appenders", "load", "last"]
    if number == 0:
        workloads[4:4] = ["disk", "prepare"]
        workloads.append("memory")
    take_turns(contenders, number, workloads, lambda one, workload: ask(one, workload, folder, sizes), results)


def ask(contender: Contender, workload: str, folder: Path, sizes: Sizes) -> Figures:
    path = folder / f"{contender.name}.{workload if workload in APART else 'history'}.db"
    figures = contender.ask(Job(workload=workload, location=str(path), sizes=asdict(sizes)))
    if workload in APART:
        for file in folder.glob(path.name + "*"):
            file.unlink()
    return figures


def bars(results: Results, imported: dict[str, Any]) -> list[Bar]:
    """Judge the run."""
    crowd = _best_peer(results, "appenders", "per_second", max)
    loader = _best_peer(results, "load", "median", min)

    def ratio(workload: str, figure: str, ours: str, theirs: str | None = RAW) -> Spread | None:
        return ratios(results, workload, figure, ours, theirs) if theirs else None

    # First those that a noisy disk does not blur.
    found = [
        Bar.at_most("append, async: waits / by hand", 1.2, " x", ratio("append", "waits", "stowfast_async")),
        Bar.at_most("append, async: CPU / by hand", 2, " x", ratio("append", "cpu", "stowfast_async")),
        Bar.at_most("append, sync: CPU / by hand", 2, " x", ratio("append", "cpu", "stowfast_sync")),
        Bar.at_most("last 20, sync: CPU / by hand", 1.3, " x", ratio("last", "cpu", "stowfast_sync")),
        Bar.at_most("append, async / by hand", 1.3, " x", ratio("append", "median", "stowfast_async")),
        Bar.at_most("append, sync / by hand", 1.25, " x", ratio("append", "median", "stowfast_sync")),
        Bar.at_least(
            "64 tasks / best peer", 10, " x", ratio("appenders", "per_second", "stowfast_async", crowd), _label(crowd)
        ),
        Bar.at_least(
            "64 threads / best peer", 6, " x", ratio("appenders", "per_second", "stowfast_sync", crowd), _label(crowd)
        ),
        Bar.at_most(
            "load 10,000 / best peer", 0.5, " x", ratio("load", "median", "stowfast_async", loader), _label(loader)
        ),
        Bar.at_most("last 20, sync / by hand", 1.3, " x", ratio("last", "median", "stowfast_sync")),
        Bar.at_most("last 20, async", 250, " µs", spread_of(results, "last", "median", "stowfast_async")),
    ]
    for count, least in ((10, 0.9), (48, 1)):
        rate = ratio(crowd_name(count), "per_second", "stowfast_sync")
        found.append(Bar.at_least(f"{count} processes / by hand", least, " x", rate))
    return found + _import_bars(imported)


def _import_bars(imported: dict[str, Any]) -> list[Bar]:
    if "turns" not in imported:
        promises = (
            "import stowfast / usual imports",
            "import and open, less 3 ms / usual",
            "no driver or framework imported",
        )
        return [Bar(promise, "", None, "", None, imported.get("error", "")) for promise in promises]
    turns, unwanted = imported["turns"], ", ".join(imported["unwanted"])
    times = Spread.of(ours / usual for ours, usual in zip(turns["stowfast"], turns["usual"], strict=True))
    # The bars of the import and of the opening together: what the import leaves out, the opening loads.
    opened = Spread.of((ours - 3) / usual for ours, usual in zip(turns["first_open"], turns["usual"], strict=True))
    usual = f"{imported['usual']:.0f} ms; bare {imported['bare']:.0f} ms"
    first = f"{imported['first_open']:.0f} ms, all imports included"
    return [
        Bar.at_most("import stowfast / usual imports", 1.5, " x", times, usual),
        Bar.at_most("import and open, less 3 ms / usual", 1.5, " x", opened, first),
        Bar("no driver or framework imported", "none", None, "", not unwanted, unwanted or "none came"),
    ]


def _best_peer(results: Results, workload: str, figure: str, better: Callable[..., str]) -> str | None:
    """Name the peer with the best median over the rounds: one library, as a user picks one."""
    spreads = {peer: spread_of(results, workload, figure, peer) for peer in PEERS}
    medians = {peer: spread.median for peer, spread in spreads.items() if spread}
    return better(medians, key=lambda peer: medians[peer]) if medians else None


def _label(name: str | None) -> str:
    return CONTENDERS[name].label if name else ""


def show(judged: list[Bar], results: Results) -> None:
    """Print everything."""

    def rows(cells: Callable[[str, list[Figures]], list[str]], workload: str) -> list[list[str]]:
        found = {name: results[workload][name] for name in CONTENDERS}
        failed = {name for name, ones in found.items() if any("error" in one for one in ones)}
        return [[_label(name), *(["failed"] if name in failed else cells(name, ones))] for name, ones in found.items()]

    def times(workload: str) -> list[list[str]]:
        def cells(name: str, ones: list[Figures]) -> list[str]:
            figures = [as_time(median(one[figure] for one in ones)) for figure in ("median", "p10", "p90", "cpu")]
            waits = as_count(median(one["waits"] for one in ones))
            return [*figures, waits, as_spread(ratios(results, workload, "median", name, RAW))]

        return rows(cells, workload)

    def rate(name: str, ones: list[Figures]) -> list[str]:
        per_second = f"{median(one['per_second'] for one in ones):,.0f}"
        cpu, waits = as_time(median(one["cpu"] for one in ones)), as_count(median(one["waits"] for one in ones))
        return [per_second, cpu, waits, as_spread(ratios(results, "appenders", "per_second", name, RAW))]

    def disk(_: str, ones: list[Figures]) -> list[str]:
        return [f"{ones[0]['bytes'] / 1e3:,.0f} kB"]

    def memory(_: str, ones: list[Figures]) -> list[str]:
        return [f"{ones[0]['peak'] / 1e6:.2f} MB{'' if ones[0]['streamed'] else ' (all at once)'}"]

    header = ("", "median", "p10", "p90", "CPU", "waits", "by hand x")
    print_table("One appender, one conversation: a message", header, times("append"))
    header_of_crowd = ("", "messages/s", "CPU", "waits", "by hand x")
    print_table("64 appenders, 64 conversations, at once", header_of_crowd, rows(rate, "appenders"))
    print_table("Loading 10,000 messages", header, times("load"))
    print_table("The last 20 of 10,000", header, times("last"))
    print_table("1,000 messages, appended one by one", ("", "file"), rows(disk, "disk"))
    print_table("Reading 10,000 messages, piece by piece where it can", ("", "memory"), rows(memory, "memory"))
    _show_processes(results)
    for error in sorted({f"{_label(name)}: {error}" for name, error in errors(results)}):
        print(error)
    print(NOTES)
    print(_quiet(results))
    print_bars("Bars", judged)


def _show_processes(results: Results) -> None:
    rows = []
    for workload in results:
        measured = results[workload] if workload.endswith(" processes") else {}
        for name, ones in measured.items():
            if not ones:
                continue
            sound = [one for one in ones if "error" not in one]
            figures = (
                [median(one[figure] for one in sound) for figure in ("per_second", "cpu", "slowest")] if sound else []
            )
            cells = [f"{figures[0]:,.0f}", as_time(figures[1]), f"{figures[2]:,.0f} ms"] if figures else ["failed"]
            rows.append([f"{workload}: {_label(name)}", *cells])
    if rows:
        print_table("Processes on one file, each with its messages", ("", "messages/s", "CPU", "slowest"), rows)


def _quiet(results: Results) -> str:
    """Say whether the machine was quiet: by the spread of the driver by hand."""
    spreads = [one["p90"] / one["p10"] for one in results["append"][RAW] if "error" not in one]
    if not spreads:
        return ""
    spread = median(spreads)
    verdict = "a quiet run" if spread < QUIET else "a busy run: judge by CPU and waits"
    return f"p90 / p10 of an append by hand: {spread:.2f}, {verdict} (quiet: under {QUIET:g})\n"
