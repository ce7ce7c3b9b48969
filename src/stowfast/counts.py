"""The counts of one opened backend: for `stores.stats()`. They hold numbers only, no content and no id."""

from __future__ import annotations

import functools
import logging
import threading
import time
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stowfast.errors import ConflictError, DamagedError, StowfastError, UnavailableError
from stowfast.first_use import imported
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
_REQUESTS: Final = "requests "
_COMMIT: Final = "commit"
"""An amount of the queue: a commit, with its bytes. One step instead of two."""
_MAX_AMOUNTS: Final = 1_000
"""Of the queue, before it is added up."""
_PATIENCE_SECONDS: Final = 0.1
_KINDS: Final = frozenset({"messages", "artifacts", "tasks", "documents", "live", "links"})


class Counts:
    """Counts the calls of one opened backend, from any thread.

    `@counted` before the class of a backend counts its calls. The backend itself calls `request` for each request to
    its file, bucket or server, and waits inside `waiting`.

    No count waits for a lock: a signal handler may save while its thread counts, and another thread, for which the
    handler waits, counts too. So each amount is appended to a queue, in one step. The queue is added up now and then by
    the thread that comes first.
    """

    def __init__(self) -> None:
        self._amounts: deque[tuple[str, float]] = deque()
        self._totals: dict[str, float] = {}
        self._adding = threading.Lock()
        self._telling = threading.Lock()
        self._ending = threading.Lock()
        self._told_slow = float("-inf")
        self._told_damaged: dict[str, object] = {}

    def note_commit(self, began: float, receipt: Receipt, stream: str, change: Change) -> None:
        """Count a commit with its receipt."""
        if receipt.repeated:
            self._add("repeats")
        else:
            self._add(_COMMIT, sum(map(len, change.entries)) + len(change.note or b""))
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
        self._add("reads")
        self._add("bytes_read", sum([len(entry.data) for entry in found.entries]))

    def note_reads(self, began: float, found: list[Slice | StowfastError], reads: Sequence[tuple[str, Window]]) -> None:
        """Count each of several reads."""
        for (stream, _), outcome in zip(reads, found, strict=True):
            if isinstance(outcome, StowfastError):
                self.note_error(stream, outcome)
            else:
                self.note_read(began, outcome)

    def note_look(self, *_: object) -> None:
        """Count a look at heads."""
        self._add("reads")

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
        if isinstance(error, ConflictError):
            self._add("conflicts")
        elif isinstance(error, UnavailableError):
            self._add("failures")

    def took(self, count: int) -> None:
        """Count written bytes of a blob."""
        self._add("bytes_written", count)

    def gave(self, count: int) -> None:
        """Count read bytes of a blob."""
        self._add("bytes_read", count)

    def request(self, kind: str, count: int = 1) -> None:
        """Count requests to the file, the bucket or the server."""
        self._add(_REQUESTS + kind, count)

    def lose_answer(self) -> None:
        """Count a request without an answer, to be repeated or looked up."""
        self._add("retries")

    @contextmanager
    def waiting(self) -> Iterator[None]:
        """Count one wait, and its seconds."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self._add("waits")
            self._add("wait_seconds", time.perf_counter() - began)

    def stats(self) -> Stats:
        """Return all counts. Inside another call of this method, as in a signal handler, some may be a moment old."""
        made: type[Stats] = imported("stowfast.records", "Stats")
        self._add_up(_PATIENCE_SECONDS)
        totals = dict(self._totals)
        requests = {
            name.removeprefix(_REQUESTS): int(count) for name, count in totals.items() if name.startswith(_REQUESTS)
        }
        numbers = {name: int(totals.get(name, 0)) for name in made._fields if name not in {"wait_seconds", "requests"}}
        return made(**numbers, wait_seconds=totals.get("wait_seconds", 0.0), requests=requests)

    def tell_end(self) -> None:
        """Log the end of the opening, once."""
        if self._ending.acquire(blocking=False):  # never released
            # Not `stats`: the classes of records take half as long to load as all else of a process that opens a file.
            self._add_up(_PATIENCE_SECONDS)
            facts = {name: int(self._totals.get(name, 0)) for name in ("commits", "conflicts", "repeats", "waits")}
            tell(logging.INFO, "closed", f"closed after {facts['commits']:,} commits", **facts)

    def _add(self, name: str, amount: float = 1) -> None:
        self._amounts.append((name, amount))
        if len(self._amounts) > _MAX_AMOUNTS:
            self._add_up(0)

    def _add_up(self, patience: float) -> None:
        """Add the queue to the totals, unless another call is doing that and does not end in time."""
        if not self._adding.acquire(timeout=patience):
            return
        try:
            for _ in range(len(self._amounts)):
                name, amount = self._amounts.popleft()
                if name == _COMMIT:
                    self._totals["commits"] = self._totals.get("commits", 0) + 1
                    name = "bytes_written"
                self._totals[name] = self._totals.get(name, 0) + amount
        finally:
            self._adding.release()

    def _tell_slow(self, seconds: float) -> None:
        self._add("slow_commits")
        if not self._telling.acquire(blocking=False):
            return
        try:
            now = time.monotonic()
            silent = now - self._told_slow < _SECONDS_BETWEEN_LINES
            if not silent:
                self._told_slow = now
        finally:
            self._telling.release()
        if not silent:
            slow = self.stats().slow_commits
            tell(
                logging.WARNING, "slow_commit", f"a commit took {seconds:.1f} s, {slow:,} were slow so far",
                seconds=round(seconds, 3), slow_commits=slow,
            )  # fmt: skip

    def _tell_damaged(self, stream: str) -> None:
        self._add("damaged")
        if len(self._told_damaged) >= _DAMAGED_REMEMBERED:
            self._told_damaged.clear()
        mine = object()
        if self._told_damaged.setdefault(stream, mine) is not mine:  # in one step: two threads may find it
            return
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
