"""Child processes of tests: scripts with a printed line for each answer, for races and kills."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Self

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random
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

    def kill(self, chance: Random, most_lines: int) -> list[str]:
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
