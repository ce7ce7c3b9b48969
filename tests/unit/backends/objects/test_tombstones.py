"""Tombstones end after a week, on a store that keeps the condition of a DELETE; on any other they stay."""

from __future__ import annotations

import asyncio
import logging
import time
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast.abc import Change
from stowfast.backends.objects.protocol.commit import commit
from stowfast.backends.objects.protocol.keys import MARKER, keys_of
from stowfast.backends.objects.protocol.load import read_head
from stowfast.backends.objects.protocol.requests import ABSENT, All, Environment, Get, Moment, Put, Remove, drive
from stowfast.backends.objects.protocol.state import State
from stowfast.backends.objects.protocol.sweep import survey, sweep_stream
from stowfast.backends.objects.protocol.tombstones import prove_removal, remove_tombstone
from stowfast.errors import ConflictError, DamagedError, UnavailableError
from tests.services.faulty_s3.server import Fault, FaultyS3, Quirks
from tests.simulator.bucket import Bucket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from contextlib import AbstractAsyncContextManager

    from stowfast.backends.objects.protocol.requests import Request, Steps
    from tests.simulator.bucket import Stored

DAY = 86_400
HEAD = "h/messages/c!.sfh"
KEYS = "access_key_id=the-key&secret_access_key=the-secret"


class Clock:
    """The clock of a server: behind, so that no signature of this machine has ended for it."""

    def __init__(self) -> None:
        self.ahead = -30.0 * DAY

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def server(clock: Clock) -> Iterator[FaultyS3]:
    with FaultyS3(Quirks(), clock=clock) as server:
        yield server


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[Any]:
    """The facts of the lines about tombstones."""
    with caplog.at_level(logging.INFO, "stowfast"):
        yield lambda: [
            (one.removed, one.left, one.reason)  # type: ignore[attr-defined]
            for one in caplog.records
            if getattr(one, "event", "") == "tombstones"
        ]


def url(server: FaultyS3, more: str = KEYS) -> str:
    return f"s3://bucket?endpoint_url={server.endpoint}&{more}"


def stores_of(server: FaultyS3, more: str = KEYS) -> AbstractAsyncContextManager[stowfast.Stores]:
    return stowfast.open(url(server, more))


def left(server: FaultyS3) -> set[str]:
    return {key for key in server.objects if key != MARKER and not key.startswith("i/")}


async def bury(server: FaultyS3, clock: Clock, more: str = KEYS, *, days: float = 7.1) -> None:
    """Leave a tombstone behind, and let some days pass."""
    async with stores_of(server, more) as stores:
        await stores.messages.add_message("c", {"n": 0}, op_id="first")
        await stores.messages.delete("c")
        await stores.messages.add_message("kept", {"n": 0})
    clock.ahead += days * DAY


async def sweep(server: FaultyS3, more: str = KEYS) -> None:
    async with stores_of(server, more) as stores:
        await stores.sweep()


async def test_a_tombstone_ends_after_a_week(server: FaultyS3, clock: Clock, lines: Any) -> None:
    await bury(server, clock, days=6.9)
    await sweep(server)
    assert HEAD in left(server)
    assert lines() == []
    clock.ahead += 0.2 * DAY
    async with stores_of(server) as stores:
        assert (await stores.sweep(dry_run=True)).streams == 0
        assert HEAD in left(server)
        await stores.sweep()
        assert left(server) == {"h/messages/kept!.sfh"}
        assert lines() == [(1, 0, "")]
        # The name can come again, and the op_id of a week ago is that of a new call.
        await stores.messages.add_message("c", {"n": 1}, op_id="first")
        assert await stores.messages.get_messages("c") == [{"n": 1}]


async def test_a_tombstone_with_segments_and_blobs_once_ends_too(server: FaultyS3, clock: Clock) -> None:
    async with stores_of(server) as stores:
        for number in range(60):
            await stores.messages.add_message("c", {"n": number, "text": "x" * 20_000})
        await stores.artifacts.create(stowfast.Artifact(artifact_id="a", content=bytes(200_000)))
        await stores.messages.delete("c")
        await stores.artifacts.delete("a")
    clock.ahead += 8 * DAY
    await sweep(server)
    clock.ahead += 8 * DAY
    await sweep(server)
    assert left(server) == set()


@pytest.mark.parametrize(
    ("quirks", "more", "reason"),
    [
        ({"condition_of_delete": "ignored"}, KEYS, ""),
        ({"condition_of_delete": "refused"}, KEYS, "501"),
        ({}, "anonymous=true", "no request can carry the condition"),
        ({"requester_pays": True}, f"{KEYS}&request_payer=true", "no request can carry the condition"),
    ],
)
async def test_where_the_condition_cannot_be_kept_a_tombstone_stays(
    server: FaultyS3, clock: Clock, lines: Any, quirks: dict[str, Any], more: str, reason: str
) -> None:
    for name, value in quirks.items():
        setattr(server.quirks, name, value)
    await bury(server, clock, more)
    await sweep(server, more)
    assert left(server) == {HEAD, "h/messages/kept!.sfh"}
    assert lines() == [(0, 1, reason)]


@pytest.mark.slow
async def test_the_signed_url_is_in_no_line_and_no_error(
    server: FaultyS3, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    await bury(server, clock)
    with caplog.at_level(logging.DEBUG):
        for fault in (Fault.DENIED, Fault.CLOSE, Fault.REDIRECTED, Fault.PORTAL):
            rule = server.fail(fault, operation="DELETE", key="probe/", times=None)
            await sweep(server, f"{KEYS}&timeout=2")
            assert rule.struck
            assert HEAD in left(server)
            server.heal()
    assert "X-Amz-Signature" not in caplog.text
    assert "the-key" not in caplog.text
    await sweep(server)
    assert HEAD not in left(server)


@pytest.mark.parametrize("after", [False, True])
async def test_a_removal_without_an_answer_is_left_to_the_next_sweep(
    server: FaultyS3, clock: Clock, lines: Any, after: bool
) -> None:
    await bury(server, clock)
    lost = server.fail(Fault.RESET, after=after, operation="DELETE", key=HEAD)
    await sweep(server)
    assert lost.struck
    assert (HEAD in left(server)) is not after
    assert lines() == [(0, 1, "ConnectionResetError")]
    await sweep(server)
    assert HEAD not in left(server)


async def test_a_store_that_tells_no_time_fails_no_sweep(server: FaultyS3, clock: Clock, lines: Any) -> None:
    await bury(server, clock)
    silent = server.fail(Fault.INTERNAL, operation="PUT", key="clock/", times=None)
    await sweep(server, f"{KEYS}&timeout=2")
    assert silent.struck
    assert HEAD in left(server)
    assert lines() == []


async def test_a_late_removal_takes_nothing_that_was_written_since(server: FaultyS3, clock: Clock) -> None:
    await bury(server, clock)
    late = server.fail(Fault.LATE, operation="DELETE", key=HEAD)
    await sweep(server)
    assert late.struck
    async with stores_of(server) as stores:
        await stores.messages.add_message("c", {"n": 1})
        await stores.messages.delete("c")
        await stores.messages.add_message("c", {"n": 2})
        server.release()
        assert await stores.messages.get_messages("c") == [{"n": 2}]


async def test_whoever_knows_the_tombstone_writes_and_reads_after_its_end(server: FaultyS3, clock: Clock) -> None:
    await bury(server, clock)
    async with stores_of(server) as stale, stores_of(server) as other, stores_of(server) as third:
        for stores in (stale, other):
            assert await stores.messages.get_messages("c") == []
        await third.sweep()
        assert HEAD not in left(server)
        await stale.messages.add_message("c", {"n": 1})
        assert await other.messages.get_messages("c") == [{"n": 1}]
        await other.messages.add_message("c", {"n": 2})
        assert await stale.messages.get_messages("c") == [{"n": 1}, {"n": 2}]


async def test_a_head_of_less_commits_is_learned_over_the_tombstone_before(server: FaultyS3, clock: Clock) -> None:
    async with stores_of(server) as stale, stores_of(server) as other:
        for number in range(20):
            await stale.messages.add_message("c", {"n": number})
        await stale.messages.delete("c")
        clock.ahead += 8 * DAY
        await other.sweep()
        await other.messages.add_message("c", {"n": 1})
        assert await stale.messages.get_messages("c") == [{"n": 1}]
        with server.counted() as made:
            assert await stale.messages.get_messages("c") == [{"n": 1}]
        assert [one.status for one in made] == [304]


async def test_a_listed_tombstone_replaced_since_is_left_alone(server: FaultyS3, clock: Clock) -> None:
    await bury(server, clock)
    server.put("h/messages/y!.sfh", b"x" * 42)
    clock.ahead += 8 * DAY
    held = server.fail(Fault.HOLD, operation="GET", key=HEAD)
    async with stores_of(server) as stores, stores_of(server) as other:
        sweeping = asyncio.ensure_future(stores.sweep())
        await asyncio.to_thread(held.wait)
        await other.messages.add_message("c", {"n": 1})
        server.release()
        await sweeping
        assert await other.messages.get_messages("c") == [{"n": 1}]
    assert "h/messages/y!.sfh" in left(server), "it does not decode, so nobody knows what it is"


async def test_an_upload_of_days_ago_is_looked_for_before_it_is_used(
    server: FaultyS3, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sweep has condemned it in a tombstone, and the tombstone is gone: only a look can tell."""
    monkeypatch.setattr("stowfast.backends.objects.backend.clock", lambda: int(clock() * 1_000_000))

    async def content() -> AsyncIterator[bytes]:
        yield b"x" * 100

    async with stores_of(server) as slow, stores_of(server) as other:
        blob = await slow.backend.write_blob("messages/c", content())
        for days in (2, 8):
            clock.ahead += days * DAY
            await other.sweep()
        assert left(server) == set()
        with pytest.raises(ConflictError, match="a blob of this change is gone"):
            await slow.backend.commit("messages/c", Change((b"n",), blobs=(blob,)))


class Scene:
    """The protocol over a bucket in memory, under clocks that a test sets."""

    def __init__(self) -> None:
        self.bucket, self.time, self.ids = Bucket(), 100 * DAY * 1_000_000, count(1)
        self.environment = Environment(lambda: self.time, lambda: f"{next(self.ids):032x}", lambda: 0.0)

    def perform(self, request: Request) -> Any:
        if isinstance(request, All):
            return [self.perform(one) for one in request.requests]
        return self.bucket.apply(request, self.time)

    def run(self, steps: Steps[Any]) -> Any:
        return drive(steps, self.perform)

    def until(self, steps: Steps[Any], kind: type[Any], key: str) -> Any:
        """Go on until a request of this kind for a key that begins so, and return it, not performed yet."""
        request = next(steps)
        while not (isinstance(request, kind) and request.key.startswith(key)):
            request = steps.send(self.perform(request))
        return request

    def come_and_go(self, name: str) -> None:
        """Let a stream be begun and deleted, and its tombstone end."""
        self.run(commit(name, None, [Change((b"of another",))], self.environment))
        self.run(commit(name, None, [Change(delete=True)], self.environment))
        self.time += 8 * DAY * 1_000_000
        found = self.run(survey())
        for one in found.litter:
            self.run(sweep_stream(one, self.environment))
        for tombstone in found.tombstones:
            assert self.run(remove_tombstone(tombstone))


def _after(steps: Steps[Any], answer: Any) -> Steps[Any]:
    """Return the rest of the steps, from an answer on."""
    request = steps.send(answer)
    while True:
        request = steps.send((yield request))


def test_a_first_commit_that_slept_for_a_week_looks_again() -> None:
    """Its segment was taken for one of a past life: that its head may be created proves nothing."""
    scene = Scene()
    large = Change(tuple(b"x" * 100_000 for _ in range(6)))
    steps = commit("s/a", None, [large], scene.environment)
    head = scene.until(steps, Put, "h/")
    segments = [key for key in scene.bucket.objects if key.startswith("d/")]
    assert segments
    steps.close()
    # As above, but it sleeps before it asks for the head.
    steps = commit("s/a", State("s/a"), [large], scene.environment)
    upload = next(steps)
    answer = scene.perform(upload)
    scene.come_and_go("s/a")
    assert not any(key.startswith("d/") for key in scene.bucket.objects)
    request = steps.send(answer)
    assert request == Get(head.key)
    created = scene.until(_after(steps, scene.perform(request)), Put, "h/")
    scene.perform(created)
    state = scene.run(read_head("s/a"))
    assert state.head.length == 6
    assert {keys_of("s/a").segment(state.life, ref.id) for ref in state.segments} <= scene.bucket.objects.keys()


def test_a_commit_that_slept_for_a_week_behind_its_put_is_of_unknown_outcome() -> None:
    scene = Scene()
    steps = commit("s/a", State("s/a"), [Change((b"n",))], scene.environment)
    put = next(steps)
    assert isinstance(put, Put)
    scene.perform(put)  # its answer is lost
    scene.run(commit("s/a", None, [Change(delete=True)], scene.environment))
    scene.time += 8 * DAY * 1_000_000
    (tombstone,) = scene.run(survey()).tombstones
    assert scene.run(remove_tombstone(tombstone))
    request = steps.send(None)
    assert isinstance(request, Get)
    with pytest.raises(UnavailableError):
        steps.send(scene.perform(request))
    assert put.key not in scene.bucket.objects, "the same bytes were not written a second time"


def test_a_living_head_that_is_gone_is_damage_and_a_tombstone_is_not() -> None:
    scene = Scene()
    living = scene.run(commit("s/a", None, [Change((b"n",))], scene.environment)).state
    ended = scene.run(commit("s/a", None, [Change(delete=True)], scene.environment)).state
    del scene.bucket.objects["h/s/a!.sfh"]
    assert scene.run(read_head("s/a", ended)) == State("s/a")
    with pytest.raises(DamagedError, match="no living head is ever deleted"):
        scene.run(read_head("s/a", living))
    anew = scene.run(commit("s/a", None, [Change((b"n",))], scene.environment)).state
    assert anew.commit < ended.commit
    assert scene.run(read_head("s/a", ended)).id == anew.id
    with pytest.raises(DamagedError, match="went back"):
        scene.run(read_head("s/a", living._replace(commit=5)))
    with pytest.raises(DamagedError, match="went back"):
        scene.run(read_head("s/a", ended._replace(origin=anew.origin)))


@pytest.mark.parametrize(
    ("now", "steady", "outlived"),
    [(0, 0, False), (DAY, DAY, False), (DAY + 1, 0, True), (-DAY - 1, 0, True), (0, DAY + 1, True)],
)
def test_a_day_by_either_clock_is_long_ago(now: int, steady: int, outlived: bool) -> None:
    environment = Environment(lambda: now * 1_000_000, str, lambda: 0.0, steady=lambda: steady * 1_000_000)
    assert environment.outlived(Moment(0, 0)) is outlived


class _Broken(Bucket):
    """A store whose removals are not as they should be."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.seen: set[str] = set()

    def allows_removal(self, request: Remove, found: Stored) -> bool:
        return self.way == "ignores" or super().allows_removal(request, found)

    def apply(self, request: Any, now: int) -> Any:
        if isinstance(request, Remove):
            if self.way == "never":
                return None
            if self.way == "says so and does not":
                return True if super().allows_removal(request, self.objects[request.key]) else None
            if self.way == "does and says nothing":
                super().apply(request, now)
                return None
        if isinstance(request, Put) and self.way == "marks what is gone":
            if request.condition is ABSENT and request.key in self.seen:
                return None
            self.seen.add(request.key)
        return super().apply(request, now)


@pytest.mark.parametrize(
    "way", ["ignores", "never", "says so and does not", "does and says nothing", "marks what is gone", "well"]
)
def test_a_store_must_prove_its_removals(way: str) -> None:
    scene = Scene()
    scene.bucket = _Broken(way)
    assert scene.run(prove_removal(scene.environment)) is (way == "well")
    assert [key for key in scene.bucket.objects if key != MARKER] == []


class _Late(Bucket):
    """It looks at the condition of a removal, and removes the key after the request that comes next."""

    due: Remove | None = None

    def apply(self, request: Any, now: int) -> Any:
        answer = super().apply(request, now) if not isinstance(request, Remove) else None
        if self.due is not None:
            self.objects.pop(self.due.key, None)
            self.due = None
        found = self.objects.get(request.key) if isinstance(request, Remove) else None
        if found is not None and self.allows_removal(request, found):
            self.due = request
            return True
        return answer


def test_a_removal_that_is_not_atomic_is_no_proof() -> None:
    scene = Scene()
    scene.bucket = _Late()

    def perform(request: Request) -> Any:
        if isinstance(request, All):  # the removal of a race comes first
            return [scene.perform(one) for one in reversed(request.requests)][::-1]
        return scene.perform(request)

    assert drive(prove_removal(scene.environment), perform) is False
