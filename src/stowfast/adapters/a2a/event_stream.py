"""A2A's event stream for a cluster: the versions of a task, each with its event."""

from __future__ import annotations

from contextlib import aclosing
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.a2a.stored_tasks import event_of, owner_document, task_state_id
from stowfast.adapters.a2a.versioned_store import number_of
from stowfast.adapters.closing import WithClose
from stowfast.adapters.extras import extra
from stowfast.adapters.opener import Opener
from stowfast.stores.codec import stream_name

with extra("a2a"):
    from a2a.server.cluster.event_stream import TaskEventStream, VersionedEvent
    from a2a.server.cluster.version import TaskVersion

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from stowfast import sync
    from stowfast.stores import Stores

__all__ = ["StowfastTaskEventStream"]

_WAIT_SECONDS: Final = 30.0


class StowfastTaskEventStream(WithClose, TaskEventStream):
    """The events of tasks in a `StowfastVersionedTaskStore` over the same backend.

    A subscriber in any process gets each event once and in order, with the version that it made. A version and its
    event are one commit, so neither is ever seen without the other. There is no second table and nothing to publish.

    Args:
        stores: a URL, or open stores of either face.
        scope: the scope of these stores to use.
        within: the time for repeats of a read without an answer; see `stowfast.wrappers.Patient`.
        options: options for the URL.

    Raises:
        InvalidError: `stores` is neither a URL nor open stores, or an option is wrong.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._opener = Opener(stores, scope=scope, within=within, **options)

    async def publish(self, task_id: str, event: VersionedEvent) -> None:
        """Do nothing: the save of the task has stored its event."""

    async def subscribe(self, task_id: str, *, after: TaskVersion) -> AsyncGenerator[VersionedEvent, None]:
        """Yield the events of a task behind a version, and each later one. Ends only when you stop it.

        A task that does not exist yet is waited for. Events of versions that a retention removed before they were read
        are left out.

        Raises:
            TypeError: the version is not one of Stowfast.
        """
        start = number_of(after)
        stores = await self._opener.open()
        owner = await _owner(stores, task_id)
        async with aclosing(stores.tasks.watch(task_state_id(owner, task_id), after=start)) as states:
            async for state in states:
                event = event_of(state)
                if event is not None:
                    yield VersionedEvent(event, TaskVersion(state.version))

    async def destroy(self, task_id: str) -> None:
        """Do nothing: the events are the history of the task, and stay as long as it."""


async def _owner(stores: Stores, task_id: str) -> str:
    """Return the owner of a task, once it has one."""
    document_id = owner_document(task_id)
    stream = stream_name("documents", "document_id", document_id)
    while True:
        found = await stores.documents.get(document_id)
        if found is not None:
            return str(found.data)
        await stores.backend.wait(stream, incarnation=None, next=0, timeout=_WAIT_SECONDS)
