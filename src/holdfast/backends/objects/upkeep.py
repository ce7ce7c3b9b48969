"""Upkeep: what is done for a stream behind the back of those who commit to it. Sealing, merging, deleting."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from holdfast.backends.objects.protocol.keys import segment_file
from holdfast.backends.objects.protocol.seal import crowded, due, merge, seal
from holdfast.backends.objects.protocol.sweep import bury
from holdfast.errors import HoldfastError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from typing import Any

    from holdfast.backends.objects.protocol.commit import Committed
    from holdfast.backends.objects.protocol.requests import Steps, World
    from holdfast.backends.objects.protocol.seal import Sealed
    from holdfast.backends.objects.protocol.state import State

__all__ = ["Upkeep", "Work"]


class Work(NamedTuple):
    """What upkeep works with."""

    run: Callable[[Steps[Any]], Any]
    """Performs the protocol."""
    helpers: Executor
    world: World


class Upkeep:
    """The upkeep of one stream: one seal and one merge at a time. Nobody waits for it, except who would outrun it.

    Args:
        lead: called when there is something to commit, so that somebody does.
    """

    def __init__(self, name: str, work: Work, lead: Callable[[], None]) -> None:
        self._name = name
        self._work = work
        self._lead = lead
        self._lock = threading.Lock()
        self._sealing: Future[None] | None = None
        self._merging = False
        self._sealed: list[Sealed] = []
        self._buried: set[str] = set()
        self._burying: set[str] = set()

    @property
    def idle(self) -> bool:
        """Nothing is under way."""
        return not (self._sealing or self._merging or self._sealed or self._burying)

    def take(self) -> tuple[list[Sealed], frozenset[str]]:
        """Return what the next commit is to put to use, and what it need not name in the grave any more."""
        with self._lock:
            sealed, self._sealed = self._sealed, []
            return sealed, frozenset(self._buried)

    def wait_for_room(self, state: State | None) -> None:
        """Let a seal come in that is under way, where the tail is half full: the next commit would make it void."""
        with self._lock:
            sealing = self._sealing
        if sealing is not None and state is not None and state.tail_size > self._work.world.limits.head // 2:
            wait([sealing])

    def follow(self, done: Committed) -> None:
        """Begin what a commit has made due."""
        state, limits = done.state, self._work.world.limits
        seals = due(state, done.before, limits)
        # Asked once for each new row of segments: what cannot be merged, say as it is damaged, is not tried for ever.
        crowd = crowded(state.segments, limits) if state.segments != done.before.segments else ()
        with self._lock:
            free = not self._sealed
            if seals := seals and free and self._sealing is None:
                self._sealing = Future()
            if merges := bool(crowd) and free and not self._merging:
                self._merging = True
            self._buried.intersection_update(state.grave)
            doomed = [file for file in state.grave if file not in self._buried and file not in self._burying]
            self._burying.update(doomed)
        for refused in done.refused:
            files = [segment_file(refused.life, ref.id) for ref in refused.refs]
            self._begin(self._work.run, bury(self._name, files))
        if doomed:
            self._begin(self._bury, doomed)
        if seals:
            self._begin(self._seal, state)
        if merges:
            self._begin(self._merge, merge(state, crowd, self._work.world))

    def _seal(self, state: State) -> None:
        sealed = None
        try:
            sealed = self._work.run(seal(state, self._work.world))
        finally:
            with self._lock:
                ended, self._sealing = self._sealing, None
                self._sealed += [sealed] if sealed is not None else []
            assert ended is not None
            ended.set_result(None)
        if sealed is not None:
            self._lead()

    def _merge(self, steps: Steps[Sealed | None]) -> None:
        merged = None
        try:
            merged = self._work.run(steps)
        finally:
            with self._lock:
                self._merging = False
                self._sealed += [merged] if merged is not None else []
        if merged is not None:
            self._lead()

    def _bury(self, files: Sequence[str]) -> None:
        try:
            self._work.run(bury(self._name, files))
            with self._lock:
                self._buried.update(files)
        finally:
            with self._lock:
                self._burying.difference_update(files)

    def _begin(self, work: Callable[..., None], *args: Any) -> None:
        def quietly() -> None:
            with suppress(HoldfastError):  # nobody waits for it, and the sweep or the next commit does it again
                work(*args)

        try:
            self._work.helpers.submit(quietly)
        except RuntimeError:  # the place is being closed
            quietly()
