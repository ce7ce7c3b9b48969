"""Writes blobs inside a transaction, and links them to the entries of a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.errors import ConflictError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable, Sequence

    from stowfast.abc import Change
    from stowfast.backends.sqlite.transaction import Transaction

__all__ = ["begin_blob", "find_blobs", "link_blobs", "write_chunks"]


def begin_blob(transaction: Transaction, name: str, blob: str) -> int:
    """Insert an empty blob beside a stream, also beside one without a commit, and return the id of its row."""
    row = transaction.execute("SELECT id FROM streams WHERE name = ?", (name,)).fetchone()
    stream = row[0] if row else transaction.insert(name)
    cursor = transaction.execute(
        "INSERT INTO blobs (stream, name, size, written_at, whole) VALUES (?, ?, 0, ?, 0)",
        (stream, blob, transaction.now),
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def write_chunks(
    transaction: Transaction, blob: int, name: str, start: int, chunks: Sequence[bytes | memoryview], *, last: bool
) -> None:
    """Add the next pieces of a blob, the first of them at offset `start`; the last ones make it whole."""
    going_on = transaction.execute(
        "UPDATE blobs SET size = ?, whole = ? WHERE id = ? AND name = ? AND whole = 0",
        (start + sum(map(len, chunks)), last, blob, name),
    )
    if going_on.rowcount != 1:
        return  # an upload of more than a day, swept meanwhile: the commit that names it is told
    for chunk in chunks:
        transaction.insert_all("INSERT INTO chunks (blob, start, data) VALUES (?, ?, ?)", [(blob, start, chunk)])
        start += len(chunk)
        transaction.pages += 1 + len(chunk) // 3_000


def find_blobs(
    execute: Callable[..., sqlite3.Cursor], name: str, stream: int | None, change: Change, *, fresh: bool
) -> list[int]:
    """Return the rows of the blobs of a change.

    Raises:
        ConflictError: one of them is gone.
    """
    found = []
    for blob in change.blobs:
        row = execute(
            "SELECT id FROM blobs WHERE name = ? AND stream = ? AND whole = 1 AND (written_at > 0 OR NOT ?)",
            (blob, stream, fresh),
        ).fetchone()
        if row is None:
            raise ConflictError(f"{name!r}: a blob of this change is gone, write it again")
        found.append(row[0])
    return found


def link_blobs(connection: sqlite3.Connection, stream: int, positions: Sequence[int], blobs: Sequence[int]) -> None:
    """Link blobs to the entries at some positions."""
    for blob in blobs:
        connection.execute("UPDATE blobs SET written_at = 0 WHERE id = ?", (blob,))
        connection.executemany(
            "INSERT OR IGNORE INTO links (stream, position, blob) VALUES (?, ?, ?)",
            [(stream, position, blob) for position in positions],
        )
