"""A version as a file object."""

from __future__ import annotations

import asyncio
import errno
import io
import operator
from typing import TYPE_CHECKING, Any

from stowfast.answers import run_on
from stowfast.blocking import run_in_place
from stowfast.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from stowfast.abc import Backend
    from stowfast.stores.artifacts.reading.reader import ArtifactReader

__all__ = ["ArtifactFile", "runner"]


class ArtifactFile(io.RawIOBase):
    """A reader as a blocking file object, for zipfile, PIL, pyarrow and the like.

    Args:
        run: runs a coroutine of the reader to its end.
    """

    def __init__(self, reader: ArtifactReader, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._reader = reader
        self._run = run
        self.info = reader.info
        """The version of this file."""

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Yes."""
        return True

    def tell(self) -> int:
        """Return where the next read begins."""
        return self._reader.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to an offset, without a request."""
        try:
            return self._reader.seek(_plain(offset), _plain(whence))
        except InvalidError as error:
            raise OSError(errno.EINVAL, str(error)) from error  # what those who read files expect of a file

    def read(self, size: int | None = -1, /) -> bytes:
        """Return the next `size` bytes, fewer only at the end; without a size all remaining bytes."""
        # Not through `readinto`, which would have memory for all of `size`.
        data: bytes = self._run(self._reader.read(-1 if size is None else _plain(size)))
        return data

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, wholly but at the end."""
        view = memoryview(buffer).cast("B")
        data: bytes = self._run(self._reader.read(len(view)))
        view[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        """Return all remaining bytes, in one read."""
        data: bytes = self._run(self._reader.read())
        return data

    def close(self) -> None:
        """Close the reader."""
        if not self.closed:
            self._run(self._reader.close())
        super().close()


def _plain(number: Any) -> Any:
    """Return an integer of another library, such as NumPy, as an int; anything else as it is."""
    return operator.index(number) if hasattr(type(number), "__index__") else number


def runner(backend: Backend) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Return a function that runs coroutines for a blocking caller: in its thread, or on this event loop."""
    if backend.in_place:
        return run_in_place
    loop = asyncio.get_running_loop()

    def run(coroutine: Coroutine[Any, Any, Any]) -> Any:
        if asyncio._get_running_loop() is loop:  # noqa: SLF001 - the public one raises where there is none
            coroutine.close()
            raise InvalidError("this file blocks: use it in a thread (asyncio.to_thread), not on the event loop")
        return run_on(loop, coroutine)

    return run
