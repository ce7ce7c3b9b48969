"""Deduplication: the head remembers the blobs of an artifact, so that equal bytes are stored once.

An update already has the head, and finds there whether its bytes are stored, with any number of versions. The blob is
read before it is linked: a damaged blob must not become the content of another version, or an acknowledged update would
be lost with it, and storing the same bytes again would never repair it.
"""

from __future__ import annotations

from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import MAX_HEAD_BYTES
from stowfast.errors import DamagedError, NotFoundError
from stowfast.stores.artifacts.digest import Digest
from stowfast.stores.artifacts.records import in_head
from stowfast.stores.codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from stowfast.abc import Backend, Head

__all__ = ["bodies_of", "is_whole", "note_of"]

_KEY: Final = "bodies"
_REMEMBERED: Final = 64
"""Number of newest different contents in the head: at most 7 KiB."""


def bodies_of(head: Head | None) -> dict[str, str]:
    """Return the blobs in a head by the SHA-256 of their content. Some may be gone or damaged."""
    if head is None or not head.note:
        return {}
    note = decode(head.note, head.name)
    found: Any = note.get(_KEY) if isinstance(note, dict) else None
    if not isinstance(found, dict) or not all(isinstance(blob, str) for blob in found.values()):
        return {}
    return found


def note_of(known: dict[str, Any], bodies: Mapping[str, str]) -> bytes:
    """Return the head note: the newest version, and as many blobs as fit.

    Args:
        known: the record of the newest version, checked.
        bodies: the blobs from the head, then the blob of the newest version.
    """
    record, what = in_head(known), "what describes an artifact"
    note = encode(record, what)
    kept = dict(list(bodies.items())[-_REMEMBERED:])
    while kept:
        with_them = encode({**record, _KEY: kept}, what)
        if len(with_them) <= MAX_HEAD_BYTES:
            return with_them
        del kept[next(iter(kept))]
    return note


async def is_whole(backend: Backend, stream: str, blob: str, digest: Digest) -> bool:
    """Return True if a blob exists and matches its digest. Reads all of it."""
    found = Digest()
    try:
        async with aclosing(_pieces(backend, stream, blob, digest.size)) as pieces:
            async for piece in pieces:
                found.update(piece)
    except (NotFoundError, DamagedError):
        return False
    return (found.size, found.sha256) == (digest.size, digest.sha256)


async def _pieces(backend: Backend, stream: str, blob: str, stop: int) -> AsyncGenerator[bytes, None]:
    async for piece in backend.read_blob(stream, blob, stop=stop):
        yield piece
