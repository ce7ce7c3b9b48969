"""The counts of one opened backend: for `stores.stats()`. They hold numbers only, no content and no id."""

from __future__ import annotations

import functools
import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stowfast.errors import ConflictError, DamagedError, StowfastError, UnavailableError
from stowfast.lru import LRU
from stowfast.operator_log import tell, tell_swept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from stowfast.abc import Backend, Change, Listing, Receipt, Slice, Swept, Window
    from stowfast.records import Stats

__all__ = ["Counts", "counted"]

B = TypeVar("B")

_SLOW_COMMIT_SECONDS: Final = 1.0
_SECONDS_BETWEEN_LINES: Final = 10.0
"""Between two lines about slow commits."""
_DAMAGED_REMEMBERED: Final = 1_000
_KINDS: Final = frozenset({"messages", "artifacts", "tasks", "documents", "live", "links"})


class Counts:
    """Counts the calls of one opened backend, from any thread.

    `@counted` before the class of a backend counts its calls. The backend itself calls `request` for each request to
    its file, bucket or server, and waits inside `waiting`.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a signal handler may come while its thread holds it
        self._commits = self._conflicts = self._repeats = self._failures = self._slow = self._damaged = 0
        self._reads = self._waits = self._retries = self._bytes_in = self._bytes_out = 0
        self._wait_seconds = 0.0
        self._requests: dict[str, int] = {}
        self._told_slow = float("-inf")
        self._told_damaged: LRU[str, bool] = LRU(_DAMAGED_REMEMBERED)
        self._ended = False

    def note_commit(self, began: float, receipt: Receipt, stream: str, change: Change) -> None:
        """Count a commit with its receipt."""
        size = 0
        for entry in change.entries:
            size += len(entry)
        if change.note:
            size += len(change.note)
        with self._lock:
            if receipt.repeated:
                self._repeats += 1
            else:
                self._commits += 1
                self._bytes_in += size
        seconds = time.perf_counter() - began
        if seconds > _SLOW_COMMIT_SECONDS:
            self._tell_slow(seconds)

    def note_commits(
        self, began: float, found: list[Receipt | StowfastError], changes: Sequence[tuple[str, Change]]
    ) -> None:
        """Count the outcome of each of several commits."""
        for (stream, change), outcome in zip(changes, found, strict=True):
            if isinstance(outcome, StowfastError):
                self.note_error(stream, outcome)
            else:
                self.note_commit(began, outcome, stream, change)

    def note_read(self, began: float, found: Slice, *_: object) -> None:
        """Count a read and its bytes."""
        size = sum([len(entry.data) for entry in found.entries])
        with self._lock:
            self._reads += 1
            self._bytes_out += size

    def note_reads(self, began: float, found: list[Slice | StowfastError], reads: Sequence[tuple[str, Window]]) -> None:
        """Count each of several reads."""
        for (stream, _), outcome in zip(reads, found, strict=True):
            if isinstance(outcome, StowfastError):
                self.note_error(stream, outcome)
            else:
                self.note_read(began, outcome)

    def note_look(self, *_: object) -> None:
        """Count a look at heads."""
        with self._lock:
            self._reads += 1

    def note_list(self, began: float, found: Listing, *_: object) -> None:
        """Count a page of a listing."""
        self.note_look()
        for listed in found.streams:
            if listed.damaged:
                self._tell_damaged(listed.name)

    def note_sweep(self, began: float, found: Swept, **options: bool) -> None:
        """Log the amounts of a sweep."""
        if not options.get("dry_run"):
            tell_swept(found)

    def note_error(self, stream: object, error: StowfastError) -> None:
        """Count the error of a call. A call about one stream has its name as the first argument."""
        if isinstance(error, DamagedError) and isinstance(stream, str):
            self._tell_damaged(stream)
        with self._lock:
            self._conflicts += isinstance(error, ConflictError)
            self._failures += isinstance(error, UnavailableError)

    def took(self, count: int) -> None:
        """Count written bytes of a blob."""
        with self._lock:
            self._bytes_in += count

    def gave(self, count: int) -> None:
        """Count read bytes of a blob."""
        with self._lock:
            self._bytes_out += count

    def request(self, kind: str, count: int = 1) -> None:
        """Count requests to the file, the bucket or the server."""
        with self._lock:
            self._requests[kind] = self._requests.get(kind, 0) + count

    def lose_answer(self) -> None:
        """Count a request without an answer, to be repeated or looked up."""
        with self._lock:
            self._retries += 1

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count one wait, and its seconds."""
        began = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._waits += 1
                self._wait_seconds += time.perf_counter() - began

    def stats(self) -> Stats:
        """Return all counts at one moment."""
        from stowfast.records import Stats

        with self._lock:
            return Stats(
                commits=self._commits, conflicts=self._conflicts, repeats=self._repeats, failures=self._failures,
                slow_commits=self._slow, reads=self._reads, damaged=self._damaged, waits=self._waits,
                wait_seconds=self._wait_seconds, retries=self._retries, requests=dict(self._requests),
                bytes_written=self._bytes_in, bytes_read=self._bytes_out,
            )  # fmt: skip

    def tell_end(self) -> None:
        """Log the end of the opening, once."""
        with self._lock:
            ended, self._ended = self._ended, True
        if not ended:
            facts: dict[str, Any] = {
                "commits": self._commits, "conflicts": self._conflicts, "repeats": self._repeats, "waits": self._waits,
            }  # fmt: skip
            tell(logging.INFO, "closed", f"closed after {self._commits:,} commits", **facts)

    def _tell_slow(self, seconds: float) -> None:
        now = time.monotonic()
        with self._lock:
            self._slow += 1
            slow, silent = self._slow, now - self._told_slow < _SECONDS_BETWEEN_LINES
            if not silent:
                self._told_slow = now
        if not silent:
            tell(
                logging.WARNING, "slow_commit", f"a commit took {seconds:.1f} s, {slow:,} were slow so far",
                seconds=round(seconds, 3), slow_commits=slow,
            )  # fmt: skip

    def _tell_damaged(self, stream: str) -> None:
        with self._lock:
            self._damaged += 1
            known = self._told_damaged.get(stream)
            self._told_damaged.put(stream, True)
        if known is None:
            kind = stream.partition("/")[0].rpartition(":")[2]
            kind = kind if kind in _KINDS else "other"
            tell(logging.ERROR, "damaged", f"a damaged stream was found ({kind}): run stowfast verify", kind=kind)


def counted(backend: type[B]) -> type[B]:
    """Count the calls of a backend's class, by their results and errors: a decorator."""
    for name, note in _NOTES.items():
        if name in vars(backend):
            setattr(backend, name, _counted(vars(backend)[name], note))
    return backend


_NOTES: Final[dict[str, Callable[..., None]]] = {
    "commit": Counts.note_commit,
    "commit_many": Counts.note_commits,
    "read": Counts.note_read,
    "read_many": Counts.note_reads,
    "heads": Counts.note_look,
    "streams": Counts.note_list,
    "sweep": Counts.note_sweep,
}


def _counted(method: Callable[..., Any], note: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def call(self: Backend, *args: Any, **options: Any) -> Any:
        counts, began = self.counts, time.perf_counter()
        try:
            found = await method(self, *args, **options)
        except StowfastError as error:
            counts.note_error(args[0] if args else None, error)
            raise
        note(counts, began, found, *args, **options)
        return found

    return call
