"""Tables under names of choice: a name is a name, whatever is in it."""

from __future__ import annotations

import sqlite3
import uuid
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

import stowfast.sync
from stowfast import InvalidError, StowfastError, importing
from stowfast.cli.main import run
from tests.unit.importing.sources import messages, sessions

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.postgres import PostgresServer

OPENAI = "openai-agents"
NAMES = [
    "chats",
    "Chats",
    "select",
    "a b",
    'a"b',
    '"; DROP TABLE secret; --',
    "x WHERE 0 UNION SELECT 'a', 0, word FROM secret --",
    "%s ? %% %(a)s",
    "'",
    "ü😀",
    "a.b",
    "[a]",
    "sessions=1",
]


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@pytest.mark.parametrize("name", NAMES)
def test_a_table_of_sqlite(tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]) -> None:
    source, url = sessions(tmp_path / "s.db", {"a": messages(3)}), f"sqlite:///{tmp_path}/t.db"
    with closing(sqlite3.connect(source)) as connection, connection:
        connection.execute(f"ALTER TABLE agent_messages RENAME TO {quoted(name)}")
        connection.execute("CREATE TABLE secret (word)")
    assert run(["import-from", OPENAI, str(source), url]) == 1
    assert "no table 'agent_messages'" in capfd.readouterr().err
    assert run(["import-from", OPENAI, str(source), url, "--table", f"agent_messages={name}"]) == 0
    with stowfast.sync.open(url) as stores:
        assert stores.messages.get_messages("a") == messages(3)


@pytest.mark.service
async def test_tables_of_postgres(postgres_server: PostgresServer) -> None:
    base = f"theirs{uuid.uuid4().hex}"
    postgres_server.run(f"CREATE DATABASE {base}")
    try:
        url = f"{postgres_server.endpoint}/{base}"
        for number, name in enumerate(NAMES):
            postgres_server.run(
                f"CREATE TABLE {quoted(name)} (id int, session_id text, message text)",
                f"INSERT INTO {quoted(name)} VALUES (1, 'a', '{{\"n\": {number}}}')",
                database=base,
            )
        for number, name in enumerate(NAMES):
            async with stowfast.open("memory:") as stores:
                await importing.import_from("langchain", url, stores, tables={"message_store": name})
                assert await stores.messages.get_messages("a") == [{"n": number}]
        with pytest.raises(InvalidError, match="no table"):
            await importing.import_from("langchain", url, "memory:", tables={"message_store": "none"})
    finally:
        postgres_server.run(f"DROP DATABASE {base} (FORCE)")


@pytest.mark.parametrize(
    "tables",
    [
        {"agent_messages": "none"},
        {"agent_messages": "sqlite_master"},
        {"agent_messages": "main.agent_messages"},
        {"agent_messages": ""},
        {"agent_messages": "a\0"},
        {"agent_messages": "\ud800"},
        {"agent_messages": 7},
        {"agent_messages": "x" * 5_000},
        {"secret": "agent_messages"},
        {7: "agent_messages"},
        "agent_messages",
    ],
)
async def test_a_wrong_name_is_refused(tmp_path: Path, tables: Any) -> None:
    source = sessions(tmp_path / "s.db", {"a": messages(3)})
    with pytest.raises(InvalidError):
        await importing.import_from(OPENAI, str(source), "memory:", tables=tables)
    for kind in ("google-adk", "strands"):
        with pytest.raises(StowfastError):
            await importing.import_from(kind, str(tmp_path), "memory:", tables=tables)


@pytest.mark.parametrize("text", ["agent_messages", "=chats", "agent_messages=", "chats=agent_messages"])
def test_a_wrong_option(tmp_path: Path, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    source = sessions(tmp_path / "s.db", {"a": messages(3)})
    assert run(["import-from", OPENAI, str(source), "memory:", "--table", text]) in {1, 2}
    err = capfd.readouterr().err
    assert "write TABLE=NAME" in err or "they are agent_messages" in err
