"""A viewer for tests: in this process, or a real one as `stowfast view` starts it."""

from __future__ import annotations

import subprocess
import sys
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING

import httpx

from stowfast.view.app import make_app

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    import stowfast

TOKEN = "a token of the tests"
BASE = "http://127.0.0.1:8000"


@asynccontextmanager
async def client(stores: stowfast.Stores, *, signed_in: bool = True) -> AsyncIterator[httpx.AsyncClient]:
    """Yield a client of the application itself, without a network."""
    hosts = ("127.0.0.1:8000", "localhost:8000", "[::1]:8000")
    app = make_app(stores, "memory:", token=TOKEN, hosts=hosts, cookie="stowfast-8000")
    cookies = {"stowfast-8000": f'"{TOKEN}"'} if signed_in else {}
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=BASE, cookies=cookies) as found:
        yield found


@contextmanager
def serving(url: str, *options: str) -> Iterator[tuple[str, int]]:
    """Run `stowfast view`, and yield the address that it prints and the id of its process."""
    command = [sys.executable, "-m", "stowfast", "view", url, "--no-browser", *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().strip()
            assert address.startswith("http://"), process.communicate(timeout=10)
            yield address, process.pid
        finally:
            process.terminate()
            process.communicate(timeout=20)


@contextmanager
def served(url: str, *options: str) -> Iterator[str]:
    """Run `stowfast view`, and yield the address that it prints."""
    with serving(url, *options) as (address, _):
        yield address
