"""Maintenance: the background work for a stream. Sealing, merging, deleting garbage."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.backends.objects.protocol.keys import segment_file
from stowfast.backends.objects.protocol.seal import limits_of, merge, merge_candidates, needs_seal, seal
from stowfast.backends.objects.protocol.sweep import delete_garbage
from stowfast.blocking import submit
from stowfast.errors import StowfastError
from stowfast.operator_log import tell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from typing import Any

    from stowfast.backends.objects.protocol.commit import Committed
    from stowfast.backends.objects.protocol.requests import Environment, Steps
    from stowfast.backends.objects.protocol.seal import Sealed
    from stowfast.backends.objects.protocol.state import State

__all__ = ["BACKGROUND", "Maintenance", "Work"]

_ROOM: Final = 1.0
"""Seconds for which a commit waits for a seal. After that it writes a segment of its own, and the seal is void."""

_REST: Final = 10.0
"""Seconds without another seal or merge after a failed one."""


class Background(threading.local):
    """Marks a thread while it works for callers. A commit from there, in a finalizer, could wait for itself."""

    working = False


BACKGROUND: Final = Background()


class Work(NamedTuple):
    """The tools of maintenance."""

    run: Callable[[Steps[Any]], Any]
    """Performs the protocol."""
    helpers: Executor
    environment: Environment


class Maintenance:
    """The maintenance of one stream: one seal and one merge at a time. Only a commit that would overtake a seal waits.

    Args:
        put_to_use: called when new segments wait for a commit.
    """

    def __init__(self, name: str, work: Work, put_to_use: Callable[[], None]) -> None:
        self._name = name
        self._work = work
        self._put_to_use = put_to_use
        self._lock = threading.Lock()
        self._sealing: Future[None] | None = None
        self._merging = False
        self._sealed: list[Sealed] = []
        self._buried: set[str] = set()
        self._burying: set[str] = set()
        self._rests_until = float("-inf")

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return not (self._sealing or self._merging or self._sealed or self._burying)

    @property
    def pending(self) -> bool:
        """True while new segments wait for a commit."""
        return bool(self._sealed)

    def take(self) -> tuple[list[Sealed], frozenset[str]]:
        """Return the segments for the next commit, and the deleted garbage that it may forget."""
        with self._lock:
            sealed, self._sealed = self._sealed, []
            return sealed, frozenset(self._buried)

    def wait_for_room(self, state: State | None) -> None:
        """Wait for a running seal if the tail is nearly full: the next commit would make the seal void."""
        with self._lock:
            sealing = self._sealing
        if sealing is None or state is None:
            return
        if state.cold or state.tail_size > self._work.environment.limits.head * 3 // 4:
            wait([sealing], _ROOM)

    def follow(self, done: Committed) -> None:
        """Start the work that a commit has made necessary."""
        state = done.state
        limits = limits_of(state, self._work.environment.limits)
        seals = needs_seal(state, done.before, limits)
        # Asked once for each new row of segments: what cannot be merged, say as it is damaged, is not tried for ever.
        crowd = merge_candidates(state.segments, limits) if state.segments != done.before.segments else ()
        with self._lock:
            free = not self._sealed and time.monotonic() >= self._rests_until
            if seals := seals and free and self._sealing is None:
                self._sealing = Future()
            if merges := bool(crowd) and free and not self._merging:
                self._merging = True
            self._buried.intersection_update(state.grave)
            doomed = [file for file in state.grave if file not in self._buried and file not in self._burying]
            self._burying.update(doomed)
        if seals:
            self._begin(self._seal, state)
        if merges:
            self._begin(self._merge, merge(state, crowd, self._work.environment))
        if doomed:
            self._begin(self._bury, doomed)
        for refused in done.refused:
            files = [segment_file(refused.life, ref.id) for ref in refused.refs]
            self._begin(self._work.run, delete_garbage(self._name, files))

    def _seal(self, state: State) -> None:
        ended = self._sealing
        sealed = None
        try:
            sealed = self._work.run(seal(state, self._work.environment))
        except BaseException:
            self._rest()
            raise
        finally:
            with self._lock:
                self._sealing = None
                self._sealed += [sealed] if sealed is not None else []
            if ended is not None:
                ended.set_result(None)
        if sealed is not None:
            self._put_to_use()

    def _merge(self, steps: Steps[Sealed | None]) -> None:
        merged = None
        try:
            merged = self._work.run(steps)
        except BaseException:
            self._rest()
            raise
        finally:
            with self._lock:
                self._merging = False
                self._sealed += [merged] if merged is not None else []
        if merged is not None:
            self._put_to_use()

    def _rest(self) -> None:
        self._rests_until = time.monotonic() + _REST

    def _bury(self, files: Sequence[str]) -> None:
        try:
            self._work.run(delete_garbage(self._name, files))
            with self._lock:
                self._buried.update(files)
        finally:
            with self._lock:
                self._burying.difference_update(files)

    def _begin(self, work: Callable[..., None], *args: Any) -> None:
        once = _Once(work, args)
        try:
            submit(self._work.helpers, once)
        except StowfastError:  # the place is being closed; or no thread can be made, but what was queued may still run
            once()


class _Once:
    """Calls a function once, however often it is called itself. An error is logged, not raised."""

    def __init__(self, function: Callable[..., None], args: tuple[Any, ...]) -> None:
        self._function = function
        self._args = args
        self._first = threading.Lock()

    def __call__(self) -> None:
        if not self._first.acquire(blocking=False):
            return
        outer, BACKGROUND.working = BACKGROUND.working, True
        try:
            self._function(*self._args)
        except StowfastError as error:
            kind = type(error).__name__
            tell(logging.INFO, "postponed", f"left to the next commit or to a sweep: {kind}", error=kind)
        except Exception as error:  # noqa: BLE001 - nobody waits for it, and whoever commits must not be harmed
            # Not its text, nor its traceback: they may hold an id.
            kind, frame = type(error).__name__, traceback.extract_tb(error.__traceback__)[-1]
            line = f"{frame.name}:{frame.lineno}"
            tell(
                logging.ERROR, "maintenance_failed", f"the maintenance of a stream failed: {kind} in {line}",
                error=kind, line=line,
            )  # fmt: skip
        finally:
            BACKGROUND.working = outer
