"""Every place of ours keeps every sentence of the contract."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from stowfast.backends.memory import MemoryBackend
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.registry import connect
from stowfast.testing import BACKEND, run
from stowfast.wrappers import Prefixed, Shared, Wrapper
from tests.conformance.places import PREFIX
from tests.mutants import in_memory
from tests.services.faulty_s3.server import FaultyS3, Quirks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from stowfast.abc import Backend
    from stowfast.testing import Clause, Make
    from tests.services.azure import AzureServer
    from tests.services.postgres import PostgresServer
    from tests.services.s3 import S3Server


def memory(_: Path) -> Make[Backend]:
    return in_memory(MemoryBackend)


def shared(_: Path) -> Make[Backend]:
    place = MemoryBackend()

    @asynccontextmanager
    async def make() -> AsyncIterator[Backend]:
        opening = Shared(Prefixed(place, "below/"))
        yield opening
        await opening.close()

    return make


def wrapped(_: Path) -> Make[Backend]:
    place = MemoryBackend()

    @asynccontextmanager
    async def make() -> AsyncIterator[Backend]:
        yield Shared(Wrapper(place))

    return make


def sqlite_full(folder: Path) -> Make[Backend]:
    return _sqlite(folder, "full")


def sqlite_relaxed(folder: Path) -> Make[Backend]:
    return _sqlite(folder, "relaxed")


def _sqlite(folder: Path, durability: str) -> Make[Backend]:
    @asynccontextmanager
    async def make() -> AsyncIterator[Backend]:
        opening = await SQLiteBackend.open(f"sqlite:///{folder}/place.db", durability=durability)
        try:
            yield opening
        finally:
            await opening.close()

    return make


def _objects(url: str) -> Make[Backend]:
    @asynccontextmanager
    async def make() -> AsyncIterator[Backend]:
        opening = await connect(url)
        try:
            yield opening
        finally:
            await opening.close()

    return make


@pytest.fixture(scope="module")
def plain_s3() -> Iterator[str]:
    """A store with common differences from Amazon's, and commits that wait for companions.

    It lists times in seconds, and takes ETags in quotes only.
    """
    with FaultyS3(Quirks(whole_seconds=True, etag_form="quoted")) as server:
        yield f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&linger=0.002"


@pytest.mark.parametrize("clause", BACKEND, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize(
    "place", [memory, shared, wrapped, sqlite_relaxed, pytest.param(sqlite_full, marks=pytest.mark.slow)]
)
async def test_place(place, clause: Clause[Backend], tmp_path: Path) -> None:
    await clause(place(tmp_path))


@pytest.mark.parametrize("clause", BACKEND, ids=lambda clause: clause.__name__)
async def test_s3(clause: Clause[Backend], s3_server: S3Server) -> None:
    await clause(_objects(s3_server.url(PREFIX)))


@pytest.mark.parametrize("clause", BACKEND, ids=lambda clause: clause.__name__)
async def test_postgres(clause: Clause[Backend], postgres_server: PostgresServer) -> None:
    await clause(_objects(postgres_server.url(f"t{PREFIX}")))


@pytest.mark.parametrize("clause", BACKEND, ids=lambda clause: clause.__name__)
async def test_azure(clause: Clause[Backend], azure_server: AzureServer) -> None:
    await clause(_objects(azure_server.url(PREFIX)))


@pytest.mark.parametrize("clause", BACKEND, ids=lambda clause: clause.__name__)
async def test_plain_s3(clause: Clause[Backend], plain_s3: str) -> None:
    await clause(_objects(plain_s3))


@pytest.mark.slow
async def test_one_place_serves_every_clause(tmp_path: Path) -> None:
    results = await run(BACKEND, sqlite_full(tmp_path))
    assert [(result.name, result.error) for result in results if not result.passed] == []
    assert all(result.sentence.endswith(".") for result in results)
