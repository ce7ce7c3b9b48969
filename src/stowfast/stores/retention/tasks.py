"""Tasks under a rule: the oldest versions go, or the whole task, unless somebody works on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.records import Retention
from stowfast.stores.optimistic import delete_if_still
from stowfast.stores.tasks.head_note import Keep, TaskNote
from stowfast.stores.tasks.heads import Heads
from stowfast.stores.tasks.versions import Versions

if TYPE_CHECKING:
    from stowfast.abc import Backend, Head
    from stowfast.stores.retention.bounds import Bounds

__all__ = ["trim_task"]


async def trim_task(backend: Backend, head: Head, bounds: Bounds, *, dry_run: bool) -> tuple[int, bool] | None:
    """Remove the versions outside the bounds, or outside the task's own retention."""
    note = TaskNote.read(head)
    if bounds.since is not None and head.updated_at < bounds.since:
        if note.holder is not None and not note.holder.ended(bounds.now):
            return None
        if not dry_run:
            # A claim meanwhile changes the revision, and a save the next position.
            await backend.commit(head.name, delete_if_still(head))
        return head.next - max(head.base, head.first), True
    keep = note.keep if note.keep is not None else Keep(bounds.versions, bounds.age)
    versions = Versions(Heads(backend), Retention())
    gone = await (versions.outside(head, keep) if dry_run else versions.prune_to(head.name, keep, quiet=True))
    return (gone, False) if gone else None
