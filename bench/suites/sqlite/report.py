"""The rounds on a SQLite file, their tables and their bars."""

from __future__ import annotations

from dataclasses import asdict
from statistics import median
from typing import TYPE_CHECKING, Any, Final

from bench.harness.bars import Bar, Spread, ratios, spread_of
from bench.harness.contender import started
from bench.harness.peers import new_folder
from bench.harness.rounds import errors, new_results, take_turns
from bench.harness.table import as_spread, as_time, machine, print_bars, print_table
from bench.suites.sqlite.imports import measure_import
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

NOTES: Final = """\
Every contender waits for the disk with every message: WAL, synchronous=FULL. Concurrent appends to Stowfast may share a
commit; none is answered before it. Figures are medians of the rounds; in brackets the lowest and the highest round.
"By hand" compares within each round. Each of LangGraph's checkpoints holds the whole conversation, so the time of an
append grows with the conversation. See bench/README.md.
"""


def run(options: Namespace, say: Say) -> tuple[list[Bar], dict[str, Any]]:
    sizes = QUICK if options.quick else FULL
    imported = measure_import(sizes.imports)
    results = new_results()
    with started("sqlite", CONTENDERS) as contenders, new_folder() as folder:
        for number in range(options.rounds):
            say(f"round {number + 1} of {options.rounds}")
            _round(number, contenders, folder, sizes, results)
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
    crowd_ratio = ratios(results, "appenders", "per_second", "stowfast_async", crowd) if crowd else None
    load_ratio = ratios(results, "load", "median", "stowfast_async", loader) if loader else None
    unwanted = ", ".join(imported.get("unwanted", ()))
    import_time = Spread(imported["stowfast"], *imported["spread"]) if "stowfast" in imported else None
    bare = f"bare interpreter {imported['bare']:.0f} ms" if import_time else imported.get("error", "")
    nothing = Bar("no driver or framework imported", "none", None, "", not unwanted, unwanted or "none came")
    return [
        Bar.at_most("append, async / by hand", 1.45, " x", ratios(results, "append", "median", "stowfast_async", RAW)),
        Bar.at_most("append, sync / by hand", 1.25, " x", ratios(results, "append", "median", "stowfast_sync", RAW)),
        Bar.at_least("64 appenders / best peer", 8, " x", crowd_ratio, _label(crowd)),
        Bar.at_most("load 10,000 / best peer", 0.6, " x", load_ratio, _label(loader)),
        Bar.at_most("last 20 of 10,000", 300, " µs", spread_of(results, "last", "median", "stowfast_async")),
        Bar.at_most("import stowfast", 120, " ms", import_time, bare),
        nothing if import_time else nothing._replace(met=None, remark=""),
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
            figures = [as_time(median(one[figure] for one in ones)) for figure in ("median", "p10", "p90", "mean")]
            return [*figures, as_spread(ratios(results, workload, "median", name, RAW))]

        return rows(cells, workload)

    def rate(name: str, ones: list[Figures]) -> list[str]:
        per_second = f"{median(one['per_second'] for one in ones):,.0f}"
        return [per_second, as_spread(ratios(results, "appenders", "per_second", name, RAW))]

    def disk(_: str, ones: list[Figures]) -> list[str]:
        return [f"{ones[0]['bytes'] / 1e3:,.0f} kB"]

    def memory(_: str, ones: list[Figures]) -> list[str]:
        return [f"{ones[0]['peak'] / 1e6:.2f} MB{'' if ones[0]['streamed'] else ' (all at once)'}"]

    header = ("", "median", "p10", "p90", "mean", "by hand x")
    print_table("One appender, one conversation: a message", header, times("append"))
    print_table("64 appenders, 64 conversations, at once", ("", "messages/s", "by hand x"), rows(rate, "appenders"))
    print_table("Loading 10,000 messages", header, times("load"))
    print_table("The last 20 of 10,000", header, times("last"))
    print_table("1,000 messages, appended one by one", ("", "file"), rows(disk, "disk"))
    print_table("Reading 10,000 messages, piece by piece where it can", ("", "memory"), rows(memory, "memory"))
    for error in sorted({f"{_label(name)}: {error}" for name, error in errors(results)}):
        print(error)
    print(NOTES)
    print_bars("Bars", judged)
