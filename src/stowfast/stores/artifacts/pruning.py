"""Removal of old versions at once, and of an artifact at a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from stowfast.abc import MAX_HEAD_BYTES, Change
from stowfast.errors import ConflictError, NotFoundError, shown
from stowfast.stores.artifacts.lookup import find_head
from stowfast.stores.artifacts.records import note_after
from stowfast.stores.optimistic import Race

if TYPE_CHECKING:
    from stowfast.abc import Backend

__all__ = ["prune", "set_expiry"]

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


async def set_expiry(backend: Backend, artifact_id: str, moment: int | None) -> None:
    """Let an artifact end at a moment, or never. Its newest version keeps its time.

    Raises:
        NotFoundError: there is no such artifact.
    """
    race = Race(f"artifact {shown(artifact_id)}")
    while True:
        head = await find_head(backend, artifact_id)
        if head is None:
            raise NotFoundError(f"there is no artifact {shown(artifact_id)}: create it first")
        change = Change(expires_at=moment, incarnation=head.incarnation)
        note = note_after(head)
        if race.lost < _MAX_ATTEMPTS and len(note) <= MAX_HEAD_BYTES:
            change = change._replace(note=note, revision=head.revision, expect=head.next)
        if await race.commit(backend, head.name, change) is not None:
            return
