"""The clock of a bucket: what machines whose own clocks differ agree on."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast.backends.objects import clock
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from tests.services.s3 import S3Server

HOUR = 3_600
SECOND = 10**6


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
