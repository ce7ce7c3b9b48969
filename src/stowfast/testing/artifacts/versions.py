"""Clauses of versions: racing updates and lists of the newest."""

from __future__ import annotations

import asyncio
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, DamagedError, InvalidError, NotFoundError
from stowfast.records import Artifact, ArtifactInfo
from stowfast.testing.clause import clauses, either, raises, same, tick, unique
from stowfast.testing.data.messages import exactly
from stowfast.testing.faults import DamagesHeads

if TYPE_CHECKING:
    from stowfast.stores import Artifacts, Stores
    from stowfast.testing.clause import Make

_INLINE: Final = 32 * 2**10
_LARGE: Final = bytes(range(256)) * 12 * 1024


def new(**given: Any) -> Artifact:
    """Return an artifact with an id and a context of its own."""
    return Artifact(**{"artifact_id": unique("artifact"), "context_id": unique("context"), **given})


def without_content(artifact: Artifact) -> ArtifactInfo:
    """Return what is known of an artifact."""
    return ArtifactInfo(**{field.name: getattr(artifact, field.name) for field in fields(ArtifactInfo)})


async def an_update_is_a_new_version(make: Make[Stores]) -> None:
    """An update is stored as given, as the next version; older ones stay; None keeps the context and the task."""
    name = unique("artifact")
    bodies: list[Any] = [b"one", "two", {"three": 3}, _LARGE, b"five"]
    async with make() as stores:
        infos = [await stores.artifacts.create(Artifact(artifact_id=name, context_id="c", task_id="t", content=b"one"))]
        for body in bodies[1:]:
            infos.append(await stores.artifacts.update(Artifact(artifact_id=name, name=repr(body)[:9], content=body)))  # noqa: PERF401
        same([info.version for info in infos], [1, 2, 3, 4, 5], "versions returned")
    async with make() as stores:
        same(await stores.artifacts.versions(name), infos, "versions, the oldest first")
        for info, body in zip(infos, bodies, strict=True):
            found = await stores.artifacts.get(name, version=info.version)
            exactly(found and found.content, body, f"content of version {info.version}")
            same(found and without_content(found), info, f"version {info.version}")
            same((info.context_id, info.task_id), ("c", "t"), "context and task, which the updates did not name")
        newest = await stores.artifacts.get(name)
        same(newest and (newest.version, newest.content, newest.metadata), (5, b"five", {}), "the newest")
        moved = await stores.artifacts.update(Artifact(artifact_id=name, context_id="d", content=b""))
        same((moved.context_id, moved.task_id), ("d", "t"), "a context that an update names")
        same(await stores.artifacts.get(name, version=7), None, "a version that is not there yet")
        for version in (0, -1):
            await raises(InvalidError, stores.artifacts.get(name, version=version), f"version={version}")
        same(await stores.artifacts.versions(unique("artifact")), [], "versions of an unknown artifact")


async def an_update_follows_the_version_it_expects(make: Make[Stores]) -> None:
    """With `expect` an update follows that version, or is a ConflictError with the `current`; of racers one wins."""
    async with make() as one, make() as other:
        artifact = new(content=b"same")
        await one.artifacts.create(artifact)
        same((await one.artifacts.update(artifact, expect=1)).version, 2, "an update of what is there")
        for wrong in (0, 1, 3):
            error = await raises(ConflictError, one.artifacts.update(artifact, expect=wrong), f"expect={wrong}")
            same(error.current, 2, "the error's current")
        racing = (either((one, other)[n % 2].artifacts.update(artifact, expect=2), ConflictError) for n in range(8))
        lost = sum(isinstance(result, ConflictError) for result in await asyncio.gather(*racing))
        same((lost, len(await one.artifacts.versions(artifact.artifact_id))), (7, 3), "racers that lost, and versions")


async def updates_without_a_condition_all_count(make: Make[Stores]) -> None:
    """Racing updates without `expect` each get a version of their own, one after the other."""
    async with make() as one, make() as other:
        artifact = new(content=b"same")
        await one.artifacts.create(artifact)
        racing = ((one, other)[n % 2].artifacts.update(artifact) for n in range(8))
        found = sorted([info.version for info in await asyncio.gather(*racing)])
        same(found, list(range(2, 10)), "versions of racing updates")


async def what_was_deleted_is_not_updated(make: Make[Stores]) -> None:
    """An update of an unknown artifact is a NotFoundError; an `expect` from before a recreation conflicts."""
    async with make() as stores:
        artifact = new(content=b"first")
        await raises(NotFoundError, stores.artifacts.update(artifact), "an update of an unknown artifact")
        await stores.artifacts.create(artifact)
        loaded = await stores.artifacts.get(artifact.artifact_id)
        await stores.artifacts.delete(artifact.artifact_id)
        for expect in (None, 1):
            await raises(NotFoundError, stores.artifacts.update(artifact, expect=expect), "an update of a deleted one")
        await stores.artifacts.create(artifact)
        if loaded is None:
            raise AssertionError("an artifact that was created is not there")
        await raises(ConflictError, stores.artifacts.update(loaded, expect=1), "an update of the one before")
        same(len(await stores.artifacts.versions(artifact.artifact_id)), 1, "versions of the new one")


async def versions_are_listed_over_many_pages(make: Make[Stores]) -> None:
    """All versions are listed, without content, in any number."""
    async with make() as stores:
        artifact = new(content=b"x" * _INLINE)
        await stores.artifacts.create(artifact)
        for _ in range(39):
            await stores.artifacts.update(artifact)
        found = await stores.artifacts.versions(artifact.artifact_id)
        same([info.version for info in found], list(range(1, 41)), "versions")
        same({type(info) for info in found}, {ArtifactInfo}, "they come without content")


async def artifacts_are_listed_the_last_changed_first(make: Make[Stores]) -> None:
    """A list shows the newest version of each artifact, the last changed first, by context and task."""
    async with make() as stores:
        context, other = unique("context"), unique("context")
        ids = [f"{context}-{n}" for n in range(5)]
        made = [
            new(artifact_id=ids[n], context_id=context, task_id=f"t{n % 2}", content=b"x", metadata={"n": n})
            for n in range(5)
        ]
        for artifact in made:
            await stores.artifacts.create(artifact)
            await tick(stores.backend)
        await stores.artifacts.create(new(context_id=other, task_id="t0", content=b"x"))
        made[1].metadata = {"n": "newest"}
        await stores.artifacts.update(made[1])
        await stores.artifacts.delete(made[3].artifact_id)
        wanted = [made[number].artifact_id for number in (1, 4, 2, 0)]
        for limit in (1, 2, 4):
            found = await _listed(stores.artifacts, context_id=context, limit=limit)
            same([info.artifact_id for info in found], wanted, f"the last changed first, by {limit}")
        found = await _listed(stores.artifacts, context_id=context)
        same((found[0].version, found[0].metadata, type(found[0])), (2, {"n": "newest"}, ArtifactInfo), "the newest")
        same(found[0], (await stores.artifacts.versions(wanted[0]))[1], "a line of a list, and the version itself")
        found = await _listed(stores.artifacts, context_id=context, task_id="t0")
        same([info.artifact_id for info in found], [wanted[1], wanted[2], wanted[3]], "of one context and task")
        made[4].context_id = other
        await stores.artifacts.update(made[4])
        found = await _listed(stores.artifacts, context_id=context)
        same([info.artifact_id for info in found], [wanted[0], *wanted[2:]], "after one moved to another context")


async def artifacts_are_found_by_metadata_and_prefix(make: Make[Stores]) -> None:
    """A list takes metadata of the newest version and the start of the ids, by id in code points or by recency."""
    async with make() as stores:
        prefix, artifacts = unique("list"), stores.artifacts
        names = [f"{prefix}/{letter}" for letter in ("b", "a", "Z", "é", "日")]
        for number, name in enumerate(names):
            metadata = {"even": number % 2 == 0, "context_id": prefix, "list": [1], "large": "x" * 9_000}
            await artifacts.create(Artifact(artifact_id=name, content=name, metadata=metadata))
        await artifacts.create(new(content=b"x", metadata={"even": True}))
        for limit in (1, 2, 9):
            found = await _listed(artifacts, prefix=prefix, order="id", limit=limit)
            same([info.artifact_id for info in found], sorted(names), f"artifacts by id, by {limit}")
            found = await _listed(artifacts, prefix=prefix, order="id", limit=limit, where={"even": True})
            same([info.artifact_id for info in found], sorted(names[::2]), f"artifacts by metadata, by {limit}")
        found = await _listed(artifacts, where={"context_id": prefix, "even": False})
        same({info.artifact_id for info in found}, {names[1], names[3]}, "artifacts by two pairs")
        same(await _listed(artifacts, context_id=prefix), [], "metadata with the name of a field")
        await artifacts.update(Artifact(artifact_id=names[1], content=b"", metadata={"even": True}))
        found = await _listed(artifacts, prefix=prefix, where={"even": False})
        same([info.artifact_id for info in found], [names[3]], "artifacts after an update")
        wrong: tuple[Any, ...] = ({"list": [1]}, ["even"], {"large": "x" * 9_000})
        for where in wrong:
            await raises(InvalidError, artifacts.list(where=where), "no short value")


async def a_damaged_artifact_hides_no_other(make: Make[Stores]) -> None:
    """A list leaves out a damaged artifact and names it."""
    async with make() as stores:
        context = unique("context")
        names = [f"{context}-{n}" for n in range(6)]
        for name in names:
            await stores.artifacts.create(Artifact(artifact_id=name, context_id=context, content=name))
        sound, (broken, *noted) = names[4:], names[:4]
        wrong = (b"\xff", b"[]", b'{"encoding": "text", "size": "1", "sha256": ""}')
        notes = {f"artifacts/{name}": note for name, note in zip(noted, wrong, strict=True)}
        artifacts = type(stores)(DamagesHeads(stores.backend, notes, [f"artifacts/{broken}"])).artifacts
        page = await artifacts.list(context_id=context)
        same(sorted(info.artifact_id for info in page), sorted(sound), "the artifacts that are listed")
        same(sorted(page.damaged), sorted(names[:4]), "the artifacts that are left out")
        await raises(DamagedError, artifacts.get(broken), "a damaged artifact")
        for name in names[1:]:  # each version has a record of its own
            found = await artifacts.get(name)
            same(found and found.content, name, "an artifact with a sound version")


CLAUSES = clauses(__name__)


async def _listed(artifacts: Artifacts, **options: Any) -> list[ArtifactInfo]:
    found: list[ArtifactInfo] = []
    after = None
    for _ in range(100):
        page = await artifacts.list(**options, after=after)
        found += page
        after = page.next
        if after is None:
            return found
    raise AssertionError("a list of a few artifacts does not end after 100 pages")
