"""Between the program and the store: certificates, proxies, login pages, redirects. Each error names its remedy."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import InvalidError, StowfastError, UnavailableError
from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.driver.transfers import Upload
from stowfast.backends.objects.protocol.requests import ABSENT, Delete, Get, List, Put
from tests.services.certificates import Certificate, make_certificate, serving
from tests.services.faulty_s3.server import Fault, FaultyS3
from tests.services.roles import RoleServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from stowfast.backends.objects.driver.store import BucketClient

with_openssl = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
DEAD = "http://user:s3cr3t-of-a-proxy@127.0.0.1:9"
REQUESTS = [
    Get("h/a"), Get("h/a", start=1), Get("h/a", start=1, stop=3), Put("d/b", b"1"), List("h/"), Delete(("h/a",)),
    Delete(("h/a", "h/b")),
]  # fmt: skip


def open_at(endpoint: str, *, timeout: float = 3, **options: Any) -> BucketClient:
    return open_store("s3://bucket", endpoint_url=endpoint, anonymous=True, timeout=timeout, **options)


def failure(endpoint: str, **options: Any) -> StowfastError:
    store = open_at(endpoint, **options)
    with pytest.raises(StowfastError) as caught:
        store.perform(Get("a"))
    store.close()
    return caught.value


class Scene:
    """An authority, another one, and a server's certificate."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ours = make_certificate(folder, "ours", authority=True)
        self.other = make_certificate(folder, "other", authority=True)

    def make(self, name: str, **options: Any) -> Certificate:
        return make_certificate(self.folder, name, issuer=self.ours, **options)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@with_openssl
async def test_a_server_with_a_certificate_of_our_authority_is_trusted(scene: Scene) -> None:
    with FaultyS3(tls=serving(scene.make("server"))) as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&ca_bundle={scene.ours.file}"
        async with stowfast.open(url) as stores:
            await stores.messages.add_message("c", {"n": 1})
            assert await stores.messages.get_messages("c") == [{"n": 1}]


CASES: dict[str, tuple[Callable[[Scene], Certificate], Callable[[Scene], Certificate | None], str]] = {
    "unknown root": (lambda s: s.make("server"), lambda _: None, "certificate with ca_bundle= (UnknownIssuer)"),
    "wrong bundle": (lambda s: s.make("server"), lambda s: s.other, "with ca_bundle= (UnknownIssuer)"),
    "wrong host": (
        lambda s: s.make("server", host="DNS:example.org"), lambda s: s.ours,
        "for another host: correct endpoint_url=, or the server's certificate; no ca_bundle= helps (NotValidForName)",
    ),
    "an authority's": (
        lambda s: make_certificate(s.folder, "alone", authority=True),
        lambda s: Certificate(s.folder / "alone.pem", s.folder / "alone.key"),
        "give the authority's with ca_bundle= (CaUsedAsEndEntity)",
    ),
    "over": (
        lambda s: s.make("server", days=-1), lambda s: s.ours,
        "over, or this machine's clock is wrong; no ca_bundle= helps (Expired)",
    ),
}  # fmt: skip


@with_openssl
@pytest.mark.parametrize("case", CASES)
def test_a_certificate_that_is_refused_is_an_invalid_error_with_the_remedy(case: str, scene: Scene) -> None:
    served, trusted, says = CASES[case]
    with FaultyS3(tls=serving(served(scene))) as server:
        bundle = trusted(scene)
        error = failure(server.endpoint, **({"ca_bundle": str(bundle.file)} if bundle else {}))
    assert isinstance(error, InvalidError)
    assert str(error).endswith(says)


def test_a_server_without_tls_is_named() -> None:
    with RoleServer() as server:  # it answers in plain text
        error = failure(server.endpoint.replace("http:", "https:"))
    assert isinstance(error, InvalidError)
    assert "does not speak TLS: write http: instead of https: in endpoint_url=" in str(error)


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.mark.parametrize(
    ("variable", "endpoint"),
    [
        ("HTTP_PROXY", "http://127.0.0.1:1"),
        ("http_proxy", "http://127.0.0.1:1"),
        ("HTTPS_PROXY", "https://127.0.0.1:1"),
        ("ALL_PROXY", "http://127.0.0.1:1"),
    ],
)
def test_a_dead_proxy_is_named_without_its_password(
    variable: str, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, DEAD)
    error = failure(endpoint)
    assert isinstance(error, UnavailableError)
    assert f"at {endpoint} through the proxy of {variable}: GET a: cannot connect (Connection refused)" in str(error)
    assert "s3cr3t" not in f"{error} {error.__cause__}"
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert "proxy" not in str(failure(endpoint))


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
@pytest.mark.parametrize(
    ("fault", "says"),
    [(Fault.PORTAL, "not that of an object store: the login page"), (Fault.REDIRECTED, "redirected")],
    ids=["portal", "redirect"],
)
def test_a_login_page_and_a_redirect_pass(server: FaultyS3, fault: Fault, says: str, request_: Get) -> None:
    store = open_at(server.endpoint, timeout=1.5)  # a third of it is the time of an answer, on a busy machine too
    server.put("h/a", b"12345")
    server.fail(fault, times=None)
    with pytest.raises(UnavailableError, match=says):
        store.perform(request_)
    assert store.perform(Put("h/b", b"1", ABSENT)) is None  # no proof of anything: it will be read back
    with pytest.raises(UnavailableError, match=says), Upload(store, "d/x") as upload:  # noqa: PT012 - wherever it ends
        for _ in range(10):
            upload.write(bytes(2**20))
    store.close()


@pytest.mark.parametrize("fault", [Fault.PORTAL, Fault.REDIRECTED])
async def test_a_login_page_in_the_middle_tells_no_untruth(server: FaultyS3, fault: Fault) -> None:
    url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&timeout=3"
    async with stowfast.open(url) as stores:
        await stores.messages.add_message("c", {"n": 0})
        await stores.artifacts.create(stowfast.Artifact(artifact_id="a", content=bytes(100_000)))
    async with stowfast.open(url) as stores:
        server.fail(fault, times=None)
        for call in (
            stores.messages.get_messages("c"), stores.messages.contexts(), stores.artifacts.get("a"),
            stores.messages.add_message("c", {"n": 1}), stores.sweep(),
        ):  # fmt: skip
            with pytest.raises(UnavailableError):
                await call
        server.heal()
        assert await stores.messages.get_messages("c") == [{"n": 0}]
        assert [one.context_id for one in (await stores.messages.contexts()).items] == ["c"]
        found = await stores.artifacts.get("a")
        assert found is not None
        assert found.content == bytes(100_000)


@pytest.mark.parametrize("fault", [Fault.PORTAL, Fault.ERROR_IN_OK])
@pytest.mark.parametrize(("keys", "first"), [(3, 0), (1_000, 1), (1_100, 0), (1_100, 1), (2_000, 2)])
def test_one_login_page_in_place_of_an_answer_cuts_no_listing(
    server: FaultyS3, fault: Fault, keys: int, first: int
) -> None:
    names = [f"h/{number:04}" for number in range(keys)]
    for name in names:
        server.put(name, b"1")
    store = open_at(server.endpoint)
    server.fail(fault, operation="LIST", skip=first)
    assert [item.key for item in store.perform(List("h/")).items] == names
    store.close()


async def test_an_opening_behind_a_login_page_says_so(server: FaultyS3) -> None:
    server.fail(Fault.PORTAL, times=None)
    with pytest.raises(
        UnavailableError, match=r"the login page of a network or a proxy is in between, or endpoint_url="
    ):
        await stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true&timeout=3")
