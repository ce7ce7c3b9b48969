"""Blocking work under the one async core: in a thread for async callers, in the calling thread for the sync face.

A backend whose driver blocks awaits nothing but `in_thread`, `settle` and `GroupCommit.submit`. Its coroutines then
run to their end in one step when `run_in_place` drives them: the sync face pays for no event loop and no thread.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from concurrent.futures import InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Generic, TypeVar, TypeVarTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from concurrent.futures import Executor, Future

__all__ = ["GroupCommit", "Job", "in_thread", "run_in_place", "settle", "wake"]

W = TypeVar("W")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_here = threading.local()


def _in_place() -> bool:
    return getattr(_here, "driving", False)


def run_in_place(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine that never really suspends to its end, in this thread, also inside a running event loop."""
    outer, _here.driving = _in_place(), True
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        _here.driving = outer
    coroutine.close()
    raise RuntimeError("a coroutine of an in-place backend waited for an event loop")


async def in_thread(executor: Executor, function: Callable[[*Ts], R], *args: *Ts) -> R:
    """Call a blocking function without blocking the event loop. Under `run_in_place` it is called as it stands.

    Cancellation does not reach the function: it runs to its end in its thread.
    """
    if _in_place():
        return function(*args)
    return await asyncio.get_running_loop().run_in_executor(executor, function, *args)


async def settle(future: Future[R], timeout: float) -> R | None:
    """Wait for a thread's future, at most `timeout` seconds; None when time is up."""
    try:
        if _in_place():
            return future.result(timeout)
        return await asyncio.wait_for(asyncio.wrap_future(future), timeout)
    except TimeoutError:
        return None


def wake(futures: Iterable[Future[bool]]) -> None:
    """Set futures that others wait for, or have stopped waiting for."""
    for future in futures:
        with suppress(InvalidStateError):
            future.set_result(True)


class Job(Generic[W, R]):
    """One caller's work in a group: `run` sets `result` or `error`."""

    __slots__ = ("done", "error", "future", "loop", "result", "work")

    def __init__(self, work: W, loop: asyncio.AbstractEventLoop | None) -> None:
        self.work = work
        self.loop = loop
        self.future: asyncio.Future[R] | None = loop.create_future() if loop else None
        self.result: R | None = None
        self.error: BaseException | None = None
        self.done = False


class GroupCommit(Generic[W, R]):
    """Commits what concurrent callers ask for together, in the order they asked.

    `run(jobs, wait)` commits a batch and sets each job's `result` or `error`. With `wait=False` it must not block on
    another process and may answer False: nothing was done, try again in a thread.

    A thread switch costs 30 to 50 microseconds each way, as much as a commit on a fast disk. So a batch is committed
    on the event loop itself as long as the last commit took less than `inline_below` seconds, and in a thread as
    soon as one takes longer: the loop never waits for a slow disk twice, nor for another process at all.
    """

    def __init__(self, run: Callable[[list[Job[W, R]], bool], bool], *, inline_below: float = 250e-6) -> None:
        self._run = run
        self._inline_below = inline_below
        self._queue: deque[Job[W, R]] = deque()
        self._lock = threading.Lock()
        self._fast = False
        self._work = threading.Semaphore(0)
        self._thread: threading.Thread | None = None
        self._flushing: set[asyncio.AbstractEventLoop] = set()
        self._closed = False

    async def submit(self, work: W) -> R:
        """Commit `work` with whatever else is waiting. Cancelled before its batch began, it is not done at all."""
        if _in_place():
            job: Job[W, R] = Job(work, None)
            self._queue.append(job)
            self._lead()
            if job.error is not None:
                raise job.error
            return job.result  # type: ignore[return-value]
        loop = asyncio.get_running_loop()
        job = Job(work, loop)
        self._queue.append(job)
        if loop not in self._flushing:
            # By the end of this turn of the loop every task that is ready to write has queued its work.
            self._flushing.add(loop)
            loop.call_soon(self._flush, loop)
        assert job.future is not None
        return await job.future

    def close(self) -> None:
        """Commit what is queued and end the thread."""
        self._lead()
        self._closed = True
        if self._thread is not None:
            self._work.release()
            self._thread.join()
            self._thread = None

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flushing.discard(loop)
        if self._fast and self._lock.acquire(blocking=False):
            try:
                committed = self._commit(wait=False)
            finally:
                self._lock.release()
            if committed:
                return
        if self._thread is None:
            self._thread = threading.Thread(target=self._serve, name="holdfast-commit", daemon=True)
            self._thread.start()
        self._work.release()

    def _serve(self) -> None:
        while True:
            self._work.acquire()
            self._lead()
            if self._closed:
                return

    def _lead(self) -> None:
        with self._lock:
            self._commit(wait=True)

    def _commit(self, *, wait: bool) -> bool:
        batch: list[Job[W, R]] = []
        while self._queue:
            job = self._queue.popleft()
            if job.future is None or not job.future.cancelled():
                batch.append(job)
        if not batch:
            return True
        began = time.perf_counter()
        try:
            if not self._run(batch, wait):
                self._queue.extendleft(reversed(batch))
                return False
        except BaseException as error:  # noqa: BLE001 - it is raised, in every caller that waits for this batch
            for job in batch:
                job.error = error
        self._fast = time.perf_counter() - began < self._inline_below
        self._deliver(batch)
        return True

    @staticmethod
    def _deliver(batch: list[Job[W, R]]) -> None:
        here = asyncio._get_running_loop()  # noqa: SLF001 - the public one raises where there is none, at ten times the cost
        elsewhere: dict[asyncio.AbstractEventLoop, list[Job[W, R]]] = {}
        for job in batch:
            if job.loop is None:
                continue
            if job.loop is here:
                _answer([job])
            else:
                elsewhere.setdefault(job.loop, []).append(job)
        for loop, jobs in elsewhere.items():
            try:
                loop.call_soon_threadsafe(_answer, jobs)
            except RuntimeError:  # that loop was closed while its work was committed: nobody waits for the answer
                continue


def _answer(jobs: list[Job[Any, Any]]) -> None:
    for job in jobs:
        if job.future is None or job.future.done():
            continue
        if job.error is not None:
            job.future.set_exception(job.error)
        else:
            job.future.set_result(job.result)
