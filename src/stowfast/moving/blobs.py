"""Blobs of artifacts: the blob in an entry, and the same entry with the blob of another place.

The id of a blob says where it lies, so each place gives its own. An entry of an artifact names its blob in the JSON of
its first line, and the head note names the newest ones.
"""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from stowfast.errors import DamagedError
from stowfast.moving.selection import kind_of
from stowfast.stores.codec import decode, encode

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping

    from stowfast.abc import Backend, Head

__all__ = [
    "BLOBS_OF",
    "BlobRecord",
    "bare_head",
    "bare_note",
    "blob_in",
    "content_matches",
    "copy_blob",
    "note_with",
    "with_blob",
]

BLOBS_OF: Final = "artifacts"
"""The kind of the streams with blobs."""
_FIELD: Final = "blob"
_BODIES: Final = "bodies"


class BlobRecord(NamedTuple):
    """The blob of an entry, with the size and the digest of its content."""

    blob: str
    size: int
    sha256: str


def blob_in(name: str, data: bytes) -> BlobRecord | None:
    """Return the blob of an entry; None: it has none.

    Raises:
        DamagedError: an entry of an artifact does not decode.
    """
    if kind_of(name) != BLOBS_OF:
        return None
    record = decode(data.partition(b"\n")[0], name)
    if not isinstance(record, dict):
        raise DamagedError(f"{name}: an entry is not a version of an artifact")
    if record.get(_FIELD) is None:
        return None
    told = (record[_FIELD], record.get("size"), record.get("sha256"))
    if not (isinstance(told[0], str) and isinstance(told[1], int) and isinstance(told[2], str)):
        raise DamagedError(f"{name}: an entry is not a version of an artifact")
    return BlobRecord(*cast("tuple[str, int, str]", told))


def with_blob(data: bytes, blob: str) -> bytes:
    """Return an entry with another blob."""
    line, mark, rest = data.partition(b"\n")
    record: dict[str, Any] = decode(line, "an artifact")
    return encode({**record, _FIELD: blob}, "an artifact") + mark + rest


def note_with(head: Head, blobs: Mapping[str, str]) -> bytes:
    """Return the note of a head with the blobs of another place. One without a counterpart is left out."""
    if kind_of(head.name) != BLOBS_OF or not head.note:
        return head.note
    note = decode(head.note, head.name)
    if not isinstance(note, dict) or not isinstance(note.get(_BODIES), dict):
        return head.note
    kept = {digest: blobs[blob] for digest, blob in note.pop(_BODIES).items() if blob in blobs}
    return encode(note | ({_BODIES: kept} if kept else {}), head.name)


def bare_note(head: Head) -> bytes:
    """Return the note of a head without its blobs."""
    return note_with(head, {})


def bare_head(head: Head | None) -> Head | None:
    """Return a head without its name and the blobs in its note: these differ from place to place."""
    return head and head._replace(name="", note=bare_note(head))


async def copy_blob(
    source: Backend,
    target: Backend,
    streams: tuple[str, str],
    record: BlobRecord,
    count: Callable[[int], None] = lambda _: None,
) -> str:
    """Copy a blob from one stream to the other, and return its id there. Its content is checked on the way.

    `count` is called with the size of each piece.

    Raises:
        DamagedError: the content at the source is not as its record says.
    """
    found = hashlib.sha256()

    async def pieces() -> AsyncIterator[bytes]:
        async with aclosing(pieces_of(source, streams[0], record.blob)) as read:
            async for piece in read:
                found.update(piece)
                count(len(piece))
                yield piece

    blob = await target.write_blob(streams[1], pieces())
    if found.hexdigest() != record.sha256:
        raise DamagedError(f"{streams[0]!r}: the content of a blob is not as it was written")
    return blob


async def content_matches(
    backend: Backend, stream: str, record: BlobRecord, count: Callable[[int], None] = lambda _: None
) -> bool:
    """Read a blob, and return True if its content is as its record says. `count` gets the size of each piece."""
    found, size = hashlib.sha256(), 0
    async with aclosing(pieces_of(backend, stream, record.blob)) as read:
        async for piece in read:
            found.update(piece)
            size += len(piece)
            count(len(piece))
    return (size, found.hexdigest()) == (record.size, record.sha256)


def pieces_of(backend: Backend, stream: str, blob: str) -> AsyncGenerator[bytes, None]:
    """Return the bytes of a blob, piece by piece. Close it."""
    # An async iterator by its signature; every backend makes it with `yield`, so it can be closed.
    return cast("AsyncGenerator[bytes, None]", backend.read_blob(stream, blob))
