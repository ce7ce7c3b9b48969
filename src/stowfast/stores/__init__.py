"""The stores, each written once over any backend, and all of them together."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from stowfast.errors import DamagedError
from stowfast.first_use import imported, loader
from stowfast.names import new_id
from stowfast.scopes import ScopedBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import timedelta

    from stowfast.abc import Backend, Swept
    from stowfast.records import Changes, Page, Retention, Stats
    from stowfast.stores.artifacts import Artifacts
    from stowfast.stores.documents import Documents
    from stowfast.stores.messages.store import Messages
    from stowfast.stores.retention import Rules
    from stowfast.stores.tasks import Tasks

__all__ = ["Artifacts", "Documents", "Messages", "Rules", "Scope", "Stores", "Tasks"]


_HOMES: Final = {
    "Artifacts": "stowfast.stores.artifacts.store",
    "Documents": "stowfast.stores.documents.store",
    "Messages": "stowfast.stores.messages.store",
    "Rules": "stowfast.stores.retention.rules",
    "Tasks": "stowfast.stores.tasks.store",
}
"""The module of each store."""


if not TYPE_CHECKING:  # a type checker that sees a module's __getattr__ accepts every misspelt name
    __getattr__ = loader(__name__, _HOMES)


class Stores:
    """Messages, artifacts, task states and documents in one backend."""

    def __init__(self, backend: Backend, *, retention: Retention | None = None) -> None:
        self.backend = backend
        self._retention = retention

    @cached_property
    def messages(self) -> Messages:
        """The conversations."""
        found: Messages = imported(_HOMES["Messages"], "Messages")(self.backend)
        return found

    @cached_property
    def artifacts(self) -> Artifacts:
        """The files, data and datasets."""
        found: Artifacts = imported(_HOMES["Artifacts"], "Artifacts")(self.backend)
        return found

    @cached_property
    def tasks(self) -> Tasks:
        """The task states."""
        found: Tasks = imported(_HOMES["Tasks"], "Tasks")(self.backend, retention=self._retention)
        return found

    @cached_property
    def documents(self) -> Documents:
        """The small documents."""
        found: Documents = imported(_HOMES["Documents"], "Documents")(self.backend)
        return found

    @cached_property
    def rules(self) -> Rules:
        """The rules of retention."""
        found: Rules = imported(_HOMES["Rules"], "Rules")(self.backend)
        return found

    def __repr__(self) -> str:
        return f"<{type(self).__name__} over {self.backend!r}>"

    def within(self, scope: str) -> Scope:
        """Return the stores of one scope, such as a tenant: a wall, not a naming habit.

        Every id is valid in each scope and names something else there. Lists, cursors, watches and links stay inside,
        and the stores outside show nothing of a scope. Scopes may be nested. Closing a scope leaves these stores open.

            ada = stores.within("tenant-1")
            await ada.messages.add_message("chat", {"role": "user", "content": "hi"})

        Args:
            scope: 1 to 160 bytes of text, all nested scopes together.

        Raises:
            InvalidError: the name is outside its bounds.
        """
        return Scope(ScopedBackend(self.backend, scope), retention=self._retention_of_tasks())

    def _retention_of_tasks(self) -> Retention | None:
        # Tasks that nobody has used are not loaded for their default.
        return self.tasks.retention if "tasks" in vars(self) else self._retention

    async def delete_context(self, context_id: str) -> None:
        """Delete a conversation with its artifacts and tasks: those with this `context_id`.

        Not atomic: tasks go first, then artifacts, then the conversation. After an error or a lost answer call it
        again. An artifact or a task that another process adds meanwhile may stay: stop the writers first.

        Raises:
            UnavailableError: some of it may be deleted. Call it again.
            DamagedError: a task or an artifact is damaged, and its conversation is unknown. Delete it by its id.
                Everything else is deleted.
        """
        damage = [
            await _delete_each(self.tasks, "task_id", context_id),
            await _delete_each(self.artifacts, "artifact_id", context_id),
        ]
        await self.messages.delete(context_id)
        for error in damage:
            if error is not None:
                raise error

    async def sweep(self, *, dry_run: bool = False) -> Swept:
        """Remove expired data, leftovers and everything outside the rules of retention for good; return the amounts.

        Other readable data is not touched, and other processes may go on. A SQLite file is swept at each opening, but
        not by the rules; a long-running service calls this from time to time. In a SQLite file, data that expires over
        two days after the last write before this opening stays: a clock that is ahead once must not remove it for good.

        Args:
            dry_run: only return the amounts. Nothing is written or removed.

        Raises:
            UnavailableError: some of it may be removed. Call it again.
        """
        streams = entries = 0
        async for removal in self.rules.carry_out(dry_run=dry_run):
            streams, entries = streams + removal.whole, entries + removal.entries
        swept = await self.backend.sweep(dry_run=dry_run)
        return swept._replace(streams=swept.streams + streams, entries=entries)

    async def changes(
        self,
        kind: Literal["messages", "artifacts", "tasks", "documents"],
        *,
        after: str | None = None,
        limit: int = 1_000,
        wait: timedelta | None = None,
    ) -> Changes:
        """Return the conversations, artifacts, tasks or documents that changed since a cursor, in any process.

        Without a cursor a feed begins with all that exist, by id; from then on it tells changes, the oldest first. A
        stream that changed several times is told in its last state. Keep `cursor` once the items are handled, and each
        acknowledged change is told at least once. The same state may be told twice, above all after a crash.

        Not told are deletions and expiries; quiet changes, of a conversation's metadata, summary or expiry alone, or by
        a rule of retention; and streams copied from another place, for they keep their times. A feed begun anew tells
        all that exists with its state: compare.

        A change is missed if a clock is wrong by over two minutes, or was set by so much; or if it is seen over two
        minutes after the time it has: of a writer stopped inside its commit, or in a bucket that lists late. While over
        8,192 streams change in two minutes, some are told up to two minutes late.

        Cost: a call reads the heads of all streams that changed since the cursor, and of those of the last two minutes;
        in a bucket it lists all streams of the kind. A reader far behind needs fewer calls with a larger `limit`.

        Args:
            kind: one kind for each feed.
            after: the `cursor` of the page before, of this kind and scope. None: from the beginning.
            limit: the most items of a page, 1 or more.
            wait: how long to wait for the first item; the feed looks at least every two seconds. None: not at all.

        Raises:
            InvalidError: an argument is out of bounds, or `after` is no cursor of this feed.
            UnavailableError: no answer. Call again with the same cursor.
        """
        feed = imported("stowfast.stores.changes", "Feed")(self.backend, kind)
        found: Changes = await feed.changes(after, limit, wait)
        return found

    def stats(self) -> Stats:
        """Return the counts of this opening since it was opened: commits, conflicts, waits, requests, bytes.

        Asks nobody and costs nothing. It is for monitoring: read it from time to time. The counts hold no content and
        no id. All scopes of a backend count together, as do two stores over one backend.
        """
        return self.backend.counts.stats()

    async def close(self) -> None:
        """Finish the writes under way and close the backend. Closing twice is closing once."""
        await self.backend.close()
        self.backend.counts.tell_end()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Scope(Stores):
    """The stores of one scope, made by `Stores.within`."""

    backend: ScopedBackend

    async def delete_all(self) -> int:
        """Delete everything in this scope, scopes in it included, and return the number of deleted streams.

        A conversation, an artifact, a task and a document are one stream each. Nothing of them can be read again; the
        bytes of artifacts go with the next sweep. A write of another process at the same time may stay: stop the
        writers first. After a lost answer call it again.
        """
        return await self.backend.delete_all()

    async def close(self) -> None:
        """Leave the backend open: it belongs to the stores that the scope was made from."""


async def _delete_each(store: Tasks | Artifacts, name: str, context_id: str) -> DamagedError | None:
    """Delete what a conversation has in a store, until nothing is left. Return the error of one that has to stay."""
    while True:
        deleted, damage = 0, None
        async for page in _pages_of(store, context_id):
            stray = {id async for other in _pages_of(store, new_id()) for id in other.damaged} if page.damaged else ()
            for id in [*(getattr(one, name) for one in page), *page.damaged]:
                if id in stray:  # it may be of another conversation
                    damage = DamagedError(f"{name} {id!r} is damaged, and its conversation is unknown: delete it by id")
                    continue
                try:
                    await store.delete(id)
                    deleted += 1
                except DamagedError as error:
                    damage = error
        if not deleted:
            return damage


async def _pages_of(store: Tasks | Artifacts, context_id: str) -> AsyncIterator[Page[Any]]:
    """List a conversation. On a bucket, a stream with a damaged head is in the list of every conversation."""
    after = None
    while True:
        page: Page[Any] = await store.list(context_id=context_id, after=after)
        yield page
        after = page.next
        if after is None:
            return
