"""One contender, in a process of its own: writes as many MiB as it is told in pieces of one, reads them, says how long.

    python -m bench.artifacts.contenders stowfast sqlite:////tmp/a.db 1024      (prints one line of JSON)

Every piece is another one, or a store that keeps the same bytes once would be praised for it. They are made before the
clock is read.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import sqlite3
import sys
import time
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlsplit

import obstore
from obstore.store import S3Store

import stowfast
from stowfast.abc import Change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator

MIB: Final = 2**20
TRANSACTION: Final = 4 * MIB
NOISE: Final = os.urandom(MIB)


def pieces(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield number.to_bytes(8) + NOISE[8:]


class Clock:
    """Times the writing and the reading of one contender."""

    def __init__(self) -> None:
        self.figures: dict[str, float] = {}
        self._worked = time.process_time()

    def __call__(self, what: str, began: float) -> None:
        self.figures[what] = time.perf_counter() - began
        worked = time.process_time()
        self.figures[f"cpu_{what}"] = worked - self._worked
        self._worked = worked


def forget(url: str) -> bool:
    """Let the system forget what it has in memory of a file that nobody has open, so that it comes from the disk."""
    if not (url.startswith("sqlite:") and hasattr(os, "posix_fadvise")):
        return False
    file = os.open(url.removeprefix("sqlite:///"), os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)
    return True


def with_stowfast(url: str, count: int, clock: Clock) -> int:
    """As the documentation says: a writer, then a reader, each in an opening of its own."""

    async def write() -> None:
        async with stowfast.open(url) as stores:
            began = time.perf_counter()
            async with stores.artifacts.open_writer("large") as writer:
                for piece in pieces(count):
                    await writer.write(piece)
            clock("write", began)

    async def read(what: str) -> int:
        size = 0
        async with stowfast.open(url) as stores:
            began = time.perf_counter()
            async with stores.artifacts.open_reader("large") as reader:
                async for piece in reader:
                    size += len(piece)
            clock(what, began)
        return size

    asyncio.run(write())
    if forget(url):
        asyncio.run(read("cold"))
    return asyncio.run(read("read"))


def with_blobs(url: str, count: int, clock: Clock) -> int:
    """Stowfast's backend interface, below the artifacts: no checksum."""

    async def given() -> AsyncIterator[bytes]:
        for piece in pieces(count):
            yield piece

    async def write() -> str:
        async with stowfast.open(url) as stores:
            began = time.perf_counter()
            blob = await stores.backend.write_blob("large", given())
            await stores.backend.commit("large", Change(entries=(b"large",), blobs=(blob,)))
            clock("write", began)
            return blob

    async def read(blob: str, what: str) -> int:
        size = 0
        async with stowfast.open(url) as stores:
            began = time.perf_counter()
            async for piece in stores.backend.read_blob("large", blob):
                size += len(piece)
            clock(what, began)
        return size

    blob = asyncio.run(write())
    if forget(url):
        asyncio.run(read(blob, "cold"))
    return asyncio.run(read(blob, "read"))


def with_sqlite3(url: str, count: int, clock: Clock, *, hashes: bool = False) -> int:
    """Rows of a MiB, four a transaction, each on the disk before the next: no checksum, nobody else in mind."""
    path = url.removeprefix("sqlite:///")
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "cache_size=-8192"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE chunks (start INTEGER PRIMARY KEY, data BLOB NOT NULL)")
    digest = sha256()
    began = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    for number, piece in enumerate(pieces(count), 1):
        connection.execute("INSERT INTO chunks VALUES (?, ?)", ((number - 1) * MIB, piece))
        if hashes:
            digest.update(piece)
        if number * MIB % TRANSACTION == 0:
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
    connection.execute("COMMIT")
    clock("write", began)
    connection.close()

    def read(what: str) -> int:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA cache_size=-8192")
        began = time.perf_counter()
        rows = connection.execute("SELECT data FROM chunks ORDER BY start")
        size = _taken((data for (data,) in rows), hashes=hashes)
        clock(what, began)
        connection.close()
        return size

    if forget(url):
        read("cold")
    return read("read")


def with_obstore(url: str, count: int, clock: Clock, *, hashes: bool = False) -> int:
    """One upload in parts and one download, as the driver does them when it is told nothing."""
    parts = urlsplit(url)
    endpoint = parse_qs(parts.query)["endpoint_url"][0]
    store = S3Store(
        parts.netloc, prefix=parts.path.strip("/"), aws_endpoint_url_s3=endpoint, virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": "1h"},
    )  # fmt: skip
    digest = sha256()
    began = time.perf_counter()
    with obstore.open_writer(store, "large") as writer:
        for piece in pieces(count):
            writer.write(piece)
            if hashes:
                digest.update(piece)
    clock("write", began)
    began = time.perf_counter()
    size = _taken(obstore.get(store, "large").stream(min_chunk_size=MIB), hashes=hashes)
    clock("read", began)
    return size


def _taken(read: Iterable[Any], *, hashes: bool) -> int:
    digest, size = sha256(), 0
    for piece in read:
        size += len(memoryview(piece))
        if hashes:
            digest.update(piece)
    return size


CONTENDERS: Final[dict[str, Callable[[str, int, Clock], int]]] = {
    "stowfast": with_stowfast,
    "blobs": with_blobs,
    "sqlite3": with_sqlite3,
    "sqlite3, hashed": partial(with_sqlite3, hashes=True),
    "obstore": with_obstore,
    "obstore, hashed": partial(with_obstore, hashes=True),
}


def main() -> None:
    name, url, count = sys.argv[1:]
    clock = Clock()
    size = CONTENDERS[name](url, int(count), clock)
    if size != int(count) * MIB:
        sys.exit(f"{name} gave back {size:,} bytes")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({**clock.figures, "peak": peak}))


if __name__ == "__main__":
    main()
