"""The scheduler: it decides, from a seed, whose request takes effect next, and what goes wrong.

A task is a generator that yields requests, as the protocol does, or an `Answer` that it waits for. Each request of each
task, also each of those asked for side by side, is held until the scheduler picks it.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from stowfast.backends.objects.protocol.requests import ANY, All, Delete, Pause, Put, Remove
from stowfast.errors import UnavailableError
from tests.simulator.bucket import Bucket, Violation

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator
    from random import Random

    Steps = Generator[Any, Any, Any] | Coroutine[Any, Any, Any]

__all__ = ["CALM", "DAY", "MOST_LEAPS", "SPEEDS", "Answer", "Owner", "Scheduler", "Weather"]

DAY: Final = 86_400_000_000
MOST_LEAPS: Final = 5 * DAY
"""Where weeks pass: so that none passes in the middle of a call."""
_STUCK: Final = 20_000
_TRIED: Final = 6
_STALLED: Final = 0.02
_CHANGES: Final = 0.02

SPEEDS: Final = (1.0, 1.0, 0.3, 0.05)
"""How often a process takes its turn: a slow one is overtaken."""


class Owner(Protocol):
    """A process: what it has under way dies with it."""

    speed: float


class Weather(NamedTuple):
    """How much goes wrong in one history."""

    faults: float
    """Of all requests."""
    late: float
    """That something late takes effect now."""
    crashes: float
    """That a process dies now."""
    jumps: float
    """That the clock leaps, by up to three days."""
    weeks: float
    """That a week passes now: no call lasts so long, and no request is under way so long; a memory is."""
    calm: int
    """Steps after which nothing goes wrong any more, so that every history ends."""

    @classmethod
    def of(cls, random: Random) -> Weather:
        return cls(
            random.choice((0.0, 0.05, 0.15, 0.35)),
            random.choice((0.02, 0.1, 0.4)),
            random.choice((0.0, 0.004, 0.015)),
            random.choice((0.0, 0.005, 0.02)),
            0.0,
            random.choice((100, 250, 500)),
        )


CALM: Final = Weather(0, 0, 0, 0, 0, 0)


class Answer:
    """What a task waits for, and another gives."""

    __slots__ = ("error", "given", "task", "value")

    def __init__(self) -> None:
        self.given = False
        self.value: Any = None
        self.error: Exception | None = None
        self.task: _Task | None = None


class _Task:
    __slots__ = ("left", "owner", "results", "several", "steps")

    def __init__(self, owner: Owner, steps: Steps) -> None:
        self.owner = owner
        self.steps = steps
        self.results: list[Any] = []
        self.left = 0
        self.several = False


class _Op(NamedTuple):
    task: _Task
    slot: int
    request: Any


class Scheduler:
    def __init__(self, random: Random, weather: Weather, bucket: Bucket) -> None:
        self.random = random
        self.weather = weather
        self.bucket = bucket
        self.clock = 100 * DAY
        self.step = 0
        self.stalls = 0.3
        """Of the commits without an answer: how many stall their process."""
        self.counts: Counter[str] = Counter()
        self.trace: Callable[[str], None] | None = None
        self.crash: Callable[[], None] = lambda: None
        self.week: Callable[[], None] = lambda: None
        self.week_is_due = False
        self.leaps: float = float("inf")
        """How far the clock may leap yet, until a week passes."""
        self._pending: list[_Op] = []
        self._late: list[Put | Delete | Remove] = []

    def spawn(self, owner: Owner, steps: Steps) -> None:
        """Begin a task."""
        self._resume(_Task(owner, steps), None, None)

    def give(self, answer: Answer, value: Any, error: Exception | None = None) -> None:
        """Answer whoever waits, now or later."""
        answer.given, answer.value, answer.error = True, value, error
        if answer.task is not None:
            self._pending.append(_Op(answer.task, 0, answer))

    def run(self) -> None:
        """Go on until nobody wants anything any more."""
        random, weather, draw = self.random, self.weather, self.random.random
        end = self.step + _STUCK
        while self._pending:
            self.step += 1
            if self.step > end:
                raise Violation("the history does not end")
            self.clock += 1_000 + int(draw() * 100_000)
            if self.step <= weather.calm:
                if weather.jumps and draw() < weather.jumps:
                    leap = min(int(draw() * 3 * DAY), self.leaps)
                    self.leaps -= leap
                    self.clock += int(leap)
                if weather.weeks and (self.week_is_due or draw() < weather.weeks):
                    self._pass_a_week()
                    continue
                if draw() < _CHANGES:
                    self._pending[int(draw() * len(self._pending))].task.owner.speed = random.choice(SPEEDS)
                if weather.crashes and draw() < weather.crashes:
                    self.crash()
                    continue
            if self._late and draw() < weather.late:
                self._apply_late(random.randrange(len(self._late)))
            self._perform(self._pick())

    def flush(self) -> None:
        """Let everything that is late take effect."""
        while self._late:
            self._apply_late(self.random.randrange(len(self._late)))

    def _pass_a_week(self) -> None:
        """Let all that is under way end, and a week pass; then only what its own token would stop may arrive."""
        for owner in {op.task.owner for op in self._pending}:
            self._end(owner)
        self._late = [late for late in self._late if not isinstance(late, Put) or isinstance(late.condition, tuple)]
        self.clock += 8 * DAY
        self.week_is_due = False
        self.leaps = MOST_LEAPS
        self.counts["weeks"] += 1
        self._tell("a week passes")
        self.week()

    def kill(self, owner: Owner) -> None:
        """End a process. What it has under way may take effect yet."""
        self._end(owner)
        self.counts["crashes"] += 1
        self._tell("crash", owner)

    def _end(self, owner: Owner) -> None:
        dead = [op for op in self._pending if op.task.owner is owner]
        self._pending = [op for op in self._pending if op.task.owner is not owner]
        for op in dead:
            self._abandon(op)

    def _pick(self) -> _Op:
        pending, draw = self._pending, self.random.random
        index = int(draw() * len(pending))
        for _ in range(_TRIED):
            if draw() < pending[index].task.owner.speed:
                break
            index = int(draw() * len(pending))
        op = pending[index]
        pending[index] = pending[-1]
        pending.pop()
        return op

    def _perform(self, op: _Op) -> None:
        request = op.request
        if type(request) is Answer:
            self._resume(op.task, request.value, request.error)
            return
        if type(request) is Pause:
            self.clock += int(request.seconds * 1_000_000)
            self._done(op, None)
            return
        self.counts["requests"] += 1
        if self.step > self.weather.calm or self.random.random() >= self.weather.faults:
            result = self.bucket.apply(request, self.clock)
            if self.trace is not None:
                self._tell(op.task.owner, request, "->", "nothing" if result is None else "")
            self._done(op, result)
        elif type(request) is Remove or (type(request) is Put and request.condition is not ANY):
            self._go_wrong_in_silence(op, request)
        else:
            self._go_wrong(op, request)

    def _go_wrong_in_silence(self, op: _Op, request: Put | Remove) -> None:
        kind = self.random.choice(("refused", "lost", "late", "doubled"))
        self.counts[f"{kind} {'commits' if type(request) is Put else 'removals'}"] += 1
        self._tell(op.task.owner, request, kind)
        result = None
        if kind == "lost":
            self.bucket.apply(request, self.clock)
        elif kind == "doubled":
            result = self.bucket.apply(request, self.clock)
        if kind in {"late", "doubled"}:
            self._late.append(request)
        if kind != "doubled" and self.random.random() < self.stalls:
            # Whoever gets no answer has a bad connection, and others do much before it has looked.
            op.task.owner.speed = _STALLED
        self._done(op, result)

    def _go_wrong(self, op: _Op, request: Any) -> None:
        writes = type(request) in {Put, Delete}
        kind = self.random.choice(("failed", "lost", "late", "doubled")) if writes else "failed"
        self.counts[f"{kind} {type(request).__name__.lower()}s"] += 1
        self._tell(op.task.owner, request, kind)
        if kind in {"lost", "doubled"}:
            self.bucket.apply(request, self.clock)
        if kind in {"late", "doubled"}:
            self._late.append(request)
        if kind == "doubled":
            # It was sent again when the answer did not come, and the first is still under way.
            self._done(op, self.bucket.objects[request.key].token if type(request) is Put else None)
            return
        if op.task.several:
            others = [other for other in self._pending if other.task is op.task]
            self._pending = [other for other in self._pending if other.task is not op.task]
            for other in others:
                self._abandon(other)
        self._resume(op.task, None, UnavailableError("no answer"))

    def _abandon(self, op: _Op) -> None:
        if type(op.request) in {Put, Delete, Remove} and self.random.random() < 0.5:
            self._late.append(op.request)

    def _apply_late(self, index: int) -> None:
        request = self._late[index]
        self._late[index] = self._late[-1]
        self._late.pop()
        result = self.bucket.apply(request, self.clock)
        self._tell("late", request, "->", "nothing" if result is None else "")
        self.counts["late effects"] += 1

    def _done(self, op: _Op, result: Any) -> None:
        task = op.task
        task.results[op.slot] = result
        task.left -= 1
        if not task.left:
            self._resume(task, task.results if task.several else result, None)

    def _resume(self, task: _Task, value: Any, error: Exception | None) -> None:
        try:
            request = task.steps.send(value) if error is None else task.steps.throw(error)
        except StopIteration:
            return
        if type(request) is All:
            task.several, task.left, task.results = True, len(request.requests), [None] * len(request.requests)
            self._pending += [_Op(task, index, one) for index, one in enumerate(request.requests)]
            return
        if type(request) is Answer and not request.given:
            request.task = task
            return
        task.several, task.left, task.results = False, 1, [None]
        self._pending.append(_Op(task, 0, request))

    def _tell(self, *what: object) -> None:
        if self.trace is not None:
            self.trace(" ".join([f"{self.step:5}", *map(_short, what)]))


def _short(what: object) -> str:
    if isinstance(what, Put):
        condition = what.condition if what.condition is ANY or not isinstance(what.condition, tuple) else "if-match"
        return f"PUT {what.key[-50:]} {condition}"
    return str(what)[:160]
