"""Fixtures of the adapters' tests: each backend by an unused URL."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.frameworks.counted import CountedBucket
from tests.frameworks.losing import FAULTS, LosingBucket
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLACES = os.environ.get("STOWFAST_PLACES", "memory sqlite postgres s3").split()
DURABLE = [one for one in PLACES if one != "memory"]


def url_of(place: str, request: pytest.FixtureRequest, folder: Path) -> str:
    match place:
        case "memory":
            return "memory:"
        case "sqlite":
            return f"sqlite:///{folder}/{uuid.uuid4().hex}.db"
        case "postgres":
            return str(request.getfixturevalue("postgres_server").url())
        case "s3":
            return str(request.getfixturevalue("s3_server").url())
    raise ValueError(place)


@pytest.fixture(params=PLACES)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new place in each backend."""
    return url_of(request.param, request, tmp_path)


@pytest.fixture(params=DURABLE)
def durable_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The same for the backends of many processes."""
    return url_of(request.param, request, tmp_path)


@contextmanager
def place_of(place: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """Yield a new place, or a bucket with faults in a tenth of its requests."""
    if place != "faulty-s3":
        yield url_of(place, request, folder)
        return
    with FaultyS3() as server, server.chaos(1, 0.1, FAULTS):
        yield LosingBucket(server, FAULTS[0]).url


@pytest.fixture(params=[*DURABLE, "faulty-s3"])
def shared_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The same for processes that race or are killed, and a faulty bucket."""
    with place_of(request.param, request, tmp_path) as url:
        yield url


@pytest.fixture(params=[*PLACES, "faulty-s3"])
def every_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A new place in each backend, and a faulty bucket."""
    with place_of(request.param, request, tmp_path) as url:
        yield url


@pytest.fixture(params=FAULTS, ids=lambda fault: fault.name)
def losing_bucket(request: pytest.FixtureRequest) -> Iterator[LosingBucket]:
    """A bucket that loses answers, in each way."""
    with FaultyS3() as server:
        yield LosingBucket(server, request.param)


@pytest.fixture
def counted_bucket() -> Iterator[CountedBucket]:
    """A bucket that counts its requests."""
    with FaultyS3() as server:
        yield CountedBucket(server)
