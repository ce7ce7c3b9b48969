"""Removes the content of a stream inside a transaction, or leaves it as garbage where it is much.

A transaction with 300,000 removed rows holds its locks for a second. So a large stream only moves: its row gets the
name of nobody and the mark of the expired, and a new row takes the name. Further transactions remove the rest.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import OPERATIONS_REMEMBERED
from stowfast.backends.postgres.rows import columns_of

if TYPE_CHECKING:
    from collections.abc import Callable

    import psycopg

    from stowfast.backends.postgres.rows import StoredRow

__all__ = ["BATCH_BYTES", "BATCH_ROWS", "StreamRemoval"]

BATCH_ROWS: Final = 1_000
"""The most entries removed in one transaction."""

BATCH_BYTES: Final = 4 * 2**20
"""The most bytes removed in one transaction, or one entry of any size."""


class StreamRemoval:
    """The removals of one transaction. It calls `execute` with the names of statements."""

    def __init__(self, execute: Callable[[str, Any], psycopg.Cursor[Any]]) -> None:
        self._execute = execute
        self._rows = self._bytes = 0
        self.left_garbage = False
        """Something is left for further transactions."""

    def is_enough(self) -> bool:
        """Return True once the transaction should end."""
        return self._rows >= BATCH_ROWS or self._bytes >= BATCH_BYTES

    def empty(self, id: int, name: str, at: int, insert: Callable[[str], int]) -> int:
        """Remove everything of a stream but its newest op_ids, and return the id of its row from now on.

        Its blobs are left to the sweep.
        """
        row = self._execute("extent", {"id": id, "most": BATCH_ROWS + 1}).fetchone()
        assert row is not None
        entries, size, operations = row
        if max(entries, operations) > BATCH_ROWS or size > BATCH_BYTES:
            return self._discard(id, name, at, insert)
        self._execute("end_blobs", [id])
        self._execute("remove_links", [id, -1, 2**62])
        self._execute("remove_entries", [id, -1, 2**62])
        self._execute("remove_labels", [id])
        self._execute("forget", {"id": id, "kept": OPERATIONS_REMEMBERED})
        self._rows, self._bytes = self._rows + entries, self._bytes + size
        return id

    def _discard(self, id: int, name: str, at: int, insert: Callable[[str], int]) -> int:
        """Give a stream another row: all rows under the id of the former one are garbage at once, however many."""
        # It begins with the same name: a policy of row-level security shows it to the same role.
        nobody = f"{name}\x01{secrets.token_hex(16)}"
        self._execute("rename", [nobody, id])
        self._execute("store_head", {**columns_of(nobody, None, at, expires_at=at), "id": id})
        new = insert(name)
        self._execute("remove_labels", [id])
        self._execute("move_uploads", [new, id])
        self._execute("move_operations", {"new": new, "id": id, "kept": OPERATIONS_REMEMBERED})
        self.left_garbage = True
        return new

    def drain(self, row: StoredRow, at: int) -> None:
        """Remove some rows of garbage, at last the mark of its own row."""
        found = self._execute("drain", {"id": row.id, "rows": BATCH_ROWS, "bytes": BATCH_BYTES}).fetchone()
        assert found is not None
        entries, size = found
        most = {"id": row.id, "rows": BATCH_ROWS}
        others = sum(self._execute(name, most).rowcount for name in ("drain_links", "drain_operations"))
        self._rows, self._bytes = self._rows + entries + others, self._bytes + size
        if not entries and not others:
            self._execute("store_head", {**columns_of(row.name, None, at), "id": row.id})
