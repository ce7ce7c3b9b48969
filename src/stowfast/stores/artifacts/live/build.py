"""A live build as it is stored: a stream of pieces of its own beside the artifact, and a note that says how it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, Self

from stowfast.errors import DamagedError
from stowfast.stores.codec import decode, encode_head, stream_name

if TYPE_CHECKING:
    from stowfast.abc import Head

__all__ = ["REMAINS", "SIGN_OF_LIFE", "SILENCE", "Build", "later", "live_stream_of"]

SILENCE: Final = 30.0
"""Seconds without a sign of life, by the clock of the place, after which a writer counts as dead."""

SIGN_OF_LIFE: Final = 10.0
"""Seconds after which a writer that has nothing to write says that it lives."""

REMAINS: Final = 3_600.0
"""Seconds for which a failed build can be asked what became of it, before a sweep may collect it."""


class Build(NamedTuple):
    """What the note of a live stream says."""

    id: str
    op_id: str
    """Of the version that it becomes: by this a follower finds it, whatever was stored since."""
    after: int
    """How many versions there were when it began."""
    at: int
    """When its writer has last said that it lives, by the clock of the place."""
    size: int = 0
    """Bytes that can be followed."""
    failed: str = ""
    """What ended it, where its writer could still say so."""

    @classmethod
    def read(cls, head: Head) -> Self:
        """Read what `write` left in a head.

        Raises:
            DamagedError: it is no live build.
        """
        found = decode(head.note, head.name)
        try:
            return cls(**found)
        except TypeError as error:
            raise DamagedError(f"{head.name}: the note is not one of a live build") from error

    def write(self) -> bytes:
        """Return the bytes for `Change.note`."""
        return encode_head(self._asdict(), "what describes a live build")

    def state(self, now: int) -> str:
        """Return "building" or "failed", as it is at a moment of the place's clock."""
        return "failed" if self.failed or self.patience(now) <= 0 else "building"

    def patience(self, now: int) -> float:
        """Return the seconds for which the writer may still be silent."""
        return SILENCE - (now - self.at) / 1e6

    @property
    def ending(self) -> str:
        """Say what ended a build that failed."""
        why = f"ended with {self.failed}" if self.failed else f"has not been heard of for {SILENCE:.0f} seconds"
        return f"its writer {why}, after {self.size:,} bytes"


def live_stream_of(artifact_id: str) -> str:
    """Return the stream of an artifact that is being written, its id checked."""
    return stream_name("live", "artifact_id", artifact_id)


def later(now: int, seconds: float) -> int:
    """Return a moment some seconds later, as a place counts time."""
    return now + int(seconds * 1e6)
