"""Clauses of URLs of artifacts, on backends that have URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stowfast.errors import NotFoundError, UnsupportedError
from stowfast.records import Artifact
from stowfast.testing.artifacts.bodies import BODY, MB, fetch
from stowfast.testing.artifacts.versions import new
from stowfast.testing.clause import clauses, either, raises, same, unique

if TYPE_CHECKING:
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make


async def a_version_has_a_url_or_the_place_has_none(make: Make[Stores]) -> None:
    """A version has a URL that returns its bytes, or UnsupportedError; an unknown version is a NotFoundError."""
    async with make() as stores, make() as other:
        for body in (b"", b"small", BODY[:MB]):
            artifact = new(content=body)
            name = artifact.artifact_id
            await stores.artifacts.create(artifact)
            await stores.artifacts.update(Artifact(artifact_id=name, content=body[::-1]))
            for version, wanted in ((1, body), (2, body[::-1]), (None, body[::-1])):
                url = await either(other.artifacts.url(name, version=version), UnsupportedError)
                if not isinstance(url, UnsupportedError):
                    same(await fetch(url), wanted, f"what the URL of version {version} gives")
            await raises(NotFoundError, stores.artifacts.url(name, version=3), "a URL of a version that is not there")
            found = await stores.artifacts.get(name)
            same(found and found.content, body[::-1], "the content after it was asked for URLs")
            await stores.artifacts.delete(name)
            await raises(NotFoundError, other.artifacts.url(name), "a URL of an artifact that was deleted")
        await raises(NotFoundError, stores.artifacts.url(unique("artifact")), "a URL of an unknown artifact")


CLAUSES = clauses(__name__)
