"""The jobs of a group commit: the work of one caller each, and the way its outcome comes back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from stowfast.answers import Answer
from stowfast.blocking import runs_in_place
from stowfast.errors import StowfastError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Job", "LoopJob", "ThreadJob", "deliver", "unwrap"]

W = TypeVar("W")
R = TypeVar("R")


class LoopJob(Generic[W, R]):
    """The work of a caller on an event loop."""

    __slots__ = ("future", "loop", "outcome", "work")

    def __init__(self, work: W, loop: asyncio.AbstractEventLoop) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[R] = loop.create_future()
        self.outcome: Any = None

    def start(self) -> bool:
        """Return False if the caller has given up."""
        return not self.future.cancelled()

    def answer(self) -> None:
        """Wake the caller, in the thread of its loop."""
        if self.future.done():
            return
        if isinstance(self.outcome, StowfastError):
            self.future.set_exception(self.outcome)
        else:
            self.future.set_result(self.outcome)


class ThreadJob(Generic[W, R]):
    """The work of a caller that waits in its thread."""

    __slots__ = ("_came", "outcome", "work")

    def __init__(self, work: W) -> None:
        self.work = work
        self.outcome: Any = None
        self._came: Answer[R | StowfastError] = Answer()

    def start(self) -> bool:
        """Return False if the caller has given up."""
        return self._came.start()

    def cancel(self) -> None:
        """Give up, unless the work has begun."""
        self._came.cancel()

    def answer(self) -> None:
        """Wake the caller, from any thread."""
        self._came.resolve(self.outcome)

    def wait(self) -> R:
        """Return the outcome, or raise it if it is an error."""
        return unwrap(self._came.wait())


Job: TypeAlias = "LoopJob[W, R] | ThreadJob[W, R]"


def deliver(batch: Sequence[Job[Any, R]], outcomes: Sequence[R | StowfastError]) -> None:
    """Give each job its outcome, and wake its caller."""
    # In a signal handler the loop of this thread may be asleep, and only `call_soon_threadsafe` wakes it.
    here = None if runs_in_place() else asyncio._get_running_loop()  # noqa: SLF001 - the public one raises without a loop
    elsewhere: dict[asyncio.AbstractEventLoop, list[LoopJob[Any, R]]] = {}
    for job, outcome in zip(batch, outcomes, strict=True):
        job.outcome = outcome
        if isinstance(job, ThreadJob) or job.loop is here:
            job.answer()
        else:
            elsewhere.setdefault(job.loop, []).append(job)
    for loop, jobs in elsewhere.items():
        with suppress(RuntimeError):  # that loop was closed while its work was committed: nobody waits for it
            loop.call_soon_threadsafe(_answer, jobs)


def _answer(jobs: Iterable[LoopJob[Any, Any]]) -> None:
    for job in jobs:
        job.answer()


def unwrap(outcome: R | StowfastError) -> R:
    """Return an outcome, or raise it if it is an error."""
    if isinstance(outcome, StowfastError):
        raise outcome
    return outcome
