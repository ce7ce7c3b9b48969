"""Lets Stowfast and Google's ADK, which keep an agent's artifacts whole, take turns: large ones, crowds, lists."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from bench.peers import HOME, ROOT, peers_python
from bench.table import print_table

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["measure", "show"]

MIB: Final = 64
CROWDS: Final = (10, 12)
LISTED: Final = 100

OURS, ADK_FILE, ADK_S3 = "stowfast_whole", "adk_file", "adk_s3"
NAMES: Final = {OURS: "Stowfast", ADK_FILE: "ADK FileArtifactService", ADK_S3: "ADK S3ArtifactService"}
PEERS: Final = {"file": ADK_FILE, "s3": ADK_S3}

Figures = dict[str, Any]


def measure(rounds: int, endpoint: str | None, say: Callable[[str], None]) -> dict[str, Any]:
    """Run everything, and return the figures of each: of a large artifact by rounds, of the others once."""
    # The server comes with what the tests need.
    from bench.s3 import proxy
    from bench.s3.published import LATENCIES
    from bench.s3.server import server

    pythons = {OURS: sys.executable, ADK_FILE: str(peers_python("bench-adk"))}
    pythons[ADK_S3] = pythons[ADK_FILE]
    found: dict[str, Any] = {"file": {}, "s3": {}}

    def turns(place: str, where: Callable[[str], str], workload: str, size: int, **options: Any) -> dict[str, Figures]:
        names = (OURS, PEERS[place])
        done = {name: _run(pythons[name], name, workload, where(name), size, **options) for name in names}
        say(f"{workload} of {size}, {'files' if place == 'file' else 'the bucket'}")
        return done

    HOME.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=HOME) as folder:

        def path(name: str) -> str:
            at = Path(folder) / uuid4().hex
            return f"sqlite:///{at}" if name == OURS else str(at)

        found["file"]["whole"] = [turns("file", path, "whole", MIB) for _ in range(rounds)]
        for size in CROWDS:
            found["file"][f"crowd of {size}"] = turns("file", path, "crowd", size)
        found["file"]["lists"] = turns("file", path, "lists", LISTED)
    with server(endpoint) as here:
        found["server"] = here.name

        def url(address: str) -> Callable[[str], str]:
            return lambda _: f"s3://{here.bucket}/{uuid4().hex}?endpoint_url={address}"

        whole = url(here.endpoint)
        environment = here.environment
        found["s3"]["whole"] = [turns("s3", whole, "whole", MIB, environment=environment) for _ in range(rounds)]
        with proxy.running(here.endpoint) as between:
            counted = {"environment": environment, "counted": True}
            proxy.set_delays(between, LATENCIES)
            for size in CROWDS:
                found["s3"][f"crowd of {size}"] = turns("s3", url(between), "crowd", size, **counted)
            proxy.set_delays(between, {})
            found["s3"]["lists"] = turns("s3", url(between), "lists", LISTED, **counted)
    return found


def _run(
    python: str, name: str, workload: str, where: str, size: int,
    *, environment: dict[str, str] | None = None, counted: bool = False,
) -> Figures:  # fmt: skip
    command = [python, "-m", f"bench.artifacts.services.{name}", workload, where, str(size)]
    done = subprocess.run(
        [*command, "counted"] if counted else command, cwd=ROOT, env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    figures: Figures = json.loads(done.stdout)
    return figures


def show(found: dict[str, Any]) -> None:
    """Print the tables."""
    for place, where in (("file", "files"), ("s3", found["server"])):
        here = found[place]
        names = (OURS, PEERS[place])
        rows = []
        for name in names:
            ones = [one[name] for one in here["whole"]]
            speeds = [f"{median(1e3 * one[what] for one in ones):,.0f} ms" for what in ("save", "load")]
            growth = [
                f"{max(one[what] - one['before'] for one in ones) / 2**20:,.0f} MiB" for what in ("saved", "peak")
            ]
            rows.append([NAMES[name], *speeds, *growth, f"{max(one['peak'] for one in ones) / 2**20:,.0f} MiB"])
        print_table(
            f"An artifact of {MIB} MiB as bytes, in {where}",
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
            for what, said in (("names", "names"), ("described", "names and types")):
                rows.append([NAMES[name], said, f"{1e3 * one[what]:,.0f} ms", _requests(one[f"{what} requests"])])
        print_table(f"A list of {LISTED} artifacts, in {where}", ("", "of", "took", "requests"), rows)
    for complaint in sorted({
        f"{NAMES[name]}: {said}"
        for place, peer in PEERS.items() for size in CROWDS for name in (OURS, peer)
        for said in found[place][f"crowd of {size}"][name]["failed"]
    }):  # fmt: skip
        print(complaint)


def _crowd(name: str, size: int, one: Figures) -> list[str]:
    stored = [str(one["acknowledged"]), str(one["kept"])]
    return [NAMES[name], str(size), f"{1e3 * one['crowd']:,.0f} ms", *stored, _requests(one["crowd requests"])]


def _requests(kinds: dict[str, int] | None) -> str:
    if kinds is None:
        return "none"
    told = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
    return f"{sum(kinds.values())} ({told})"
