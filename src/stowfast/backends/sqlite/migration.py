"""Bringing a SQLite file to this version: its tables, its mark, and the log instead of a journal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.backends.sqlite.opening import new_mark
from stowfast.backends.sqlite.schema import APPLICATION_ID, MIGRATIONS, statements
from stowfast.errors import UnsupportedError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    Patiently = Callable[[Callable[[], object]], None]

__all__ = ["migrate", "pragma", "refuse_newer", "version_known"]


def version_known() -> int:
    """Return the newest version that is known here."""
    return len(MIGRATIONS)


def refuse_newer(path: str, version: int) -> None:
    """Raise UnsupportedError for a version that is not known here."""
    if version > len(MIGRATIONS):
        raise UnsupportedError(
            f"{path} has format {version}, this Stowfast knows up to {len(MIGRATIONS)}; "
            "it was left untouched: pip install --upgrade stowfast"
        )


def migrate(connection: sqlite3.Connection, path: str, patiently: Patiently) -> None:
    """Bring a file to this version, and to its log. `patiently` repeats an action while the file is locked.

    The first step is done in SQLite's rollback mode, so that the application id is in the file's header, where `look`
    reads it, before any other process can see a table.

    Raises:
        UnsupportedError: the file has a newer version, or its file system has no shared memory.
    """
    version = pragma(connection, "user_version", patiently)
    if version < len(MIGRATIONS):
        patiently(lambda: connection.execute("BEGIN EXCLUSIVE"))
        try:
            version = pragma(connection, "user_version", patiently)
            for step in MIGRATIONS[version:]:
                for statement in statements(step):
                    connection.execute(statement)
            if version == 0:
                connection.execute(f"PRAGMA schema_version={new_mark():d}")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID:d}")
            connection.execute(f"PRAGMA user_version={max(version, len(MIGRATIONS)):d}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    refuse_newer(path, version)
    patiently(lambda: _use_log(connection, path))


def pragma(connection: sqlite3.Connection, name: str, patiently: Patiently) -> int:
    """Return a number of the file's header, as a connection sees it: with the log."""
    found: list[int] = []
    patiently(lambda: found.extend(connection.execute(f"PRAGMA {name}").fetchone()))
    return found[0]


def _use_log(connection: sqlite3.Connection, path: str) -> None:
    mode = connection.execute("PRAGMA journal_mode=WAL").fetchone()[0]
    if mode != "wal":
        raise UnsupportedError(f"{path}: this file system has no shared memory for SQLite's log: use a local disk")
