"""Clauses of puts and expiry: create or next version in one call, races, lost answers, time to live."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from stowfast.records import Artifact
from stowfast.stores.artifacts.live.build import live_stream_of
from stowfast.testing.artifacts.followers import SECONDS, write_live
from stowfast.testing.clause import clauses, holds, raises, same, tick, unique
from stowfast.testing.data.messages import exactly
from stowfast.testing.faults import LosesAnswers
from stowfast.wrappers import Shared

if TYPE_CHECKING:
    from stowfast.records import ArtifactInfo
    from stowfast.stores import Stores
    from stowfast.testing.clause import Make

_HOUR: Final = timedelta(hours=1)
_FUTURE: Final = datetime(2100, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
_LONG_AGO: Final = datetime(2001, 9, 9, tzinfo=UTC)
_LARGE: Final = bytes(range(256)) * 400


async def a_put_creates_or_updates_an_artifact(make: Make[Stores]) -> None:
    """A put stores version 1 or the next version, as a create and an update do, with content of any kind."""
    bodies: list[Any] = [b"one", "two", {"three": 3}, _LARGE, BytesIO(b"five"), BytesIO(_LARGE)]
    async with make() as stores:
        name = unique("artifact")
        for version, body in enumerate(bodies, 1):
            context = "c" if version == 1 else None
            info = await stores.artifacts.put(Artifact(artifact_id=name, context_id=context, content=body))
            same((info.version, info.context_id), (version, "c"), "the version and context of a put")
            found = await stores.artifacts.get(name)
            held = body.getvalue() if isinstance(body, BytesIO) else body
            exactly(found and found.content, held, f"content of version {version}")
        error = await raises(ConflictError, stores.artifacts.put(_of(name), expect=0), "a put that expects nothing")
        same(error.current, 6, "`current`")
        await raises(ConflictError, stores.artifacts.put(_of(name), expect=5), "a put that expects another version")
        same((await stores.artifacts.put(_of(name), expect=6)).version, 7, "a put that expects the newest version")
        loaded = await stores.artifacts.get(name)
        await stores.artifacts.delete(name)
        again = await stores.artifacts.put(_of(name))
        same((again.version, again.context_id), (1, None), "the next life")
        if loaded is None:
            raise AssertionError("an artifact is not there after a put")
        await raises(ConflictError, stores.artifacts.put(loaded, expect=1), "a put over the life before")
        await raises(ConflictError, stores.artifacts.put(_of(unique("artifact")), expect=1), "an unknown artifact")


async def racing_puts_are_all_stored(make: Make[Stores]) -> None:
    """Racing puts of a new artifact, through any opening, each get a version of their own."""
    async with make() as one, make() as other:
        name = unique("artifact")

        async def put(number: int) -> ArtifactInfo:
            content = _LARGE + bytes([number]) if number % 3 == 0 else [number]
            return await (one, other)[number % 2].artifacts.put(Artifact(artifact_id=name, content=content))

        infos = await asyncio.gather(*map(put, range(8)))
        same(sorted(info.version for info in infos), list(range(1, 9)), "versions of racing puts")
        for number, info in enumerate(infos):
            found = await other.artifacts.get(name, version=info.version)
            exactly(found and found.content, _LARGE + bytes([number]) if number % 3 == 0 else [number], "its content")


async def a_put_outlives_a_racing_create_or_delete(make: Make[Stores]) -> None:
    """A put meets no error from a create or a delete beside it, and its context is that of the artifact it follows."""
    async with make() as stores:
        name = unique("artifact")
        for begun in (True, False):
            late = _Interferes(Shared(stores.backend), stores, name, begun=begun)
            info = await type(stores)(late).artifacts.put(_of(name))
            wanted = (2, "racer") if begun else (1, None)
            same((info.version, info.context_id), wanted, f"a put beside a {'create' if begun else 'delete'}")


async def a_lost_answer_doubles_no_version(make: Make[Stores]) -> None:
    """A put repeated under its op_id after a lost answer is stored once, and returns the first result."""
    async with make() as stores:
        name, lossy = unique("artifact"), LosesAnswers(Shared(stores.backend), count=0)
        lost = type(stores)(lossy).artifacts
        for version, body in enumerate((b"small", _LARGE, "small"), 1):
            artifact = Artifact(artifact_id=name, content=body)
            lossy.lose = 1
            await raises(UnavailableError, lost.put(artifact, op_id=f"put {version}", ttl=_HOUR), "a lost answer")
            info = await lost.put(artifact, op_id=f"put {version}", ttl=_HOUR)
            same(info, (await stores.artifacts.versions(name))[-1], "the result of the repeat")
            same((info.version, len(await stores.artifacts.versions(name))), (version, version), "versions")


async def an_artifact_expires(make: Make[Stores]) -> None:
    """`ttl` counts from each version, `set_expiry` holds until the next one, and an artifact without both stays."""
    async with make() as stores:
        name, artifacts = unique("artifact"), stores.artifacts
        made = [
            await artifacts.create(Artifact(artifact_id=name, context_id=name, content="one"), ttl=_HOUR),
            await artifacts.update(_of(name), ttl=2 * _HOUR),
            await artifacts.put(_of(name), ttl=3 * _HOUR),
        ]
        for hours, info in enumerate(made, 1):
            same(info.expires_at, info.created_at and info.created_at + hours * _HOUR, "an expiry by ttl")
        same(await artifacts.info(name), made[-1], "an artifact with a time to live")
        for moment in (_FUTURE, None, _FUTURE):
            await artifacts.set_expiry(name, moment)
            found = await artifacts.info(name)
            same(found and (found.expires_at, found.version), (moment, 3), "an expiry set later")
            (listed,) = await artifacts.list(context_id=name)
            same(listed, found, "a line of a list, and the artifact itself")
        same((await artifacts.put(_of(name))).expires_at, None, "the expiry of a version without a ttl")
        await raises(InvalidError, artifacts.put(_of(name), ttl=-_HOUR), "a negative ttl")
        await raises(InvalidError, artifacts.set_expiry(name, _FUTURE.replace(tzinfo=None)), "without a timezone")
        await artifacts.set_expiry(name, _LONG_AGO)
        same((await artifacts.get(name), await artifacts.versions(name)), (None, []), "an expired artifact")
        same(list(await artifacts.list(context_id=name)), [], "a list after the expiry")
        await raises(NotFoundError, artifacts.set_expiry(name, None), "an expiry of nothing")
        same((await artifacts.create(_of(name))).version, 1, "the next life")


async def what_a_writer_wrote_expires(make: Make[Stores]) -> None:
    """`ttl` of `open_writer`, `open_live` and `open_dataset` counts from the end of the block."""
    async with make() as stores:
        name, artifacts = unique("artifact"), stores.artifacts
        async with artifacts.open_writer(name, ttl=_HOUR) as writer:
            await writer.write(b"x")
        async with artifacts.open_live(name, ttl=2 * _HOUR) as live:
            await live.write(b"x")
        second = await artifacts.info(name)
        async with artifacts.open_dataset(name, ttl=3 * _HOUR) as dataset:
            await dataset.append([{"n": 1}])
        third = await artifacts.info(name)
        same(
            (live.info, dataset.info), (second, third), "an artifact with a time to live, and what its writer returned"
        )
        for hours, info in enumerate((writer.info, second, third), 1):
            same(info and info.expires_at, info and info.created_at and info.created_at + hours * _HOUR, "an expiry")
        async with artifacts.open_live(name) as live:
            await live.write(b"x")
        last = await artifacts.info(name)
        same(last and (last.version, last.expires_at), (4, None), "the expiry of a version without a ttl")
        for opens in (artifacts.open_writer, artifacts.open_live, artifacts.open_dataset):
            with contextlib.suppress(InvalidError):
                async with opens(unique("artifact"), ttl=-_HOUR):
                    raise AssertionError("a negative ttl was accepted")


async def what_is_written_live_moves_its_end_on(make: Make[Stores]) -> None:
    """Each write of a live artifact moves the end of its build on; a `ttl` shorter than the block takes nothing."""
    async with make() as stores:
        name, artifacts, ends = unique("artifact"), stores.artifacts, list[int]()
        async with artifacts.open_live(name, ttl=timedelta(0)) as live:
            for size in (1, 2):
                await live.write(b"x")
                await live.flush()
                info = await artifacts.info(name)
                same(info and (info.state, info.size), ("building", size), "a live artifact between two writes")
                (build,) = await stores.backend.heads([live_stream_of(name)])
                ends.append(build.expires_at or 0 if build else 0)
                await tick(stores.backend)
        holds(ends[0] < ends[1], f"a write moves the end of a live build on, not from {ends[0]} to {ends[1]}")
        made = live.info
        same(made and (made.size, made.expires_at), (2, made and made.created_at), "the version, and its end")
        same(await artifacts.info(name), None, "the artifact after its end")


async def a_follower_may_come_first(make: Make[Stores]) -> None:
    """With `wait` a follower gets all bytes of an artifact that begins later, live or at once; without, an error."""
    async with make() as one, make() as other:
        for live in (True, False):
            name = unique("artifact")
            await raises(NotFoundError, _all_of(other, name, timedelta(0)), "a follower without a wait")
            await raises(NotFoundError, _all_of(other, name, timedelta(milliseconds=1)), "a follower after its wait")
            following = asyncio.create_task(_all_of(other, name, timedelta(seconds=SECONDS)))
            try:
                await asyncio.sleep(0)
                if live:
                    await write_live(one.artifacts, name, _LARGE)
                else:
                    await one.artifacts.create(Artifact(artifact_id=name, content=_LARGE))
                same(await asyncio.wait_for(following, SECONDS), _LARGE, "the bytes of a follower that came first")
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)


class _Interferes(Shared):
    """Creates or deletes an artifact right before the first commit."""

    def __init__(self, backend: Any, stores: Stores, artifact_id: str, *, begun: bool) -> None:
        super().__init__(backend)
        self._stores, self._artifact_id, self._begun, self._due = stores, artifact_id, begun, True

    async def commit(self, stream: str, change: Any) -> Any:
        if self._due:
            self._due = False
            if self._begun:
                artifact = Artifact(artifact_id=self._artifact_id, context_id="racer", content="first")
                await self._stores.artifacts.create(artifact)
            else:
                await self._stores.artifacts.delete(self._artifact_id)
        return await super().commit(stream, change)


def _of(name: str) -> Artifact:
    return Artifact(artifact_id=name, content=[1])


async def _all_of(stores: Stores, artifact_id: str, wait: timedelta) -> bytes:
    return b"".join([piece async for piece in stores.artifacts.follow(artifact_id, wait=wait)])


CLAUSES = clauses(__name__)
