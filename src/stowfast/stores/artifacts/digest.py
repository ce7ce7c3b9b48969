"""The digest of content: its size, its SHA-256, and a CRC-32 for each MiB, made while the pieces come by."""

from __future__ import annotations

import hashlib
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, Self
from zlib import crc32

from stowfast.blocking import begin, outcome
from stowfast.heap import keep_pieces

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

__all__ = ["CHUNK", "Digest", "Hasher"]

CHUNK: Final = 2**20
"""Bytes of a blob under one checksum."""

_MAX_BEHIND: Final = 3
"""Pieces by which the hash may lag behind."""


class Digest:
    """The size and the checksums of content, while its pieces come by. The pieces may be of any size."""

    def __init__(self) -> None:
        self.size = 0
        self._sha256 = hashlib.sha256()
        self._crcs = bytearray()
        self._crc = 0

    def update(self, piece: bytes) -> None:
        """Take the next piece in."""
        self._sha256.update(piece)
        view = memoryview(piece)
        while view:
            part = view[: CHUNK - self.size % CHUNK]
            self._crc = crc32(part, self._crc)
            self.size += len(part)
            view = view[len(part) :]
            if self.size % CHUNK == 0:
                self._end_chunk()

    @property
    def sha256(self) -> str:
        """SHA-256 of all bytes, in lower-case hexadecimal."""
        return self._sha256.hexdigest()

    @property
    def checksums(self) -> bytes:
        """One CRC-32 for each MiB, and one for the rest."""
        rest = self._crc.to_bytes(4, "little") if self.size % CHUNK else b""
        return bytes(self._crcs) + rest

    def _end_chunk(self) -> None:
        self._crcs += self._crc.to_bytes(4, "little")
        self._crc = 0


class Hasher:
    """Hashes pieces in a thread, in their order, while the caller passes them on: `with Hasher(update) as hasher`."""

    def __init__(self, update: Callable[[bytes], None]) -> None:
        self._update = update
        self._thread = ThreadPoolExecutor(1, "stowfast-hash")
        self._under_way: deque[Future[None]] = deque()
        keep_pieces()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown()

    def begin(self, piece: bytes) -> None:
        """Hash a piece after those before it."""
        self._under_way.append(begin(self._thread, self._update, piece))

    async def catch_up(self) -> None:
        """Wait where the hash is too far behind."""
        while self._under_way and self._under_way[0].done():
            self._under_way.popleft().result()
        # Not for each: to wait for a thread costs a good part of a piece's hash where all are busy.
        if len(self._under_way) > _MAX_BEHIND:
            await outcome(self._under_way[_MAX_BEHIND // 2])

    async def finish(self) -> None:
        """Wait until all pieces are hashed."""
        for one in self._under_way:
            await outcome(one)
