"""Processes that append to one SQLite file at once: Stowfast, and `sqlite3` by hand with its busy handler.

    python -m bench.suites.sqlite.processes stowfast:StowfastSync FILE CONVERSATION MESSAGES

is one of them. It opens the file, says so, begins when it is told to, and prints its figures.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import asdict
from importlib import import_module
from typing import TYPE_CHECKING, Final

from bench.harness.peers import ROOT
from bench.harness.stopwatch import Effort
from bench.suites.conversations import conversation
from bench.suites.sqlite.workloads import FULL, RAW, Job

if TYPE_CHECKING:
    from pathlib import Path

    from bench.harness.contender import Figures
    from bench.harness.rounds import Results

__all__ = ["add_crowds", "crowd_name"]

_CONTENDERS: Final = {RAW: "by_hand:Patient", "stowfast_sync": "stowfast:StowfastSync"}


def crowd_name(count: int) -> str:
    """Return the name of the workload of so many processes."""
    return f"{count} processes"


def add_crowds(results: Results, folder: Path, counts: tuple[int, ...], each: int, *, ours_first: bool) -> None:
    """Let so many processes append to conversations of their own in one file, one contender after the other.

    The figures: `per_second` of all until the last one has ended, microseconds of CPU of all for a message, and
    `slowest`, the longest append in milliseconds.
    """
    for count in counts:
        for name in sorted(_CONTENDERS, reverse=ours_first):
            file = folder / f"{name}.{count}.db"
            results[crowd_name(count)][name].append(_crowd(file, _CONTENDERS[name], count, each))


def _crowd(file: Path, contender: str, count: int, each: int) -> Figures:
    command = [sys.executable, "-m", "bench.suites.sqlite.processes", contender, str(file)]
    crowd = []
    for number in range(count):
        crowd.append(
            subprocess.Popen(
                [*command, f"conversation-{number}", str(each)],
                cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )
        )  # fmt: skip
        if number == 0:
            _await_opening(crowd[0])  # it makes the tables
    for process in crowd[1:]:
        _await_opening(process)
    began = time.monotonic()
    for process in crowd:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    answers = [process.communicate()[0] for process in crowd]
    for one in file.parent.glob(file.name + "*"):
        one.unlink()
    if not all(answers):
        return {"error": f"{answers.count('')} of {count} processes ended with an error"}
    found = [json.loads(answer) for answer in answers]
    return {
        "per_second": count * each / (max(one["ended"] for one in found) - began),
        "cpu": sum(one["cpu"] for one in found) / count,
        "slowest": max(one["slowest"] for one in found) * 1e3,
    }


def _await_opening(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    process.stdout.readline()


def _append(contender: str, file: str, name: str, count: int) -> None:
    module, _, kind = contender.partition(":")
    store = getattr(import_module(f"bench.suites.sqlite.contenders.{module}"), kind)()
    messages = conversation(count)
    store.open(Job(workload="processes", location=file, sizes=asdict(FULL)))
    store.add(name, messages[0])
    print("open", flush=True)
    sys.stdin.readline()
    effort, slowest = Effort(), 0.0
    for message in messages:
        began = time.perf_counter()
        store.add(name, message)
        slowest = max(slowest, time.perf_counter() - began)
    # The monotonic clock is the same in all processes of a machine.
    print(json.dumps({"slowest": slowest, "ended": time.monotonic(), **effort.a_call(count)}), flush=True)
    store.close()


if __name__ == "__main__":
    _append(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]))
