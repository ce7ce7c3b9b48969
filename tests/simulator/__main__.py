"""The soak: `python -m tests.simulator --seeds 1000000`. A seed that fails can be looked at with `--trace SEED`.

With `--tasks` it plays histories of the task store over the protocol, instead of histories of streams.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from functools import partial
from multiprocessing import Pool
from typing import Final

from tests.simulator.bucket import Violation
from tests.simulator.run import simulate
from tests.simulator.tasks.run import simulate_tasks

_CHUNK: Final = 250


def _play(seeds: range, *, tasks: bool) -> tuple[Counter[str], list[tuple[int, str]]]:
    done: Counter[str] = Counter()
    broken = []
    for seed in seeds:
        try:
            done.update(simulate_tasks(seed) if tasks else simulate(seed))
        except Violation as violation:
            broken.append((seed, str(violation)))
    return done, broken


def _soak(first: int, seeds: int, jobs: int, *, tasks: bool) -> int:
    chunks = [range(at, min(at + _CHUNK, first + seeds)) for at in range(first, first + seeds, _CHUNK)]
    done: Counter[str] = Counter()
    broken: list[tuple[int, str]] = []
    began = time.monotonic()
    with Pool(jobs) as pool:
        for number, (more, failed) in enumerate(pool.imap_unordered(partial(_play, tasks=tasks), chunks), 1):
            done.update(more)
            for seed, violation in failed:
                print(f"\nseed {seed}: {violation}")
            broken += failed
            played = min(number * _CHUNK, seeds)
            rate = played / (time.monotonic() - began)
            print(f"\r{played:,} of {seeds:,} histories, {rate:.0f}/s, {len(broken)} broken", end="", flush=True)
    print(f"\nseeds {first} to {first + seeds - 1}, in {time.monotonic() - began:.0f} s:")
    for what, count in sorted(done.items()):
        print(f"{count:15,} {what}")
    print(f"{len(broken):15,} broken{': seeds ' if broken else ''}{', '.join(str(seed) for seed, _ in broken[:20])}")
    return 1 if broken else 0


def _main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1_000_000, help="how many histories")
    parser.add_argument("--first", type=int, default=0, help="the seed of the first")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--tasks", action="store_true", help="of tasks, not of streams")
    parser.add_argument("--trace", type=int, metavar="SEED", help="play one, and show every request")
    options = parser.parse_args()
    if options.trace is None:
        return _soak(options.first, options.seeds, options.jobs, tasks=options.tasks)
    try:
        (simulate_tasks if options.tasks else simulate)(options.trace, trace=print)
    except Violation as violation:
        print(violation)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(_main())
