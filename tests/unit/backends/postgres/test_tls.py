"""TLS to a real server: with the right CA it works, and otherwise an error names the remedy."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, NamedTuple

import pytest

import stowfast
from stowfast import InvalidError
from tests.services import postgres
from tests.services.certificates import Certificate, make_certificate

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.services.postgres import Postgres, PostgresServer


class TlsServer(NamedTuple):
    """A server that takes connections with TLS alone."""

    server: Postgres
    authority: Certificate
    other: Certificate
    """Signed nothing of this server."""

    def url(self, options: str, host: str = "127.0.0.1") -> str:
        return f"{self.server.endpoint}/postgres?schema=s{uuid.uuid4().hex}&{options}".replace("127.0.0.1", host)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsServer]:
    if lacks := postgres.missing():
        pytest.skip(lacks)
    folder: Path = tmp_path_factory.mktemp("tls")
    authority = make_certificate(folder, "authority", authority=True)
    other = make_certificate(folder, "other", authority=True)
    server = postgres.Postgres(folder)
    try:
        server.serve_tls(make_certificate(folder, "server", issuer=authority))
        server.start()
        rules = server.folder / "data" / "pg_hba.conf"
        rules.write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n", encoding="utf-8")
        postgres.PostgresServer(server.endpoint).run("SELECT pg_reload_conf()")
        yield TlsServer(server, authority, other)
    finally:
        server.remove()


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
async def test_each_connection_is_encrypted(tls: TlsServer, mode: str) -> None:
    name = uuid.uuid4().hex
    url = tls.url(f"sslmode={mode}&sslrootcert={tls.authority.file}&application_name={name}")
    async with stowfast.open(url) as stores:
        assert await stores.messages.add_message("c", {}) == 0
        assert await stores.messages.get_messages("c") == [{}]
        encrypted = postgres.PostgresServer(tls.server.endpoint).run(
            f"SELECT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = '{name}'"
        )
        assert len(encrypted) > 1
        assert set(encrypted) == {(True,)}


@pytest.mark.parametrize(
    ("options", "host", "remedy"),
    [
        ("sslmode=verify-full&sslrootcert={other}", "127.0.0.1", "the CA that signed its certificate as sslrootcert="),
        ("sslmode=verify-ca&sslrootcert={other}", "127.0.0.1", "the CA that signed its certificate as sslrootcert="),
        ("sslmode=verify-full&sslrootcert=/nowhere/ca.pem", "127.0.0.1", "sslrootcert="),
        ("sslmode=verify-full&sslrootcert={authority}", "localhost", "connect by a name of its certificate"),
        ("sslmode=disable", "127.0.0.1", "set sslmode=require or verify-full"),
    ],
)
async def test_a_refused_connection_names_its_remedy(tls: TlsServer, options: str, host: str, remedy: str) -> None:
    files = {"other": tls.other.file, "authority": tls.authority.file}
    with pytest.raises(InvalidError, match=remedy) as refused:
        await stowfast.open(tls.url(options.format(**files), host))
    assert "secret" not in str(refused.value)


async def open_often(url: str) -> None:
    for _ in range(100):  # the server reads its new certificate when it gets to it
        await (await stowfast.open(url)).close()


async def test_a_certificate_that_is_over_is_refused(tls: TlsServer, tmp_path: Path) -> None:
    url = tls.url(f"sslmode=verify-full&sslrootcert={tls.authority.file}&timeout=0")
    tls.server.serve_tls(make_certificate(tmp_path, "server", issuer=tls.authority, days=-1))
    server = postgres.PostgresServer(tls.server.endpoint)
    server.run("SELECT pg_reload_conf()")
    try:
        with pytest.raises(InvalidError, match="or renew its certificate"):
            await open_often(url)
    finally:
        tls.server.serve_tls(make_certificate(tmp_path, "renewed", issuer=tls.authority))
        server.run("SELECT pg_reload_conf()")


@pytest.mark.parametrize("mode", ["require", "verify-full"])
async def test_a_server_without_tls_is_said_so(postgres_server: PostgresServer, mode: str) -> None:
    if postgres_server.run("SHOW ssl") == [("on",)]:
        pytest.skip("the named server has TLS")
    with pytest.raises(InvalidError, match="ssl = on"):
        await stowfast.open(f"{postgres_server.url()}&sslmode={mode}")
