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
from stowfast.stores.codec import MAX_CLOCK_SKEW, from_duration
from stowfast.stores.tasks.head_note import KIND, Holder, TaskNote, id_of, lease_of
from stowfast.stores.tasks.heads import check_kind, check_lease

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stowfast.abc import Head
    from stowfast.records import Lease
    from stowfast.stores.tasks.heads import Heads

__all__ = ["Leases"]

_MAX_LEASE: Final = timedelta(days=366)
_PAGE: Final = 100


class Leases:
    """The leases of tasks."""

    def __init__(self, heads: Heads) -> None:
        self._heads = heads

    async def claim_next(self, owner: str, ttl: timedelta, where: Mapping[str, str], idle: timedelta) -> Lease | None:
        """Claim a free task with these labels, unchanged for `idle`; None if there is none."""
        _ttl(ttl)
        check_name(owner, "owner")
        spared = from_duration(idle, "idle")
        after = None
        while True:
            listed, after = await self._heads.backend.streams(
                Query(f"{KIND}/", where=where, after=after, limit=_PAGE, heads=True)
            )
            now = await self._heads.backend.now()
            free = [
                one.head
                for one in listed
                if one.head is not None and _idle(one.head, spared, now) and _free(one.head, now)
            ]
            random.shuffle(free)
            for head in free:
                try:
                    return await self.claim(id_of(head), owner, ttl, where=where, seen=head, idle=spared)
                except (ConflictError, NotFoundError, DamagedError):
                    continue  # one damaged task keeps no worker from the others
            if after is None:
                return None

    async def claim(
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
        """Claim a task.

        Args:
            where: labels that it must still have.
            seen: its head from a listing.
            idle: microseconds without a change.
        """
        check_name(owner, "owner")
        if op_id is not None:
            check_name(op_id, "an op_id")
        length = _ttl(ttl)

        async def decide(head: Head, note: TaskNote) -> tuple[TaskNote | None, Lease]:
            # Read after the head, so it is later in the next incarnation of a task than in this one.
            holder, now = note.holder, await self._heads.backend.now()
            if holder is not None and op_id is not None and (holder.op_id, holder.owner) == (op_id, owner):
                return None, _lease(head, note)
            if holder is not None and not holder.ended(now):
                raise _held(head, note)
            if where is not None and not (where.items() <= head.labels.items() and _idle(head, idle, now)):
                raise ConflictError(f"task {task_id!r} was changed meanwhile")
            # Tokens are times, too: those of a task that was deleted and begun again are above its old ones.
            token = max(note.token + 1, now)
            note = msgspec.structs.replace(note, token=token, holder=Holder(owner, token, now + length, length, op_id))
            return note, _lease(head, note)

        return await self._heads.change(task_id, decide, seen, at_rest=idle > 0)

    async def renew(self, lease: Lease, ttl: timedelta) -> Lease:
        """Extend a lease, under the same token."""
        check_kind(lease)
        length = _ttl(ttl)

        async def decide(head: Head, note: TaskNote) -> tuple[TaskNote, Lease]:
            check_lease(head, note, lease)
            assert note.holder is not None
            now = await self._heads.backend.now()
            holder = msgspec.structs.replace(note.holder, until=now + length, length=length)
            note = msgspec.structs.replace(note, holder=holder)
            return note, _lease(head, note)

        return await self._heads.change(lease.task_id, decide)

    async def release(self, lease: Lease) -> None:
        """Let others claim the task at once."""
        check_kind(lease)

        async def decide(head: Head, note: TaskNote) -> tuple[TaskNote | None, None]:
            try:
                check_lease(head, note, lease)
            except ConflictError:
                return None, None
            return msgspec.structs.replace(note, holder=None), None

        try:
            await self._heads.change(lease.task_id, decide)
        except NotFoundError:
            return


def _free(head: Head, now: int) -> bool:
    try:
        holder: Holder | None = TaskNote.read(head).holder
    except DamagedError:
        return False
    return holder is None or holder.ended(now)


def _idle(head: Head, spared: int, now: int) -> bool:
    # Without `idle` no clock is asked, as that of a saver may differ. A change far ahead was made under a wrong clock.
    return not spared or not now - spared < head.updated_at <= now + MAX_CLOCK_SKEW


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
    if not timedelta(0) < ttl <= _MAX_LEASE:
        raise InvalidError(f"ttl={ttl!s}: it must be above 0, and at most {_MAX_LEASE.days} days")
    return length
