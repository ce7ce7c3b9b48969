"""The command that shows the stores in a browser: view."""

from __future__ import annotations

import asyncio
import webbrowser
from typing import Annotated

import typer

from stowfast.cli.arguments import URL, Json, Scopes
from stowfast.cli.terminal import Screen, emit
from stowfast.cli.urls import existing, shown, within
from stowfast.errors import InvalidError, UnsupportedError
from stowfast.moving.copying import READING

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add this command to the others."""
    app.command(short_help="Show the stores in a browser.", epilog="Example: stowfast view sqlite:///agent.db")(view)


def view(
    url: URL,
    *,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 takes a free one.")] = 0,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    allow_host: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="A name of this machine in a browser; may be repeated.")
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open a browser.")] = True,
    scope: Scopes = None,
    as_json: Json = False,
) -> None:
    """Show conversations, artifacts and tasks in a browser, live, until it is stopped with Ctrl-C.

    It only reads. The printed address holds a token for this run alone; nothing is loaded from elsewhere. Other
    machines are refused, unless you listen on another --host and name it with --allow-host: then everybody on that
    network who has the address can read everything.
    """
    if host not in {"127.0.0.1", "::1", "localhost"} and not allow_host:
        raise InvalidError(f"--host {host} needs --allow-host with the name that a browser will use")
    asyncio.run(_view(url, scope, port, host, allow_host or [], browser=browser and not as_json, as_json=as_json))


async def _view(
    url: str, scopes: list[str] | None, port: int, host: str, names: list[str], *, browser: bool, as_json: bool
) -> None:
    try:
        from stowfast.view.server import serve
    except ImportError as error:
        raise UnsupportedError(f"view needs its libraries: pip install 'stowfast[view]' ({error.name})") from error

    def started(address: str) -> None:
        if names:
            Screen(stderr=True).print("WARNING: other machines can reach this page", "bold red")
        if as_json:
            emit({"address": address})
        else:
            Screen().print(f"{address}\nStop it with Ctrl-C.", whole=True)
        if browser:
            webbrowser.open(address)

    # A reader changes nothing: no sweep, no migration, no marker.
    async with within(existing(url, **_reading(url)), scopes) as stores:
        await serve(stores, shown(url), scopes=scopes or (), host=host, port=port, names=names, started=started)


def _reading(url: str) -> dict[str, bool]:
    wanted = READING.get(url.partition(":")[0].lower(), {})
    return {name: value for name, value in wanted.items() if f"{name}=" not in url.partition("?")[2]}
