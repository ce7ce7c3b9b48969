"""Saves: each is one change of the cached task, with its conditions, and made again after a racing one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from stowfast.abc import KEEP, Change
from stowfast.errors import ConflictError, DamagedError, InvalidError, shown
from stowfast.names import check_name, moment_after
from stowfast.records import Retention, TaskState
from stowfast.stores.codec import check_integers, encode, from_time, labels_of, stream_name, to_time
from stowfast.stores.optimistic import Race, find_receipt
from stowfast.stores.tasks.cache import CachedTask
from stowfast.stores.tasks.head_note import KIND, Keep, TaskNote, keep_of, kept_by, lease_of
from stowfast.stores.tasks.heads import check_kind, passed_on
from stowfast.stores.tasks.labels import LABELS, labels_with
from stowfast.stores.tasks.spans import earlier_spans, first_version, next_version

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stowfast.abc import Head, Receipt
    from stowfast.deltas import DeltaChain
    from stowfast.records import Lease
    from stowfast.stores.tasks.heads import Heads
    from stowfast.stores.tasks.versions import Versions

__all__ = ["Save", "Saves", "parse_save"]

_POLITE_ATTEMPTS = 3
"""After so many lost races an unconditional save overwrites: a whole version, over any other."""


class Save(NamedTuple):
    """The arguments of a save, checked."""

    state: TaskState
    text: bytes
    fields: dict[str, str]
    """Status, context, agent and parent."""
    labels: dict[str, str]
    """The fields and the metadata, as labels of the head."""
    expires_at: int | None
    expect: int | None
    lease: Lease | None
    retention: Retention | None
    op_id: str | None
    covers: Mapping[str, bytes | None] = {}
    """Covered steps by key, each with its expected result; None: any result."""
    default: Retention = Retention()
    ttl: int | None = None
    """Microseconds from the commit to the expiry, instead of `expires_at`."""

    @property
    def unconditional(self) -> bool:
        """Return True if the save has no conditions."""
        return self.expect is None and self.lease is None and self.retention is None and not self.covers

    def change(self, known: CachedTask) -> tuple[Change, DeltaChain]:
        """Return the change that saves over exactly this head, and the version with its bases."""
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
        if incarnation is None and head is not None:
            incarnation = head.incarnation
        kept = self.ttl is not None or (head is not None and head.expires_at == self.expires_at)
        change = Change(
            entries=(entry,),
            op_id=self.op_id,
            expect=self.expect if self.expect is not None else head.next if head is not None else 0,
            incarnation=incarnation,
            revision=head.revision if head is not None else None,
            labels=None if head is not None and head.labels == self.labels else self.labels,
            note=None if after == note else after.write(),
            expires_at=KEEP if kept else self.expires_at,
            ttl=self.ttl,
            drop_before=self._floor(chain, head, keep) if head is not None else None,
            # Without a history the one version that is stored is the one that is read.
            cold=self._keep(note.keep).versions != 1,
        )
        return change, chain

    def overwrite(self) -> Change:
        """Return the change that saves unconditionally, as a whole version."""
        entry, _ = first_version(0, self.text)
        change = Change(entries=(entry,), op_id=self.op_id, labels=self.labels, ttl=self.ttl, cold=True)
        return change if self.ttl is not None else change._replace(expires_at=self.expires_at)

    def lease_is_over(self, known: CachedTask) -> bool:
        """Return True if another caller has the task now, or nobody, or it is another incarnation."""
        if self.lease is None:
            return False
        head, holder = known.head, TaskNote.read(known.head).holder
        if head is None or holder is None or holder.token != self.lease.token:
            return True
        return head.incarnation != self.lease.incarnation

    def refuse(self, known: CachedTask) -> None:
        """Raise if the save can never succeed on this head.

        Raises:
            ConflictError: the task is at another version, or has another owner.
        """
        head, task_id = known.head, self.state.task_id
        following = head.next if head is not None else 0
        if self.lease is not None and self.lease_is_over(known):
            raise passed_on(head, TaskNote.read(head), self.lease)
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


class Saves:
    """Commits saves, each over the head that it was made for."""

    def __init__(self, heads: Heads, versions: Versions) -> None:
        self._heads = heads
        self._versions = versions

    async def save(self, save: Save, covers: Iterable[str] | None) -> TaskState:
        """Store a version, and return it."""
        keys = _keys(covers)
        stream = stream_name(KIND, "task_id", save.state.task_id)
        known = CachedTask(None, None) if save.expect == 0 else self._heads.cache.get(stream)
        if known is None or (save.expect is not None and (known.head.next if known.head else 0) != save.expect):
            known = await self._versions.newest(stream)
        covered: dict[str, bytes | None] = dict.fromkeys(keys)
        if covers is None and known.head is not None and (save.lease is not None or save.expect):
            covered = {**self._heads.cache.shown(stream, known.head.incarnation)}
        save = save._replace(covers=covered, default=self._versions.retention)
        receipt, after = await self._commit(stream, save, known)
        if after is None or after.head is None:
            # A repeat returns the state of the first call. After an overwrite, only the backend knows the owner and
            # the recorded steps.
            found = await self._versions.version(stream, receipt.first)
            if found is not None and found.incarnation == receipt.incarnation:
                return found
        head = after.head if after is not None else None
        note = TaskNote.read(head)
        self._heads.cache.show(stream, receipt.incarnation, note.encoded())
        expires_at = save.expires_at if save.ttl is None else moment_after(receipt.committed_at, save.ttl)
        return TaskState(
            task_id=save.state.task_id,
            **save.fields,
            metadata=save.state.metadata,
            version=receipt.next,
            updated_at=to_time(receipt.committed_at),
            expires_at=None if expires_at is None else to_time(expires_at),
            lease=lease_of(head, note) if head is not None else None,
            incarnation=receipt.incarnation,
            data=save.state.data,
            steps=note.results(stream),
        )

    async def _commit(self, stream: str, save: Save, known: CachedTask) -> tuple[Receipt, CachedTask | None]:
        """Commit a save, and return the cached task after it; None if the head must be read again."""
        race = Race(f"task {save.state.task_id!r}")
        while True:
            overwrites = race.lost >= _POLITE_ATTEMPTS and save.unconditional
            change, chain = (save.overwrite(), None) if overwrites else save.change(known)
            receipt: Receipt | None = None
            if not save.lease_is_over(known):
                receipt = await race.commit(self._heads.backend, stream, change)
            elif save.op_id is not None:  # saved in time by an earlier call, whose answer was lost?
                receipt = await find_receipt(self._heads.backend, stream, save.op_id)
            if receipt is None:
                known = await self._versions.newest(stream)
                save.refuse(known)
                continue
            after = None if overwrites or receipt.repeated else known.after(stream, change, receipt, chain)
            if after is None:
                self._heads.cache.forget(stream)
            else:
                self._heads.cache.put(stream, after)
                left = TaskNote.read(after.head).steps
                gone = {key: one for key, one in TaskNote.read(known.head).encoded().items() if key not in left}
                self._heads.cache.covered(stream, gone)
            return receipt, after


def parse_save(
    state: TaskState, *, expect: int | None, lease: Lease | None, retention: Retention | None, op_id: str | None
) -> Save:
    """Return the arguments of a save, checked.

    Raises:
        InvalidError: JSON cannot store the state, or an argument is none of its kind.
    """
    if not isinstance(state, TaskState):
        raise InvalidError(f"save takes a stowfast.TaskState, not {type(state).__name__}")
    check_integers(expect=expect)
    fields = labels_of(LABELS, {name: getattr(state, name) for name in LABELS})
    labels = labels_with(fields, state.metadata)
    if state.status is None:
        raise InvalidError("status must be a str, such as working")
    expires_at = None if state.expires_at is None else from_time(state.expires_at, "expires_at")
    if retention is not None:
        keep_of(retention)
    if lease is not None:
        check_kind(lease)
    record = {**fields, **({"metadata": state.metadata} if state.metadata else {}), "data": state.data}
    text = encode(record, f"the state of task {shown(state.task_id)}")
    return Save(state, text, fields, labels, expires_at, expect, lease, retention, op_id)


def _keys(covers: Iterable[str] | None) -> list[str]:
    """Return the covered step keys, checked."""
    if covers is None:
        return []
    if isinstance(covers, str) or not isinstance(covers, Iterable):
        raise InvalidError(f"covers={shown(covers)}: it takes several keys, such as ['step-1']")
    keys = list(covers)
    for key in keys:
        check_name(key, "a key in covers")
    return keys
