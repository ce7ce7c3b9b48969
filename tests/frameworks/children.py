"""Child processes of tests: scripts with a printed line for each answer, for races and kills."""

from __future__ import annotations

import os
import random
import signal
import tempfile
import time
from contextlib import ExitStack
from functools import cache
from multiprocessing import Pipe
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from tests.frameworks import nursery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from types import TracebackType

KILLABLE = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")


@cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="stowfast-scripts-")


@cache
def _file_of(script: str) -> str:
    path = Path(_folder().name) / f"{abs(hash(script))}.py"
    path.write_text(script, encoding="utf-8")
    return str(path)


class Child:
    """A running script, by its text. The end of the block ends it."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._output, output = Pipe(duplex=False)
        given, self._given = Pipe(duplex=False)
        self._process = nursery.start(_file_of(script), arguments, output, given)
        # Here the ends of the child are closed, so that its end is the end of its output.
        output.close()
        given.close()
        self._lines = os.fdopen(self._output.fileno(), encoding="utf-8", closefd=False)
        self.lines: list[str] = []
        """The lines read so far."""

    @property
    def has_ended(self) -> bool:
        return not self._process.is_alive()

    def read(self, count: int | None = None) -> None:
        """Read lines, all without a count. Each must be whole: a killed writer may leave half of one."""
        while count is None or count > 0:
            line = self._lines.readline()
            if not line.endswith("\n"):
                return
            self.lines.append(line.removesuffix("\n"))
            count = None if count is None else count - 1

    def give(self, line: str) -> None:
        """Write a line to the child's standard input."""
        os.write(self._given.fileno(), f"{line}\n".encode())

    def wait(self) -> int:
        """Wait for the end, and return its exit code: the negative number of the signal that killed it."""
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def finish(self) -> list[str]:
        """Wait for the end, check it, and return all lines."""
        self.read()
        assert self.wait() == 0
        return self.lines

    def kill(self, chance: random.Random, most_lines: int) -> list[str]:
        """Read some lines, kill it within two milliseconds, and return all of its lines."""
        self.read(chance.randrange(1, most_lines + 1))
        assert self.kill_within(chance, 2_000_000) == -signal.SIGKILL, "it had ended before"
        return self.lines

    def kill_within(self, chance: random.Random, most_nanoseconds: int) -> int:
        """Kill it at a moment of this span, read its last lines, and return its exit code."""
        moment = time.perf_counter_ns() + chance.randrange(most_nanoseconds)
        while time.perf_counter_ns() < moment:
            pass
        return self.kill_now()

    def kill_now(self) -> int:
        """Kill it, read its last lines, and return its exit code."""
        self._process.kill()
        self.read()
        return self.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.join()
        self._process.close()
        for pipe in (self._lines, self._output, self._given):
            pipe.close()


def race(script: str, *argument_lists: Iterable[str]) -> list[list[str]]:
    """Run the script at once with each list of arguments, to the end, and return the lines of each."""
    with ExitStack() as stack:
        children = [stack.enter_context(Child(script, *arguments)) for arguments in argument_lists]
        return [child.finish() for child in children]


def race_from_ready(script: str, *argument_lists: Iterable[str]) -> list[list[str]]:
    """The same for a script that says `ready`, waits for a line, and then begins; return the lines after that."""
    with ExitStack() as stack:
        children = [stack.enter_context(Child(script, *arguments)) for arguments in argument_lists]
        for child in children:
            child.read(1)
            assert child.lines == ["ready"]
        for child in children:
            child.give("go")
        return [child.finish()[1:] for child in children]


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
