"""Measure Stowfast beside its peers and the bare drivers, and print whether the bars are met: `make bench`."""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from bench.harness.bars import Bar

REPORTS: Final = {
    "sqlite": "sqlite.report",
    "s3": "s3.report",
    "linger": "s3.linger",
    "artifacts": "artifacts.report",
    "adk": "artifacts.adk",
    "tasks": "tasks.report",
    "postgres": "postgres.report",
    "growth": "growth",
    "viewer": "viewer",
}
"""The module of each report, loaded when it is asked for: the servers and drivers of a bucket come with the tests."""


def main() -> int:
    """Run the rounds and report. The exit code is 1 only if `--check` was given and a bar was not met."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("only", nargs="?", choices=REPORTS, help="one suite (without it: sqlite and s3)")
    parser.add_argument("--rounds", type=int, default=5, help="rounds (5); half of them except in a SQLite file")
    parser.add_argument("--quick", action="store_true", help="smaller workloads and fewer rounds, for a first look")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure of every round there")
    parser.add_argument("--check", action="store_true", help="end with 1 if a bar was missed or not measured")
    parser.add_argument("--size", type=int, default=1024, metavar="MIB", help="size of the large artifact (1024)")
    parser.add_argument("--endpoint", metavar="URL", help="an S3 endpoint, with the credentials of the environment")
    options = parser.parse_args()
    options.half = 1 if options.quick else (options.rounds + 1) // 2
    began = time.perf_counter()

    def say(text: str) -> None:
        print(f"{text} ({time.perf_counter() - began:.0f} s)", file=sys.stderr)

    judged: list[Bar] = []
    figures: dict[str, Any] = {"rounds": options.rounds}
    for name in {None: ("sqlite", "s3"), "artifacts": ("artifacts", "adk")}.get(options.only, (options.only,)):
        bars, found = import_module(f"bench.suites.{REPORTS[name]}").run(options, say)
        judged += bars
        plain_bars = [{**bar._asdict(), "spread": bar.spread and bar.spread._asdict()} for bar in bars]
        figures[name] = found | {"bars": plain_bars}
    print(f"{time.perf_counter() - began:.0f} s in all")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")
    return int(options.check and not all(bar.met for bar in judged))


if __name__ == "__main__":
    sys.exit(main())
