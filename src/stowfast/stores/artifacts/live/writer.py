"""A writer with followers: its pieces are visible in batches, and become one version in the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

from stowfast.abc import Change, Window
from stowfast.errors import ConflictError, InvalidError, StowfastError, UnavailableError, shown
from stowfast.names import new_id
from stowfast.stores.artifacts.digest import CHUNK
from stowfast.stores.artifacts.live.build import HEARTBEAT, REMAINS, SILENCE, Build, later, live_stream_of
from stowfast.stores.artifacts.records import announcement, stream_of
from stowfast.stores.artifacts.writing.commit import add, described
from stowfast.stores.artifacts.writing.content import Content, piece_of
from stowfast.stores.optimistic import delete_if_still

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine
    from types import TracebackType

    from stowfast.abc import Backend
    from stowfast.records import Artifact, ArtifactInfo

__all__ = ["LiveWriter"]

R = TypeVar("R")

_PATIENCE: Final = 10.0
"""Seconds to repeat a call without an answer."""

_ANNOUNCED: Final = 86_400.0
"""Seconds for which a list shows an artifact without a version, unless its writer renews the note."""


class LiveWriter:
    """Writes an artifact piece by piece, while others follow. It becomes a version when the writer is closed.

    A piece is stored after `flush_seconds`, or after `flush_bytes`, each byte once and in order: a batch without an
    answer is repeated under its own op_id. `write` waits for a slower backend.

    Raises:
        ConflictError: the artifact was deleted, or taken over by another writer after 30 seconds without a heartbeat;
            from `close` also: it is not at the expected version. There is no version.
        UnavailableError: the backend gave no answer for ten seconds. From `close` it may be a version: with an op_id,
            write it again.
    """

    def __init__(self, backend: Backend, artifact: Artifact, change: Change, batch: tuple[int, float]) -> None:
        self.info: ArtifactInfo | None = None
        """The stored version, after the block ended."""
        self.size = 0
        """Bytes taken so far."""
        self._backend = backend
        self._artifact = artifact
        self._change = change
        self._flush_bytes, self._flush_seconds = batch
        self._live, self._stream = live_stream_of(artifact.artifact_id), stream_of(artifact.artifact_id)
        self._encoding = ""
        self._held = bytearray()
        self._held_since = self._announced_at = 0.0
        self._pieces = 0
        self._urgent = self._under_way = self._closed = False
        self._repeated = change.op_id is not None
        """It may be a version already: of an earlier call, or of an earlier `close`."""
        self._came, self._went = asyncio.Event(), asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self._begin()
        try:
            await _surely(lambda: self._announce(_ANNOUNCED))
        except BaseException as error:
            await self.abort(error)
            raise
        self._task = asyncio.create_task(self._keep_writing())
        return self

    async def _begin(self) -> None:
        live, head = await self._backend.heads([self._live, self._stream])
        self._record, self._labels = described(self._artifact, head if head and head.next else None)
        build, now = new_id(), await self._backend.now()
        self._change = self._change._replace(op_id=self._change.op_id or build)
        self._build = Build(build, self._change.op_id or build, head.next if head else 0, now)
        change = Change(expect=0, revision=0)
        if live is not None:
            there = Build.read(live)
            # The same op_id is the interrupted caller again: it does not wait until its first writer counts as dead.
            if there.state(now) == "building" and there.op_id != self._build.op_id:
                raise ConflictError(f"artifact {shown(self._artifact.artifact_id)} is being written: follow it")
            change = delete_if_still(live)
        change = change._replace(op_id=f"{build}/begin", note=self._build.write(), expires_at=_lease(now))
        try:
            self._incarnation = (await _surely(lambda: self._backend.commit(self._live, change))).incarnation
        except ConflictError as error:
            raise ConflictError(
                f"somebody has just begun artifact {shown(self._artifact.artifact_id)}: follow it"
            ) from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:
            await self.abort(error)
            return
        try:
            await self.close()
        except BaseException as closing:
            await self.abort(closing)
            raise

    async def write(self, piece: bytes | bytearray | memoryview | str) -> None:
        """Take a piece of any size: bytes, or text, but not both in one artifact.

        Cancelled, a piece of at most 1 MiB was not taken; of a larger one the first MiBs may have been.
        """
        self._check()
        self._encoding, data = piece_of(piece, self._encoding)
        clock = asyncio.get_running_loop().time
        for start in range(0, len(data), CHUNK):
            if self._held and (
                len(self._held) >= self._flush_bytes or clock() >= self._held_since + self._flush_seconds
            ):
                await asyncio.sleep(0)  # or a caller who never waits would keep the batch from being written
            # Of what comes while a batch is under way, one more is held back.
            await self._until(lambda: len(self._held) < max(self._flush_bytes, CHUNK))
            part = data[start : start + CHUNK]
            if not self._held:
                self._held_since = clock()
                self._came.set()
            self._held += part
            self.size += len(part)
            if len(self._held) >= self._flush_bytes:
                self._came.set()

    async def flush(self) -> None:
        """Make all written pieces visible to followers now."""
        self._check()
        await self._flush()

    async def close(self) -> ArtifactInfo:
        """Make the written pieces a version, and return it. A second close does nothing."""
        if not self._closed:
            self._check()
            self._closed = True
            await self._flush()
            # The heartbeats go on meanwhile: storing gigabytes takes its time.
            self.info = await _surely(self._store)
            await self._end_task()
            with suppress(ConflictError, UnavailableError):  # it is a version now
                await _surely(lambda: self._commit(Change(delete=True)))
        if self.info is None:
            raise InvalidError("this writer was given up")
        return self.info

    async def abort(self, error: BaseException | None = None) -> None:
        """Store no version. Followers get the written pieces, and then an error with the reason."""
        self._closed = True
        await self._end_task()
        if self.info is not None or self._build.failed:
            return
        ended = "abort()" if error is None else type(error).__name__
        self._build = self._build._replace(size=self._build.size + len(self._held), failed=ended)
        with suppress(StowfastError):  # without it they will know from the silence
            # The empty piece is the news that wakes those who wait.
            pieces = [*_cut(self._held), b""]
            now = await self._backend.now()
            await self._commit(Change(entries=pieces, note=self._build.write(), expires_at=later(now, REMAINS)))
            await self._announce(REMAINS)

    def _check(self) -> None:
        if self._closed or self._task is None:
            raise InvalidError("this writer was closed")
        if self._task.done():
            self._task.result()

    async def _flush(self) -> None:
        self._urgent = True
        self._came.set()
        try:
            await self._until(lambda: not self._held and not self._under_way)
        finally:
            self._urgent = False

    async def _until(self, done: Callable[[], bool]) -> None:
        while not done():
            if self._task is None or self._task.cancelled():
                raise InvalidError("this writer was given up")
            if self._task.done():
                self._task.result()
            self._went.clear()
            await self._went.wait()

    async def _keep_writing(self) -> None:
        try:
            while True:
                await self._until_due()
                await self._write_batch()
                self._went.set()
        finally:
            self._went.set()

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        silent_until = loop.time() + HEARTBEAT
        while not (self._urgent and self._held) and len(self._held) < self._flush_bytes:
            due = min(self._held_since + self._flush_seconds, silent_until) if self._held else silent_until
            if loop.time() >= due:
                return
            self._came.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due):
                    await self._came.wait()

    async def _write_batch(self) -> None:
        if self._held:
            self._under_way = True
            self._build = self._build._replace(size=self._build.size + len(self._held))
            pieces, op_id = _cut(self._held), f"{self._build.id}/{self._pieces}"
            self._held.clear()
            self._pieces += len(pieces)
            await _surely(lambda: self._live_on(Change(entries=pieces, op_id=op_id)))
            self._under_way = False
            return
        with suppress(UnavailableError):  # nothing is lost yet: the next heartbeat may arrive
            await self._live_on(Change())
            if asyncio.get_running_loop().time() > self._announced_at + _ANNOUNCED / 2:
                await self._announce(_ANNOUNCED)

    async def _live_on(self, change: Change) -> None:
        now = await self._backend.now()
        self._build = self._build._replace(at=now)
        await self._commit(change._replace(note=self._build.write(), expires_at=_lease(now)))

    async def _commit(self, change: Change) -> None:
        try:
            await self._backend.commit(self._live, change._replace(incarnation=self._incarnation))
        except ConflictError as error:
            raise self._gone() from error

    async def _announce(self, seconds: float) -> None:
        """Show an artifact without a version in lists and `info`. Its first version makes it permanent."""
        self._announced_at = asyncio.get_running_loop().time()
        if self._build.after:
            return
        until = later(await self._backend.now(), seconds)
        change = Change(expect=0, labels=self._labels, note=announcement(self._record), expires_at=until)
        with suppress(ConflictError):  # there is a version by now
            await self._backend.commit(self._stream, change)

    async def _store(self) -> ArtifactInfo:
        (head,) = await self._backend.heads([self._stream])
        content = _Written(self._encoding, self._written)
        head, repeated, self._repeated = head if head and head.next else None, self._repeated, True
        return await add(self._backend, self._artifact, content, self._change, head, repeated=repeated)

    async def _written(self) -> AsyncGenerator[bytes, None]:
        position = 0
        while position < self._pieces:
            head, entries = await self._backend.read(self._live, Window(start=position, max_bytes=CHUNK))
            if head is None or head.incarnation != self._incarnation or not entries:
                raise self._gone()
            for entry in entries:
                yield entry.data
            position = entries[-1].position + 1

    def _gone(self) -> ConflictError:
        return ConflictError(
            f"artifact {shown(self._artifact.artifact_id)} was deleted, or begun anew, while it was written"
        )

    async def _end_task(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


class _Written(Content):
    """The pieces of a live build, as often as they are asked for."""

    def __init__(self, encoding: str, read: Callable[[], AsyncGenerator[bytes, None]]) -> None:
        super().__init__(encoding, read())
        self._read = read

    def begin_again(self) -> bool:
        """Read them again."""
        self.pieces = self._read()
        return True


async def _surely(call: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Repeat an idempotent call until it is answered."""
    clock = asyncio.get_running_loop().time
    pause, deadline = 0.05, clock() + _PATIENCE
    while True:
        try:
            return await call()
        except UnavailableError:
            if clock() + pause > deadline:
                raise
        await asyncio.sleep(pause)
        pause = min(2 * pause, 1.0)


def _cut(held: bytearray) -> list[bytes]:
    return [bytes(held[start : start + CHUNK]) for start in range(0, len(held), CHUNK)]


def _lease(now: int) -> int:
    return later(now, SILENCE + REMAINS)
