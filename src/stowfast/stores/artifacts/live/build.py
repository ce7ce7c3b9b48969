"""The stored form of a live build: a stream of pieces beside the artifact, and a head note with its state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Self

from stowfast.errors import DamagedError, InvalidError, shown
from stowfast.stores.codec import MAX_CLOCK_SKEW, check_given, decode, encode_head, stream_name

if TYPE_CHECKING:
    from stowfast.abc import Head

__all__ = ["HEARTBEAT", "REMAINS", "SILENCE", "Build", "check_batch", "later", "live_stream_of"]

SILENCE: Final = 30.0
"""Seconds without a heartbeat, by the backend's clock, after which a writer counts as dead."""

HEARTBEAT: Final = 10.0
"""Seconds after which an idle writer sends a heartbeat."""

REMAINS: Final = 3_600.0
"""Seconds for which a failed build keeps its reason, before a sweep may remove it."""


_MAX_BATCH_BYTES: Final = 2**23


class Build(NamedTuple):
    """The head note of a live build."""

    id: str
    op_id: str
    """The op_id of the version, by which followers find it."""
    after: int
    """How many versions there were when it began."""
    at: int
    """The time of the last heartbeat, by the backend's clock."""
    size: int = 0
    """Bytes visible to followers."""
    failed: str = ""
    """The reason of the end, if the writer could store it."""

    @classmethod
    def read(cls, head: Head) -> Self:
        """Decode the note of a head.

        Raises:
            DamagedError: it is not a live build.
        """
        found = decode(head.note, head.name)
        try:
            build = cls(**found)
        except TypeError as error:
            raise DamagedError(f"{head.name}: the note is not one of a live build") from error
        numbers, texts = (build.after, build.at, build.size), (build.id, build.op_id, build.failed)
        if not all(isinstance(one, int) for one in numbers) or not all(isinstance(one, str) for one in texts):
            raise DamagedError(f"{head.name}: the note is not one of a live build")
        return build

    def write(self) -> bytes:
        """Return the bytes for `Change.note`."""
        return encode_head(self._asdict(), "what describes a live build")

    def state(self, now: int) -> str:
        """Return "building" or "failed", at a moment of the backend's clock."""
        return "failed" if self.failed or self.patience(now) <= 0 else "building"

    def patience(self, now: int) -> float:
        """Return the seconds until the writer counts as dead.

        A heartbeat further ahead than clocks differ was made under a clock that was wrong: it tells nothing.
        """
        return 0.0 if self.at > now + MAX_CLOCK_SKEW else SILENCE - (now - self.at) / 1e6

    @property
    def ending(self) -> str:
        """Return the reason of a failed build."""
        why = f"ended with {self.failed}" if self.failed else f"has not been heard of for {SILENCE:.0f} seconds"
        return f"its writer {why}, after {self.size:,} bytes"


def check_batch(flush_bytes: int, flush_seconds: float) -> None:
    """Check the size and the age of a batch of pieces.

    Raises:
        InvalidError: one is out of its bounds.
    """
    check_given(flush_bytes=flush_bytes)
    if not 1 <= flush_bytes <= _MAX_BATCH_BYTES:
        raise InvalidError(f"flush_bytes={shown(flush_bytes)}: it is 1 to {_MAX_BATCH_BYTES:,}")
    seconds: object = flush_seconds
    if not isinstance(seconds, int | float) or not seconds >= 0:
        raise InvalidError(f"flush_seconds={shown(flush_seconds)}: it is a number of seconds, 0 or more")


def live_stream_of(artifact_id: str) -> str:
    """Return the live stream of an artifact, its id checked."""
    return stream_name("live", "artifact_id", artifact_id)


def later(now: int, seconds: float) -> int:
    """Return a moment some seconds later, in microseconds."""
    return now + int(seconds * 1e6)
