"""Writes blobs piece by piece, each piece in a transaction of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.backends.postgres.failures import swallowed
from stowfast.backends.postgres.transaction import BatchTransaction
from stowfast.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.backends.postgres.database import Database

__all__ = ["CHUNK_BYTES", "begin_blob", "write_chunks"]

CHUNK_BYTES: Final = 2**20
"""Bytes of a row: a range is read by its rows."""


def begin_blob(database: Database, stream: str, blob: str) -> int:
    """Insert an empty blob beside a stream, also beside one without a commit, and return the id of its row."""
    with database.lend() as connection, connection.transaction():
        BatchTransaction(connection, database.statements).insert_if_missing(stream)
        row = connection.execute(database.statements["new_blob"], [blob, stream]).fetchone()
        if row is None:  # a sweep removed the row of a stream that was deleted a week ago
            raise UnavailableError(f"{stream!r} was swept at this moment: repeat the call")
        return int(row[0])


def write_chunks(database: Database, blob: int, start: int, pieces: Sequence[bytes], *, last: bool) -> None:
    """Add the next bytes of a blob at offset `start`; the last ones make it whole."""
    whole = memoryview(b"".join(pieces))
    statements = database.statements
    with database.lend() as connection, connection.transaction():
        growing = connection.execute(statements["grow_blob"], [start + len(whole), int(last), blob])
        if growing.rowcount != 1:
            return  # an upload of more than a day, swept meanwhile: the commit that names it is told
        for offset in range(0, len(whole), CHUNK_BYTES):
            chunk = bytes(whole[offset : offset + CHUNK_BYTES])
            if connection.execute(statements["add_chunk"], [blob, start + offset, chunk]).rowcount != 1:
                raise swallowed()
