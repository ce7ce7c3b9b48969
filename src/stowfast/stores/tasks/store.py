"""Task states: the state of a run, so that it can continue after a crash. A stream of versions per task."""

from __future__ import annotations

import inspect
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal, overload

from stowfast.abc import Change
from stowfast.errors import ConflictError, DamagedError, InvalidError, NotFoundError, StowfastError, shown
from stowfast.names import check_call
from stowfast.records import ClaimedTask, Page, Retention, TaskInfo, TaskState
from stowfast.stores.codec import from_duration, from_time, stream_name
from stowfast.stores.listing import list_query
from stowfast.stores.optimistic import Race
from stowfast.stores.tasks.head_note import KIND, keep_of
from stowfast.stores.tasks.heads import Heads
from stowfast.stores.tasks.labels import wanted_of
from stowfast.stores.tasks.leases import Leases
from stowfast.stores.tasks.listing import list_tasks, load_info
from stowfast.stores.tasks.save import Saves, parse_save
from stowfast.stores.tasks.steps import StepRecords
from stowfast.stores.tasks.versions import Versions
from stowfast.stores.tasks.watch import watch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from stowfast.abc import Backend
from stowfast.records import Lease

__all__ = ["Tasks"]


class Tasks:
    """The task states of a backend. Every save is a new version, costs about the size of the change, and can be loaded.

    Args:
        retention: the retention of tasks saved without one; None keeps all versions.
    """

    def __init__(self, backend: Backend, *, retention: Retention | None = None) -> None:
        self._backend = backend
        self._heads = Heads(backend)
        self._versions = Versions(self._heads, Retention())
        self._saves = Saves(self._heads, self._versions)
        self._leases = Leases(self._heads)
        self._steps = StepRecords(self._heads)
        if retention is not None:
            self.retention = retention

    @property
    def retention(self) -> Retention:
        """The retention of tasks saved without one."""
        return self._versions.retention

    @retention.setter
    def retention(self, retention: Retention) -> None:
        keep_of(retention)
        self._versions.retention = retention

    async def save(
        self,
        state: TaskState,
        *,
        expect: int | None = None,
        lease: Lease | None = None,
        covers: Iterable[str] | None = None,
        retention: Retention | None = None,
        ttl: timedelta | None = None,
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
            ttl: the task is gone so long after this save, by the backend's clock, instead of at `state.expires_at`.
            op_id: the idempotency key of this save. A repeat after a lost answer stores nothing and returns the first
                result.

        Raises:
            ConflictError: the task is at another version, its `current`: load it again, then decide. Or the lease
                passed to `owner`, until `until`: stop.
            InvalidError: JSON cannot store the data. Nothing was stored.
            UnavailableError: it may be saved. Repeat the call with the same op_id.
        """
        request = parse_save(state, expect=expect, lease=lease, retention=retention, op_id=op_id)
        if ttl is not None:
            request = request._replace(ttl=from_duration(ttl, "ttl"))
        return await self._saves.save(request, covers)

    async def load(self, task_id: str, *, version: int | None = None) -> TaskState | None:
        """Return the newest state of a task, or one of its versions; None for an unknown or removed one.

        The newest includes the `steps` recorded since, at the same moment. Takes at most two reads of the backend; the
        second is saved if this process has the newest version in its cache.
        """
        return await self._versions.load(task_id, version=version)

    async def load_many(self, task_ids: Sequence[str]) -> list[TaskState | None]:
        """Return the newest state of each task, in the given order; None for an unknown one.

        Reads up to 32 tasks at a time. Each state is of one moment; two states may be of different moments.

        Raises:
            DamagedError: the stored data of one of them is damaged.
        """
        states: list[TaskState | None] = []
        for found in await self._versions.load_many(task_ids):
            if isinstance(found, StowfastError):
                raise found
            states.append(found)
        return states

    async def watch(self, task_id: str, *, after: TaskState | int | None = None) -> AsyncGenerator[TaskState, None]:
        """Yield each version of a task that any process saves, once and in order. Ends only when you stop it.

        A version that the retention or a prune removed before it was read is left out: the numbers show the gap.
        After a delete the watch follows the next task under this id from its version 1. Claims and recorded steps are
        no versions. Steps that a watch shows are not covered by a later save, unless it names them.

        Args:
            task_id: the task, which may begin later.
            after: start behind this version, or state; 0 for all versions. If a state is given, or a version behind
                the newest, a task that was begun again since is followed from version 1. Default: the next version
                after the iteration starts.
        """
        async for state in watch(self._heads, self._versions, task_id, after):
            yield state

    async def update(
        self,
        task_id: str,
        change: Callable[[TaskState], TaskState | Awaitable[TaskState | None] | None],
        *,
        lease: Lease | None = None,
        ttl: timedelta | None = None,
        op_id: str | None = None,
    ) -> TaskState:
        """Load a task, let `change` change it, and save it over exactly the loaded version.

        After a racing save `change` runs again with the newer state, so it should have no other effect. An error of
        `change` ends the update, and nothing is saved.

        Args:
            change: changes the state, or returns another one. It may be async, but not in `stowfast.sync`.
            lease: as for `save`.
            ttl: as for `save`; without it `expires_at` of the state holds.
            op_id: the idempotency key of this update. A repeat after a lost answer saves nothing and returns the first
                result.

        Raises:
            NotFoundError: the task does not exist. Save it first.
            ConflictError: the lease passed on. Stop.
            InvalidError: JSON cannot store the new data. Nothing was stored.
            UnavailableError: it may be saved. Repeat the call with the same op_id.
        """
        check_call(change, "change")
        race = Race(f"task {shown(task_id)}")
        while True:
            state = await self.load(task_id)
            if state is None:
                raise NotFoundError(f"task {shown(task_id)} is not there: save it first")
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
                raise InvalidError(f"an update of task {shown(task_id)} returned a state of {shown(state.task_id)}")
            try:
                return await self.save(state, expect=version, lease=lease, covers=(), ttl=ttl, op_id=op_id)
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
            raise NotFoundError(f"task {shown(task_id)} has no version {version}")
        return await self.save(state, expect=head.next, covers=(), op_id=op_id)

    async def history(self, task_id: str, *, before: int | None = None, limit: int = 100) -> list[TaskState]:
        """Return the states of a task, the newest first, at most `limit`, below the version `before`."""
        return await self._versions.history(task_id, before=before, limit=limit)

    async def diff(self, task_id: str, a: int, b: int) -> list[dict[str, Any]]:
        """Return the difference between the data of versions `a` and `b`, as a JSON Patch (RFC 6902).

        Raises:
            NotFoundError: one of the versions does not exist.
            UnsupportedError: `jsonpatch` is not installed: `pip install 'stowfast[diff]'`.
        """
        return await self._versions.diff(task_id, a, b)

    async def prune(self, task_id: str, *, keep: int | None = None, older_than: timedelta | None = None) -> int:
        """Remove all versions but the newest `keep`, or those older than `older_than`, and return their number.

        Version numbers stay. Removed versions are no longer shown. Their bytes are removed now, unless a kept version
        is stored as a difference to them; then a later save removes them. A save with `Retention(versions=1)` removes
        all of them at once. The newest version always stays. Pruning an unknown task does nothing.

        Args:
            keep: the number of newest versions to keep, 1 or more.
            older_than: the maximum age of versions to keep.
        """
        return await self._versions.prune(task_id, keep=keep, older_than=older_than)

    async def claim(self, task_id: str, owner: str, ttl: timedelta, *, op_id: str | None = None) -> Lease:
        """Become the owner of a task. Of racing claims one wins.

        A task without an owner, or with a lease that ended by the backend's clock, can be claimed. A lease that ends
        over a minute later than now plus its own length has ended, too: it is from a clock that was ahead. The newest
        version is the point to continue from.

        Args:
            owner: a name for people to read. Two claims under one name are two owners.
            ttl: after this time without a `renew` others may claim the task; at most 366 days.
            op_id: the idempotency key of this claim. A repeat after a lost answer returns the first lease, unless
                another worker owns the task by then.

        Raises:
            ConflictError: another worker owns it: `owner`, `until`. Wait until then, or claim another task.
            NotFoundError: the task does not exist. Save it first.
            UnavailableError: the task may be yours. Repeat the call with the same op_id.
        """
        return await self._leases.claim(task_id, owner, ttl, op_id=op_id)

    async def claim_next(
        self,
        owner: str,
        ttl: timedelta,
        *,
        status: str = "working",
        context_id: str | None = None,
        agent_id: str | None = None,
        parent_task_id: str | None = None,
        where: Mapping[str, Any] | None = None,
        idle: timedelta = timedelta(0),
    ) -> Lease | None:
        """Claim any task without an owner, or with a lease that ended; None if there is none.

        Racing workers get different tasks. The order is not defined: workers that all took the oldest would collide.

        Args:
            status: only tasks with this status; likewise the other filters.
            where: only tasks with these metadata, as in `list`.
            idle: only tasks without a change for this time. A save without a lease is a change, too. A change over a
                minute in the future is from a clock that was ahead, and counts as none.

        Raises:
            UnavailableError: a task may be yours. Others may claim it after `ttl`.
        """
        wanted = {"context_id": context_id, "agent_id": agent_id, "parent_task_id": parent_task_id, "status": status}
        return await self._leases.claim_next(owner, ttl, wanted_of(wanted, where), idle)

    async def work(
        self,
        owner: str,
        *,
        ttl: timedelta,
        status: str = "working",
        context_id: str | None = None,
        agent_id: str | None = None,
        parent_task_id: str | None = None,
        where: Mapping[str, Any] | None = None,
        idle: timedelta = timedelta(0),
    ) -> AsyncGenerator[ClaimedTask, None]:
        """Claim one task after the other, and yield the state and the lease of each, until no task is free.

            async for state, lease in tasks.work("worker-1", ttl=timedelta(minutes=1)):
                state.status = "completed"
                await tasks.save(state, lease=lease)

        After a turn that saved a version the task is released. If nothing was saved, it stays claimed until the lease
        ends, so that it is not taken again at once; so does a task after an error in the loop. A task that was removed
        or is damaged is left out. A turn of more than `ttl` needs `renew`.

        Args:
            owner: as for `claim`.
            ttl: as for `claim`.
            status: as for `claim_next`; likewise the other filters, and `where`.
            idle: as for `claim_next`.

        Raises:
            UnavailableError: a task may be yours. Others may claim it after `ttl`.
        """
        filters: dict[str, Any] = {
            "context_id": context_id, "agent_id": agent_id, "parent_task_id": parent_task_id, "where": where,
        }  # fmt: skip
        while (lease := await self.claim_next(owner, ttl, status=status, idle=idle, **filters)) is not None:
            state = None
            with suppress(DamagedError):
                state = await self.load(lease.task_id)
            if state is None:
                continue
            yield ClaimedTask(state, lease)
            now = await self.info(lease.task_id)
            if now is not None and now.version != state.version:
                await self.release(lease)

    async def renew(self, lease: Lease, ttl: timedelta) -> Lease:
        """Extend a lease to `ttl` from now, under the same token; also after its end, unless another worker claimed.

        Raises:
            ConflictError: the lease passed to another owner, or was released. Stop: your saves are refused too.
            NotFoundError: the task is gone.
        """
        return await self._leases.renew(lease, ttl)

    async def release(self, lease: Lease) -> None:
        """Let others claim the task at once. A lease that passed on, or a deleted task, stays as it is."""
        await self._leases.release(lease)

    async def record(self, task_id: str, step_key: str, result: Any = None, *, lease: Lease | None = None) -> Any:
        """Record the result of a step until a save covers it, and return it; of a recorded key, the first result.

        Check `TaskState.steps` before a step with effects, and record it right after. Of racing calls with one key, one
        result is kept, and all calls return it. A repeat after a lost answer changes nothing, unless a save covered the
        key meanwhile: then the key is unknown again.

        Args:
            result: any JSON. All uncovered results of a task together may have 48 KiB.
            lease: refuse to record after the lease passed on.

        Raises:
            ConflictError: the lease passed on. Stop.
            InvalidError: JSON cannot store the result, or there is no room for it. Nothing was recorded.
            NotFoundError: the task does not exist. Save it first.
            UnavailableError: it may be recorded. Repeat the call.
        """
        return await self._steps.record(task_id, step_key, result, lease=lease)

    async def steps(self, task_id: str) -> dict[str, Any]:
        """Return the results that no version covers yet, by step key, in the order recorded."""
        return await self._steps.steps(task_id)

    async def info(self, task_id: str) -> TaskInfo | None:
        """Return a task as a list shows it; None for an unknown task. One request, two with metadata over 16 KiB."""
        (head,) = await self._backend.heads([stream_name(KIND, "task_id", task_id)])
        return await load_info(self._versions, head) if head is not None else None

    @overload
    async def list(
        self,
        *,
        context_id: str | None = ...,
        agent_id: str | None = ...,
        parent_task_id: str | None = ...,
        status: str | None = ...,
        where: Mapping[str, Any] | None = ...,
        updated_after: datetime | None = ...,
        prefix: str = ...,
        order: Literal["recent", "id"] = ...,
        after: str | None = ...,
        limit: int = ...,
        data: Literal[False] = ...,
    ) -> Page[TaskInfo]: ...

    @overload
    async def list(
        self,
        *,
        context_id: str | None = ...,
        agent_id: str | None = ...,
        parent_task_id: str | None = ...,
        status: str | None = ...,
        where: Mapping[str, Any] | None = ...,
        updated_after: datetime | None = ...,
        prefix: str = ...,
        order: Literal["recent", "id"] = ...,
        after: str | None = ...,
        limit: int = ...,
        data: Literal[True],
    ) -> Page[TaskState]: ...

    async def list(
        self,
        *,
        context_id: str | None = None,
        agent_id: str | None = None,
        parent_task_id: str | None = None,
        status: str | None = None,
        where: Mapping[str, Any] | None = None,
        updated_after: datetime | None = None,
        prefix: str = "",
        order: Literal["recent", "id"] = "recent",
        after: str | None = None,
        limit: int = 100,
        data: bool = False,
    ) -> Page[TaskInfo] | Page[TaskState]:
        """List tasks, one page at a time, the last changed first or by id (in code points).

        Without `data` a page costs no request for each task, unless its metadata have over 16 KiB. While tasks are
        saved, a page by recency may miss or repeat a task that moved to the front; pages by id show every task that
        existed throughout. A task with damaged data is left out, and `damaged` of the page names it.

        Args:
            parent_task_id: only the parts of this task.
            where: metadata that the tasks must have: text of at most 500 bytes, numbers, booleans or None.
            updated_after: only tasks changed after this time.
            prefix: the start of the ids.
            order: by the last change or by id.
            data: return states, as `load_many` does, each newer than or as new as the listing.
            after: the `next` of the page before.
        """
        wanted = {"context_id": context_id, "agent_id": agent_id, "parent_task_id": parent_task_id, "status": status}
        query = list_query(KIND, prefix, wanted_of(wanted, where), order, after, limit)
        since = None if updated_after is None else from_time(updated_after, "updated_after")
        return await list_tasks(self._backend, self._versions, query, since, data=data)

    async def set_expiry(self, task_id: str, expires_at: datetime | None) -> None:
        """Let a task end at a moment, or, with None, not at all. It adds no version, and holds until the next save.

        Raises:
            NotFoundError: there is no such task.
        """
        stream = stream_name(KIND, "task_id", task_id)
        moment = None if expires_at is None else from_time(expires_at, "expires_at")
        race = Race(f"task {shown(task_id)}")
        while True:
            (head,) = await self._backend.heads([stream])
            if head is None:
                raise NotFoundError(f"task {shown(task_id)} is not there: save it first")
            change = Change(incarnation=head.incarnation, expires_at=moment)
            if await race.commit(self._backend, stream, change) is not None:
                self._heads.cache.forget(stream)
                return

    async def delete(self, task_id: str) -> None:
        """Remove a task with all its versions. Nothing of it can be read again; deleting an unknown task is fine."""
        stream = stream_name(KIND, "task_id", task_id)
        await self._backend.commit(stream, Change(delete=True))
        self._heads.cache.forget(stream)
