"""Semantics of a `Change`: a pure function from one head to the next. Every backend calls it.

A backend loads the head, and the receipt of the op_id if the stream has one. It calls `apply` or `repeat` and stores
the effect atomically. This is the whole commit path; a backend only decides where the bytes go.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.abc import KEEP, MAX_ENTRY_BYTES, MAX_HEAD_BYTES, Change, Entry, Head, Receipt
from stowfast.errors import ConflictError, DamagedError, InvalidError, shown
from stowfast.names import MAX_MOMENT, MIN_MOMENT, check_name, moment_after

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stowfast.abc import Origin, Window


__all__ = [
    "Effect",
    "apply",
    "check",
    "check_entries",
    "ends_damaged",
    "is_news",
    "living",
    "placed",
    "refusals",
    "repeat",
    "told_calls",
]


_LARGEST: Final = 2**62
_DELETE: Final = Change(delete=True)


class Effect(NamedTuple):
    """The effect of a change: a backend first removes, then adds the entries at `receipt.first`, then sets the head."""

    head: Head | None
    """The head to store; None: the stream is gone. Its `length` still includes the removed entries."""
    receipt: Receipt
    fresh: bool
    """Everything stored before is removed: the stream was deleted, had expired, or did not exist."""
    remove: tuple[tuple[int, int], ...]
    """Ranges `start <= position < stop` to remove. Subtract the number of entries found there from `head.length`."""


def living(head: Head | None, now: int) -> Head | None:
    """Return the head unless it has expired."""
    if head is None or (head.expires_at is not None and head.expires_at <= now):
        return None
    return head


def is_news(head: Head | None, incarnation: str | None, next: int) -> bool:
    """Return True if a stream is not as a caller of `Backend.wait` knows it."""
    return (head.incarnation if head else None, head.next if head else 0) != (incarnation, next)


def check(change: Change) -> None:
    """Refuse a change outside its bounds, before anything is stored."""
    for entry in change.entries:
        _check_entry(entry)
    if not change.is_plain:
        _check_conditions(change)
        _check_head(change.labels, change.note)
    if change.origin is not None:
        _check_origin(change, change.origin)


def _check_entry(entry: bytes) -> None:
    if not isinstance(entry, bytes):
        raise InvalidError(f"an entry is bytes, not {type(entry).__name__}")
    if len(entry) > MAX_ENTRY_BYTES:
        raise InvalidError(
            f"an entry of {len(entry):,} bytes is over the limit of {MAX_ENTRY_BYTES:,}: store it as an artifact"
        )


def refusals(changes: Sequence[tuple[str, Change]]) -> list[InvalidError | None]:
    """Return, for each change of a stream, its refusal by `check` or `check_name`; None if it may be made."""
    found: list[InvalidError | None] = []
    for stream, change in changes:
        try:
            check_name(stream)
            check(change)
        except InvalidError as error:
            found.append(error)
        else:
            found.append(None)
    return found


def _check_conditions(change: Change) -> None:
    if change.op_id is not None:
        check_name(change.op_id, "an op_id")
    for name in ("expect", "revision", "base", "expires_at", "ttl", "drop_before", "cut_from"):
        number = getattr(change, name)
        if number is not None and (type(number) is not int or abs(number) > _LARGEST):
            raise InvalidError(f"{name}={shown(number)}: it must be an integer of at most 62 bits")
    if change.ttl is not None and (change.ttl < 0 or change.expires_at != KEEP):
        raise InvalidError(f"ttl={change.ttl}: it must be 0 or more, and without expires_at")
    if change.expires_at is not None and not MIN_MOMENT <= change.expires_at <= MAX_MOMENT:
        raise InvalidError(f"expires_at={change.expires_at}: it must be a moment of the years 1 to 9999")
    for blob in change.blobs:
        check_name(blob, "the id of a blob")
    if change.quiet and change.entries:
        raise InvalidError("a change with entries is not quiet: its time is that of the entries")


def _check_origin(change: Change, origin: Origin) -> None:
    bare = change._replace(op_id=None, expect=None, incarnation=None, revision=None, delete=False, cut_from=None)
    if bare._replace(blobs=(), cold=False) != Change(origin=origin):
        raise InvalidError("an origin goes with an op_id, conditions, delete, cut_from, blobs and cold alone")
    head = origin.head
    check_name(head.incarnation, "an incarnation")
    _check_head(head.labels, head.note)
    bounds = (head.first, head.next, head.revision)
    if not 0 <= head.first <= head.next or max(*bounds, abs(head.base)) > _LARGEST or head.revision < 0:
        raise InvalidError(f"an origin from {head.first} to {head.next}: these are no positions of a stream")
    moments = [head.created_at, *(entry.created_at for entry in origin.entries), head.updated_at]
    expires_at = head.updated_at if head.expires_at is None else head.expires_at
    if not all(MIN_MOMENT <= moment <= MAX_MOMENT for moment in (*moments, expires_at)):
        raise InvalidError("an origin has times outside the years 1 to 9999")
    if any(later < earlier for earlier, later in pairwise(moments[1:])):
        raise InvalidError("the times of an origin go back")
    positions = [head.first - 1, *(entry.position for entry in origin.entries), head.next]
    if any(later <= earlier for earlier, later in pairwise(positions)):
        raise InvalidError(f"the positions of an origin do not ascend from {head.first} to its end at {head.next}")
    for entry in origin.entries:
        _check_entry(entry.data)
    for op_id in {entry.op_id for entry in origin.entries} | origin.calls.keys():
        if op_id is not None:
            check_name(op_id, "an op_id")


def _check_head(labels: Mapping[str, str] | None, note: bytes | None) -> None:
    if not isinstance(note or b"", bytes):
        raise InvalidError(f"a note is bytes, not {type(note).__name__}")
    if labels or note:
        try:
            size = sum(len(key.encode()) + len(value.encode()) for key, value in (labels or {}).items())
        except (UnicodeEncodeError, AttributeError):
            raise InvalidError("labels must be text without lone surrogates") from None
        for what, length in (("labels", size), ("a note", len(note or b""))):
            if length > MAX_HEAD_BYTES:
                raise InvalidError(f"{what} of {length:,} bytes: the limit is {MAX_HEAD_BYTES:,}")


def check_entries(head: Head, window: Window, entries: Sequence[Entry]) -> None:
    """Check that the entries of a read are those that the head promises.

    A stream without gaps has an entry at every position of the window. Of a stream with gaps only the number of all
    entries is known, so the check needs a window around all of them.

    Raises:
        DamagedError: entries are missing, or there are too many.
    """
    start = max(head.base if window.start is None else window.start, head.first)
    stop = head.next if window.stop is None else min(window.stop, head.next)
    if head.length == head.next - head.first:
        count = max(stop - start, 0)
    elif start == head.first and stop == head.next:
        count = head.length
    else:
        return
    if window.limit is not None:
        count = min(count, max(window.limit, 0))
    found = len(entries)
    if window.max_bytes is not None and 0 < found < count and sum(len(one.data) for one in entries) >= window.max_bytes:
        count = found
    whole = found == count
    if whole and count and head.length == head.next - head.first:
        low = stop - count if window.newest else start
        whole = (entries[0].position, entries[-1].position) == (low, low + count - 1)
    if not whole:
        raise DamagedError(
            f"{head.name!r}: of {count:,} entries in this window {found:,} are there: restore the file from a backup"
        )


def repeat(known: Receipt, change: Change) -> Receipt:
    """Return the receipt of the first call for a repeated op_id (the idempotency key).

    Raises:
        InvalidError: the op_id belongs to a call with another number of entries. Use a new op_id for a new call.
    """
    # A repeated fork may carry more entries than the first: its source has grown meanwhile.
    if change.expect != 0 and change.origin is None and known.next - known.first != len(change.entries):
        raise InvalidError(
            f"op_id {change.op_id!r} already named a call with {known.next - known.first} entries, "
            f"this one has {len(change.entries)}: use a new op_id for a new call"
        )
    return known._replace(repeated=True)


def apply(name: str, stored: Head | None, change: Change, *, now: int, incarnation: Callable[[], str]) -> Effect:
    """Return the effect of a change on a stream.

    Args:
        stored: the head as it is stored, expired or not.
        now: microseconds since 1970. Time never goes back along a stream, whatever the clock does.
        incarnation: makes one that was never used before, for a stream that begins now.

    Raises:
        ConflictError: a condition does not hold.
    """
    head = living(stored, now)
    _meet(name, head, change)
    if change.origin is not None:
        return _copied(name, None if change.delete else head, change, change.origin)
    fresh = head is None or change.delete
    if head is not None:
        now = max(now, head.updated_at)
    expires_at = change.expires_at if change.ttl is None else moment_after(now, change.ttl)
    adds = bool(change.entries) or bool(change.labels) or bool(change.note) or expires_at not in (KEEP, None)
    if fresh and not adds:
        return Effect(None, Receipt(head.incarnation if head else "", 0, 0, now), True, ())
    if head is None or fresh:
        head = Head(name, incarnation(), 0, 0, 0, 0, 0, {}, b"", now, now, None)

    first, after = head.next, head.next + len(change.entries)
    kept = head.first
    if change.drop_before is not None:
        kept = max(kept, min(change.drop_before, first))
    cut = change.cut_from
    if cut is not None and cut <= kept:
        cut, kept = None, first  # nothing is left: a backend may hide all of it at once, and remove it later
    remove: tuple[tuple[int, int], ...] = ((head.first, kept),) if kept > head.first else ()
    if cut is not None and cut < first:
        remove += ((cut, first),)
    plain = not remove and change.labels is None and change.note is None
    plain = plain and change.base is None and expires_at == KEEP
    head = Head(
        name,
        head.incarnation,
        kept,
        after,
        head.length + len(change.entries),
        head.base if change.base is None else change.base,
        head.revision if plain else head.revision + 1,
        head.labels if change.labels is None else dict(change.labels),
        head.note if change.note is None else change.note,
        head.created_at,
        head.updated_at if change.quiet else now,
        head.expires_at if expires_at == KEEP else expires_at,
    )
    return Effect(head, Receipt(head.incarnation, first, after, now), fresh, remove)


def _copied(name: str, head: Head | None, change: Change, origin: Origin) -> Effect:
    wanted, entries = origin.head, origin.entries
    begin = entries[0].position if entries else wanted.next
    receipt = Receipt(wanted.incarnation, begin, wanted.next, wanted.updated_at)
    stored = wanted._replace(name=name, length=len(entries), labels=dict(wanted.labels))
    if head is None:
        return Effect(stored, receipt, True, ())
    cut = head.next if change.cut_from is None else min(change.cut_from, head.next)
    if head.incarnation != wanted.incarnation:
        raise ConflictError(f"{name!r} lives here with another content: delete it first", current=head.next)
    if wanted.first < head.first or begin < cut:
        raise ConflictError(f"{name!r} has other entries here: delete it first", current=head.next)
    ranges = ((head.first, min(wanted.first, head.next)), (max(cut, wanted.first), head.next))
    remove = tuple((start, stop) for start, stop in ranges if start < stop)
    return Effect(stored._replace(length=head.length + len(entries)), receipt, False, remove)


def ends_damaged(change: Change) -> bool:
    """Return True if a damaged head does not keep a backend from this change: a delete without a condition.

    Nothing of such a head is trusted, so the op_ids that only it remembers are forgotten.
    """
    return change == _DELETE


def placed(change: Change, receipt: Receipt) -> Sequence[Entry]:
    """Return the entries that a change adds, with their positions, times and op_ids."""
    if change.origin is not None:
        return change.origin.entries
    at, op_id = receipt.committed_at, change.op_id
    return [Entry(position, data, at, op_id) for position, data in enumerate(change.entries, receipt.first)]


def told_calls(origin: Origin) -> dict[str, Receipt]:
    """Return the receipt of each op_id of an origin: as its entries tell it, or as `Origin.calls` says."""
    found: dict[str, Receipt] = {}
    for entry in origin.entries:
        if entry.op_id is not None:
            first = found[entry.op_id].first if entry.op_id in found else entry.position
            found[entry.op_id] = Receipt(origin.head.incarnation, first, entry.position + 1, entry.created_at)
    return found | dict(origin.calls)


def _meet(name: str, head: Head | None, change: Change) -> None:
    following = head.next if head else 0
    if change.incarnation is not None and (head is None or head.incarnation != change.incarnation):
        raise ConflictError(f"{name!r} was deleted meanwhile", current=following)
    if change.expect is not None and change.expect != following:
        raise ConflictError(f"{name!r} is at {following}, not at {change.expect}", current=following)
    if change.revision is not None and change.revision != (head.revision if head else 0):
        raise ConflictError(f"{name!r} was changed meanwhile", current=following)
