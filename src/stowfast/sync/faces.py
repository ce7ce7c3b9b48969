"""Sync faces: each method is one line that names the async method."""

from __future__ import annotations

import functools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, TypeVar

from stowfast.portals import InPlace, LoopThread

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager

    from stowfast.portals import Portal

__all__ = ["Face", "call", "enter", "iterate"]

S = TypeVar("S")
R = TypeVar("R")
F = TypeVar("F")
P = ParamSpec("P")

_END = object()


class Face:
    """One async store, and the portal to it."""

    def __init__(self, store: Any, portal: Portal) -> None:
        self._store = store
        self._portal = portal


def call(
    method: Callable[Concatenate[S, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Any, P], R]:
    """Return an async method as a sync one of a face."""

    @functools.wraps(method)
    def called(self: Face, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self._portal.run(method(self._store, *args, **kwargs))

    return called


def iterate(
    method: Callable[Concatenate[S, P], AsyncIterator[R]],
) -> Callable[Concatenate[Any, P], Iterator[R]]:
    """Return an async iterator as a sync one of a face."""

    @functools.wraps(method)
    def iterated(self: Face, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        iterator: Any = method(self._store, *args, **kwargs)
        try:
            while (one := self._portal.run(_next(iterator))) is not _END:
                yield one
        finally:
            self._portal.run(iterator.aclose())

    return iterated


async def _next(iterator: AsyncIterator[Any]) -> Any:
    return await anext(iterator, _END)


def enter(
    method: Callable[Concatenate[S, P], AbstractAsyncContextManager[R]],
    face: Callable[[R, Portal], AbstractContextManager[F]],
    *,
    on_a_loop: bool,
) -> Callable[Concatenate[Any, P], AbstractContextManager[F]]:
    """Enter a context manager of the async store, and yield its sync face.

    Args:
        on_a_loop: it starts a task, and so needs an event loop.
    """

    @functools.wraps(method)
    @contextmanager
    def opened(self: Face, /, *args: P.args, **kwargs: P.kwargs) -> Iterator[F]:
        own = LoopThread() if on_a_loop and isinstance(self._portal, InPlace) else None
        portal = own or self._portal
        try:
            entered = method(self._store, *args, **kwargs)
            one = portal.run(entered.__aenter__())
            try:
                with face(one, portal) as shown:
                    yield shown
            except BaseException as error:
                # In a child after a fork the rest is the parent's, and the error of the block stays.
                if portal.is_forked or not portal.run(entered.__aexit__(type(error), error, error.__traceback__)):
                    raise
            else:
                portal.run(entered.__aexit__(None, None, None))
        finally:
            if own is not None:
                own.close()

    return opened
