"""One server for all workers of a test run: the first that needs it begins it, and it ends when the run does.

The run is the life of pytest's main process, which holds a lock on a file. Each server has a keeper, a process that
waits for that lock: it is given even when pytest was killed, so nothing is ever left running.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tests.services.azurite import Azurite
from tests.services.ceph import Ceph
from tests.services.postgres import Postgres
from tests.services.process import ServiceError, detach, tail, wait_until
from tests.services.stand_in import StandIn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
RUN = "STOWFAST_TEST_RUN"  # names the folder of the run to workers, which inherit it


class Service(Protocol):
    """A server to keep."""

    @property
    def endpoint(self) -> str: ...
    def start(self) -> None: ...
    def remove(self) -> None: ...


SERVICES: dict[str, Callable[[Path], Service]] = {
    "ceph": Ceph,
    "faulty": StandIn,
    "azurite": Azurite,
    "postgres": Postgres,
}


@contextmanager
def run() -> Iterator[None]:
    """The life of a test run; inside another run, the life of the outer one."""
    if RUN in os.environ:
        yield
        return
    folder = Path(tempfile.mkdtemp(prefix="stowfast-"))
    os.environ[RUN] = str(folder)
    try:
        with locked(folder / "run", fcntl.LOCK_SH):
            yield
    finally:
        del os.environ[RUN]
        stuck = [log for log in folder.glob("*.log") if not wait_until(log.with_suffix(".ended").exists, 60)]
        if stuck:
            print(f"what is kept in {folder} does not end\n{tail(stuck)}", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def folder_of(name: str) -> Path:
    return Path(os.environ[RUN]) / name


def begin(name: str) -> None:
    """Begin the start of the server."""
    folder = folder_of(name)
    with locked(folder.with_suffix(".lock")):
        log = folder.with_suffix(".log")
        if not log.exists():
            command = [sys.executable, "-m", "tests.services.shared", name, str(folder.parent)]
            detach(command, log, os.environ | {"PYTHONPATH": str(ROOT)})


def share(name: str) -> str:
    """The endpoint of the running server."""
    begin(name)
    answer = folder_of(name).with_suffix(".json")
    log = answer.with_suffix(".log")
    # Less than the time-out of a test, so that it is this message that is seen.
    if not wait_until(lambda: answer.exists() or answer.with_suffix(".ended").exists(), 100) or not answer.exists():
        raise ServiceError(f"{name} did not come up\n{tail([log])}")
    told: dict[str, str] = json.loads(answer.read_text(encoding="utf-8"))
    if "error" in told:
        raise ServiceError(told["error"])
    return told["endpoint"]


def keep(name: str, run_folder: Path) -> None:
    """Start the server, and end it when the run has ended."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    service = SERVICES[name](run_folder / name)
    answer = run_folder / f"{name}.json"
    try:
        try:
            service.start()
            told = {"endpoint": service.endpoint}
        except ServiceError as error:
            told = {"error": str(error)}
        unfinished = answer.with_suffix(".new")
        unfinished.write_text(json.dumps(told), encoding="utf-8")
        unfinished.rename(answer)
        with locked(run_folder / "run"):
            pass
    finally:
        service.remove()
        answer.with_suffix(".ended").touch()


@contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    with path.open("a") as file:
        fcntl.flock(file, how)
        yield


if __name__ == "__main__":
    keep(sys.argv[1], Path(sys.argv[2]))
