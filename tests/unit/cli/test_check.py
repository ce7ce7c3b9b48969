"""Streams of a killed check are removed by a later one, and nothing else is."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.abc import Change, Query
from stowfast.cli import check
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services.postgres import PostgresServer

KILLED = """
import asyncio, os, signal, sys
from stowfast.cli import check

async def writes(make):
    async with make() as stores:
        for n in range(3):
            await stores.messages.add_message(f"c{n}", {})

async def dies(make):
    os.kill(os.getpid(), signal.SIGKILL)

check.groups = lambda: [((writes, dies), check.Stores)]
asyncio.run(check.check(sys.argv[1], print))
"""
USERS = ["check-0123456789abcdef/messages/mine", "check-notes", "check-notes/messages/mine", "messages/check-1"]
"""Streams of others, with names like those of a check: none has a mark that fits."""


@pytest.fixture(params=["s3", pytest.param("postgres", marks=pytest.mark.service)])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "postgres":
        postgres: PostgresServer = request.getfixturevalue("postgres_server")
        yield postgres.url()
        return
    with FaultyS3() as server:
        yield f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"


async def names(url: str) -> list[str]:
    async with stowfast.open(url) as stores:
        return sorted(one.name for one in (await stores.backend.streams(Query("", limit=1_000))).streams)


async def fill(url: str) -> None:
    async with stowfast.open(url) as stores:
        for name in USERS:
            await stores.backend.commit(name, Change([b"mine"]))


async def test_streams_of_a_killed_check_are_removed_by_one_an_hour_later(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(url)
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, url)
    assert await asyncio.wait_for(child.wait(), 60) == -signal.SIGKILL
    left = [name for name in await names(url) if name not in USERS]
    assert len(left) == 4
    monkeypatch.setattr(check, "groups", list)
    # It may run still: each clause renews its mark.
    report = await check.check(url, print)
    assert (report.removed, "killed" in report.traces) == (0, False)
    assert [name for name in await names(url) if name not in USERS] == left
    monkeypatch.setattr(check, "_ABANDONED", 0)
    report = await check.check(url, print)
    assert report.removed == 0
    assert "of a check that was killed: 3 streams" in report.traces
    assert await names(url) == sorted(USERS)


async def test_check_says_what_stays_in_postgresql(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "groups", list)
    traces = (await check.check(postgres_server.url(), print)).traces
    for said in ("stay for a day", "for a week", "until the next vacuum", "schema of its own"):
        assert said in traces
