"""The head note of a task: the lease, the recorded steps, and the retention of versions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from stowfast.errors import DamagedError, InvalidError
from stowfast.records import Lease, Retention
from stowfast.stores.codec import MAX_CLOCK_SKEW, check_integers, decode, from_duration, to_time

if TYPE_CHECKING:
    from stowfast.abc import Head

__all__ = ["KIND", "Holder", "Keep", "TaskNote", "id_of", "keep_of", "kept_by", "lease_of"]

KIND: Final = "tasks"
_MAX_STEPS_BYTES: Final = 48 * 2**10
"""A note may have 64 KiB. The rest is room for a lease with any names, so that a task can always be claimed."""


class Holder(msgspec.Struct, frozen=True, omit_defaults=True):
    """The owner of a task, and the end of the lease."""

    owner: str
    token: int
    until: int
    """Microseconds since 1970, by the clock of the backend."""
    length: int
    """Microseconds from the claim, or the last renewal, to `until`."""
    op_id: str | None = None
    """The op_id of the claim, to recognize a repeat."""

    def ended(self, now: int) -> bool:
        """Return True if others may claim the task.

        A lease that ends later than now plus its own length was made under a clock that was ahead: it has ended, too.
        """
        return not now < self.until <= now + self.length + MAX_CLOCK_SKEW


class Keep(msgspec.Struct, frozen=True, omit_defaults=True):
    """`Retention`, as it is stored."""

    versions: int | None = None
    age: int | None = None
    """Microseconds."""


class TaskNote(msgspec.Struct, frozen=True, omit_defaults=True):
    """The head note of a task."""

    token: int = 0
    """The greatest token ever given; kept after a release."""
    holder: Holder | None = None
    steps: dict[str, msgspec.Raw] = {}
    """Results by step key, as JSON."""
    keep: Keep | None = None

    @classmethod
    def read(cls, head: Head | None) -> TaskNote:
        """Decode the note of a head; an empty note if there is none.

        Raises:
            DamagedError: it is not the note of a task.
        """
        if head is None or not head.note:
            return _EMPTY
        try:
            return _decoder.decode(head.note)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise DamagedError(f"{head.name}: the note is not one of a task") from error

    def write(self) -> bytes:
        """Return the bytes for `Change.note`."""
        return b"" if self == _EMPTY else _encode(self)

    def with_step(self, key: str, result: bytes) -> TaskNote:
        """Return the note with one more result, as JSON.

        Raises:
            InvalidError: the results would have over 48 KiB.
        """
        steps = {**self.steps, key: msgspec.Raw(result)}
        size = len(_encode(steps))
        if size > _MAX_STEPS_BYTES:
            raise InvalidError(
                f"the steps recorded since the last save have {size:,} bytes, the limit is {_MAX_STEPS_BYTES:,}: "
                "save the task, which covers them; or keep a large result as an artifact, and record its id"
            )
        return msgspec.structs.replace(self, steps=steps)

    def encoded(self) -> dict[str, bytes]:
        """Return the recorded results, each as JSON."""
        return {key: bytes(result) for key, result in self.steps.items()}

    def results(self, where: str) -> dict[str, Any]:
        """Return the recorded results."""
        return {key: decode(bytes(result), f"{where}, step {key!r}") for key, result in self.steps.items()}


def id_of(head: Head) -> str:
    """Return the task id of a stream."""
    return head.name.removeprefix(f"{KIND}/")


def lease_of(head: Head, note: TaskNote) -> Lease | None:
    """Return the lease that was not released, expired or not."""
    holder = note.holder
    if holder is None:
        return None
    return Lease(id_of(head), holder.owner, holder.token, to_time(holder.until, head.name), head.incarnation)


def keep_of(retention: Retention) -> Keep:
    """Return a retention as it is stored.

    Raises:
        InvalidError: it is none, or keeps less than the newest version.
    """
    if not isinstance(retention, Retention):
        raise InvalidError(f"retention must be a stowfast.Retention, not {type(retention).__name__}")
    check_integers(versions=retention.versions)
    if retention.count is not None or retention.bytes is not None:
        raise InvalidError("a task is kept by versions= and age=: count= and bytes= are for rules of other kinds")
    if retention.versions is not None and retention.versions < 1:
        raise InvalidError(f"Retention(versions={retention.versions}): the newest version always stays, so 1 or more")
    return Keep(retention.versions, None if retention.age is None else from_duration(retention.age, "age"))


def kept_by(keep: Keep | None, default: Retention) -> Keep:
    """Return the retention of a task: its own, else that of the store."""
    return keep if keep is not None else keep_of(default)


_EMPTY: Final = TaskNote()
_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(TaskNote)
