"""The interfaces: `Backend`, and the two methods of each store.

The stores (messages, artifacts, tasks, documents) are written once, above `Backend`. The backends (memory, SQLite,
object storage, PostgreSQL) are written below it. Implement `Backend` to add a backend. Implement `MessageStore`,
`ArtifactStore` or `TaskStateStore` to bring a store of your own.

A *stream* is a named sequence of immutable entries that grows at the end. Its small *head* describes it. A conversation
is a stream of messages. A task is a stream of versions, the newest of which is its state; a document has only its
newest. An artifact is a stream of versions, with large content in *blobs* beside it. Backends store bytes and do not
interpret them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from stowfast.blocking import outcomes
from stowfast.counts import Counts
from stowfast.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
    from datetime import timedelta

    from stowfast.errors import StowfastError
    from stowfast.records import Artifact, TaskState

__all__ = [
    "ALL", "KEEP", "MAX_ENTRY_BYTES", "MAX_HEAD_BYTES", "MAX_NAME_BYTES", "OPERATIONS_REMEMBERED",
    "READS_TOGETHER", "ArtifactStore",
    "Backend", "Change", "Entry", "Head", "Listed", "Listing", "MessageStore", "Origin", "Query", "Receipt", "Slice",
    "Swept", "TaskStateStore", "Window",
]  # fmt: skip

KEEP: Final = -1
"""For `Change.expires_at`: the time of expiry stays as it is."""

MAX_NAME_BYTES: Final = 1_200
"""The longest stream name, as UTF-8."""

MAX_ENTRY_BYTES: Final = 64 * 2**20
"""The largest entry. Anything larger is an artifact."""

MAX_HEAD_BYTES: Final = 64 * 2**10
"""The largest note, and the largest sum of labels. On object storage every commit writes the head anew."""

OPERATIONS_REMEMBERED: Final = 64
"""The number of newest op_ids that a stream remembers after their entries are gone."""

READS_TOGETHER: Final = 32
"""The number of reads of a `read_many` that run side by side."""


class Head(NamedTuple):
    """A stream without its entries. Times are microseconds since 1970, UTC."""

    name: str
    incarnation: str
    """The id of this life of the stream. A stream begun again after a delete or expiry has another one."""
    first: int
    """The lowest position that was not dropped. A cut of all entries drops them: it is `next` of the head before."""
    next: int
    """The position of the next entry. Never goes back within an incarnation."""
    length: int
    """The number of readable entries. Less than `next - first` after entries were cut off the end."""
    base: int
    """The start of a read without `start`. The note replaces the entries below."""
    revision: int
    """Grows with every change that is not a plain append. Guards labels, note, cuts and drops."""
    labels: dict[str, str]
    """Text pairs for `Query.where`."""
    note: bytes
    """The store's small document in the head."""
    created_at: int
    updated_at: int
    """The time of the last change that was not quiet."""
    expires_at: int | None


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One stored entry. `created_at` is microseconds since 1970, UTC, and never goes back along a stream."""

    position: int
    data: bytes
    created_at: int
    op_id: str | None


class Window(NamedTuple):
    """The entries that a read returns: those at `start <= position < stop`.

    At most `limit` of them, and none after the entry with which `max_bytes` of data is reached: so at least one comes,
    whatever its size. Counted from the front, or with `newest` from the end; always returned in ascending order.
    """

    start: int | None = None
    """None: `Head.base`."""
    stop: int | None = None
    limit: int | None = None
    newest: bool = False
    max_bytes: int | None = None
    seen: Head | None = None
    """The head of an earlier read. The answer may be that of any moment since: a bucket need not ask for its head."""


ALL: Final = Window()
"""Every entry from `Head.base` on."""


class Query(NamedTuple):
    """The streams of a listing: their name begins with `prefix`, and their labels hold every pair of `where`."""

    prefix: str
    where: Mapping[str, str] | None = None
    order: Literal["name", "recent"] = "name"
    """By name (code points), or the last changed first."""
    after: str | None = None
    """`Listing.after` of the page before; None: the first page."""
    limit: int = 100
    heads: bool = False
    """Return the head of each stream too, for less than one request each."""


class Slice(NamedTuple):
    """Entries in ascending order and the head they were read under, at one moment. No head: no such stream."""

    head: Head | None
    entries: list[Entry]


class Listed(NamedTuple):
    """One stream of a listing."""

    name: str
    updated_at: int
    """The time of the last change that was not quiet, by the backend's clock: the time by which the list is ordered.

    A bucket's clock may count whole seconds; within one the times of the heads order the streams."""
    head: Head | None = None
    """The head at some moment of the call, for a query with `heads`."""
    damaged: bool = False
    """The stored head is not as it was written, and `heads` and `read` raise DamagedError for this stream."""


class Listing(NamedTuple):
    """A page of a listing. `after` asks for the next page; None: this was the last."""

    streams: list[Listed]
    after: str | None


class Receipt(NamedTuple):
    """The result of a commit. Its entries have the positions `first` to `next - 1`, in the order given."""

    incarnation: str
    first: int
    next: int
    committed_at: int
    repeated: bool = False
    """The op_id was known: nothing was added, and this is the receipt of the first call."""


class Swept(NamedTuple):
    """The amounts that a sweep removed, or that a dry run would remove."""

    streams: int
    blobs: int
    bytes: int = 0
    """Their size and that of other leftovers, about. 0: unknown to this backend."""
    entries: int = 0
    """Messages and versions outside the rules of retention, those of removed streams included. A backend has none."""


class Origin(NamedTuple):
    """A stream as it is in another place, or its next part: for `Change.origin`."""

    head: Head
    """The head to store. `next` is the position behind this part. Its name and length are not read."""
    entries: Sequence[Entry] = ()
    """Whole calls, in ascending order. Positions may have gaps; positions, times and op_ids stay as they are."""
    calls: Mapping[str, Receipt] = MappingProxyType({})
    """The receipts that the entries do not tell, by op_id: those of `Backend.remembered`."""


class Change(NamedTuple):
    """One atomic change of a stream: conditions, then removals, then additions. All of it happens, or nothing.

    Conditions (None: no condition). A condition that fails is a ConflictError:
        expect: the position of the next entry; 0 for a stream without entries.
        incarnation: `Head.incarnation`, so that a reader of a deleted stream cannot write to its successor.
        revision: `Head.revision`, so that of two changes of labels, two cuts or two drops only one wins; 0 for a
            stream that does not exist.

    Removals:
        delete: removes everything; additions begin a new incarnation at position 0.
        drop_before: removes entries below this position (retention).
        cut_from: removes entries from this position on (undo). Their positions are not used again. If none is left, it
            counts as `drop_before` for all of them.

    Additions:
        entries: appended in order, at consecutive positions.
        blobs: ids from `write_blob`. A blob lives as long as one of these entries.
        labels: replaces all labels. None keeps them.
        note: replaces the note. None keeps it.
        base: moves `Head.base`. None keeps it.
        expires_at: replaces the time of expiry; None removes it, `KEEP` keeps it.
        ttl: replaces the time of expiry by the time of this commit plus so many microseconds, by the backend's clock.
            Not together with `expires_at`.
        quiet: `Head.updated_at` stays, so that the stream keeps its place in a list by recency. Not with entries, and
            without effect on a stream that begins.
        cold: a hint that the entries are seldom read, so that a backend may store them at less cost.
        origin: the stream becomes as it is in another place. Only for a stream that does not live here, or to continue
            one of the same incarnation: another one is a ConflictError. Goes with op_id, conditions, `delete`,
            `cut_from`, `blobs` and `cold` alone. Entries below `origin.head.first` are removed.

    `op_id` is the idempotency key of the call within its stream. A repeat adds nothing, ignores its conditions, and
    returns the receipt of the first call. A repeat with another number of entries is an InvalidError; only a change
    with `expect=0`, which begins a stream, may have more entries than the first time.
    """

    entries: Sequence[bytes] = ()
    op_id: str | None = None
    expect: int | None = None
    incarnation: str | None = None
    revision: int | None = None
    labels: Mapping[str, str] | None = None
    note: bytes | None = None
    base: int | None = None
    expires_at: int | None = KEEP
    delete: bool = False
    drop_before: int | None = None
    cut_from: int | None = None
    blobs: Sequence[str] = ()
    cold: bool = False
    ttl: int | None = None
    origin: Origin | None = None
    quiet: bool = False

    @property
    def is_plain(self) -> bool:
        """The change only appends entries: no condition, no op_id, no removal, no other addition."""
        return self.op_id is None and self == (self.entries, *_NOTHING_ELSE)


_, *_NOTHING_ELSE = Change()


class Backend(ABC):
    """Stores streams and blobs.

    Eleven methods are required. `blob_url` is for backends with links, `commit_many` and `read_many` for backends with
    a cheaper way to do many at once.

    The promise: **a commit that was acknowledged is never lost, doubled or reordered**, under concurrent writers in
    many processes, crashes and lost answers. `stowfast.semantics.apply` is the meaning of a `Change`, as a pure
    function: a backend loads a head, calls it, and stores its effect atomically.

    An expired stream (`expires_at` has passed, by the backend's clock) is a deleted stream before its sweep: no method
    shows it, and a commit begins a new incarnation.

    Every method raises UnavailableError when the backend gives no answer, and DamagedError when stored bytes do not
    decode. Methods may be called from several tasks at once. A cancelled call has its whole effect or none.
    """

    _counts: Counts
    in_place: bool = False
    """True: every await goes through `stowfast.blocking`, so the sync face runs this backend in the calling thread."""

    @property
    def counts(self) -> Counts:
        """The counts of this opening, for `Stores.stats`.

        `@counted` before the class of a backend of your own counts its calls; without it, the counts stay 0.
        """
        try:
            return self._counts
        except AttributeError:
            vars(self).setdefault("_counts", Counts())  # in one step: two threads may ask first
            return self._counts

    @classmethod
    async def open(cls, *args: Any, **options: Any) -> Backend:
        """Open the backend of a URL: `open(url, **options)`. `stowfast.open` calls it for the schemes of this class.

        A backend that has a scheme overrides this and names its options as keyword parameters, each of which also
        takes text, since a URL's query has text only. An entry point of the group `stowfast.backends` maps a scheme
        to the class: `myscheme = "mypackage.backend:MyBackend"`. A wrapper has no scheme and leaves this as it is.

        Raises:
            InvalidError: the URL or an option is wrong.
            UnsupportedError: this class has no URL.
            UnavailableError: the backend gives no answer.
        """
        raise UnsupportedError(f"{cls.__name__} has no URL: make it in Python")

    @classmethod
    def option_names(cls, scheme: str) -> Sequence[str]:
        """Return the names of the options that `open` takes for a scheme: its keyword parameters, if not overridden."""
        import inspect

        return [name for name in inspect.signature(cls.open).parameters if name != "url"]

    @abstractmethod
    async def commit(self, stream: str, change: Change) -> Receipt:
        """Make one change, durably, before returning.

        Concurrent commits to a stream happen one after the other; a later one sees all of an earlier one. The backend
        remembers an op_id while its entries are in the stream, and the newest `OPERATIONS_REMEMBERED` after that, also
        of a deleted stream: a stalled writer that repeats its call adds nothing.

        Raises:
            ConflictError: a condition fails, or a blob was collected meanwhile; nothing was stored.
            InvalidError: the name or the change is outside its bounds; nothing was stored.
            UnavailableError: the change may be stored. Repeat the call with the same op_id.
        """

    async def commit_many(self, changes: Sequence[tuple[str, Change]]) -> list[Receipt | StowfastError]:
        """Make changes of any streams, and return the receipt or the error of each, in the given order.

        Each change is atomic by itself and may fail by itself. Changes of one stream are made in the given order. A
        backend makes them together where that is cheaper: SQLite in one transaction, a bucket with one PUT for each
        stream, side by side. The default calls `commit` for each change, and handles the streams side by side.
        """
        found: dict[int, Receipt | StowfastError] = {}
        by_stream: dict[str, list[int]] = {}
        for number, (stream, _) in enumerate(changes):
            by_stream.setdefault(stream, []).append(number)

        async def commit_in_order(numbers: list[int]) -> None:
            for number in numbers:
                found[number] = (await outcomes([self.commit(*changes[number])]))[0]

        await outcomes(map(commit_in_order, by_stream.values()))
        return [found[number] for number in range(len(changes))]

    async def read_many(self, reads: Sequence[tuple[str, Window]]) -> list[Slice | StowfastError]:
        """Read several streams, and return the slice or the error of each, in the given order.

        Each read is of one moment, and several reads may be of different moments. The default calls `read` for each,
        `READS_TOGETHER` at a time.
        """
        found: list[Slice | StowfastError] = []
        for start in range(0, len(reads), READS_TOGETHER):
            group = reads[start : start + READS_TOGETHER]
            found += await outcomes(self.read(stream, window) for stream, window in group)
        return found

    @abstractmethod
    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Read the entries of a window and the head, at one moment. Entries outside the window are not read.

        Sees every commit that was acknowledged before the call. A window past the end is an empty slice.
        """

    @abstractmethod
    async def remembered(self, stream: str) -> dict[str, Receipt]:
        """Return the receipts that the entries of a stream do not tell, by op_id.

        These are the remembered calls without entries, of an earlier incarnation, or with a part of their entries
        removed. A copy of the stream needs them, so that a repeated call adds nothing to it either.
        """

    @abstractmethod
    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Return the head of each stream in the given order; None for a stream that does not exist."""

    @abstractmethod
    async def streams(self, query: Query) -> Listing:
        """List streams, one page at a time. A stream with a damaged head is listed as damaged, and hides no other.

        While streams change, paging by name shows every stream that existed throughout; paging by recency may miss or
        repeat a stream that changed.

        Raises:
            InvalidError: `after` is not the cursor of a listing in this order.
        """

    @abstractmethod
    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        """Wait until the incarnation or `next` of the stream differs from these, for `timeout` seconds at most.

        Returns True when they differ, at once if they already do. Never misses a change made before or during the call,
        in any process.
        """

    @abstractmethod
    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        """Store the chunks as one immutable blob beside the stream and return its id, in constant memory.

        The blob is invisible until a commit names it in `Change.blobs`. Until then, also after an exception, a
        cancellation or a crash, it is an orphan that `sweep` may remove. A commit of a removed blob is a ConflictError.
        """

    @abstractmethod
    def read_blob(self, stream: str, blob: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Stream the bytes `start <= offset < stop` of a committed blob, in constant memory.

        Raises:
            NotFoundError: no entry of this stream refers to the blob.
        """

    async def blob_url(self, stream: str, blob: str, *, expires: timedelta) -> str:
        """Return a URL from which anyone can GET a committed blob, until `expires` or the credentials end.

        Raises:
            UnsupportedError: this backend has no links or no credentials to sign them. The default: always.
            InvalidError: `expires` is not from a second to seven days.
            NotFoundError: no entry of this stream refers to the blob.
        """
        raise UnsupportedError("this backend has no links: read the content, or store it on object storage")

    @abstractmethod
    async def now(self) -> int:
        """Return the time by the backend's clock, or by this machine's if it has none: microseconds since 1970."""

    @abstractmethod
    async def sweep(self, *, dry_run: bool = False) -> Swept:
        """Remove expired streams and orphaned blobs for good. Safe beside every other call.

        An orphan stays for a day, so that a running upload can finish; no promise depends on that day. A dry run
        changes nothing and returns the amounts that a sweep would remove.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish the running commits, then release all resources. A second close does nothing."""


@runtime_checkable
class MessageStore(Protocol):
    """A conversation history in two methods: all that a class needs to be used as a message store."""

    async def get_messages(self, context_id: str) -> list[dict[str, Any]]:
        """Return all messages of a conversation, oldest first, exactly as given; [] for an unknown conversation."""

    async def add_message(self, context_id: str, message: dict[str, Any]) -> object:
        """Add a message at the end. After the return, every `get_messages` has it once, in its place."""


@runtime_checkable
class ArtifactStore(Protocol):
    """Files and data in two methods."""

    async def create(self, artifact: Artifact) -> object:
        """Store an artifact under a new id.

        Raises:
            ConflictError: the id is taken; the stored artifact is unchanged.
        """

    async def get(self, artifact_id: str) -> Artifact | None:
        """Return the artifact with its content as given; None for an unknown id."""


@runtime_checkable
class TaskStateStore(Protocol):
    """States of runs, in two methods."""

    async def save(self, state: TaskState) -> object:
        """Store the state as the newest of its task. The last writer wins."""

    async def load(self, task_id: str) -> TaskState | None:
        """Return the newest saved state; None for an unknown task."""
