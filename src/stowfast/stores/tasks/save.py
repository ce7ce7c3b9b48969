"""The commit of a save: one change for the cached task, with its conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import msgspec

from stowfast.abc import KEEP, Change
from stowfast.errors import ConflictError, DamagedError, InvalidError
from stowfast.records import Retention
from stowfast.stores.codec import check_integers, from_duration
from stowfast.stores.tasks.head_note import Keep, TaskNote
from stowfast.stores.tasks.heads import passed_on
from stowfast.stores.tasks.spans import earlier_spans, first_version, next_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stowfast.abc import Head
    from stowfast.deltas import DeltaChain
    from stowfast.records import Lease, TaskState
    from stowfast.stores.tasks.cache import CachedTask

__all__ = ["Save", "keep_of", "kept_by"]

_NEVER = -1
"""A revision that no head has."""


class Save(NamedTuple):
    """The arguments of a save, checked."""

    state: TaskState
    text: bytes
    labels: dict[str, str]
    expires_at: int | None
    expect: int | None
    lease: Lease | None
    retention: Retention | None
    op_id: str | None
    covers: Mapping[str, bytes | None] = {}
    """Covered steps by key, each with its expected result; None: any result."""
    default: Retention = Retention()

    @property
    def asks_for_nothing(self) -> bool:
        """Return True if the save has no conditions."""
        return self.expect is None and self.lease is None and self.retention is None and not self.covers

    def change(self, known: CachedTask) -> tuple[Change, DeltaChain]:
        """Return the change that saves over exactly this head, and the cached task after it."""
        head, note = known.head, TaskNote.read(known.head)
        entry, chain = self._entry(known)
        # A step under a key that was covered and recorded anew meanwhile is another one.
        steps = {
            key: result
            for key, result in note.steps.items()
            if key not in self.covers or self.covers[key] not in {None, bytes(result)}
        }
        keep = note.keep if self.retention is None else keep_of(self.retention)
        after = msgspec.structs.replace(note, steps=steps, keep=keep)
        incarnation = self.state.incarnation or None if self.expect else None
        revision = head.revision if head is not None else None
        if self.lease is not None:
            other_life = incarnation not in (None, self.lease.incarnation)
            incarnation = self.lease.incarnation
            if other_life or note.holder is None or note.holder.token != self.lease.token:
                revision = _NEVER  # only a repeat of what was done in time is answered
        elif incarnation is None and head is not None:
            incarnation = head.incarnation
        change = Change(
            entries=(entry,),
            op_id=self.op_id,
            expect=self.expect if self.expect is not None else head.next if head is not None else 0,
            incarnation=incarnation,
            revision=revision,
            labels=None if head is not None and head.labels == self.labels else self.labels,
            note=None if after == note else after.write(),
            expires_at=KEEP if head is not None and head.expires_at == self.expires_at else self.expires_at,
            drop_before=self._floor(chain, head, keep) if head is not None else None,
            # Without a history each version takes the place of the last, and what is carried along is what is read.
            cold=self._keep(note.keep).versions != 1,
        )
        return change, chain

    def change_of_any(self) -> Change:
        """Return the change that saves unconditionally, as a whole version."""
        entry, _ = first_version(0, self.text)
        return Change(entries=(entry,), op_id=self.op_id, labels=self.labels, expires_at=self.expires_at, cold=True)

    def refuse(self, known: CachedTask) -> None:
        """Raise if the save can never succeed on this head.

        Raises:
            ConflictError: the task is at another version, or has another owner.
        """
        head, task_id = known.head, self.state.task_id
        following = head.next if head is not None else 0
        if self.lease is not None:
            note = TaskNote.read(head)
            holds = note.holder is not None and note.holder.token == self.lease.token
            if head is None or head.incarnation != self.lease.incarnation or not holds:
                raise passed_on(head, note, self.lease)
        if self.expect is not None and following != self.expect:
            raise ConflictError(
                f"task {task_id!r} is at version {following}, not at {self.expect}: load it again, then decide",
                current=following,
            )
        if self.expect and self.state.incarnation and head is not None and head.incarnation != self.state.incarnation:
            raise ConflictError(
                f"task {task_id!r} was deleted and begun again: load it again, then decide", current=following
            )

    def _entry(self, known: CachedTask) -> tuple[bytes, DeltaChain]:
        head, chain = known.head, known.chain
        position = head.next if head is not None else 0
        if head is None or self._keep(TaskNote.read(head).keep).versions == 1:
            return first_version(position, self.text)
        if chain is None or chain.position + 1 != position:
            return first_version(position, self.text)
        try:
            return next_version(chain, self.text, head.updated_at)
        except DamagedError:
            return first_version(position, self.text)

    def _floor(self, chain: DeltaChain, head: Head, keep: Keep | None) -> int | None:
        """Return the position below which no version is needed, for a whole version; else None."""
        whole, bounds = chain.delta.whole, self._keep(keep)
        if whole != chain.position:
            return None
        if bounds.versions == 1:
            return whole
        floor, earlier = 0, earlier_spans(chain)
        for number, (_, ended) in enumerate(earlier, 1):
            following = earlier[number][0] if number < len(earlier) else whole
            enough = bounds.versions is not None and following <= chain.position + 1 - bounds.versions
            old = bounds.age is not None and ended < head.updated_at - bounds.age
            if not (enough or old):
                break
            floor = following
        return floor or None

    def _keep(self, keep: Keep | None) -> Keep:
        return kept_by(keep if self.retention is None else keep_of(self.retention), self.default)


def keep_of(retention: Retention) -> Keep:
    """Return a retention as it is stored.

    Raises:
        InvalidError: it is none, or keeps less than the newest version.
    """
    if not isinstance(retention, Retention):
        raise InvalidError(f"retention must be a stowfast.Retention, not {type(retention).__name__}")
    check_integers(versions=retention.versions)
    if retention.versions is not None and retention.versions < 1:
        raise InvalidError(f"Retention(versions={retention.versions}): the newest version always stays, so 1 or more")
    return Keep(retention.versions, None if retention.age is None else from_duration(retention.age, "age"))


def kept_by(keep: Keep | None, default: Retention) -> Keep:
    """Return the retention of a task: its own, else that of the store."""
    return keep if keep is not None else keep_of(default)
