"""An import ends where the server of its source stands still."""

from __future__ import annotations

import asyncio
import uuid
from typing import TYPE_CHECKING

import pytest

from stowfast import UnavailableError, importing
from stowfast.backends.postgres.connection import BoundedConnection
from tests.services.between import between

if TYPE_CHECKING:
    from tests.services.postgres import PostgresServer


async def test_an_import_ends_where_its_source_stands_still(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoundedConnection, "patience", 2.0)
    name = f"theirs{uuid.uuid4().hex}"
    postgres_server.run(f"CREATE DATABASE {name}")
    try:
        postgres_server.run("CREATE TABLE chat (id int, session_id text, message text)", database=name)
        with between(postgres_server) as (proxy, url):
            proxy.silent_from = b"pg_attribute"
            source = f"{url.removesuffix('/postgres')}/{name}?sslmode=disable"
            with pytest.raises(UnavailableError, match="no answer"):
                await asyncio.wait_for(importing.import_from("langchain", source, "memory:"), 8)
    finally:
        postgres_server.run(f"DROP DATABASE {name} (FORCE)")
