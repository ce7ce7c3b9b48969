"""What workers are told: each answer must be true of the task at some moment of the call, or of what the call did."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.errors import ConflictError, NotFoundError
from stowfast.stores.codec import from_time
from tests.simulator.bucket import Violation
from tests.simulator.tasks.model import rests

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stowfast.records import Lease, TaskState
    from tests.simulator.tasks.calls import Attempt, Call
    from tests.simulator.tasks.judge import Moment, TaskJudge
    from tests.simulator.tasks.model import Task

__all__ = ["Answers"]


class Answers:
    """Holds answers against what the judge has seen."""

    def __init__(self, judge: TaskJudge) -> None:
        self._judge = judge
        self._granted: dict[tuple[str, str, int], Call] = {}

    def check(self, attempt: Attempt, answer: Any) -> None:
        """Raise a Violation where an answer was never true."""
        call = attempt.call
        if isinstance(answer, ConflictError | NotFoundError):
            if not any(_refuses(attempt, moment, answer) for moment in self._moments(attempt)):
                raise Violation(f"{call} was refused without a reason: {answer!r}")
            # Of a claim an earlier attempt may be under way yet: another clock has refused this one.
            call.refused = call.verb != "claim"
            return
        true: bool = getattr(self, f"_{call.verb}")(attempt, answer)
        if not true:
            raise Violation(f"{call} was answered {answer}, which was never true")

    def _moments(self, attempt: Attempt, name: str | None = None) -> Iterator[Moment]:
        """Yield what the task was like since the call began."""
        moments = self._judge.moments[name or attempt.call.name]
        for moment, following in zip(moments, [*moments[1:], None], strict=True):
            if following is None or following.at > attempt.began:
                yield moment

    def _save(self, attempt: Attempt, answer: TaskState) -> bool:
        call, position = attempt.call, answer.version - 1
        for effect in call.effects:
            after = effect.after
            if after is not None and (after.incarnation, effect.position) == (answer.incarnation, position):
                # Whoever repeats it is told what goes with that version now, which may not be the newest any more.
                return _is_version(answer, after, position, answer.version) or any(
                    moment.at >= effect.at and _is_of(answer, after, moment) for moment in self._moments(attempt)
                )
        return False

    _update = _save

    def _claim(self, attempt: Attempt, answer: Lease) -> bool:
        call, name = attempt.call, f"tasks/{answer.task_id}"
        other = self._granted.setdefault((name, answer.incarnation, answer.token), call)
        if other is not call:
            raise Violation(f"{call} and {other} got one token, {answer.token}")
        given = [one.after.holder.token for one in call.effects if one.after is not None and one.after.holder]
        return answer.token in given and self._was_held(attempt, name, answer)

    def _claim_next(self, attempt: Attempt, answer: Lease | None) -> bool:
        if answer is not None:
            return self._claim(attempt, answer)
        for name in self._judge.moments:
            moments = self._moments(attempt, name)
            # Each look has a clock of its own.
            if all(_was_free(attempt.call, moment, now) for moment in moments for now in attempt.clocks):
                raise Violation(f"{attempt.call} found nothing, and {name!r} was free all the time")
        return True

    def _renew(self, attempt: Attempt, answer: Lease) -> bool:
        return any(one.at >= attempt.began for one in attempt.call.effects) and self._was_held(
            attempt, attempt.call.name, answer
        )

    def _was_held(self, attempt: Attempt, name: str, lease: Lease) -> bool:
        """Say whether somebody had exactly this lease at some moment."""
        return any(
            moment.task is not None
            and moment.task.incarnation == lease.incarnation
            and _held(moment.task) == _hold_of(lease)
            for moment in self._moments(attempt, name)
        )

    def _release(self, attempt: Attempt, answer: None) -> bool:
        return any(not _holds(attempt.call, moment.task) for moment in self._moments(attempt))

    def _record(self, attempt: Attempt, answer: Any) -> bool:
        key = attempt.call.key
        return any(
            moment.task is not None and key in moment.task.steps and moment.task.steps[key].result == answer
            for moment in self._moments(attempt)
        )

    def _steps(self, attempt: Attempt, answer: dict[str, Any]) -> bool:
        return any(
            answer == (_beside(moment.task)[0] if moment.task is not None else {}) for moment in self._moments(attempt)
        )

    def _prune(self, attempt: Attempt, answer: int) -> bool:
        made = [one for one in attempt.call.effects if one.at >= attempt.began]
        # An earlier attempt may have been late, and have done it beside this one or instead of it.
        return bool(made) if answer else not made or len(attempt.call.attempts) > 1

    def _delete(self, attempt: Attempt, answer: None) -> bool:
        return any(moment.task is None for moment in self._moments(attempt))

    def _load(self, attempt: Attempt, answer: TaskState | None) -> bool:
        version = attempt.call.version
        for moment in self._moments(attempt):
            task, head = moment.task, moment.head
            if task is None or head is None:
                if answer is None:
                    return True
                continue
            position = head.next - 1 if version is None else version - 1
            surely, perhaps = self._shown(attempt, moment)
            if answer is None:
                if position not in surely:
                    return True
            elif position in perhaps and _is_version(answer, task, position, head.next):
                return True
        return False

    def _history(self, attempt: Attempt, answer: list[TaskState]) -> bool:
        for moment in self._moments(attempt):
            task, head = moment.task, moment.head
            if task is None or head is None:
                if not answer:
                    return True
                continue
            surely, perhaps = self._shown(attempt, moment)
            found = [one.version - 1 for one in answer]
            right = found == list(range(head.next - 1, head.next - 1 - len(found), -1))
            if (
                right
                and surely <= set(found) <= perhaps
                and all(_is_version(one, task, one.version - 1, head.next) for one in answer)
            ):
                return True
        return False

    def _shown(self, attempt: Attempt, moment: Moment) -> tuple[set[int], set[int]]:
        """Return the positions that a reader must be shown, and those that it may be shown."""
        task, head = moment.task, moment.head
        assert task is not None
        assert head is not None
        bounds = self._judge.bounds(task)
        newest, low = head.next - 1, max(head.base, head.first)
        if bounds.versions is not None:
            low = max(low, head.next - bounds.versions)
        shown = range(min(low, newest), head.next)
        if bounds.age is None:
            return set(shown), set(shown)
        # Time goes on while they look, and each looks when it likes.
        first, last = min(attempt.clocks, default=0) - bounds.age, max(attempt.clocks, default=0) - bounds.age
        return (
            {at for at in shown if at == newest or task.saved[at].at >= last},
            {at for at in shown if at == newest or task.saved[at].at >= first},
        )


def _refuses(attempt: Attempt, moment: Moment, error: ConflictError | NotFoundError) -> bool:
    """Say whether a call had to be refused at a moment, with these words."""
    call, task = attempt.call, moment.task
    if isinstance(error, NotFoundError):
        return task is None and call.verb in {"claim", "renew", "record", "update"}
    holder = task.holder if task is not None else None
    told = (error.owner, None if error.until is None else from_time(error.until, "until"))
    names_holder = told == ((holder.owner, holder.until) if holder is not None else (None, None))
    if call.verb == "claim":
        return holder is not None and not all(holder.ended(now) for now in attempt.clocks) and names_holder
    if call.lease is not None and not _holds(call, task):
        return names_holder
    if call.verb != "save" or call.expect is None:
        return False
    following = moment.head.next if moment.head is not None else 0
    mine = not call.incarnation or (task is not None and call.incarnation == task.incarnation)
    return error.current == following and (following != call.expect or (call.expect > 0 and not mine))


def _was_free(call: Call, moment: Moment, now: int) -> bool:
    task, head = moment.task, moment.head
    if task is None or head is None or not call.where.items() <= head.labels.items():
        return False
    idle = round(call.idle.total_seconds() * 1e6) if call.idle is not None else 0
    return rests(head, idle, now) and (task.holder is None or task.holder.ended(now))


def _holds(call: Call, task: Task | None) -> bool:
    if task is None or task.holder is None or call.lease is None:
        return False
    return (task.incarnation, task.holder.token) == (call.lease.incarnation, call.lease.token)


def _is_version(answer: TaskState, task: Task, position: int, following: int) -> bool:
    saved = task.saved.get(position)
    if saved is None or (answer.version, answer.incarnation) != (position + 1, task.incarnation):
        return False
    told = {key: value for key, value in answer.data.items() if key != "over"}
    beside = _beside(task) if position == following - 1 else ({}, None)
    return (told, answer.status, answer.steps, _hold_of(answer.lease)) == (saved.call.data, saved.call.status, *beside)


def _is_of(answer: TaskState, saved: Task, moment: Moment) -> bool:
    """Say whether a version is as it was at a moment, at which it may be gone."""
    task, head = moment.task, moment.head
    if task is None or head is None or task.incarnation != saved.incarnation:
        return _is_version(answer, saved, answer.version - 1, 0)
    return _is_version(answer, task, answer.version - 1, head.next)


def _beside(task: Task) -> tuple[dict[str, Any], tuple[str, int, int] | None]:
    return {key: one.result for key, one in task.steps.items()}, _held(task)


def _held(task: Task) -> tuple[str, int, int] | None:
    return task.holder[:3] if task.holder is not None else None


def _hold_of(lease: Lease | None) -> tuple[str, int, int] | None:
    return (lease.owner, lease.token, from_time(lease.expires_at, "expires_at")) if lease is not None else None
