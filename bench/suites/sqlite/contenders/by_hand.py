"""The limit: `sqlite3` as a competent user writes it by hand, with one table, one index, one commit a message."""

from __future__ import annotations

import json
import sqlite3
import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bench.suites.sqlite.workloads import Job

INSERT = "INSERT INTO messages (session, message) VALUES (?, ?)"


class ByHand:
    patience = 5.0
    """Seconds of SQLite's busy handler: the default of `sqlite3`."""

    def open(self, job: Job) -> None:
        self.database = sqlite3.connect(
            job.location, timeout=self.patience, isolation_level=None, check_same_thread=False
        )
        self.database.execute("PRAGMA journal_mode = WAL")
        self.database.execute("PRAGMA synchronous = FULL")
        self.database.execute(
            "CREATE TABLE IF NOT EXISTS messages (id INTEGER PRIMARY KEY, session TEXT NOT NULL, message TEXT NOT NULL,"
            " created TIMESTAMP DEFAULT CURRENT_TIMESTAMP)"
        )
        self.database.execute("CREATE INDEX IF NOT EXISTS by_session ON messages (session, id)")
        self.turn = threading.Lock()

    def close(self) -> None:
        self.database.close()

    def add(self, session: str, message: dict[str, Any]) -> None:
        with self.turn:  # 0.1 us if it is free; without it, threads would share a transaction
            self.database.execute("BEGIN IMMEDIATE")
            self.database.execute(INSERT, (session, json.dumps(message)))
            self.database.execute("COMMIT")

    def add_all(self, session: str, messages: list[dict[str, Any]]) -> None:
        rows = [(session, json.dumps(message)) for message in messages]
        self.database.execute("BEGIN IMMEDIATE")
        self.database.executemany(INSERT, rows)
        self.database.execute("COMMIT")

    def load(self, session: str) -> list[dict[str, Any]]:
        rows = self.database.execute("SELECT message FROM messages WHERE session = ? ORDER BY id", (session,))
        return [json.loads(message) for (message,) in rows]

    def last(self, session: str, count: int) -> list[dict[str, Any]]:
        rows = self.database.execute(
            "SELECT message FROM messages WHERE session = ? ORDER BY id DESC LIMIT ?", (session, count)
        ).fetchall()
        return [json.loads(message) for (message,) in reversed(rows)]

    def stream(self, session: str) -> int:
        rows = self.database.execute("SELECT message FROM messages WHERE session = ? ORDER BY id", (session,))
        return sum(1 for (message,) in rows if json.loads(message))


class Patient(ByHand):
    """For many processes on one file: the default gives up among 48."""

    patience = 60.0
