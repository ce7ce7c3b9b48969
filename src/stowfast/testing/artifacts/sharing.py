"""Clauses of versions as a set: shared bytes, pruning, schemas, MIME types, descriptions."""

from __future__ import annotations

import asyncio
import io
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stowfast.errors import ConflictError, InvalidError, UnsupportedError
from stowfast.records import Artifact, ArtifactInfo
from stowfast.testing.artifacts.bodies import BODY, MB, CountsBlobs, cut, each, write
from stowfast.testing.artifacts.versions import new, without_content
from stowfast.testing.clause import clauses, either, holds, raises, same, unique
from stowfast.testing.data.messages import exactly
from stowfast.testing.protocols import AS_GIVEN
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from stowfast.abc import Change, Receipt
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"rows": {"type": "array", "items": {"type": "integer"}}},
    "required": ["rows"],
}


async def identical_bytes_of_an_artifact_are_stored_once(make: Make[Stores]) -> None:
    """A version with an earlier version's bytes stores none, and stays whole after the earlier is pruned."""
    body, other = BODY[: 2 * MB + 1], BODY[1 : 2 * MB + 2]
    async with make() as stores:
        counts = CountsBlobs(stores.backend)
        artifacts = type(stores)(counts).artifacts
        artifact = new(content=body)
        name = artifact.artifact_id
        await artifacts.create(artifact)
        same(counts.written, 1, "blobs of the first version")
        await artifacts.update(Artifact(artifact_id=name, content=other))
        same(counts.written, 2, "blobs of two versions that are not the same")
        await artifacts.update(artifact)
        for content in (io.BytesIO(body), each(cut(body, (100_003,) * 20))):
            await artifacts.update(Artifact(artifact_id=name, content=content))
        info = await write(artifacts, name, body)
        same((info.version, counts.written), (6, 2), "versions, and blobs that they have stored")
        same(await artifacts.prune(name, keep=1), 5, "versions that were pruned")
        await stores.sweep()
        found = await stores.artifacts.get(name)
        same(found and found.content, body, "the bytes that an older version brought")
        await artifacts.update(Artifact(artifact_id=name, content=other))
        same(counts.written, 3, "blobs, once what had the same bytes was pruned")
        found = await stores.artifacts.get(name)
        same(found and found.content, other, "bytes that were stored again")


async def pruning_leaves_the_newest_versions(make: Make[Stores]) -> None:
    """`prune` removes all but the newest `keep` and returns how many; numbers stay; a pruned version is None."""
    async with make() as stores:
        same(await stores.artifacts.prune(unique("artifact"), keep=1), 0, "an unknown artifact")
        for size in (10, MB):
            artifact = new(content=b"")
            name, bodies = artifact.artifact_id, [bytes([number]) * size for number in range(1, 7)]
            await stores.artifacts.create(artifact)
            for body in bodies[1:]:
                await stores.artifacts.update(Artifact(artifact_id=name, content=body))
            infos = await stores.artifacts.versions(name)
            for keep, removed in ((9, 0), (6, 0), (4, 2), (4, 0), (1, 3)):
                same(await stores.artifacts.prune(name, keep=keep), removed, f"versions removed by keep={keep}")
                kept = infos[-keep:]
                same(await stores.artifacts.versions(name), kept, f"versions left by keep={keep}")
                listed = await stores.artifacts.list(context_id=artifact.context_id)
                same(list(listed), infos[-1:], f"the line of a list after keep={keep}")
                for info in infos:
                    found = await stores.artifacts.get(name, version=info.version)
                    wanted = bodies[info.version - 1] if info in kept and info.version > 1 else None
                    if info.version > 1:
                        same(found and found.content, wanted, f"version {info.version} after keep={keep}")
            holds(await stores.artifacts.get(name, version=1) is None, "the first version is gone")
            same((await stores.artifacts.update(artifact)).version, 7, "the number of the next version")
            for wrong in (0, -1):
                await raises(InvalidError, stores.artifacts.prune(name, keep=wrong), f"keep={wrong}")


async def pruning_beside_updates_loses_none(make: Make[Stores]) -> None:
    """Concurrent updates and prunes all succeed; the newest version is whole, also with the bytes of a pruned one."""
    async with make() as stores, make() as other:
        artifact = new(content=b"0")
        name = artifact.artifact_id
        await stores.artifacts.create(artifact)
        updates = [stores.artifacts.update(Artifact(artifact_id=name, content=b"%d" % n * 50_000)) for n in range(8)]
        await asyncio.gather(*updates, *(other.artifacts.prune(name, keep=2) for _ in range(4)))
        versions = [info.version for info in await stores.artifacts.versions(name)]
        same((versions[-1], versions), (9, list(range(versions[0], 10))), "versions after updates and prunes")

        async def updates_between() -> None:
            await other.artifacts.update(artifact)

        between = type(stores)(_Before(stores.backend, lambda change: bool(change.drop_before), updates_between))
        await between.artifacts.prune(name, keep=1)
        newest = await stores.artifacts.get(name)
        same(newest and (newest.version, newest.content), (10, b"0"), "an update that came while old ones were pruned")
        line = await stores.artifacts.list(context_id=artifact.context_id)
        same(list(line), (await stores.artifacts.versions(name))[-1:], "the line of a list, and the version itself")

        async def prunes_between() -> None:
            await other.artifacts.prune(name, keep=1)

        old, new_ = BODY[:MB], BODY[1:MB]
        for content in (old, each([old])):
            for body in (old, new_):
                await stores.artifacts.update(Artifact(artifact_id=name, content=body))
            between = type(stores)(_Before(stores.backend, lambda change: bool(change.blobs), prunes_between))
            given = Artifact(artifact_id=name, content=content)
            result = await either(between.artifacts.update(given), ConflictError)
            kept = not isinstance(result, ConflictError)
            holds(kept or content is not old, "bytes in memory are stored, whatever was pruned")
            found = await stores.artifacts.get(name)
            same(found and found.content, old if kept else new_, "the newest version, whole")


async def data_is_held_to_its_schema(make: Make[Stores]) -> None:
    """Data that violates its JSON Schema is an InvalidError with the location, and not stored; so is a wrong schema."""
    async with make() as stores:
        good = new(content={"rows": [1, 2]}, schema=_SCHEMA)
        if find_spec("jsonschema") is None:
            await raises(UnsupportedError, stores.artifacts.create(good), "a schema without the extra for it")
            return
        info = await stores.artifacts.create(good)
        exactly(info.schema, _SCHEMA, "the schema that was given")
        bad: tuple[tuple[Any, str], ...] = (({"rows": [1, "2"]}, "$.rows[1]"), ({}, "$"), ([], "$"), (None, "$"))
        for content, path in bad:
            artifact = new(content=content, schema=_SCHEMA)
            error = await raises(InvalidError, stores.artifacts.create(artifact), "a value that does not fit")
            holds(f"{path}:" in str(error), f"the error says where: {path}, in {error}")
            same(await stores.artifacts.info(artifact.artifact_id), None, "what was refused")
            update = Artifact(artifact_id=info.artifact_id, content=content)
            await raises(InvalidError, stores.artifacts.update(update), "an update without a schema, which keeps it")
        wrong: tuple[Any, ...] = (
            {"type": "no type"}, {"type": 5}, {"properties": []}, {"$ref": "#/nowhere"}, {"pattern": "("},
            {"$ref": "http://127.0.0.1:9/schema"}, 5, "x", [_SCHEMA],
        )  # fmt: skip
        for schema in wrong:
            artifact = new(content={"a": "x"}, schema=schema)
            await raises(InvalidError, stores.artifacts.create(artifact), f"the schema {schema!r}")
            same(await stores.artifacts.info(artifact.artifact_id), None, "an artifact with no schema")
        for content in (b"{}", "{}"):
            call = stores.artifacts.create(new(content=content, schema={}))
            await raises(InvalidError, call, "a schema of what is no data")
        same(await stores.artifacts.versions(info.artifact_id), [info], "versions after all that")
        kept = await stores.artifacts.update(Artifact(artifact_id=info.artifact_id, content={"rows": []}))
        exactly(kept.schema, _SCHEMA, "the schema that an update keeps")
        changed = Artifact(artifact_id=info.artifact_id, content=[], schema={"type": "array"})
        exactly((await stores.artifacts.update(changed)).schema, {"type": "array"}, "the schema that an update names")


async def a_mime_type_is_given_or_guessed(make: Make[Stores]) -> None:
    """A MIME type is as given; else guessed from the name, a path, or the id; else that of its kind."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.png"
        await asyncio.to_thread(path.write_bytes, b"x")
        cases: tuple[tuple[dict[str, Any], str], ...] = (
            ({"name": "a.pdf", "content": b"x", "mime_type": "x/y"}, "x/y"),
            ({"name": "a.pdf", "content": path}, "application/pdf"),
            ({"name": "a", "content": path}, "image/png"),
            ({"artifact_id": f"{unique()}/a.HTML", "content": b"x"}, "text/html"),
            ({"artifact_id": f"{unique()}/b.html", "content": "x", "name": "b"}, "text/html"),
            ({"name": "a.pdf.gz", "content": b"x"}, "application/octet-stream"),
            ({"name": "a.unknown", "content": b"x"}, "application/octet-stream"),
            ({"content": "x"}, "text/plain; charset=utf-8"),
            ({"name": "a.pdf", "content": {}}, "application/json"),
        )
        async with make() as stores:
            for given, wanted in cases:
                info = await stores.artifacts.create(new(**given))
                same(info.mime_type, wanted, f"the MIME type of {given}")
                same((await stores.artifacts.versions(info.artifact_id))[0].mime_type, wanted, "the one that is stored")
            for name, content, wanted in (("a.pdf", b"x", "application/pdf"), ("a", "x", "text/plain; charset=utf-8")):
                artifact_id = unique("artifact")
                async with stores.artifacts.open_writer(artifact_id, name=name) as writer:
                    await writer.write(content)
                same(writer.info and writer.info.mime_type, wanted, "the MIME type of what was written in pieces")


async def whatever_tells_of_a_version_tells_the_same(make: Make[Stores]) -> None:
    """`info`, `get`, versions, lists, readers and the storing call describe a version identically."""
    async with make() as stores:
        contents: tuple[Any, ...] = (b"", "é", [AS_GIVEN], BODY[:MB])
        for content in contents:
            kind = "data" if isinstance(content, list) else "file"
            artifact = new(content=content, task_id="t", name="n", description="d", metadata=AS_GIVEN)
            name = artifact.artifact_id
            stored = [await stores.artifacts.create(artifact)]
            artifact.metadata = {"second": [None]}
            stored.append(await stores.artifacts.update(artifact))
            same(await stores.artifacts.versions(name), stored, "versions, and what the calls said")
            same(list(await stores.artifacts.list(context_id=artifact.context_id)), stored[1:], "the line of a list")
            for version, info in ((1, stored[0]), (2, stored[1]), (None, stored[1])):
                found = await stores.artifacts.info(name, version=version)
                same((found, type(found)), (info, ArtifactInfo), f"`info` of version {version}")
                exactly(found and found.metadata, info.metadata, "metadata")
                same((info.kind, info.context_id, info.rows), (kind, artifact.context_id, None), "what it is")
                whole = await stores.artifacts.get(name, version=version)
                same(whole and without_content(whole), info, f"`get` of version {version}")
                async with stores.artifacts.open_reader(name, version=version) as reader:
                    same(reader.info, info, f"a reader of version {version}")


CLAUSES = clauses(__name__)


class _Before(Wrapper):
    """Does something else just before the first commit of a kind."""

    def __init__(self, backend: Any, kind: Callable[[Change], bool], act: Callable[[], Awaitable[None]]) -> None:
        super().__init__(backend)
        self._kind = kind
        self._act: Callable[[], Awaitable[None]] | None = act

    async def commit(self, stream: str, change: Change) -> Receipt:
        """Forward, late."""
        act = self._act
        if act is not None and self._kind(change):
            self._act = None
            await act()
        return await super().commit(stream, change)
