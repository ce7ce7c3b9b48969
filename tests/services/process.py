"""Daemons that outlive their starter: known by a file, ended through this file, never by name."""

from __future__ import annotations

import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

HOST = "127.0.0.1"
# Below what Linux and macOS give to outgoing connections, which would take a port between the choice and its use.
PORTS = range(20_000, 32_000)


class ServiceError(RuntimeError):
    """A needed service cannot be started; the message has the reason and the end of its logs."""


def free_port() -> int:
    """A free port. Drawn at random, so parallel runs hardly ever draw the same."""
    for port in random.sample(PORTS, 50):
        with socket.socket() as trial, suppress(OSError):
            trial.bind((HOST, port))
            return port
    raise ServiceError(f"no free port was found from {PORTS.start} to {PORTS.stop}")


def answers(port: int, path: str = "/") -> bool:
    """Whether something speaks HTTP on this port and is content."""
    connection = http.client.HTTPConnection(HOST, port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def tail(logs: Iterable[Path], lines: int = 15) -> str:
    """The last lines of each log, under its name."""
    found = ((log, log.read_text(encoding="utf-8", errors="replace").splitlines()) for log in logs if log.is_file())
    return "\n".join(f"--- {log.name}\n" + "\n".join(text[-lines:]) for log, text in found if text)


def wait_until(done: Callable[[], bool], seconds: float) -> bool:
    """Ask until the answer is yes; False when the time is over."""
    end = time.monotonic() + seconds
    while not done():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def detach(command: list[str], log: Path, env: Mapping[str, str] | None = None) -> int:
    """Start a process that outlives this one, with its output in `log`. Return its id.

    Not a Popen, which warns when it is collected before its process; of its own group, so that Ctrl-C spares it.
    """
    write = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_OPEN, 1, str(log), write, 0o644),
        (os.POSIX_SPAWN_DUP2, 1, 2),
    ]
    return os.posix_spawnp(command[0], command, env or os.environ, file_actions=actions, setpgroup=0)


class Daemon:
    """A process by its file: its id and its start, so a later one with the same id is spared.

    Reads `/proc`: Linux.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def start(self, command: list[str], log: Path) -> None:
        if self.running():
            raise ServiceError(f"{self.file.stem} is running already")
        pid = detach(command, log)
        self.file.write_text(f"{pid} {_began(pid)}", encoding="utf-8")

    def running(self) -> bool:
        pid, began = self._known()
        return began is not None and _began(pid) == began

    def end(self, patience: float = 10) -> None:
        """Ask it to end, and after `patience` seconds make it. It is gone when this returns."""
        for number, seconds in ((signal.SIGTERM, patience), (signal.SIGKILL, 30)):
            if seconds and self.running():
                with suppress(ProcessLookupError):
                    os.kill(self._known()[0], number)
                wait_until(lambda: not self.running(), seconds)
        if self.running():
            raise ServiceError(f"{self.file.stem}, process {self._known()[0]}, cannot be ended")
        self.file.unlink(missing_ok=True)

    def kill(self) -> None:
        """End it as a power cut would."""
        self.end(patience=0)

    def _known(self) -> tuple[int, str | None]:
        try:
            pid, began = self.file.read_text(encoding="utf-8").split()
        except (FileNotFoundError, ValueError):
            return 0, None
        return int(pid), began


def _began(pid: int) -> str | None:
    """When it began, in ticks since the machine did; None where it has ended, even if nobody has asked how yet."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
            # The name stands in parentheses and may hold anything; behind it, the state is first and the start 20th.
            fields = stat.read().rpartition(")")[2].split()
        threads = len(os.listdir(f"/proc/{pid}/task"))
    except (FileNotFoundError, ProcessLookupError):
        return None
    # A zombie's other threads may still hold its files and locks: then it has not ended.
    return None if fields[0] in "ZX" and threads <= 1 else fields[19]


class Child:
    """A server without shared state. It lives as long as its starter keeps it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.endpoint = f"http://{HOST}:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        """Returns when it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "log"
        with log.open("wb") as out:
            process = self._process = subprocess.Popen(self.command(), stdout=out, stderr=out, cwd=self.folder)
        wait_until(lambda: answers(self.port) or process.poll() is not None, 60)
        if process.poll() is not None or not answers(self.port):
            self.stop()
            raise ServiceError(f"{' '.join(self.command())}\ndoes not answer\n{tail([log])}")

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait(10)

    def remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
