"""An artifact that is replaced between the two reads of a `get`: of its version, and of the content of that version."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import Artifact, DamagedError
from stowfast.backends.memory import MemoryBackend
from stowfast.errors import NotFoundError
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

LARGE = 2**16
"""Bytes of a content that is a blob of its own."""


def content(version: int) -> bytes:
    return bytes([version]) * LARGE


class Between(Wrapper):
    """Does something before each of the next reads of content."""

    def __init__(self) -> None:
        super().__init__(MemoryBackend())
        self.next: list[Callable[[], Awaitable[object]]] = []

    async def read_blob(
        self, stream: str, blob: str, *, start: int = 0, stop: int | None = None
    ) -> AsyncIterator[bytes]:
        if self.next:
            await self.next.pop(0)()
        async for piece in self.backend.read_blob(stream, blob, start=start, stop=stop):
            yield piece


async def replace(stores: stowfast.Stores) -> None:
    info = await stores.artifacts.info("a")
    assert info is not None
    await stores.artifacts.update(Artifact(artifact_id="a", content=content(info.version + 1)))
    await stores.artifacts.prune("a", keep=1)


async def begin_anew(stores: stowfast.Stores) -> None:
    await stores.artifacts.delete("a")
    await stores.artifacts.create(Artifact(artifact_id="a", content=content(9)))


@pytest.mark.parametrize("times", [1, 3])
async def test_the_newest_version_replaced_while_it_is_read_is_the_newer_one(times: int) -> None:
    backend = Between()
    async with stowfast.Stores(backend) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=content(1)))
        backend.next = [lambda: replace(stores)] * times
        found = await stores.artifacts.get("a")
        assert found is not None
        assert (found.version, found.content) == (times + 1, content(times + 1))


async def test_an_artifact_deleted_and_begun_again_while_it_is_read_is_the_new_one() -> None:
    backend = Between()
    async with stowfast.Stores(backend) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=content(1)))
        backend.next = [lambda: begin_anew(stores)]
        found = await stores.artifacts.get("a")
        assert found is not None
        assert (found.version, found.content) == (1, content(9))


async def test_a_given_version_or_an_artifact_removed_while_it_is_read_is_none() -> None:
    backend = Between()
    async with stowfast.Stores(backend) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=content(1)))
        backend.next = [lambda: replace(stores)]
        assert await stores.artifacts.get("a", version=1) is None
        backend.next = [lambda: stores.artifacts.delete("a")]
        assert await stores.artifacts.get("a") is None


async def test_content_that_is_gone_under_a_living_version_is_damage() -> None:
    async def lose() -> None:
        raise NotFoundError("there is no such blob")

    backend = Between()
    async with stowfast.Stores(backend) as stores:
        await stores.artifacts.create(Artifact(artifact_id="a", content=content(1)))
        backend.next = [lose]
        with pytest.raises(DamagedError, match="its content is gone"):
            await stores.artifacts.get("a")
