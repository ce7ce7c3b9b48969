"""The stores keep every sentence of their contract, over every place of ours."""

from __future__ import annotations

import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast.testing import ARTIFACT_STORE, MESSAGE_STORE, STORES, TASK_STATE_STORE
from tests.conformance.places import PLACES, postgres, s3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from stowfast.testing import Clause, Make
    from tests.services.postgres import PostgresServer
    from tests.services.s3 import S3Server


BARE = [
    *((clause, "messages", stowfast.InMemoryMessageStore) for clause in MESSAGE_STORE),
    *((clause, "artifacts", stowfast.InMemoryArtifactStore) for clause in ARTIFACT_STORE),
    *((clause, "tasks", stowfast.InMemoryTaskStateStore) for clause in TASK_STATE_STORE),
]


def name_of(value: object) -> str | None:
    return getattr(value, "__name__", None)


@pytest.mark.parametrize("clause", STORES, ids=name_of)
@pytest.mark.parametrize("place", PLACES)
async def test_stores(place, clause: Clause[stowfast.Stores], tmp_path: Path) -> None:
    await clause(place(tmp_path))


@pytest.mark.parametrize(("clause", "which", "_"), BARE, ids=name_of)
@pytest.mark.parametrize("place", PLACES)
async def test_each_store_alone(place, clause: Clause[Any], which: str, _: object, tmp_path: Path) -> None:
    await clause(_one(place(tmp_path), which))


@pytest.mark.parametrize("clause", STORES, ids=name_of)
async def test_stores_on_s3(clause: Clause[stowfast.Stores], s3_server: S3Server) -> None:
    await clause(s3(s3_server))


@pytest.mark.parametrize("clause", STORES, ids=name_of)
async def test_stores_on_postgres(clause: Clause[stowfast.Stores], postgres_server: PostgresServer) -> None:
    await clause(postgres(postgres_server))


@pytest.mark.parametrize(("clause", "which", "_"), BARE, ids=name_of)
async def test_each_store_alone_on_s3(clause: Clause[Any], which: str, _: object, s3_server: S3Server) -> None:
    await clause(_one(s3(s3_server), which))


def _one(make: Make[stowfast.Stores], which: str) -> Make[Any]:
    @asynccontextmanager
    async def one() -> AsyncIterator[Any]:
        async with make() as stores:
            yield getattr(stores, which)

    return one


@pytest.mark.parametrize(("clause", "_", "kind"), BARE, ids=name_of)
async def test_the_stores_in_memory(clause: Clause[Any], _: object, kind: Callable[[], Any]) -> None:
    store = kind()

    @asynccontextmanager
    async def make() -> AsyncIterator[Any]:
        yield store

    await clause(make)


@pytest.mark.parametrize("place", PLACES)
async def test_a_fork_is_repeated_after_its_source_went_on(place, tmp_path: Path) -> None:
    async with place(tmp_path)() as stores:
        await stores.messages.add_message("source", {})
        assert await stores.messages.fork("source", "fork", op_id="op") == 1
        await stores.messages.add_message("source", {})
        assert await stores.messages.fork("source", "fork", op_id="op") == 1


def test_every_clause_is_a_sentence() -> None:
    names = [clause.__name__ for clause in STORES]
    assert len(set(names)) == len(names)
    assert [clause.__name__ for clause in STORES if not (inspect.getdoc(clause) or "").endswith(".")] == []
