"""Rows of the table `streams` as heads."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec

from stowfast.abc import Head

__all__ = ["HEAD", "StreamRow"]

HEAD: Final = (
    "SELECT name, incarnation, first, next, length, base, revision, labels, note, streams.created_at, updated_at,"
    " expires_at, streams.id, last.position, last.created_at FROM streams"
    " LEFT JOIN entries AS last ON last.stream = streams.id"
    " AND last.position = (SELECT max(position) FROM entries WHERE stream = streams.id)"
    " WHERE name = ?"
)
"""Selects a `StreamRow`.

A plain append writes its entry and leaves the row of its stream as it was: half the pages. The row therefore holds the
state after the last change of another kind. The last entry holds the rest, since plain appends leave no gap.
"""


class StreamRow(NamedTuple):
    """One row of the `HEAD` query, in the order of its columns."""

    name: str
    incarnation: str | None
    """None: the stream was deleted, and the row is a tombstone."""
    first: int
    next: int
    length: int
    base: int
    revision: int
    labels: str
    note: bytes
    created_at: int
    updated_at: int
    expires_at: int | None
    id: int
    last_position: int | None
    last_created_at: int | None

    def head(self) -> Head | None:
        """Return the head, with the plain appends since the row was written; None for a tombstone."""
        if self.incarnation is None:
            return None
        following, length, updated_at = self.next, self.length, self.updated_at
        if self.last_position is not None and self.last_position >= following:
            length += self.last_position + 1 - following
            following = self.last_position + 1
            updated_at = max(updated_at, self.last_created_at or 0)
        return Head(
            name=self.name,
            incarnation=self.incarnation,
            first=self.first,
            next=following,
            length=length,
            base=self.base,
            revision=self.revision,
            labels={} if self.labels == "{}" else msgspec.json.decode(self.labels, type=dict[str, str]),
            note=self.note,
            created_at=self.created_at,
            updated_at=updated_at,
            expires_at=self.expires_at,
        )
