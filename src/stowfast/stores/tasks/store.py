"""Task states: the state of a run, so that it can continue after a crash. A stream of versions per task."""

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
from stowfast.stores.optimistic import Race
from stowfast.stores.tasks.cache import CachedTask
from stowfast.stores.tasks.head_note import KIND, TaskNote, id_of, lease_of
from stowfast.stores.tasks.heads import check_kind
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
"""After this many lost races, an unconditional save stores a whole version."""
_CLOCKS_DIFFER = 60 * 1_000_000
"""Microseconds by which the clocks of backend and caller may differ."""


class Tasks(Versions, Leases, StepRecords):
    """The task states of a backend. Every save is a new version, costs about the size of the change, and can be loaded.

    Args:
        retention: the retention of tasks saved without one; None keeps all versions.
    """

    def __init__(self, backend: Backend, *, retention: Retention | None = None) -> None:
        super().__init__(backend)
        self.retention = Retention() if retention is None else retention

    @property
    def retention(self) -> Retention:
        """The retention of tasks saved without one."""
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

        Atomic: the state, its values in lists, and the covered steps change together. Without `expect` and `lease` the
        last writer wins, and the versions of the others stay in the history.

        Args:
            expect: the version that this save replaces; 0 for a task that must not exist yet. A state loaded before a
                delete never matches the task begun again under the same id.
            lease: save as the owner. Refused after the lease passed on, also for an owner that was only stalled.
            covers: keys of recorded steps whose results are in this state; this save removes them from the recorded
                steps. Default: with a `lease` or an `expect`, the steps that `load` or `record` returned in this
                process; else none. Name them when another process saves.
            retention: the retention of this task from now on, instead of the store's.
            op_id: the idempotency key of this save. A repeat after a lost answer stores nothing and returns the first
                result.

        Raises:
            ConflictError: the task is at another version, its `current`: load it again, then decide. Or the lease
                passed to `owner`, until `until`: stop.
            InvalidError: JSON cannot store the data. Nothing was stored.
            UnavailableError: it may be saved. Repeat the call with the same op_id.
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
        """Commit a save, and return the cached task after it; None if the head must be read again."""
        race = Race(f"task {save.state.task_id!r}")
        while True:
            anyhow = race.lost >= _POLITE and save.asks_for_nothing
            change, chain = (save.change_of_any(), None) if anyhow else save.change(known)
            receipt = await race.commit(self._backend, stream, change)
            if receipt is None:
                known = await self._newest(stream)
                save.refuse(known)
                continue
            after = None if anyhow or receipt.repeated else known.after(stream, change, receipt, chain)
            if after is None:
                self._memory.forget(stream)
            else:
                self._memory.put(stream, after)
                left = TaskNote.read(after.head).steps
                gone = {key: one for key, one in TaskNote.read(known.head).encoded().items() if key not in left}
                self._memory.covered(stream, gone)
            return receipt, after

    async def update(
        self,
        task_id: str,
        change: Callable[[TaskState], TaskState | Awaitable[TaskState | None] | None],
        *,
        lease: Lease | None = None,
        op_id: str | None = None,
    ) -> TaskState:
        """Load a task, let `change` change it, and save it over exactly the loaded version.

        After a racing save `change` runs again with the newer state, so it should have no other effect. An error of
        `change` ends the update, and nothing is saved.

        Args:
            change: changes the state, or returns another one. It may be async, but not in `stowfast.sync`.
            lease: as for `save`.
            op_id: the idempotency key of this update. A repeat after a lost answer saves nothing and returns the first
                result.

        Raises:
            NotFoundError: the task does not exist. Save it first.
            ConflictError: the lease passed on. Stop.
            InvalidError: JSON cannot store the new data. Nothing was stored.
            UnavailableError: it may be saved. Repeat the call with the same op_id.
        """
        race = Race(f"task {task_id!r}")
        while True:
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
                race.lose()

    async def rewind(self, task_id: str, version: int, *, op_id: str | None = None) -> TaskState:
        """Make an earlier version the newest again, as a new version. Nothing is lost: a second rewind undoes it.

        Status, context, agent and parent are restored, too. The owner stays; uncovered steps stay recorded.

        Raises:
            NotFoundError: the version does not exist.
            ConflictError: another save was first. Load again, then decide.
        """
        (head,) = await self._backend.heads([stream_name(KIND, "task_id", task_id)])
        state = await self.load(task_id, version=version)
        if state is None or head is None:
            raise NotFoundError(f"task {task_id!r} has no version {version}")
        return await self.save(state, expect=head.next, covers=(), op_id=op_id)

    async def info(self, task_id: str) -> TaskInfo | None:
        """Return a task as a list shows it, in one request; None for an unknown task."""
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
        """List tasks without their data, the last changed first, one page at a time, without a request for each.

        While tasks are saved, a page may miss or repeat a task that moved to the front.

        Args:
            parent_task_id: only the parts of this task.
            updated_after: only tasks changed after this time.
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
        race = Race(f"task {task_id!r}")
        while True:
            (head,) = await self._backend.heads([stream])
            if head is None:
                raise NotFoundError(f"task {task_id!r} is not there: save it first")
            change = Change(incarnation=head.incarnation, expires_at=moment)
            if await race.commit(self._backend, stream, change) is not None:
                self._memory.forget(stream)
                return

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
    """Return the covered step keys, checked."""
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
    """Return the arguments of a save, checked."""
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
