"""The guard of the viewer: each rule of its table, asked for in the way of an attacker."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.backends.memory import MemoryBackend
from tests.unit.view.viewer import TOKEN, client

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import httpx


@pytest.fixture
async def reader() -> AsyncIterator[httpx.AsyncClient]:
    async with client(stowfast.Stores(MemoryBackend())) as found:
        yield found


@pytest.fixture
async def stranger() -> AsyncIterator[httpx.AsyncClient]:
    async with client(stowfast.Stores(MemoryBackend()), signed_in=False) as found:
        yield found


@pytest.mark.parametrize(
    "host",
    [
        *("evil.example", "127.0.0.1", "127.0.0.1:8001", "localhost.evil.example:8000", "127.0.0.1:8000.evil.example"),
        *("127.0.0.1:8000@evil.example", "0.0.0.0:8000", "[::]:8000", "127.0.0.2:8000", "", "LOCALHOST:8000"),
    ],
)
async def test_another_host_is_not_served(reader: httpx.AsyncClient, host: str) -> None:
    answer = await reader.get("/", headers={"host": host})
    assert answer.status_code == 421


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost:8000", "[::1]:8000"])
async def test_each_name_of_loopback_is_served(reader: httpx.AsyncClient, host: str) -> None:
    assert (await reader.get("/", headers={"host": host})).status_code == 200


async def test_two_hosts_are_not_served(reader: httpx.AsyncClient) -> None:
    answer = await reader.get("/", headers=[("host", "127.0.0.1:8000"), ("host", "evil.example")])
    assert answer.status_code == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "X"])
async def test_it_only_reads(reader: httpx.AsyncClient, method: str) -> None:
    answer = await reader.request(method, "/")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET, HEAD"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "x", ""])
async def test_a_request_of_another_site_is_refused(reader: httpx.AsyncClient, site: str) -> None:
    assert (await reader.get("/", headers={"sec-fetch-site": site})).status_code == 403


@pytest.mark.parametrize("site", ["none", "same-origin"])
async def test_a_request_of_the_reader_is_answered(reader: httpx.AsyncClient, site: str) -> None:
    assert (await reader.get("/", headers={"sec-fetch-site": site})).status_code == 200


@pytest.mark.parametrize("path", ["/", "/conversation?id=x", "/static/app.css", "/live?id=x", "/nothing", "/place"])
async def test_without_the_cookie_nothing_is_shown(stranger: httpx.AsyncClient, path: str) -> None:
    answer = await stranger.get(path)
    assert answer.status_code == 401
    assert "stowfast-8000" not in answer.cookies


@pytest.mark.parametrize("token", ["", "a", "a token of the test", "a token of the tests ", "ä", "%00"])
async def test_another_token_is_refused(stranger: httpx.AsyncClient, token: str) -> None:
    assert (await stranger.get("/", params={"token": token})).status_code == 401
    assert (await stranger.get("/", headers={"cookie": f"stowfast-8000={token!a}"})).status_code == 401


async def test_the_printed_address_becomes_a_cookie(stranger: httpx.AsyncClient) -> None:
    answer = await stranger.get("/", params={"token": TOKEN})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert (await stranger.get("/conversation?id=x", params={"token": TOKEN})).status_code != 303


@pytest.mark.parametrize("path", ["/", "/nothing", "/static/app.js", "/place"])
async def test_each_answer_has_the_policy(reader: httpx.AsyncClient, path: str) -> None:
    headers = (await reader.get(path)).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cache-control"] == "no-store"


async def test_a_refusal_has_the_policy_too(stranger: httpx.AsyncClient) -> None:
    assert (await stranger.get("/")).headers["x-content-type-options"] == "nosniff"
