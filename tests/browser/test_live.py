"""Messages of another process in an open page: on a file, PostgreSQL and a bucket, over a connection that breaks."""

from __future__ import annotations

import socket
import statistics
import subprocess
import sys
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

import stowfast
from tests.browser.test_viewer import Reader
from tests.unit.view.viewer import served

if TYPE_CHECKING:
    from pathlib import Path

    from playwright.sync_api import Browser

MESSAGES = 100
MIDDLE = 50
BARS = {"sqlite": 1.0, "postgres": 1.0, "s3": 2.0}
"""Seconds from the acknowledgement to the page. A test asserts ten times as much, as its machine may be busy."""

WRITER = """
import sys, time, stowfast
with stowfast.sync.open(sys.argv[1]) as stores:
    print("ready", flush=True)
    for line in sys.stdin:  # each line asks for messages up to a number
        first, last = map(int, line.split())
        for n in range(first, last):
            stores.messages.add_message("c", {"role": "user", "content": f"message {n}"})
            print(n, time.time() * 1000, flush=True)
"""

WATCH = """
window.came = {};
new MutationObserver(changes => {
    for (const change of changes) for (const row of change.addedNodes)
        if (row.querySelector) came[row.querySelector(".text").textContent.trim()] = Date.now();
}).observe(document.getElementById("chat"), { childList: true });
"""


class Wire:
    """A way to the viewer that can be cut: open connections end, and new ones are refused."""

    def __init__(self, address: str) -> None:
        to = urlsplit(address)
        assert to.hostname is not None
        assert to.port is not None
        self._to = (to.hostname, to.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.address = address.replace(f":{to.port}/", f":{port}/")
        # The viewer takes its own address alone, and a browser names the one that it sees.
        self._names = (f"Host: 127.0.0.1:{port}\r\n".encode(), f"Host: 127.0.0.1:{to.port}\r\n".encode())
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.is_cut = False
        self.feeds: list[str] = []
        """The headers of each request for the feed."""
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        with self._lock:
            self.is_cut = True
            for one in self._open:
                with suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def mend(self) -> None:
        self.is_cut = False

    def _accept(self) -> None:
        with suppress(OSError):  # it is closed at the end
            while True:
                browser, _ = self._listener.accept()
                with self._lock:
                    if self.is_cut:
                        browser.close()
                        continue
                    viewer = socket.create_connection(self._to)
                    self._open += [browser, viewer]
                threading.Thread(target=self._ask, args=(browser, viewer), daemon=True).start()
                threading.Thread(target=self._pass, args=(viewer, browser), daemon=True).start()

    def _ask(self, browser: socket.socket, viewer: socket.socket) -> None:
        with suppress(OSError), browser, viewer:
            asked = b""
            while data := browser.recv(2**16):
                asked += data
                while b"\r\n\r\n" in asked:
                    head, _, asked = asked.partition(b"\r\n\r\n")
                    if head.startswith(b"GET /live"):
                        self.feeds.append(head.decode())
                    viewer.sendall((head + b"\r\n\r\n").replace(*self._names))

    def _pass(self, viewer: socket.socket, browser: socket.socket) -> None:
        with suppress(OSError):
            while data := viewer.recv(2**16):
                browser.sendall(data)
        with suppress(OSError):
            browser.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    kind = request.param
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/agent.db"
    url: str = request.getfixturevalue("s3_server" if kind == "s3" else "postgres_server").url()
    return url


@pytest.mark.parametrize(("place", "kind"), [(kind, kind) for kind in BARS], indirect=["place"], ids=list(BARS))
def test_messages_of_another_process_come_once_and_in_order(place: str, kind: str, browser: Browser) -> None:
    with stowfast.sync.open(place) as stores:
        stores.messages.add_message("c", {"role": "user", "content": "message 0"})
    command = [sys.executable, "-c", WRITER, place]
    with (
        served(place) as address,
        Wire(address) as wire,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer,
    ):
        assert writer.stdin is not None
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
        written: dict[str, float] = {}

        def write(first: int, last: int) -> None:
            print(first, last, file=writer.stdin, flush=True)
            for _ in range(first, last):
                assert writer.stdout is not None
                number, moment = writer.stdout.readline().split()
                written[f"message {number}"] = float(moment)

        reader = Reader(browser, wire.address)
        reader.visit("/conversation?id=c")
        reader.page.evaluate(WATCH)
        for n in range(1, 11):  # one by one: each waits for the page
            write(n, n + 1)
            reader.page.wait_for_selector(f"text=/^\\s*message {n}\\s*$/", timeout=60_000)
        write(11, MIDDLE)
        reader.page.wait_for_selector(f"text=message {MIDDLE - 1}", timeout=60_000)
        wire.cut()
        write(MIDDLE, MESSAGES)
        wire.mend()
        write(MESSAGES, MESSAGES + 1)
        reader.page.wait_for_selector(f"text=message {MESSAGES}", timeout=60_000)
        texts = [one.strip() for one in reader.page.locator("#chat .text").all_inner_texts()]
        came = reader.page.evaluate("came")
        writer.stdin.close()
        writer.wait(timeout=60)
    assert len(wire.feeds) > 1
    assert "last-event-id" in wire.feeds[-1].lower()
    assert texts == [f"message {n}" for n in range(MESSAGES + 1)]
    # Those of the time without a connection are late by its length.
    seconds = [(came[text] - moment) / 1000 for text, moment in written.items() if int(text.split()[1]) < MIDDLE]
    told = f"{statistics.median(seconds):.3f} s (median), {max(seconds):.3f} s (longest)"
    print(f"{kind}: a message is on the page in {told}; {len(wire.feeds)} connections")
    assert max(seconds) < 10 * BARS[kind]
