"""Leases: one owner of a task at a time. An earlier owner can no longer save.

A lease is valid until another worker claims the task. Its time only decides when others may claim. So clocks that
differ can pass a task on too early or too late, but never let two owners save.
Source: fencing tokens, as in Gray and Cheriton, Leases (1989), and Kleppmann, How to do distributed locking (2016).
"""

from __future__ import annotations

import random
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import msgspec

from stowfast.abc import Query
from stowfast.errors import ConflictError, DamagedError, InvalidError, NotFoundError
from stowfast.names import check_name
from stowfast.stores.codec import from_duration, labels_of
from stowfast.stores.tasks.head_note import KIND, Holder, TaskNote, id_of, lease_of
from stowfast.stores.tasks.heads import Heads, check_kind, check_lease

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stowfast.abc import Head
    from stowfast.records import Lease

__all__ = ["LABELS", "Leases"]

LABELS: Final = ("context_id", "agent_id", "parent_task_id", "status")
_LONGEST: Final = timedelta(days=366)
_PAGE: Final = 100


class Leases(Heads):
    """The leases of tasks."""

    async def claim(self, task_id: str, owner: str, ttl: timedelta, *, op_id: str | None = None) -> Lease:
        """Become the owner of a task. Of racing claims one wins.

        A task without an owner, or with a lease that ended by the backend's clock, can be claimed. Its newest version
        is the point to continue from.

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
        return await self._claim(task_id, owner, ttl, op_id=op_id)

    async def claim_next(
        self,
        owner: str,
        ttl: timedelta,
        *,
        status: str = "working",
        context_id: str | None = None,
        agent_id: str | None = None,
        parent_task_id: str | None = None,
        idle: timedelta = timedelta(0),
    ) -> Lease | None:
        """Claim any task without an owner, or with a lease that ended; None if there is none.

        Racing workers get different tasks. The order is not defined: workers that all took the oldest would collide.

        Args:
            status: only tasks with this status; likewise the other filters.
            idle: only tasks without a change for this time. A save without a lease is a change, too.

        Raises:
            UnavailableError: a task may be yours. Others may claim it after `ttl`.
        """
        wanted = {"context_id": context_id, "agent_id": agent_id, "parent_task_id": parent_task_id, "status": status}
        where, after = labels_of(LABELS, wanted), None
        _ttl(ttl)
        check_name(owner, "owner")
        spared = from_duration(idle, "idle")
        while True:
            listed, after = await self._backend.streams(
                Query(f"{KIND}/", where=where, after=after, limit=_PAGE, heads=True)
            )
            now = await self._backend.now()
            free = [
                one.head
                for one in listed
                if one.head is not None and one.head.updated_at + spared <= now and _free(one.head, now)
            ]
            random.shuffle(free)
            for head in free:
                try:
                    return await self._claim(id_of(head), owner, ttl, where=where, seen=head, idle=spared)
                except (ConflictError, NotFoundError):
                    continue
            if after is None:
                return None

    async def _claim(
        self,
        task_id: str,
        owner: str,
        ttl: timedelta,
        *,
        op_id: str | None = None,
        where: Mapping[str, str] | None = None,
        seen: Head | None = None,
        idle: int = 0,
    ) -> Lease:
        check_name(owner, "owner")
        if op_id is not None:
            check_name(op_id, "an op_id")
        length = _ttl(ttl)

        async def decide(head: Head, note: TaskNote) -> tuple[TaskNote | None, Lease]:
            # After the head was read: in the next life of a task it is later than in the last.
            holder, now = note.holder, await self._backend.now()
            if holder is not None and op_id is not None and (holder.op_id, holder.owner) == (op_id, owner):
                return None, _lease(head, note)
            if holder is not None and holder.until > now:
                raise _held(head, note)
            if where is not None and not (where.items() <= head.labels.items() and _idle(head, idle, now)):
                raise ConflictError(f"task {task_id!r} was changed meanwhile")
            # A task that was deleted and begun again goes on above its old tokens, as the time of the place does.
            token = max(note.token + 1, now)
            note = msgspec.structs.replace(note, token=token, holder=Holder(owner, token, now + length, op_id))
            return note, _lease(head, note)

        return await self._change(task_id, decide, seen, at_rest=idle > 0)

    async def renew(self, lease: Lease, ttl: timedelta) -> Lease:
        """Extend a lease to `ttl` from now, under the same token; also after its end, unless another worker claimed.

        Raises:
            ConflictError: the lease passed to another owner, or was released. Stop: your saves are refused too.
            NotFoundError: the task is gone.
        """
        check_kind(lease)
        length = _ttl(ttl)

        async def decide(head: Head, note: TaskNote) -> tuple[TaskNote, Lease]:
            check_lease(head, note, lease)
            assert note.holder is not None
            now = await self._backend.now()
            note = msgspec.structs.replace(note, holder=msgspec.structs.replace(note.holder, until=now + length))
            return note, _lease(head, note)

        return await self._change(lease.task_id, decide)

    async def release(self, lease: Lease) -> None:
        """Let others claim the task at once. A lease that passed on, or a deleted task, stays as it is."""
        check_kind(lease)

        async def decide(head: Head, note: TaskNote) -> tuple[TaskNote | None, None]:
            try:
                check_lease(head, note, lease)
            except ConflictError:
                return None, None
            return msgspec.structs.replace(note, holder=None), None

        try:
            await self._change(lease.task_id, decide)
        except NotFoundError:
            return


def _free(head: Head, now: int) -> bool:
    try:
        holder: Holder | None = TaskNote.read(head).holder
    except DamagedError:
        return False  # one damaged task keeps nobody from the others
    return holder is None or holder.until <= now


def _idle(head: Head, spared: int, now: int) -> bool:
    return not spared or head.updated_at + spared <= now  # else no clock is asked, as that of who saves may differ


def _lease(head: Head, note: TaskNote) -> Lease:
    lease = lease_of(head, note)
    assert lease is not None
    return lease


def _held(head: Head, note: TaskNote) -> ConflictError:
    lease = _lease(head, note)
    return ConflictError(
        f"task {lease.task_id!r}: {lease.owner!r} has it until {lease.expires_at:%F %T} UTC: wait, or take another",
        owner=lease.owner,
        until=lease.expires_at,
    )


def _ttl(ttl: timedelta) -> int:
    length = from_duration(ttl, "ttl")
    if not timedelta(0) < ttl <= _LONGEST:
        raise InvalidError(f"ttl={ttl!s}: it must be above 0, and at most {_LONGEST.days} days")
    return length
