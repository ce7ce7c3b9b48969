"""Blocking work under the one async core: in a thread for async callers, in the calling thread for the sync face.

A backend with a blocking driver awaits only `in_thread`, `outcome`, `Answer` and `GroupCommit.submit`. `run_in_place`
then runs its coroutines to their end in one step, so the sync face needs no event loop and no second thread.

Python runs signal handlers and finalizers in the middle of any call. A lock that is asked for there may be held by the
call below it, in the same thread, and would never be free. So each lock that a caller's thread takes is an RLock, which
knows its thread, and is taken as `with alone(lock):`.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, TypeVarTuple

from stowfast.errors import InvalidError, StowfastError, UnavailableError, nested

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from concurrent.futures import Executor
    from types import CodeType

__all__ = [
    "Flag",
    "alone",
    "begin",
    "check_pools",
    "finish",
    "holds",
    "in_thread",
    "outcome",
    "outcomes",
    "outcomes_in_threads",
    "pause",
    "run_in_place",
    "runs_in_place",
    "submit",
]

W = TypeVar("W")
A = TypeVar("A")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_here = threading.local()

_LOCKED_BY_PYTHON: Final[frozenset[CodeType]] = frozenset(
    function.__code__
    for function in (
        ThreadPoolExecutor.submit,
        ThreadPoolExecutor.shutdown,
        threading.Semaphore.release,  # at the end of each piece of work of a pool
        threading.Thread.start,
    )
)
"""The functions of Python that hold a lock of all thread pools, or of one, that no caller can see."""


def holds(lock: threading.RLock) -> bool:
    """Return True if this thread holds the lock."""
    return bool(lock._is_owned())  # type: ignore[attr-defined]  # noqa: SLF001 - threading.Condition calls it, too


def alone(lock: threading.RLock) -> threading.RLock:
    """Return a lock to be taken at once, but not one that this thread holds.

    Raises:
        InvalidError: this thread holds it: the call came inside another one, from a signal handler or a finalizer.
    """
    # No class with an `__enter__` of its own: an interrupt in there would leave the lock held for ever.
    if holds(lock):
        raise nested()
    return lock


def runs_in_place() -> bool:
    """Say whether `run_in_place` drives the coroutine that asks."""
    return getattr(_here, "driving", False)


def run_in_place(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine that never suspends to its end, in this thread, also inside a running event loop.

    Raises:
        InvalidError: the coroutine suspended, for example in an async function of the caller.
    """
    outer, _here.driving = runs_in_place(), True
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        _here.driving = outer
    coroutine.close()
    raise InvalidError("an async function that waits cannot be run here: pass a plain one, or use the async face")


async def in_thread(executor: Executor, function: Callable[[*Ts], R], *args: *Ts) -> R:
    """Call a blocking function in a thread. Under `run_in_place` it is called in this thread.

    Cancellation does not reach the function: it runs to its end in its thread.

    Raises:
        UnavailableError, InvalidError: as `submit`.
    """
    if runs_in_place():
        return function(*args)
    return await asyncio.wrap_future(submit(executor, function, *args))


async def finish(executor: Executor, function: Callable[[*Ts], R], *args: *Ts) -> R:
    """Call a blocking function in a thread or, where no thread can be made, here: for the end of a backend."""
    try:
        return await in_thread(executor, function, *args)
    except UnavailableError as error:
        if not isinstance(error.__cause__, RuntimeError):
            raise
    return function(*args)


def begin(executor: Executor, function: Callable[[*Ts], R], *args: *Ts) -> Future[R]:
    """Start a blocking function in a thread and return its future. Under `run_in_place` it is called now."""
    if not runs_in_place():
        return submit(executor, function, *args)
    future: Future[R] = Future()
    try:
        future.set_result(function(*args))
    except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
        future.set_exception(error)
    return future


class Flag:
    """A `threading.Event` that a signal handler may wait for, too, while its thread waits for it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._set = False

    def set(self) -> None:
        """Set it for good, and wake the waiters."""
        with self._condition:
            self._set = True
            self._condition.notify_all()

    def is_set(self) -> bool:
        """Return True if it was set."""
        return self._set

    def wait(self, timeout: float) -> bool:
        """Wait at most `timeout` seconds, and return True if it was set."""
        with self._condition:
            return self._condition.wait_for(self.is_set, timeout)


class _Call(Generic[R]):
    """A function and its arguments. An executor keeps in its queue a call for which it could make no thread."""

    def __init__(self, function: Callable[[*Ts], R], args: tuple[*Ts]) -> None:
        self._function: Callable[[], R] | None = lambda: function(*args)

    def __call__(self) -> R:
        function, self._function = self._function, None
        if function is None:
            raise UnavailableError("this call was given up before it began")
        return function()

    def forget(self) -> None:
        self._function = None


def check_pools() -> None:
    """Raise an InvalidError inside a call of Python's own that holds the lock of all thread pools.

    Who waits there for another thread may wait for ever: that thread may need a pool.
    """
    frame = sys._getframe()  # noqa: SLF001 - the lock of the pools does not tell who holds it, only the stack does
    while (frame := frame.f_back) is not None:  # type: ignore[assignment]
        if frame.f_code in _LOCKED_BY_PYTHON:
            raise nested()


def submit(executor: Executor, function: Callable[[*Ts], R], *args: *Ts) -> Future[R]:
    """Start a blocking function in a thread of the executor, also under `run_in_place`.

    Raises:
        UnavailableError: no thread can be made: the system has no more, or the interpreter is exiting.
        InvalidError: the executor was shut down, as its backend was closed; or the call came inside one of Python's own
            that holds the lock of all thread pools.
    """
    check_pools()
    call = _Call(function, args)
    try:
        return executor.submit(call)
    except RuntimeError as error:
        call.forget()
        # At the exit of the interpreter Python itself ends all pools: that is no closing of ours.
        if str(error).endswith("after shutdown") and threading.main_thread().is_alive():
            raise InvalidError("these stores were closed: open them again") from error
        raise UnavailableError(f"no thread can be made: {error}") from error


async def outcome(future: Future[R]) -> R:
    """Wait for a thread's future, without a time limit. A cancelled wait cancels a function that has not started."""
    return future.result() if runs_in_place() else await asyncio.wrap_future(future)


async def outcomes(calls: Iterable[Coroutine[Any, Any, R]]) -> list[R | StowfastError]:
    """Return the result or the StowfastError of each call: side by side, or one after the other in `run_in_place`.

    Another error is raised after all calls have ended.
    """
    if runs_in_place():
        return [await _outcome_of(call) for call in calls]
    begun = list(calls)
    try:
        found = await asyncio.gather(*map(_outcome_of, begun), return_exceptions=True)
    finally:
        for call in begun:
            call.close()  # a task that was cancelled before its first step has not begun its call
    results: list[R | StowfastError] = []
    for one in found:
        if isinstance(one, BaseException) and not isinstance(one, StowfastError):
            raise one
        results.append(one)
    return results


async def _outcome_of(call: Coroutine[Any, Any, R]) -> R | StowfastError:
    try:
        return await call
    except StowfastError as error:
        return error


async def outcomes_in_threads(
    executor: Executor, function: Callable[[A], R], arguments: Sequence[A], together: int
) -> list[R | StowfastError]:
    """Return the result or the StowfastError of a blocking function for each argument, in the given order.

    In threads under `run_in_place`, too, `together` at a time: there `outcomes` runs one call after the other.

    Raises:
        UnavailableError, InvalidError: as `submit`. Calls before may be made.
    """
    found: list[R | StowfastError] = []
    for start in range(0, len(arguments), together):
        group = arguments[start : start + together]
        begun = [submit(executor, _outcome_for, function, argument) for argument in group]
        found += [await outcome(one) for one in begun]
    return found


def _outcome_for(function: Callable[[A], R], argument: A) -> R | StowfastError:
    try:
        return function(argument)
    except StowfastError as error:
        return error


async def pause(seconds: float) -> None:
    """Wait. Under `run_in_place` this thread sleeps."""
    if runs_in_place():
        time.sleep(seconds)  # noqa: ASYNC251 - no event loop runs this coroutine
    else:
        await asyncio.sleep(seconds)
