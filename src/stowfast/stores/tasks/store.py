"""Task states: keeps where a run stood, so that it can go on after a crash. A stream of versions per task."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING

from stowfast.abc import Change, Query
from stowfast.errors import ConflictError, InvalidError, NotFoundError
from stowfast.names import check_name
from stowfast.records import Page, Retention, TaskInfo, TaskState
from stowfast.stores.codec import (
    check_counts,
    check_integers,
    encode,
    from_time,
    labels_of,
    stream_name,
    to_time,
)
from stowfast.stores.tasks.cache import CachedTask
from stowfast.stores.tasks.head_note import KIND, TaskNote, id_of, lease_of
from stowfast.stores.tasks.heads import MAX_ATTEMPTS, check_kind, too_busy
from stowfast.stores.tasks.leases import LABELS, Leases
from stowfast.stores.tasks.save import Save, keep_of
from stowfast.stores.tasks.steps import StepRecords
from stowfast.stores.tasks.versions import Versions

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from stowfast.abc import Backend, Head, Receipt
    from stowfast.records import Lease

__all__ = ["Tasks"]

_POLITE = 3
"""After so many lost races a save that asks for nothing stores a whole version, over whatever is there."""
_CLOCKS_DIFFER = 60 * 1_000_000
"""Microseconds by which the clock of a place may differ from that of whoever saves to it."""


class Tasks(Versions, Leases, StepRecords):
    """The task states of a place. Every save is a new version, takes about what it changed, and can be loaded.

    Args:
        retention: how many versions are kept of tasks that were saved without one of their own; all, if None.
    """

    def __init__(self, backend: Backend, *, retention: Retention | None = None) -> None:
        super().__init__(backend)
        self.retention = Retention() if retention is None else retention

    @property
    def retention(self) -> Retention:
        """How many versions are kept of tasks that were saved without a retention of their own."""
        return self._retention

    @retention.setter
    def retention(self, retention: Retention) -> None:
        keep_of(retention)
        self._retention = retention

    async def save(
        self,
        state: TaskState,
        *,
        expect: int | None = None,
        lease: Lease | None = None,
        covers: Iterable[str] | None = None,
        retention: Retention | None = None,
        op_id: str | None = None,
    ) -> TaskState:
        """Store the state as the newest version of its task, and return it with that version.

        Atomic: the state, what lists show of it, and the steps it covers change together. Without `expect` and `lease`
        the last writer wins, and the versions of the others stay in the history.

        Args:
            expect: the version that this save replaces; 0 for a task that must not exist yet. A state that was loaded
                before its task was deleted never fits the task that was begun again under the same id.
            lease: save as the owner. Refused once the lease has passed on, also when its old owner was only asleep.
            covers: keys of recorded steps whose results are in this state: they leave the ledger with this save. Not
                given: with a `lease` or an `expect` those that `load` has shown or `record` returned in this process;
                else none, as whoever saves without either may not know of them. Name them where it is another process
                that saves.
            retention: keep so many versions of this task from now on, whatever the store's `retention` is.
            op_id: names this save: a repeat after a lost answer stores nothing and returns what the first returned.

        Raises:
            ConflictError: the task is at another version, its `current`: load it again, and decide. Or the lease has
                passed on to `owner`, until `until`: stop.
            InvalidError: JSON cannot carry the data. Nothing was stored.
            UnavailableError: it may have been saved. Repeat the call with the same op_id.
        """
        save = _parse_save(state, expect=expect, lease=lease, retention=retention, op_id=op_id)
        keys = _keys(covers)
        stream = stream_name(KIND, "task_id", state.task_id)
        known = CachedTask(None, None) if expect == 0 else self._memory.get(stream)
        if known is None or (expect is not None and (known.head.next if known.head else 0) != expect):
            known = await self._newest(stream)
        covered: dict[str, bytes | None] = dict.fromkeys(keys)
        if covers is None and known.head is not None and (lease is not None or expect):
            covered = {**self._memory.shown(stream, known.head.incarnation)}
        save = save._replace(covers=covered, default=self.retention)
        receipt, after = await self._commit_save(stream, save, known)
        if after is None or after.head is None:
            # Of a repeat what is there is what the first call stored, whatever this one was given; of a save over
            # anything only the place knows who holds the task and what is recorded.
            found = await self._version(stream, receipt.first)
            if found is not None and found.incarnation == receipt.incarnation:
                return found
        head = after.head if after is not None else None
        note = TaskNote.read(head)
        self._memory.show(stream, receipt.incarnation, note.encoded())
        return TaskState(
            task_id=state.task_id,
            **save.labels,
            version=receipt.next,
            updated_at=to_time(receipt.committed_at),
            expires_at=None if save.expires_at is None else to_time(save.expires_at),
            lease=lease_of(head, note) if head is not None else None,
            incarnation=receipt.incarnation,
            data=state.data,
            steps=note.results(stream),
        )

    async def _commit_save(self, stream: str, save: Save, known: CachedTask) -> tuple[Receipt, CachedTask | None]:
        """Commit a save, and return what is known of the task then; None where somebody must look."""
        for turn in range(MAX_ATTEMPTS):
            anyhow = turn >= _POLITE and save.asks_for_nothing
            change, span = (save.change_of_any(), None) if anyhow else save.change(known)
            try:
                receipt = await self._backend.commit(stream, change)
            except ConflictError:
                known = await self._newest(stream)
                save.refuse(known)
                continue
            after = None if anyhow or receipt.repeated else known.after(stream, change, receipt, span)
            if after is None:
                self._memory.forget(stream)
            else:
                self._memory.put(stream, after)
                left = TaskNote.read(after.head).steps
                gone = {key: one for key, one in TaskNote.read(known.head).encoded().items() if key not in left}
                self._memory.covered(stream, gone)
            return receipt, after
        raise too_busy(save.state.task_id)

    async def update(
        self,
        task_id: str,
        change: Callable[[TaskState], TaskState | Awaitable[TaskState | None] | None],
        *,
        lease: Lease | None = None,
        op_id: str | None = None,
    ) -> TaskState:
        """Load a task, let `change` change it, and save it over exactly the version it was given.

        When somebody saved meanwhile, `change` is called again, with the newer state: it should do nothing else. What
        it raises ends the update, and nothing is saved.

        Args:
            change: changes the state it gets, or returns another one. It may be async, but not in `stowfast.sync`.
            lease: as for `save`.
            op_id: names this update: a repeat after a lost answer saves nothing and returns what the first returned.

        Raises:
            NotFoundError: there is no such task. Save it first.
            ConflictError: the lease has passed on. Stop.
            InvalidError: JSON cannot carry what it has become. Nothing was stored.
            UnavailableError: it may have been saved. Repeat the call with the same op_id.
        """
        for _ in range(MAX_ATTEMPTS):
            state = await self.load(task_id)
            if state is None:
                raise NotFoundError(f"task {task_id!r} is not there: save it first")
            version, incarnation = state.version, state.incarnation
            changed = change(state)
            if inspect.isawaitable(changed):
                changed = await changed
            # Also a state made anew replaces only what it was made from, and not its successor's first version.
            state = state if changed is None else changed
            if not isinstance(state, TaskState):
                raise InvalidError(f"an update returns a stowfast.TaskState or None, not {type(state).__name__}")
            state = replace(state, incarnation=incarnation)
            if state.task_id != task_id:
                raise InvalidError(f"an update of task {task_id!r} returned a state of {state.task_id!r}")
            try:
                return await self.save(state, expect=version, lease=lease, covers=(), op_id=op_id)
            except ConflictError as error:
                if error.current is None:
                    raise
        raise too_busy(task_id)

    async def rewind(self, task_id: str, version: int, *, op_id: str | None = None) -> TaskState:
        """Make an earlier version the newest once more, as a new one. Nothing is lost: rewind to what was before.

        Status, context, agent and parent become what they were, too. Who holds the task goes on from there; steps that
        no version covers stay recorded.

        Raises:
            NotFoundError: there is no such version.
            ConflictError: somebody saved meanwhile. Look again, then decide.
        """
        (head,) = await self._backend.heads([stream_name(KIND, "task_id", task_id)])
        state = await self.load(task_id, version=version)
        if state is None or head is None:
            raise NotFoundError(f"task {task_id!r} has no version {version}")
        return await self.save(state, expect=head.next, covers=(), op_id=op_id)

    async def info(self, task_id: str) -> TaskInfo | None:
        """Return what a list shows of a task, in one request; None where there is none."""
        (head,) = await self._backend.heads([stream_name(KIND, "task_id", task_id)])
        return _info(head) if head is not None else None

    async def list(
        self,
        *,
        context_id: str | None = None,
        agent_id: str | None = None,
        parent_task_id: str | None = None,
        status: str | None = None,
        updated_after: datetime | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> Page[TaskInfo]:
        """List tasks without their data, the last changed first, a page at a time, without a request for each.

        While tasks are saved, a page may miss or repeat one that has moved to the front meanwhile.

        Args:
            parent_task_id: only what was saved as a part of this task.
            updated_after: only tasks changed later than this.
            after: the `next` of the page before.
        """
        check_counts(limit=limit)
        wanted = {"context_id": context_id, "agent_id": agent_id, "parent_task_id": parent_task_id, "status": status}
        since = None if updated_after is None else from_time(updated_after, "updated_after")
        found, following = await self._backend.streams(
            Query(f"{KIND}/", where=labels_of(LABELS, wanted), order="recent", after=after, limit=limit, heads=True)
        )
        # A listing has the times of the place's clock, a head those of whoever saved it: the head decides.
        late = [one for one in found if since is None or one.updated_at > since - _CLOCKS_DIFFER]
        heads = [one.head for one in late if one.head is not None]
        return Page(
            [_info(head) for head in heads if since is None or head.updated_at > since],
            following if len(late) == len(found) else None,
        )

    async def set_expiry(self, task_id: str, expires_at: datetime | None) -> None:
        """Let a task end at a moment, or, with None, not at all. It adds no version, and holds until the next save.

        Raises:
            NotFoundError: there is no such task.
        """
        stream = stream_name(KIND, "task_id", task_id)
        moment = None if expires_at is None else from_time(expires_at, "expires_at")
        for _ in range(MAX_ATTEMPTS):
            (head,) = await self._backend.heads([stream])
            if head is None:
                raise NotFoundError(f"task {task_id!r} is not there: save it first")
            try:
                await self._backend.commit(stream, Change(incarnation=head.incarnation, expires_at=moment))
            except ConflictError:
                continue
            self._memory.forget(stream)
            return
        raise too_busy(task_id)

    async def delete(self, task_id: str) -> None:
        """Remove a task with all its versions. Nothing of it can be read again; deleting an unknown task is fine."""
        stream = stream_name(KIND, "task_id", task_id)
        await self._backend.commit(stream, Change(delete=True))
        self._memory.forget(stream)


def _info(head: Head) -> TaskInfo:
    return TaskInfo(
        task_id=id_of(head),
        **head.labels,
        version=head.next,
        updated_at=to_time(head.updated_at),
        expires_at=None if head.expires_at is None else to_time(head.expires_at),
        lease=lease_of(head, TaskNote.read(head)),
        incarnation=head.incarnation,
    )


def _keys(covers: Iterable[str] | None) -> list[str]:
    """Return the keys of the steps that a save covers, checked."""
    if covers is None:
        return []
    if isinstance(covers, str) or not isinstance(covers, Iterable):
        raise InvalidError(f"covers={covers!r}: it takes several keys, such as ['step-1']")
    keys = list(covers)
    for key in keys:
        check_name(key, "a key in covers")
    return keys


def _parse_save(
    state: TaskState, *, expect: int | None, lease: Lease | None, retention: Retention | None, op_id: str | None
) -> Save:
    """Return what a save asks for, checked."""
    if not isinstance(state, TaskState):
        raise InvalidError(f"save takes a stowfast.TaskState, not {type(state).__name__}")
    check_integers(expect=expect)
    labels = labels_of(LABELS, {name: getattr(state, name) for name in LABELS})
    if state.status is None:
        raise InvalidError("status must be a str, such as working")
    expires_at = None if state.expires_at is None else from_time(state.expires_at, "expires_at")
    if retention is not None:
        keep_of(retention)
    if lease is not None:
        check_kind(lease)
    text = encode({**labels, "data": state.data}, f"the state of task {state.task_id!r}")
    return Save(state, text, labels, expires_at, expect, lease, retention, op_id)
