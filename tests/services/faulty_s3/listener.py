"""Connections: a thread for each, all closed and all ended on leaving."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import TYPE_CHECKING

from tests.services.faulty_s3.wire import Request, read_request

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

_SMALL = 64 * 1024
_DRIP = 0.2


class Listener:
    """Listens on the loopback. `serve` answers one request and says whether its connection goes on."""

    def __init__(
        self, port: int, serve: Callable[[socket.socket, Request], bool], tls: ssl.SSLContext | None = None
    ) -> None:
        self._serve = serve
        self._tls = tls
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._closing = False
        self._socket = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._socket.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="faulty-s3", daemon=True)

    def start(self) -> None:
        self._acceptor.start()

    def close(self) -> None:
        """End every connection at once, and every thread."""
        with self._lock:
            self._closing = True
            threads = list(self._open.values())
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        # Nothing but a connection wakes a blocked accept on every system.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in [self._acceptor, *threads]:
            thread.join()
        self._socket.close()

    def _accept(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            thread = threading.Thread(target=self._converse, args=(connection,), name="faulty-s3", daemon=True)
            with self._lock:
                if self._closing:
                    connection.close()
                    return
                self._open[connection] = thread
                thread.start()

    def _converse(self, connection: socket.socket) -> None:
        def go_on() -> None:
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

        accepted = connection
        try:
            with connection, contextlib.suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._tls is not None:
                    connection = self._tls.wrap_socket(connection.dup(), server_side=True)
                with connection, connection.makefile("rb") as stream:
                    while (request := read_request(stream, go_on)) is not None and self._serve(connection, request):
                        pass
        finally:
            with self._lock:
                del self._open[accepted]


def send(connection: socket.socket, head: bytes, body: bytes) -> None:
    if len(body) < _SMALL:
        connection.sendall(head + body)
    else:
        connection.sendall(head)
        connection.sendall(body)


def drip(connection: socket.socket, head: bytes, body: bytes) -> None:
    """Send the head at once, and the body a byte every fifth of a second, until the reader has gone."""
    connection.sendall(head)
    connection.settimeout(_DRIP)
    for number in range(len(body)):
        connection.sendall(body[number : number + 1])
        with contextlib.suppress(TimeoutError):
            connection.recv(1)  # a client sends nothing before it has its answer, so this is its end, or ours
            return
    connection.settimeout(None)


def wait_until_given_up(connection: socket.socket) -> None:
    connection.recv(1)  # a client sends nothing before it has its answer, so this is its end, or ours


def reset_when_closed(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
