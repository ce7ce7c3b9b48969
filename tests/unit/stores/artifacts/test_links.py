"""Links: their holder reads the version without credentials, until the link expires, and nobody else does."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import Artifact, InvalidError, NotFoundError, UnsupportedError
from stowfast.abc import Backend, Change, Query, Window
from stowfast.backends.memory import MemoryBackend
from stowfast.backends.objects.backend import ObjectBackend
from stowfast.wrappers import Prefixed, Wrapper
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.s3 import S3Server

SMALL = b"small \xff"
LARGE = Random(1).randbytes(2 * 2**20 + 3)
SECRET = "a-secret-of-forty-characters-0123456789"
DAY = 86_400 * 10**6


async def fetch(url: str) -> bytes:
    def read() -> bytes:
        with urllib.request.urlopen(url, timeout=30) as answer:
            body: bytes = answer.read()
            return body

    return await asyncio.to_thread(read)


async def refused(url: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as told:
        await fetch(url)
    told.value.close()
    return told.value.code


def keyed(server: FaultyS3) -> Any:
    return stowfast.open(
        f"s3://bucket?endpoint_url={server.endpoint}", access_key_id="key-id", secret_access_key=SECRET
    )


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_anybody_reads_a_version_by_its_link(content: bytes, s3_server: S3Server) -> None:
    async with stowfast.open(s3_server.url()) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a/ü b", content=content))
        await stores.artifacts.update(Artifact(artifact_id="a/ü b", content=content[::-1]))
        first = await stores.artifacts.url("a/ü b", version=1)
        assert await fetch(first) == content
        assert await fetch(await stores.artifacts.url("a/ü b")) == content[::-1]
        assert await fetch(first) == content
        await stores.artifacts.delete("a/ü b")
        await stores.sweep()
        assert await refused(first) == 404
        with pytest.raises(NotFoundError):
            await stores.artifacts.url("a/ü b")


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_a_link_ends(content: bytes, s3_server: S3Server) -> None:
    async with stowfast.open(s3_server.url()) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=content))
        assert await fetch(await stores.artifacts.url("a", expires=timedelta(seconds=30))) == content
        url = await stores.artifacts.url("a", expires=timedelta(seconds=1))
        await asyncio.sleep(2.1)  # the server decides, by a clock in whole seconds
        assert await refused(url) == 403


async def test_a_copy_is_made_once_and_removed_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyS3() as server:
        async with keyed(server) as stores:
            await stores.artifacts.create(Artifact(artifact_id="a", content=SMALL))
            with server.counted() as made:
                await stores.artifacts.url("a")
            assert sorted(record.operation for record in made if record.operation != "GET") == ["PUT", "PUT"]
            for _ in range(3):
                with server.counted() as made:
                    await stores.artifacts.url("a", expires=timedelta(minutes=50))
                assert {record.operation for record in made} == {"GET"}
            # One for longer has the same copy, and keeps it longer.
            await stores.artifacts.url("a", expires=timedelta(days=7))
            assert len([key for key in server.objects if "/b/" in key]) == 1
            (head,) = await stores.backend.heads(["links/a"])
            assert head is not None
            assert head.expires_at is not None
            assert timedelta(days=7) < timedelta(microseconds=head.expires_at - time.time_ns() // 1_000)
            assert await stores.sweep() == (0, 0, 0, 0)
            await stores.backend.commit("links/a", Change(expires_at=1))
            assert await stores.sweep() == (1, 1, len(SMALL), 0)
            assert [key for key in server.objects if "/b/" in key] == []


async def test_copies_of_versions_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = time.time_ns
    with FaultyS3() as server:
        async with keyed(server) as stores:
            await stores.artifacts.create(Artifact(artifact_id="a", content=b"0"))
            for days in range(8):
                monkeypatch.setattr(time, "time_ns", lambda days=days: clock() + days * DAY * 1_000)
                await stores.artifacts.update(Artifact(artifact_id="a", content=b"%d" % days))
                await stores.artifacts.url("a", expires=timedelta(days=1))
            _, entries = await stores.backend.read("links/a", Window(start=0))
            assert len(entries) == 3  # two days and an hour each


async def test_many_who_ask_at_once_are_all_answered() -> None:
    with FaultyS3() as server:
        async with keyed(server) as stores, keyed(server) as others:
            await stores.artifacts.create(Artifact(artifact_id="a", content=SMALL))
            urls = await asyncio.gather(*(one.artifacts.url("a") for one in (stores, others) for _ in range(5)))
            assert [await fetch(url) for url in urls] == [SMALL] * 10
            _, entries = await stores.backend.read("links/a", Window(start=0))
            assert len(entries) == 1


class DeletesInBetween(Wrapper):
    """The artifact is deleted while a link of it is made."""

    async def commit(self, stream: str, change: Change) -> Any:
        """Delete the artifact before its copy is linked."""
        if stream == "links/a" and change.entries:
            await self.backend.commit("artifacts/a", Change(delete=True))
        return await super().commit(stream, change)


async def test_a_link_does_not_outlive_a_deletion_that_came_in_between() -> None:
    with FaultyS3() as server:
        async with keyed(server) as stores:
            await stores.artifacts.create(Artifact(artifact_id="a", content=SMALL))
            racing = stowfast.Stores(DeletesInBetween(stores.backend))
            with pytest.raises(NotFoundError, match="removed meanwhile"):
                await racing.artifacts.url("a")
            assert await stores.backend.heads(["links/a"]) == [None]


@pytest.mark.parametrize("seconds", [0, -1, 0.5, 7 * 86_400 + 1])
async def test_a_link_has_its_bounds(seconds: float) -> None:
    with FaultyS3() as server:
        async with keyed(server) as stores:
            await stores.artifacts.create(Artifact(artifact_id="a", content=SMALL))
            before = server.objects
            with pytest.raises(InvalidError, match="a link lives from a second to seven days"):
                await stores.artifacts.url("a", expires=timedelta(seconds=seconds))
            assert server.objects == before


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["small", "large"])
async def test_what_has_no_links_says_so_and_writes_nothing(content: bytes, tmp_path: Path) -> None:
    with FaultyS3() as server:
        anonymous = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        for url, reason in (
            ("memory:", "this backend has no links: read the content, or store it on object storage"),
            (f"sqlite:///{tmp_path}/a.db", "this backend has no links"),
            (anonymous, "anonymous=true has nothing to sign a link with: give credentials"),
        ):
            async with stowfast.open(url) as stores:
                await stores.artifacts.create(Artifact(artifact_id="a", content=content))
                with pytest.raises(UnsupportedError, match=reason):
                    await stores.artifacts.url("a")
                assert (await stores.backend.streams(Query("links/"))).streams == []
                with pytest.raises(NotFoundError, match="there is no artifact 'none'"):
                    await stores.artifacts.url("none")
        assert len([key for key in server.objects if "/b/" in key]) == (content is LARGE)


async def test_a_token_that_cannot_sign_is_named_and_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = ObjectBackend.at("az://container", account_name="account", sas_token=f"sv=1&sig={SECRET}")
    monkeypatch.setattr(backend.ready, "_readable", True)
    with pytest.raises(UnsupportedError, match="these credentials cannot sign a link") as told:
        await backend.blob_url("s", f"{'0' * 32}-1", expires=timedelta(hours=1))
    chain: BaseException | None = told.value
    while chain is not None:
        assert SECRET not in f"{chain} {chain!r}"
        chain = chain.__cause__ or chain.__context__
    await backend.close()


async def test_a_wrapper_forwards_links() -> None:
    with FaultyS3() as server:
        async with keyed(server) as stores:
            for backend in (Wrapper(stores.backend), Prefixed(stores.backend, "below/")):
                wrapped = stowfast.Stores(backend)
                await wrapped.artifacts.create(Artifact(artifact_id="wrapped", content=LARGE))
                assert await fetch(await wrapped.artifacts.url("wrapped")) == LARGE
                await wrapped.artifacts.delete("wrapped")
    assert "blob_url" not in MemoryBackend.__dict__
    assert MemoryBackend.blob_url is Backend.blob_url
