"""Followers: reading a live build to its end, and its state."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from stowfast.abc import Window
from stowfast.errors import NotFoundError
from stowfast.stores.artifacts.live.build import Build, live_stream_of
from stowfast.stores.artifacts.lookup import find_version
from stowfast.stores.artifacts.reading.reader import ArtifactReader
from stowfast.stores.artifacts.records import KIND, Version, newest_of, stream_of
from stowfast.stores.codec import to_time

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from stowfast.abc import Backend, Head
    from stowfast.records import ArtifactInfo

__all__ = ["follow", "listed", "newest_info"]

_PAGE_BYTES: Final = 2**20


async def follow(backend: Backend, artifact_id: str) -> AsyncGenerator[bytes, None]:
    """Yield an artifact's bytes as they are written, to its end."""
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


async def listed(backend: Backend, heads: Sequence[Head]) -> list[ArtifactInfo]:
    """Return the newest versions from heads, and the live builds of artifacts without a version."""
    unfinished = [head.name for head in heads if not head.next]
    now = await backend.now() if unfinished else 0
    lives = await backend.heads([live_stream_of(name.removeprefix(f"{KIND}/")) for name in unfinished])
    live_of = dict(zip(unfinished, lives, strict=True))
    infos = (
        newest_of(head) if head.next else live and _info_of(head, live, now)
        for head, live in ((head, live_of.get(head.name)) for head in heads)
    )
    return [info for info in infos if info is not None]


def _info_of(announced: Head, live: Head, now: int) -> ArtifactInfo:
    build = Build.read(live)
    return replace(newest_of(announced), size=build.size, state=build.state(now), created_at=to_time(live.created_at))


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
