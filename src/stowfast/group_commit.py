"""Group commit: one transaction for the changes that wait at the same time."""

from __future__ import annotations

import asyncio
import threading
import time
import weakref
from collections import deque
from functools import partial
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar

from stowfast.blocking import alone, check_pools, holds, runs_in_place
from stowfast.errors import InvalidError, StowfastError, UnavailableError, nested
from stowfast.jobs import Job, LoopJob, ThreadJob, deliver, unwrap

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Begun", "GroupCommit", "interrupted"]

W = TypeVar("W")
R = TypeVar("R")
B = TypeVar("B")

Begun: TypeAlias = "list[R | StowfastError] | Callable[[], list[R | StowfastError]] | None"
"""The outcome of each work of a batch; or a function to wait for them; or None: nothing was done."""


class GroupCommit(Generic[W, R]):
    """Commits the work of concurrent callers together, in the order of their calls.

    `run(works, wait)` commits a batch and returns the result, or the StowfastError, of each work. With `wait=False` it
    must not block on another process for long. It may return None: nothing was done, and a thread tries again; or a
    function to wait for the rest of the commit: a thread calls it, once, before any other commit.

    A switch to a thread and back costs as much as a commit on a fast disk. While a commit takes less than
    `inline_below` seconds, a batch is committed on the event loop itself. The loop therefore never waits twice for a
    slow disk, and for another process only as long as `run` does with `wait=False`. A single caller commits at once.
    Several callers wait for the end of the current turn of the loop, until every task that is ready to write has queued
    its work.

    A caller without a loop commits in its own thread. While another thread commits, it queues its work instead, and
    the group's thread commits the queue: so many threads share one write to the disk.

    A call that comes inside a commit of the same thread, from a signal handler or a finalizer, is an InvalidError.
    """

    def __init__(self, run: Callable[[Sequence[W], bool], Begun[R]], *, inline_below: float = 250e-6) -> None:
        self._run = run
        self._inline_below = inline_below
        self._queue: deque[Job[W, R]] = deque()
        self._lock = threading.RLock()
        self._fast = self._alone = self._turning = self._busy = self._crowded = False
        self._sent: tuple[Sequence[Job[W, R]], Callable[[], list[R | StowfastError]]] | None = None
        """A batch without its answer, sent by an event loop; and the function to wait for it."""
        self._flushing: set[asyncio.AbstractEventLoop] = set()
        self._thread: threading.Thread | None = None
        self._work: SimpleQueue[bool] = SimpleQueue()
        """For the thread. True: commit the queued work; False: end. A finalizer, too, may put into it at any time."""
        self._starting = threading.RLock()
        self._closed = False

    async def submit(self, work: W) -> R:
        """Commit `work` together with the queued work. A call cancelled before its batch began commits nothing.

        Raises:
            InvalidError: this was closed; or this thread is inside a commit.
            UnavailableError: no thread can be made, and nothing was stored.
        """
        if runs_in_place():
            return self.commit_here(work)
        if holds(self._lock):
            raise nested()
        if self._alone and not self._turning and not self._queue:
            begun = self._commit_alone(work)
            if isinstance(begun, list):
                self._turning = True
                try:
                    await asyncio.sleep(0)  # or a task that writes in a loop would never let another one run
                finally:
                    self._turning = False
                return unwrap(begun[0])
            if begun is not None:
                self._call_thread()
                return await begun
        if self._closed:
            raise _was_closed()
        loop = asyncio.get_running_loop()
        job: LoopJob[W, R] = LoopJob(work, loop)
        self._queue.append(job)
        if loop not in self._flushing:
            self._flushing.add(loop)
            loop.call_soon(self._flush, loop)
        return await job.future

    async def submit_many(self, works: Sequence[W]) -> list[R | StowfastError]:
        """Commit works together, and return the result or the error of each.

        Raises:
            As `submit`.
        """
        if runs_in_place():
            return self._commit_here(works)
        if holds(self._lock):
            raise nested()
        if self._closed:
            raise _was_closed()
        if not works:
            return []
        loop = asyncio.get_running_loop()
        jobs = [LoopJob[W, R](work, loop) for work in works]
        self._queue.extend(jobs)
        if loop not in self._flushing:
            self._flushing.add(loop)
            loop.call_soon(self._flush, loop)
        found = await asyncio.gather(*(job.future for job in jobs), return_exceptions=True)
        return [_checked(one) for one in found]

    def close(self) -> None:
        """Commit the queued work and end the thread.

        Raises:
            InvalidError: this thread is inside a commit. Nothing was closed.
        """
        with alone(self._lock):
            self._commit_queue(wait=True)
            self._closed = True
        with self._starting:
            thread, self._thread = self._thread, None
            self._work.put(False)
        if thread is not None:
            thread.join()

    def check_thread(self) -> None:
        """Raise an InvalidError if this thread is inside a commit."""
        alone(self._lock)

    def commit_here(self, work: W) -> R:
        """Commit `work`, and wait for it in this thread.

        Raises:
            InvalidError: this was closed; or this thread is inside a commit.
            UnavailableError: no thread can be made, and nothing was stored.
        """
        if (self._busy or self._crowded or self._queue or self._sent) and self._may_wait():
            return self._line_up(work)
        return unwrap(self._commit_here((work,))[0])

    def _may_wait(self) -> bool:
        # A finalizer may run in any thread, the group's own included.
        return not holds(self._lock) and threading.current_thread() is not self._thread

    def _line_up(self, work: W) -> R:
        job: ThreadJob[W, R] = ThreadJob(work)
        try:
            self._queue.append(job)
            self._call_thread()
            return job.wait()
        except BaseException:  # an interrupt: work that nobody waits for any more is not begun
            job.cancel()
            raise

    def _commit_here(self, works: Sequence[W]) -> list[R | StowfastError]:
        # `with`, and no try after an acquire: an interrupt between the two would leave the lock held for ever.
        # And only these works: an interrupt would leave the callers of others without an answer.
        with alone(self._lock):
            if self._closed:
                raise _was_closed()
            outcomes = self._commit(works, wait=True) if works else []
        assert isinstance(outcomes, list)
        return outcomes

    def _commit_alone(self, work: W) -> list[R | StowfastError] | asyncio.Future[R] | None:
        """Commit on the event loop. Return the outcome, or its future if the answer is left to the group's thread."""
        try:
            if not self._lock.acquire(blocking=False) or self._closed:
                return None
            begun = self._commit((work,), wait=False)
            if not callable(begun):
                return begun
            job: LoopJob[W, R] = LoopJob(work, asyncio.get_running_loop())
            self._sent = [job], begun
            return job.future
        finally:
            self._release()

    def _flush(self, loop: asyncio.AbstractEventLoop) -> None:
        self._flushing.discard(loop)
        if self._fast and not holds(self._lock):
            try:
                if self._lock.acquire(blocking=False) and self._commit_queue(wait=False):
                    return
            finally:
                self._release()
        self._call_thread()

    def _release(self) -> None:
        # An interrupt may come between the acquire and the next line, so only the lock itself tells.
        if holds(self._lock):
            self._lock.release()

    def _call_thread(self) -> None:
        """Let the thread commit the queued work."""
        refusal: Exception | None = None
        with self._starting:
            try:
                if self._thread is None and not self._closed:
                    self._start()
            except (RuntimeError, InvalidError) as error:
                refusal = error
            else:
                self._work.put(True)
        if refusal is not None:
            self._refuse(refusal)
        if self._closed:  # the thread may have ended before it saw this work
            self.lead()

    def _start(self) -> None:
        check_pools()
        work: SimpleQueue[bool] = SimpleQueue()
        thread = threading.Thread(target=_serve, args=(weakref.ref(self), work), name="stowfast-commit", daemon=True)
        thread.start()
        self._thread, self._work = thread, work
        weakref.finalize(self, work.put, False).atexit = False

    def _refuse(self, error: Exception) -> None:
        """Answer the queued callers where no thread can be made."""
        ours = UnavailableError(f"nothing was stored: no thread can be made: {error}")
        ours.__cause__ = error
        with self._lock:
            self._land()
            jobs = [self._queue.popleft() for _ in range(len(self._queue))]
        deliver(jobs, [ours] * len(jobs))

    def lead(self) -> bool:
        """Commit the queued work in this thread, and return False if this was closed."""
        if self._crowded and self._queue:
            self._gather()
        with self._lock:
            self._commit_queue(wait=True)
            return not self._closed

    def _gather(self) -> None:
        """Let the callers of the last batch queue their next work, for as long as the queue grows."""
        seen = -1
        while len(self._queue) > seen:
            seen = len(self._queue)
            time.sleep(0)

    def _commit_queue(self, *, wait: bool) -> bool:
        if wait:
            self._land()
        batch: list[Job[W, R]] = []
        while self._queue:
            job = self._queue.popleft()
            if job.start():
                batch.append(job)
        if not batch:
            return True
        if self._closed:
            deliver(batch, [_was_closed()] * len(batch))
            return True
        self._crowded = len(batch) > 1 and isinstance(batch[-1], ThreadJob)
        begun = _answered(batch, partial(self._commit, [job.work for job in batch], wait=wait))
        if begun is None:
            self._queue.extendleft(reversed(batch))
        elif callable(begun):
            self._sent = batch, begun
        return isinstance(begun, list)

    def _land(self) -> None:
        """Wait for a batch sent by an event loop, and answer its callers."""
        if self._sent is None:
            return
        try:
            _answered(*self._sent)
        finally:
            self._sent = None

    def _commit(self, works: Sequence[W], *, wait: bool) -> Begun[R]:
        if wait:
            self._land()
        elif self._sent is not None:
            return None
        began = time.perf_counter()
        self._busy = True
        try:
            begun = self._run(works, wait)
        finally:
            self._busy = False
        self._fast = begun is not None and time.perf_counter() - began < self._inline_below
        self._alone = self._fast and len(works) == 1
        return begun


def _serve(group: weakref.ref[GroupCommit[Any, Any]], work: SimpleQueue[bool]) -> None:
    """Commit until the group is closed. A thread that waits does not keep a forgotten group, with its file, alive."""
    goes_on = True
    while goes_on and work.get():
        alive = group()
        goes_on = alive is not None and alive.lead()
        del alive


def _answered(batch: Sequence[Job[Any, Any]], ask: Callable[[], B]) -> B | list[StowfastError]:
    """Give the jobs the outcomes that `ask` returns, or its error. An interrupt is for this thread alone."""
    try:
        begun = ask()
        if isinstance(begun, list):
            deliver(batch, begun)
        return begun
    except Exception as error:  # noqa: BLE001 - it is raised, in every caller that waits for this batch
        outcomes = [interrupted(error)] * len(batch)
        deliver(batch, outcomes)
        return outcomes
    except BaseException as error:  # an interrupt: the callers without an answer must not wait for ever
        deliver(batch, [interrupted(error)] * len(batch))
        raise


def interrupted(error: BaseException) -> StowfastError:
    """Return the StowfastError for callers whose commit ended with any error."""
    if isinstance(error, StowfastError):
        return error
    ours = UnavailableError(f"the commit was interrupted by {error!r}: repeat it with the same op_id")
    ours.__cause__ = error
    return ours


def _was_closed() -> InvalidError:
    return InvalidError("these stores were closed: open them again")


def _checked(outcome: R | BaseException) -> R | StowfastError:
    if isinstance(outcome, BaseException) and not isinstance(outcome, StowfastError):
        raise outcome
    return outcome
