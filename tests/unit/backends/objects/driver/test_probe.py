"""The self-test of an object store: accepted stores, refused stores, and failed connections, told apart."""

from __future__ import annotations

import secrets
import warnings
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

import stowfast
from stowfast import InvalidError, UnavailableError, UnsupportedError
from stowfast.backends.objects.driver import probe as probe_module
from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.driver.probe import probe, self_test
from stowfast.backends.objects.driver.race import Raced, race
from stowfast.backends.objects.protocol.requests import ABSENT, Delete, Get, Put
from tests.services.faulty_s3.server import Fault, FaultyS3, Quirks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from stowfast.backends.objects.driver.store import BucketClient
    from tests.services.s3 import S3Server

    Opener = Callable[..., BucketClient]


@pytest.fixture(autouse=True)
def nobody_has_passed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_module, "_passed", {})
    monkeypatch.setattr(probe_module, "_LONGEST_PAUSE", 0.02)


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture
def opener(server: FaultyS3) -> Iterator[Opener]:
    opened: list[BucketClient] = []

    def make(**options: Any) -> BucketClient:
        keys = {"endpoint_url": server.endpoint, "access_key_id": "me", "secret_access_key": "s3cr3t", "timeout": 2}
        opened.append(open_store("s3://bucket/below", **(keys | options)))
        return opened[-1]

    yield make
    for store in opened:
        store.close()


@pytest.fixture
def store(opener: Opener) -> BucketClient:
    return opener()


@pytest.mark.parametrize("form", ["quoted", "unquoted", "either"])
def test_a_store_that_keeps_its_word_passes_and_its_form_of_etags_is_known(
    form: Any, store: BucketClient, server: FaultyS3
) -> None:
    server.quirks.etag_form = form
    with server.counted() as made:
        self_test(store)
    assert len(made) <= 16
    assert store.bare_etags == (form == "unquoted")
    token = store.perform(Put("h/a", b"1", ABSENT))
    assert store.perform(Put("h/a", b"2", token)) is not None
    assert list(server.objects) == ["below/h/a"]


@pytest.mark.parametrize(
    ("quirks", "says"),
    [
        ({"ignores_conditions": True}, "ignores If-None-Match: two writers"),
        ({"ignores_if_none_match": True}, "ignores If-None-Match: two writers"),
        ({"ignores_if_match": True}, "ignores If-Match: two writers"),
        ({"if_match_on_missing_succeeds": True}, "creates a key with If-Match where there is none"),
        ({"ignores_ranges": True}, "Range"),
        ({"shifts_ranges": True}, "does not send the part of an object that it was asked for"),
        ({"ignores_if_none_match_on_get": True}, "ignores If-None-Match where a key is read"),
        ({"tells_other_etags": True}, "one ETag when a key is written and another when it is read"),
        ({"stale_reads": True}, "does not show what was just written"),
    ],
)
def test_a_store_that_breaks_its_word_is_refused_by_what_it_does(
    quirks: dict[str, bool], says: str, store: BucketClient, server: FaultyS3
) -> None:
    server.quirks = Quirks(**quirks)  # type: ignore[arg-type]
    for _ in range(2):  # who was refused is not let in the next time
        server._buckets["bucket"].quirks = server.quirks
        with pytest.raises(UnsupportedError, match=says) as caught:
            self_test(store)
        assert "s3://bucket/below" in str(caught.value)
        assert server.endpoint in str(caught.value)
    assert server.objects == {}


def test_one_lost_answer_is_not_taken_for_a_refusal(store: BucketClient, server: FaultyS3) -> None:
    server.quirks.ignores_if_none_match = True
    server.fail(Fault.CLOSE, operation="PUT", skip=1)
    with pytest.raises(UnsupportedError, match="ignores If-None-Match"):
        self_test(store)


def test_a_store_that_takes_no_conditions_at_all_is_refused(store: BucketClient, server: FaultyS3) -> None:
    conditional = server.fail(Fault.PRECONDITION, operation="PUT", times=None)
    conditional.key = lambda _: bool(server.requests[-1].conditions)
    with pytest.raises(UnsupportedError, match="takes no PUT with If-None-Match"):
        self_test(store)
    conditional.key = lambda _: "if-match" in server.requests[-1].conditions
    with pytest.raises(UnsupportedError, match="takes no PUT with If-Match"):
        self_test(store)
    assert server.objects == {}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("form", ["quoted", "unquoted", "either"])
def test_a_store_in_trouble_is_not_taken_for_one_that_breaks_its_word(
    form: Any, seed: int, store: BucketClient, server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: f"of-{seed}")  # the faults are drawn by key
    server.quirks.etag_form = form
    with server.chaos(seed, 0.25):
        self_test(store)
    if form != "either":
        assert store.bare_etags == (form == "unquoted")


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("quirk", ["ignores_conditions", "ignores_if_match", "if_match_on_missing_succeeds"])
def test_trouble_does_not_hide_that_a_store_breaks_its_word(
    quirk: str, seed: int, store: BucketClient, server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: f"of-{seed}")
    setattr(server.quirks, quirk, True)
    with server.chaos(seed, 0.1), pytest.raises(UnsupportedError):
        self_test(store)


@pytest.mark.parametrize("fault", [Fault.SLOW_DOWN, Fault.CLOSE])
@pytest.mark.parametrize("operation", ["PUT", "GET", "DELETE"])
def test_no_answer_is_unavailable_and_not_unsupported(
    fault: Fault, operation: str, opener: Opener, server: FaultyS3
) -> None:
    server.fail(fault, operation=operation, times=None)
    with pytest.raises(UnavailableError):
        self_test(opener(timeout=0.3))


def test_a_place_that_is_not_there_is_unavailable(opener: Opener) -> None:
    with pytest.raises(UnavailableError, match="cannot connect"):
        self_test(opener(endpoint_url="http://127.0.0.1:1", timeout=0.3))


@pytest.mark.parametrize("operation", ["PUT", "GET", "DELETE"])
def test_what_is_not_allowed_is_said_and_not_called_unsupported(
    operation: str, store: BucketClient, server: FaultyS3
) -> None:
    server.fail(Fault.DENIED, operation=operation, times=None)
    with pytest.raises(InvalidError, match=operation):
        self_test(store)


def test_it_is_asked_once_in_a_process(opener: Opener, server: FaultyS3) -> None:
    server.quirks.etag_form = "unquoted"
    self_test(opener())
    with server.counted() as made:
        store = opener()
        self_test(store)
    assert made == []
    assert store.bare_etags


def test_a_bucket_that_keeps_versions_warns_once_and_says_what_to_do(opener: Opener, server: FaultyS3) -> None:
    server.quirks.versioned = True
    with pytest.warns(UserWarning, match=r"keeps old versions.*lifecycle rule"):
        self_test(opener())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        self_test(opener())


async def test_opening_a_bucket_that_keeps_versions_warns_and_works(server: FaultyS3) -> None:
    server.quirks.versioned = True
    url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
    with pytest.warns(UserWarning, match=r"keeps old versions.*lifecycle rule"):
        stores = await stowfast.open(url)
    async with stores:
        await stores.messages.add_message("c", {"n": 0})
        await stores.messages.add_message("c", {"n": 1})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        async with stowfast.open(url) as stores:
            assert await stores.messages.get_messages("c") == [{"n": 0}, {"n": 1}]


async def test_a_real_bucket_that_ignores_conditions_once_it_keeps_versions_is_refused(s3_server: S3Server) -> None:
    if s3_server.kind != "ceph":
        pytest.skip(f"it is Ceph 16 whose buckets with versions take any PUT with If-None-Match; this is {s3_server}")
    import boto3  # type: ignore[import-untyped]  # it brings no types

    name = f"versioned-{secrets.token_hex(4)}"
    with closing(boto3.client("s3", endpoint_url=s3_server.endpoint)) as client:
        client.create_bucket(Bucket=name)
        client.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
        with pytest.raises(UnsupportedError, match=r"ignores If-None-Match"):
            await stowfast.open(f"s3://{name}?{urlencode(s3_server.options)}")
        assert "Contents" not in client.list_objects_v2(Bucket=name)


def test_it_leaves_nothing_behind_when_it_is_interrupted_by_an_error(store: BucketClient) -> None:
    steps = probe("here", "id")
    assert isinstance(next(steps), Put)
    assert steps.throw(UnavailableError("lost")) == Delete(("probe/id", "probe/id-missing"))
    with pytest.raises(UnavailableError, match="lost"):
        steps.send(None)


# --- races


def run_race(store: BucketClient, rounds: int = 10) -> Raced:
    return store.run(race(secrets.token_hex(8), rounds=rounds))


def test_of_many_writers_one_wins_every_race(store: BucketClient, server: FaultyS3) -> None:
    assert run_race(store) == Raced(20, 0, 0, [])
    assert server.objects == {}


@pytest.mark.parametrize("quirk", ["ignores_if_none_match", "ignores_if_match"])
def test_a_race_that_two_have_won_is_told(quirk: str, store: BucketClient, server: FaultyS3) -> None:
    setattr(server.quirks, quirk, True)
    raced = run_race(store, 5)
    assert len(raced.broken) == 5
    assert "8 writers were told that they have won" in raced.broken[0]


def test_who_has_won_unsaid_is_found_by_reading_back(store: BucketClient, server: FaultyS3) -> None:
    server.fail(Fault.CLOSE, after=True, operation="PUT", times=None)
    assert run_race(store, 5) == Raced(10, 10, 0, [])


@pytest.mark.parametrize("seed", range(5))
def test_trouble_is_not_taken_for_two_winners(
    seed: int, store: BucketClient, server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.token_hex", lambda _: f"of-{seed}")  # the faults are drawn by key
    with server.chaos(seed, 0.3):
        raced = run_race(store, 4)
    assert (raced.races, raced.broken) == (8, [])


def test_a_race_that_nobody_can_win_ends(
    store: BucketClient, server: FaultyS3, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("stowfast.backends.objects.driver.race._BUSY", 0.0)
    server.fail(Fault.CONFLICT, operation="PUT", times=None)
    with pytest.raises(UnavailableError, match="none could"):
        run_race(store)
    assert store.perform(Get("probe/x")) is None
