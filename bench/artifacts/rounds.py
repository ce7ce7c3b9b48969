"""Lets Stowfast and the bare driver take turns, in a file and in a bucket, and judges their ratio within each round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from bench.bars import Bar, Spread
from bench.peers import HOME, ROOT
from bench.table import bar_row, print_table

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure", "show"]

COUNTED_MIB: Final = 64
TARGETS: Final = {"sqlite": 0.7, "s3": 0.85}
DRIVERS: Final = {"sqlite": "sqlite3", "s3": "obstore"}
PEAK_MIB: Final = 96
SAID: Final = {"write": "write", "cold": "from disk", "read": "read"}


def measure(rounds: int, mib: int, endpoint: str | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Run all rounds, and return the figures of each contender in each; for the bucket, its requests too."""
    # The servers and drivers come with what the tests need.
    from bench.s3 import proxy
    from bench.s3.server import server

    found: dict[str, Any] = {"mib": mib, "sqlite": [], "s3": []}
    HOME.mkdir(exist_ok=True)
    for number in range(rounds):
        with tempfile.TemporaryDirectory(dir=HOME) as folder:
            found["sqlite"].append(
                _turns("sqlite", number, lambda name, folder=folder: f"sqlite:///{folder}/{name}.db", mib, {})
            )
        say(f"SQLite, round {number + 1}")
    with server(endpoint) as here:
        found["server"] = here.name

        def url(name: str, address: str = here.endpoint) -> str:
            return f"s3://{here.bucket}/{name}-{uuid4().hex}?endpoint_url={address}"

        for number in range(rounds):
            found["s3"].append(_turns("s3", number, url, mib, here.environment))
            say(f"the bucket, round {number + 1}")
        with proxy.running(here.endpoint) as between:
            found["requests"] = {}
            for name in ("stowfast", "obstore"):
                proxy.take(between)
                _run(name, url(name, between), COUNTED_MIB, here.environment)
                found["requests"][name] = Counter(one.kind for one in proxy.take(between))
    return found


def _turns(
    place: str, number: int, url: Callable[[str], str], mib: int, environment: dict[str, str]
) -> dict[str, dict[str, float]]:
    driver = DRIVERS[place]
    names = ["stowfast", f"{driver}, hashed", "blobs", driver]
    return {name: _run(name, url(name), mib, environment) for name in (names[::-1] if number % 2 else names)}


def _run(name: str, url: str, mib: int, environment: dict[str, str]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, "-m", "bench.artifacts.contenders", name, url, str(mib)],
        cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    figures: dict[str, float] = json.loads(done.stdout)
    return figures


def show(found: dict[str, Any]) -> list[Bar]:
    """Print the tables, and return the bars."""
    mib = found["mib"]
    judged = []
    for place, rounds in (("sqlite", found["sqlite"]), ("s3", found["s3"])):
        rows = []
        driver = DRIVERS[place]
        done = [what for what in SAID if what in rounds[0]["stowfast"]]
        for name in ("stowfast", f"{driver}, hashed", "blobs", driver):
            ones = [one[name] for one in rounds]
            cells = [name]
            for what in done:
                cells.append(f"{median(mib / one[what] for one in ones):,.0f} MiB/s")
                cells.append(f"{median(1e3 * one[f'cpu_{what}'] / mib for one in ones):.2f} ms")
            rows.append([*cells, f"{max(one['peak'] for one in ones) / 2**20:,.0f} MiB"])
        where = "SQLite" if place == "sqlite" else found["server"]
        header = [cell for what in done for cell in (SAID[what], "CPU")]
        print_table(f"{mib:,} MiB in {where}", ("", *header, "memory"), rows)
        for what in done:
            for ours, theirs in (("stowfast", f"{driver}, hashed"), ("blobs", driver), ("stowfast", driver)):
                spread = Spread.of(one[theirs][what] / one[ours][what] for one in rounds)
                promise = f"{SAID[what]}, {where}: {ours} to {theirs}"
                judged.append(Bar.at_least(promise, TARGETS[place], " x", spread))
        peaks = [one["stowfast"]["peak"] / 2**20 for one in rounds]
        judged.append(Bar.at_most(f"memory, {where}", PEAK_MIB, " MiB", Spread.of(peaks)))
    rows = [
        [name, ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))]
        for name, kinds in found["requests"].items()
    ]
    print_table(f"Requests of opening, writing and reading {COUNTED_MIB} MiB", ("", ""), rows)
    print_table("Bars", ("", "target", "measured", "", ""), [bar_row(bar) for bar in judged])
    return judged
