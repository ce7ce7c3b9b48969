"""Bodies of answers, piece by piece: continued where they break off, given up where they come too slowly."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.backends.objects.driver.failures import FAILURES
from stowfast.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import obstore

    from stowfast.backends.objects.driver.failures import Address

__all__ = ["CHUNK", "MIN_RATE", "BodySource", "read_body"]

CHUNK: Final = 2**20
"""Bytes of one piece of a body."""

MIN_RATE: Final = 2**17
"""Bytes a second that a body must bring beyond the first `timeout` seconds: a megabit."""

_TRIES: Final = 5


class BodySource(NamedTuple):
    """The origin of a body."""

    place: Address
    operation: str
    """For errors."""
    ask: Callable[[int], obstore.GetResult]
    """Asks for the body from an offset on."""
    timeout: float
    """Seconds of waiting for a body, whatever its size."""
    check_open: Callable[[], None]


def read_body(source: BodySource, result: obstore.GetResult, start: int, stop: int) -> Generator[bytes, None, None]:
    """Yield the bytes `start <= offset < stop` in pieces of 1 MiB, less at the end and where the body broke off.

    Only time of waiting for the store counts.

    Raises:
        UnavailableError: the body broke off again and again without progress, or came too slowly.
    """
    offset, failed, waited = start, 0, 0.0
    # The driver's chunks are what the connection has brought: it never waits for more, so a slow body is noticed.
    chunks = iter(result.stream(min_chunk_size=1))
    held: list[bytes | memoryview] = []
    size = 0
    while offset + size < stop:
        source.check_open()
        error = UnavailableError(f"{source.place}: {source.operation}: ends before its end, again and again")
        began = time.monotonic()
        try:
            chunk = next(chunks, b"")
        except FAILURES as failure:
            error = source.place.explain(failure, source.operation)  # type: ignore[assignment]
            chunk = b""
        waited += time.monotonic() - began
        if chunk:
            held.append(chunk)
            size += len(chunk)
            failed = 0
        elif (failed := failed + 1) > _TRIES:
            raise error
        if waited > source.timeout + (offset + size - start) / MIN_RATE:
            raise UnavailableError(
                f"{source.place}: {source.operation}: the body came too slowly, less than {MIN_RATE // 1024} KiB a "
                "second: give a larger timeout="
            )
        while size >= CHUNK or (held and (not chunk or offset + size >= stop)):
            beyond = max(size - CHUNK, 0)
            last = memoryview(held.pop())
            held.append(last[: len(last) - beyond])
            offset += size - beyond
            yield b"".join(held)
            held, size = [last[len(last) - beyond :]] if beyond else [], beyond
        if not chunk:
            began = time.monotonic()
            time.sleep(0.05 * 2**failed)
            chunks = iter(source.ask(offset).stream(min_chunk_size=1))
            waited += time.monotonic() - began
