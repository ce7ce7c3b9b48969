"""Live artifacts: token streams, logs and whatever else is worth reading before it is finished."""

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
    """What can be done to an artifact while it is written."""

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
        """Write a version that others `follow` meanwhile: `async with ... as w: await w.write(piece)`.

        The pieces are stored in batches, however small they are, each once and in order. When the block ends without
        an error they become the next version of the artifact, which `get` and `open_reader` know from then on, and
        `w.info` says what was stored. Until then `info` and lists show an artifact without an earlier version as
        "building", with its size so far. After an exception it has "failed": there is no version, followers get what
        was written and then an error, and an hour later a sweep removes the rest. A crash is noticed after 30 seconds
        without a sign of life.

        One writer at a time: the next one may begin when this one has finished, failed or crashed, or with the same
        `op_id` at once.

        Args:
            expect: the version that this one follows; 0 for an artifact that is not there yet. None: whatever is there.
            op_id: names this call: once it became a version, a repeat becomes the same one, whatever it writes.
            flush_bytes: followers see pieces once there are so many bytes, 1 to 8 MiB.
            flush_seconds: or once the oldest of them has waited so long.

        Raises:
            ConflictError: somebody else is writing the artifact. In the block: it was deleted meanwhile, or begun anew
                by somebody who took this writer for dead. At the end: it is not at the version expected.
            UnavailableError: the place gave no answer, for ten seconds. At the end: it may have become a version.
                Write it again with the same op_id.
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
        """Yield the bytes of an artifact from its beginning, and go on as they are written, until it is complete.

        Every byte once and in order, whenever the follower came: what is being written is followed, and a follower
        that comes late, or is behind when it is finished, reads on in the version. Where nobody is writing, these are
        the bytes of the newest version.

        Raises:
            NotFoundError: there is no such artifact; or it was never finished: its writer failed, or crashed, or it
                was deleted. What was yielded is all there is, and the rest never comes: have it written again, or
                report it. (Not UnavailableError: asking again does not help.)
        """
        async for piece in follow(self._backend, artifact_id):
            yield piece
