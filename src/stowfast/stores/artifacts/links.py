"""Links: a URL from which anyone can read one version for a limited time.

Large content is linked directly. Content in a version's entry has no object of its own, so it is copied into one
beside the stream `links/<artifact_id>`. The entries of that stream name the version of each copy and its end time.
The stream expires with the last copy, and is swept with the copies.
"""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Change, Window
from stowfast.errors import ConflictError, DamagedError, NotFoundError, UnavailableError
from stowfast.stores.codec import decode, encode, stream_name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.abc import Backend, Entry, Head
    from stowfast.stores.artifacts.records import Version

__all__ = ["link", "unlink"]

_KIND: Final = "links"
_LATER: Final = timedelta(hours=1)
"""How much longer a copy lives than its link, since clocks differ."""

_MAX_ATTEMPTS: Final = 20
_MICROSECOND: Final = timedelta(microseconds=1)


async def link(backend: Backend, stream: str, version: Version, expires: timedelta) -> str:
    """Return a URL of a version, as `Artifacts.url` says."""
    if version.blob is not None:
        return await backend.blob_url(stream, version.blob, expires=expires)
    copies = _stream_of(version.info.artifact_id)
    # A backend without links, or without links for so long, refuses before anything is written.
    with suppress(NotFoundError):
        await backend.blob_url(copies, "", expires=expires)
    for _ in range(_MAX_ATTEMPTS):
        head, entries = await backend.read(copies, Window(start=0))
        known = [(entry, _record(entry, copies)) for entry in entries]
        now = time.time_ns() // 1_000
        needed = now + (expires + _LATER) // _MICROSECOND
        of = {"incarnation": version.info.incarnation, "version": version.info.version}
        same = [record for _, record in known if of.items() <= record.items()]
        if not any(record["until"] >= needed for record in same):
            blob = same[-1]["blob"] if same else await backend.write_blob(copies, _once(version.content))
            # For longer than this link needs: one that is asked for soon again finds it.
            record = {**of, "blob": blob, "until": needed + expires // _MICROSECOND}
            living = next((entry.position for entry, one in known if one["until"] > now), None)
            try:
                await backend.commit(copies, _change(record, head, living))
            except ConflictError:
                continue  # somebody else made a link: perhaps of the same
            same = [record]
        # A delete looks for copies afterwards, and a new copy for its artifact: one of them sees the other.
        (now_there,) = await backend.heads([stream])
        if now_there is None or now_there.incarnation != version.info.incarnation:
            await unlink(backend, version.info.artifact_id)
            raise NotFoundError(f"{version.where}: it was removed meanwhile")
        return await backend.blob_url(copies, same[-1]["blob"], expires=expires)
    raise UnavailableError(f"{version.where}: {_MAX_ATTEMPTS} others made links of it meanwhile: ask again")


async def unlink(backend: Backend, artifact_id: str) -> None:
    """Remove the copies of a deleted artifact, so that their links end."""
    copies = _stream_of(artifact_id)
    (head,) = await backend.heads([copies])
    if head is not None:
        await backend.commit(copies, Change(delete=True))


def _change(record: dict[str, Any], head: Head | None, living: int | None) -> Change:
    change = Change(entries=(encode(record, "a link"),), blobs=(record["blob"],), expires_at=record["until"], expect=0)
    if head is None:
        return change
    return change._replace(
        expect=head.next,
        incarnation=head.incarnation,
        expires_at=max(record["until"], head.expires_at or 0),
        drop_before=head.next if living is None else living,
    )


def _record(entry: Entry, copies: str) -> dict[str, Any]:
    record = decode(entry.data, copies)
    types = {"until": int, "blob": str}
    if not isinstance(record, dict) or not all(isinstance(record.get(key), of) for key, of in types.items()):
        raise DamagedError(f"{copies}: the entry at {entry.position} is not a link")
    return record


def _stream_of(artifact_id: str) -> str:
    return stream_name(_KIND, "artifact_id", artifact_id)


async def _once(content: bytes) -> AsyncIterator[bytes]:
    yield content
