"""The requests of the viewer's page about a bucket, and of the commands that look at all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import moving
from stowfast.abc import Change, Query
from stowfast.findings import surveyed
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator

STREAMS = 600
KINDS = ("messages", "tasks", "documents")
READ = 50
"""Streams that a survey reads here."""


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def url_of(server: FaultyS3) -> str:
    return f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"


def requests(server: FaultyS3, began: int) -> tuple[int, int]:
    """Return the numbers of GETs and LISTs since so many requests."""
    made = [one.operation for one in server.requests[began:]]
    return made.count("GET"), made.count("LIST")


async def test_a_look_at_all_of_a_bucket_reads_no_head_that_an_index_has(server: FaultyS3) -> None:
    async with stowfast.open(url_of(server)) as stores:
        for kind in KINDS:
            changes = [(f"{kind}/{n}", Change([b'{"n":1}'])) for n in range(STREAMS // len(KINDS))]
            await stores.backend.commit_many(changes)
            # As a list of an application does.
            await stores.backend.streams(Query(f"{kind}/", order="recent", heads=True, limit=1_000))
    async with stowfast.open(f"{url_of(server)}&read_only=true") as stores:
        began = len(server.requests)
        found = await moving.statistics(stores)
        assert found.streams == dict.fromkeys(KINDS, STREAMS // len(KINDS))
        gets, lists = requests(server, began)
        assert gets <= 1 + len(KINDS) + 2, f"counts: {gets} GETs"
        assert lists <= 4
        began = len(server.requests)
        told = await surveyed(stores.backend, seconds=60, streams=READ)
        assert f"of {READ} streams" in told[-1].detail
        gets, lists = requests(server, began)
        assert gets <= READ + len(KINDS) + 2, f"a survey: {gets} GETs"
        assert lists <= 4
        began = len(server.requests)
        await stores.sweep(dry_run=True)
        gets, lists = requests(server, began)
        assert gets <= 4, f"a dry sweep: {gets} GETs"
        assert lists <= 6


async def test_a_place_without_an_index_costs_one_read_of_each_head(server: FaultyS3) -> None:
    async with stowfast.open(url_of(server)) as stores:
        await stores.backend.commit_many([(f"messages/{n}", Change([b"{}"])) for n in range(STREAMS)])
    async with stowfast.open(f"{url_of(server)}&read_only=true") as stores:
        began = len(server.requests)
        await moving.statistics(stores)
        assert requests(server, began)[0] <= STREAMS + 4


async def test_pages_of_all_streams_go_on_where_the_page_before_ended(server: FaultyS3) -> None:
    """A bucket of a million streams has a thousand pages: each lists its own part alone."""
    names = [f"{kind}/{n}" for kind in ("!a", "a", "a-b", "a.b", "aB", "messages", "tasks") for n in range(500)]
    async with stowfast.open(url_of(server)) as stores:
        await stores.backend.commit_many([(name, Change([b"{}"])) for name in names])

        async def listed() -> tuple[list[str], int]:
            """Return the names of all streams, in pages, and the number of LISTs."""
            found, after, began = list[str](), None, len(server.requests)
            while True:
                page = await stores.backend.streams(Query("", after=after, limit=499))
                found += [one.name for one in page.streams]
                if (after := page.after) is None:
                    return found, requests(server, began)[1]

        found, lists = await listed()
        assert found == sorted(names)
        assert lists <= 2 * 8, f"8 pages: {lists} LISTs, of them one each for streams without a kind"
        for odd in ("zzz", "0", "  ", f"messages/{'x' * 300}"):  # lies apart from its name
            await stores.backend.commit(odd, Change([b"{}"]))
            names.append(odd)
            assert (await listed())[0] == sorted(names)
