"""The stores in memory, by the names people look for: for tests and trials, not for production.

Nothing outlives the process. `stowfast.open("memory:")` gives all three together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.backends.memory import MemoryBackend
from stowfast.stores import Artifacts, Messages, Tasks

if TYPE_CHECKING:
    from stowfast.records import Retention

__all__ = ["InMemoryArtifactStore", "InMemoryMessageStore", "InMemoryTaskStateStore"]


class InMemoryMessageStore(Messages):
    """Conversations in this process's memory. Not for production: nothing outlives the process."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())


class InMemoryArtifactStore(Artifacts):
    """Artifacts in this process's memory. Not for production: nothing outlives the process."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())


class InMemoryTaskStateStore(Tasks):
    """Task states in this process's memory. Not for production: nothing outlives the process."""

    def __init__(self, *, retention: Retention | None = None) -> None:
        super().__init__(MemoryBackend(), retention=retention)
