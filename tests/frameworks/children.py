"""Child processes of tests: scripts with a printed line for each answer, for races and kills."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

KILLABLE = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")


class Child:
    """A running script. The end of the block ends it."""

    def __init__(self, script: str, *arguments: str) -> None:
        command = [sys.executable, "-W", "ignore", "-c", script, *arguments]
        # No child sends traces to anybody.
        environment = os.environ | {"OPENAI_AGENTS_DISABLE_TRACING": "1"}
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.lines: list[str] = []
        """The lines read so far."""

    def read(self, count: int | None = None) -> None:
        """Read lines, all without a count. Each must be whole: a killed writer may leave half of one."""
        assert self._process.stdout is not None
        while count is None or count > 0:
            line = self._process.stdout.readline()
            if not line.endswith("\n"):
                return
            self.lines.append(line.removesuffix("\n"))
            count = None if count is None else count - 1

    def finish(self) -> list[str]:
        """Wait for the end, check it, and return all lines."""
        self.read()
        assert self._process.wait() == 0
        return self.lines

    def kill(self, chance: random.Random, most_lines: int) -> list[str]:
        """Read some lines, kill it within two milliseconds, and return all of its lines."""
        self.read(chance.randrange(1, most_lines + 1))
        moment = time.perf_counter_ns() + chance.randrange(2_000_000)
        while time.perf_counter_ns() < moment:
            pass
        os.kill(self._process.pid, signal.SIGKILL)
        self.read()
        assert self._process.wait() == -signal.SIGKILL, "it had ended before"
        return self.lines

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()


def race(script: str, *argument_lists: Iterable[str]) -> list[list[str]]:
    """Run the script at once with each list of arguments, to the end, and return the lines of each."""
    children = [Child(script, *arguments) for arguments in argument_lists]
    try:
        return [child.finish() for child in children]
    finally:
        for child in children:
            child.__exit__(None, None, None)


def kill_writers(script: str, kills: int, arguments: Callable[[str], Sequence[str]], most_lines: int) -> dict[str, int]:
    """Run a writer and kill it, again and again, and return how many numbers each has told.

    Each has a name of its own: a server may store the last request of a dead writer when the next one has begun.
    """
    chance, told = random.Random(kills), dict[str, int]()
    for name in (f"w{kill}" for kill in range(kills)):
        with Child(script, *arguments(name)) as child:
            told[name] = sum(line.isdigit() for line in child.kill(chance, most_lines))
    return told


def by_writer(texts: Iterable[object]) -> dict[str, list[int]]:
    """Return the numbers of each writer in texts as `w1-23`, in their order."""
    found: dict[str, list[int]] = {}
    for text in texts:
        name, _, number = str(text).rpartition("-")
        found.setdefault(name, []).append(int(number))
    return found


def check_writers(url: str, told: Mapping[str, int], found: Mapping[str, list[int]]) -> None:
    """Check that the numbers of each killed writer are there once and in order, and none that it told is missing."""
    assert found.keys() <= told.keys()
    for name, count in told.items():
        numbers = found.get(name, [])
        assert numbers == list(range(len(numbers)))
        assert len(numbers) - count in {0, 1}  # one may have been stored without an answer
    sums = sum(told.values()), sum(map(len, found.values()))
    print(f"{url.partition(':')[0]}: kills {len(told)}, acknowledged {sums[0]}, found {sums[1]}")
    assert sums[0] > 0
