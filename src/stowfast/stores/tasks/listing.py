"""Lists of tasks: their heads, and their states if asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.errors import DamagedError, StowfastError
from stowfast.records import Page, TaskInfo, TaskState
from stowfast.stores.codec import (
    MAX_CLOCK_SKEW,
    to_time,
)  # fmt: skip
from stowfast.stores.listing import read_listed
from stowfast.stores.tasks.head_note import KIND, TaskNote, id_of, lease_of
from stowfast.stores.tasks.leases import LABELS

if TYPE_CHECKING:
    from stowfast.abc import Backend, Head, Listed, Query
    from stowfast.stores.tasks.versions import Versions

__all__ = ["info_of", "list_tasks", "with_data"]


async def list_tasks(backend: Backend, query: Query, since: int | None) -> Page[TaskInfo]:
    """Return a page of the tasks changed after a moment."""
    found, following = await backend.streams(query)
    # A listing has times of the backend's clock, a head those of the saver's: the head decides.
    late = [one for one in found if since is None or one.updated_at > since - MAX_CLOCK_SKEW]

    def read(listed: Listed) -> TaskInfo | None:
        head = listed.head
        return info_of(head) if head is not None and (since is None or head.updated_at > since) else None

    infos, damaged = read_listed(KIND, late, read)
    more = len(late) == len(found) or query.order == "name"
    return Page(infos, following if more else None, damaged)


async def with_data(versions: Versions, page: Page[TaskInfo]) -> Page[TaskState]:
    """Return the states of a page of tasks, without those removed since the listing.

    Raises:
        UnavailableError: the backend gave no answer for one of them.
    """
    ids = [info.task_id for info in page]
    states: list[TaskState] = []
    damaged = list(page.damaged)
    for task_id, found in zip(ids, await versions.load_many(ids), strict=True):
        if isinstance(found, DamagedError):
            damaged.append(task_id)
        elif isinstance(found, StowfastError):
            raise found
        elif found is not None:
            states.append(found)
    return Page(states, page.next, damaged)


def info_of(head: Head) -> TaskInfo:
    """Return a task as its head describes it.

    Raises:
        DamagedError: it is not the head of a task.
    """
    if not {"status"} <= head.labels.keys() <= set(LABELS):
        raise DamagedError(f"{head.name}: its labels are not those of a task")
    return TaskInfo(
        task_id=id_of(head),
        **head.labels,
        version=head.next,
        updated_at=to_time(head.updated_at, head.name),
        expires_at=None if head.expires_at is None else to_time(head.expires_at, head.name),
        lease=lease_of(head, TaskNote.read(head)),
        incarnation=head.incarnation,
    )
