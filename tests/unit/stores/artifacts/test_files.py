"""Real files as artifacts, read in place by their libraries: a PDF, a ZIP, a PNG, a Parquet file."""

from __future__ import annotations

import asyncio
import io
import re
import zipfile
from contextlib import asynccontextmanager
from random import Random
from typing import TYPE_CHECKING, Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PdfParser

import stowfast
from tests.conformance.places import memory, sqlite
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from stowfast.testing import Make
    from tests.services.faulty_s3.server import Record

T = TypeVar("T")

MB = 2**20
NOISE = Random(4).randbytes(20 * MB)


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "counted s3", "s3"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path, server: FaultyS3) -> AsyncIterator[stowfast.Stores]:
    places: dict[str, Make[stowfast.Stores]] = {
        "memory": memory(tmp_path),
        "sqlite": sqlite(tmp_path),
        "counted s3": lambda: on(server),
    }
    if request.param == "s3":
        url = request.getfixturevalue("s3_server").url()
        places["s3"] = lambda: stowfast.open(url)
    async with places[request.param]() as stores:
        yield stores


@asynccontextmanager
async def on(server: FaultyS3) -> AsyncIterator[stowfast.Stores]:
    async with stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true") as stores:
        yield stores


async def kept(stores: stowfast.Stores, name: str, content: bytes) -> stowfast.ArtifactInfo:
    async with stores.artifacts.open_writer(name) as writer:
        for start in range(0, len(content), 777_777):
            await writer.write(content[start : start + 777_777])
    assert writer.info is not None
    assert writer.info.size == len(content)
    return writer.info


async def read(stores: stowfast.Stores, name: str, use: Callable[[Any], T]) -> T:
    """Use an artifact as a file, in a thread as one does."""
    file = await stores.artifacts.open_file(name)

    def used() -> T:
        with file:
            return use(file)

    return await asyncio.to_thread(used)


def fetched(made: list[Record]) -> tuple[int, int]:
    """The number of requests for a body, and the received bytes."""
    blobs = [record for record in made if record.operation == "GET" and "/b/" in record.key]
    return len(blobs), sum(record.sent for record in blobs)


def a_pdf() -> bytes:
    body = io.BytesIO()
    pages = [Image.frombytes("RGB", (300, 200), NOISE[start : start + 180_000]) for start in (0, 180_000)]
    pages[0].save(body, "PDF", save_all=True, append_images=pages[1:], title="Stowfast")
    return body.getvalue()


async def test_a_pdf(stores: stowfast.Stores) -> None:
    body = a_pdf()
    info = await kept(stores, "report.pdf", body)
    assert info.mime_type == "application/pdf"

    def looked_at(file: io.BufferedReader) -> bytes:
        file.seek(-40, io.SEEK_END)
        told = re.search(rb"startxref\s+(\d+)\s+%%EOF", file.read())
        assert told is not None
        file.seek(int(told[1]))
        return file.readline()

    assert await read(stores, "report.pdf", looked_at) == b"xref\n"
    with PdfParser.PdfParser(buf=await read(stores, "report.pdf", lambda file: file.read())) as pdf:
        assert len(pdf.pages) == 2
        assert pdf.info.Title == "Stowfast"


def a_zip() -> bytes:
    """Return 20 MB in 40 files, one of them a compressed text."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(40):
            archive.writestr(f"data/{number}.bin", NOISE[number * MB // 2 : (number + 1) * MB // 2])
        archive.writestr("readme.txt", "read me\n" * 10_000)
    return body.getvalue()


async def test_a_zip_is_read_in_place(stores: stowfast.Stores, server: FaultyS3) -> None:
    body = a_zip()
    assert (await kept(stores, "data.zip", body)).mime_type == "application/zip"

    def looked_at(file: io.BufferedReader) -> tuple[list[str], bytes, bytes]:
        with zipfile.ZipFile(file) as archive:
            return archive.namelist(), archive.read("readme.txt"), archive.read("data/17.bin")

    with server.counted() as made:
        names, readme, data = await read(stores, "data.zip", looked_at)
    assert (len(names), readme) == (41, b"read me\n" * 10_000)
    assert data == NOISE[17 * MB // 2 : 18 * MB // 2]
    requests, size = fetched(made)
    print(f"{requests} requests for {size:,} of {len(body):,} bytes")
    assert requests <= 5
    assert size <= 7 * MB
    with server.counted() as made:
        await read(stores, "data.zip", lambda file: zipfile.ZipFile(file).testzip())
    requests, _ = fetched(made)
    assert requests <= 6, "a whole archive is read on and on"


async def test_what_is_no_zip_is_told_so(stores: stowfast.Stores) -> None:
    for number, body in enumerate((b"", b"short", NOISE[:MB])):
        await kept(stores, str(number), body)
        with pytest.raises(zipfile.BadZipFile):
            await read(stores, str(number), zipfile.ZipFile)


async def test_a_png(stores: stowfast.Stores) -> None:
    image = Image.frombytes("RGB", (1200, 800), NOISE[: 1200 * 800 * 3])
    body = io.BytesIO()
    image.save(body, "PNG")
    await kept(stores, "picture.png", body.getvalue())

    def looked_at(file: io.BufferedReader) -> tuple[Any, Any, bytes]:
        with Image.open(file) as found:
            return found.format, found.size, found.tobytes()

    assert await read(stores, "picture.png", looked_at) == ("PNG", (1200, 800), image.tobytes())


async def test_a_row_group_of_a_parquet_file(stores: stowfast.Stores, server: FaultyS3) -> None:
    rng = Random(5)
    rows = 400_000
    table = pa.table(
        {
            "number": pa.array(range(rows), pa.int64()),
            "noise": pa.array([rng.getrandbits(62) for _ in range(rows)], pa.int64()),
            "more": pa.array([rng.random() for _ in range(rows)]),
            "text": pa.array([f"row {number}" for number in range(rows)]),
        }
    )
    body = io.BytesIO()
    pq.write_table(table, body, row_group_size=rows // 8)
    await kept(stores, "rows.parquet", body.getvalue())

    def looked_at(file: io.BufferedReader) -> Any:
        parquet = pq.ParquetFile(file)
        assert parquet.num_row_groups == 8
        return parquet.read_row_group(3)

    with server.counted() as made:
        found = await read(stores, "rows.parquet", looked_at)
    assert found.equals(table.slice(3 * rows // 8, rows // 8))
    requests, size = fetched(made)
    print(f"{requests} requests for {size:,} of {len(body.getvalue()):,} bytes")
    assert requests <= 8
    assert size <= len(body.getvalue()) // 2
    whole = await read(stores, "rows.parquet", pq.read_table)
    assert whole.equals(table)
