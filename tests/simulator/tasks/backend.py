"""The backend interface over a simulated process: each await of a store runs steps of the protocol, request by request.

A coroutine is driven as the generators of the protocol are, so the loops, caches and retries of a store are played too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, NoReturn, TypeVar

from stowfast.abc import ALL, Backend, Change, Head, Listing, Query, Receipt, Slice, Swept, Window
from stowfast.backends.objects.protocol.listing import heads, listing
from stowfast.backends.objects.protocol.read import read
from stowfast.backends.objects.protocol.requests import Pause
from stowfast.cursors import parse_cursor
from stowfast.errors import StowfastError, UnavailableError
from stowfast.names import check_name
from stowfast.semantics import check

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from stowfast.backends.objects.protocol.state import State
    from tests.simulator.process import Process
    from tests.simulator.scheduler import Answer
    from tests.simulator.tasks.calls import Attempt
    from tests.simulator.tasks.run import TaskRun

__all__ = ["SimulatedBackend"]

R = TypeVar("R")

_STALLED: Final = 0.02
_SECOND: Final = 1_000_000


class _Performed(Generic[R]):
    """Steps, to be awaited."""

    def __init__(self, steps: Generator[Any, Any, R]) -> None:
        self._steps = steps

    def __await__(self) -> Generator[Any, Any, R]:
        return self._steps


class SimulatedBackend(Backend):
    """What one worker has before it. It tells the judge which call each change is of."""

    attempt: Attempt

    def __init__(self, run: TaskRun, process: Process) -> None:
        self._run = run
        self._process = process
        self._seen: dict[str, tuple[State, int, int]] = {}
        """The state of each head that this worker has seen, and when it was asked for."""

    async def commit(self, stream: str, change: Change) -> Receipt:
        check_name(stream)
        check(change)
        run, random = self._run, self._run.scheduler.random
        run.judge.submitted(change, self.attempt)
        if random.random() < run.stalls:
            # In the middle of its call: it has looked, and will commit long after others have gone on.
            self._process.speed = _STALLED
            await _Performed(_pause(random.choice((0, 1, 10, 4_000))))
        began = run.scheduler.step
        outcome: Receipt | StowfastError
        outcome, draft = await _Performed(_waits(self._process.submit(stream, change)))
        if isinstance(outcome, UnavailableError):
            raise outcome
        run.answered(stream, outcome, draft, began)
        if isinstance(outcome, StowfastError):
            raise outcome
        return outcome

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        process = self._process
        began, then = self._run.scheduler.step, process.now()
        asked, found = await _Performed(read(stream, process.known(stream), window, process.environment))
        if asked is None:  # a known state with an equal head may be an older one
            state, began, then = self._seen[repr(window.seen)]
        else:
            process.learn(stream, asked)
            state = asked
            self._seen[repr(found.head)] = asked, began, then
        self._run.saw(stream, state, found, window, (began, then, process.now()))
        return found

    async def remembered(self, stream: str) -> dict[str, Receipt]:
        raise NotImplementedError  # no store asks for them

    async def heads(self, streams: Sequence[str]) -> list[Head | None]:
        process = self._process
        known = {name: state for name in streams if (state := process.known(name)) is not None}
        began, then = self._run.scheduler.step, process.now()
        found, whole = await _Performed(heads(streams, known, process.environment))
        for name, head in zip(streams, found, strict=True):
            self._run.saw_head(name, head, (began, then, process.now()))
        for state in whole:
            process.learn(state.name, state)
        return found

    async def streams(self, query: Query) -> Listing:
        process, last = self._process, parse_cursor(query)
        began, then = self._run.scheduler.step, process.now()
        found = await _Performed(listing(query, last, process.environment))
        for one in found.streams if query.heads else ():
            self._run.saw_head(one.name, one.head, (began, then, process.now()))
        return found

    async def now(self) -> int:
        # The clock of a place as this process knows it, which is not the one that its commits are stamped with.
        await _Performed(_pause(0))
        now = self._process.now() + self._run.drift(self._process)
        self.attempt.clocks.append(now)
        return now

    async def sweep(self, *, dry_run: bool = False) -> Swept:
        await _Performed(self._process.sweep())
        return Swept(0, 0)

    async def wait(self, stream: str, *, incarnation: str | None, next: int, timeout: float) -> NoReturn:
        raise NotImplementedError

    async def write_blob(self, stream: str, chunks: object) -> NoReturn:
        raise NotImplementedError

    def read_blob(self, stream: str, blob: str, *, start: int = 0, stop: int | None = None) -> NoReturn:
        raise NotImplementedError

    async def close(self) -> None:
        return


def _pause(seconds: float) -> Generator[Any, Any, None]:
    yield Pause(seconds)


def _waits(answer: Answer) -> Generator[Any, Any, Any]:
    return (yield answer)
