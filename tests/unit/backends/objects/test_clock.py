"""The clock of a bucket: machines with different clocks agree on it."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast.abc import Change, Query
from stowfast.backends.objects import clock
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from tests.services.s3 import S3Server

HOUR = 3_600
SECOND = 10**6
DAY = 86_400


def opened(server: FaultyS3) -> Any:
    return stowfast.open(
        f"s3://{server.bucket}?endpoint_url={server.endpoint}", access_key_id="somebody", secret_access_key="secret"
    )


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
async def test_the_time_is_that_of_the_server(ahead: int) -> None:
    with FaultyS3(clock=lambda: time.time() + ahead) as server:
        async with opened(server) as stores:
            await stores.messages.add_message("c", {})
            before = set(server.objects)
            with server.counted() as made:
                for _ in range(3):
                    now = await stores.backend.now()
                    assert abs(now / SECOND - (time.time() + ahead)) < 2
            assert [record.operation for record in made] == ["PUT", "LIST", "DELETE"]  # once
            assert set(server.objects) == before


async def test_a_clock_that_differs_by_less_than_can_be_seen_is_this_machine_s() -> None:
    with FaultyS3() as server:
        async with opened(server) as stores:
            began = time.time_ns() // 1_000
            now = await stores.backend.now()
            assert began <= now <= time.time_ns() // 1_000


async def test_it_is_asked_again_once_this_machine_s_clock_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyS3() as server:
        async with opened(server) as stores:
            await stores.backend.now()
            monkeypatch.setattr(clock, "clock", lambda: time.time_ns() // 1_000 + 2 * HOUR * SECOND)
            with server.counted() as made:
                now = await stores.backend.now()
            assert abs(now / SECOND - time.time()) < 2
            assert len(made) == 3


async def test_a_machine_that_is_an_hour_ahead_takes_nobody_s_task(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultyS3() as server:
        async with opened(server) as stores, opened(server) as hasty:
            await stores.tasks.save(stowfast.TaskState(task_id="t"))
            lease = await stores.tasks.claim("t", "here", timedelta(minutes=10))
            assert abs(lease.expires_at - datetime.now(UTC) - timedelta(minutes=10)) < timedelta(seconds=2)
            monkeypatch.setattr(clock, "clock", lambda: time.time_ns() // 1_000 + HOUR * SECOND)
            with pytest.raises(stowfast.ConflictError) as refused:
                await hasty.tasks.claim("t", "an hour ahead", timedelta(minutes=10))
            assert (refused.value.owner, refused.value.until) == ("here", lease.expires_at)
            assert await hasty.tasks.claim_next("an hour ahead", timedelta(minutes=10)) is None


async def test_a_real_server_tells_the_time(s3_server: S3Server) -> None:
    async with stowfast.open(s3_server.url()) as stores:
        assert abs((await stores.backend.now()) / SECOND - time.time()) < 5


async def test_a_clock_that_is_ahead_ends_no_stream() -> None:
    behind = {"seconds": 400 * DAY}  # as a store sees a machine whose clock is 400 days ahead
    with FaultyS3(clock=lambda: time.time() - behind["seconds"]) as server:
        expires_at = int((time.time() - 370 * DAY) * SECOND)  # in 30 days by the store
        async with opened(server) as stores:
            backend = stores.backend
            await backend.commit("messages/c", Change([b"{}"] * 3, expires_at=expires_at))
            await backend.commit("messages/d", Change([b"{}"], expires_at=int((time.time() - 401 * DAY) * SECOND)))
        async with opened(server) as stores:
            backend = stores.backend
            assert len((await backend.read("messages/c")).entries) == 3
            assert (await backend.commit("messages/c", Change([b"{}"]))).first == 3
            assert [one.name for one in (await backend.streams(Query("messages/"))).streams] == ["messages/c"]
            head, gone = await backend.heads(["messages/c", "messages/d"])
            assert head is not None
            assert gone is None
            assert not await backend.wait("messages/c", incarnation=head.incarnation, next=4, timeout=0.1)
            assert (await backend.sweep()).streams == 1
            assert (await backend.heads(["messages/c"]))[0] is not None
        behind["seconds"] = 300 * DAY
        async with opened(server) as stores:
            assert (await stores.backend.sweep()).streams == 1
            assert await stores.backend.heads(["messages/c"]) == [None]


async def test_the_store_is_asked_for_the_time_only_once_a_stream_has_expired_here() -> None:
    with FaultyS3() as server:
        async with opened(server) as stores:
            backend = stores.backend
            await backend.commit("s/a", Change([b""], expires_at=int((time.time() + DAY) * SECOND)))
            await backend.commit("s/b", Change([b""], expires_at=int((time.time() - DAY) * SECOND)))
            with server.counted() as made:
                await backend.read("s/a")
                await backend.commit("s/a", Change([b""]))
            assert [record.operation for record in made] == ["GET", "PUT"]
            with server.counted() as made:
                for _ in range(3):
                    assert (await backend.read("s/b")).head is None
            assert [record.operation for record in made] == ["GET", "PUT", "LIST", "DELETE", "GET", "GET"]


async def test_who_may_only_read_judges_expiry_by_this_machine_s_clock() -> None:
    with FaultyS3() as server:
        async with opened(server) as stores:
            await stores.backend.commit("s/b", Change([b""], expires_at=int((time.time() + 0.01) * SECOND)))
        async with opened(server) as stores:
            server.fail(Fault.DENIED, operation="PUT", times=None)
            await asyncio.sleep(0.02)
            assert (await stores.backend.read("s/b")).head is None


@pytest.mark.parametrize("ahead", [-HOUR, HOUR])
async def test_a_ttl_counts_by_the_clock_of_the_store(ahead: int) -> None:
    with FaultyS3(clock=lambda: time.time() + ahead) as server:
        async with opened(server) as stores:
            with server.counted() as made:
                for _ in range(3):
                    await stores.backend.commit("s/a", Change([b""], ttl=600 * SECOND))
            asked = [record.operation for record in made if record.keys[0].startswith("clock/")]
            assert asked == ["PUT", "LIST", "DELETE"]  # once
            (head,) = await stores.backend.heads(["s/a"])
    assert abs(head.expires_at / SECOND - (time.time() + ahead + 600)) < 3


async def test_a_ttl_of_a_machine_that_is_ahead_ends_in_time() -> None:
    passed = {"seconds": 0}
    with FaultyS3(clock=lambda: time.time() - HOUR + passed["seconds"]) as server:
        async with opened(server) as stores:
            await stores.documents.put("d", 1, ttl=timedelta(minutes=10))
        for passed["seconds"], there in ((540, True), (660, False)):
            async with opened(server) as stores:
                assert (await stores.documents.get("d") is not None) is there
