"""The laws of artifacts: a row for each call that makes a version."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.records import Artifact, ArtifactInfo
from stowfast.testing.artifacts.bodies import write
from stowfast.testing.laws import DELETED, GONE, LOST, RACE, REPEAT, Verb, table

if TYPE_CHECKING:
    from stowfast.stores import Stores

__all__ = ["CLAUSES", "LAWS"]

_LARGE: Final = bytes(range(256)) * 400
"""Larger than content in an entry may be: it becomes a blob."""


async def _nothing(_stores: Stores, _artifact_id: str) -> None:
    pass


async def _begin(stores: Stores, artifact_id: str) -> None:
    await stores.artifacts.create(Artifact(artifact_id=artifact_id, content=b"first"))


async def _create(stores: Stores, artifact_id: str, **options: Any) -> ArtifactInfo:
    return await stores.artifacts.create(Artifact(artifact_id=artifact_id, content=b"same"), **options)


async def _update(stores: Stores, artifact_id: str, **options: Any) -> ArtifactInfo:
    return await stores.artifacts.update(Artifact(artifact_id=artifact_id, content=_LARGE), **options)


async def _write(stores: Stores, artifact_id: str, **options: Any) -> ArtifactInfo:
    return await write(stores.artifacts, artifact_id, _LARGE, **options)


async def _write_rows(stores: Stores, artifact_id: str, **options: Any) -> ArtifactInfo | None:
    async with stores.artifacts.open_dataset(artifact_id, **options) as dataset:
        await dataset.append([{"row": number} for number in range(9)])
    return dataset.info


async def _later(stores: Stores, artifact_id: str) -> None:
    await stores.artifacts.update(Artifact(artifact_id=artifact_id, content=b"later"))


async def _read(stores: Stores, artifact_id: str) -> list[tuple[int, Any]]:
    found = []
    for info in await stores.artifacts.versions(artifact_id):
        artifact = await stores.artifacts.get(artifact_id, version=info.version)
        found.append((info.version, artifact and artifact.content))
    return found


async def _delete(stores: Stores, artifact_id: str) -> None:
    await stores.artifacts.delete(artifact_id)


async def _expect_one(_stores: Stores, _artifact_id: str) -> dict[str, Any]:
    return {"expect": 1}


def _version(answer: ArtifactInfo) -> int:
    return answer.version


_CREATE: Final = Verb("creation", "`create`", _nothing, _create, _read, _later, _delete)
_UPDATE, _WRITER, _DATASET = (
    Verb(key, text, _begin, call, _read, _later, _delete, _expect_one, _version)
    for key, text, call in (
        ("artifact_update", "`update`", _update),
        ("writer", "`open_writer`", _write),
        ("dataset", "`open_dataset`", _write_rows),
    )
)
_ALL: Final = (_CREATE, _UPDATE, _WRITER, _DATASET)

LAWS: Final = table(
    __name__,
    {
        REPEAT: {_CREATE: "a_repeated_op_id_makes_no_version", **dict.fromkeys((_UPDATE, _WRITER, _DATASET))},
        LOST: dict.fromkeys(_ALL),
        RACE: dict.fromkeys(_ALL),
        DELETED: dict.fromkeys((_WRITER, _DATASET)),
        GONE: {_UPDATE: None},
    },
)
CLAUSES: Final = tuple(LAWS.values())
