"""Waits for sockets, and a bell to end such a wait."""

from __future__ import annotations

import math
import select
import selectors
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Bell", "until_readable", "until_usable", "watch"]

_SELECTOR: Final[type[selectors.BaseSelector]] = getattr(selectors, "PollSelector", selectors.SelectSelector)
"""One call of the system, for descriptors of any number; Windows has only the other one."""


def watch(descriptor: int) -> Callable[[float], bool]:
    """Return a function of seconds: it waits until a socket can be read, and returns False after these seconds.

    A socket closed meanwhile can be read: its owner raises the error.
    """
    # Not a selector: its Python takes as long as the call of the system, in each append.
    if not hasattr(select, "poll"):
        return lambda seconds: bool(until_usable(descriptor, selectors.EVENT_READ, seconds))
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return lambda seconds: bool(poll.poll(math.ceil(seconds * 1_000)))


def until_usable(descriptor: int, wanted: int, timeout: float) -> int:
    """Wait until a socket can be read or written, as wanted. Return what it can of these; 0 after the timeout."""
    with _SELECTOR() as selector:
        selector.register(descriptor, wanted)
        found = selector.select(timeout)
        return found[0][1] if found else 0


def until_readable(descriptors: Sequence[Any], timeout: float) -> list[Any]:
    """Wait until some of the descriptors can be read, and return those; none of them after the timeout."""
    with _SELECTOR() as selector:
        for one in descriptors:
            selector.register(one, selectors.EVENT_READ)
        return [key.fileobj for key, _ in selector.select(timeout)]


class Bell:
    """Wakes a thread in its wait for sockets."""

    def __init__(self) -> None:
        self._heard, self._rung = socket.socketpair()
        self._heard.setblocking(False)
        self._rung.setblocking(False)

    def fileno(self) -> int:
        """Return the descriptor, to be read once the bell was rung."""
        return self._heard.fileno()

    def ring(self) -> None:
        """Wake the thread, now or when it waits next."""
        with suppress(BlockingIOError):  # it was rung a thousand times already
            self._rung.send(b"!")

    def silence(self) -> None:
        """Be ready to be rung again."""
        with suppress(BlockingIOError):
            while self._heard.recv(4_096):
                pass

    def close(self) -> None:
        """Close both ends."""
        self._heard.close()
        self._rung.close()
