"""Lines: who waits to commit to a stream in this process, and what is known of its head. One commit at a time each."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from holdfast.backends.objects.commit import Committed, commit
from holdfast.backends.objects.keys import segment_file
from holdfast.backends.objects.seal import crowded, due, merge, seal
from holdfast.backends.objects.sweep import bury
from holdfast.blocking import interrupted, wake
from holdfast.errors import HoldfastError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from typing import Any, TypeVar

    from holdfast.abc import Change, Receipt
    from holdfast.backends.objects.requests import Steps, World
    from holdfast.backends.objects.seal import Sealed
    from holdfast.backends.objects.state import SegmentRef, State

    R = TypeVar("R")

__all__ = ["Lines"]

_KNOWN: Final = 1_024
_WARM: Final = 60.0
"""Seconds for which a head that was seen is good enough to be replaced without another look."""

_TOGETHER: Final = 2**23


class _Job(NamedTuple):
    change: Change
    answer: Future[Receipt]


class _Line:
    """One stream."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.state: State | None = None
        self.jobs: deque[_Job] = deque()
        self.waiting: list[Future[bool]] = []
        self.led = False
        self.sealing: Future[None] | None = None
        self.merging = False
        self.sealed: list[Sealed] = []
        self.buried: set[str] = set()
        self.burying: set[str] = set()
        self.committed_at = self.seen_at = float("-inf")

    @property
    def idle(self) -> bool:
        return not (
            self.jobs or self.waiting or self.led or self.sealing or self.merging or self.sealed or self.burying
        )


class Lines:
    """The streams that this process has to do with.

    Concurrent commits to one stream are made together: one thread leads, and takes along whoever has come
    meanwhile. An object store takes 15 changes of one object a second, Google one; so messages a second are what a
    batch holds, times that.
    """

    def __init__(
        self, run: Callable[[Steps[Any]], Any], leaders: Executor, helpers: Executor, world: World, pace: float
    ) -> None:
        self._run = run
        self._leaders = leaders
        self._helpers = helpers
        self._world = world
        self._pace = pace
        self._lines: OrderedDict[str, _Line] = OrderedDict()
        self._lock = threading.Lock()
        self._written: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._closed = False

    def known(self, name: str) -> State | None:
        """Return the head of a stream as it was last seen."""
        with self._lock:
            line = self._lines.get(name)
            return line.state if line is not None else None

    def learn(self, name: str, state: State) -> None:
        """Keep a head that was read, for the next who asks."""
        with self._lock:
            self._learn(self._line(name), state)

    def submit(self, name: str, change: Change) -> Future[Receipt]:
        """Queue a change, and return its answer to come. Cancelled before its batch began, it is not made at all."""
        job = _Job(change, Future())
        with self._lock:
            if self._closed:
                raise UnavailableError("this place was closed")
            line = self._line(name)
            line.jobs.append(job)
            if not line.led:
                # Not in the thread of the caller: an interrupt there would leave the line without a leader for ever.
                self._leaders.submit(self._lead, line)
                line.led = True
        return job.answer

    def subscribe(self, name: str) -> Future[bool]:
        """Return what is set with the next commit to the stream in this process."""
        news: Future[bool] = Future()
        with self._lock:
            if self._closed:
                raise UnavailableError("this place was closed")
            self._line(name).waiting.append(news)
        return news

    def forget(self, name: str, news: Future[bool]) -> None:
        """Wait no longer."""
        with self._lock, suppress(ValueError, KeyError):
            self._lines[name].waiting.remove(news)

    def wrote(self, name: str, blob: str, dropped: int) -> None:
        """Remember a blob that is there, and `State.dropped` as it was known then, so that its commit need not look."""
        with self._lock:
            self._written[name, blob] = dropped
            while len(self._written) > _KNOWN:
                self._written.popitem(last=False)

    def close(self) -> None:
        """Take no more changes. What is queued is still made."""
        with self._lock:
            self._closed = True
            waiting = [news for line in self._lines.values() for news in line.waiting]
        wake(waiting)

    def _line(self, name: str) -> _Line:
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = _Line(name)
            if len(self._lines) > _KNOWN:
                for other in list(self._lines.values())[: _KNOWN // 8]:
                    if other.idle and other is not line:
                        del self._lines[other.name]
        self._lines.move_to_end(name)
        return line

    @staticmethod
    def _learn(line: _Line, state: State) -> None:
        known = line.state
        if known is None or state.token is None or known.token is None or state.commit >= known.commit:
            line.state = state
            line.seen_at = time.monotonic()

    def _lead(self, line: _Line) -> None:
        while True:
            self._keep_pace(line)
            self._await_seal(line)
            with self._lock:
                jobs = self._take(line)
                sealed, line.sealed = line.sealed, []
                if not jobs and not sealed:
                    line.led = False
                    return
                known, buried = line.state, frozenset(line.buried)
                asked = {(line.name, blob) for job in jobs for blob in job.change.blobs} & self._written.keys()
                written = {blob: self._written[name, blob] for name, blob in asked}
                stale = time.monotonic() - line.seen_at > _WARM
            steps = commit(
                line.name, known, [job.change for job in jobs], self._world,
                written=written, buried=buried, sealed=sealed, stale=stale,
            )  # fmt: skip
            try:
                done: Committed = self._run(steps)
            except BaseException as error:  # noqa: BLE001 - it is raised in every caller of this batch
                # The segments that were to be swapped in may be in use or not: they are left to the sweep.
                with self._lock:
                    line.state = None
                self._answer(line, jobs, [interrupted(error)] * len(jobs))
            else:
                self._settle(line, done, jobs)

    def _take(self, line: _Line) -> list[_Job]:
        jobs, size = [], 0
        while line.jobs and size < _TOGETHER:
            job = line.jobs.popleft()
            if job.answer.set_running_or_notify_cancel():
                jobs.append(job)
                size += sum(map(len, job.change.entries))
        return jobs

    def _settle(self, line: _Line, done: Committed, jobs: Sequence[_Job]) -> None:
        line.committed_at = time.monotonic()
        state, limits = done.state, self._world.limits
        seals = due(state, done.before, limits)
        crowd = crowded(state.segments, limits) if state.segments != done.before.segments else ()
        with self._lock:
            line.buried.intersection_update(state.grave)
            self._learn(line, state)
            if seals := seals and line.sealing is None and not line.sealed:
                line.sealing = Future()
            if merges := bool(crowd) and not line.merging and not line.sealed:
                line.merging = True
        self._answer(line, jobs, done.outcomes)
        for refused in done.refused:
            files = [segment_file(refused.life, ref.id) for ref in refused.refs]
            self._background(self._run, bury(line.name, files))
        doomed = [file for file in state.grave if file not in line.buried and file not in line.burying]
        if doomed:
            line.burying.update(doomed)
            self._background(self._bury, line, doomed)
        if seals:
            self._background(self._seal, line, state)
        if merges:
            self._background(self._merge, line, state, crowd)

    def _answer(self, line: _Line, jobs: Sequence[_Job], outcomes: Sequence[Receipt | HoldfastError]) -> None:
        with self._lock:
            waiting, line.waiting = line.waiting, []
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, HoldfastError):
                job.answer.set_exception(outcome)
            else:
                job.answer.set_result(outcome)
        wake(waiting)

    def _seal(self, line: _Line, state: State) -> None:
        sealed = None
        try:
            sealed = self._run(seal(state, self._world))
        finally:
            with self._lock:
                ended, line.sealing = line.sealing, None
                leads = self._hand_over(line, sealed)
            if ended is not None:
                ended.set_result(None)
            self._begin(line, leads=leads)

    def _merge(self, line: _Line, state: State, crowd: Sequence[SegmentRef]) -> None:
        merged = None
        try:
            merged = self._run(merge(state, crowd, self._world))
        finally:
            with self._lock:
                line.merging = False
                leads = self._hand_over(line, merged)
            self._begin(line, leads=leads)

    @staticmethod
    def _hand_over(line: _Line, sealed: Sealed | None) -> bool:
        """Leave segments to the next commit; True where nobody is about to make one."""
        if sealed is None:
            return False
        line.sealed.append(sealed)
        leads, line.led = not line.led, True
        return leads

    def _begin(self, line: _Line, *, leads: bool) -> None:
        if leads:
            try:
                self._leaders.submit(self._lead, line)
            except RuntimeError:  # the place is being closed
                self._lead(line)

    def _await_seal(self, line: _Line) -> None:
        """Let a seal come in that is under way, where the tail is half full: the next commit could not wait for it."""
        with self._lock:
            full = line.state is not None and line.state.tail_size > self._world.limits.head // 2
            sealing = line.sealing if full and line.jobs else None
        if sealing is not None:
            wait([sealing])

    def _bury(self, line: _Line, files: Sequence[str]) -> None:
        try:
            self._run(bury(line.name, files))
            with self._lock:
                line.buried.update(files)
        finally:
            with self._lock:
                line.burying.difference_update(files)

    def _background(self, work: Callable[..., Any], *args: Any) -> None:
        def quietly() -> None:
            with suppress(HoldfastError):  # nobody waits for it, and the sweep or the next commit does it again
                work(*args)

        try:
            self._helpers.submit(quietly)
        except RuntimeError:  # the place is being closed
            quietly()

    def _keep_pace(self, line: _Line) -> None:
        left = line.committed_at + self._pace - time.monotonic()
        if left > 0:
            time.sleep(left)
