"""Artifacts far larger than memory, the cost of reading them, and killed writers.

STOWFAST_STREAMED is the size of the largest in MB: 300 without it; the promise is made for 5000.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from random import Random
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import Artifact
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence
    from pathlib import Path

    from stowfast.stores.artifacts.reading.reader import ArtifactReader
    from tests.services.faulty_s3.server import Record
    from tests.services.s3 import S3Server

MB = 2**20
STREAMED = int(os.environ.get("STOWFAST_STREAMED", "300"))
GROWTH = 72 * MB  # beside some 30 MB that an interpreter and a driver need
DAY = 86_400
BODY = Random(6).randbytes(20 * MB)

CHILD = """
import asyncio, hashlib, sys
from random import Random
import stowfast

url, size = sys.argv[1], int(sys.argv[2])

def high():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM:"))

async def main():
    rng, wanted, total = Random(size), hashlib.sha256(), 0
    async with stowfast.open(url) as stores:
        before = high()
        async with stores.artifacts.open_writer("large") as writer:
            while total < size:
                piece = rng.randbytes(min(rng.choice((100_000, 2**20 + 1, 3_000_000)), size - total))
                wanted.update(piece)
                total += len(piece)
                await writer.write(piece)
        assert writer.info.sha256 == wanted.hexdigest()
        written = high()
        found = hashlib.sha256()
        async with stores.artifacts.open_reader("large") as reader:
            async for piece in reader:
                found.update(piece)
        assert found.digest() == wanted.digest()
        streamed = high()
        found = hashlib.sha256()
        async with stores.artifacts.open_reader("large") as reader:
            while piece := await reader.read(2**16):
                found.update(piece)
        assert found.digest() == wanted.digest()
        print(before, written, streamed, high())

asyncio.run(main())
"""


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def url_of(server: FaultyS3) -> str:
    return f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"


def peaks_of(url: str) -> None:
    limit = 60 + STREAMED  # a slow disk writes a megabyte in less than a second, all the same
    command = [sys.executable, "-c", CHILD, url, str(STREAMED * MB)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    assert done.returncode == 0, done.stderr
    before, *peaks = map(int, done.stdout.split())
    told = ", ".join(f"{peak / MB:.0f}" for peak in peaks)  # in all, the interpreter included
    print(f"{STREAMED} MB: {before / MB:.0f} MB of memory before, then at most {told} (written, streamed, read)")
    assert max(peaks) - before < GROWTH


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.timeout(120 + STREAMED)
def test_a_large_artifact_in_little_memory_on_sqlite(tmp_path: Path) -> None:
    peaks_of(f"sqlite:///{tmp_path}/place.db")


@pytest.mark.skipif(sys.platform != "linux", reason="the peak of a process is read from /proc")
@pytest.mark.timeout(120 + STREAMED)
def test_a_large_artifact_in_little_memory_on_s3(s3_server: S3Server) -> None:
    peaks_of(s3_server.url())


def costs(made: Sequence[Record]) -> Counter[str]:
    """How often each was asked for: "GET body", "304 head"."""
    return Counter(
        f"{record.status if record.status == 304 else record.operation} {'head' if record.key[0] == 'h' else 'body'}"
        for record in made
    )


async def test_a_range_is_one_request(server: FaultyS3) -> None:
    async with stowfast.open(url_of(server)) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
        size = len(BODY)
        for start, stop in ((0, 1), (5 * MB - 1, 5 * MB + 1), (3 * MB + 5, 17 * MB), (size - 1, size), (0, None)):
            for streams in (True, False):
                async with stores.artifacts.open_reader("a", start=start, stop=stop) as reader:
                    with server.counted() as made:
                        found = b"".join([piece async for piece in reader]) if streams else await reader.read()
                assert found == BODY[start:stop]
                assert costs(made)["GET body"] == 1
                assert costs(made)["304 head"] <= 1
                assert len(made) <= 2
                assert sum(record.sent for record in made) <= len(found) + 2 * MB


async def test_a_file_read_in_small_pieces_is_few_requests(server: FaultyS3) -> None:
    async with stowfast.open(url_of(server)) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
        with server.counted() as made:
            async with stores.artifacts.open_reader("a") as reader:
                pieces = [piece async for piece in by(reader, 2**16)]
        assert b"".join(pieces) == BODY
        print(dict(costs(made)))
        assert costs(made)["GET body"] <= 3
        assert len(made) <= 7
        with server.counted() as made:
            async with stores.artifacts.open_reader("a") as reader:
                for _ in range(200):  # near one another: nothing is asked for twice
                    for start in (7 * MB + 5, 7 * MB + 70_000, 9 * MB):
                        reader.seek(start)
                        assert await reader.read(100) == BODY[start : start + 100]
        assert costs(made)["GET body"] == 2


async def by(reader: ArtifactReader, size: int) -> AsyncIterator[bytes]:
    while piece := await reader.read(size):
        yield piece


async def test_writing_is_one_upload_and_one_commit(server: FaultyS3) -> None:
    async with stowfast.open(url_of(server)) as stores:
        await stores.messages.add_message("c", {})
        with server.counted() as made:
            async with stores.artifacts.open_writer("a", expect=0) as writer:
                for start in range(0, len(BODY), 1000):
                    await writer.write(BODY[start : start + 1000])
        asked = Counter(record.operation for record in made)
        print(dict(asked))
        assert asked["PUT"] == 1
        assert asked["MULTIPART_PART"] <= 3
        assert len(made) <= 8
        with server.counted() as made:
            await stores.artifacts.update(Artifact(artifact_id="a", content=BODY))
        assert sum(record.received for record in made) < MB, "bytes that are there are not sent again"


WRITER = """
import asyncio, sys
import stowfast
from stowfast.wrappers import Wrapper

class Stops(Wrapper):
    async def commit(self, stream, change):
        if change.blobs:
            await stop()
        return await super().commit(stream, change)

async def stop():
    print("here", flush=True)
    await asyncio.Event().wait()

async def main():
    async with stowfast.open(sys.argv[1]) as opened:
        stores = stowfast.Stores(Stops(opened.backend))
        async with stores.artifacts.open_writer("a") as writer:
            for number in range(20):
                await writer.write(b"%d" % number * 2**19)
            if sys.argv[2] == "writing":
                await stop()

asyncio.run(main())
"""


def kill_a_writer(url: str, moment: str) -> None:
    with subprocess.Popen([sys.executable, "-c", WRITER, url, moment], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"here\n"
        os.kill(child.pid, signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL


async def assert_nothing_is_seen(stores: stowfast.Stores, before: bytes | None) -> None:
    found = await stores.artifacts.get("a")
    assert (found and found.content) == before
    assert len(await stores.artifacts.versions("a")) == (before is not None)
    assert len(await stores.artifacts.list()) == (before is not None)


@pytest.mark.parametrize("moment", ["writing", "committing"])
@pytest.mark.parametrize("before", [None, b"before" * MB])
async def test_a_killed_writer_leaves_nothing_in_sqlite(tmp_path: Path, moment: str, before: bytes | None) -> None:
    path = tmp_path / "place.db"
    url = f"sqlite:///{path}"
    async with stowfast.open(url) as stores:
        if before is not None:
            await stores.artifacts.create(Artifact(artifact_id="a", content=before))
        await asyncio.to_thread(kill_a_writer, url, moment)
        await assert_nothing_is_seen(stores, before)
        assert bytes_in(path) >= len(before or b"") + 4 * MB
        assert (await stores.sweep()).blobs == 0, "it may be an upload that goes on"
        with closing(sqlite3.connect(path)) as aged, aged:
            aged.execute("UPDATE blobs SET written_at = 1 WHERE written_at > 0")
        assert (await stores.sweep()).blobs == 1
        assert bytes_in(path) == len(before or b"")
        await assert_nothing_is_seen(stores, before)


def bytes_in(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        (found,) = connection.execute("SELECT coalesce(sum(length(data)), 0) FROM chunks").fetchone()
    return int(found)


@pytest.mark.parametrize("moment", ["writing", "committing"])
@pytest.mark.parametrize("before", [None, b"before" * MB])
async def test_a_killed_writer_leaves_nothing_on_s3(moment: str, before: bytes | None) -> None:
    # The server's clock is two days behind, so that a sweep takes what it lists for old.
    with FaultyS3(clock=lambda: time.time() - 2 * DAY) as server:
        async with stowfast.open(url_of(server)) as stores:
            if before is not None:
                await stores.artifacts.create(Artifact(artifact_id="a", content=before))
            await asyncio.to_thread(kill_a_writer, url_of(server), moment)
            await assert_nothing_is_seen(stores, before)
            await stores.sweep()
            bodies = [body for key, body in server.objects.items() if "/b/" in key]
            assert bodies == ([] if before is None else [before])
            # What never became an object is the bucket's own rule to remove: AbortIncompleteMultipartUpload.
            assert len(server.uploads) == (moment == "writing")
            await assert_nothing_is_seen(stores, before)
