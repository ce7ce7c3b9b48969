"""Stores other than Amazon's: the quirks of the faulty server, as obstore sees them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import obstore
import pytest
from obstore.exceptions import AlreadyExistsError, GenericError, PreconditionError

from tests.services.faulty_s3.clients import obstore_of, put, read
from tests.services.faulty_s3.server import FaultyS3, Quirks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from obstore.store import S3Store

NOWHERE = '"00000000000000000000000000000000"'


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture
def store(server: FaultyS3) -> S3Store:
    return obstore_of(server)


def test_times_may_be_whole_seconds() -> None:
    with FaultyS3(clock=lambda: 1_700_000_000.25) as server:
        store = obstore_of(server)
        put(store, "k", b"")
        assert obstore.list(store).collect()[0]["last_modified"].microsecond == 250_000
        server.quirks.whole_seconds = True
        assert obstore.list(store).collect()[0]["last_modified"].timestamp() == 1_700_000_000


def test_stores_that_lie_about_conditions() -> None:
    def outcomes(quirks: Quirks) -> list[bool]:
        """Whether these are written: a second create, an update from a wrong token, an update of nothing."""
        with FaultyS3(quirks) as server:
            store = obstore_of(server)
            put(store, "k", b"old")
            for attempt in [
                lambda: obstore.put(store, "k", b"create", mode="create"),
                lambda: put(store, "k", b"update", NOWHERE),
                lambda: put(store, "missing", b"update", NOWHERE),
            ]:
                try:
                    attempt()
                except (AlreadyExistsError, PreconditionError):
                    continue
            kept = server.history
            return [b"create" in kept["k"], b"update" in kept["k"], "missing" in kept]

    assert outcomes(Quirks()) == [False, False, False]
    assert outcomes(Quirks(ignores_conditions=True)) == [True, True, True]
    assert outcomes(Quirks(ignores_if_none_match=True)) == [True, False, False]
    assert outcomes(Quirks(ignores_if_match=True)) == [False, True, True]
    assert outcomes(Quirks(if_match_on_missing_succeeds=True)) == [False, False, True]


@pytest.mark.parametrize(("form", "quoted", "unquoted"), [("quoted", 1, 0), ("unquoted", 0, 1), ("either", 1, 1)])
def test_forms_of_an_etag(server: FaultyS3, store: S3Store, form: Any, quoted: int, unquoted: int) -> None:
    server.quirks.etag_form = form
    for bare, accepted in [(False, quoted), (True, unquoted)]:
        e_tag = put(store, "k", os.urandom(8))
        e_tag = e_tag.strip('"') if bare else e_tag
        if accepted:
            put(store, "k", b"new", e_tag)
        else:
            with pytest.raises(PreconditionError):
                put(store, "k", b"new", e_tag)


def test_stores_that_read_badly(server: FaultyS3, store: S3Store) -> None:
    server.quirks.stale_reads = True
    first = put(store, "k", b"1")
    with pytest.raises(FileNotFoundError):
        read(store, "k")
    assert obstore.list(store).collect() == []
    put(store, "k", b"22", first)  # a condition is about the truth
    assert (read(store, "k"), obstore.head(store, "k")["size"]) == (b"1", 1)
    server.quirks.stale_reads, server.quirks.ignores_ranges = False, True
    with pytest.raises(GenericError, match="partial"):
        obstore.get_range(store, "k", start=0, end=1)
