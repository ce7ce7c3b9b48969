"""Followers: reading a live build to its end, and its state."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stowfast.abc import Window
from stowfast.errors import DamagedError, NotFoundError
from stowfast.records import Page
from stowfast.stores.artifacts.live.build import Build, live_stream_of
from stowfast.stores.artifacts.lookup import find_version
from stowfast.stores.artifacts.reading.reader import ArtifactReader
from stowfast.stores.artifacts.records import KIND, Version, newest_of, stream_of
from stowfast.stores.codec import to_time
from stowfast.stores.listing import read_listed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from stowfast.abc import Backend, Head, Listed, Listing
    from stowfast.records import ArtifactInfo

__all__ = ["follow", "newest_info", "page_of"]

_PAGE_BYTES: Final = 2**20
_LOOK_SECONDS: Final = 1.0
"""Seconds between two looks for a version beside the announcement of an earlier live build."""


async def follow(backend: Backend, artifact_id: str, seconds: float) -> AsyncGenerator[bytes, None]:
    """Yield an artifact's bytes as they are written, to its end, after a wait of some seconds for its beginning."""
    await _begun(backend, artifact_id, seconds)
    (head,) = await backend.heads([live_stream_of(artifact_id)])
    building = head is not None and Build.read(head).state(await backend.now()) == "building"
    # A build is deleted only after its version was stored: whatever is not being built, and was finished, is seen here.
    version = None if building else await find_version(backend, artifact_id, None)
    offset = 0
    if version is None:
        if head is None:
            raise NotFoundError(f"there is no artifact {artifact_id!r}")
        async for piece in _written(backend, head):
            offset += len(piece)
            yield piece
        version = await _finished(backend, artifact_id, Build.read(head))
        if version is None:
            raise await _unfinished(backend, artifact_id, head)
    async for piece in ArtifactReader(backend, stream_of(artifact_id), version, offset):
        yield piece


async def _begun(backend: Backend, artifact_id: str, seconds: float) -> None:
    """Wait until an artifact has a version or a live build, for so many seconds at most."""
    until = time.monotonic() + seconds
    stream, live = stream_of(artifact_id), live_stream_of(artifact_id)
    while (left := until - time.monotonic()) > 0:
        head, build = await backend.heads([stream, live])
        if build is not None or (head is not None and head.next):
            return
        if head is None:  # a live build begins before it is announced in this stream
            await backend.wait(stream, incarnation=None, next=0, timeout=left)
        else:  # the rest of an earlier build: the next build announces itself without a change of position
            await backend.wait(live, incarnation=None, next=0, timeout=min(left, _LOOK_SECONDS))


async def _written(backend: Backend, begun: Head) -> AsyncGenerator[bytes, None]:
    """Yield the bytes of a live build as they are written, until it is gone or failed."""
    position = 0
    while True:
        head, entries = await backend.read(begun.name, Window(start=position, max_bytes=_PAGE_BYTES))
        if head is None or head.incarnation != begun.incarnation:
            return
        for entry in entries:
            if entry.data:
                yield entry.data
        position = entries[-1].position + 1 if entries else position
        if position < head.next:
            continue
        build, now = Build.read(head), await backend.now()
        if build.state(now) == "failed":
            return
        # For no longer than the writer may be silent: that it crashed is no news that would come.
        patience = max(build.patience(now), 0.01)
        await backend.wait(head.name, incarnation=head.incarnation, next=head.next, timeout=patience)


async def _unfinished(backend: Backend, artifact_id: str, begun: Head) -> NotFoundError:
    (head,) = await backend.heads([begun.name])
    if head is None or head.incarnation != begun.incarnation:
        return NotFoundError(f"artifact {artifact_id!r} was deleted, or begun anew, before it was finished")
    return NotFoundError(f"artifact {artifact_id!r} was never finished: {Build.read(head).ending}")


async def newest_info(backend: Backend, artifact_id: str) -> ArtifactInfo | None:
    """Return the newest version; without one, the live build; None for neither."""
    stream = stream_of(artifact_id)
    for _ in range(2):  # a build that is gone at the second look was finished, or collected, between the two
        head, entries = await backend.read(stream, Window(limit=1, newest=True))
        if head is None or head.next:
            return Version.read(artifact_id, head, entries[0]).info if head is not None and entries else None
        (live,) = await backend.heads([live_stream_of(artifact_id)])
        if live is not None:
            return _info_of(head, live, await backend.now())
    return None


async def page_of(backend: Backend, found: Listing) -> Page[ArtifactInfo]:
    """Return a page with the newest versions, and the live builds of artifacts without a version."""
    unfinished = [one.name for one in found.streams if one.head is not None and not one.head.next]
    now = await backend.now() if unfinished else 0
    lives = await _lives(backend, unfinished)

    def read(listed: Listed) -> ArtifactInfo | None:
        head = listed.head
        if head is None or head.next:
            return head and newest_of(head)
        live = lives[head.name]
        if isinstance(live, DamagedError):
            raise live
        return live and _info_of(head, live, now)

    infos, damaged = read_listed(KIND, found.streams, read)
    return Page(infos, found.after, damaged)


async def _lives(backend: Backend, names: Sequence[str]) -> dict[str, Head | DamagedError | None]:
    """Return the head of the live build of each artifact, or its error."""
    streams = [live_stream_of(name.removeprefix(f"{KIND}/")) for name in names]
    try:
        return dict(zip(names, await backend.heads(streams), strict=True))
    except DamagedError as error:
        if len(names) == 1:
            return {names[0]: error}
    lives: dict[str, Head | DamagedError | None] = {}
    for name in names:
        lives |= await _lives(backend, [name])
    return lives


def _info_of(announced: Head, live: Head, now: int) -> ArtifactInfo:
    build = Build.read(live)
    began = to_time(live.created_at, live.name)
    return replace(newest_of(announced), size=build.size, state=build.state(now), created_at=began, expires_at=None)


async def _finished(backend: Backend, artifact_id: str, build: Build) -> Version | None:
    """Find the version of a finished build. With a repeated op_id of the caller, it is the first call's version."""
    for start in dict.fromkeys((build.after, 0)):
        position = start
        while True:
            head, entries = await backend.read(stream_of(artifact_id), Window(start=position, max_bytes=_PAGE_BYTES))
            if head is None or not entries:
                break
            for entry in entries:
                if entry.op_id == build.op_id:
                    return Version.read(artifact_id, head, entry)
            position = entries[-1].position + 1
    return None
