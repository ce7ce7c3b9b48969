"""A2A's task store for a cluster: a save names the version that it replaces."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.a2a.stored_tasks import list_page, owner_document, task_of, task_state, task_state_id
from stowfast.adapters.a2a.task_store import StowfastTaskStore
from stowfast.adapters.closing import WithClose
from stowfast.adapters.extras import extra
from stowfast.adapters.opener import Opener
from stowfast.errors import ConflictError, NotFoundError
from stowfast.names import new_id

with extra("a2a"):
    from a2a.server.cluster.task_store import ConcurrentTaskModificationError, StoredTask, VersionedTaskStore
    from a2a.server.cluster.version import TaskVersion
    from a2a.server.owner_resolver import OwnerResolver, resolve_user_scope
    from a2a.types import a2a_pb2

if TYPE_CHECKING:
    from a2a.server.context import ServerCallContext
    from a2a.server.events.event_queue import Event
    from a2a.server.tasks.task_store import TaskStore
    from a2a.types.a2a_pb2 import ListTasksRequest, ListTasksResponse, Task

    from stowfast import sync
    from stowfast.records import Retention, TaskState
    from stowfast.stores import Stores

__all__ = ["StowfastVersionedTaskStore", "number_of"]

_TERMINAL: Final = frozenset(
    a2a_pb2.TaskState.Name(state)
    for state in (
        a2a_pb2.TASK_STATE_COMPLETED,
        a2a_pb2.TASK_STATE_CANCELED,
        a2a_pb2.TASK_STATE_FAILED,
        a2a_pb2.TASK_STATE_REJECTED,
    )
)


class StowfastVersionedTaskStore(WithClose, VersionedTaskStore):
    """Tasks of an A2A cluster in any backend of Stowfast.

    A task and the event that led to it are one commit. Of racing saves over one version exactly one is stored, and the
    others are a ConcurrentTaskModificationError. A repeat after a lost answer stores nothing more. A cancellation needs
    no version, and is refused once the task has ended. The versions of a task are its event stream, for
    `StowfastTaskEventStream`.

    An event stream names no owner, so a task id belongs to the owner that saved it first.

    Args:
        stores: a URL, or open stores of either face.
        owner_resolver: returns the owner of a call; A2A's own returns the name of the user.
        retention: the versions of a task that are kept; None: as the stores say, without more all. A process that
            follows a task and falls behind by more versions misses events.
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
        self._plain = StowfastTaskStore(
            stores, owner_resolver, retention=retention, scope=scope, within=within, **options
        )

    @property
    def as_task_store(self) -> TaskStore:
        """The same tasks without versions: the last save wins."""
        return self._plain

    async def save(
        self,
        task: Task,
        *,
        event: Event | None,
        prev: Task | None,
        prev_version: TaskVersion,
        context: ServerCallContext,
    ) -> TaskVersion:
        """Store a task with its event over exactly `prev_version`, and return the new version.

        Raises:
            ConcurrentTaskModificationError: the task is at another version, or its id belongs to another owner; for a
                cancellation: it has ended, or is not there. Nothing was stored.
            TypeError: the version is not one of this store.
            UnavailableError: no answer. It may be stored.
        """
        del prev  # a save stores the difference by itself
        stores, owner = await self._opener.open(), self._owner_of(context)
        state, expected = task_state(task, owner, event), number_of(prev_version)
        try:
            if task.status.state == a2a_pb2.TASK_STATE_CANCELED:
                saved = await _cancel(stores, state)
            else:
                if not expected:
                    await _own(stores, task.id, owner)
                saved = await stores.tasks.save(
                    state, expect=expected, covers=(), retention=self._retention, op_id=new_id()
                )
        except (ConflictError, NotFoundError) as error:
            raise ConcurrentTaskModificationError(task.id) from error
        return TaskVersion(saved.version)

    async def get(self, task_id: str, context: ServerCallContext) -> StoredTask | None:
        """Return a task of the caller with its version; None for an unknown one."""
        stores = await self._opener.open()
        state = await stores.tasks.load(task_state_id(self._owner_of(context), task_id))
        return None if state is None else StoredTask(task_of(state), TaskVersion(state.version))

    async def list(self, params: ListTasksRequest, context: ServerCallContext) -> ListTasksResponse:
        """Return a page of the caller's tasks, as `StowfastTaskStore.list`."""
        return await list_page(await self._opener.open(), self._owner_of(context), params)

    async def delete(self, task_id: str, context: ServerCallContext) -> None:
        """Delete a task of the caller with all versions and events, for good. An unknown one is fine."""
        stores, owner = await self._opener.open(), self._owner_of(context)
        await stores.tasks.delete(task_state_id(owner, task_id))
        found = await stores.documents.get(owner_document(task_id))
        if found is not None and found.data == owner:
            await stores.documents.delete(owner_document(task_id))

    async def close(self) -> None:
        """Let go of the stores. Another call opens them again."""
        await super().close()
        await self._plain.close()


def number_of(version: TaskVersion) -> int:
    """Return the number of a version; 0 for the missing one.

    Raises:
        TypeError: it is the version of a store that counts in another way.
    """
    number = version._value  # noqa: SLF001 - opaque to callers; the store that made it reads it
    if not isinstance(number, int):
        raise TypeError(f"a version of Stowfast is an int, not a {type(number).__name__}")
    return number


async def _cancel(stores: Stores, state: TaskState) -> TaskState:
    def cancel(now: TaskState) -> TaskState:
        if now.status in _TERMINAL:
            raise ConflictError("the task has ended")
        return state

    return await stores.tasks.update(state.task_id, cancel, op_id=new_id())


async def _own(stores: Stores, task_id: str, owner: str) -> None:
    """Make an owner the owner of a new task.

    Raises:
        ConflictError: it belongs to another owner.
    """
    document_id = owner_document(task_id)
    try:
        await stores.documents.put(document_id, owner, expect=0)
    except ConflictError:
        found = await stores.documents.get(document_id)
        if found is None or found.data != owner:
            raise
