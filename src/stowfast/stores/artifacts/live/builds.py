"""Live artifacts: token streams, logs and other artifacts that are read while they are written."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from stowfast.abc import Change
from stowfast.errors import InvalidError
from stowfast.names import check_name
from stowfast.records import Artifact
from stowfast.stores.artifacts.live.follower import follow
from stowfast.stores.artifacts.live.writer import LiveWriter
from stowfast.stores.codec import check_integers

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator

    from stowfast.abc import Backend

__all__ = ["LiveArtifacts"]

_LARGEST_BATCH = 2**23


class LiveArtifacts:
    """The operations on an artifact that is being written."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    @asynccontextmanager
    async def open_live(
        self,
        artifact_id: str,
        *,
        context_id: str | None = None,
        task_id: str | None = None,
        name: str | None = None,
        description: str | None = None,
        mime_type: str | None = None,
        metadata: dict[str, Any] | None = None,
        expect: int | None = None,
        op_id: str | None = None,
        flush_bytes: int = 2**16,
        flush_seconds: float = 0.2,
    ) -> AsyncIterator[LiveWriter]:
        """Write a version while others `follow`: `async with ... as w: await w.write(piece)`.

        The pieces are stored in batches, each once and in order. When the block ends without an error they become
        the next version of the artifact, visible to `get` and `open_reader` from then on; `w.info` is the version.
        Until then `info` and lists show an artifact without an earlier version as "building", with its current
        size. After an exception it is "failed": there is no version, followers get the written pieces and then an
        error, and after an hour a sweep removes the rest. A crash is noticed after 30 seconds without a heartbeat.

        One writer at a time: the next one may begin after this one has finished, failed or crashed, or with the
            same `op_id` at once.

        Args:
            expect: the version before this one; 0 for a new artifact. None: any.
            op_id: the idempotency key of this call: a repeat after the version exists becomes the same version,
                with any pieces.
            flush_bytes: followers see pieces after this many bytes, 1 to 8 MiB.
            flush_seconds: or after the oldest piece has waited this long.

        Raises:
            ConflictError: another writer is active. In the block: the artifact was deleted meanwhile, or taken
                over by another writer after 30 seconds without a heartbeat. At the end: it is not at the expected
                version.
            UnavailableError: the backend gave no answer for ten seconds. At the end: it may be a version. Write it
                again with the same op_id.
        """
        check_integers(expect=expect, flush_bytes=flush_bytes)
        if not 1 <= flush_bytes <= _LARGEST_BATCH:
            raise InvalidError(f"flush_bytes={flush_bytes}: it is 1 to {_LARGEST_BATCH:,}")
        seconds: Any = flush_seconds
        if not isinstance(seconds, int | float) or not seconds >= 0:
            raise InvalidError(f"flush_seconds={flush_seconds!r}: it is a number of seconds, 0 or more")
        if op_id is not None:
            check_name(op_id, "an op_id")
        described = Artifact(
            artifact_id=artifact_id, context_id=context_id, task_id=task_id, name=name, description=description,
            mime_type=mime_type, metadata={} if metadata is None else metadata,
        )  # fmt: skip
        change = Change(expect=expect, op_id=op_id)
        async with LiveWriter(self._backend, described, change, (flush_bytes, flush_seconds)) as writer:
            yield writer

    async def follow(self, artifact_id: str) -> AsyncGenerator[bytes, None]:
        """Yield the bytes of an artifact from its beginning, and continue while it is written, until it is complete.

        Every byte once and in order, from any time of the start: a running build is followed, and a late follower
        continues in the finished version. Without a running build, these are the bytes of the newest version.

        Raises:
            NotFoundError: the artifact does not exist; or it was never finished: its writer failed or crashed, or
                it was deleted. The yielded bytes are all there is: write it again, or report it. (Not
                UnavailableError: a repeat does not help.)
        """
        async for piece in follow(self._backend, artifact_id):
            yield piece
