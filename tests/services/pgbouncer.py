"""PgBouncer in transaction mode before a PostgreSQL server, as another user than root. Debian's package `pgbouncer`."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from tests.services import postgres
from tests.services.process import HOST, Daemon, ServiceError, free_port, tail, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAM = "/usr/sbin/pgbouncer"


@contextmanager
def pooled(server: postgres.PostgresServer, *, size: int = 4) -> Iterator[postgres.PostgresServer]:
    """Yield the same server by a pooler with `size` connections to it."""
    postgres.install("pgbouncer", PROGRAM)
    folder = Path(tempfile.mkdtemp(prefix="stowfast-pgbouncer-"))
    host, _, port = server.endpoint.rpartition("@")[2].partition(":")
    mine = free_port()
    (folder / "users").write_text(f'"{postgres.USER}" "{postgres.PASSWORD}"\n', encoding="utf-8")
    (folder / "settings").write_text(
        f"""
        [databases]
        * = host={host} port={port}
        [pgbouncer]
        listen_addr = {HOST}
        listen_port = {mine}
        unix_socket_dir =
        auth_type = plain
        auth_file = {folder}/users
        pool_mode = transaction
        default_pool_size = {size}
        max_client_conn = 200
        """.replace("        ", ""),
        encoding="utf-8",
    )
    for path in (folder, *folder.iterdir()):
        if os.geteuid() == 0:
            shutil.chown(path, user=postgres.user())
    log, daemon = folder / "log", Daemon(folder / "pid")
    try:
        daemon.start([*postgres.as_user(), PROGRAM, str(folder / "settings")], log)
        if not wait_until(lambda: _answers(mine), 30):
            raise ServiceError(f"PgBouncer did not come up\n{tail([log])}")
        yield postgres.PostgresServer(f"{server.endpoint.rpartition('@')[0]}@{HOST}:{mine}")
    finally:
        daemon.end()
        shutil.rmtree(folder, ignore_errors=True)


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection((HOST, port), timeout=1):
        return True
    return False
