"""Stowfast and Google's ADK, which stores artifacts whole, in turns: large artifacts, crowds, lists."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from bench.harness import proxy
from bench.harness.contender import once
from bench.harness.peers import new_folder
from bench.harness.server import server
from bench.harness.table import as_requests, machine, print_table
from bench.suites.artifacts.workloads import WHOLE, Job
from bench.suites.s3.published import LATENCIES

if TYPE_CHECKING:
    from argparse import Namespace

    from bench.harness.bars import Bar
    from bench.harness.contender import Figures
    from bench.harness.rounds import Say

__all__ = ["run"]

LARGE_MIB: Final = 64
CROWDS: Final = (10, 12)
LISTED: Final = 100
NAMES: Final = {"file": ("stowfast", "adk_file"), "s3": ("stowfast", "adk_s3")}


def run(options: Namespace, say: Say) -> tuple[list[Bar], dict[str, Any]]:
    found = measure(options.half, options.endpoint, say)
    print(f"\n{machine()}\n")
    show(found)
    return [], found


def measure(rounds: int, endpoint: str | None, say: Say) -> dict[str, Any]:
    """Run everything, and return the figures of each: of a large artifact by rounds, of the others once."""
    found: dict[str, Any] = {"file": {}, "s3": {}}

    def turns(storage: str, folder: str, workload: str, size: int, **more: Any) -> dict[str, Figures]:
        done = {}
        for name in NAMES[storage]:
            job = Job(workload=workload, location=f"{folder}/{uuid4().hex}", size=size, **more)
            done[name] = once("artifacts", WHOLE[name], job)
        say(f"{workload} of {size}, {'files' if storage == 'file' else 'the bucket'}")
        return done

    with new_folder() as folder:
        found["file"]["whole"] = [turns("file", folder, "whole", LARGE_MIB) for _ in range(rounds)]
        for size in CROWDS:
            found["file"][f"crowd of {size}"] = turns("file", folder, "crowd", size)
        found["file"]["lists"] = turns("file", folder, "lists", LISTED)
    with server(endpoint) as here, proxy.running(here.endpoint) as between:
        found["server"], bucket = here.name, here.bucket
        found["s3"]["whole"] = [turns("s3", bucket, "whole", LARGE_MIB, endpoint=here.endpoint) for _ in range(rounds)]
        counted = {"endpoint": between, "counted": True}
        proxy.set_delays(between, LATENCIES)
        for size in CROWDS:
            found["s3"][f"crowd of {size}"] = turns("s3", bucket, "crowd", size, **counted)
        proxy.set_delays(between, {})
        found["s3"]["lists"] = turns("s3", bucket, "lists", LISTED, **counted)
    return found


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    for storage, where in (("file", "files"), ("s3", found["server"])):
        here = found[storage]
        names = NAMES[storage]
        rows = []
        for name in names:
            ones = [one[name] for one in here["whole"]]
            speeds = [f"{median(1e3 * one[what] for one in ones):,.0f} ms" for what in ("save", "load")]
            growth = [
                f"{max(one[what] - one['before'] for one in ones) / 2**20:,.0f} MiB" for what in ("saved", "peak")
            ]
            rows.append([WHOLE[name].label, *speeds, *growth, f"{max(one['peak'] for one in ones) / 2**20:,.0f} MiB"])
        print_table(
            f"An artifact of {LARGE_MIB} MiB as bytes, in {where}",
            ("", "save", "load", "memory to save", "and load", "in all"), rows,
        )  # fmt: skip
        rows = [_crowd(name, size, here[f"crowd of {size}"][name]) for size in CROWDS for name in names]
        print_table(
            f"Tasks that save a version of one artifact at once, in {where}",
            ("", "writers", "took", "stored", "found again", "requests"), rows,
        )  # fmt: skip
        rows = []
        for name in names:
            one = here["lists"][name]
            for figure, of in (("names", "names"), ("described", "names and types")):
                rows.append(
                    [WHOLE[name].label, of, f"{1e3 * one[figure]:,.0f} ms", _requests(one[f"{figure} requests"])]
                )
        print_table(f"A list of {LISTED} artifacts, in {where}", ("", "of", "took", "requests"), rows)
    failed = {
        f"{WHOLE[name].label}: {error}"
        for storage, names in NAMES.items() for size in CROWDS for name in names
        for error in found[storage][f"crowd of {size}"][name]["failed"]
    }  # fmt: skip
    for complaint in sorted(failed):
        print(complaint)


def _crowd(name: str, size: int, one: Figures) -> list[str]:
    stored = [str(one["acknowledged"]), str(one["kept"])]
    return [WHOLE[name].label, str(size), f"{1e3 * one['crowd']:,.0f} ms", *stored, _requests(one["crowd requests"])]


def _requests(kinds: dict[str, float] | None) -> str:
    return "none" if kinds is None else f"{sum(kinds.values()):.0f} ({as_requests(kinds)})"
