"""Every place of ours keeps every sentence of the contract."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from holdfast.backends.memory import MemoryBackend
from holdfast.backends.sqlite import SQLiteBackend
from holdfast.testing import BACKEND, Prefixed, Shared, run
from tests.mutants import in_memory

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from holdfast.abc import Backend
    from holdfast.testing import Clause, Make


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


@pytest.mark.parametrize("clause", BACKEND, ids=lambda clause: clause.__name__)
@pytest.mark.parametrize("place", [memory, shared, sqlite_full, sqlite_relaxed])
async def test_place(place, clause: Clause[Backend], tmp_path: Path) -> None:
    await clause(place(tmp_path))


async def test_one_place_serves_every_clause(tmp_path: Path) -> None:
    results = await run(BACKEND, sqlite_full(tmp_path))
    assert [(result.name, result.error) for result in results if not result.passed] == []
    assert all(result.sentence.endswith(".") for result in results)
