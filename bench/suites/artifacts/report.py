"""Stowfast and the bare driver in turns, in a file and in a bucket, and their ratio within each round."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from bench.harness import proxy
from bench.harness.bars import Bar, Spread
from bench.harness.contender import once
from bench.harness.peers import new_folder
from bench.harness.server import server
from bench.harness.table import as_requests, machine, print_bars, print_table
from bench.suites.artifacts.workloads import STREAMED, Job

if TYPE_CHECKING:
    from argparse import Namespace

    from bench.harness.contender import Figures
    from bench.harness.rounds import Say

__all__ = ["run"]

COUNTED_MIB: Final = 64
HASHED: Final = 0.9
"""The target beside a driver that hashes, as Stowfast does. `TARGETS` are those beside a driver that does not."""
TARGETS: Final = {"sqlite": 0.7, "s3": 0.85}
DRIVERS: Final = {"sqlite": "sqlite3", "s3": "obstore"}
PEAK_MIB: Final = 96
VERBS: Final = {"write": "write", "cold": "from disk", "read": "read"}


def run(options: Namespace, say: Say) -> tuple[list[Bar], dict[str, Any]]:
    found = measure(options.half, options.size, options.endpoint, say)
    print(f"\n{machine()}\n")
    return show(found), found


def measure(rounds: int, mib: int, endpoint: str | None, say: Say) -> dict[str, Any]:
    """Run all rounds, and return the figures of each contender in each; for the bucket, its requests too."""
    found: dict[str, Any] = {"mib": mib, "sqlite": [], "s3": [], "requests": {}}
    for number in range(rounds):
        with new_folder() as folder:
            found["sqlite"].append(
                {name: _stream(name, f"{folder}/{name}.db", mib) for name in _names("sqlite", number)}
            )
        say(f"SQLite, round {number + 1}")
    with server(endpoint) as here, proxy.running(here.endpoint) as between:
        found["server"] = here.name

        def prefix(name: str) -> str:
            return f"{here.bucket}/{name.replace(', ', '-')}-{uuid4().hex}"

        for number in range(rounds):
            names = _names("s3", number)
            found["s3"].append({name: _stream(name, prefix(name), mib, here.endpoint) for name in names})
            say(f"the bucket, round {number + 1}")
        for name in ("stowfast", "obstore"):
            requests = proxy.Requests(between)
            _stream(name, prefix(name), COUNTED_MIB, between)
            requests.keep()
            found["requests"][name] = requests.kinds()
    return found


def _names(where: str, number: int = 0) -> list[str]:
    driver = DRIVERS[where]
    return ["stowfast", f"{driver}, hashed", "blobs", driver][:: -1 if number % 2 else 1]


def _stream(name: str, location: str, mib: int, endpoint: str = "") -> Figures:
    return once("artifacts", STREAMED[name], Job(workload="stream", location=location, endpoint=endpoint, size=mib))


def show(found: dict[str, Any]) -> list[Bar]:
    """Print the tables, and return the bars."""
    mib = found["mib"]
    judged = []
    for storage, rounds in (("sqlite", found["sqlite"]), ("s3", found["s3"])):
        rows = []
        driver = DRIVERS[storage]
        done = [verb for verb in VERBS if verb in rounds[0]["stowfast"]]
        for name in _names(storage):
            ones = [one[name] for one in rounds]
            cells = [name]
            for verb in done:
                cells.append(f"{median(mib / one[verb] for one in ones):,.0f} MiB/s")
                cells.append(f"{median(1e3 * one[f'cpu_{verb}'] / mib for one in ones):.2f} ms")
            rows.append([*cells, f"{max(one['peak'] for one in ones) / 2**20:,.0f} MiB"])
        where = "SQLite" if storage == "sqlite" else found["server"]
        header = [cell for verb in done for cell in (VERBS[verb], "CPU")]
        print_table(f"{mib:,} MiB in {where}", ("", *header, "memory"), rows)
        for verb in done:
            for ours, theirs in (("stowfast", f"{driver}, hashed"), ("blobs", driver), ("stowfast", driver)):
                spread = Spread.of(one[theirs][verb] / one[ours][verb] for one in rounds)
                promise = f"{VERBS[verb]}, {where}: {ours} to {theirs}"
                target = HASHED if theirs.endswith("hashed") else TARGETS[storage]
                judged.append(Bar.at_least(promise, target, " x", spread))
        peaks = [one["stowfast"]["peak"] / 2**20 for one in rounds]
        judged.append(Bar.at_most(f"memory, {where}", PEAK_MIB, " MiB", Spread.of(peaks)))
    rows = [[name, as_requests(kinds)] for name, kinds in found["requests"].items()]
    print_table(f"Requests of opening, writing and reading {COUNTED_MIB} MiB", ("", ""), rows)
    print_bars("Bars", judged)
    return judged
