"""Content of a version: bytes, text, JSON, a path, a file object, an async iterator."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

from stowfast.blocking import in_thread
from stowfast.errors import InvalidError
from stowfast.stores.artifacts.digest import CHUNK
from stowfast.stores.codec import encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

__all__ = ["Content", "encoded", "piece_of", "source_of"]


class Content:
    """The content of a version: its encoding, and its bytes, piece by piece, once."""

    def __init__(self, encoding: str, pieces: AsyncGenerator[bytes, None], *, held: bytes | None = None) -> None:
        self.encoding = encoding
        self.pieces = pieces
        self.held = held
        """All of it, where it is in memory anyway."""
        self.rows: int | None = None

    def begin_again(self) -> bool:
        """Give all pieces once more. False: they came by, and are gone."""
        if self.held is None:
            return False
        self.pieces = _piece(self.held)
        return True


def source_of(content: Any, what: str) -> Content:
    """Return content by its type: bytes, text, a path, a file object, an async iterator of bytes, else JSON."""
    if isinstance(content, bytes | bytearray | memoryview):
        return _in_memory("bytes", bytes(content))
    if isinstance(content, str):
        return _in_memory("text", encoded(content, what))
    if isinstance(content, os.PathLike):
        return Content("bytes", _from_file(partial(open, content, "rb"), close=True))
    if isinstance(content, AsyncIterable):
        return Content("bytes", _each_bytes(content))
    if callable(getattr(content, "read", None)):
        return Content("bytes", _from_file(lambda: content, close=False))
    if isinstance(content, Iterator):
        raise InvalidError(
            f"{what} is a {type(content).__name__}: give an async iterator of bytes, or all of it as bytes"
        )
    return _in_memory("json", encode(content, what))


def _in_memory(encoding: str, body: bytes) -> Content:
    return Content(encoding, _piece(body), held=body)


async def _piece(body: bytes) -> AsyncGenerator[bytes, None]:
    if body:
        yield body


async def _from_file(open_file: Callable[[], Any], *, close: bool) -> AsyncGenerator[bytes, None]:
    with ThreadPoolExecutor(1, "stowfast-file") as thread:
        try:
            file = await in_thread(thread, open_file)
        except OSError as error:
            raise InvalidError(f"the content cannot be read: {error.filename}: {error.strerror}") from error
        try:
            while piece := await in_thread(thread, file.read, CHUNK):
                if not isinstance(piece, bytes):
                    raise InvalidError("this file object gives no bytes: open it in binary mode")
                yield piece
        finally:
            if close:
                file.close()


async def _each_bytes(pieces: AsyncIterable[Any]) -> AsyncGenerator[bytes, None]:
    async for piece in pieces:
        if not isinstance(piece, bytes | bytearray | memoryview):
            raise InvalidError(f"a piece of content must be bytes, not {type(piece).__name__}")
        yield bytes(piece)


def piece_of(piece: Any, encoding: str) -> tuple[str, bytes]:
    """Return a piece as bytes, and the encoding of all pieces from now on.

    Args:
        encoding: of the pieces before; empty for none.

    Raises:
        InvalidError: the piece is neither bytes nor text, or has another type than the pieces before.
    """
    if not isinstance(piece, bytes | bytearray | memoryview | str):
        raise InvalidError(f"a piece must be bytes or str, not {type(piece).__name__}")
    if isinstance(piece, str):
        if encoding not in {"", "text"}:
            raise InvalidError("a piece of text in an artifact that began with bytes: encode it")
        return "text", encoded(piece)
    if encoding == "text":
        raise InvalidError("a piece of bytes in an artifact that began with text: decode it")
    return encoding or "bytes", bytes(piece)


def encoded(text: str, what: str = "a piece of text") -> bytes:
    """Return text as UTF-8.

    Raises:
        InvalidError: it has a lone surrogate.
    """
    try:
        return str.encode(text)  # by str itself: a subclass may have an encode of its own
    except UnicodeEncodeError:
        raise InvalidError(f"{what} has a lone surrogate: it is not Unicode text") from None
