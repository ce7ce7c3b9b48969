"""Clauses of live artifacts: followed during writing, versions at their end, and failures."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, InvalidError, NotFoundError
from stowfast.records import Artifact
from stowfast.testing.artifacts.bodies import BODY, KB, MB, cut
from stowfast.testing.artifacts.followers import all_of, failed, following, write_live
from stowfast.testing.clause import clauses, either, holds, raises, same, unique
from stowfast.testing.faults import LosesAnswers
from stowfast.testing.protocols import AS_GIVEN
from stowfast.wrappers import Wrapper

if TYPE_CHECKING:
    from stowfast.abc import Change, Receipt
    from stowfast.records import ArtifactInfo
    from stowfast.stores import Artifacts, Stores
    from stowfast.testing.artifacts.followers import Follower
    from stowfast.testing.clause import Make

_PIECES: Final[tuple[tuple[int, ...], ...]] = ((1, 1, 0, 1), (0, 40 * KB, 3, 2 * MB + 1, 5), (100_003,) * 5)


async def what_is_written_live_is_followed_meanwhile(make: Make[Stores]) -> None:
    """A live artifact is followed from its beginning during writing, each byte once, in order."""
    async with make() as stores, make() as other:
        for sizes in _PIECES:
            name, body, written = unique("artifact"), BODY[: sum(sizes)], 0
            async with (
                stores.artifacts.open_live(name) as writer,
                following(stores.artifacts, name) as here,
                following(other.artifacts, name) as there,
            ):
                for number, piece in enumerate(cut(body, sizes)):
                    await writer.write(piece)
                    written += len(piece)
                    if number % 2:
                        await writer.flush()
                    for follower in (here, there):
                        await follower.until(body[:written])
                await writer.close()
                for follower in (here, there):
                    same(await follower.to_the_end(), body, "what somebody got who followed from the beginning")


async def who_follows_late_gets_all_of_it(make: Make[Stores]) -> None:
    """A follower that starts late, lags behind, or starts after the end gets every byte from the beginning."""
    async with make() as stores, make() as other:
        for size in (10, 3 * MB):
            name, body, half = unique("artifact"), BODY[:size], size // 2
            async with stores.artifacts.open_live(name) as writer:
                await writer.write(body[:half])
                await writer.flush()
                async with (
                    following(other.artifacts, name) as late,
                    aclosing(other.artifacts.follow(name)) as lags,
                ):
                    await late.until(body[:half])
                    got = await anext(lags)
                    await writer.write(body[half:])
                    await writer.close()
                    same(await late.to_the_end(), body, "what somebody got who came in the middle")
                    await stores.artifacts.update(Artifact(artifact_id=name, content=b"another version"))
                    async for piece in lags:
                        got += piece
                    same(got, body, "what somebody got who lagged behind until the next version")
            same(await all_of(other.artifacts, name), b"another version", "the newest version, followed")
            await write_live(stores.artifacts, name, body)
            for artifacts in (stores.artifacts, other.artifacts):
                same(await all_of(artifacts, name), body, "what somebody got who came when all was finished")
        await raises(NotFoundError, all_of(other.artifacts, unique("artifact")), "following an unknown artifact")


async def what_was_written_live_becomes_a_version(make: Make[Stores]) -> None:
    """A live artifact is no version before its end, then one like any other, of the same bytes or text."""
    given: dict[str, Any] = {
        "context_id": unique("context"), "task_id": "t", "name": "é", "description": "d", "mime_type": "x/y",
        "metadata": AS_GIVEN,
    }  # fmt: skip
    async with make() as stores, make() as other:
        for pieces, whole in (
            ((), b""),
            ((b"a", bytearray(b"b"), memoryview(b"c")), b"abc"),
            (("é" * 20_000, "", "日本"), "é" * 20_000 + "日本"),
            (tuple(cut(BODY[: 3 * MB], (700_000,) * 4)), BODY[: 3 * MB]),
        ):
            name = unique("artifact")
            async with stores.artifacts.open_live(name, **given) as writer:
                for piece in pieces:
                    await writer.write(piece)
                await writer.flush()
                await _no_version(other.artifacts, name, "while it is written")
            info = await other.artifacts.info(name)
            same(info, writer.info, "what the writer was told, and what anybody is")
            same(await other.artifacts.versions(name), [info], "versions there are")
            found = await other.artifacts.get(name)
            same(found and found.content, whole, "the content of the version")
            same({key: getattr(found, key) for key in given}, given, "what is known of it")
            async with other.artifacts.open_reader(name, start=1, stop=3) as reader:
                body = whole.encode() if isinstance(whole, str) else whole
                same(await reader.read(), body[1:3], "a part of it")
            again = await write_live(other.artifacts, name, b"again", expect=1)
            same((again.version, again.context_id), (2, given["context_id"]), "the next one")
            error = await raises(ConflictError, write_live(stores.artifacts, name, b"x", expect=1), "an old `expect`")
            same((error.current, len(await other.artifacts.versions(name))), (2, 2), "what is there after it")
            before = await other.artifacts.get(name, version=1)
            same(before and before.content, whole, "the first version beside the next")


async def what_fails_live_is_no_version(make: Make[Stores]) -> None:
    """After an exception or a cancellation there is no new version; followers get a NotFoundError at the end."""
    async with make() as stores, make() as other:
        for fail in (_throws, _is_cancelled):
            name = unique("artifact")
            async with failed(other.artifacts, name) as follower:
                await fail(stores.artifacts, name, b"half", follower)
            await _no_version(other.artifacts, name, "after its writer failed")
            info = await other.artifacts.info(name)
            same(info and (info.state, info.version), ("failed", 0), "what is told of it")
            await raises(NotFoundError, all_of(other.artifacts, name), "following it afterwards")
            same((await write_live(other.artifacts, name, b"whole")).version, 1, "the version of the next writer")
            await fail(stores.artifacts, name, b"never", None)
            for artifacts in (stores.artifacts, other.artifacts):
                same(await all_of(artifacts, name), b"whole", "what is followed after another writer failed")
                same(len(await artifacts.versions(name)), 1, "versions after another writer failed")
                info = await artifacts.info(name)
                same(info and info.state, "complete", "the state of what was complete before")


async def of_two_who_write_live_the_second_is_refused(make: Make[Stores]) -> None:
    """A second live writer is a ConflictError, and may begin once the first has ended."""
    async with make() as stores, make() as other:
        name = unique("artifact")
        async with stores.artifacts.open_live(name) as writer:
            await writer.write(b"one ")
            for artifacts in (stores.artifacts, other.artifacts):
                await raises(ConflictError, write_live(artifacts, name, b"two"), "a second writer")
            await writer.write(b"writer")
        same(await all_of(other.artifacts, name), b"one writer", "what the first has written")
        same((await write_live(other.artifacts, name, b"next")).version, 2, "the version of who came next")
        for _ in range(3):
            name, barrier = unique("artifact"), asyncio.Barrier(4)
            calls = (_one_of_many((stores, other)[number % 2].artifacts, name, barrier) for number in range(4))
            results = await asyncio.gather(*(either(call, ConflictError) for call in calls))
            won = [result for result in results if not isinstance(result, ConflictError)]
            same(await other.artifacts.versions(name), won, "versions of those who began at once")
            same(len(won), 1, "writers that won of those who began at once")


async def info_says_how_it_goes(make: Make[Stores]) -> None:
    """`info` and lists show "building" with the size so far during writing, then "complete" or "failed"."""
    async with make() as stores, make() as other:
        for fails, end in ((False, "complete"), (True, "failed")):
            name, context = unique("artifact"), unique("context")
            with suppress(ZeroDivisionError):
                async with stores.artifacts.open_live(name, context_id=context, description="d") as writer:
                    for size in (0, 10, 100_010):
                        await writer.write(BODY[writer.size : size])
                        await writer.flush()
                        for artifacts in (stores.artifacts, other.artifacts):
                            wanted = ("building", size, 0, context, "d")
                            same(_told(await artifacts.info(name)), wanted, "what is told of it meanwhile")
                            found = [_told(info) for info in await artifacts.list(context_id=context)]
                            same(found, [wanted], "what a list tells of it meanwhile")
                    if fails:
                        raise ZeroDivisionError
            wanted = (end, 100_010, int(not fails), context, "d")
            for artifacts in (stores.artifacts, other.artifacts):
                same(_told(await artifacts.info(name)), wanted, "what is told of it in the end")
                found = [_told(info) for info in await artifacts.list(context_id=context)]
                same(found, [wanted], "what a list tells of it in the end")


async def many_small_writes_are_few_commits(make: Make[Stores]) -> None:
    """Small pieces are stored in batches of the requested size, and are the same bytes."""
    async with make() as stores:
        counts = _Counts(stores.backend)
        artifacts = type(stores)(counts).artifacts
        name, body = unique("artifact"), BODY[:40_000]
        async with artifacts.open_live(name, flush_bytes=10_000, flush_seconds=3_600) as writer:
            for piece in cut(body, (10,) * 4_000):
                await writer.write(piece)
        # Four batches, what begins and ends it, and a sign of life every ten seconds where the backend is slow.
        holds(counts.commits <= 20, f"4,000 writes in four batches took {counts.commits} commits")
        same(await all_of(artifacts, name), body, "what was written in 4,000 pieces")
        for wrong in ({"flush_bytes": 0}, {"flush_bytes": 2**23 + 1}, {"flush_seconds": -1.0}):
            call = write_live(artifacts, unique("artifact"), b"x", **wrong)
            await raises(InvalidError, call, f"batches that cannot be: {wrong}")


async def lost_answers_double_nothing_that_is_written_live(make: Make[Stores]) -> None:
    """A batch or an end is stored once after a lost answer; a call repeated with its op_id is one version."""
    async with make() as stores, make() as other:
        loses = LosesAnswers(stores.backend, 1)
        artifacts, name = type(stores)(loses).artifacts, unique("artifact")
        async with artifacts.open_live(name, op_id="op") as writer, following(other.artifacts, name) as follower:
            for piece in cut(BODY[:40_000], (10_000,) * 4):
                loses.lose = 1
                await writer.write(piece)
                await writer.flush()
            loses.lose = 1
            info = await writer.close()
            same(await follower.to_the_end(), BODY[:40_000], "what was followed while answers were lost")
        found = await other.artifacts.get(name)
        same(found and found.content, BODY[:40_000], "the version after answers were lost")
        same(await write_live(artifacts, name, BODY[:40_000], op_id="op"), info, "what a repeat is told")
        same(await other.artifacts.versions(name), [info], "versions after a repeat")


async def a_delete_ends_what_is_written_live(make: Make[Stores]) -> None:
    """A deletion during live writing is a ConflictError for the writer, and leaves nothing."""
    async with make() as stores, make() as other:
        name = unique("artifact")
        await stores.artifacts.create(Artifact(artifact_id=name, content=b"before"))
        async with failed(other.artifacts, name) as follower:
            await raises(ConflictError, _deleted_meanwhile(stores, other, name, follower), "a writer of what is gone")
        for artifacts in (stores.artifacts, other.artifacts):
            same(await artifacts.info(name), None, "what is known of it")
            same(await artifacts.versions(name), [], "versions of it")
            await raises(NotFoundError, all_of(artifacts, name), "following it afterwards")


CLAUSES = clauses(__name__)


async def _one_of_many(artifacts: Artifacts, name: str, barrier: asyncio.Barrier) -> ArtifactInfo | None:
    began = False
    try:
        async with artifacts.open_live(name) as writer:
            began = True
            await barrier.wait()
            await writer.write(b"mine")
        return writer.info
    finally:
        if not began:
            await barrier.wait()


async def _deleted_meanwhile(stores: Stores, other: Stores, name: str, follower: Follower) -> None:
    async with stores.artifacts.open_live(name) as writer:
        await writer.write(b"half")
        follower.begin()
        await follower.until(b"half")
        await other.artifacts.delete(name)
        await writer.write(b" and more")


async def _throws(artifacts: Artifacts, name: str, body: bytes, follower: Follower | None) -> None:
    with suppress(ZeroDivisionError):
        await _writes(artifacts, name, body, follower)
        raise AssertionError("the exception did not come out")


async def _is_cancelled(artifacts: Artifacts, name: str, body: bytes, follower: Follower | None) -> None:
    reached = asyncio.Event()
    task = asyncio.ensure_future(_writes(artifacts, name, body, follower, reached))
    waits = asyncio.ensure_future(reached.wait())
    await asyncio.wait({task, waits}, return_when=asyncio.FIRST_COMPLETED)
    waits.cancel()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
        raise AssertionError("a writer that was cancelled went on")


async def _writes(
    artifacts: Artifacts, name: str, body: bytes, follower: Follower | None, reached: asyncio.Event | None = None
) -> None:
    async with artifacts.open_live(name) as writer:
        await writer.write(body)
        if follower is not None:
            follower.begin()
            await follower.until(body)
        if reached is None:
            raise ZeroDivisionError
        reached.set()
        await asyncio.Event().wait()


async def _no_version(artifacts: Artifacts, name: str, when: str) -> None:
    same((await artifacts.get(name), await artifacts.versions(name)), (None, []), f"versions {when}")
    same(await artifacts.info(name, version=1), None, f"the first version {when}")


def _told(info: ArtifactInfo | None) -> Any:
    return info and (info.state, info.size, info.version, info.context_id, info.description)


class _Counts(Wrapper):
    commits = 0

    async def commit(self, stream: str, change: Change) -> Receipt:
        self.commits += 1
        return await super().commit(stream, change)
