"""A PostgreSQL server of the tests' own, in a folder of its own, as another user than root.

`STOWFAST_TEST_POSTGRES_URL` names another server. Debian's and Ubuntu's package `postgresql` is installed as root.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import uuid
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from tests.services.process import HOST, Daemon, ServiceError, free_port, tail, wait_until

if TYPE_CHECKING:
    from tests.services.certificates import Certificate

NAMED = "STOWFAST_TEST_POSTGRES_URL"
PACKAGE = "postgresql"
NEEDED = f"PostgreSQL is not installed; on Debian or Ubuntu: apt-get install {PACKAGE}, or set {NAMED}"
USER = "stowfast"
PASSWORD = "a secret/of the+tests"
OPTIONS = ("-c", f"listen_addresses={HOST}", "-c", "max_connections=200", "-c", "fsync=on")


@dataclass(frozen=True)
class PostgresServer:
    """A running server. `url()` names a new schema."""

    endpoint: str

    def url(self, schema: str | None = None, *, database: str = "postgres") -> str:
        """Return a URL as Stowfast takes it."""
        return f"{self.endpoint}/{database}?schema={schema or f't{uuid.uuid4().hex}'}"

    def run(self, *statements: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run statements as the owner of the server, and return the rows of the last one.

        One caller at a time: two grants or drops that update the same row of the catalogue are refused as concurrent.
        """
        postgres = f"{self.endpoint}/postgres"
        with (
            psycopg.connect(postgres) as lock,
            psycopg.connect(f"{self.endpoint}/{database}", autocommit=True) as connection,
        ):
            lock.execute("SELECT pg_advisory_xact_lock(1)")
            rows: list[tuple[Any, ...]] = []
            for statement in statements:
                cursor = connection.execute(statement.encode())
                rows = cursor.fetchall() if cursor.description else []
            return rows


def programs() -> Path | None:
    """Return the folder with the server's programs; None if there is none."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    initdb = shutil.which("initdb")
    return None if initdb is None else Path(initdb).parent


def can_install() -> bool:
    return sys.platform == "linux" and shutil.which("apt-get") is not None and os.geteuid() == 0


def missing() -> str | None:
    """Return the reason why this machine has no server; None if it has one. In CI a missing server is an error."""
    if os.environ.get(NAMED) or programs() is not None or can_install():
        return None
    if os.environ.get("CI", "").lower() in {"true", "1"}:
        raise ServiceError(NEEDED)
    return NEEDED


def install(package: str = PACKAGE, program: str | None = None) -> None:
    """Install a package, unless its program is there. Tried twice, as a mirror may be in the middle of an update."""

    def is_there() -> bool:
        return programs() is not None if program is None else Path(program).exists()

    if is_there():
        return
    if not can_install():
        raise ServiceError(NEEDED if program is None else f"{program} is missing: apt-get install {package}")
    print(f"{package} is not installed: apt-get install {package} ...", flush=True)
    apt = ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=120"]
    # The package starts a server of its own, which nobody here needs.
    env = os.environ | {"DEBIAN_FRONTEND": "noninteractive", "RUNLEVEL": "1"}
    said = ""
    for _ in range(2):
        for command in ([*apt, "update"], [*apt, "install", "--yes", "--no-install-recommends", package]):
            done = subprocess.run(
                command, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600, check=False
            )
            said = done.stdout[-1000:] + done.stderr[-1000:]
        if is_there():
            return
    raise ServiceError(f"{package} could not be installed\n{said}")


class Postgres:
    """One server and its folder. It may be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        self._note = folder
        self.folder = Path(tempfile.mkdtemp(prefix="stowfast-postgres-"))
        self.port = free_port()
        self.options: list[str] = []
        """Options of its command line, of this server alone."""
        self._daemon = Daemon(self.folder / "postgres.pid")
        self._log = self.folder / "postgres.log"

    @property
    def endpoint(self) -> str:
        """The start of a URL, with the password as a URL writes it."""
        return f"postgresql://{USER}:a%20secret%2Fof%20the%2Btests@{HOST}:{self.port}"

    def start(self) -> None:
        install()
        self._make()
        self.run()

    def run(self) -> None:
        """Start the server on its data."""
        found = programs()
        assert found is not None
        command = [str(found / "postgres"), "-D", str(self.folder / "data"), "-k", "", "-p", str(self.port), *OPTIONS]
        command += self.options
        self._daemon.start([*as_user(), *command], self._log)
        if not wait_until(self.answers, 60):
            raise ServiceError(f"PostgreSQL did not come up\n{tail([self._log])}")

    def answers(self) -> bool:
        found = programs()
        assert found is not None
        ready = [str(found / "pg_isready"), "-h", HOST, "-p", str(self.port), "-q"]
        return subprocess.run(ready, check=False, timeout=10).returncode == 0

    def serve_tls(self, certificate: Certificate) -> None:
        """Serve a certificate from the next start or reload on."""
        for source, name in zip(certificate, ("server.pem", "server.key"), strict=True):
            copy = self.folder / name
            shutil.copyfile(source, copy)
            copy.chmod(0o600)  # the server refuses a key that others may read
            shutil.chown(copy, user=user())
        files = ["-c", f"ssl_cert_file={self.folder}/server.pem", "-c", f"ssl_key_file={self.folder}/server.key"]
        self.options = ["-c", "ssl=on", *files]

    def start_standby_of(self, primary: Postgres) -> None:
        """Start as a streaming replica that can be promoted."""
        found = programs()
        assert found is not None
        shutil.chown(self.folder, user=user())
        copy = [str(found / "pg_basebackup"), "-D", str(self.folder / "data"), "-R", "-X", "stream", "-c", "fast"]
        subprocess.run(
            [*as_user(), *copy, "-d", f"{primary.endpoint}/postgres", "--no-sync"],
            cwd=self.folder, check=True, capture_output=True, timeout=120,
        )  # fmt: skip
        self.run()

    def promote(self) -> None:
        """Make a primary of a standby, and wait until it takes writes."""
        found = programs()
        assert found is not None
        command = [str(found / "pg_ctl"), "-D", str(self.folder / "data"), "-w", "promote"]
        subprocess.run([*as_user(), *command], check=True, capture_output=True, timeout=90)

    def stop_at_once(self, patience: int = 60) -> None:
        """Stop as `pg_ctl stop -m immediate`: no checkpoint, no goodbye to clients."""
        found = programs()
        assert found is not None
        command = [str(found / "pg_ctl"), "-D", str(self.folder / "data"), "-m", "immediate", "-w", "stop"]
        command += ["-t", str(patience)]
        subprocess.run([*as_user(), *command], check=True, capture_output=True, timeout=patience + 10)
        wait_until(lambda: not self._daemon.running(), 30)

    def processes(self) -> list[int]:
        """Return the ids of its first process and of the children. Reads `/proc`: Linux."""
        first = (self.folder / "data" / "postmaster.pid").read_text(encoding="utf-8").split()[0]
        children = Path(f"/proc/{first}/task/{first}/children").read_text(encoding="utf-8")
        return [int(first), *map(int, children.split())]

    def remove(self) -> None:
        with suppress(Exception):
            self.stop_at_once(patience=5)  # of processes that stood still until now, some need a minute
        self._daemon.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _make(self) -> None:
        found = programs()
        assert found is not None
        secret = self.folder / "password"
        secret.write_text(PASSWORD, encoding="utf-8")
        for path in (self.folder, secret):
            shutil.chown(path, user=user())
        made = subprocess.run(
            [
                *(*as_user(), str(found / "initdb"), "-D", str(self.folder / "data"), "-U", USER),
                *("--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--locale=C", "--no-sync"),
            ],
            cwd=self.folder, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        if made.returncode:
            raise ServiceError(f"initdb failed\n{made.stdout[-1000:]}{made.stderr[-1000:]}")


def user() -> str:
    """Return the user of the server: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    return "postgres" if any(one.pw_name == "postgres" for one in pwd.getpwall()) else "nobody"


def as_user() -> list[str]:
    if os.geteuid() != 0:
        return []
    found = pwd.getpwnam(user())
    return ["setpriv", f"--reuid={found.pw_uid}", f"--regid={found.pw_gid}", "--clear-groups"]


if __name__ == "__main__" and missing() is None and not os.environ.get(NAMED):
    install()
