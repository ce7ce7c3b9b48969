"""The answer to a call that another thread carries out.

A `concurrent.futures.Future` has a lock, and a thread that waits holds it at moments. A signal handler may run at such
a moment, and wait for a thread that waits for that lock. An `Answer` has none: each of its steps is one operation of a
type that is written in C.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from stowfast.blocking import runs_in_place, submit
from stowfast.errors import StowfastError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence
    from concurrent.futures import Executor

__all__ = ["Answer", "Waiters", "run_on", "side_by_side", "wake"]

A = TypeVar("A")
R = TypeVar("R")
W = TypeVar("W")

_STARTED, _CANCELLED = "started", "cancelled"


class Answer(Generic[R]):
    """An answer to come: a value or an error, once."""

    def __init__(self) -> None:
        self._claim: dict[str, str] = {}
        self._outcome: list[tuple[R | None, BaseException | None]] = []
        self._came: SimpleQueue[None] = SimpleQueue()
        self._callbacks: list[Callable[[], object]] = []

    def start(self) -> bool:
        """Claim the work for the calling thread. False: it was cancelled."""
        return self._claim.setdefault("by", _STARTED) == _STARTED

    def cancel(self) -> None:
        """Give up the work if it has not started, and the waiting in any case."""
        self._claim.setdefault("by", _CANCELLED)

    @property
    def cancelled(self) -> bool:
        """True if it was cancelled before its work started."""
        return self._claim.get("by") == _CANCELLED

    @property
    def done(self) -> bool:
        """True once the answer is there."""
        return bool(self._outcome)

    def resolve(self, value: R) -> None:
        """Give the answer. A second one is ignored."""
        self._settle((value, None))

    def fail(self, error: BaseException) -> None:
        """Give an error as the answer. A second answer is ignored."""
        self._settle((None, error))

    def join(self) -> None:
        """Wait in this thread until the answer is there, a value or an error."""
        if not self._outcome:
            self._came.get()
            self._came.put(None)  # for the next one who waits

    def wait(self, timeout: float | None = None) -> R:
        """Wait in this thread.

        Raises:
            TimeoutError: time is up.
        """
        if not self._outcome:
            try:
                self._came.get(timeout=None if timeout is None else max(timeout, 0.0))
            except Empty:
                raise TimeoutError from None
            self._came.put(None)
        return self._result()

    async def outcome(self) -> R:
        """Wait without a time limit. Cancelled, it cancels work that has not started."""
        if runs_in_place():
            return self.wait()
        loop = asyncio.get_running_loop()
        came = loop.create_future()

        def tell() -> None:
            with suppress(RuntimeError):  # that loop was closed: nobody waits
                loop.call_soon_threadsafe(_finish, came)

        self._callbacks.append(tell)
        if self._outcome:  # it came before it was known whom to tell
            tell()
        try:
            await came
        except asyncio.CancelledError:
            self.cancel()
            raise
        finally:
            with suppress(ValueError):
                self._callbacks.remove(tell)
        return self._result()

    async def settle(self, timeout: float) -> R | None:
        """Wait at most `timeout` seconds; None when time is up."""
        try:
            if runs_in_place():
                return self.wait(timeout)
            async with asyncio.timeout(timeout):
                return await self.outcome()
        except TimeoutError:
            return None

    def _settle(self, outcome: tuple[R | None, BaseException | None]) -> None:
        self._outcome.append(outcome)
        self._came.put(None)
        for callback in tuple(self._callbacks):
            callback()

    def _result(self) -> R:
        value, error = self._outcome[0]
        if error is not None:
            raise error
        return value  # type: ignore[return-value]  # None is the value only where R allows it


class Waiters(Generic[W]):
    """The waiters for each stream.

    A thread with a commit takes them without a lock: a signal handler may run inside the lock of a waiter, and wait for
    that commit.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()  # of those who add and remove
        self._by_stream: dict[str, list[W]] = {}

    def __bool__(self) -> bool:
        return bool(self._by_stream)

    def add(self, stream: str, waiter: W) -> None:
        """Add a waiter: the next `take` has it."""
        with self._lock:
            while True:
                held = self._by_stream.setdefault(stream, [])
                held.append(waiter)
                if self._by_stream.get(stream) is held:
                    return
                # The list was taken meanwhile, and nobody looks at it again.

    def remove(self, stream: str, waiter: W) -> None:
        """Remove a waiter, if it is still there."""
        with self._lock:
            held = self._by_stream.get(stream, [])
            with suppress(ValueError):
                held.remove(waiter)
            if not held:
                self._by_stream.pop(stream, None)

    def take(self, streams: Iterable[str]) -> list[W]:
        """Remove the waiters for streams, and return them. Each step is one operation of a dict or a list."""
        # A copy: a waiter removed beside this would move the others while they are gone through.
        return [waiter for stream in streams for waiter in tuple(self._by_stream.pop(stream, ()))]

    def of(self, stream: str) -> tuple[W, ...]:
        """Return the waiters for one stream."""
        return tuple(self._by_stream.get(stream, ()))

    def all(self) -> dict[str, tuple[W, ...]]:
        """Return all waiters, by stream."""
        return {stream: tuple(held) for stream, held in self._by_stream.copy().items()}


def wake(answers: Iterable[Answer[bool]]) -> None:
    """Answer those who wait for news."""
    for answer in answers:
        answer.resolve(True)


def side_by_side(executor: Executor, function: Callable[[A], R], arguments: Sequence[A]) -> list[R]:
    """Call a blocking function with each argument, in threads, and return the results; here where there is no thread.

    It returns, or raises the first error, after the end of the last call.
    """
    answers: list[Answer[R]] = [Answer() for _ in arguments]

    def call(answer: Answer[R], argument: A) -> None:
        try:
            answer.resolve(function(argument))
        except BaseException as error:  # noqa: BLE001 - it is raised in the caller
            answer.fail(error)

    for answer, argument in zip(answers, arguments, strict=True):
        try:
            submit(executor, call, answer, argument)
        except StowfastError:
            call(answer, argument)
    for answer in answers:
        answer.join()
    return [answer.wait() for answer in answers]


def run_on(loop: asyncio.AbstractEventLoop, coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine on the event loop of another thread, and wait in this one."""
    answer: Answer[R] = Answer()

    def end(task: asyncio.Task[R]) -> None:
        if task.cancelled():
            answer.fail(UnavailableError("the event loop of these stores ended before the call"))
        elif (error := task.exception()) is not None:
            answer.fail(error)
        else:
            answer.resolve(task.result())

    loop.call_soon_threadsafe(lambda: loop.create_task(coroutine).add_done_callback(end))
    return answer.wait()


def _finish(came: asyncio.Future[Any]) -> None:
    if not came.done():
        came.set_result(None)
