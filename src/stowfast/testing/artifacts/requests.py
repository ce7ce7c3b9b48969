"""Clauses of requests: a body is sent once, a range is one request, a list is one for many artifacts."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

from stowfast.abc import ALL, Query, Window
from stowfast.errors import DamagedError
from stowfast.records import Artifact
from stowfast.testing.artifacts.bodies import BODY, KB, MB, cut, each, write
from stowfast.testing.artifacts.followers import write_live
from stowfast.testing.artifacts.versions import new
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator

    from stowfast.abc import Backend, Change, Head, Listing, Receipt, Slice
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_PIECE = 64 * KB


async def a_repeat_sends_no_body(make: Make[Stores]) -> None:
    """A call repeated with its op_id sends no body again; a call without one makes no request before the body."""
    async with make() as stores:
        counts = _Counts(stores.backend)
        artifacts = type(stores)(counts).artifacts
        artifact, body = new(content=BODY[: 2 * MB]), BODY[1 : 2 * MB]
        name = artifact.artifact_id
        first = await artifacts.create(artifact, op_id="create")
        second = await artifacts.update(Artifact(artifact_id=name, content=body), op_id="update")
        sent = counts.sent
        same(sent, 4 * MB - 1, "bytes that were sent")
        same(await artifacts.create(artifact, op_id="create"), first, "what a repeated creation is told")
        for content in (body, io.BytesIO(body), each(cut(body, (100_003,) * 20))):
            again = await artifacts.update(Artifact(artifact_id=name, content=content), op_id="update")
            same(again, second, "what a repeated update is told")
        same(await write(artifacts, name, BODY, op_id="update"), second, "what a repeated writer is told")
        same(counts.sent, sent, "bytes that were sent after all repeats")
        same(await stores.artifacts.versions(name), [first, second], "versions after all repeats")
        other = new(content=body)
        for store in (artifacts.create, artifacts.update):
            before = counts.commits
            await store(other)
            same(counts.commits - before, 1, "commits of a call without an op_id")


async def bytes_that_were_damaged_are_stored_anew(make: Make[Stores]) -> None:
    """The bytes of a damaged version are stored again: a new version is whole."""
    async with make() as stores:
        for content in (BODY[: 2 * MB], io.BytesIO(BODY[: 2 * MB])):
            artifact = new(content=BODY[: 2 * MB])
            name = artifact.artifact_id
            spoils = _Spoils(stores.backend)
            artifacts = type(stores)(spoils).artifacts
            await artifacts.create(artifact)
            await artifacts.update(Artifact(artifact_id=name, content=b"in between"))
            spoils.spoilt = set(spoils.written)
            await raises(DamagedError, artifacts.get(name, version=1), "a body that was damaged")
            info = await artifacts.update(Artifact(artifact_id=name, content=content))
            found = await artifacts.get(name)
            same(found and (found.version, found.content), (3, BODY[: 2 * MB]), "the version that mends it")
            same(len(spoils.written), 2, "bodies that were stored")
            same((await artifacts.update(artifact)).sha256, info.sha256, "the same bytes once more")
            same(len(spoils.written), 2, "bodies after the same bytes came once more")


async def an_update_reads_no_more_for_many_versions(make: Make[Stores]) -> None:
    """An update reads equally much for any number of versions, and still finds the same bytes among them."""
    async with make() as stores:
        counts = _Counts(stores.backend)
        artifacts = type(stores)(counts).artifacts
        artifact = new(content=BODY[: 100 * KB])
        name = artifact.artifact_id
        await artifacts.create(artifact)
        for number in range(12):
            small = Artifact(artifact_id=name, content=BODY[number : number + 20 * KB])
            await artifacts.update(small)
        counts.entries, sent = 0, counts.sent
        await artifacts.update(artifact)
        same(counts.sent, sent, "bytes sent of a content that the first of 13 versions has")
        await artifacts.update(Artifact(artifact_id=name, content=BODY[1 : 100 * KB]))
        holds(counts.entries <= 64 * KB, f"two updates read {counts.entries:,} bytes of older versions")


async def a_range_is_asked_for_once(make: Make[Stores]) -> None:
    """A range is one request for its MiBs, a seek none, and reading on in small pieces a few."""
    async with make() as stores:
        counts = _Counts(stores.backend)
        artifacts = type(stores)(counts).artifacts
        info = await artifacts.create(new(content=BODY))

        async with artifacts.open_reader(info.artifact_id, start=3 * MB + 5, stop=5 * MB + 7) as reader:
            same(b"".join([piece async for piece in reader]), BODY[3 * MB + 5 : 5 * MB + 7], "a range, streamed")
            same(counts.taken(), (1, 3 * MB), "requests and bytes of a range that is streamed")
        async with artifacts.open_reader(info.artifact_id) as reader:
            for offset in (6 * MB, 100, 2 * MB):
                reader.seek(offset)
            same(counts.taken(), (0, 0), "requests and bytes of a seek")
            same(await reader.read(5), BODY[2 * MB : 2 * MB + 5], "five bytes")
            same(counts.taken(), (1, MB), "requests and bytes of five bytes")

        async with artifacts.open_reader(info.artifact_id) as reader:
            body = b"".join([await reader.read(_PIECE) for _ in range(-(-len(BODY) // _PIECE))])
        same(body, BODY, "all of it in small pieces")
        calls, _ = counts.taken()
        holds(calls <= 4, f"{len(BODY):,} bytes in pieces of 64 KiB were {calls} requests")
        file = await artifacts.open_file(info.artifact_id)
        same(await asyncio.to_thread(_in_pieces, file), BODY, "all of it in small pieces of a file")
        calls, _ = counts.taken()
        holds(calls <= 4, f"{len(BODY):,} bytes of a file in pieces of 64 KiB were {calls} requests")


async def a_list_asks_no_more_for_many_artifacts(make: Make[Stores]) -> None:
    """A page of a list takes as many requests for many artifacts as for one, and reads none of them."""
    async with make() as stores:
        counts = _Counts(stores.backend)
        artifacts = type(stores)(counts).artifacts
        calls = []
        for many in (1, 12):
            context = unique("context")
            for _ in range(many):
                await artifacts.create(new(context_id=context, content=b"x"))
            counts.calls = 0
            same(len(await artifacts.list(context_id=context)), many, "artifacts listed")
            calls.append(counts.calls)
        same(calls[1], calls[0], "calls for a list of 12, and for a list of one")


async def what_was_written_live_is_one_body(make: Make[Stores]) -> None:
    """A finished live artifact is one body, read in one request, after any number of batches."""
    async with make() as stores:
        counts = _Counts(stores.backend)
        artifacts = type(stores)(counts).artifacts
        name, body = unique("artifact"), BODY[: 3 * MB]
        await write_live(artifacts, name, body, flush_bytes=100_000)
        same((counts.bodies, counts.sent), (1, len(body)), "bodies that were stored, and their bytes")
        counts.taken()
        found = await artifacts.get(name)
        same((found and found.content, counts.taken()), (body, (1, len(body))), "what it was, and how it was read")


CLAUSES = clauses(__name__)


def _in_pieces(file: io.BufferedReader) -> bytes:
    with file:
        return b"".join(iter(lambda: file.read(_PIECE), b""))


class _Counts(Wrapper):
    """Counts the requests to a backend."""

    commits = bodies = sent = entries = calls = 0

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self._ranges: list[int] = []

    def taken(self) -> tuple[int, int]:
        """Return how many ranges of bodies were asked for since the last call of this, and their bytes."""
        ranges, self._ranges = self._ranges, []
        return len(ranges), sum(ranges)

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Forward."""
        self.commits += 1
        return await super().commit(stream, change)

    async def heads(self, streams: Any) -> list[Head | None]:
        """Forward."""
        self.calls += 1
        return await super().heads(streams)

    async def streams(self, query: Query) -> Listing:
        """Forward."""
        self.calls += 1
        return await super().streams(query)

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Forward."""
        self.calls += 1
        found = await super().read(stream, window)
        self.entries += sum(len(entry.data) for entry in found.entries)
        return found

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        """Forward."""

        async def counted() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                self.sent += len(chunk)
                yield chunk

        self.bodies += 1
        return await super().write_blob(stream, counted())

    def read_blob(self, stream: str, blob: str, *, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        """Forward."""
        self._ranges.append((len(BODY) if stop is None else stop) - start)
        return super().read_blob(stream, blob, start=start, stop=stop)


class _Spoils(Wrapper):
    """Returns some blobs with one byte changed."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.written: list[str] = []
        self.spoilt: set[str] = set()

    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        """Forward."""
        self.written.append(await super().write_blob(stream, chunks))
        return self.written[-1]

    async def read_blob(
        self, stream: str, blob: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Forward, or give it out damaged."""
        first = blob in self.spoilt
        async for piece in super().read_blob(stream, blob, start=start, stop=stop):
            yield bytes([piece[0] ^ 1]) + piece[1:] if first else piece
            first = False
