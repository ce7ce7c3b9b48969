"""A proxy before a PostgreSQL server, for faults of the network between."""

from __future__ import annotations

import select
import socket
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services.postgres import PostgresServer


class Between:
    """Stands between clients and the server.

    It ends a connection once, at some bytes of its client or its server. While it is silent, it takes all bytes and
    passes on none, as a server that stands still on a sound network.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.lose_call = self.lose_answer = b""
        self.silent_from = b""
        """Bytes of a client that make it silent."""
        self.silent = False
        self.pause = 0.0
        """Seconds before each piece of an answer of the server."""
        self.cuts = self.turns = 0
        """Connections that it ended; and answers of the server, each to all that was sent before it."""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._server, timeout=10) as server, suppress(OSError):
            lost = asked = False
            while True:
                for ready in select.select([client, server], [], [])[0]:
                    data = ready.recv(2**16)
                    if not data:
                        return
                    self.turns += asked and ready is server
                    asked = ready is client
                    if ready is client and self.lose_call and self.lose_call in data:
                        self.lose_call, self.cuts = b"", self.cuts + 1
                        return
                    if ready is server and self.lose_answer and self.lose_answer in data:
                        self.lose_answer, self.cuts = b"", self.cuts + 1
                        return
                    self.silent = self.silent or bool(ready is client and self.silent_from and self.silent_from in data)
                    if self.silent:
                        lost = True
                    if lost:  # for good: a part of what was said is missing
                        continue
                    if ready is server and self.pause:
                        time.sleep(self.pause)
                    (server if ready is client else client).sendall(data)


@contextmanager
def between(server: PostgresServer) -> Iterator[tuple[Between, str]]:
    """Yield the one between, and the URL of the server by it."""
    user, _, address = server.endpoint.rpartition("@")
    host, _, port = address.partition(":")
    one = Between(host, int(port))
    try:
        yield one, f"{user}@127.0.0.1:{one.port}/postgres"
    finally:
        one.close()
