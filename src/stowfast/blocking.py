"""Blocking work under the one async core: in a thread for async callers, in the calling thread for the sync face.

A backend whose driver blocks awaits nothing but `in_thread`, `settle` and `GroupCommit.submit`. Its coroutines then
run to their end in one step when `run_in_place` drives them: the sync face pays for no event loop and no thread.
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
    """Run a coroutine that never really suspends to its end, in this thread, also inside a running event loop."""
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
    """Call a blocking function without blocking the event loop. Under `run_in_place` it is called as it stands.

    Cancellation does not reach the function: it runs to its end in its thread.

    Raises:
        UnavailableError: the executor was shut down, or no thread can be made.
    """
    if runs_in_place():
        return function(*args)
    return await asyncio.wrap_future(_submit(executor, function, *args))


def begin(executor: Executor, function: Callable[[*Ts], R], *args: *Ts) -> Future[R]:
    """Begin a blocking function in a thread, and return what it will return. Under `run_in_place` it is called now."""
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
    """Wait for a thread's future, however long it takes. Cancelled, it is cancelled too if it had not begun."""
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
    """Set futures that others wait for, or have stopped waiting for."""
    for future in futures:
        with suppress(InvalidStateError):
            future.set_result(True)
