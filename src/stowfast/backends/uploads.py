"""Uploads of a blob in batches, by a thread of the backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from stowfast.blocking import outcome

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from concurrent.futures import Future

__all__ = ["upload"]

_BATCH_BYTES: Final = 2**22


class _Begin(Protocol):
    """Begins to store pieces that start at an offset of the blob; `last` also ends the blob."""

    def __call__(self, start: int, pieces: list[bytes], *, last: bool) -> Future[None]: ...


async def upload(chunks: AsyncIterable[bytes], begin: _Begin) -> None:
    """Store chunks in batches of about 4 MiB, and return when the last is stored.

    One batch is stored while the next is gathered: no more than two are in memory. An error of `chunks` or of a batch
    ends the upload.
    """
    held: list[bytes] = []
    start = size = 0
    under_way: Future[None] | None = None
    async for chunk in chunks:
        held.append(bytes(chunk))
        size += len(chunk)
        if size >= _BATCH_BYTES:
            if under_way is not None:
                await outcome(under_way)
            under_way = begin(start, held, last=False)
            start, held, size = start + size, [], 0
    if under_way is not None:
        await outcome(under_way)
    await outcome(begin(start, held, last=True))
