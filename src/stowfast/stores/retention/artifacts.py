"""Artifacts under a rule: the oldest versions go, or the whole artifact."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.abc import Change
from stowfast.stores.artifacts.links import unlink
from stowfast.stores.artifacts.live.build import live_stream_of
from stowfast.stores.artifacts.lookup import list_versions
from stowfast.stores.artifacts.records import KIND, newest_of
from stowfast.stores.codec import from_time
from stowfast.stores.optimistic import delete_if_still

if TYPE_CHECKING:
    from stowfast.abc import Backend, Head
    from stowfast.records import ArtifactInfo
    from stowfast.stores.retention.bounds import Bounds

__all__ = ["trim_artifact"]


async def trim_artifact(backend: Backend, head: Head, bounds: Bounds, *, dry_run: bool) -> tuple[int, bool] | None:
    """Remove the versions outside the bounds. Content shared with a kept version stays."""
    if not head.next:
        return None  # announced alone: its first version is being written
    artifact_id = head.name.removeprefix(f"{KIND}/")
    if bounds.since is not None and _moment(newest_of(head)) < bounds.since:
        return await _remove(backend, head, artifact_id, dry_run=dry_run)
    low = head.first if bounds.versions is None else max(head.first, head.next - bounds.versions)
    if bounds.bytes is not None or (bounds.since is not None and head.created_at < bounds.since):
        low = max(low, _within(await list_versions(backend, artifact_id), bounds))
    if low <= head.first:
        return None
    if not dry_run:
        await backend.commit(head.name, Change(drop_before=low, incarnation=head.incarnation, quiet=True))
    return low - head.first, False


async def _remove(backend: Backend, head: Head, artifact_id: str, *, dry_run: bool) -> tuple[int, bool] | None:
    (live,) = await backend.heads([live_stream_of(artifact_id)])
    if live is not None:
        return None  # somebody writes its next version
    if not dry_run:
        await backend.commit(head.name, delete_if_still(head))
        await unlink(backend, artifact_id)
    return head.length, True


def _within(versions: list[ArtifactInfo], bounds: Bounds) -> int:
    """Return the lowest position within the bounds of age and size: at most that of the newest version."""
    size, low = 0, 0
    for info in reversed(versions):
        size += info.size
        is_outside = (bounds.since is not None and _moment(info) < bounds.since) or (
            bounds.bytes is not None and size > bounds.bytes
        )
        if is_outside and info is not versions[-1]:
            return low
        low = info.version - 1
    return low


def _moment(info: ArtifactInfo) -> int:
    assert info.created_at is not None
    return from_time(info.created_at, "created_at")
