"""A slow body: every request ends within its bound, and a large body on a slow line comes through."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import UnavailableError
from stowfast.backends.objects.driver import bodies
from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.driver.transfers import Upload, download
from stowfast.backends.objects.protocol.requests import ABSENT, Delete, Get, List, Put
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stowfast.backends.objects.driver.store import BucketClient

TIMEOUT = 1.5
BOUND = 3 * TIMEOUT
"""Seconds: an attempt may begin when two thirds of the timeout are over, and take as long as the timeout."""
BODY = bytes(range(256)) * 400


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture
def store(server: FaultyS3) -> Iterator[BucketClient]:
    store = open_store("s3://bucket", endpoint_url=server.endpoint, anonymous=True, timeout=TIMEOUT)
    yield store
    store.close()


@pytest.mark.parametrize(
    "request_",
    [Get("d/a"), Get("d/a", start=5), Get("d/a", start=5, stop=200), Get("h/none"), List("d/"), Delete(("d/a", "d/b"))],
    ids=["GET", "GET from", "GET range", "GET of none", "LIST", "DELETE"],
)
def test_a_request_whose_answer_drips_ends_in_time(server: FaultyS3, store: BucketClient, request_: Get) -> None:
    server.put("d/a", BODY)
    server.put("d/b", BODY)
    server.fail(Fault.DRIP, times=None)
    began = time.monotonic()
    with pytest.raises(UnavailableError):
        store.perform(request_)
    assert time.monotonic() - began < BOUND


def test_a_refused_write_whose_answer_drips_ends_in_time(server: FaultyS3, store: BucketClient) -> None:
    server.put("h/a", BODY)
    server.fail(Fault.DRIP, times=None)
    began = time.monotonic()
    assert store.perform(Put("h/a", b"1", ABSENT)) is None
    assert time.monotonic() - began < BOUND


@pytest.mark.parametrize("piece", [0, 1])
def test_a_download_that_drips_ends_in_time(server: FaultyS3, store: BucketClient, piece: int) -> None:
    server.put("d/a", bytes(2**20))
    if piece:
        server.fail(Fault.TRUNCATE, operation="GET", where=0.05)
    server.fail(Fault.DRIP, operation="GET", times=None)
    began = time.monotonic()
    with pytest.raises(UnavailableError, match="less than 128 KiB a second: give a larger timeout="):
        for _ in download(store, "d/a") or ():
            pass
    assert time.monotonic() - began < BOUND


def test_an_upload_whose_answers_drip_ends_in_time(server: FaultyS3, store: BucketClient) -> None:
    server.fail(Fault.DRIP, operation="MULTIPART", times=None)
    began = time.monotonic()
    with pytest.raises(UnavailableError), Upload(store, "d/a") as upload:  # noqa: PT012 - wherever it ends
        for _ in range(20):
            upload.write(bytes(2**20))
    assert time.monotonic() - began < 3 * BOUND  # to begin it, to end it, to take it back


async def test_a_call_whose_answers_drip_ends_in_time(server: FaultyS3) -> None:
    url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&timeout={TIMEOUT}"
    async with stowfast.open(url) as stores:
        await stores.messages.add_message("c", {"text": "x"})
    async with stowfast.open(url) as stores:
        server.fail(Fault.DRIP, times=None)
        for call in (
            stores.messages.get_messages("c"), stores.messages.contexts(), stores.messages.add_message("c", {}),
            stores.sweep(),
        ):  # fmt: skip
            began = time.monotonic()
            with pytest.raises(UnavailableError):
                await call
            assert time.monotonic() - began < 2 * BOUND
        server.heal()
        assert await stores.messages.count("c") >= 1


def test_a_large_body_at_the_least_rate_comes_through(server: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    # An answer has a second, a third of this: a busy machine may take half of that for a byte.
    store = open_store("s3://bucket", endpoint_url=server.endpoint, anonymous=True, timeout=3)
    # A byte every fifth of a second is more than this rate. The driver ends each answer after a while; then the rest
    # is asked for.
    monkeypatch.setattr(bodies, "MIN_RATE", 4)
    server.put("d/a", BODY[:30])
    server.fail(Fault.DRIP, times=None)
    with server.counted() as made:
        assert b"".join(download(store, "d/a") or ()) == BODY[:30]
        assert store.perform(Get("d/a")).body == BODY[:30]
    ranges = [record.headers.get("range") for record in made]
    assert len(ranges) > 4
    assert len(set(ranges)) > 2
    store.close()


def test_a_slow_reader_is_no_slow_body(server: FaultyS3, store: BucketClient, monkeypatch: pytest.MonkeyPatch) -> None:
    server.put("d/a", bytes(6 * 2**20))
    clock = {"ahead": 0.0}
    monkeypatch.setattr(time, "monotonic", lambda real=time.monotonic: real() + clock["ahead"])
    pieces = download(store, "d/a")
    assert pieces is not None
    size = 0
    for piece in pieces:
        size += len(piece)
        clock["ahead"] += 3_600  # between the pieces
    assert size == 6 * 2**20
