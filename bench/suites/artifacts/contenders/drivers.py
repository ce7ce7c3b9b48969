"""Writes as many MiB as the job says, in pieces of one, and reads them: Stowfast, its blobs, and the bare drivers.

No two pieces are alike: a store that keeps equal bytes once would gain by them. They are made before the clock is read.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

import obstore
from obstore.store import S3Store

import stowfast
from bench.suites.artifacts.workloads import MIB
from stowfast.abc import Change

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator

    from bench.suites.artifacts.work import Clock
    from bench.suites.artifacts.workloads import Job

TRANSACTION_BYTES: Final = 4 * MIB
NOISE: Final = os.urandom(MIB)


def pieces(count: int) -> Iterator[bytes]:
    for number in range(count):
        yield number.to_bytes(8) + NOISE[8:]


def forget(job: Job) -> bool:
    """Let the system forget a closed file, so that the next read comes from the disk."""
    if job.endpoint or not hasattr(os, "posix_fadvise"):
        return False
    file = os.open(job.location, os.O_RDONLY)
    os.fsync(file)
    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(file)
    return True


def with_stowfast(job: Job, clock: Clock) -> int:
    """A writer, then a reader, each in an opening of its own, as the documentation says."""

    async def write() -> None:
        async with stowfast.open(job.url) as stores:
            began = time.perf_counter()
            async with stores.artifacts.open_writer("large") as writer:
                for piece in pieces(job.size):
                    await writer.write(piece)
            clock("write", began)

    async def read(name: str) -> int:
        size = 0
        async with stowfast.open(job.url) as stores:
            began = time.perf_counter()
            async with stores.artifacts.open_reader("large") as reader:
                async for piece in reader:
                    size += len(piece)
            clock(name, began)
        return size

    asyncio.run(write())
    if forget(job):
        asyncio.run(read("cold"))
    return asyncio.run(read("read"))


def with_blobs(job: Job, clock: Clock) -> int:
    """Stowfast's backend interface, below the artifacts: no checksum."""

    async def given() -> AsyncIterator[bytes]:
        for piece in pieces(job.size):
            yield piece

    async def write() -> str:
        async with stowfast.open(job.url) as stores:
            began = time.perf_counter()
            blob = await stores.backend.write_blob("large", given())
            await stores.backend.commit("large", Change(entries=(b"large",), blobs=(blob,)))
            clock("write", began)
            return blob

    async def read(blob: str, name: str) -> int:
        size = 0
        async with stowfast.open(job.url) as stores:
            began = time.perf_counter()
            async for piece in stores.backend.read_blob("large", blob):
                size += len(piece)
            clock(name, began)
        return size

    blob = asyncio.run(write())
    if forget(job):
        asyncio.run(read(blob, "cold"))
    return asyncio.run(read(blob, "read"))


def with_sqlite3(job: Job, clock: Clock, *, hashes: bool = False) -> int:
    """Rows of a MiB, four a transaction, each on the disk before the next; no checksum, no second process in mind."""
    connection = sqlite3.connect(job.location, isolation_level=None)
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "secure_delete=ON", "cache_size=-8192"):
        connection.execute(f"PRAGMA {pragma}")
    connection.execute("CREATE TABLE chunks (start INTEGER PRIMARY KEY, data BLOB NOT NULL)")
    digest = sha256()
    began = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    for number, piece in enumerate(pieces(job.size), 1):
        connection.execute("INSERT INTO chunks VALUES (?, ?)", ((number - 1) * MIB, piece))
        if hashes:
            digest.update(piece)
        if number * MIB % TRANSACTION_BYTES == 0:
            connection.execute("COMMIT")
            connection.execute("BEGIN IMMEDIATE")
    connection.execute("COMMIT")
    clock("write", began)
    connection.close()

    def read(name: str) -> int:
        connection = sqlite3.connect(job.location, isolation_level=None)
        connection.execute("PRAGMA cache_size=-8192")
        began = time.perf_counter()
        rows = connection.execute("SELECT data FROM chunks ORDER BY start")
        size = _size_of((data for (data,) in rows), hashes=hashes)
        clock(name, began)
        connection.close()
        return size

    if forget(job):
        read("cold")
    return read("read")


def with_obstore(job: Job, clock: Clock, *, hashes: bool = False) -> int:
    """One upload in parts and one download, with the driver's defaults."""
    bucket, _, prefix = job.location.partition("/")
    store = S3Store(
        bucket, prefix=prefix, aws_endpoint_url_s3=job.endpoint, virtual_hosted_style_request=False,
        client_options={"allow_http": True, "timeout": "1h"},
    )  # fmt: skip
    digest = sha256()
    began = time.perf_counter()
    with obstore.open_writer(store, "large") as writer:
        for piece in pieces(job.size):
            writer.write(piece)
            if hashes:
                digest.update(piece)
    clock("write", began)
    began = time.perf_counter()
    size = _size_of(obstore.get(store, "large").stream(min_chunk_size=MIB), hashes=hashes)
    clock("read", began)
    return size


def _size_of(read: Iterable[Any], *, hashes: bool) -> int:
    digest, size = sha256(), 0
    for piece in read:
        size += len(memoryview(piece))
        if hashes:
            digest.update(piece)
    return size


with_sqlite3_hashed = partial(with_sqlite3, hashes=True)
with_obstore_hashed = partial(with_obstore, hashes=True)
