"""A DELETE with a condition goes the driver's way: its certificates, its proxy, its credentials. It tells no secret."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.protocol.requests import ABSENT, Get, Put, Remove, Token
from tests.services.certificates import serving
from tests.services.faulty_s3.server import Fault, FaultyS3
from tests.unit.backends.objects.driver.test_networks import Scene, scene, with_openssl
from tests.unit.backends.objects.driver.test_roles import bare_environment, in_a_container, role

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stowfast.backends.objects.driver.store import BucketClient
    from tests.services.roles import RoleServer

__all__ = ["bare_environment", "in_a_container", "role", "scene"]

KEY = "h/messages/~c3~84!20b.2fc=_41!.sfh"  # all that is escaped in a URL


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def open_at(server: FaultyS3, **options: Any) -> BucketClient:
    keys = {} if options.pop("bare", False) else {"access_key_id": "the-key", "secret_access_key": "the-secret"}
    return open_store("s3://bucket/a folder/x", endpoint_url=server.endpoint, **{"timeout": 9, **keys, **options})


def written(store: BucketClient, body: bytes = b"1", condition: Any = ABSENT) -> Token:
    token = store.perform(Put(KEY, body, condition))
    assert isinstance(token, Token)
    return token


def keeps_its_condition(store: BucketClient) -> None:
    first = written(store)
    second = written(store, b"2", first)
    assert store.perform(Remove(KEY, first)) is None
    assert store.perform(Get(KEY)).body == b"2"
    assert store.perform(Remove(KEY, second)) is True
    assert store.perform(Get(KEY)) is None
    assert store.perform(Remove(KEY, second)) is None


def test_a_removal_keeps_its_condition(server: FaultyS3) -> None:
    store = open_at(server)
    keeps_its_condition(store)
    deleted = [one for one in server.requests if one.operation == "DELETE"]
    assert {one.keys for one in deleted} == {(f"a folder/x/{KEY}",)}
    assert all("authorization" not in one.headers for one in deleted)
    store.close()


@with_openssl
def test_it_trusts_the_certificates_of_the_driver(scene: Scene) -> None:
    with FaultyS3(tls=serving(scene.make("server"))) as server:
        store = open_at(server, ca_bundle=str(scene.ours.file))
        keeps_its_condition(store)
        token = written(store)
        store.close()
        other = open_at(server, ca_bundle=str(scene.other.file))
        assert other.remover is not None
        assert other.perform(Remove(KEY, token)) is None
        assert other.remover.refusal == "SSLCertVerificationError"
        other.close()
        assert server.objects


def test_it_goes_through_the_proxy_of_the_driver(server: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    token = written(open_at(server))
    monkeypatch.setenv("HTTP_PROXY", "http://user:s3cr3t-of-a-proxy@127.0.0.1:9")
    behind = open_at(server)
    assert behind.remover is not None
    assert behind.perform(Remove(KEY, token)) is None
    assert behind.remover.refusal == "ConnectionRefusedError"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert open_at(server).perform(Remove(KEY, token)) is True


@pytest.mark.usefixtures("in_a_container")
def test_it_is_signed_with_the_credentials_of_a_role(server: FaultyS3, role: RoleServer) -> None:
    keeps_its_condition(open_at(server, bare=True))
    assert role.given


@pytest.mark.parametrize("options", [{"anonymous": True, "bare": True}, {"request_payer": True}])
def test_without_a_signature_that_is_enough_nothing_is_sent(server: FaultyS3, options: dict[str, Any]) -> None:
    store = open_at(server, **options)
    token = written(store)
    assert store.remover is None
    with server.counted() as made:
        assert store.perform(Remove(KEY, token)) is None
    assert not made


@pytest.mark.parametrize(
    ("fault", "refusal"),
    [
        (Fault.DENIED, "403"), (Fault.INTERNAL, "500"), (Fault.REDIRECTED, "307"), (Fault.PORTAL, "200"),
        (Fault.CLOSE, "RemoteDisconnected"), (Fault.RESET, "ConnectionResetError"), (Fault.HANG, "TimeoutError"),
    ],
)  # fmt: skip
def test_what_is_no_yes_is_no_proof(server: FaultyS3, fault: Fault, refusal: str) -> None:
    store = open_at(server, timeout=3 if fault is Fault.HANG else 9)
    token = written(store)
    server.fail(fault, operation="DELETE")
    with server.counted() as made:
        assert store.perform(Remove(KEY, token)) is None
    assert len(made) == 1, "it is sent once, and follows no redirect"
    assert store.remover is not None
    assert store.remover.refusal == refusal
    assert "the-key" not in repr(vars(store.remover))
    assert server.objects


@pytest.mark.parametrize("e_tag", [None, '"a\r\nx-injected: 1"', '"\u00e9"'])
def test_an_etag_that_is_no_header_is_sent_to_nobody(server: FaultyS3, e_tag: str | None) -> None:
    store = open_at(server)
    with server.counted() as made:
        assert store.perform(Remove(KEY, Token(e_tag, None))) is None
    assert not made


def test_of_many_threads_one_removes_it(server: FaultyS3) -> None:
    store = open_at(server)
    token, barrier = written(store), threading.Barrier(16)

    def remove(_: int) -> bool | None:
        barrier.wait(10)
        return store.perform(Remove(KEY, token))  # type: ignore[no-any-return]

    with ThreadPoolExecutor(16) as threads:
        assert sorted(map(bool, threads.map(remove, range(16)))) == [False] * 15 + [True]
