"""Clauses of readers: ranges, seeks, file objects, deletion during a read, damage."""

from __future__ import annotations

import asyncio
import io
import json
from base64 import b64encode
from random import Random
from typing import TYPE_CHECKING, Any, Final
from zlib import crc32

from stowfast.abc import ALL, Slice, Window
from stowfast.errors import DamagedError, InvalidError, NotFoundError
from stowfast.records import Artifact
from stowfast.testing.artifacts.bodies import BODY, KB, MB
from stowfast.testing.artifacts.versions import new
from stowfast.testing.clause import clauses, holds, raises, same
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.abc import Backend
    from stowfast.stores import Artifacts, Stores
    from stowfast.testing.clause import Make

_SIZES: Final = (0, 1, 32 * KB, 32 * KB + 1, MB, 3 * MB + 5)
_EDGES: Final = (0, 1, 32 * KB, MB - 1, MB, MB + 1, 2 * MB, 3 * MB + 4, 3 * MB + 5, 3 * MB + 6, 9 * MB)


async def a_range_is_what_slicing_gives(make: Make[Stores]) -> None:
    """A reader from `start` to `stop` returns the bytes of that slice, streamed or read; both may be past the end."""
    async with make() as stores:
        for size in _SIZES:
            body = BODY[:size]
            info = await stores.artifacts.create(new(content=body))
            for start in _EDGES:
                for stop in (None, *_EDGES):
                    async with stores.artifacts.open_reader(info.artifact_id, start=start, stop=stop) as reader:
                        same(reader.info, info, "what is read")
                        same(reader.size, len(body[start:stop]), f"bytes from {start} to {stop} of {size}")
                        pieces = [piece async for piece in reader]
                    same(b"".join(pieces), body[start:stop], f"the bytes from {start} to {stop} of {size}")
                    holds(all(0 < len(piece) <= MB for piece in pieces), "pieces of at most 1 MiB")
                async with stores.artifacts.open_reader(info.artifact_id, start=start) as reader:
                    same(await reader.read(), body[start:], f"`read` of all from {start} of {size}")
                    same(await reader.read(), b"", "`read` at the end")
            for start, stop in ((-1, None), (0, -1)):
                opening = stores.artifacts.open_reader(info.artifact_id, start=start, stop=stop)
                await raises(InvalidError, opening.__aenter__(), f"a range from {start} to {stop}")


async def a_reader_moves_as_a_file_does(make: Make[Stores]) -> None:
    """`read`, `seek` and `tell` work as in a file with the bytes from `start` to `stop`."""
    async with make() as stores:
        for size in (100, 5 * MB + 1):
            body = BODY[:size]
            info = await stores.artifacts.create(new(content=body))
            for start, stop in ((0, None), (7, size - 5), (size // 2, size)):
                rng, wanted = Random(size + start), io.BytesIO(body[start:stop])  # noqa: S311 - the same moves each time
                async with stores.artifacts.open_reader(info.artifact_id, start=start, stop=stop) as reader:
                    for step in range(60):
                        if step % 3 == 0:
                            offset, whence = _move(rng, wanted)
                            same(reader.seek(offset, whence), wanted.seek(offset, whence), f"seek({offset}, {whence})")
                        count = rng.choice((0, 1, 1000, MB - 1, MB, 2 * MB, size, -1 if step % 20 == 0 else 5))
                        same(await reader.read(count), wanted.read(count), f"read({count}) after {step} steps")
                        same(reader.tell(), wanted.tell(), "where the next read begins")
                    reader.seek(1)
                    rest = b"".join([piece async for piece in reader])
                    same(rest, body[start:stop][1:], "what is streamed from where the reader stands")
                    same(await reader.read(1), b"", "`read` after that")
                    for wrong in ((-1, 0), (-size - 1, 1), (-size - 1, 2), (0, 3)):
                        try:
                            reader.seek(*wrong)
                        except InvalidError:
                            continue
                        raise AssertionError(f"seek{wrong} was accepted")


async def a_version_is_a_file_object(make: Make[Stores]) -> None:
    """A version opens as a binary file object with read, seek and lines, for use in a thread."""
    async with make() as stores:
        for size in (0, 100, 3 * MB + 1):
            body = BODY[:size].replace(b"\x0b", b"\n")
            artifact = new(content=body)
            await stores.artifacts.create(artifact)
            artifact.content = b"the newest"
            await stores.artifacts.update(artifact)
            file = await stores.artifacts.open_file(artifact.artifact_id, version=1)
            await asyncio.to_thread(_like_a_file, file, body)
            holds(file.closed, "a file that was closed is closed")
            newest = await stores.artifacts.open_file(artifact.artifact_id)
            same(await asyncio.to_thread(_whole, newest), b"the newest", "the newest version as a file")


async def what_is_not_there_is_not_read(make: Make[Stores]) -> None:
    """A reader or a file of an unknown artifact or version is a NotFoundError."""
    async with make() as stores:
        gone, pruned = new(content=b"x"), new(content=b"x")
        for artifact in (gone, pruned):
            await stores.artifacts.create(artifact)
            await stores.artifacts.update(artifact)
        await stores.artifacts.delete(gone.artifact_id)
        await stores.artifacts.prune(pruned.artifact_id, keep=1)
        for artifact, versions in ((new(), (None, 1)), (gone, (None, 1, 2)), (pruned, (1, 3))):
            for version in versions:
                name, subject = artifact.artifact_id, f"version {version} of what is not there"
                opening = stores.artifacts.open_reader(name, version=version)
                await raises(NotFoundError, opening.__aenter__(), f"a reader of {subject}")
                await raises(NotFoundError, stores.artifacts.open_file(name, version=version), f"a file of {subject}")
                same(await stores.artifacts.info(name, version=version), None, f"`info` of {subject}")


async def an_artifact_removed_while_it_is_streamed_gives_no_wrong_byte(make: Make[Stores]) -> None:
    """A reader of an artifact deleted, replaced or pruned meanwhile is a NotFoundError, or has all its bytes."""
    async with make() as stores, make() as other:
        body = BODY[: 6 * MB]
        for remove in (_delete, _replace, _prune):
            for streams in (True, False):
                artifact = new(content=body)
                await stores.artifacts.create(artifact)
                async with stores.artifacts.open_reader(artifact.artifact_id) as reader:
                    found = bytearray()
                    try:
                        async for piece in _streamed(reader) if streams else _by_reads(reader):
                            if not found:
                                await remove(other.artifacts, artifact)
                            found += piece
                    except NotFoundError:
                        same(bytes(found), body[: len(found)], "the bytes before it was removed")
                    else:
                        same(bytes(found), body, "the bytes of a reader that came to its end")


async def damage_of_a_part_is_noticed(make: Make[Stores]) -> None:
    """A read of any byte of a damaged MiB is a DamagedError, in every call; the other MiBs come as they are."""
    async with make() as stores:
        for size, at in ((100, 50), (3 * MB + 9, MB + 5), (3 * MB + 9, 3 * MB + 8), (3 * MB, 0)):
            body = BODY[:size]
            info = await stores.artifacts.create(new(content=body))
            for damages in (_Flips, _Shortens, _Forges):
                damaged = type(stores)(damages(stores.backend, body, at)).artifacts
                subject = f"{size} bytes of which {damages.__name__.strip('_').lower()} one at {at}"
                await raises(DamagedError, damaged.get(info.artifact_id), f"`get` of {subject}")
                await raises(DamagedError, _streams(damaged, info.artifact_id), f"all of {subject}")
                if damages is _Forges:
                    continue  # its checksums too, but not its SHA-256, which is known by who reads all
                for start, stop in ((at, at + 1), (max(0, at - MB), at + 1), (at, size)):
                    for call in (_streams, _reads):
                        await raises(DamagedError, call(damaged, info.artifact_id, start, stop), f"a part of {subject}")
                    file = await damaged.open_file(info.artifact_id)
                    await raises(DamagedError, asyncio.to_thread(_whole, file, start), f"a file of {subject}")
                if size > MB <= at:
                    for call in (_streams, _reads):
                        same(await call(damaged, info.artifact_id, 3, MB), body[3:MB], "a MiB that is not damaged")
            same(await _streams(stores.artifacts, info.artifact_id), body, "all of it, undamaged")


CLAUSES = clauses(__name__)


def _move(rng: Random, wanted: io.BytesIO) -> tuple[int, int]:
    size = len(wanted.getbuffer())
    target, whence = rng.choice((0, 1, size // 2, size - 1, size, size + 3, rng.randrange(size))), rng.randrange(3)
    return target - (0, wanted.tell(), size)[whence], whence


def _like_a_file(file: io.BufferedReader, body: bytes) -> None:
    wanted = io.BytesIO(body)
    with file:
        same((file.readable(), file.seekable(), file.writable()), (True, True, False), "what the file can do")
        same(file.readline(), wanted.readline(), "its first line")
        for offset, whence in ((0, 2), (len(body) // 2, 0), (10, 1), (0, 1), (len(body) + 9, 0), (0, 0)):
            same(file.seek(offset, whence), wanted.seek(offset, whence), f"seek({offset}, {whence})")
            same(file.read(70_000), wanted.read(70_000), "what is read there")
            same(file.tell(), wanted.tell(), "`tell`")
        buffer = bytearray(9)
        same(file.readinto(buffer), wanted.readinto(bytearray(9)), "bytes read into a buffer")
        file.seek(0)
        same(file.read(), body, "the whole file")
        try:
            file.seek(-len(body) - 1, 2)
        except OSError:
            return
        raise AssertionError("a file was moved before its start")


def _whole(file: io.BufferedReader, start: int = 0) -> bytes:
    with file:
        file.seek(start)
        return file.read()


async def _streamed(reader: Any) -> AsyncIterator[bytes]:
    async for piece in reader:
        yield piece


async def _by_reads(reader: Any) -> AsyncIterator[bytes]:
    while piece := await reader.read(300_000):
        yield piece


async def _streams(artifacts: Artifacts, name: str, start: int = 0, stop: int | None = None) -> bytes:
    async with artifacts.open_reader(name, start=start, stop=stop) as reader:
        return b"".join([piece async for piece in reader])


async def _reads(artifacts: Artifacts, name: str, start: int = 0, stop: int | None = None) -> bytes:
    async with artifacts.open_reader(name) as reader:
        reader.seek(start)
        return await reader.read(-1 if stop is None else stop - start)


async def _delete(artifacts: Artifacts, artifact: Artifact) -> None:
    await artifacts.delete(artifact.artifact_id)


async def _replace(artifacts: Artifacts, artifact: Artifact) -> None:
    await artifacts.delete(artifact.artifact_id)
    await artifacts.create(Artifact(artifact_id=artifact.artifact_id, content=bytes(len(artifact.content))))


async def _prune(artifacts: Artifacts, artifact: Artifact) -> None:
    await artifacts.update(Artifact(artifact_id=artifact.artifact_id, content=bytes(len(artifact.content))))
    await artifacts.prune(artifact.artifact_id, keep=1)


class _Flips(Wrapper):
    """Returns one byte of a content as another, wherever it is kept."""

    def __init__(self, backend: Backend, body: bytes, at: int) -> None:
        super().__init__(backend)
        self._body = body
        self._at = at

    def damaged(self) -> bytes:
        """Return the content as it is given out."""
        flipped = self._body[self._at] ^ 1
        return self._body[: self._at] + bytes([flipped]) + self._body[self._at + 1 :]

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Forward, and damage what is kept in the entry."""
        head, entries = await super().read(stream, window)
        changed = []
        for entry in entries:
            line, _, body = entry.data.partition(b"\n")
            data = b"\n".join((self.line(line), self.damaged() if body else b""))
            changed.append(type(entry)(entry.position, data, entry.created_at, entry.op_id))
        return Slice(head, changed)

    def line(self, line: bytes) -> bytes:
        """Return the line that describes a version."""
        return line

    async def read_blob(
        self, stream: str, blob: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        """Give out the content, damaged."""
        part = self.damaged()[start:stop]
        for offset in range(0, len(part), 99_999):
            yield part[offset : offset + 99_999]


class _Shortens(_Flips):
    def damaged(self) -> bytes:
        return self._body[: self._at - self._at % MB]


class _Forges(_Flips):
    def line(self, line: bytes) -> bytes:
        record, body = json.loads(line), self.damaged()
        checksums = [crc32(body[start : start + MB]) for start in range(0, len(body), MB)]
        if "checksums" in record:
            record["checksums"] = b64encode(b"".join(one.to_bytes(4, "little") for one in checksums)).decode()
        return json.dumps(record).encode()
