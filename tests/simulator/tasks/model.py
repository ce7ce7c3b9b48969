"""What a task should be: who holds it, its ledger, its versions. It goes on by the calls that took effect, one by one.

It reads what is stored with a decoder of its own, made from what the format says, and knows nothing of how the store
comes to write it.
"""

from __future__ import annotations

import json
import sys
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from tests.simulator.bucket import Violation

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from stowfast.abc import Head
    from stowfast.records import Retention
    from tests.simulator.tasks.calls import Call

__all__ = ["Bounds", "Hold", "Saved", "Step", "Task", "bounds_of", "check_whole", "note_of", "rests", "saved"]


_LONGEST = 46
"""Steps from a version to the whole one: 15 for each of three digits."""


class Hold(NamedTuple):
    """Who holds a task."""

    owner: str
    token: int
    until: int
    length: int
    op_id: str | None

    def ended(self, now: int) -> bool:
        """Its time is up, or it lies so far ahead that the clock was wrong."""
        return self.until <= now or self.until > now + self.length + 60_000_000


class Step(NamedTuple):
    """What was recorded, and the step of the scheduler at which it was."""

    result: Any
    at: int


class Bounds(NamedTuple):
    """How many versions stay: microseconds of age."""

    versions: int | None = None
    age: int | None = None


class Saved(NamedTuple):
    """A version."""

    call: Call
    text: bytes
    at: int
    """When, by the clock of whoever saved it."""
    base: int | None
    """The position of what it is made from."""


class Task(NamedTuple):
    """One life of a task between two changes."""

    incarnation: str
    holder: Hold | None
    greatest: int
    """Of the tokens of this life."""
    steps: Mapping[str, Step]
    keep: Bounds | None
    saved: Mapping[int, Saved]
    """By position, whichever stay."""
    gone: int
    """Versions below this position were out of bounds once, so they need not be there."""


class Note(NamedTuple):
    """What the head of a task says, as it is stored."""

    token: int
    holder: Hold | None
    steps: dict[str, Any]
    keep: Bounds | None


def note_of(head: Head) -> Note:
    """Read the note of a head."""
    found = json.loads(head.note or b"{}")
    holder, keep = found.get("holder"), found.get("keep")
    hold = None
    if holder is not None:
        hold = Hold(holder["owner"], holder["token"], holder["until"], holder["length"], holder.get("op_id"))
    bounds = None if keep is None else Bounds(keep.get("versions"), keep.get("age"))
    return Note(found.get("token", 0), hold, found.get("steps", {}), bounds)


def rests(head: Head, idle: int, now: int) -> bool:
    """Say whether a task was not changed for so long. A time far ahead says nothing: the clock was wrong."""
    return not idle or not now - idle < head.updated_at <= now + 60_000_000


def bounds_of(retention: Retention) -> Bounds:
    """Return a retention as the model has it."""
    return Bounds(retention.versions, None if retention.age is None else round(retention.age.total_seconds() * 1e6))


def saved(call: Call, entry: bytes, position: int, at: int, before: Mapping[int, Saved]) -> Saved:
    """Read the entry of a version.

    Raises:
        Violation: it is none, or does not fit what it is made from.
    """
    if entry[:1] != b"\x01" or zlib.crc32(entry[:-4]) != int.from_bytes(entry[-4:], "little"):
        raise Violation(f"{entry[:20]!r} is not a version")
    _, base, _, size, crc, splices, compressed, added, *_ = msgspec.msgpack.decode(entry[1:-4])
    whole = base in {-1, position}
    if not whole and base not in before:
        raise Violation(f"a version is made from {base + 1}, which never was")
    old = b"" if whole else before[base].text
    if compressed:
        around = _around(old, splices)
        dictionary = zstd.ZstdDict(around, is_raw=True).as_prefix if len(around) >= 8 else None
        try:
            added = zstd.ZstdDecompressor(zstd_dict=dictionary).decompress(added)
        except zstd.ZstdError as error:
            raise Violation(f"a version does not fit version {base + 1}, from which it is made") from error
    text, here, there = b"", 0, 0
    for kept, removed, more in [] if whole else splices:
        text += old[here : here + kept] + added[there : there + more]
        here, there = here + kept + removed, there + more
    text += added if whole else old[here:]
    if (len(text), zlib.crc32(text)) != (size, crc):
        raise Violation(f"a version of {len(text)} bytes says {size}, or another checksum")
    return Saved(call, text, at, None if whole else base)


def _around(old: bytes, splices: list[list[int]]) -> bytes:
    """Return each removed part of a text, with up to 32 KiB in all on either side; no byte comes twice."""
    reach = max(2**15 // max(len(splices), 1), 2**8)
    wanted, at = [False] * len(old), 0
    for kept, removed, _ in splices:
        start, at = at + kept, at + kept + removed
        for byte in range(max(start - reach, 0), min(at + reach, len(old))):
            wanted[byte] = True
    return bytes(byte for byte, taken in zip(old, wanted, strict=True) if taken)


def check_whole(name: str, task: Task, there: Collection[int], low: int) -> None:
    """Raise a Violation where a version from `low` on is not there, or something that it is made from."""
    whole: set[int] = set()
    for position in task.saved:
        if position < low:
            continue
        at: int | None = position
        for _ in range(_LONGEST):
            if at is None or at in whole:
                break
            if at not in there:
                raise Violation(f"{name!r}: version {position + 1} is made from {at + 1}, which is not there")
            whole.add(at)
            at = task.saved[at].base
        else:
            raise Violation(f"{name!r}: version {position + 1} takes over {_LONGEST} steps")
