"""Clauses of content: every kind and size, repeats, and damage."""

from __future__ import annotations

import asyncio
import hashlib
import json
from copy import deepcopy
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import ALL, Entry, Slice, Window
from stowfast.errors import ConflictError, DamagedError, InvalidError
from stowfast.records import Artifact, ArtifactInfo
from stowfast.testing.artifacts.versions import new, without_content
from stowfast.testing.clause import clauses, either, holds, raises, same, unique
from stowfast.testing.data.messages import exactly, refused
from stowfast.testing.protocols import AS_GIVEN
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from stowfast.stores import Artifacts, Stores
    from stowfast.testing.clause import Make

_INLINE: Final = 32 * 2**10
_LARGE: Final = bytes(range(256)) * 12 * 1024


async def content_of_any_size_comes_back_as_what_it_was(make: Make[Stores]) -> None:
    """Bytes, text and JSON keep their type, from no bytes to megabytes, with their size and SHA-256."""
    sizes = [0, 1, _INLINE - 1, _INLINE, _INLINE + 1, 2**18, 2**20, 2**20 + 1, len(_LARGE)]
    contents: list[Any] = [_LARGE[:size] for size in sizes]
    contents += ["é" * (size // 2) for size in (0, 2, _INLINE, _INLINE + 2, 2**21)]
    contents += [{"rows": ["x" * 100] * count, "n": 1.0} for count in (0, 1, 300, 400, 20_000)]
    contents += [None, True, 0, [], {}, [AS_GIVEN], "\n", b"\n\x00{}"]
    created = []
    async with make() as stores:
        for content in contents:
            artifact = new(content=content)
            created.append((content, await stores.artifacts.create(artifact)))
    async with make() as stores:
        for content, info in created:
            found = await stores.artifacts.get(info.artifact_id)
            if found is None:
                raise AssertionError("an artifact that was created is not there")
            same(type(found.content), type(content), "the type of the content")
            exactly(found.content, content, "content")
            if isinstance(content, bytes | str):
                body = content if isinstance(content, bytes) else content.encode()
                same((found.size, found.sha256), (len(body), hashlib.sha256(body).hexdigest()), "size and SHA-256")
            same(without_content(found), info, "what `create` returned, and what is there")


async def bytes_of_any_type_are_bytes(make: Make[Stores]) -> None:
    """A bytearray and a memoryview are stored as the bytes they hold at that moment."""
    async with make() as stores:
        for content in (bytearray(b"as given"), memoryview(b"as given"), bytearray(_LARGE)):
            info = await stores.artifacts.create(new(content=content))
            found = await stores.artifacts.get(info.artifact_id)
            same(found and found.content, bytes(content), "content given as another type of bytes")


async def what_is_known_of_an_artifact_comes_back_exactly(make: Make[Stores]) -> None:
    """Ids, name, description, MIME type and metadata come back as given; the store adds version and time."""
    given: dict[str, Any] = {
        "context_id": "c",
        "task_id": "t/1",
        "name": "é",
        "description": "",
        "mime_type": "x/y",
        "metadata": AS_GIVEN,
    }
    async with make() as stores:
        for content, mime_type in ((b"", "application/octet-stream"), ("", "text/plain; charset=utf-8"), ({}, None)):
            bare = await stores.artifacts.create(Artifact(artifact_id=unique("artifact"), content=content))
            same(bare.mime_type, mime_type or "application/json", "the MIME type where none was given")
            same(
                (bare.context_id, bare.task_id, bare.name, bare.description, bare.metadata), (None,) * 4 + ({},), "bare"
            )
        full = Artifact(artifact_id=unique("artifact"), content=b"x", **deepcopy(given))
        for info in (await stores.artifacts.create(full), await stores.artifacts.get(full.artifact_id)):
            found = {field: getattr(info, field) for field in given}
            exactly(found, given, "what was given")
            same(info and info.version, 1, "the first version")
            holds(info and info.created_at is not None and info.created_at.tzinfo is UTC, "its time is in UTC")
            holds(info and info.incarnation, "it has a life")


async def what_cannot_be_an_artifact_is_refused(make: Make[Stores]) -> None:
    """Content or metadata that would not come back the same is an InvalidError; nothing is stored."""
    async with make() as stores:
        name = unique("artifact")
        for subject, value in refused():
            if subject != "bytes":
                call = stores.artifacts.create(Artifact(artifact_id=name, content=[value]))
                await raises(InvalidError, call, f"{subject} in the content")
            call = stores.artifacts.create(Artifact(artifact_id=name, content=b"x", metadata={"k": value}))
            await raises(InvalidError, call, f"{subject} in the metadata")
        call = stores.artifacts.create(Artifact(artifact_id=name, content="a lone \ud800"))
        await raises(InvalidError, call, "text that is not Unicode")
        call = stores.artifacts.create(Artifact(artifact_id=name, content=b"x", metadata={"k": "x" * 2**25}))
        await raises(InvalidError, call, "metadata over 32 MiB")
        wrong: tuple[Any, ...] = (None, b"x", {"artifact_id": name}, ArtifactInfo(artifact_id=name))
        for artifact in wrong:
            await raises(InvalidError, stores.artifacts.create(artifact), "what is no Artifact")
        same(await stores.artifacts.get(name), None, "an artifact that was refused")


async def an_artifact_that_exists_is_not_created_again(make: Make[Stores]) -> None:
    """A second creation is a ConflictError and changes nothing; of racers with the same bytes exactly one wins."""
    async with make() as one, make() as other:
        for body in (b"same bytes", _LARGE):
            artifact = new(content=body)
            racing = (either((one, other)[n % 2].artifacts.create(artifact), ConflictError) for n in range(6))
            lost = sum(isinstance(result, ConflictError) for result in await asyncio.gather(*racing))
            same(lost, 5, "racing creations that lost")
            second = Artifact(artifact_id=artifact.artifact_id, content=b"second")
            await raises(ConflictError, one.artifacts.create(second), "a second creation")
            found = await other.artifacts.get(artifact.artifact_id)
            holds(found is not None and found.content == body, "the content is the first's")
            same(len(await one.artifacts.versions(artifact.artifact_id)), 1, "versions after conflicts")


async def a_deleted_artifact_leaves_nothing(make: Make[Stores]) -> None:
    """Nothing of a deleted artifact can be read, large or small; the next one begins at version 1."""
    async with make() as stores:
        await stores.artifacts.delete(unique("artifact"))
        for body in (b"small", _LARGE):
            artifact = new(content=body)
            await stores.artifacts.create(artifact)
            await stores.artifacts.update(artifact)
            for _ in range(2):
                await stores.artifacts.delete(artifact.artifact_id)
                for version in (None, 1, 2):
                    same(await stores.artifacts.get(artifact.artifact_id, version=version), None, "a deleted artifact")
                same(await stores.artifacts.versions(artifact.artifact_id), [], "its versions")
                same(list(await stores.artifacts.list(context_id=artifact.context_id)), [], "listed")
            same((await stores.artifacts.create(artifact)).version, 1, "the first version of the next")


async def an_artifact_deleted_while_it_is_read_is_none(make: Make[Stores]) -> None:
    """A read during a deletion returns the whole artifact or None, never an error or a part."""
    async with make() as stores:
        for body in (b"small", _LARGE):
            artifact = new(content=body)
            await stores.artifacts.create(artifact)
            reader = type(stores)(_DeletesBehindReads(stores.backend, stores.artifacts, artifact.artifact_id))
            found = await reader.artifacts.get(artifact.artifact_id)
            holds(found is None or found.content == body, "all of it or None")


async def damage_is_noticed(make: Make[Stores]) -> None:
    """Content with one changed bit or a missing part is a DamagedError on read, never wrong data."""
    contents: tuple[Any, ...] = (b"small body", "a text", {"json": 1}, _LARGE, "é" * 2**17)
    async with make() as stores:
        for content in contents:
            info = await stores.artifacts.create(new(content=content))
            for damage in (_flip, _shorten, _lengthen):
                damaged = type(stores)(_Damages(stores.backend, damage)).artifacts
                await raises(DamagedError, damaged.get(info.artifact_id), f"content damaged by {damage.__name__}")
            for line in (b"{}", b"[]", b"1", b"not json", b'{"encoding": "x", "size": 0, "sha256": ""}', b""):
                damaged = type(stores)(_Damages(stores.backend, lambda _, line=line: line)).artifacts
                await raises(DamagedError, damaged.get(info.artifact_id), f"an entry of {line!r}")
            holds(await stores.artifacts.get(info.artifact_id), "undamaged it is read")


async def what_artifacts_give_out_are_copies(make: Make[Stores]) -> None:
    """Changing a given or returned value changes nothing stored: content, metadata, versions and lists."""
    async with make() as stores:
        artifact = new(content={"rows": [1]}, metadata={"tags": ["a"]})
        info = await stores.artifacts.create(artifact)
        artifact.content["rows"].append(2)
        artifact.metadata["tags"].append("b")
        for _ in range(2):
            found = await stores.artifacts.get(info.artifact_id)
            versions = await stores.artifacts.versions(info.artifact_id)
            listed = await stores.artifacts.list(context_id=artifact.context_id)
            exactly(found and found.content, {"rows": [1]}, "content")
            for one in (found, versions[0], listed[0]):
                exactly(one and one.metadata, {"tags": ["a"]}, "metadata")
                if one is not None:
                    one.metadata["tags"].append("b")


CLAUSES = clauses(__name__)


class _DeletesBehindReads(Wrapper):
    def __init__(self, backend: Any, artifacts: Artifacts, artifact_id: str) -> None:
        super().__init__(backend)
        self._delete = (artifacts, artifact_id)

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        found = await super().read(stream, window)
        artifacts, artifact_id = self._delete
        await artifacts.delete(artifact_id)
        return found


class _Damages(Wrapper):
    """Returns a changed body: of a blob, or of the only entry of a stream where there is none."""

    def __init__(self, backend: Any, damage: Any) -> None:
        super().__init__(backend)
        self._damage = damage

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        head, entries = await super().read(stream, window)
        (entry,) = entries
        record = json.loads(entry.data.partition(b"\n")[0])
        whole = self._damage is not _flip and self._damage is not _shorten and self._damage is not _lengthen
        if record.get("blob") is None or whole:
            entry = Entry(entry.position, self._damage(entry.data), entry.created_at, entry.op_id)
        return Slice(head, [entry])

    async def read_blob(self, *args: Any, **options: Any) -> AsyncIterator[bytes]:
        yield self._damage(b"".join([chunk async for chunk in super().read_blob(*args, **options)]))


def _flip(body: bytes) -> bytes:
    return body[:-1] + bytes([body[-1] ^ 1])


def _shorten(body: bytes) -> bytes:
    return body[:-1]


def _lengthen(body: bytes) -> bytes:
    return body + b" "
