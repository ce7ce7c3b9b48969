"""Compare ways to store the versions of a task: `python -m bench.history`. Results: docs/design/task-history.md."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from pathlib import Path

from bench.history.contenders import STUDIES
from bench.history.measure import Figures, measure
from bench.history.workloads import WORKLOADS, real

_PATIENT = ("text in place", "text scattered")
"""Left out where a parameter is tried: the others say it already."""


def main() -> None:
    """Measure and print tables in Markdown."""
    parser = argparse.ArgumentParser(prog="python -m bench.history", description=__doc__)
    parser.add_argument("studies", nargs="*", metavar="STUDY", help=f"only these of {', '.join(STUDIES)}; uploads")
    parser.add_argument("--workload", action="append", choices=tuple(WORKLOADS), help="only this; may come again")
    parser.add_argument("--saves", type=int, default=1_000, help="at most so many of each (1,000)")
    parser.add_argument("--only", action="append", metavar="ROW", help="only this row; may come again")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    options = parser.parse_args()
    report: dict[str, dict[str, dict[str, Figures]]] = {}
    print(f"Python {platform.python_version()}, {'real' if real() else 'generated'} conversations\n")
    for study in options.studies or STUDIES:
        if study == "uploads":
            # A server of its own, which comes with what the tests need.
            from bench.history.uploads import uploads

            print("| | saves | PUTs | uploaded KB | in the bucket KB |\n|---|---:|---:|---:|---:|")
            for one in uploads(options.workload or list(WORKLOADS), options.saves):
                print(f"| {one.workload} | {one.saves} | {one.puts} | {one.sent / 1e3:,.0f} | {one.kept / 1e3:,.0f} |")
            continue
        report[study] = {}
        for workload, (texts, saves) in WORKLOADS.items():
            if workload not in (options.workload or WORKLOADS) or (study != "encodings" and workload in _PATIENT):
                continue
            found: dict[str, Figures] = {}
            for name, encoding in STUDIES[study].items():
                if options.only and name not in options.only:
                    continue
                began = time.perf_counter()
                try:
                    found[name] = measure(texts, min(saves, options.saves), encoding())
                except ImportError as error:
                    print(f"{name}: not measured, {error}", file=sys.stderr)
                print(f"{study}, {workload}, {name} ({time.perf_counter() - began:.0f} s)", file=sys.stderr)
            report[study][workload] = found
            _show(study, workload, found)
            if options.json is not None:
                options.json.write_text(json.dumps(report))


def _show(study: str, workload: str, found: dict[str, Figures]) -> None:
    one = next(iter(found.values()))
    print(f"### {study}: {workload}, {one.saves:,} saves, {one.last / 1e3:,.1f} KB at the end")
    print(f"\njson.loads {one.loads:.3f} ms, msgspec {one.decodes:.3f} ms, JSON of a save {one.encode:.3f} ms\n")
    print("| | stored KB | of a save | save ms | steps | of the newest | worst | newest x json.loads | x msgspec "
          "| worst x json.loads | x msgspec | reads | read KB | wholes |")  # fmt: skip
    print("|---|" + "---:|" * 13)
    for name, row in found.items():
        cells = [
            f"{row.stored / 1e3:,.0f}",
            f"{row.stored / row.saves:,.0f}",
            f"{row.save:.2f}",
            f"{row.steps:.1f}",
            row.newest.steps,
            row.worst.steps,
            f"{row.newest_load / row.loads:.1f}",
            f"{row.newest_load / row.decodes:.1f}",
            f"{row.worst_load / row.loads:.1f}",
            f"{row.worst_load / row.decodes:.1f}",
            f"{row.reads:.1f}",
            f"{row.read / 1e3:,.0f}",
            row.wholes,
        ]
        print(f"| {name} | {' | '.join(map(str, cells))} |")
    print(flush=True)


if __name__ == "__main__":
    main()
