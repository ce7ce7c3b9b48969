"""Sources made by hand, in the layout of each library. `tests/frameworks` has those made by the libraries."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    import stowfast

OPENAI = (
    "CREATE TABLE agent_messages (id INTEGER PRIMARY KEY, session_id TEXT, message_data TEXT, created_at TIMESTAMP)"
)
START = "2026-01-02 03:04:05"


def database(path: Path, *statements: str) -> Path:
    """Make a SQLite file."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
    return path


def insert(path: Path, table: str, *rows: tuple[Any, ...]) -> None:
    """Add rows to a table."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for row in rows:
            connection.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)


def messages(count: int, start: int = 0) -> list[dict[str, Any]]:
    """Return messages, each different."""
    return [{"role": "user", "content": f"{number} ü😀"} for number in range(start, start + count)]


def sessions(path: Path, named: dict[Any, list[Any]], *, moment: Any = START) -> Path:
    """Make a file of `SQLiteSession`, or add to it. Text of a message is stored as it is."""
    if not path.exists():
        database(path, OPENAI)
    for session, items in named.items():
        rows = [(None, session, json.dumps(one) if isinstance(one, dict) else one, moment) for one in items]
        insert(path, "agent_messages", *rows)
    return path


async def artifact_of(stores: stowfast.Stores, artifact_id: str) -> stowfast.Artifact:
    """Return an artifact that was imported."""
    found = await stores.artifacts.get(artifact_id)
    assert found is not None
    return found


def put_no_file(path: Path, kind: str, outside: Path) -> None:
    """Put something at a path that must not be read: a link to a file outside, a pipe, a huge file or a folder."""
    match kind:
        case "link":
            path.symlink_to(outside)
        case "pipe":
            os.mkfifo(path)
        case "large":
            path.touch()
            os.truncate(path, 70_000_000)
        case "folder":
            path.mkdir()
