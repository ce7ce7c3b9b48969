"""A PostgreSQL of our own, in a folder, on a free port, with its default settings: a commit waits for the disk."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from bench.harness.peers import HOME, make_home
from tests.services.process import HOST, ServiceError, free_port, tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["Postgres", "server"]

START_SECONDS: Final = 30
DEBIAN: Final = Path("/usr/lib/postgresql")
USERS: Final = ("postgres", "nobody")
"""Users of its processes where we are root, which PostgreSQL refuses."""


class Postgres:
    """A running server, and its programs."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.programs, self.folder = programs, folder
        self.port = free_port()
        said = self.run("postgres", "--version").stdout
        self.name = f"PostgreSQL {said.split()[2]}"

    def url(self, database: str) -> str:
        return f"postgresql://bench@{HOST}:{self.port}/{database}"

    def ask(self, database: str, statement: str) -> str:
        """Run one statement and return its output."""
        return self.run("psql", "-XAtq", "-d", self.url(database), "-c", statement).stdout.strip()

    def size(self, database: str) -> int:
        """Count the bytes of all tables, with their indexes and TOAST tables."""
        tables = "SELECT coalesce(sum(pg_total_relation_size(relid)), 0) FROM pg_stat_user_tables"
        return int(self.ask(database, tables))

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.programs / program, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=True,
            **_other(),
        )


@contextmanager
def server() -> Iterator[Postgres]:
    """Have a server.

    Raises:
        ServiceError: no server could be started; the message says why.
    """
    programs = _programs()
    make_home()
    folder = Path(tempfile.mkdtemp(dir=HOME, prefix="postgres-"))
    try:
        if other := _other():
            shutil.chown(folder, other["user"], other["group"])
        here = Postgres(programs, folder)
        _make(here)
        log = folder / "log"
        settings = (f"listen_addresses={HOST}", f"port={here.port}", "unix_socket_directories=")
        with log.open("wb") as out:
            process = subprocess.Popen(
                [programs / "postgres", "-D", folder / "data", *(word for one in settings for word in ("-c", one))],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **_other(),
            )  # fmt: skip
        try:
            wait_until(lambda: process.poll() is not None or _ready(here), START_SECONDS)
            if process.poll() is not None or not _ready(here):
                raise ServiceError(f"PostgreSQL does not answer\n{tail([log])}")
            yield here
        finally:
            process.send_signal(signal.SIGQUIT)  # its immediate shutdown, without a checkpoint: the folder is deleted
            process.wait(START_SECONDS)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _make(here: Postgres) -> None:
    try:
        here.run("initdb", f"--pgdata={here.folder / 'data'}", "--username=bench", "--auth=trust", "--encoding=UTF8")
    except subprocess.CalledProcessError as error:
        raise ServiceError(f"initdb says: {error.stderr}") from error


def _programs() -> Path:
    """Find the folder of the programs: that of the server on the path, else the newest of Debian."""
    if found := shutil.which("postgres"):
        return Path(found).resolve().parent
    of_debian = sorted(DEBIAN.glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    if not of_debian:
        raise ServiceError("PostgreSQL is not installed; on Debian or Ubuntu: apt-get install postgresql")
    return of_debian[-1].parent


def _other() -> dict[str, Any]:
    if os.geteuid() != 0:
        return {}
    for name in USERS:
        try:
            found = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": ()}
    raise ServiceError("PostgreSQL refuses root, and there is no other user here")


def _ready(here: Postgres) -> bool:
    try:
        return here.ask("postgres", "SELECT 1") == "1"
    except subprocess.CalledProcessError:
        return False
