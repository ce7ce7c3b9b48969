"""Files with code of others in their schema: refused, left untouched, and never endless."""

from __future__ import annotations

import shutil
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import stowfast
import stowfast.sync
from stowfast.abc import Change
from stowfast.backends.sqlite import guard
from stowfast.backends.sqlite.backend import SQLiteBackend
from stowfast.blocking import run_in_place
from stowfast.errors import DamagedError, InvalidError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

ENDLESS = "WITH RECURSIVE n (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT"
STREAMS = (
    "x AS id, 'messages/' || x AS name, 'i' AS incarnation, 0 AS first, 0 AS next, 0 AS length, 0 AS base,"
    " 0 AS revision, 0 AS created_at, 0 AS updated_at, NULL AS expires_at, '{}' AS labels, x'' AS note,"
    " 0 AS checksum FROM n"
)


def refuses(path: Path, statements: tuple[str, ...], kind: type[Exception], words: str) -> None:
    with stowfast.sync.open(f"sqlite:///{path}") as stores:
        stores.messages.add_message("c", {"n": 1})
    with closing(sqlite3.connect(path)) as file:
        for statement in statements:
            file.execute(statement)
        file.commit()
    before = path.read_bytes()[100:]
    began = time.monotonic()
    with pytest.raises(kind, match=words):
        stowfast.sync.open(f"sqlite:///{path}")
    assert time.monotonic() - began < 5
    assert path.read_bytes()[100:] == before


@pytest.mark.parametrize(
    "statements",
    [
        ("DROP TABLE streams", f"CREATE VIEW streams AS {ENDLESS} {STREAMS}"),
        ("DROP TABLE entries", f"CREATE VIEW entries AS {ENDLESS} x AS stream, x AS position FROM n"),
        ("DROP TABLE labels",),
        ("ALTER TABLE entries ADD COLUMN mine TEXT",),
        ("ALTER TABLE entries RENAME COLUMN op_id TO other",),
        ("DROP TABLE labels", "CREATE TABLE labels (stream INTEGER, key TEXT, value TEXT)"),
        ("DROP INDEX links_by_blob",),
    ],
)
def test_a_table_that_is_not_ours(statements: tuple[str, ...], tmp_path: Path) -> None:
    refuses(tmp_path / "agent.db", statements, DamagedError, "not as Stowfast declared it")


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER mine BEFORE INSERT ON entries BEGIN SELECT RAISE(IGNORE); END",
        "CREATE TRIGGER mine AFTER INSERT ON entries BEGIN UPDATE entries SET data = x'7b7d'; END",
        "CREATE TRIGGER mine AFTER INSERT ON Entries BEGIN DELETE FROM entries; END",
        "CREATE TRIGGER mine AFTER UPDATE ON streams BEGIN DELETE FROM streams; END",
        "CREATE UNIQUE INDEX mine ON entries (data)",
    ],
)
def test_a_trigger_of_others(statement: str, tmp_path: Path) -> None:
    refuses(tmp_path / "agent.db", (statement,), InvalidError, "'mine' on our table")


def test_tables_and_views_of_others_stay_allowed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/agent.db"
    with stowfast.sync.open(url) as stores:
        stores.messages.add_message("c", {"n": 1})
    with closing(sqlite3.connect(tmp_path / "agent.db")) as file:
        file.execute("CREATE TABLE notes (text)")
        file.execute("CREATE INDEX notes_by_text ON notes (text)")
        file.execute("CREATE TRIGGER notes_added AFTER INSERT ON notes BEGIN UPDATE notes SET text = 'x'; END")
        file.execute("CREATE VIEW chats AS SELECT name FROM streams")
        file.execute("DROP VIEW history")
        file.commit()
    with stowfast.sync.open(url) as stores:
        stores.messages.add_message("c", {"n": 2})
        assert stores.messages.count("c") == 2


def test_a_trigger_made_while_the_file_is_open_swallows_nothing(tmp_path: Path) -> None:
    with stowfast.sync.open(f"sqlite:///{tmp_path}/agent.db") as stores:
        stores.messages.add_message("c", {"n": 1})
        with closing(sqlite3.connect(tmp_path / "agent.db")) as file:
            file.execute("CREATE TRIGGER mine BEFORE INSERT ON entries BEGIN SELECT RAISE(IGNORE); END")
            file.commit()
        for _ in range(2):
            with pytest.raises(DamagedError, match="a trigger that is not ours"):
                stores.messages.add_message("c", {"n": 2})
        with pytest.raises(DamagedError, match="a trigger that is not ours"):
            stores.messages.add_messages("new", [{}, {}])
        assert stores.messages.get_messages("c") == [{"n": 1}]


def test_an_endless_statement_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file can be made hostile while it is open: each transaction has its bound."""
    monkeypatch.setattr(guard, "_STEPS_BETWEEN_LOOKS", 1_000)
    path = tmp_path / "agent.db"
    backend = run_in_place(SQLiteBackend.open(f"sqlite:///{path}", sweep=False))
    run_in_place(backend.commit("s", Change([b"x"])))
    monkeypatch.setattr(guard, "TRANSACTION_SECONDS", 0.2)
    with closing(sqlite3.connect(path)) as file:
        file.execute("ALTER TABLE streams RENAME TO old")
        file.execute(f"CREATE VIEW streams AS {ENDLESS} {STREAMS}")
        file.commit()
    with pytest.raises(UnavailableError, match="a transaction took over"):
        run_in_place(backend.heads(["s"]))
    with pytest.raises(UnavailableError, match="a transaction took over"):
        run_in_place(backend.commit("s", Change([b"y"])))
    run_in_place(backend.close())
    shutil.rmtree(tmp_path)
