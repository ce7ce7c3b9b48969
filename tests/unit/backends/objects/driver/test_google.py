"""Google's side of the driver: conditions use generations there, and reads use ETags.

No stand-in for it can be had from a package index, so what differs is laid over the S3 server of these tests.
"""

from __future__ import annotations

import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from stowfast.backends.objects.driver import probe as probe_module
from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.driver.probe import self_test
from stowfast.backends.objects.driver.race import race
from stowfast.backends.objects.driver.transfers import Upload, download
from stowfast.backends.objects.protocol.requests import ABSENT, UNCHANGED, Delete, Get, List, Put
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stowfast.backends.objects.driver.store import BucketClient
    from tests.services.faulty_s3 import wire


class Google:
    """Answers as Google's XML interface does: a PUT obeys `x-goog-if-generation-match` and nothing else."""

    def __init__(self, server: FaultyS3) -> None:
        self._perform = server._perform
        self._generations: dict[str, str] = {}

    def __call__(self, request: wire.Request, record: wire.Record) -> wire.Answer:
        headers = dict(request.headers)
        if request.method == "PUT":
            headers.pop("if-match", None)
            headers.pop("if-none-match", None)
            wanted = headers.pop("x-goog-if-generation-match", None)
            if wanted == "0":
                headers["if-none-match"] = "*"
            elif wanted is not None:
                etags = [e_tag for e_tag, generation in self._generations.items() if generation == wanted]
                headers["if-match"] = etags[0] if etags else '"none"'
        answer = self._perform(replace(request, headers=headers), record)
        e_tag = next((value for name, value in answer.headers.items() if name.lower() == "etag"), None)
        if e_tag is None:
            return answer
        generation = self._generations.setdefault(e_tag, str(1_700_000_000_000_000 + len(self._generations)))
        return answer._replace(headers={**answer.headers, "x-goog-generation": generation})


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[BucketClient]:
    monkeypatch.setattr(probe_module, "_passed", {})
    with FaultyS3() as server:
        monkeypatch.setattr(server, "_perform", Google(server))
        store = open_store("gs://bucket/below", endpoint_url=server.endpoint, anonymous=True, timeout=2)
        yield store
        store.close()


def test_the_self_test_passes_and_does_not_warn_of_generations(store: BucketClient) -> None:
    self_test(store)
    assert not store.bare_etags
    assert store.pace > 1


def test_what_is_conditional_goes_by_the_generation(store: BucketClient) -> None:
    first = store.perform(Put("h/a", b"1", ABSENT))
    assert first.version is not None
    assert store.perform(Put("h/a", b"1", ABSENT)) is None
    second = store.perform(Put("h/a", b"2", first))
    assert store.perform(Put("h/a", b"3", first)) is None
    assert store.perform(Get("h/a")).token == second
    assert store.perform(Get("h/a", unless=second)) is UNCHANGED


def test_a_race_has_one_winner(store: BucketClient) -> None:
    raced = store.run(race(secrets.token_hex(4), rounds=2))
    assert (raced.races, raced.broken) == (4, [])


def test_keys_that_are_not_there_do_not_keep_others_from_being_removed(
    store: BucketClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("d/a", "d/b"):
        store.perform(Put(key, b"x"))
    remove: Any = __import__("obstore").delete

    def one_by_one(driver: object, keys: list[str]) -> None:  # Google says 404, where S3 says that all is well
        for key in keys:
            if store.perform(Get(key)) is None:
                raise FileNotFoundError("Server returned non-2xx status code: 404 Not Found")
            remove(driver, [key])

    monkeypatch.setattr("obstore.delete", one_by_one)
    store.perform(Delete(("d/none", "d/a", "d/none-2", "d/b")))
    assert store.perform(List("d/")).items == []


@pytest.mark.parametrize("size", [10, 9 * 2**20])
def test_a_large_object_goes_up_and_comes_down(size: int, store: BucketClient) -> None:
    with Upload(store, "d/blob") as upload:
        upload.write(bytes(size))
    assert b"".join(download(store, "d/blob") or ()) == bytes(size)
