"""Blocking work under the one async core: in a thread for async callers, in the calling thread for the sync face.

A backend with a blocking driver awaits only `in_thread`, `outcome`, `settle` and `GroupCommit.submit`. `run_in_place`
then runs its coroutines to their end in one step, so the sync face needs no event loop and no second thread.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar, TypeVarTuple

from stowfast.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable
    from concurrent.futures import Executor

__all__ = ["begin", "in_thread", "outcome", "run_in_place", "runs_in_place", "settle", "wake"]

W = TypeVar("W")
R = TypeVar("R")
Ts = TypeVarTuple("Ts")

_here = threading.local()


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
        UnavailableError: the executor was shut down, or no thread can be made.
    """
    if runs_in_place():
        return function(*args)
    return await asyncio.wrap_future(_submit(executor, function, *args))


def begin(executor: Executor, function: Callable[[*Ts], R], *args: *Ts) -> Future[R]:
    """Start a blocking function in a thread and return its future. Under `run_in_place` it is called now."""
    if not runs_in_place():
        return _submit(executor, function, *args)
    future: Future[R] = Future()
    try:
        future.set_result(function(*args))
    except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
        future.set_exception(error)
    return future


def _submit(executor: Executor, function: Callable[[*Ts], R], *args: *Ts) -> Future[R]:
    try:
        return executor.submit(function, *args)
    except RuntimeError as error:
        raise UnavailableError(f"this place was closed, or no thread can be made: {error}") from error


async def outcome(future: Future[R]) -> R:
    """Wait for a thread's future, without a time limit. A cancelled wait cancels a function that has not started."""
    return future.result() if runs_in_place() else await asyncio.wrap_future(future)


async def settle(future: Future[R], timeout: float) -> R | None:
    """Wait for a thread's future, at most `timeout` seconds; None when time is up."""
    try:
        if runs_in_place():
            return future.result(timeout)
        async with asyncio.timeout(timeout):
            return await asyncio.wrap_future(future)
    except TimeoutError:
        return None


def wake(futures: Iterable[Future[bool]]) -> None:
    """Resolve futures, and skip the cancelled ones."""
    for future in futures:
        with suppress(InvalidStateError):
            future.set_result(True)
