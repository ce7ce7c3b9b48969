"""Measure Stowfast beside its peers and the bare drivers, and print whether the bars are met: `make bench`."""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench import bars, table
from bench.imports import measure_import
from bench.rounds import measure
from bench.workloads import FULL, QUICK

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.bars import Bar

    Say = Callable[[str], None]
    Half = tuple[list[Bar], dict[str, Any]]


def main() -> int:
    """Run the rounds and report. The exit code is 1 only where `--check` asks for it and a bar was not met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "only", nargs="?", choices=("sqlite", "s3", "artifacts", "adk", "tasks"), help="only this (the first two)"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="how often everybody takes a turn (5); on S3, half of that"
    )
    parser.add_argument("--quick", action="store_true", help="smaller workloads and fewer rounds, for a first look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round there")
    parser.add_argument("--check", action="store_true", help="end with 1 when a bar was missed or not measured")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="of an artifact (1024)")
    parser.add_argument("--endpoint", metavar="URL", help="measure S3 there, with the environment's credentials")
    options = parser.parse_args()
    began = time.perf_counter()

    def say(what: str) -> None:
        print(f"{what} ({time.perf_counter() - began:.0f} s)", file=sys.stderr)

    judged: list[Bar] = []
    report: dict[str, Any] = {"rounds": options.rounds}
    for name, half in HALVES:
        if name in {None: ("sqlite", "s3"), "artifacts": ("artifacts", "adk")}.get(options.only, (options.only,)):
            its_bars, its_report = half(options, say)
            judged += its_bars
            report[name] = its_report | {"bars": [_plain(bar) for bar in its_bars]}
    print(f"{time.perf_counter() - began:.0f} s in all")
    if options.json:
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return int(options.check and not all(bar.met for bar in judged))


def _sqlite(options: argparse.Namespace, say: Say) -> Half:
    sizes = QUICK if options.quick else FULL
    imported = measure_import(sizes.imports)
    results = measure(options.rounds, sizes, say)
    judged = bars.bars(results, imported)
    machine = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}"
    print(f"\n{machine}, {options.rounds} rounds\n")
    table.show(judged, results)
    return judged, {"machine": machine, "sizes": sizes._asdict(), "import": imported, "results": results}


def _s3(options: argparse.Namespace, say: Say) -> Half:
    # Its servers and drivers come with what the tests need, and the other half does without them.
    from bench.s3 import bars as s3_bars
    from bench.s3 import rounds
    from bench.s3 import table as s3_table

    measured = rounds.measure(1 if options.quick else (options.rounds + 1) // 2, options.endpoint, say)
    judged = s3_bars.bars(measured)
    print(f"\nPython {platform.python_version()}, {measured.server}, {platform.system()}\n")
    s3_table.show(judged, measured)
    return judged, measured._asdict()


def _artifacts(options: argparse.Namespace, say: Say) -> Half:
    from bench.artifacts import rounds

    found = rounds.measure(1 if options.quick else (options.rounds + 1) // 2, options.size, options.endpoint, say)
    print(f"\nPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}\n")
    return rounds.show(found), found


def _tasks(options: argparse.Namespace, say: Say) -> Half:
    from bench.tasks import rounds, table

    found = rounds.measure(1 if options.quick else (options.rounds + 1) // 2, options.endpoint, say)
    judged = table.bars(found)
    print(f"\nPython {platform.python_version()}, {found.server}, {platform.system()}\n")
    table.show(judged, found)
    return judged, found._asdict()


def _adk(options: argparse.Namespace, say: Say) -> Half:
    from bench.artifacts import peers

    found = peers.measure(1 if options.quick else (options.rounds + 1) // 2, options.endpoint, say)
    print(f"\nPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}\n")
    peers.show(found)
    return [], found


HALVES: Final[tuple[tuple[str, Callable[[argparse.Namespace, Say], Half]], ...]] = (
    ("sqlite", _sqlite), ("s3", _s3), ("artifacts", _artifacts), ("adk", _adk), ("tasks", _tasks),
)  # fmt: skip


def _plain(bar: Bar) -> dict[str, Any]:
    return {**bar._asdict(), "spread": bar.spread and bar.spread._asdict()}


if __name__ == "__main__":
    sys.exit(main())
