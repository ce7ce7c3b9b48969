"""Commit queues: the callers of this process that wait to commit to a stream, and its cached head."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict, deque
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.answers import Answer, wake
from stowfast.backends.objects.maintenance import BACKGROUND, Maintenance, Work
from stowfast.backends.objects.protocol.commit import Committed, commit
from stowfast.backends.objects.protocol.requests import Moment
from stowfast.blocking import alone, check_pools, submit
from stowfast.errors import InvalidError, StowfastError, nested
from stowfast.group_commit import interrupted
from stowfast.lru import LRU

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor
    from typing import Any, TypeVar

    from stowfast.abc import Change, Receipt
    from stowfast.backends.objects.driver.store import BucketClient
    from stowfast.backends.objects.protocol.requests import Environment, Steps
    from stowfast.backends.objects.protocol.state import State

    R = TypeVar("R")

__all__ = ["CommitQueues"]

_KNOWN: Final = 1_024
_WARM: Final = 60.0
"""Seconds for which a cached head may be replaced without another read."""

_TOGETHER: Final = 2**23
_GATHERING: Final = 0.05


class _Job(NamedTuple):
    change: Change
    answer: Answer[Receipt]
    came_at: float


class CommitQueue:
    """One stream."""

    def __init__(self, name: str, work: Work, put_to_use: Callable[[CommitQueue], None]) -> None:
        self.name = name
        self.state: State | None = None
        self.jobs: deque[_Job] = deque()
        self.size = 0
        """Bytes of the queued entries."""
        self.lingering: SimpleQueue[None] | None = None
        """Ends the wait of the leader for companions."""
        self.waiting: list[Answer[bool]] = []
        self.led = self.leading = False
        self.maintenance = Maintenance(name, work, lambda: put_to_use(self))
        self.committed_at = self.seen_at = float("-inf")
        self.seen = Moment(0, 0)
        self.settled = ""
        """The id of the last commit known to be made."""

    @property
    def idle(self) -> bool:
        return not (self.jobs or self.waiting or self.led) and self.maintenance.idle


class CommitQueues:
    """The commit queues of this process, one for each active stream.

    Concurrent commits to one stream are made together: one thread leads, and takes all waiting changes along. An object
    store allows about 15 changes of one object a second, Google one; so the rate of messages is that number times the
    size of a batch.
    """

    def __init__(
        self,
        run: Callable[[Steps[Any]], Any],
        leaders: Executor,
        helpers: Executor,
        environment: Environment,
        store: BucketClient,
    ) -> None:
        self._run = run
        self._leaders = leaders
        self._work = Work(run, helpers, environment)
        self._environment = environment
        self._pace = store.pace
        self._linger = store.linger
        self._counts = store.counts
        self._lines: OrderedDict[str, CommitQueue] = OrderedDict()
        self._lock = threading.RLock()
        self._came = threading.Condition(self._lock)
        self._written: LRU[tuple[str, str], tuple[int, Moment]] = LRU(_KNOWN)
        self._closed = False

    def known(self, name: str) -> State | None:
        """Return the head of a stream as it was last seen; None if that was more than a day ago."""
        with alone(self._lock):
            line = self._lines.get(name)
            return self._known(line) if line is not None else None

    def learn(self, name: str, state: State) -> None:
        """Cache a head for the next caller."""
        with alone(self._lock):
            self._learn(self._line(name), state)

    def submit_many(self, changes: Sequence[tuple[str, Change]]) -> list[Answer[Receipt]]:
        """Queue changes before the first of them is made: those of one stream are made with one PUT.

        Raises:
            As `submit`. The changes before may be made.
        """
        with alone(self._lock):  # no leader can take a part of them
            return [self._submit(stream, change) for stream, change in changes]

    def submit(self, name: str, change: Change) -> Answer[Receipt]:
        """Queue a change, and return its answer to come. Cancelled before its batch began, it is not made at all.

        Raises:
            InvalidError: these stores were closed; or this call came inside another one of its thread.
            UnavailableError: no thread can be made, and nothing was stored.
        """
        with alone(self._lock):
            return self._submit(name, change)

    def _submit(self, name: str, change: Change) -> Answer[Receipt]:
        if BACKGROUND.working:
            raise nested()
        check_pools()  # also where a line has its leader: the leader itself needs a pool
        if self._closed:
            raise InvalidError("these stores were closed: open them again")
        job = _Job(change, Answer(), time.monotonic())
        line = self._line(name)
        line.jobs.append(job)
        line.size += _size(job)
        self._came.notify_all()
        if line.lingering is not None and line.size >= _TOGETHER:
            line.lingering.put(None)
        if not line.led:
            # Not in the thread of the caller: an interrupt there would leave the line without a leader for ever.
            try:
                submit(self._leaders, self._lead, line)
            except StowfastError as error:
                line.jobs.remove(job)
                line.size -= _size(job)
                raise type(error)(f"nothing was stored: {error}") from error.__cause__
            line.led = True
        return job.answer

    def subscribe(self, name: str) -> Answer[bool]:
        """Return an answer that comes with the next commit of this process to the stream."""
        news: Answer[bool] = Answer()
        with alone(self._lock):
            if self._closed:
                raise InvalidError("these stores were closed: open them again")
            self._line(name).waiting.append(news)
        return news

    def forget(self, name: str, news: Answer[bool]) -> None:
        """Wait no longer."""
        with alone(self._lock), suppress(ValueError, KeyError):
            self._lines[name].waiting.remove(news)

    def note_change(self, name: str) -> None:
        """Note a write of a head outside its queue, so that the next commit keeps the pace."""
        with alone(self._lock):
            self._line(name).committed_at = time.monotonic()

    def wrote(self, name: str, blob: str, dropped: int) -> None:
        """Remember a written blob, and `State.dropped` at that time, so that its commit needs no lookup."""
        with alone(self._lock):
            self._written.put((name, blob), (dropped, self._environment.moment()))

    def close(self) -> None:
        """Refuse new changes. Queued changes are still made."""
        with alone(self._lock):
            self._closed = True
            lines = list(self._lines.values())
            for line in lines:
                if line.lingering is not None:
                    line.lingering.put(None)
            waiting = [news for line in lines for news in line.waiting]
        wake(waiting)
        for line in lines:
            if line.maintenance.pending:
                self._put_to_use(line)

    def _line(self, name: str) -> CommitQueue:
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = CommitQueue(name, self._work, self._put_to_use)
            if len(self._lines) > _KNOWN:
                for other in list(self._lines.values())[: _KNOWN // 8]:
                    if other.idle and other is not line:
                        del self._lines[other.name]
        self._lines.move_to_end(name)
        return line

    def _known(self, line: CommitQueue) -> State | None:
        if line.state is not None and self._environment.outlived(line.seen):
            line.state = None
        return line.state

    def _learn(self, line: CommitQueue, state: State) -> None:
        known = line.state
        anew = known is None or None in (state.token, known.token) or state.origin != known.origin
        if anew or known is None or state.commit >= known.commit:
            line.state = state
            line.seen_at = time.monotonic()
            line.seen = self._environment.moment()

    def _lead(self, line: CommitQueue) -> None:
        with self._lock:
            if line.leading:  # an executor may run what it said it could not
                return
            line.led = line.leading = True
        outer, BACKGROUND.working = BACKGROUND.working, True
        try:
            self._make_commits(line)
        finally:
            BACKGROUND.working = outer

    def _make_commits(self, line: CommitQueue) -> None:
        while True:
            self._keep_pace(line)
            line.maintenance.wait_for_room(line.state)
            self._wait_for_companions(line)
            with self._lock:
                jobs = self._take(line)
                if not jobs and not (self._closed and line.maintenance.pending):
                    line.led = line.leading = False
                    return
                sealed, buried = line.maintenance.take()
                known = self._known(line)
                asked = {blob: self._written.get((line.name, blob)) for job in jobs for blob in job.change.blobs}
                outlived = self._environment.outlived
                written = {blob: it[0] for blob, it in asked.items() if it is not None and not outlived(it[1])}
                stale = time.monotonic() - line.seen_at > _WARM
            steps = commit(
                line.name, known, [job.change for job in jobs], self._environment,
                written=written, buried=buried, sealed=sealed, settled=line.settled, stale=stale,
            )  # fmt: skip
            began = time.monotonic()
            try:
                self._settle(line, self._run(steps), jobs)
            except BaseException as error:  # noqa: BLE001 - it is raised in every caller of this batch
                # The segments that were to be swapped in may be in use or not: they are left to the sweep.
                with self._lock:
                    line.state = None
                self._answer(line, jobs, [interrupted(error)] * len(jobs))
            line.committed_at = time.monotonic()
            self._gather(line, len(jobs), line.committed_at - began)

    def _take(self, line: CommitQueue) -> list[_Job]:
        jobs, size = [], 0
        while line.jobs and size < _TOGETHER:
            job = line.jobs.popleft()
            line.size -= _size(job)
            if job.answer.start():
                jobs.append(job)
                size += _size(job)
        return jobs

    def _settle(self, line: CommitQueue, done: Committed, jobs: Sequence[_Job]) -> None:
        with self._lock:
            self._learn(line, done.state)
            line.settled = done.id or line.settled
        self._answer(line, jobs, done.outcomes)
        line.maintenance.follow(done)

    def _answer(self, line: CommitQueue, jobs: Sequence[_Job], outcomes: Sequence[Receipt | StowfastError]) -> None:
        with self._lock:
            waiting, line.waiting = line.waiting, []
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, StowfastError):
                job.answer.fail(outcome)
            else:
                job.answer.resolve(outcome)
        wake(waiting)

    def _put_to_use(self, line: CommitQueue) -> None:
        """Leave new segments to the next commit, at no cost; at the end make a commit for them."""
        with self._lock:
            if line.led or not self._closed:
                return
            line.led = True
        try:
            submit(self._leaders, self._lead, line)
        except StowfastError:
            self._lead(line)

    def _wait_for_companions(self, line: CommitQueue) -> None:
        """Wait until the first change has waited for `linger`, there are enough for a commit, or this was closed.

        Not on `_came`: each change of any stream would wake every leader that waits.
        """
        with self._lock:
            if not (self._linger and line.jobs) or self._closed or line.size >= _TOGETHER:
                return
            left = line.jobs[0].came_at + self._linger - time.monotonic()
            ended = line.lingering = SimpleQueue[None]()
        if left > 0:
            with suppress(Empty):
                ended.get(timeout=left)
        with self._lock:
            line.lingering = None

    def _gather(self, line: CommitQueue, answered: int, took: float) -> None:
        """Let answered callers queue again while others wait; else two halves of a crowd would take turns.

        The wait is at most a twentieth of a commit, and zero for a single caller.
        """
        with self._lock:
            if line.jobs:
                crowd = len(line.jobs) + answered
                self._came.wait_for(lambda: len(line.jobs) >= crowd, _GATHERING * took)

    def _keep_pace(self, line: CommitQueue) -> None:
        left = line.committed_at + self._pace - time.monotonic()
        if left > 0:
            with self._counts.waiting():
                time.sleep(left)


def _size(job: _Job) -> int:
    return sum(map(len, job.change.entries))
