"""One commit for the checkpoint and the writes of a superstep: they come from several threads or tasks."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import Future
from concurrent.futures import wait as wait_in_thread
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from stowfast.blocking import alone, runs_in_place

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

__all__ = ["Letter", "Outbox"]

T = TypeVar("T")
L = TypeVar("L", bound="Letter[Any]")


class Letter(Generic[T]):
    """Something to send. `urgent`: others wait with it for nothing, and those before it go along."""

    urgent = False

    def __init__(self) -> None:
        self.result: Future[T] = Future()


class _Left(Exception):  # noqa: N818 - not for callers
    """The sender was cancelled before the result was known."""


_TASK: Final = -1


class Outbox:
    """Sends letters in the order of their calls, one batch at a time.

    The first caller sends. A letter without urgency waits `linger` seconds for an urgent one, so that both are one
    commit. Letters of the meantime are the next batch.

    An async sender is a task of its own: a cancelled caller takes no other letter with it. A sync caller never waits
    for a task, as it might run in its own thread: it sends its letter alone.

    Args:
        linger: in seconds.
        tasks: the senders under way, of many outboxes.
    """

    def __init__(self, linger: float, tasks: set[asyncio.Task[None]]) -> None:
        self._linger = linger
        self._tasks = tasks
        self._lock = threading.RLock()
        self._waiting: list[Letter[Any]] = []
        self._sender: int | None = None
        """The thread of a sync sender, `_TASK`, or None: nobody sends."""
        self._urgent: Future[None] = Future()

    async def send(self, make: Callable[[], L], transport: Callable[[Sequence[L]], Coroutine[Any, Any, None]]) -> Any:
        """Send a letter and return its result.

        Args:
            make: makes the letter; again, if another caller's task was cancelled while it sent it.
            transport: sends a batch. It sets the result of each letter, or raises the error of all.
        """
        while True:
            try:
                return await self._send(make(), transport)
            except _Left:
                continue

    async def _send(self, letter: Letter[Any], transport: Callable[[Sequence[Any]], Awaitable[None]]) -> Any:
        in_place, me = runs_in_place(), threading.get_ident()
        with alone(self._lock):
            sender = self._sender
            joins = not (in_place and sender in {_TASK, me})
            if joins:
                self._waiting.append(letter)
                if sender is None:
                    self._sender = me if in_place else _TASK
                    self._urgent = Future()
                if letter.urgent and not self._urgent.done():
                    self._urgent.set_result(None)
        if not joins:
            letter.result.set_running_or_notify_cancel()
            await _delivered([letter], transport)
        elif sender is None and in_place:
            await self._empty(transport)
        elif sender is None:
            task = asyncio.get_running_loop().create_task(self._empty(transport))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return letter.result.result() if in_place else await asyncio.wrap_future(letter.result)

    async def _empty(self, transport: Callable[[Sequence[Any]], Awaitable[None]]) -> None:
        try:
            while self._has_more():
                if self._linger:
                    await _wait(self._urgent, self._linger)
                await _delivered(self._taken(), transport)
        except BaseException:
            with self._lock:
                self._sender, left, self._waiting = None, self._waiting, []
            for letter in left:
                _fail(letter, _Left())
            raise

    def _has_more(self) -> bool:
        with self._lock:
            if not self._waiting:
                self._sender = None
            return bool(self._waiting)

    def _taken(self) -> list[Letter[Any]]:
        with self._lock:
            batch, self._waiting, self._urgent = self._waiting, [], Future()
        return [letter for letter in batch if letter.result.set_running_or_notify_cancel()]


async def _wait(urgent: Future[None], seconds: float) -> None:
    if runs_in_place():
        wait_in_thread([urgent], seconds)
    else:
        await asyncio.wait([asyncio.wrap_future(urgent)], timeout=seconds)


async def _delivered(batch: list[Letter[Any]], transport: Callable[[Sequence[Any]], Awaitable[None]]) -> None:
    try:
        if batch:
            await transport(batch)
    except Exception as error:  # noqa: BLE001 - each caller raises it
        for letter in batch:
            _fail(letter, error)
    except BaseException:
        for letter in batch:
            _fail(letter, _Left())
        raise


def _fail(letter: Letter[Any], error: BaseException) -> None:
    if not letter.result.done():
        letter.result.set_exception(error)
