"""Measure Holdfast beside its peers and the bare driver, and print whether the bars are met: `make bench`."""

from __future__ import annotations

import argparse
import json
import platform
import sqlite3
import sys
import time
from pathlib import Path

from bench.bars import bars
from bench.imports import measure_import
from bench.rounds import measure
from bench.table import show
from bench.workloads import FULL, QUICK


def main() -> int:
    """Run the rounds and report. The exit code is 1 only where `--check` asks for it and a bar was not met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="how often everybody takes a turn (5)")
    parser.add_argument("--quick", action="store_true", help="smaller workloads, for a first look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round there")
    parser.add_argument("--check", action="store_true", help="end with 1 when a bar was missed or not measured")
    options = parser.parse_args()
    sizes = QUICK if options.quick else FULL
    began = time.perf_counter()

    def say(what: str) -> None:
        print(f"{what} ({time.perf_counter() - began:.0f} s)", file=sys.stderr)

    imported = measure_import(sizes.imports)
    results = measure(options.rounds, sizes, say)
    judged = bars(results, imported)
    machine = f"Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {platform.system()}"
    print(f"\n{machine}, {options.rounds} rounds, {time.perf_counter() - began:.0f} s\n")
    show(judged, results)
    if options.json:
        report = {
            "machine": machine,
            "rounds": options.rounds,
            "sizes": sizes._asdict(),
            "bars": [{**bar._asdict(), "spread": bar.spread and bar.spread._asdict()} for bar in judged],
            "import": imported,
            "results": results,
        }
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return int(options.check and not all(bar.met for bar in judged))


if __name__ == "__main__":
    sys.exit(main())
