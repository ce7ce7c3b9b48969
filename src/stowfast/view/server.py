"""The server of the viewer: one address on this machine, until it is stopped."""

from __future__ import annotations

import secrets
import socket
from typing import TYPE_CHECKING, Final

import uvicorn

from stowfast.errors import UnavailableError
from stowfast.view.app import make_app

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stowfast.stores import Stores

__all__ = ["LOOPBACK", "serve"]

LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")
"""The names of this machine in a browser."""

_LAST_SECONDS: Final = 2
"""The time for open pages to end. A feed has no end of its own."""


async def serve(
    stores: Stores,
    address: str,
    *,
    scopes: Sequence[str] = (),
    host: str = "127.0.0.1",
    port: int = 0,
    names: Sequence[str] = (),
    started: Callable[[str], None],
) -> None:
    """Serve the viewer until SIGINT or SIGTERM.

    Args:
        stores: open stores.
        address: their URL without its secrets.
        scopes: the scopes around the stores, the outermost first.
        host: the address to listen on.
        port: its port; 0 takes a free one.
        names: names of this machine in a browser, beside those of loopback.
        started: is called once with the address to open, which holds the token.

    Raises:
        UnavailableError: the port is taken, or the address is not one of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()  # from here on a browser is not refused
        except OSError as error:
            raise UnavailableError(f"{host}:{port}: {error.strerror}: choose another with --port") from error
        port = listener.getsockname()[1]
        token = secrets.token_urlsafe(24)
        hosts = [f"{name}:{port}" for name in (*LOOPBACK, *names)]
        app = make_app(stores, address, scopes=scopes, token=token, hosts=hosts, cookie=f"stowfast-{port}")
        options = uvicorn.Config(
            app, log_level="warning", access_log=False, server_header=False, lifespan="off",
            timeout_graceful_shutdown=_LAST_SECONDS,
        )  # fmt: skip
        own = "[::1]" if host == "::1" else "127.0.0.1"
        started(f"http://{names[0] if names else own}:{port}/?token={token}")
        await uvicorn.Server(options).serve([listener])
