"""Outages longer than any caller waits: callers get an error, and afterwards each acknowledged write is there once."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import pytest

import stowfast
from stowfast.backends.objects.protocol import commit
from tests.amount import mostly_soak
from tests.chaos.object_lives import LARGE, Life, afterwards
from tests.chaos.test_faults import READS, TARGETS, Target
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from tests.services.faulty_s3.server import Rule

R = TypeVar("R")

FAULTS = (Fault.INTERNAL, Fault.CLOSE, Fault.TOO_MANY)
BEHIND_THE_BACK = {"delete", "delete a blob"}
"""Requests after the answer of a call: their failure reaches no caller."""


class Outages(Life):
    """A caller. Each of its calls meets the outage, and is repeated afterwards."""

    rule: Rule
    over: Callable[[], object]

    def __init__(self, server: FaultyS3, prefix: str) -> None:
        super().__init__(server, prefix, (stowfast.UnavailableError,), timeout=30)
        # What fails is not tried again for long; what is slow, as the machine is busy, has its time.
        self._store._timeout = 0.6
        self._store._patient = self._store._connect(timedelta(seconds=0.2), timedelta(seconds=10))

    async def call(self, make: Callable[[], Awaitable[R]]) -> R:
        self.rule.times = None
        try:
            return await make()
        except stowfast.UnavailableError:
            self.counts["told"] += 1
            self.rule.times = 0
            self.over()
            return await super().call(make)
        finally:
            self.rule.times = None


@pytest.fixture(scope="module")
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commit, "PATIENCE", 200_000)


@pytest.mark.parametrize(
    ("fault", "after"),
    mostly_soak(
        # In an outage before the effect, reads are repeated until time is up.
        [*((fault, after) for after in (False, True) for fault in FAULTS), (Fault.LATE, False)],
        lambda case: case in {(Fault.CLOSE, True), (Fault.LATE, False)},
    ),
    ids=lambda value: getattr(value, "name", "after" if value else "before"),
)
async def test_an_outage_loses_and_doubles_nothing(server: FaultyS3, fault: Fault, after: bool) -> None:
    places = asyncio.Semaphore(12)

    async def one(name: str, target: Target) -> Counter[str]:
        async with places:
            return await suffer(server, name, target, fault, after=after)

    writes_only = after or fault is Fault.LATE
    targets = {name: target for name, target in TARGETS.items() if not (writes_only and target.operation in READS)}
    ended = await asyncio.gather(*(one(*item) for item in targets.items()), return_exceptions=True)
    if failed := [error for error in ended if isinstance(error, Exception)]:
        raise ExceptionGroup(f"{len(failed)} of {len(targets)} lives went wrong", failed)
    counts = {name: one for name, one in zip(targets, ended, strict=True) if isinstance(one, Counter)}
    print("\n".join(f"{name}: {dict(one)}" for name, one in counts.items()))
    # What is done, or will be, in spite of its answer can be found by reading back.
    told = {name for name, one in counts.items() if one["told"]}
    assert writes_only or told >= targets.keys() - BEHIND_THE_BACK


async def suffer(server: FaultyS3, name: str, target: Target, fault: Fault, *, after: bool) -> Counter[str]:
    """Live with an outage of one kind of request, in a bucket of its own, and compare all with the answers."""
    prefix = f"{fault.name}-{name}-{after}".lower().replace(" ", "-").replace("_", "-")
    life = Outages(server, prefix)
    later = Life(server, prefix, (), timeout=30)
    try:
        async with life.open() as stores:
            await stores.messages.count("first")  # the store is tested before anything fails
        life.over = server.release
        life.rule = server.fail(
            fault, after=after, operation=target.operation, times=None,
            key=lambda key: key.startswith(prefix) and target.is_meant(server, key),
        )  # fmt: skip
        await target.life(life)
        life.rule.times = 0
        server.release()
        later.said = life.said
        await afterwards(later)
    except BaseException as error:
        error.add_note(prefix)
        raise
    finally:
        life.close()
        later.close()
    assert life.rule.struck, f"{prefix}: no request was of this kind"
    return life.counts + Counter({"struck": life.rule.struck})


@pytest.mark.parametrize("operation", ["MULTIPART_CREATE", "MULTIPART_PART", "MULTIPART_COMPLETE"])
async def test_an_upload_that_cannot_even_be_given_up_is_begun_anew(operation: str) -> None:
    one = stowfast.Artifact(artifact_id="a", content=bytes(LARGE))
    with FaultyS3() as server:
        life = Outages(server, "up")
        async with life.open() as stores:
            broken = server.fail(Fault.INTERNAL, operation=operation, times=None)
            abort = server.fail(Fault.INTERNAL, operation="MULTIPART_ABORT", times=None)
            with pytest.raises(stowfast.UnavailableError):
                await stores.artifacts.create(one, op_id="op")
            assert {key for key in server.objects if not key.endswith("/stowfast.sfm")} == set()  # but the marker
            assert await stores.artifacts.get("a") is None
            left = server.uploads
            broken.times = abort.times = 0
            assert (await stores.artifacts.create(one, op_id="op")).version == 1
            assert (await stores.artifacts.create(one, op_id="op")).version == 1
        # What was begun stays until a lifecycle rule of the bucket removes it, and hides nothing.
        assert server.uploads == left
        assert (len(left), abort.struck > 0) == ((0, False) if operation == "MULTIPART_CREATE" else (1, True))
        async with life.open() as stores:
            found = await stores.artifacts.get("a")
            assert found is not None
            assert found.content == one.content
            assert len(await stores.artifacts.versions("a")) == 1
        life.close()
