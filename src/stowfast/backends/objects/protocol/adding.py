"""Additions to a head: the frames and the operations of a change, and the id of its commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.backends.objects.protocol.frames import Operation, frame, grouped
from stowfast.semantics import placed, told_calls

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast.abc import Change, Entry, Receipt
    from stowfast.backends.objects.protocol.frames import Frame

__all__ = ["frames_added", "operations_added", "recent_ids"]


def frames_added(change: Change, receipt: Receipt, *, by: str, commit: int, block: int) -> list[Frame]:
    """Return the entries of a change as frames of about `block` bytes, each of one call and one time."""
    calls = {change.op_id: receipt} if change.origin is None else told_calls(change.origin)
    added: list[Frame] = []
    for run in _runs(placed(change, receipt)):
        at, op_id = run[0].created_at, run[0].op_id
        first, next = run[0].position, run[-1].position + 1
        if op_id is not None:  # a part of its call may be gone
            first, next = min(first, calls[op_id].first), max(next, calls[op_id].next)
        added += (
            frame(
                first, next, at, entries,
                start=run[offset].position, by=by, op_id=op_id, commit=commit, blobs=change.blobs,
            )
            for offset, entries in grouped([one.data for one in run], block)
        )  # fmt: skip
    return added


def operations_added(change: Change, receipt: Receipt, commit: int) -> list[Operation]:
    """Return the calls of a change that no frame of it tells."""
    calls = {} if change.origin is None else dict(change.origin.calls)
    if change.op_id is not None and not change.entries:
        calls[change.op_id] = receipt
    return [
        Operation(op_id, known.incarnation, known.first, known.next, known.committed_at, commit)
        for op_id, known in calls.items()
    ]


def recent_ids(before: Sequence[str], settled: str, id: str, most: int) -> tuple[str, ...]:
    """Return the ids of the newest commits, this one last. Nobody asks for a commit again once its writer knows."""
    recent = [*("" if one == settled else one for one in before), id][-most:]
    while not recent[0]:
        del recent[0]
    return tuple(recent)


def _runs(entries: Sequence[Entry]) -> list[list[Entry]]:
    """Split entries into runs without a gap, each of one call and one time."""
    found: list[list[Entry]] = []
    for one in entries:
        last = found[-1][-1] if found else None
        follows = last is not None and (last.position + 1, last.created_at, last.op_id) == (
            one.position, one.created_at, one.op_id,
        )  # fmt: skip
        if not follows:
            found.append([])
        found[-1].append(one)
    return found
