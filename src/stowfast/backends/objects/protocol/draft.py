"""A draft: the next state of a stream, while changes are made on it. `semantics` defines the meaning of a change."""

from __future__ import annotations

import re
from itertools import chain
from typing import TYPE_CHECKING, Final

from stowfast.abc import OPERATIONS_REMEMBERED, Receipt
from stowfast.backends.objects.protocol.adding import frames_added, operations_added, recent_ids
from stowfast.backends.objects.protocol.frames import trimmed
from stowfast.backends.objects.protocol.keys import blob_file, keys_of, segment_file
from stowfast.backends.objects.protocol.load import (
    VanishedError,
    expiry_time,
    footers,
    frames,
    linked,
    missing,
    timed,
    unexpired,
)
from stowfast.backends.objects.protocol.requests import All, Get
from stowfast.backends.objects.protocol.seal import frames_to_seal, limits_of, pack
from stowfast.errors import ConflictError, StowfastError
from stowfast.semantics import apply, repeat

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from stowfast.abc import Change, Head
    from stowfast.backends.objects.protocol.frames import Frame, Operation
    from stowfast.backends.objects.protocol.requests import Environment, Steps
    from stowfast.backends.objects.protocol.seal import Sealed
    from stowfast.backends.objects.protocol.state import SegmentRef, State

__all__ = ["BLOB", "CONDEMNED_REMEMBERED", "Draft", "commit_id"]

_COMMIT_ID: Final = 16
"""Hexadecimal digits of the id of a commit: 64 random bits."""

CONDEMNED_REMEMBERED: Final = 1_000
"""Orphans of a stream that a head keeps as condemned. A sweep condemns at most as many at a time."""

BLOB: Final = re.compile(r"[0-9a-f]{32}-([0-9]{1,15})")
"""The id of a blob ends with its size."""


def commit_id(environment: Environment) -> str:
    """Return the id of a new commit."""
    return environment.new_id()[-_COMMIT_ID:]


class Draft:
    """The next state of a stream. Invisible until `state` is written.

    Args:
        base: the head to start from.
        environment: clock, ids, chance and limits.
        written: blobs of this stream written by this process, each with `State.dropped` as known then.
        buried: garbage of the head that is known to be deleted.
        settled: the id of this writer's last commit, if known to be made. The head forgets it.
        incomplete: the base refers to a missing object, and no newer head was written.
    """

    def __init__(
        self,
        base: State,
        environment: Environment,
        written: Mapping[str, int],
        buried: Collection[str] = frozenset(),
        *,
        settled: str = "",
        incomplete: bool = False,
    ) -> None:
        self._base = base
        self._incomplete = incomplete
        self._environment = environment
        self._written = written
        self._place = keys_of(base.name)
        id = commit_id(environment)
        self._now = base._replace(
            commit=base.commit + 1,
            recent=recent_ids(base.recent, settled, id, environment.limits.commits),
            origin=base.origin or id,
            grave=tuple(key for key in base.grave if key not in buried),
            quiet=base.quiet or bool(buried),
        )
        self.uploads: list[str] = []
        """Keys of segments written for this draft. No head refers to them yet."""
        self.changed = False
        self.unsure = False
        """An outcome rests on the base alone: no PUT will prove that the base is still the newest head."""

    @property
    def state(self) -> State:
        """The head to write."""
        return self._now

    def swap(self, sealed: Sealed) -> bool:
        """Use segments in place of their sources. False: a source is no longer in the head."""
        now, moved = self._now, len(sealed.moved)
        ids = [ref.id for ref in now.segments]
        at = ids.index(sealed.replaced[0]) if sealed.replaced and sealed.replaced[0] in ids else len(ids)
        behind = at + len(sealed.replaced)
        if (
            now.head is None
            or now.life != sealed.life
            or any(segment_file(now.life, ref.id) in now.condemned for ref in sealed.refs)
            or tuple(ids[at:behind]) != sealed.replaced
            or [one.raw for one in now.tail[:moved]] != [one.raw for one in sealed.moved]
            or (moved and behind != len(ids))
        ):
            return False
        self._now = now._replace(
            segments=(*now.segments[:at], *sealed.refs, *now.segments[behind:]), tail=now.tail[moved:]
        )
        self._bury(segment_file(now.life, id) for id in sealed.replaced)
        self.changed = True
        return True

    def make(self, changes: Sequence[Change]) -> Steps[list[Receipt | StowfastError]]:
        """Make changes one after the other. A refused change leaves no trace; the others are made."""
        outcomes: list[Receipt | StowfastError] = []
        for change in changes:
            before, changed = self._now, self.changed
            refusal: StowfastError
            try:
                outcomes.append((yield from self._make(change)))
                continue
            except VanishedError as error:
                if not self._incomplete:
                    raise
                refusal = missing(before.name, error)
            except StowfastError as error:
                refusal = error
            self._now, self.changed, self.unsure = before, changed, True
            outcomes.append(refusal)
        yield from self._overflow()
        return outcomes

    def _make(self, change: Change) -> Steps[Receipt]:
        if change.op_id is not None:
            known = yield from self.known(change.op_id)
            if known is not None:
                return repeat(known, change)
        before, environment = self._now.head, self._environment
        now = expiry_time(before, environment)
        change = timed(change, environment)
        effect = apply(self._now.name, before, change, now=now, incarnation=environment.new_id)
        ends = effect.fresh and self._now.head is not None
        begins = effect.head is not None and effect.fresh
        if (change.is_plain and not change.entries) or (effect.head is None and not ends and change.op_id is None):
            self.unsure = True
            return effect.receipt
        touched = bool(change.blobs) or bool(effect.remove) or ends
        blobs = (yield from linked(self._now)) if touched else set()
        for blob in change.blobs:
            yield from self._check_blob(blob, blobs, ends=ends)
        if ends:
            yield from self._end(blobs)
        if begins:
            self._now = self._now._replace(life=self._now.life + 1)
        removed = 0
        for start, stop in effect.remove:
            removed += yield from self._remove(start, stop)
        self._now = self._now._replace(head=effect.head and effect.head._replace(length=effect.head.length - removed))
        self._now = self._now._replace(quiet=self._stays_quiet(change, before, fresh=effect.fresh))
        self._add(change, effect.receipt)
        if effect.remove and blobs:
            self._drop(blobs - (yield from linked(self._now)))
        self.changed = True
        return effect.receipt

    def _stays_quiet(self, change: Change, before: Head | None, *, fresh: bool) -> bool:
        """Return True if the time of the object says nothing about the recency of the stream after a change."""
        if change.origin is not None or fresh or not change.quiet:
            return change.origin is not None
        # Other changes of this draft may have moved the time before this one leaves it as it is.
        base = self._base.head
        return self._now.quiet or (base is not None and before is not None and before.updated_at == base.updated_at)

    def known(self, op_id: str) -> Steps[Receipt | None]:
        """Return the receipt of the call with this op_id; None if no such call is remembered."""
        for one in self._now.operations:
            if one.op_id == op_id:
                return _receipt(one)
        if self._now.head is None:
            return None
        frame = next((one for one in self._now.tail if one.op_id == op_id), None)
        if frame is None:
            frame = yield from self._sealed(op_id)
        return _receipt(frame.known(self._now.head.incarnation)) if frame is not None else None

    def _sealed(self, op_id: str) -> Steps[Frame | None]:
        refs = [ref for ref in self._now.segments if ref.calls]
        found = yield from footers(self._now, refs)
        hits = [ref for ref, footer in zip(refs, found, strict=True) if footer.may_know(op_id)]
        sealed = yield from frames(self._now, hits)
        return next((one for one in chain(*sealed) if one.op_id == op_id), None)

    def _check_blob(self, blob: str, blobs: set[str], *, ends: bool) -> Steps[None]:
        if blob in blobs and not ends:
            return
        gone = ConflictError(f"{self._now.name!r}: a blob of this change is gone, write it again")
        told, file = BLOB.fullmatch(blob), blob_file(blob)
        if told is None or blob in blobs or file in self._now.grave or file in self._now.condemned:
            raise gone
        # A blob without a reference is deleted only after a head condemns it, and this head does not. A blob of another
        # process, or one that may have been used and dropped since, may be missing: a GET tells.
        if self._written.get(blob) != self._base.dropped:
            found = yield Get(self._place.blob(blob), stop=1 if int(told[1]) else None)
            if found is None:
                raise gone

    def _end(self, blobs: set[str]) -> Steps[None]:
        now = self._now
        assert now.head is not None
        known = {one.op_id: one.known(now.head.incarnation) for one in now.tail if one.op_id is not None}
        for ref in reversed(now.segments):
            if len(known) >= OPERATIONS_REMEMBERED:
                break
            if ref.calls:
                (found,) = yield from frames(now, [ref])
                known.update((one.op_id, one.known(now.head.incarnation)) for one in found if one.op_id is not None)
        self._remember(known.values())
        self._bury(segment_file(now.life, ref.id) for ref in now.segments)
        self._drop(blobs)
        self._now = self._now._replace(head=None, segments=(), tail=(), cold=False)

    def _remove(self, start: int, stop: int) -> Steps[int]:
        """Remove the entries at `start <= position < stop`, and their stored bytes; return their number."""
        now = self._now
        tail, removed = self._cut(now.tail, start, stop)
        refs = []
        for ref in now.segments:
            if ref.next <= start or ref.first >= stop:
                refs.append(ref)
                continue
            self._bury([segment_file(now.life, ref.id)])
            if start <= ref.first and ref.next <= stop and not ref.calls:
                removed += ref.count
                continue
            (found,) = yield from frames(now, [ref])
            kept, fewer = self._cut(found, start, stop)
            removed += fewer
            if kept:
                refs += yield from self._write(kept)
        self._now = self._now._replace(segments=tuple(refs), tail=tuple(tail))
        return removed

    def _cut(self, frames: Sequence[Frame], start: int, stop: int) -> tuple[list[Frame], int]:
        assert self._now.head is not None
        kept, removed, gone = [], 0, []
        for one in frames:
            left = trimmed(one, start, stop)
            removed += len(one.sizes) - (len(left.sizes) if left else 0)
            if left is not None:
                kept.append(left)
            elif one.op_id is not None:
                gone.append(one.known(self._now.head.incarnation))
        self._remember(gone)
        return kept, removed

    def _add(self, change: Change, receipt: Receipt) -> None:
        now = self._now
        added = frames_added(change, receipt, by=now.id, commit=now.commit, block=self._environment.limits.block)
        self._now = now._replace(tail=(*now.tail, *added), cold=change.cold if added else now.cold)
        if called := operations_added(change, receipt, now.commit):
            self._remember(called)

    def _overflow(self) -> Steps[None]:
        """Move the older part of a tail that is too large for a PUT of the head into segments written before it."""
        limits = limits_of(self._now, self._environment.limits)
        if self._now.tail_size > limits.head:
            moved = frames_to_seal(self._now.tail, limits)
            refs = yield from self._write(moved)
            self._now = self._now._replace(segments=(*self._now.segments, *refs), tail=self._now.tail[len(moved) :])

    def _write(self, frames: Sequence[Frame]) -> Steps[list[SegmentRef]]:
        refs, uploads = pack(self._now, frames, self._environment)
        self.uploads += (upload.key for upload in uploads)
        yield All(uploads)
        return refs

    def _remember(self, known: Iterable[Operation]) -> None:
        operations = {one.op_id: one for one in (*self._now.operations, *known)}
        newest = sorted(operations.values(), key=lambda one: (one.commit, one.first))[-OPERATIONS_REMEMBERED:]
        self._now = self._now._replace(operations=tuple(newest))

    def _bury(self, keys: Iterable[str]) -> None:
        self._now = self._now._replace(grave=(*self._now.grave, *keys))

    def _drop(self, blobs: Collection[str]) -> None:
        if blobs:
            self._bury(map(blob_file, sorted(blobs)))
            self._now = self._now._replace(dropped=self._now.dropped + 1)

    def end_expired(self) -> Steps[None]:
        """Delete the stream if it has expired."""
        if self._now.head is not None and unexpired(self._now, self._environment) is None:
            yield from self._end((yield from linked(self._now)))
            self.changed = True

    def condemn(self, files: Sequence[str]) -> None:
        """Mark orphans as garbage. A later change that refers to one of them is refused, always."""
        known = [file for file in self._now.condemned if file not in files]
        self._now = self._now._replace(condemned=(*known, *files)[-CONDEMNED_REMEMBERED:], quiet=True)
        self._bury(files)
        self.changed = True


def _receipt(known: Operation) -> Receipt:
    return Receipt(known.incarnation, known.first, known.next, known.at)
