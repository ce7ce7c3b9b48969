"""A proxy in front of an S3 endpoint. It records every request, and delays answers as S3 would.

    python -m bench.harness.proxy http://127.0.0.1:7480      (prints its own address; ends when its standard input ends)

A client's bytes go on unchanged, the Host header included, as the signature covers it. `Requests` and `set_delays` talk
to the proxy itself, under a path that no bucket can have.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
from collections import Counter, deque
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = ["Requests", "Seen", "running", "set_delays"]

CONTROL: Final = "/__proxy__/"
LIMIT: Final = 2**20
MAX_SEEN: Final = 200_000
"""Requests that are remembered between two calls of `_take`."""


class Seen(NamedTuple):
    """A request that was answered. `sent` and `received` are the bytes of its bodies."""

    kind: str
    path: str
    status: int
    sent: int
    received: int


@contextmanager
def running(endpoint: str) -> Iterator[str]:
    """Have a proxy in front of an endpoint, in a process of its own. Gives its address."""
    command = [sys.executable, "-m", "bench.harness.proxy", endpoint]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate()


class Requests:
    """The requests that one measurement counts. Without a proxy it counts nothing."""

    def __init__(self, proxy: str) -> None:
        self._proxy = proxy
        self.seen: list[Seen] = []
        self.skip()

    def __bool__(self) -> bool:
        return bool(self._proxy)

    def skip(self) -> None:
        """Forget the requests since the last call: they were a preparation."""
        self._take()

    def keep(self) -> None:
        """Count the requests since the last call."""
        self.seen += self._take()

    def kinds(self, operations: int = 1) -> dict[str, float]:
        """Return the requests of each kind, for each operation."""
        return {kind: count / max(operations, 1) for kind, count in Counter(one.kind for one in self.seen).items()}

    def sent(self) -> int:
        """Return the bytes of all bodies that were sent."""
        return sum(one.sent for one in self.seen)

    def _take(self) -> list[Seen]:
        return [Seen(*one) for one in _ask(self._proxy, "take", None)] if self._proxy else []


def set_delays(proxy: str, seconds: Mapping[str, float]) -> None:
    """Delay every answer to a request of these kinds from now on. Other kinds are not delayed."""
    _ask(proxy, "delays", seconds)


def _ask(proxy: str, what: str, body: Any) -> Any:
    connection = http.client.HTTPConnection(urlsplit(proxy).netloc, timeout=30)
    try:
        connection.request("POST", CONTROL + what, json.dumps(body))
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


class Head(NamedTuple):
    """The first line and the headers of a message, and its bytes as they came."""

    first: list[str]
    headers: dict[str, str]
    raw: bytes

    @classmethod
    async def read(cls, reader: asyncio.StreamReader) -> Head:
        raw = await reader.readuntil(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")[:-2]
        named = (line.partition(":") for line in lines)
        return cls(first.split(" ", 2), {name.lower(): value.strip() for name, _, value in named}, raw)

    def without(self, name: str) -> bytes:
        lines = self.raw.split(b"\r\n")
        return b"\r\n".join(line for line in lines if not line.lower().startswith(name.encode() + b":"))

    async def body(self, reader: asyncio.StreamReader, *, until_end: bool = False) -> tuple[bytes, int]:
        """Read the body as it is on the wire, and count its bytes of content."""
        if "content-length" in self.headers:
            body = await reader.readexactly(int(self.headers["content-length"]))
            return body, len(body)
        if "chunked" in self.headers.get("transfer-encoding", ""):
            return await _chunks(reader)
        body = await reader.read() if until_end else b""
        return body, len(body)

    @property
    def closes(self) -> bool:
        """Whether no other message follows on the connection."""
        return self.headers.get("connection", "").lower() == "close" or "HTTP/1.0" in self.first


async def _chunks(reader: asyncio.StreamReader) -> tuple[bytes, int]:
    parts, content, size = [], 0, -1
    while size:
        line = await reader.readuntil(b"\r\n")
        size = int(line.partition(b";")[0], 16)
        parts += [line, await reader.readexactly(size) if size else b""]
        content += size
        while (line := await reader.readuntil(b"\r\n")) != b"\r\n":  # trailers, behind the last chunk only
            parts.append(line)
        parts.append(line)
    return b"".join(parts), content


def kind_of(method: str, target: str) -> str:
    """Name the kind as on the bill: a read of a bucket is a LIST, a bulk delete is a DELETE."""
    path, _, query = target.partition("?")
    if method == "GET" and "/" not in path.strip("/"):
        return "LIST"
    return "DELETE" if method == "POST" and "delete" in parse_qs(query, keep_blank_values=True) else method


class Proxy:
    """Pairs each connection of a client with one to the endpoint, and carries one request after the other."""

    def __init__(self, endpoint: str) -> None:
        self.host, self.port = urlsplit(endpoint).hostname, urlsplit(endpoint).port
        self.delays: Mapping[str, float] = {}
        self.seen: deque[Seen] = deque(maxlen=MAX_SEEN)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = None
        # asyncio complains of a cancelled task, and all are cancelled when the proxy ends.
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            closes = False
            while not closes:
                request = await Head.read(reader)
                if request.headers.get("expect", "").lower() == "100-continue":
                    writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                body, sent = await request.body(reader)
                if request.first[1].startswith(CONTROL):
                    writer.write(self.control(request.first[1], body))
                    continue
                if upstream is None or upstream[0].at_eof():
                    upstream = await asyncio.open_connection(self.host, self.port, limit=LIMIT)
                closes = await self.exchange(request, body, sent, upstream, writer)
        for one in (writer, *([upstream[1]] if upstream else [])):
            one.close()

    async def exchange(
        self,
        request: Head,
        body: bytes,
        sent: int,
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        client: asyncio.StreamWriter,
    ) -> bool:
        """Carry one request and its answer. Return whether the connection ends with it."""
        method, target = request.first[:2]
        kind = kind_of(method, target)
        clock = asyncio.get_running_loop().time
        delay = self.delays.get(kind, 0)
        due = clock() + delay
        if delay:  # it takes effect in the middle, so that racing writers see each other as on S3
            await asyncio.sleep(delay / 2)
        upstream[1].write(request.without("expect") + body)
        answer = await Head.read(upstream[0])
        status = int(answer.first[1])
        bodiless = method == "HEAD" or status in (204, 304)
        content, received = (b"", 0) if bodiless else await answer.body(upstream[0], until_end=answer.closes)
        if delay:
            await asyncio.sleep(due - clock())
        self.seen.append(Seen(kind, target.partition("?")[0], status, sent, received))
        client.write(answer.raw + content)
        await client.drain()
        return answer.closes or request.closes

    def control(self, path: str, body: bytes) -> bytes:
        answer: Any = None
        if path == CONTROL + "take":
            answer = list(self.seen)
            self.seen.clear()
        elif path == CONTROL + "delays":
            self.delays = json.loads(body)
        text = json.dumps(answer).encode()
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(text), text)


async def _main(endpoint: str) -> None:
    server = await asyncio.start_server(Proxy(endpoint).serve, "127.0.0.1", 0, limit=LIMIT)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
