"""Clauses of writers: an artifact written in pieces is stored whole or not at all, beside others, through failures."""

from __future__ import annotations

import asyncio
import hashlib
import io
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, InvalidError, UnavailableError
from stowfast.records import Artifact
from stowfast.testing.artifacts.bodies import BODY, KB, MB, CountsBlobs, cut, each, write
from stowfast.testing.artifacts.versions import new
from stowfast.testing.clause import clauses, either, holds, raises, same, unique
from stowfast.testing.faults import LosesAnswers
from stowfast.testing.protocols import AS_GIVEN
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Iterator

    from stowfast.abc import Change, Receipt
    from stowfast.records import ArtifactInfo
    from stowfast.stores import Artifacts, Stores
    from stowfast.testing.clause import Make

_PIECES: Final[tuple[tuple[int, ...], ...]] = (
    (), (0,), (1,), (0, 1, 0), (32 * KB,), (32 * KB, 1), (32 * KB + 1,), (1,) * 500, (MB - 1,), (MB - 1, 1),
    (MB,), (MB, 1), (MB - 1, 2, MB - 1), (100_003,) * 31, (5 * MB + 3,), (3, MB, 0, 4 * MB, 7),
)  # fmt: skip


async def what_a_writer_takes_is_seen_whole_once_it_closes(make: Make[Stores]) -> None:
    """Nothing of a writer is visible before it closes, and all of it after, with pieces of any size."""
    given: dict[str, Any] = {
        "context_id": unique("context"), "task_id": "t", "name": "é", "description": "d", "mime_type": "x/y",
        "metadata": AS_GIVEN,
    }  # fmt: skip
    async with make() as stores, make() as other:
        for sizes in _PIECES:
            name, body = unique("artifact"), BODY[: sum(sizes)]
            async with stores.artifacts.open_writer(name, **given) as writer:
                for piece in cut(body, sizes):
                    await writer.write(piece)
                same(await _seen(other.artifacts, name), (None, []), "an artifact that is being written")
                same(writer.size, len(body), "bytes taken so far")
            info = writer.info
            holds(info is not None, "a writer that was closed says what was stored")
            same(await other.artifacts.versions(name), [info], "versions after it was closed")
            found = await other.artifacts.get(name)
            same(found and found.content, body, f"what was written in {len(sizes)} pieces")
            same({key: getattr(found, key) for key in given}, given, "what is known of it")
            same(found and found.sha256, hashlib.sha256(body).hexdigest(), "its SHA-256")
        same(len(await other.artifacts.list(context_id=given["context_id"])), len(_PIECES), "artifacts listed")


async def a_writer_takes_bytes_or_text(make: Make[Stores]) -> None:
    """Pieces are bytes of any type, or text, which comes back as text; not both in one artifact."""
    async with make() as stores:
        for pieces, whole in (
            (("é" * 20_000, "", "日本", "\n"), "é" * 20_000 + "日本\n"),
            ((b"a", bytearray(b"b"), memoryview(b"c")), b"abc"),
        ):
            name = unique("artifact")
            async with stores.artifacts.open_writer(name) as writer:
                for piece in pieces:
                    await writer.write(piece)
                other: Any = b"x" if isinstance(whole, str) else "x"
                await raises(InvalidError, writer.write(other), "a piece of another kind")
                wrong: Any = [1]
                await raises(InvalidError, writer.write(wrong), "what is neither bytes nor text")
            found = await stores.artifacts.get(name)
            same(found and found.content, whole, "what was written")
            await raises(InvalidError, writer.write(pieces[0]), "a piece after the end")


async def a_writer_that_fails_leaves_all_as_it_was(make: Make[Stores]) -> None:
    """After an exception, a cancellation or a backend failure, nothing of a writer is ever visible."""
    async with make() as stores, make() as other:
        for size in (1, 3 * MB):
            for before in (None, b"before"):
                for fail in (_throws, _is_cancelled, _hangs, _breaks):
                    name = unique("artifact")
                    if before is not None:
                        await stores.artifacts.create(Artifact(artifact_id=name, content=before))
                    wanted = await _seen(other.artifacts, name)
                    await fail(stores, name, BODY[:size])
                    for artifacts in (stores.artifacts, other.artifacts):
                        same(await _seen(artifacts, name), wanted, f"what is there after a writer that {_word(fail)}")
                    again = await write(other.artifacts, name, BODY[:size])
                    same(again.version, 1 if before is None else 2, "the version of the next writer")


async def a_writer_follows_the_version_it_expects(make: Make[Stores]) -> None:
    """A writer that expects version n, or 0 for none, is the next one, or a ConflictError with the `current`."""
    async with make() as stores:
        for body in (b"small", BODY[:MB]):
            name = unique("artifact")
            error = await raises(ConflictError, write(stores.artifacts, name, body, expect=1), "expect=1 of none")
            same((error.current, await _seen(stores.artifacts, name)), (0, (None, [])), "after a writer that lost")
            for expect in (0, 1, 2):
                info = await write(stores.artifacts, name, body, expect=expect)
                same(info.version, expect + 1, "the version that followed")
                for wrong in {0, 1, 2, 3, 4} - {expect + 1}:
                    call = write(stores.artifacts, name, body, expect=wrong)
                    error = await raises(ConflictError, call, f"expect={wrong} at version {expect + 1}")
                    same(error.current, expect + 1, "the error's current")
            same(len(await stores.artifacts.versions(name)), 3, "versions after conflicts")


async def a_writer_that_was_repeated_is_one_version(make: Make[Stores]) -> None:
    """A writer repeated with its op_id, answer lost or not, stores nothing and returns the first answer."""
    async with make() as stores:
        loses = LosesAnswers(stores.backend, 0)
        artifacts = type(stores)(loses).artifacts
        for body in (b"small", BODY[: 2 * MB]):
            for expect in (None, 0):
                name = unique("artifact")
                loses.lose = 1
                call = write(artifacts, name, body, op_id="op", expect=expect)
                await raises(UnavailableError, call, "a lost answer")
                counts = CountsBlobs(stores.backend)
                first = await write(type(stores)(counts).artifacts, name, body, op_id="op", expect=expect)
                same(counts.written, 0, "blobs that a repeat has stored")
                second = await write(stores.artifacts, name, b"another", op_id="another")
                same(await write(stores.artifacts, name, body, op_id="op", expect=expect), first, "a repeat later")
                same(await stores.artifacts.versions(name), [first, second], "versions there are")


async def writers_at_once_never_overwrite_one_another(make: Make[Stores]) -> None:
    """Concurrent writers each get a version of their own; of those that expect the same version one wins."""
    async with make() as one, make() as other:
        for size in (10, MB + 1):
            for begun in (0, 1):
                name = unique("artifact")
                for _ in range(begun):
                    await write(one.artifacts, name, b"begun")
                bodies = [bytes([number]) * size for number in range(4)]
                infos = await _together((one, other), name, bodies)
                holds(not any(isinstance(info, ConflictError) for info in infos), "all of them are kept")
                found = [await one.artifacts.get(name, version=info.version) for info in infos]
                same([artifact and artifact.content for artifact in found], bodies, "what each of them wrote")
                same(sorted(info.version for info in infos), list(range(1 + begun, 5 + begun)), "their versions")
                after = await _together((one, other), name, bodies, expect=4 + begun)
                won = [number for number, result in enumerate(after) if not isinstance(result, ConflictError)]
                same(len(won), 1, "writers that won of those that expected the same version")
                newest = await other.artifacts.get(name)
                same(newest and newest.content, bodies[won[0]], "the newest version is the winner's")
                same(len(await one.artifacts.versions(name)), 5 + begun, "versions in the end")


async def content_comes_from_a_path_a_file_or_an_iterator(make: Make[Stores]) -> None:
    """A path, a file object or an async iterator is stored as its bytes, and comes back as bytes."""
    async with make() as stores:
        for size in (0, 1, 32 * KB, 32 * KB + 1, MB, 3 * MB + 1):
            body = BODY[:size]
            wanted = await stores.artifacts.create(new(content=body))
            with _file(body) as path:
                given: tuple[Any, ...] = (path, io.BytesIO(body), each(cut(body, (0, 1, 99_999) * 40)), each([body]))
                for content in given:
                    artifact = new(content=content)
                    info = await stores.artifacts.create(artifact)
                    same((info.size, info.sha256, info.kind), (size, wanted.sha256, "file"), "what was stored")
                    found = await stores.artifacts.get(info.artifact_id)
                    same(found and found.content, body, f"content that came from {type(content).__name__}")
                updated = Artifact(artifact_id=wanted.artifact_id, content=path)
                same((await stores.artifacts.update(updated)).sha256, wanted.sha256, "an update from a path")
        no_bytes: tuple[Any, ...] = (io.StringIO("text"), each(["text"]), Path(tempfile.gettempdir()))
        for content in no_bytes:
            artifact = new(content=content)
            await raises(InvalidError, stores.artifacts.create(artifact), f"{type(content).__name__} without bytes")
            same(await stores.artifacts.info(artifact.artifact_id), None, "an artifact that was refused")


CLAUSES = clauses(__name__)


async def _seen(artifacts: Artifacts, name: str) -> tuple[Any, list[ArtifactInfo]]:
    found = await artifacts.get(name)
    same(await artifacts.info(name) is None, found is None, "whether `info` and `get` know it")
    return found, await artifacts.versions(name)


async def _together(stores: tuple[Stores, Stores], name: str, bodies: list[bytes], **options: Any) -> list[Any]:
    barrier = asyncio.Barrier(len(bodies))

    async def writes(artifacts: Artifacts, body: bytes) -> ArtifactInfo | None:
        async with artifacts.open_writer(name, **options) as writer:
            await writer.write(body)
            await barrier.wait()
        return writer.info

    calls = (writes(stores[number % 2].artifacts, body) for number, body in enumerate(bodies))
    return await asyncio.gather(*(either(call, ConflictError) for call in calls))


async def _throws(stores: Stores, name: str, body: bytes) -> None:
    with suppress(ZeroDivisionError):
        async with stores.artifacts.open_writer(name) as writer:
            await writer.write(body)
            raise ZeroDivisionError


async def _is_cancelled(stores: Stores, name: str, body: bytes) -> None:
    began = asyncio.Event()

    async def writes() -> None:
        async with stores.artifacts.open_writer(name) as writer:
            await writer.write(body)
            began.set()
            await asyncio.Event().wait()

    await _cancelled(writes(), began)


async def _hangs(stores: Stores, name: str, body: bytes) -> None:
    hangs = _Hangs(stores.backend)
    await _cancelled(write(type(stores)(hangs).artifacts, name, body), hangs.reached)


async def _breaks(stores: Stores, name: str, body: bytes) -> None:
    call = write(type(stores)(_Breaks(stores.backend)).artifacts, name, body)
    await raises(UnavailableError, call, "a backend that fails")


def _word(fail: Any) -> str:
    return str(fail.__name__).strip("_").replace("_", " ")


async def _cancelled(call: Any, began: asyncio.Event) -> None:
    task = asyncio.ensure_future(call)
    await began.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
        raise AssertionError("a writer that was cancelled went on")


class _Hangs(Wrapper):
    def __init__(self, backend: Any) -> None:
        super().__init__(backend)
        self.reached = asyncio.Event()

    async def commit(self, stream: str, change: Change) -> Receipt:
        if change.entries:
            self.reached.set()
            await asyncio.Event().wait()
        return await super().commit(stream, change)


class _Breaks(Wrapper):
    async def write_blob(self, stream: str, chunks: AsyncIterable[bytes]) -> str:
        async def some() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                yield chunk
                raise UnavailableError("it breaks off")

        return await super().write_blob(stream, some())

    async def commit(self, stream: str, change: Change) -> Receipt:
        raise UnavailableError("no answer")


@contextmanager
def _file(body: bytes) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "content"
        path.write_bytes(body)
        yield path
