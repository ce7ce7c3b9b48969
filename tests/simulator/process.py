"""A process: what `Lines` and the backend do with the protocol, without their threads.

Callers of one process commit together; one segment at a time is made behind their back, and so are deletions.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from stowfast.backends.objects.protocol.commit import Committed, commit
from stowfast.backends.objects.protocol.index import tidy
from stowfast.backends.objects.protocol.keys import HEADS, keys_of, segment_file
from stowfast.backends.objects.protocol.read import find_blob
from stowfast.backends.objects.protocol.requests import Environment, Get, Limits, Moment, Pause, Put
from stowfast.backends.objects.protocol.seal import limits_of, merge, merge_candidates, needs_seal, seal
from stowfast.backends.objects.protocol.sweep import delete_garbage, survey, sweep_stream
from stowfast.backends.objects.protocol.tombstones import is_old, prove_removal, remove_tombstone
from stowfast.errors import UnavailableError
from tests.simulator.bucket import Violation
from tests.simulator.scheduler import SPEEDS, Answer

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from stowfast.abc import Change
    from stowfast.backends.objects.protocol.requests import Steps
    from stowfast.backends.objects.protocol.seal import Sealed
    from stowfast.backends.objects.protocol.state import SegmentRef, State
    from tests.simulator.judge import Judge
    from tests.simulator.scheduler import Scheduler

__all__ = ["Process"]


class _Job(NamedTuple):
    change: Change
    answer: Answer


class CommitQueue:
    def __init__(self, name: str) -> None:
        self.name = name
        self.state: State | None = None
        self.stale: State | None = None
        self.seen = self.stale_since = Moment(0, 0)
        self.settled = ""
        self.jobs: deque[_Job] = deque()
        self.led = False
        self.sealing = False
        self.merging = False
        self.sealed: list[Sealed] = []
        self.buried: set[str] = set()
        self.burying: set[str] = set()


class Process:
    """One process with a clock of its own. `speed` is how much of its turns it takes: a slow one is overtaken."""

    def __init__(self, number: int, scheduler: Scheduler, ids: Any, limits: Limits, judge: Judge) -> None:
        random = scheduler.random
        self.number = number
        self.speed = random.choice(SPEEDS)
        self.skew = random.choice((0, 0, 1_000_000, -5_000_000, -3_600_000_000, 2 * 86_400_000_000))
        self.stubborn = random.random() < 0.15
        self._scheduler = scheduler
        self._gone, self.swept = judge.gone, judge.swept
        self._removes = scheduler.bucket.removes
        self._trusts = scheduler.bucket.keeps_removals and random.random() < 0.5
        """It takes the proof for given: with faults of the store it seldom comes to its end."""
        self.environment = Environment(self.now, ids, random.random, limits, steady=self.now)
        self._lines: dict[str, CommitQueue] = {}
        self._written: dict[tuple[str, str], tuple[int, Moment]] = {}

    def __str__(self) -> str:
        return f"p{self.number}"

    def now(self) -> int:
        return self._scheduler.clock + self.skew

    def known(self, name: str) -> State | None:
        """Return the head as it was seen: last, or, by a stubborn one, first; None if that was a day ago."""
        line = self._line(name)
        if self.environment.outlived(line.stale_since):
            line.stale = None
        if self.environment.outlived(line.seen):
            line.state = None
        return line.stale if self.stubborn and line.stale is not None else line.state

    def learn(self, name: str, state: State) -> None:
        line = self._line(name)
        known = line.state
        if line.stale is None:
            line.stale, line.stale_since = state, self.environment.moment()
        anew = known is None or None in (state.token, known.token) or state.origin != known.origin
        if anew or known is None or state.commit >= known.commit:
            line.state, line.seen = state, self.environment.moment()

    def submit(self, name: str, change: Change) -> Answer:
        """Queue a change. The answer is a pair: the outcome, and what it came with."""
        job, line = _Job(change, Answer()), self._line(name)
        line.jobs.append(job)
        if not line.led:
            line.led = True
            self._scheduler.spawn(self, self._lead(line))
        return job.answer

    def write_blob(self, name: str, blob: str, body: bytes) -> Steps[None]:
        known = self.known(name)
        yield Put(keys_of(name).blob(blob), body)
        self._written[name, blob] = known.dropped if known is not None else 0, self.environment.moment()

    def read_blob(self, name: str, blob: str) -> Steps[tuple[State, bytes | None]]:
        state, found = yield from find_blob(name, self.known(name), blob, self.environment)
        self.learn(name, state)
        if not found:
            return state, None
        body = yield Get(keys_of(name).blob(blob))
        if body is not None:
            return state, body.body
        state, found = yield from find_blob(name, self.known(name), blob, self.environment)
        if found:
            raise Violation(f"a blob of {name!r} is not there, though an entry refers to it")
        return state, None

    def sweep(self) -> Steps[None]:
        litter, folders, tombstones = yield from survey()
        self._scheduler.random.shuffle(litter)
        failed = None
        for one in litter:
            try:
                yield from sweep_stream(one, self.environment)
            except UnavailableError as error:  # no reason to leave the others
                failed = error
        tidied = set()
        for folder in folders:
            gone = self._gone()
            if (yield from tidy(folder, self.environment)):
                self.swept.update(gone)
                tidied.add(folder)
        now = self._scheduler.clock  # the store's
        old = [one for one in tombstones if f"{HEADS}{one.place.kind}/" in tidied and is_old(one, now)]
        if self._removes and old and (self._trusts or (yield from prove_removal(self.environment))):
            for tombstone in old:
                with suppress(UnavailableError):
                    yield from remove_tombstone(tombstone)
        if failed is not None:
            raise failed

    def rest(self) -> None:
        """Forget what was under way; keep what was seen and made."""
        for line in self._lines.values():
            line.jobs.clear()
            line.burying.clear()
            line.led = line.sealing = line.merging = False

    def _line(self, name: str) -> CommitQueue:
        return self._lines.get(name) or self._lines.setdefault(name, CommitQueue(name))

    def _lead(self, line: CommitQueue) -> Steps[None]:
        while True:
            yield Pause(0)  # others of this process may come along
            jobs, sealed = list(line.jobs), line.sealed
            line.jobs.clear()
            line.sealed = []
            if not jobs and not sealed:
                line.led = False
                return
            asked = {(line.name, blob) for job in jobs for blob in job.change.blobs} & self._written.keys()
            # Who commits a segment has just seen the head that it is of.
            known = self.known(line.name)
            known = known if jobs else line.state
            try:
                done = yield from commit(
                    line.name, known, [job.change for job in jobs], self.environment,
                    written={
                        blob: dropped for name, blob in asked for dropped, since in [self._written[name, blob]]
                        if not self.environment.outlived(since)
                    },
                    buried=frozenset(line.buried),
                    sealed=sealed, settled=line.settled,
                    stale=not self.stubborn and self._scheduler.random.random() < 0.2,
                )  # fmt: skip
            except UnavailableError as error:
                line.state = None
                for job in jobs:
                    self._scheduler.give(job.answer, None, error)
            else:
                self._settle(line, done, jobs)

    def _settle(self, line: CommitQueue, done: Committed, jobs: Sequence[_Job]) -> None:
        line.buried.intersection_update(done.state.grave)
        line.settled = done.id or line.settled
        self.learn(line.name, done.state)
        for job, outcome in zip(jobs, done.outcomes, strict=True):
            self._scheduler.give(job.answer, (outcome, getattr(done.outcomes, "draft", None)))
        for refused in done.refused:
            self._background(delete_garbage(line.name, [segment_file(refused.life, ref.id) for ref in refused.refs]))
        doomed = [file for file in done.state.grave if file not in line.buried and file not in line.burying]
        if doomed:
            line.burying.update(doomed)
            self._background(self._bury(line, doomed))
        state, limits = done.state, limits_of(done.state, self.environment.limits)
        if needs_seal(state, done.before, limits) and not line.sealing and not line.sealed:
            line.sealing = True
            self._background(self._seal(line, state))
        crowd = merge_candidates(state.segments, limits)
        if crowd and not line.merging and not line.sealed:
            line.merging = True
            self._background(self._merge(line, state, crowd))

    def _seal(self, line: CommitQueue, state: State) -> Steps[None]:
        sealed = None
        try:
            sealed = yield from seal(state, self.environment)
        finally:
            line.sealing = False
        yield from self._hand_over(line, sealed)

    def _merge(self, line: CommitQueue, state: State, crowd: Sequence[SegmentRef]) -> Steps[None]:
        merged = None
        try:
            merged = yield from merge(state, crowd, self.environment)
        finally:
            line.merging = False
        yield from self._hand_over(line, merged)

    def _hand_over(self, line: CommitQueue, sealed: Sealed | None) -> Steps[None]:
        if sealed is not None:
            line.sealed.append(sealed)
            if not line.led:
                line.led = True
                yield from self._lead(line)

    def _bury(self, line: CommitQueue, files: Sequence[str]) -> Steps[None]:
        try:
            yield from delete_garbage(line.name, files)
            line.buried.update(files)
        finally:
            line.burying.difference_update(files)

    def _background(self, steps: Generator[Any, Any, None]) -> None:
        def quietly() -> Steps[None]:
            with suppress(UnavailableError):  # the sweep or the next commit does it again
                yield from steps

        self._scheduler.spawn(self, quietly())
