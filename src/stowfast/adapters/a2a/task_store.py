"""A2A's task store for one process: the last save of a task wins."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from stowfast.adapters.a2a.stored_tasks import list_page, task_of, task_state, task_state_id
from stowfast.adapters.closing import WithClose
from stowfast.adapters.extras import extra
from stowfast.adapters.opener import Opener
from stowfast.names import new_id

with extra("a2a"):
    from a2a.server.owner_resolver import OwnerResolver, resolve_user_scope
    from a2a.server.tasks.task_store import TaskStore

if TYPE_CHECKING:
    from a2a.server.context import ServerCallContext
    from a2a.types.a2a_pb2 import ListTasksRequest, ListTasksResponse, Task

    from stowfast import sync
    from stowfast.records import Retention
    from stowfast.stores import Stores

__all__ = ["StowfastTaskStore"]


class StowfastTaskStore(WithClose, TaskStore):
    """Tasks of A2A in any backend of Stowfast, each owner's apart.

    A save that was acknowledged is stored once, also after a lost answer or a crash, and is a version of its own: the
    last one is the task, the earlier ones stay in its history. Of two writers of one task the later wins. Use
    `StowfastVersionedTaskStore` where several processes change one task.

    Args:
        stores: a URL, or open stores of either face.
        owner_resolver: returns the owner of a call; A2A's own returns the name of the user.
        retention: the versions of a task that are kept; None: as the stores say, without more all.
        scope: the scope of these stores to use.
        within: the time for repeats after a lost answer; see `stowfast.wrappers.Patient`.
        options: options for the URL.

    Raises:
        InvalidError: `stores` is neither a URL nor open stores, or an option is wrong.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        owner_resolver: OwnerResolver = resolve_user_scope,
        *,
        retention: Retention | None = None,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._opener = Opener(stores, scope=scope, within=within, **options)
        self._owner_of = owner_resolver
        self._retention = retention

    async def save(self, task: Task, context: ServerCallContext) -> None:
        """Store a task, new or in place of the earlier one.

        Raises:
            InvalidError: its id is too long, or it has over 64 MiB. Nothing was stored.
            UnavailableError: no answer. It may be stored.
        """
        stores = await self._opener.open()
        state = task_state(task, self._owner_of(context))
        await stores.tasks.save(state, retention=self._retention, op_id=new_id())

    async def get(self, task_id: str, context: ServerCallContext) -> Task | None:
        """Return a task of the caller; None for an unknown one."""
        stores = await self._opener.open()
        state = await stores.tasks.load(task_state_id(self._owner_of(context), task_id))
        return None if state is None else task_of(state)

    async def list(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """Return a page of the caller's tasks, by the time of their status, the newest first.

        One listing of all tasks of the caller without their data, and one read for each task of the page. A task with
        damaged data is left out of the listing.

        Raises:
            InvalidParamsError: the page token is none.
        """
        return await list_page(await self._opener.open(), self._owner_of(context), params)

    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        """Delete a task of the caller with all versions, for good. An unknown one is fine."""
        stores = await self._opener.open()
        await stores.tasks.delete(task_state_id(self._owner_of(context), task_id))
