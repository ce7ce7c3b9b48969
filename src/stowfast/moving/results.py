"""Results of a copy and of a verification."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from stowfast.names import check_call

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Copied", "Difference", "Verified", "reporter"]

D = TypeVar("D")


class Difference(NamedTuple):
    """A stream with a fault, and the fault."""

    stream: str
    reason: str


@dataclass
class Copied:
    """The result of a copy. It grows while the copy runs."""

    selected: int = 0
    """Selected streams of the source."""
    streams: int = 0
    """Streams written, whole or in part."""
    entries: int = 0
    """Entries written: messages, versions of artifacts and tasks, documents."""
    blobs: int = 0
    bytes: int = 0
    """Bytes of entries and blobs written."""
    already_there: int = 0
    """Streams already at the target."""
    checked: int = 0
    """Streams read back from the target and found equal."""
    total: int | None = None
    """Streams to look at, as counted before the first one; None: not counted, as with `where`."""
    deleted: int = 0
    """Streams deleted at a backup, since they are gone at the source."""
    differences: list[Difference] = field(default_factory=list)
    """Streams not copied, or come back different. They stay as they are at the target."""

    @property
    def complete(self) -> bool:
        """Whether the target has everything selected."""
        return not self.differences

    @property
    def settled(self) -> int:
        """Streams without more work."""
        return self.streams + self.already_there + len(self.differences)


@dataclass
class Verified:
    """The result of a verification. It grows while the verification runs."""

    streams: int = 0
    entries: int = 0
    blobs: int = 0
    bytes: int = 0
    """Bytes of entries and blobs read."""
    total: int | None = None
    """Streams to read, as counted before the first one; None: not counted, as with `where`."""
    kinds: dict[str, int] = field(default_factory=dict)
    """Streams of each kind."""
    damaged: list[Difference] = field(default_factory=list)
    digest: str = ""
    """A SHA-256 of all heads, entries and blobs: equal for two places with equal content."""

    @property
    def sound(self) -> bool:
        """Whether no damage was found."""
        return not self.damaged


def reporter(progress: Callable[[D], None] | None) -> Callable[[D], None]:
    """Return the function that is told of progress.

    Raises:
        InvalidError: it is no function.
    """
    if progress is None:
        return lambda _: None
    check_call(progress, "progress")
    return progress
