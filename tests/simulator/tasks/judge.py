"""The judge of tasks: it sees each change take effect, and holds the task after it against what the call may do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from stowfast.backends.objects.protocol.keys import HEADS
from tests.simulator.bucket import Violation
from tests.simulator.drafts import WatchedDraft, remembered
from tests.simulator.judge import Judge
from tests.simulator.model import Snapshot, made
from tests.simulator.tasks.calls import Effect
from tests.simulator.tasks.model import Bounds, Hold, Step, Task, bounds_of, check_whole, note_of, rests, saved

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from stowfast.abc import Change, Head
    from tests.simulator.bucket import Bucket, Stored
    from tests.simulator.scheduler import Scheduler
    from tests.simulator.tasks.calls import Attempt, Call

__all__ = ["Moment", "TaskJudge"]


class Moment(NamedTuple):
    """A task from one change to the next."""

    at: int
    """The step since which it is so."""
    head: Head | None
    task: Task | None


class TaskJudge(Judge):
    """Keeps what each task was, from each change to the next.

    Args:
        default: how many versions of a task stay that was saved without a word about it.
        one_clock: all processes have the same clock, so that tokens also grow from one life of a task to the next.
    """

    def __init__(
        self, names: Sequence[str], bucket: Bucket, scheduler: Scheduler, default: Bounds, *, one_clock: bool
    ) -> None:
        super().__init__(names, bucket, scheduler)
        self.default = default
        self.moments = {name: [Moment(0, None, None)] for name in names}
        self._one_clock = one_clock
        self._greatest = dict.fromkeys(names, 0)
        self._attempts: dict[int, tuple[Change, Attempt]] = {}

    def submitted(self, change: Change, attempt: Attempt) -> None:
        """Take down of which call a change is."""
        self._attempts[id(change)] = change, attempt
        attempt.committed = self._scheduler.step if attempt.committed is None else attempt.committed

    def put(self, key: str, stored: Stored) -> None:
        super().put(key, stored)
        if not key.startswith(HEADS):
            return
        name = self._names[key]
        before, after = self.snapshots[name][-2:]
        for one in WatchedDraft.known_by_id[self.states[name].id].made:
            now = made(before, one, after.number, remembered())
            if now is not before:
                now = now._replace(head=now.head and now.head._replace(name=name))
                self._took_effect(name, one.change, before, now)
            before = now

    def bounds(self, task: Task) -> Bounds:
        """Return how many versions of a task stay."""
        return task.keep if task.keep is not None else self.default

    def _took_effect(self, name: str, change: Change, was: Snapshot, now: Snapshot) -> None:
        attempt = self._attempts[id(change)][1]
        call, before = attempt.call, self.moments[name][-1].task
        step = self._scheduler.step
        if call.refused:
            raise Violation(f"{call} was refused, and is made all the same")
        if call.verb != "claim_next" and call.name != name:
            raise Violation(f"{call} changes {name!r}")
        self._scheduler.counts[f"{call.verb} made"] += 1
        effect = Effect(step, before, None)
        after = self._after(attempt, effect, before, was, now)
        if after is not None:
            assert now.head is not None
            after = self._held(name, now.head, now.entries.keys(), after)
        effect.after = after
        call.effects.append(effect)
        self.moments[name].append(Moment(step, now.head, after))

    def _after(self, attempt: Attempt, effect: Effect, task: Task | None, was: Snapshot, now: Snapshot) -> Task | None:
        """Return what a task must be after a call."""
        call = attempt.call
        if (call.verb == "delete") != (now.head is None):
            raise Violation(f"{call} leaves {now.head}")
        if now.head is None:
            return None
        if call.verb in {"save", "update"}:
            return self._saved(attempt, effect, task, was, now)
        if task is None or was.head is None or now.head.incarnation != task.incarnation:
            raise Violation(f"{call} begins a task")
        if _beside_note(now.head, call) != _beside_note(was.head, call):
            raise Violation(f"{call} changes more than it should: {was.head} becomes {now.head}")
        if call.verb == "prune":
            return self._pruned(attempt, task, was, now.head)
        if call.verb in {"claim", "claim_next"}:
            idle = round(call.idle.total_seconds() * 1e6) if call.idle is not None else 0
            if not any(rests(was.head, idle, now) for now in attempt.clocks):
                raise Violation(
                    f"{call} takes a task that was changed at {was.head.updated_at}: it is {attempt.clocks}"
                )
            return self._claimed(attempt, task, now.head)
        return self._noted(attempt, effect, task, now.head)

    @staticmethod
    def _noted(attempt: Attempt, effect: Effect, task: Task, head: Head) -> Task:
        """Return what a task must be after a call that changes its note alone."""
        call = attempt.call
        if call.lease is not None and not _holds(task, call):
            raise Violation(f"{call} is made though the lease has passed on to {task.holder}")
        if call.verb == "renew":
            assert task.holder is not None
            until, length = _until(attempt, head)
            return task._replace(holder=task.holder._replace(until=until, length=length))
        if call.verb == "release":
            return task._replace(holder=None)
        if call.verb == "record":
            if call.key in task.steps:
                raise Violation(f"{call} records once more what is recorded as {task.steps[call.key]}")
            return task._replace(steps={**task.steps, call.key: Step(call.data, effect.at)})
        raise Violation(f"{call} changes a task")

    def _claimed(self, attempt: Attempt, task: Task, head: Head) -> Task:
        call, holder, token = attempt.call, task.holder, note_of(head).token
        if holder is not None and call.op_id is not None and (holder.owner, holder.op_id) == (call.owner, call.op_id):
            raise Violation(f"{call} is made again, and it has the task already")
        if holder is not None and not any(holder.ended(now) for now in attempt.clocks):
            raise Violation(f"{call} takes a task from {holder}, whose time is not up: it is {attempt.clocks}")
        if not call.where.items() <= head.labels.items():
            raise Violation(f"{call} takes a task with {head.labels}")
        if token <= task.greatest:
            raise Violation(f"{call} gets the token {token}, and {task.greatest} was given before")
        if self._one_clock and token <= self._greatest[head.name]:
            raise Violation(f"{call} gets the token {token}, of an earlier life {self._greatest[head.name]} was given")
        self._greatest[head.name] = max(self._greatest[head.name], token)
        if holder is not None:
            self._scheduler.counts["leases passed on"] += 1
        return task._replace(holder=Hold(call.owner, token, *_until(attempt, head), call.op_id), greatest=token)

    def _saved(self, attempt: Attempt, effect: Effect, task: Task | None, was: Snapshot, now: Snapshot) -> Task:
        call, head = attempt.call, now.head
        assert head is not None
        position = effect.position = head.next - 1
        if position != (was.head.next if was.head is not None else 0):
            raise Violation(f"{call} becomes version {position + 1} of {was.head}")
        if any(one.after and one.after.incarnation == head.incarnation and one.position in was.entries
               for one in call.effects):  # fmt: skip
            raise Violation(f"{call} is saved twice")
        if call.lease is not None and (task is None or not _holds(task, call)):
            raise Violation(f"{call} is saved though the lease has passed on: {task and task.holder}")
        if task is None:
            task = Task(head.incarnation, None, 0, {}, None, {}, 0)
        elif head.incarnation != task.incarnation:
            raise Violation(f"{call} ends a task")
        found = saved(call, now.entries[position].data, position, head.updated_at, task.saved)
        record = json.loads(found.text)
        over = record["data"].pop("over", None)
        if record["data"] != call.data or head.labels != {"status": call.status}:
            raise Violation(f"{call} is saved as {record} with {head.labels}")
        expect, life = (call.expect, call.incarnation) if call.verb == "save" else over
        if expect is not None and (expect != position or (expect and life not in {"", head.incarnation})):
            raise Violation(f"{call} is saved over version {position} of {head.incarnation}, not over {expect}")
        return task._replace(
            steps=self._covered(attempt, task.steps, note_of(head).steps),
            keep=task.keep if call.retention is None else bounds_of(call.retention),
            saved={**task.saved, position: found},
        )

    def _covered(self, attempt: Attempt, steps: Mapping[str, Step], left: Mapping[str, Any]) -> dict[str, Step]:
        """Return the ledger after a save: what it covers is gone, and only that."""
        call = attempt.call
        if call.covers is not None or call.verb == "update":
            return {key: one for key, one in steps.items() if key not in (call.covers or ())}
        if call.lease is None and not call.expect:
            return dict(steps)
        # Whether it covers what others have recorded before, or is recorded beside it, is not said.
        assert attempt.committed is not None
        stay = {key for key, one in steps.items() if one.at > attempt.committed}
        stay.update(key for key in left if key in steps and steps[key].result not in attempt.seen)
        return {key: one for key, one in steps.items() if key in stay}

    def _pruned(self, attempt: Attempt, task: Task, was: Snapshot, head: Head) -> Task:
        call = attempt.call
        assert was.head is not None
        if head.base <= was.head.base or head.base >= head.next:
            raise Violation(f"{call} leaves {head}")
        if call.keep is not None and head.base > head.next - call.keep:
            raise Violation(f"{call} leaves {head.next - head.base} versions")
        if call.older_than is not None:
            since = max(attempt.clocks) - round(call.older_than.total_seconds() * 1e6)
            young = [at for at, one in was.entries.items() if at < head.base and one.at >= since]
            if young:
                raise Violation(f"{call} ends {young}, which are not so old")
        return task

    def _held(self, name: str, head: Head, there: Collection[int], task: Task) -> Task:
        """Hold what is stored against what should be, and return the task with what may be gone from now on."""
        note = note_of(head)
        should = (task.greatest, task.holder, {key: one.result for key, one in task.steps.items()}, task.keep)
        if note != should or list(note.steps) != list(task.steps):
            raise Violation(f"{name!r} has {note}, and should have {should}")
        bounds, low = self.bounds(task), head.base
        if bounds.versions is not None:
            low = max(low, head.next - bounds.versions)
        if bounds.age is not None:
            since = head.updated_at - bounds.age
            low = max([low, *(position + 1 for position, one in task.saved.items() if one.at < since)])
        task = task._replace(gone=max(task.gone, min(low, head.next - 1)))
        check_whole(name, task, there, task.gone)
        return task


def _holds(task: Task, call: Call) -> bool:
    assert call.lease is not None
    mine = call.lease.incarnation == task.incarnation
    return mine and task.holder is not None and task.holder.token == call.lease.token


def _beside_note(head: Head, call: Call) -> Head:
    """Return what no call changes but one that saves; a prune leaves fewer versions instead of another note."""
    kept = head._replace(revision=0, updated_at=0)
    return kept._replace(base=0, first=0, length=0) if call.verb == "prune" else kept._replace(note=b"")


def _until(attempt: Attempt, head: Head) -> tuple[int, int]:
    """Return until when a lease holds, and how long: from some moment of the call on, by the clock of the place."""
    call, holder = attempt.call, note_of(head).holder
    assert call.ttl is not None
    length = round(call.ttl.total_seconds() * 1e6)
    ends = [now + length for now in attempt.clocks]
    if holder is None or holder.until not in ends:
        raise Violation(f"{call} leaves {holder}, which should end at one of {ends}")
    return holder.until, length
