"""`stowfast migrate`: tables for a role that may not make them."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import stowfast
from stowfast.cli import main

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.services.postgres import PostgresServer


def test_printed_statements_and_grants_are_all_that_a_role_needs(
    postgres_server: PostgresServer, capsys: pytest.CaptureFixture[str]
) -> None:
    schema, role = f"s{uuid.uuid4().hex}", f"r{uuid.uuid4().hex}"
    host = postgres_server.endpoint.rpartition("@")[2]
    url = f"postgresql://{role}:role@{host}/postgres?schema={schema}"
    assert main.run(["migrate", url]) == 1
    assert "migrate URL --sql" not in capsys.readouterr().out
    assert main.run(["migrate", url, "--sql", "--grant-to", role]) == 0
    printed = capsys.readouterr().out
    postgres_server.run(f"CREATE ROLE {role} LOGIN PASSWORD 'role'", printed)
    with stowfast.sync.open(f"{url}&migrate=false") as stores:
        assert stores.messages.add_message("c", {}) == 0
    assert main.run(["migrate", url]) == 0
    postgres_server.run(f"DROP OWNED BY {role} CASCADE", f"DROP ROLE {role}")


def test_tables_are_made_without_sql(postgres_server: PostgresServer) -> None:
    url = postgres_server.url()
    assert main.run(["migrate", url]) == 0
    with stowfast.sync.open(f"{url}&migrate=false") as stores:
        assert stores.messages.add_message("c", {}) == 0


def test_a_schema_is_quoted(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["migrate", "postgresql://host/db?schema=a%22%3B%20b", "--sql", "--grant-to", 'r"; x']) == 0
    printed = capsys.readouterr().out
    assert 'CREATE SCHEMA "a""; b";' in printed
    assert 'TO "r""; x";' in printed
    assert printed.startswith("BEGIN;")
    assert printed.endswith("COMMIT;\n")


def test_statements_are_of_postgresql_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/agent.db"
    assert main.run(["migrate", url, "--sql"]) == 1
    assert "for PostgreSQL" in capsys.readouterr().err
    assert main.run(["migrate", url, "--grant-to", "x"]) == 2
    assert main.run(["migrate", "postgresql://host/db?schema=", "--sql"]) in {1, 2}
    assert main.run(["migrate", url]) == 0
    assert (tmp_path / "agent.db").exists()
