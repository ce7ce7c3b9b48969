"""Commands run in this process as on a screen of 80 columns; the fixture `piped` takes the screen away."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from stowfast.cli import terminal

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(autouse=True)
def screen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(terminal, "is_terminal", lambda stream: stream is sys.stdout)


@pytest.fixture
def piped(screen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "is_terminal", lambda _: False)


@pytest.fixture
def on_terminal() -> Callable[..., str]:
    """Run a command with stdout on a terminal of so many columns, and return its text."""

    def run(command: list[str], columns: int, **options: Any) -> str:
        environment = {**os.environ, "TERM": "dumb", **options.pop("env", {}), "COLUMNS": str(columns)}
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (50, columns))
        try:
            with subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=theirs, env=environment, **options
            ) as child:
                os.close(theirs)
                seen = bytearray()
                with suppress(OSError):  # EIO: the other end is closed
                    while piece := os.read(ours, 65_536):
                        seen += piece
        finally:
            os.close(ours)
        assert child.returncode == 0
        return seen.decode().replace("\r\n", "\n")

    return run
