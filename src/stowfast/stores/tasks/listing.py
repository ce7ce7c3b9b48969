"""Lists of tasks: their heads, and their states if asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from stowfast.errors import DamagedError, StowfastError
from stowfast.records import Page, TaskInfo, TaskState
from stowfast.stores.codec import MAX_CLOCK_SKEW, to_time
from stowfast.stores.listing import read_listed
from stowfast.stores.tasks.head_note import KIND, TaskNote, id_of, lease_of
from stowfast.stores.tasks.labels import metadata_of, own_labels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.abc import Backend, Head, Listed, Query
    from stowfast.stores.tasks.versions import Versions

__all__ = ["list_tasks", "load_info"]


async def list_tasks(
    backend: Backend, versions: Versions, query: Query, since: int | None, *, data: bool
) -> Page[TaskInfo] | Page[TaskState]:
    """Return a page of the tasks changed after a moment, without those removed since the listing.

    Raises:
        UnavailableError: the backend gave no answer for one of them.
    """
    found, following = await backend.streams(query)
    # A listing has times of the backend's clock, a head those of the saver's: the head decides.
    late = [one for one in found if since is None or one.updated_at > since - MAX_CLOCK_SKEW]
    asked: list[str] = []

    def read(listed: Listed) -> TaskInfo | None:
        head = listed.head
        if head is None or (since is not None and head.updated_at <= since):
            return None
        info = _info_of(head)
        if data or metadata_of(head) is None:
            asked.append(info.task_id)
        return info

    infos, damaged = read_listed(KIND, late, read)
    following = following if len(late) == len(found) or query.order == "name" else None
    states, unread = await _states(versions, asked)
    damaged += unread
    if data:
        return Page(states, following, damaged)
    large = {state.task_id: state.metadata for state in states}
    whole = [replace(one, metadata=large[one.task_id]) if one.task_id in large else one for one in infos]
    return Page([one for one in whole if one.task_id in large or one.task_id not in asked], following, damaged)


async def load_info(versions: Versions, head: Head) -> TaskInfo | None:
    """Return a task as a list shows it; None if it was removed meanwhile.

    Raises:
        DamagedError: it is not the head of a task, or the version with its metadata is damaged.
    """
    info = _info_of(head)
    if metadata_of(head) is not None:
        return info
    state = await versions.version(head.name, None)
    return None if state is None else replace(info, metadata=state.metadata)


async def _states(versions: Versions, task_ids: Sequence[str]) -> tuple[list[TaskState], list[str]]:
    """Return the states of tasks, and the ids of the damaged ones."""
    states: list[TaskState] = []
    damaged: list[str] = []
    for task_id, found in zip(task_ids, await versions.load_many(list(task_ids)), strict=True):
        if isinstance(found, DamagedError):
            damaged.append(task_id)
        elif isinstance(found, StowfastError):
            raise found
        elif found is not None:
            states.append(found)
    return states, damaged


def _info_of(head: Head) -> TaskInfo:
    return TaskInfo(
        task_id=id_of(head),
        **own_labels(head),
        metadata=metadata_of(head) or {},
        version=head.next,
        updated_at=to_time(head.updated_at, head.name),
        expires_at=None if head.expires_at is None else to_time(head.expires_at, head.name),
        lease=lease_of(head, TaskNote.read(head)),
        incarnation=head.incarnation,
    )
