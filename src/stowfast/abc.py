"""The interfaces, read in one sitting: what a place must do, and the two methods of each store.

`Backend` is the waist. Stores (messages, artifacts, tasks) are written once above it, places (memory, SQLite, ...)
once below it. Implement `Backend` to bring a new place; implement `MessageStore`, `ArtifactStore` or `TaskStateStore`
to bring a store of your own, written from scratch.

A *stream* is a named row of immutable entries that grows at the end, with a small head that says what it holds.
A conversation is a stream of messages, a task a stream of revisions whose newest is its state, an artifact a stream
of versions whose large bodies are *blobs* beside it. Backends see bytes and never know what they mean.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal, NamedTuple, Protocol, runtime_checkable

import msgspec

from stowfast.errors import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
    from datetime import timedelta

    from stowfast.records import Artifact, TaskState

__all__ = [
    "ALL", "KEEP", "MAX_ENTRY_BYTES", "MAX_HEAD_BYTES", "MAX_NAME_BYTES", "OPERATIONS_REMEMBERED", "ArtifactStore",
    "Backend", "Change", "Entry", "Head", "Listed", "Listing", "MessageStore", "Query", "Receipt", "Slice", "Swept",
    "TaskStateStore", "Window",
]  # fmt: skip

KEEP: Final = -1
"""`Change.expires_at` as it stands: the moment of expiry stays what it was."""

MAX_NAME_BYTES: Final = 1_200
"""The longest stream name, as UTF-8."""

MAX_ENTRY_BYTES: Final = 64 * 2**20
"""The largest entry. Anything larger is an artifact."""

MAX_HEAD_BYTES: Final = 64 * 2**10
"""The largest note, and the largest sum of labels: a head is written anew with every commit on object storage."""

OPERATIONS_REMEMBERED: Final = 64
"""How many of its newest op_ids a stream still knows once their entries are gone."""


class Head(NamedTuple):
    """What a stream holds, without its entries. Times are microseconds since 1970, UTC."""

    name: str
    incarnation: str
    """One life of the stream. A deleted or expired stream that is begun again has another one."""
    first: int
    """The lowest position that was not dropped."""
    next: int
    """The position that the next entry gets. Never goes back within an incarnation."""
    length: int
    """How many entries can be read. Less than `next - first` once entries were cut off the end."""
    base: int
    """Where a read that names no start begins: the note stands for what is below."""
    revision: int
    """Goes up with every change that is not a plain append: the token that guards labels, note, cuts and drops."""
    labels: dict[str, str]
    """What `streams(where=...)` filters by."""
    note: bytes
    """A small document the store keeps beside the entries."""
    created_at: int
    updated_at: int
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
    """One line of a listing: what every place knows without another request for each stream."""

    name: str
    updated_at: int
    """When it was last changed, by the clock of the place: object storage has its own, which may count in seconds."""
    head: Head | None = None
    """Where heads were asked for: the head, as it was at some moment of the call."""


class Listing(NamedTuple):
    """A page of a listing. `after` asks for the next page; None: this was the last."""

    streams: list[Listed]
    after: str | None


class Receipt(NamedTuple):
    """What a commit did. Its entries got the positions `first` to `next - 1`, in the order given."""

    incarnation: str
    first: int
    next: int
    committed_at: int
    repeated: bool = False
    """The op_id was known: nothing was added now, and this is what the first call got."""


class Swept(NamedTuple):
    """What a sweep removed for good. Of a dry run: what it would have removed."""

    streams: int
    blobs: int
    bytes: int = 0
    """What these and the leftovers of other calls took, about. 0 where the place does not know."""


class Change(NamedTuple):
    """One atomic change of a stream: conditions, then what to remove, then what to add. All of it happens, or nothing.

    Conditions (each None: not asked). A condition that does not hold is a ConflictError:
        expect: the position that comes next; 0 for a stream that has no entries yet.
        incarnation: the life of the stream, so that a reader of a deleted one cannot write to its successor.
        revision: `Head.revision`, so that two changes of labels, two cuts or two drops never both win.

    Removals:
        delete: everything goes, and what is added begins a new incarnation at position 0.
        drop_before: entries below this position go (retention).
        cut_from: entries from this position on go (undo). Their positions are not given again.

    Additions:
        entries: appended in order, at consecutive positions.
        blobs: ids of `write_blob` that the entries refer to. They live as long as one of these entries.
        labels: replaces all labels. None keeps them.
        note: replaces the note. None keeps it.
        base: moves `Head.base`. None keeps it.
        expires_at: replaces the moment of expiry; None removes it, `KEEP` keeps it.
        cold: the entries are seldom read: a place may keep them where they cost least. Nothing else depends on it.

    `op_id` names the call, within its stream. A repeat adds nothing, is not held to its conditions, and returns what
    the first returned. A repeat with another number of entries is another call under the same name, and refused;
    except that one with `expect=0`, which begins a stream, may have grown with what it is made from.
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

    @property
    def is_plain(self) -> bool:
        """The change only appends entries: no condition, no op_id, no removal, no other addition."""
        return self == Change(self.entries)


class Backend(ABC):
    """A place where streams and blobs live. Ten methods, all required, and `blob_url` where there are links.

    The promise: **a commit that was acknowledged is never lost, doubled or reordered**, under concurrent writers in
    many processes, crashes and lost answers. `stowfast.semantics.apply` is the meaning of a `Change`, as a pure
    function: a backend loads a head, calls it, and stores its effect atomically.

    An expired stream (`expires_at` has passed, by the place's clock) is a deleted one that was not swept yet: no
    method shows it, and a commit begins a new incarnation.

    Every method raises UnavailableError when the place gives no answer, and DamagedError when what is stored does not
    decode. Methods may be called from several tasks at once. A cancelled call is wholly done, or not at all.
    """

    in_place: ClassVar[bool] = False
    """Every await in this backend goes through `stowfast.blocking`, so that the sync face may run it in the calling
    thread instead of handing it to an event loop."""

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

        Concurrent commits to a stream happen one after the other; a later one sees all of an earlier one. The place
        remembers an op_id as long as its entries are in the stream, and the newest `OPERATIONS_REMEMBERED` beyond
        that, also when the stream was deleted: a stalled writer that repeats its call brings nothing back.

        Raises:
            ConflictError: a condition does not hold, or a blob was collected meanwhile; nothing was stored.
            InvalidError: the name or the change is outside its bounds; nothing was stored.
            UnavailableError: it may have been done. Repeat it with the same op_id.
        """

    @abstractmethod
    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Read the entries of a window and the head, at one moment. Entries outside the window are not read.

        Sees every commit that was acknowledged before the call. A window past the end is an empty slice.
        """

    @abstractmethod
    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        """Return the head of each stream, None for one that is not there, in the order asked."""

    @abstractmethod
    async def streams(self, query: Query) -> Listing:
        """List streams, one page at a time.

        While streams change, paging by name shows every stream that existed throughout; paging by recency may miss or
        repeat a stream that changed.

        Raises:
            InvalidError: `after` is not the cursor of a listing in this order.
        """

    @abstractmethod
    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> bool:
        """Wait until the stream has another incarnation or `next` than these; `timeout` seconds at most. True: it has.

        Returns at once where it already has. Never misses a change made before or during the call, in any process.
        """

    @abstractmethod
    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        """Store the chunks as one immutable blob beside the stream and return its id, in constant memory.

        Nothing refers to it until a commit names it in `Change.blobs`. Until then, and after an exception, a
        cancellation or a crash, it is an orphan that `sweep` may remove, and to name it then is a ConflictError.
        """

    @abstractmethod
    def read_blob(self, stream: str, blob: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Stream the bytes `start <= offset < stop` of a committed blob, in constant memory.

        Raises:
            NotFoundError: no living entry of this stream refers to such a blob.
        """

    async def blob_url(self, stream: str, blob: str, *, expires: timedelta) -> str:
        """Return a URL with which anybody can GET a committed blob until it, or who signed it, expires.

        Raises:
            UnsupportedError: this place has no links, or nothing to sign them with. Here: always.
            InvalidError: `expires` is not from a second to seven days.
            NotFoundError: no living entry of this stream refers to such a blob.
        """
        raise UnsupportedError("this place has no links: read the content, or keep it on object storage")

    @abstractmethod
    async def now(self) -> int:
        """Return the time by the clock of the place, or of this machine where it has none: microseconds since 1970."""

    @abstractmethod
    async def sweep(self, *, dry_run: bool = False) -> Swept:
        """Remove for good what nobody can reach: expired streams, blobs without an entry. Safe beside every other call.

        An unlinked blob is spared for a day, so that an upload under way has its time; nothing depends on that day. A
        dry run changes nothing, and says what a sweep would remove.
        """

    @abstractmethod
    async def close(self) -> None:
        """Finish the commits under way, then let go of everything. Closing twice is closing once."""


@runtime_checkable
class MessageStore(Protocol):
    """A conversation history in two methods. Write these, and everything that takes a message store takes yours."""

    async def get_messages(self, context_id: str) -> list[dict[str, Any]]:
        """Return all messages of a conversation, oldest first, exactly as given. An unknown one is an empty list."""

    async def add_message(self, context_id: str, message: dict[str, Any]) -> object:
        """Add a message at the end. Once this returns, every later `get_messages` has it, once, in its place."""


@runtime_checkable
class ArtifactStore(Protocol):
    """Files and data in two methods."""

    async def create(self, artifact: Artifact) -> object:
        """Store an artifact under a new id.

        Raises:
            ConflictError: the id is taken; what is there stays as it was.
        """

    async def get(self, artifact_id: str) -> Artifact | None:
        """Return the artifact with its content as given, or None."""


@runtime_checkable
class TaskStateStore(Protocol):
    """Where a run stood, in two methods."""

    async def save(self, state: TaskState) -> object:
        """Store the state as the newest of its task. The last writer wins."""

    async def load(self, task_id: str) -> TaskState | None:
        """Return the newest state that was saved, or None."""
