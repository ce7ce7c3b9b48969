"""The records that calls take and return: messages, artifacts, task states, documents, and pages of lists.

All are copies: a change of a record changes nothing that is stored. Times are timezone-aware, in UTC.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import datetime, timedelta

__all__ = [
    "Artifact",
    "ArtifactInfo",
    "ChangedStream",
    "Changes",
    "ClaimedTask",
    "ContextInfo",
    "ContextRef",
    "Document",
    "DueRemoval",
    "Lease",
    "Links",
    "MessageEntry",
    "Page",
    "Retention",
    "RetentionRule",
    "Stats",
    "TaskInfo",
    "TaskState",
]

T = TypeVar("T")


def _without_defaults(record: Any) -> str:
    """Return the repr of a record without the fields that have their defaults."""
    shown = []
    for one in fields(record):
        value = getattr(record, one.name)
        default = one.default if one.default_factory is MISSING else one.default_factory()
        if one.repr and not (type(value) is type(default) and value == default):
            shown.append(f"{one.name}={value!r}")
    return f"{type(record).__name__}({', '.join(shown)})"


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. Iterate it; pass `next` as `after=` for the page that follows, until it is None."""

    items: list[T]
    next: str | None
    damaged: list[str] = field(default_factory=list)
    """The ids that the page leaves out, as their stored data is damaged. A call for one of them says more."""

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> T:
        return self.items[index]


@dataclass(frozen=True, slots=True)
class MessageEntry:
    """A stored message: its position, its time, and the op_id of the call that added it."""

    position: int
    message: dict[str, Any]
    created_at: datetime
    op_id: str | None


@dataclass(frozen=True, slots=True)
class Links:
    """The calls that a message opens and those that it answers, for `belongs_to=`.

    An id is a text or a number. None: the call has no id, and the order of the messages tells the call.
    """

    opens: Sequence[str | int | None] = ()
    answers: Sequence[str | int | None] = ()


@dataclass(frozen=True, slots=True)
class ContextRef:
    """One conversation in a list: its id, and the time at which a message was added or removed last."""

    context_id: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ContextInfo:
    """A conversation without its messages."""

    context_id: str
    count: int
    """The number of readable messages, including compacted ones that were kept."""
    next_position: int
    """The position of the next message: the value for `add_messages(expect=...)`."""
    compacted: int
    """Reads begin at this position: a summary, or nothing, stands for the messages below. 0: nothing was compacted."""
    metadata: dict[str, Any]
    created_at: datetime
    updated_at: datetime
    """The time at which a message was added or removed last. A compaction, an expiry and metadata of up to
    48 KiB do not change it; larger metadata, stored as an entry, do."""
    expires_at: datetime | None
    incarnation: str
    """The id of this life of the conversation. After a delete, the next message begins another one."""
    token: str = field(default="", repr=False)
    """Opaque; another one after any change. The value for `if_token=`."""


@dataclass(frozen=True, slots=True)
class ConversationSlice:
    """A conversation as it was at one moment: what is known of it, and its messages."""

    info: ContextInfo | None
    """None: there is no such conversation."""
    summary: dict[str, Any] | None
    """The summary that begins the window, as in `get_messages`; None: there is none."""
    entries: list[MessageEntry]
    """The messages behind the summary, oldest first."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """The messages as `get_messages` returns them, the summary first."""
        summary = [] if self.summary is None else [self.summary]
        return summary + [entry.message for entry in self.entries]


@dataclass(slots=True, kw_only=True, repr=False)
class ArtifactInfo:
    """One version of an artifact, without its content."""

    __repr__ = _without_defaults

    artifact_id: str
    context_id: str | None = None
    task_id: str | None = None
    name: str | None = None
    description: str | None = None
    mime_type: str | None = None
    """Guessed from the name, the id or the content if not given."""
    metadata: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    """1 for the first. Set by the store."""
    size: int = 0
    """Size of the content in bytes. Set by the store."""
    sha256: str = ""
    """SHA-256 of the content, in lower-case hexadecimal. Set by the store, checked on every whole read."""
    kind: str = "file"
    """"file" (bytes or text), "data" (a JSON value) or "dataset" (rows). Set by the store."""
    rows: int | None = None
    """Number of rows of a dataset. Set by the store."""
    state: str = "complete"
    """"building" while a live artifact without a version is being written, "failed" after its writer ended early,
    else "complete". Set by the store."""
    schema: dict[str, Any] | None = None
    """The JSON Schema that data must match, or the columns of a dataset. An update without a schema keeps it."""
    created_at: datetime | None = None
    """The time of this version. Set by the store."""
    expires_at: datetime | None = None
    """After this time the artifact is gone, with all its versions. Set by the store: see `ttl=` and `set_expiry`."""
    incarnation: str = field(default="", repr=False)
    """The id of this life of the artifact, so that an update after a delete is refused."""
    left_out: tuple[str, ...] = ()
    """The fields that a list leaves out, of a version described by over 64 KiB: they are None here, and of `metadata`
    only what `where=` selects by is here. `info` and `get` return them whole. Set by the store."""


@dataclass(slots=True, kw_only=True, repr=False)
class Artifact(ArtifactInfo):
    """A file, a text or a JSON value that an agent made. `bytes`, `str` and JSON are returned with their type."""

    content: Any = b""


@dataclass(slots=True, kw_only=True, repr=False)
class Document:
    """A JSON value by id. `data` is any JSON value, returned exactly as given."""

    __repr__ = _without_defaults

    document_id: str
    data: Any
    metadata: dict[str, Any] = field(default_factory=dict)
    version: int = 0
    """1 after the first put. Set by the store; pass the document as `expect=` to put over exactly this version."""
    created_at: datetime | None = None
    """The time of the first put. Set by the store."""
    updated_at: datetime | None = None
    """The time of the last change. Set by the store."""
    expires_at: datetime | None = None
    """After this time the document is gone."""
    incarnation: str = field(default="", repr=False)
    """The id of this life of the document. `expect=` of a deleted document never matches its successor."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to work on a task, until another worker claims it."""

    task_id: str
    owner: str
    token: int
    """A fencing token, greater than the token of every earlier lease. Pass it to the systems that the task changes."""
    expires_at: datetime
    """After this time others may claim the task. Until one does, the lease is still valid."""
    incarnation: str = field(default="", repr=False)
    """The id of this life of the task."""


class Stats(NamedTuple):
    """The counts of one opened backend, since it was opened."""

    commits: int
    """Stored changes."""
    conflicts: int
    """Commits refused by a condition: another writer was first. A store repeats most of them itself."""
    repeats: int
    """Commits of an op_id already stored. They had the answer of the first call."""
    failures: int
    """Calls without an answer: each raised UnavailableError."""
    slow_commits: int
    """Commits of over a second."""
    reads: int
    """Reads, looks at heads, and pages of lists."""
    damaged: int
    """Calls and list entries with a damaged stream."""
    waits: int
    """Waits for another process, for a free connection, for the pace of a bucket, or before a repeat."""
    wait_seconds: float
    """The seconds of all waits together."""
    retries: int
    """Requests without an answer, repeated or looked up. A driver's own repeats are not seen."""
    requests: dict[str, int]
    """SQLite and PostgreSQL: transactions, `write` and `read`. A bucket: `PUT`, `GET`, `LIST`, `DELETE`."""
    bytes_written: int
    """Bytes of stored entries, notes and blobs, before any compression."""
    bytes_read: int
    """Bytes of read entries and blobs, after any decompression."""


@dataclass(frozen=True, slots=True)
class Retention:
    """The bounds of data that is kept: of the versions of a task, or in a rule of `stores.rules`. None: no bound.

    With `tasks.save(retention=)`, the kept versions of a task are the newest, and those within `versions` and `age`.
    `Retention(versions=1)` keeps no history. A version out of bounds is no longer shown. Its bytes are removed by a
    later save, once no version within the bounds is stored as a difference to it.
    """

    versions: int | None = None
    """Number of newest versions of an artifact or a task."""
    age: timedelta | None = None
    """Maximum age of a message or a version. Under a rule, a stream without a change for so long goes whole."""
    count: int | None = None
    """Number of newest messages of a conversation. Only in a rule."""
    bytes: int | None = None
    """Bytes of the newest messages of a conversation as JSON, or of the contents of an artifact's newest versions.
    Only in a rule."""


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """A rule of `stores.rules`: the bounds of the streams that it selects."""

    kind: str
    """`messages`, `artifacts` or `tasks`."""
    retention: Retention
    prefix: str = ""
    """The beginning of their ids."""
    where: Mapping[str, Any] | None = None
    """Metadata that they have; None: any."""
    scope: str | None = None
    """The scope that they lie in; None: those in no scope."""


@dataclass(frozen=True, slots=True)
class DueRemoval:
    """The part of one stream outside a rule."""

    rule: RetentionRule
    id: str
    entries: int
    """The number of messages or versions that go."""
    whole: bool
    """True: the conversation, artifact or task goes with all it has."""


@dataclass(frozen=True, slots=True)
class ChangedStream:
    """A conversation, artifact, task or document of a feed, after its last change. Read it for the rest."""

    kind: str
    id: str
    token: str | None
    """Its state: any change gives it another one. Of a conversation it is `info().token`. None: the head is damaged."""
    updated_at: datetime
    """The time of the last change by which the feed is ordered."""


@dataclass(frozen=True, slots=True)
class Changes:
    """One page of a feed. Iterate it, handle its items, and keep `cursor` for the next call."""

    items: list[ChangedStream]
    cursor: str
    """Pass it as `after=`. It may be passed again, by any process and at any later time. Up to 100,000 characters."""
    more: bool
    """True: the next page is there now. False: nothing more is to be told now; the pass over all streams is over."""

    def __iter__(self) -> Iterator[ChangedStream]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(slots=True, kw_only=True, repr=False)
class TaskInfo:
    """A task without its data."""

    __repr__ = _without_defaults

    task_id: str
    context_id: str | None = None
    agent_id: str | None = None
    parent_task_id: str | None = None
    status: str = "working"
    metadata: dict[str, Any] = field(default_factory=dict)
    """A JSON object of your own. `list(where=...)` selects by its texts, numbers, booleans and None."""
    version: int = 0
    """1 after the first save. Set by the store; pass it as `expect=` to save only over the loaded version."""
    updated_at: datetime | None = None
    """The time of this version. In a list: the time of the last change, including claims. Set by the store."""
    expires_at: datetime | None = None
    """After this time the task is gone."""
    lease: Lease | None = None
    """The lease of the last claim that was not released. Set by the store; a save ignores it."""
    incarnation: str = field(default="", repr=False)
    """The id of this life of the task. `expect=` of a deleted task never matches its successor."""


@dataclass(slots=True, kw_only=True, repr=False)
class TaskState(TaskInfo):
    """The state of a run. `data` is any JSON value, returned exactly as given."""

    data: Any = field(default_factory=dict)
    steps: dict[str, Any] = field(default_factory=dict)
    """Results of steps recorded after this version, by step key; of the newest version only. Set by the store; a save
    ignores it."""


class ClaimedTask(NamedTuple):
    """A task of `tasks.work`: the newest state, and the lease to save it with."""

    state: TaskState
    lease: Lease
