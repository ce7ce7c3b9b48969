"""Changes of the head of a task without a new version, repeated after a racing change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from stowfast.abc import Change
from stowfast.errors import ConflictError, InvalidError, NotFoundError, StowfastError
from stowfast.records import Lease
from stowfast.stores.codec import stream_name
from stowfast.stores.optimistic import Race
from stowfast.stores.tasks.cache import CachedTask, TaskCache
from stowfast.stores.tasks.head_note import KIND, TaskNote, lease_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stowfast.abc import Backend, Head

__all__ = ["Heads", "check_kind", "check_lease", "passed_on"]

R = TypeVar("R")


class Heads:
    """The heads of the tasks of a backend, and their cache. The parts of `Tasks` share one."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.cache = TaskCache()

    async def current(self, stream: str) -> CachedTask:
        """Return the current head of a task, with its cached versions."""
        (head,) = await self.backend.heads([stream])
        seen = (self.cache.get(stream) or _UNKNOWN).at(head)
        if head is not None:
            self.cache.put(stream, seen)
        return seen

    async def change(
        self,
        task_id: str,
        decide: Callable[[Head, TaskNote], Awaitable[tuple[TaskNote | None, R]]],
        seen: Head | None = None,
        *,
        at_rest: bool = False,
    ) -> R:
        """Change the note of a task: `decide` returns the next note, or None for no change, and the result.

        `decide` runs again after a racing change, and may refuse by an error about the task as it is then.

        Args:
            seen: the head from a listing.
            at_rest: a version saved meanwhile also counts as a racing change.

        Raises:
            NotFoundError: the task does not exist.
        """
        stream = stream_name(KIND, "task_id", task_id)
        known = self.cache.get(stream) or _UNKNOWN
        if seen is not None:
            known = known.at(seen)
        race = Race(f"task {task_id!r}")
        while True:
            fresh = known.head is None
            known = await self.current(stream) if fresh else known
            head = known.head
            if head is None:
                raise NotFoundError(f"task {task_id!r} is not there: save it first")
            try:
                note, result = await decide(head, TaskNote.read(head))
            except StowfastError:
                if fresh:
                    raise
                known = _UNKNOWN
                continue
            if note is None:
                if fresh:
                    return result
                known = _UNKNOWN
                continue
            expect = head.next if at_rest else None
            change = Change(note=note.write(), expect=expect, incarnation=head.incarnation, revision=head.revision)
            receipt = await race.commit(self.backend, stream, change)
            if receipt is not None:
                self.cache.put(stream, known.after(stream, change, receipt, known.chain))
                return result
            known = _UNKNOWN


_UNKNOWN: Final = CachedTask(None, None)


def check_kind(lease: object) -> None:
    """Check the type of a lease.

    Raises:
        InvalidError: it is not a Lease.
    """
    if not isinstance(lease, Lease):
        raise InvalidError(f"lease must be what `claim` returned, not {type(lease).__name__}")


def check_lease(head: Head, note: TaskNote, lease: Lease) -> None:
    """Check that the lease is the current one.

    Raises:
        ConflictError: the lease passed to another owner, or was released.
    """
    holder = note.holder
    if head.incarnation != lease.incarnation or holder is None or holder.token != lease.token:
        raise passed_on(head, note, lease)


def passed_on(head: Head | None, note: TaskNote, lease: Lease) -> ConflictError:
    """Return the error for a call under an outdated lease."""
    now = lease_of(head, note) if head is not None else None
    whose = f"{now.owner!r} has it until {now.expires_at:%F %T} UTC" if now is not None else "nobody has it"
    return ConflictError(
        f"task {lease.task_id!r}: the lease of {lease.owner!r} is over, {whose}: stop, or claim it again",
        owner=now.owner if now is not None else None,
        until=now.expires_at if now is not None else None,
    )
