"""Removing old versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.abc import MAX_HEAD_BYTES, Change
from stowfast.errors import ConflictError
from stowfast.stores.artifacts.lookup import find_head
from stowfast.stores.artifacts.records import note_after

if TYPE_CHECKING:
    from stowfast.abc import Backend

__all__ = ["prune"]

_MAX_ATTEMPTS: Final = 10


async def prune(backend: Backend, artifact_id: str, keep: int) -> int:
    """Remove all versions but the newest `keep`, and return the number removed."""
    incarnation, attempts = None, 0
    while True:
        head = await find_head(backend, artifact_id)
        if head is None or head.next - keep <= head.first:
            return 0
        first, incarnation = head.next - keep, incarnation or head.incarnation
        change = Change(drop_before=first, incarnation=incarnation)
        note = note_after(head)
        if attempts < _MAX_ATTEMPTS and len(note) <= MAX_HEAD_BYTES:
            # The note describes the newest version, so it must not follow a version added meanwhile. Beside callers who
            # never stop adding, the versions go without a note: the next version brings its own.
            change = change._replace(note=note, revision=head.revision)
        attempts += 1
        try:
            await backend.commit(head.name, change)
        except ConflictError:
            if change.revision is None or head.incarnation != incarnation:
                raise
            continue
        return first - head.first
