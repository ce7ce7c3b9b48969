"""Removes expired streams, blobs without an entry, and old tombstones, in small transactions."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Swept
from stowfast.backends.postgres.rows import StoredRow
from stowfast.backends.postgres.transaction import BatchTransaction
from stowfast.errors import StowfastError

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from stowfast.backends.postgres.database import Database

__all__ = ["remove_garbage", "sweep", "would_sweep"]

_DAY: Final = 86_400 * 1_000_000
_TOMBSTONES_LIVE: Final = 7 * _DAY
_LOCKED_SECONDS: Final = 0.02
"""A transaction begins no further stream after it."""


def would_sweep(database: Database) -> Swept:
    """Return the amounts that a sweep would remove."""
    with database.lend() as connection:
        streams, entry_bytes = _row(connection.execute(database.statements["would_expire"]))
        blobs, blob_bytes = _row(connection.execute(database.statements["would_orphan"], [_DAY]))
    return Swept(streams, blobs, entry_bytes + blob_bytes)


def sweep(database: Database) -> Swept:
    """Remove all garbage, and return the amounts."""
    would = would_sweep(database)
    streams = 0
    while found := _expire(database, "expired"):
        streams += sum(row.incarnation is not None for row in found)
    blobs = 0
    while collected := _collect(database):
        blobs += collected
    while _forget(database):
        pass
    return Swept(streams, blobs, would.bytes)


def remove_garbage(database: Database, goes_on: Callable[[], bool]) -> None:
    """Remove the rows left by large deletions. After an error, the rest is left to the next sweep."""
    with suppress(StowfastError):
        while goes_on() and _expire(database, "garbage"):
            pass


def _expire(database: Database, query: str) -> list[StoredRow]:
    """Remove expired streams and garbage in one transaction, a small part of them, and return their rows."""
    with database.lend() as connection, connection.transaction():
        found = connection.execute(database.statements[query], binary=True).fetchall()
        began, done = time.monotonic(), list[StoredRow]()
        transaction = BatchTransaction(connection, database.statements)
        for row in map(StoredRow._make, found):
            if not row.is_sound():  # its time of expiry may be what was changed
                continue
            (transaction.drain if row.incarnation is None else transaction.expire)(row)
            done.append(row)
            if transaction.removal.is_enough() or time.monotonic() > began + _LOCKED_SECONDS:
                break
        return done


def _collect(database: Database) -> int:
    statements = database.statements
    with database.lend() as connection:
        with connection.transaction():
            blobs = [id for (id,) in connection.execute(statements["orphans"], [_DAY])]
            if not blobs:
                return 0
            # A statement of its own: it sees the links of a commit that came before these locks. A commit that names
            # one of the blobs from now on is told that it is gone.
            blobs = [id for (id,) in connection.execute(statements["condemn"], [blobs])]
        if not blobs:
            return 0
        while connection.execute(statements["drop_chunks"], [blobs]).rowcount:
            pass
        return len(connection.execute(statements["drop_blobs"], [blobs]).fetchall())


def _forget(database: Database) -> int:
    with database.lend() as connection:
        row = connection.execute(database.statements["old_tombstones"], [_TOMBSTONES_LIVE]).fetchone()
        assert row is not None
        return int(row[0])


def _row(cursor: psycopg.Cursor[Any]) -> tuple[int, int]:
    row = cursor.fetchone()
    assert row is not None
    return int(row[0]), int(row[1])
