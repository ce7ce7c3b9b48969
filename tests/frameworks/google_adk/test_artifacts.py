"""The artifact service: versions, whole parts, races, streams, hostile names."""

from __future__ import annotations

import asyncio
import hashlib
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from google.adk.artifacts.artifact_util import _new_rewind_tombstone
from google.adk.errors.input_validation_error import InputValidationError
from google.genai import types

import stowfast
from stowfast import Artifact, DamagedError, NotFoundError, Stores
from stowfast.adapters.google_adk import StowfastArtifactService, StowfastSessionService
from stowfast.testing import LosesAnswers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.frameworks.losing import LosingBucket

SAVERS, CHUNKS = 10, 24
A: dict[str, Any] = {"app_name": "app", "user_id": "ada", "session_id": "s"}
PARTS = [
    types.Part(text="text"),
    types.Part(text=""),
    types.Part(text="ü\n", thought=True, thought_signature=b"\xff\x00"),
    types.Part(inline_data=types.Blob(data=b"\xff\x00", mime_type="image/png", display_name="a b")),
    types.Part(inline_data=types.Blob(data=b"", mime_type="text/plain")),
    types.Part(inline_data=types.Blob(data=b"x", mime_type="text/plain"), text="beside"),
    types.Part(file_data=types.FileData(file_uri="gs://bucket/one", mime_type="image/png")),
]


@pytest.fixture
async def service(url: str) -> AsyncIterator[StowfastArtifactService]:
    async with StowfastArtifactService(url, scope=uuid.uuid4().hex) as service:
        yield service


def text(value: str) -> types.Part:
    return types.Part(text=value)


@pytest.mark.parametrize("part", PARTS, ids=str)
async def test_a_part_returns_whole(service: StowfastArtifactService, part: types.Part) -> None:
    assert await service.save_artifact(**A, filename="f", artifact=part, custom_metadata={"k": [1]}) == 0
    assert await service.load_artifact(**A, filename="f") == part
    found = await service.get_artifact_version(**A, filename="f")
    assert found is not None
    assert found.custom_metadata == {"k": [1]}
    reference = types.Part(file_data=types.FileData(file_uri=found.canonical_uri))
    await service.save_artifact(**A, filename="link", artifact=reference)
    assert await service.load_artifact(**A, filename="link") == part


async def test_versions_are_counted_from_zero(service: StowfastArtifactService) -> None:
    for number in range(3):
        assert await service.save_artifact(**A, filename="f", artifact=text(str(number))) == number
    assert await service.list_versions(**A, filename="f") == [0, 1, 2]
    for version, expected in ((None, "2"), (0, "0"), (2, "2")):
        found = await service.load_artifact(**A, filename="f", version=version)
        assert found is not None
        assert found.text == expected
    for version in (-1, 3):
        assert await service.load_artifact(**A, filename="f", version=version) is None
        assert await service.get_artifact_version(**A, filename="f", version=version) is None
    await service.delete_artifact(**A, filename="f")
    await service.delete_artifact(**A, filename="f")
    assert await service.list_artifact_versions(**A, filename="f") == []
    assert await service.save_artifact(**A, filename="f", artifact=text("new")) == 0


async def test_a_deleted_artifact_begins_anew(every_url: str) -> None:
    scope = uuid.uuid4().hex
    async with (
        StowfastArtifactService(every_url, scope=scope) as service,
        StowfastArtifactService(every_url, scope=scope) as other,
    ):
        for deletes in (service, other):
            for name in ("f", "user:f"):
                assert await service.save_artifact(**A, filename=name, artifact=text("old")) == 0
                await deletes.delete_artifact(**A, filename=name)
                assert await service.load_artifact(**A, filename=name) is None
                assert await other.list_versions(**A, filename=name) == []
                assert await other.list_artifact_keys(**A) == []
                assert await service.save_artifact(**A, filename=name, artifact=text("new")) == 0
                assert await other.load_artifact(**A, filename=name) == text("new")
                await other.delete_artifact(**A, filename=name)


async def test_names_of_a_user_belong_to_all_sessions(service: StowfastArtifactService) -> None:
    other = A | {"session_id": "t"}
    await service.save_artifact(**A, filename="user:f", artifact=text("u"))
    await service.save_artifact(**A, filename="f", artifact=text("s"))
    assert await service.load_artifact(**other, filename="user:f") == text("u")
    assert await service.load_artifact(**other, filename="f") is None
    assert await service.list_artifact_keys(**A) == ["f", "user:f"]
    assert await service.list_artifact_keys(**other) == ["user:f"]
    assert await service.list_artifact_keys(app_name="app", user_id="ada") == ["user:f"]
    assert await service.list_artifact_keys(app_name="app", user_id="ad") == []


async def test_savers_at_once_get_a_version_each(service: StowfastArtifactService) -> None:
    calls = (service.save_artifact(**A, filename="f", artifact=text(str(number))) for number in range(SAVERS))
    versions = await asyncio.gather(*calls)
    assert sorted(versions) == list(range(SAVERS))
    for number, version in enumerate(versions):
        assert await service.load_artifact(**A, filename="f", version=version) == text(str(number))


async def test_a_bucket_that_loses_answers_adds_no_version(losing_bucket: LosingBucket) -> None:
    async with StowfastArtifactService(losing_bucket.url) as service:
        for number in range(4):
            losing_bucket.lose_answer()
            assert await service.save_artifact(**A, filename="f", artifact=text(str(number))) == number
        assert await service.list_versions(**A, filename="f") == list(range(4))


async def test_a_lost_answer_adds_no_version(url: str) -> None:
    async with stowfast.open(url) as stores:
        loses = LosesAnswers(stores.backend, 0)
        service = StowfastArtifactService(Stores(loses))
        for number in range(4):
            loses.lose = number
            assert await service.save_artifact(**A, filename="f", artifact=text(str(number))) == number


async def test_a_stream_is_stored_and_read_in_pieces(service: StowfastArtifactService) -> None:
    digest = hashlib.sha256()

    async def chunks() -> AsyncIterator[bytes]:
        for number in range(CHUNKS):
            piece = bytes([number]) * 2**16
            digest.update(piece)
            yield piece

    saved = await service.save_stream(**A, filename="f", chunks=chunks(), mime_type="a/b", custom_metadata={"k": 1})
    assert saved == 0
    found = hashlib.sha256()
    async with service.open_reader(**A, filename="f") as reader:
        async for piece in reader:
            found.update(piece)
    assert found.digest() == digest.digest()
    part = await service.load_artifact(**A, filename="f")
    assert part is not None
    assert part.inline_data is not None
    assert part.inline_data.mime_type == "a/b"
    assert hashlib.sha256(part.inline_data.data or b"").digest() == digest.digest()
    with pytest.raises(NotFoundError):
        async with service.open_reader(**A, filename="f", version=1):
            pass


async def test_a_rewound_version_is_none(service: StowfastArtifactService) -> None:
    await service.save_artifact(**A, filename="f", artifact=_new_rewind_tombstone())
    assert await service.load_artifact(**A, filename="f") is None


async def test_references_stay_in_their_scope_and_end(service: StowfastArtifactService) -> None:
    def link(uri: str) -> types.Part:
        return types.Part(file_data=types.FileData(file_uri=uri))

    own = "artifact://apps/app/users/ada/sessions/s/artifacts/f/versions/0"
    await service.save_artifact(**A, filename="f", artifact=link(own))
    with pytest.raises(InputValidationError, match="depth"):
        await service.load_artifact(**A, filename="f")
    wrong: list[Any] = [link(own.replace("ada", "bob")), link(own.replace("/s/", "/t/")), link("artifact://x")]
    for part in [*wrong, types.Part()]:
        with pytest.raises(InputValidationError):
            await service.save_artifact(**A, filename="g", artifact=part)
    assert await service.list_artifact_keys(**A) == ["f"]


@pytest.mark.parametrize("name", ["a/b", "../c", "%2F", "ü", "", " ", "user:../x", "x" * 400, "a//b", "user:"])
async def test_hostile_names_stay_apart(service: StowfastArtifactService, name: str) -> None:
    await service.save_artifact(**A, filename=name, artifact=text(name))
    assert await service.list_artifact_keys(**A) == [name]
    assert await service.load_artifact(**A, filename=name) == text(name)
    assert await service.load_artifact(**A, filename=f"{name}/") is None


async def test_a_session_goes_with_its_artifacts(url: str) -> None:
    async with stowfast.open(url) as stores:
        await StowfastSessionService(stores).create_session(**A)
        service = StowfastArtifactService(stores)
        await service.save_artifact(**A, filename="f", artifact=text("s"))
        await service.save_artifact(**A, filename="user:f", artifact=text("u"))
        await stores.delete_context("adk/app/ada/s")
        assert await service.list_artifact_keys(**A) == ["user:f"]
        assert await StowfastSessionService(stores).get_session(**A) is None


async def test_an_artifact_of_another_program_is_named(url: str) -> None:
    async with stowfast.open(url) as stores:
        service = StowfastArtifactService(stores)
        await stores.artifacts.put(Artifact(artifact_id="adk/app/ada/s//f", content=b"of another program"))
        with pytest.raises(DamagedError, match="adk/app/ada/s//f"):
            await service.load_artifact(**A, filename="f")
