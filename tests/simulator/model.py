"""What a stream should be, as plain dicts: the rule, applied to the changes of each commit that won.

It knows nothing of heads, tails and segments, so it cannot be wrong in the way the protocol may be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from stowfast.backends.objects.protocol.keys import blob_file
from stowfast.errors import ConflictError, DamagedError, InvalidError, UnavailableError
from stowfast.semantics import apply
from tests.simulator.bucket import Violation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stowfast.abc import Change, Head, Receipt
    from stowfast.errors import StowfastError
    from stowfast.semantics import Effect

__all__ = ["Call", "Kept", "Made", "Snapshot", "made"]


class Kept(NamedTuple):
    """One entry."""

    data: bytes
    at: int
    op_id: str | None
    blobs: tuple[str, ...]


class Call(NamedTuple):
    """A call with an op_id: what it got when it was made, and by which commit."""

    receipt: Receipt
    commit: int


class Made(NamedTuple):
    """A change as a draft made it: at which time, and with what outcome."""

    change: Change
    now: int
    outcome: Receipt | StowfastError


class Snapshot(NamedTuple):
    """A stream between two commits."""

    number: int
    at: int
    """The step since which it is current."""
    head: Head | None
    entries: Mapping[int, Kept]
    calls: Mapping[str, Call]
    doomed: frozenset[str]
    """Files that were in a grave, or condemned, once."""

    @property
    def blobs(self) -> set[str]:
        return {blob for kept in self.entries.values() for blob in kept.blobs}

    def remembered(self, window: int) -> set[str]:
        """Return the op_ids that must be known: of all that is there, and the newest of what is not."""
        left = dict.fromkeys(self.calls, 0)
        for kept in self.entries.values():
            if kept.op_id is not None:
                left[kept.op_id] += 1
        gone = [
            (call.commit, op_id)
            for op_id, call in self.calls.items()
            if left[op_id] < (call.receipt.next - call.receipt.first or 1)
        ]
        gone.sort()
        least = gone[-window - 1][0] if len(gone) > window else -1
        # Calls of one commit are as old as each other: which of them is forgotten first is not promised.
        known = {op_id for commit, op_id in gone if commit > least}
        return known | {op_id for op_id, count in left.items() if count}


def made(before: Snapshot, one: Made, commit: int, window: int) -> Snapshot:
    """Return the stream after a change.

    Raises:
        Violation: the outcome is not what the rule says.
    """
    change, now, outcome = one
    if isinstance(outcome, UnavailableError) or _is_answered_as_known(before, one, window):
        return before
    if isinstance(outcome, DamagedError):
        raise Violation(f"{change} met damage: {outcome}")
    incarnation = getattr(outcome, "incarnation", "")
    name = before.head.name if before.head else "a stream"
    try:
        effect = apply(name, before.head, change, now=now, incarnation=lambda: incarnation)
    except ConflictError as error:
        if isinstance(outcome, ConflictError) and outcome.current == error.current:
            return before
        raise Violation(f"{change} should be refused, and was not: {outcome}") from error
    if isinstance(outcome, ConflictError):
        lost = {blob for blob in change.blobs if blob_file(blob) in before.doomed}
        if not lost and not (effect.fresh and before.blobs.intersection(change.blobs)):
            raise Violation(f"{change} is refused without a reason: {outcome}") from outcome
        return before
    if outcome != effect.receipt:
        raise Violation(f"{change} got {outcome}, and should get {effect.receipt}")
    if (change.is_plain and not change.entries) or (effect.head is None and not before.head and not change.op_id):
        return before
    return _stored(before, change, effect, commit)


def _is_answered_as_known(before: Snapshot, one: Made, window: int) -> bool:
    """Say whether a call was answered with what is remembered of it, and not made."""
    change, _, outcome = one
    if change.op_id is None:
        return False
    call = before.calls.get(change.op_id)
    if getattr(outcome, "repeated", False):
        if call is None or outcome != call.receipt._replace(repeated=True):
            raise Violation(f"{outcome} repeats {call}")
        return True
    if isinstance(outcome, InvalidError):
        size = call.receipt.next - call.receipt.first if call is not None else None
        if size is None or size == len(change.entries) or change.expect == 0:
            raise Violation(f"{change} is said to be another call than {call}")
        return True
    if change.op_id in before.remembered(window):
        raise Violation(f"op_id {change.op_id!r} was forgotten: {outcome}")
    return False


def _stored(before: Snapshot, change: Change, effect: Effect, commit: int) -> Snapshot:
    receipt, entries = effect.receipt, {} if effect.fresh else dict(before.entries)
    for start, stop in effect.remove:
        for position in [position for position in entries if start <= position < stop]:
            del entries[position]
    for position, data in enumerate(change.entries, receipt.first):
        entries[position] = Kept(data, receipt.committed_at, change.op_id, tuple(change.blobs))
    calls = before.calls
    if change.op_id is not None:
        calls = {**calls, change.op_id: Call(receipt, commit)}
    head = effect.head and effect.head._replace(length=len(entries))
    return before._replace(head=head, entries=entries, calls=calls, doomed=before.doomed | _files(before, entries))


def ended(before: Snapshot) -> Snapshot:
    """Return the stream after its time was up."""
    return before._replace(head=None, entries={}, doomed=before.doomed | _files(before, {}))


def _files(before: Snapshot, entries: Mapping[int, Kept]) -> set[str]:
    """Return the files of the blobs that nothing refers to any more."""
    left = {blob for kept in entries.values() for blob in kept.blobs}
    return set(map(blob_file, before.blobs - left))
