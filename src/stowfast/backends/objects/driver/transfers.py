"""Large objects, piece by piece, in constant memory."""

from __future__ import annotations

from concurrent.futures import wait
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from stowfast.backends.objects.driver.bodies import read_body
from stowfast.backends.objects.driver.failures import FAILURES, BehindEndError, unconditional
from stowfast.backends.objects.driver.store import PART, BucketClient, requests_of
from stowfast.backends.objects.protocol.requests import Delete, Get, Put
from stowfast.errors import NotFoundError, StowfastError, UnavailableError
from stowfast.heap import keep_pieces

if TYPE_CHECKING:
    from collections.abc import Generator
    from concurrent.futures import Future
    from types import TracebackType

    import obstore

__all__ = ["Upload", "download", "let_go"]


class Upload:
    """Writes one object from pieces. It appears whole at the end of the `with` block, and never after an exception.

    Blocking; from one thread at a time, not always the same. A key must be unique to its upload. An object larger than
    one part is uploaded in parts of 8 MiB, three at once. The parts of a killed process cost money until a lifecycle
    rule of the bucket removes them (`AbortIncompleteMultipartUpload`). The largest object is 80 GiB.

    Raises:
        UnavailableError: no answer. No head refers to the key yet: begin again with another key.
    """

    def __init__(self, store: BucketClient, key: str) -> None:
        self._store = store
        self._key = key
        self._held = bytearray()
        self._parts: obstore.WritableFile | None = None
        self._size = 0
        self._written = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.close()
        else:
            self.abort()

    def write(self, piece: bytes) -> None:
        """Add a piece, of any size."""
        self._store.check_open()
        self._store.counts.took(len(piece))
        if self._parts is not None:
            self._send(piece)
            return
        self._held += piece
        if len(self._held) > PART:
            self._parts = self._store.parts(self._key)
            self._send(bytes(self._held))
            self._held.clear()

    def close(self) -> None:
        """Write the remaining bytes, and make the object visible."""
        if self._parts is None:
            self._store.perform(Put(self._key, bytes(self._held)))
            self._written = True
            return
        self._store.check_open()
        self._store.counts.request("PUT", requests_of(self._size))
        try:
            self._parts.close()
        except FAILURES as error:
            ours = self._failure(error)
        else:
            self._written = True
            return
        if self._is_there():
            self._written = True
            return
        self.abort()
        raise ours

    def abort(self) -> None:
        """Leave nothing visible, and as far as the store answers nothing at all, also where it was closed meanwhile."""
        self._held.clear()
        if self._parts is not None:
            with suppress(*FAILURES):
                self._parts.__exit__(UnavailableError, UnavailableError(), None)
        if self._written:
            with suppress(StowfastError):
                self._store.perform(Delete((self._key,)))

    def abort_after(self, call: Future[Any]) -> None:
        """Wait for the call under way, then abort."""
        wait([call])
        self.abort()

    def _send(self, piece: bytes) -> None:
        assert self._parts is not None
        try:
            self._parts.write(piece)
        except FAILURES as error:
            ours = self._failure(error)
        else:
            self._size += len(piece)
            return
        raise ours

    def _failure(self, error: Exception) -> StowfastError:
        ours = unconditional(self._store.place.explain(error, f"PUT {self._key}"))
        if not isinstance(ours, NotFoundError):
            return ours
        unknown = UnavailableError(f"{ours}: the store knows nothing of this upload any more: begin anew")
        unknown.__cause__ = ours.__cause__
        return unknown

    def _is_there(self) -> bool:
        # An answer was lost: the driver asked for the end again, and a store that has ended an upload forgets it.
        with suppress(StowfastError):
            found = self._store.perform(Get(self._key, stop=1))
            return found is not None and found.size == self._size
        return False


def download(
    store: BucketClient, key: str, *, start: int = 0, stop: int | None = None
) -> Generator[bytes, None, None] | None:
    """Return the bytes `start <= offset < stop` of a key in pieces, as `read_body`. None: there is no such key.

    Both bounds may lie beyond the end. A broken connection is opened again at its offset, several times while it
    advances. Blocking; from one thread at a time, not always the same.

    Raises:
        UnavailableError: no answer, at once or between the pieces; or the body comes too slowly: waiting for it may
            take `timeout` seconds, and one more for each 128 KiB.
        NotFoundError: the key was removed between the pieces.
    """
    if stop is not None and start >= stop:
        return _nothing()
    keep_pieces()
    try:
        result = store.repeat(f"GET {key}", partial(store.reader.stream, key, start, stop))
    except NotFoundError:
        return None
    except BehindEndError:
        return _nothing()
    whole = result.meta["size"]
    stop = whole if stop is None else min(stop, whole)
    return read_body(store.reader.source(key, stop), result, start, stop)


def let_go(body: Future[Generator[bytes, None, None] | None]) -> None:
    """Close an unwanted download after it has begun."""
    # Not left to whoever collects the error, and with it the answer: a connection would stay open as long.
    if not body.cancelled() and body.exception() is None and (pieces := body.result()) is not None:
        pieces.close()


def _nothing() -> Generator[bytes, None, None]:
    yield from ()
