"""The records people hold in their hands: messages as stored, artifacts, task states, and pages of lists.

All are copies: changing one changes nothing that is stored. Times are timezone-aware, in UTC.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime, timedelta

__all__ = [
    "Artifact",
    "ArtifactInfo",
    "ContextInfo",
    "ContextRef",
    "Lease",
    "MessageEntry",
    "Page",
    "Retention",
    "TaskInfo",
    "TaskState",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. Iterate it; pass `next` as `after=` for the page that follows, until it is None."""

    items: list[T]
    next: str | None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> T:
        return self.items[index]


@dataclass(frozen=True, slots=True)
class MessageEntry:
    """A message as it is stored: where it stands, when it came, and the op_id of the call that added it."""

    position: int
    message: dict[str, Any]
    created_at: datetime
    op_id: str | None


@dataclass(frozen=True, slots=True)
class ContextRef:
    """One line of `contexts()`: what every place knows without a request for each conversation."""

    context_id: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ContextInfo:
    """What is known of a conversation without reading its messages."""

    context_id: str
    count: int
    """How many messages can be read, the compacted ones that were kept included."""
    next_position: int
    """The position that the next message gets: what `add_messages(expect=...)` is compared with."""
    compacted: int
    """Messages below this position are stood for by a summary; 0 where there is none."""
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    incarnation: str
    """One life of the conversation: a deleted one that is begun again has another."""


@dataclass(slots=True, kw_only=True)
class ArtifactInfo:
    """One version of an artifact, without its content."""

    artifact_id: str
    context_id: str | None = None
    task_id: str | None = None
    name: str | None = None
    description: str | None = None
    mime_type: str | None = None
    """Guessed from the name, the id or the content where it is not given."""
    metadata: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    """1 for the first. Set by the store."""
    size: int = 0
    """Of the content, in bytes. Set by the store."""
    sha256: str = ""
    """Of the content's bytes, in lower-case hexadecimal. Set by the store, checked on every whole read."""
    kind: str = "file"
    """"file" (bytes or text), "data" (a JSON value) or "dataset" (rows). Set by the store."""
    rows: int | None = None
    """Of a dataset. Set by the store."""
    state: str = "complete"
    """"building" while a live artifact is written that has no version yet, "failed" where its writer did not finish
    it, else "complete". Set by the store."""
    schema: dict[str, Any] | None = None
    """Of data a JSON Schema that it is held to; of a dataset its columns. An update that gives none keeps it."""
    created_at: datetime | None = None
    """When this version was stored. Set by the store."""
    incarnation: str = field(default="", repr=False)
    """The life of the artifact this version belongs to, so that an update of a deleted one is refused."""


@dataclass(slots=True, kw_only=True)
class Artifact(ArtifactInfo):
    """A file, a text or a JSON value that an agent made. `bytes`, `str` and JSON come back as what they were."""

    content: Any = b""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to go on with a task, until somebody else has it."""

    task_id: str
    owner: str
    token: int
    """Greater than that of every lease before. Hand it to whatever the task changes outside, to be fenced there too."""
    expires_at: datetime
    """From this moment on others may claim the task. Until one does, the lease still holds."""
    incarnation: str = field(default="", repr=False)
    """The life of the task that was claimed."""


@dataclass(frozen=True, slots=True)
class Retention:
    """How many versions of a task are kept, besides the newest: those that are within both bounds.

    `Retention(versions=1)` keeps no history. What is out of bounds is not shown any more; its bytes go whenever a save
    stores a whole version, with all that no version within the bounds is made from.
    """

    versions: int | None = None
    """So many of the newest; None: all."""
    age: timedelta | None = None
    """Those saved within this time; None: all."""


@dataclass(slots=True, kw_only=True)
class TaskInfo:
    """A task as a list shows it, without its data."""

    task_id: str
    context_id: str | None = None
    agent_id: str | None = None
    parent_task_id: str | None = None
    status: str = "working"
    version: int = 0
    """1 after the first save. Set by the store; pass it as `expect=` to save only over what was loaded."""
    updated_at: datetime | None = None
    """When this version was saved. Set by the store. In a list: when the task was changed last, by a claim too."""
    expires_at: datetime | None = None
    """From this moment on the task is gone."""
    lease: Lease | None = None
    """Who claimed the task last and has not released it. Set by the store; a save does not look at it."""
    incarnation: str = field(default="", repr=False)
    """The life of the task this state was loaded from: an `expect=` of a deleted one never fits its successor."""


@dataclass(slots=True, kw_only=True)
class TaskState(TaskInfo):
    """Where a run stood: `data` is any JSON value, returned exactly as given."""

    data: Any = field(default_factory=dict)
    steps: dict[str, Any] = field(default_factory=dict)
    """What was recorded after this version and is not covered by it, by step key. Set by the store, of the newest
    version; a save does not look at it."""
