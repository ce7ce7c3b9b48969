"""Clauses of large descriptions: metadata, columns and texts over 64 KiB, which no head has to carry."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import ALL, MAX_HEAD_BYTES, Window
from stowfast.errors import InvalidError
from stowfast.records import Artifact
from stowfast.testing.artifacts.bodies import write
from stowfast.testing.artifacts.versions import without_content
from stowfast.testing.clause import clauses, holds, raises, same, unique
from stowfast.testing.data.messages import exactly
from stowfast.testing.protocols import AS_GIVEN
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Backend, Slice
    from stowfast.records import ArtifactInfo
    from stowfast.stores import Artifacts, Stores
    from stowfast.testing.clause import Make

_FUTURE: Final = datetime(2100, 1, 1, tzinfo=UTC)
_SHORT: Final[dict[str, Any]] = {"n": 7, "é": "日本", ":": None, "context_id": "mine"}
_LARGE: Final[dict[str, Any]] = {"long": "x" * 70_000, **_SHORT, "given": AS_GIVEN}
_COLUMNS: Final = {f"a column with the number {number}": "integer?" for number in range(2_000)}


async def a_description_of_an_artifact_may_be_large(make: Make[Stores]) -> None:
    """Metadata, texts and columns of a version may have over 64 KiB: they come back as given, and hold."""
    async with make() as stores, make() as other:
        for size in (MAX_HEAD_BYTES - 40, MAX_HEAD_BYTES, 2**20):
            for given in ({"metadata": {**_SHORT, "k": "x" * size}}, {"description": "é" * (size // 2)}):
                await _comes_back(stores.artifacts, other.artifacts, given)
        name, artifacts = unique("artifact"), stores.artifacts
        async with artifacts.open_live(name, metadata=_LARGE, context_id="c") as live:
            await live.write(b"x")
            info = await other.artifacts.info(name)
            same(info and (info.state, info.context_id, info.left_out), ("building", "c", ("metadata",)), "a build")
        found = await other.artifacts.info(name)
        exactly(found and found.metadata, _LARGE, "the metadata of a finished build")
        await write(artifacts, name, b"x" * 100, metadata=_LARGE)
        same(len(await other.artifacts.versions(name)), 2, "versions")
        async with artifacts.open_dataset(name, columns=_COLUMNS, metadata=_LARGE) as rows:
            await rows.append([{}])
        async with other.artifacts.open_dataset(name, append=True) as rows:  # under the columns of the one before
            await raises(InvalidError, rows.append([{next(iter(_COLUMNS)): "text"}]), "a row that does not match")
        found = await artifacts.info(name)
        same(found and (found.version, found.schema, found.metadata), (4, {"columns": _COLUMNS}, {}), "its columns")


async def a_list_leaves_out_large_descriptions(make: Make[Stores]) -> None:
    """A list reads no version: `left_out` names the large fields that it leaves out, and short metadata are there."""
    async with make() as stores:
        reads = _CountsReads(stores.backend)
        name, context, artifacts = unique("artifact"), unique("context"), type(stores)(reads).artifacts
        given: dict[str, Any] = {"context_id": context, "task_id": "t", "name": "é", "metadata": _LARGE}
        info = await artifacts.create(Artifact(artifact_id=name, content="x", **given))
        line: ArtifactInfo | None = None
        for _ in range(2):  # as it was stored, and after changes of its head
            (line,) = await artifacts.list(context_id=context, where=_SHORT)
            same(line, replace(info, metadata=_SHORT, left_out=("metadata",)), "a line of a list")
            await artifacts.set_expiry(name, _FUTURE)
            info.expires_at = _FUTURE
        same(reads.count, 0, "versions that lists have read")
        listed = Artifact(**{key: getattr(line, key) for key in (*given, "artifact_id", "left_out")}, content="x")
        for store in (artifacts.create, artifacts.update, artifacts.put):
            await raises(InvalidError, store(listed), "a line of a list, as a new version")
        loaded = await artifacts.get(name)
        same(loaded and without_content(loaded), info, "the whole version")
        await artifacts.update(Artifact(artifact_id=name, content="x", metadata=_SHORT))
        await artifacts.prune(name, keep=1)
        (line,) = await artifacts.list(context_id=context, task_id="t")
        same(line, await artifacts.info(name), "a line of a list, and the small version that it shows")


async def a_description_of_an_artifact_has_a_bound(make: Make[Stores]) -> None:
    """A version is described by at most 32 MiB, and the labels by which lists select have 64 KiB, or InvalidError."""
    async with make() as stores:
        name, artifacts = unique("artifact"), stores.artifacts
        searched = {f"k{number}": "x" * 400 for number in range(170)}
        wrong: tuple[dict[str, Any], ...] = (
            {"metadata": {"k": "x" * 2**25}},
            {"metadata": searched},
            {"metadata": dict(list(searched.items())[:100]), "context_id": "c" * 30_000},
        )
        for given in wrong:
            await raises(InvalidError, artifacts.put(Artifact(artifact_id=name, content=b"x", **given)), "a put")
            await raises(InvalidError, write(artifacts, name, b"x" * 100_000, **given), "a writer")
        same(await artifacts.info(name), None, "an artifact that was refused")
        await artifacts.put(Artifact(artifact_id=name, content=b"x", metadata={"k": searched}))
        found = await artifacts.get(name)
        exactly(found and found.metadata, {"k": searched}, "the same values in one, which no list selects by")


CLAUSES: Final = clauses(__name__)


async def _comes_back(artifacts: Artifacts, others: Artifacts, given: dict[str, Any]) -> None:
    name = unique("artifact")
    info = await artifacts.create(Artifact(artifact_id=name, content=b"x", **given), ttl=timedelta(hours=1))
    for key, value in given.items():
        exactly(getattr(info, key), value, f"{key} as it was given")
    same(await others.info(name), info, "the result of `create`, and the stored version")
    same(await others.versions(name), [info], "the versions")
    again = await others.put(Artifact(artifact_id=name, content=b"x" * 40_000, **given), op_id="op")
    found = await artifacts.get(name)
    holds(found and without_content(found) == again and found.content == b"x" * 40_000, "the next version is whole")
    same(await artifacts.put(Artifact(artifact_id=name, content=b"another", **given), op_id="op"), again, "a repeat")


class _CountsReads(Wrapper):
    """Counts reads of entries."""

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.count = 0

    async def read(self, stream: str, window: Window = ALL) -> Slice:
        """Forward."""
        self.count += 1
        return await super().read(stream, window)
