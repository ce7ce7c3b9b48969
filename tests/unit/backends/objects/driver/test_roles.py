"""Credentials of a machine's role: requests are signed with them, and with new ones before their end."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import InvalidError
from tests.services.faulty_s3.server import FaultyS3
from tests.services.roles import RoleServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTAINER = "let-this-container-in"
AMAZON = "http://s3.us-east-1.amazonaws.com"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for variable in list(os.environ):
        if variable.startswith("AWS_") or variable.lower().endswith("_proxy"):
            monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


@pytest.fixture
def role() -> Iterator[RoleServer]:
    with RoleServer(authorization=CONTAINER) as role:
        yield role


@pytest.fixture
def in_a_container(role: RoleServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As Amazon's EKS starts one."""
    (tmp_path / "authorization").write_text(role.authorization)
    monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"{role.endpoint}/container")
    monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", str(tmp_path / "authorization"))


def signed_with(server: FaultyS3) -> list[tuple[str, str]]:
    """The key and the token of each request's signature."""
    return [
        (
            record.headers["authorization"].partition("Credential=")[2].partition("/")[0],
            record.headers["x-amz-security-token"],
        )
        for record in server.requests
    ]


@pytest.mark.usefixtures("in_a_container")
async def test_a_container_s_role_signs_every_request(server: FaultyS3, role: RoleServer) -> None:
    async with stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}") as stores:
        await stores.messages.add_message("c", {"n": 0})
        assert await stores.messages.get_messages("c") == [{"n": 0}]
        await stores.artifacts.create(stowfast.Artifact(artifact_id="a", content=bytes(9 * 2**20)))
        await stores.sweep()
    given = {(f"role-{number}", f"token-{number}") for number in range(1, role.given + 1)}
    assert set(signed_with(server)) <= given
    assert set(role.asked) == {"GET /container"}
    assert role.given <= 3  # each driver keeps what it was given


@pytest.mark.usefixtures("in_a_container")
async def test_what_a_role_was_given_is_renewed_before_its_end(server: FaultyS3, role: RoleServer) -> None:
    role.lasting = timedelta(minutes=1)
    server.latency = 0.02
    async with stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}") as stores:
        written = 0
        while role.given < 5 and written < 500:
            await stores.messages.add_message("c", {"n": written})
            written += 1
        assert await stores.messages.count("c") == written
    keys = [key for key, _ in signed_with(server)]
    assert {"role-3", "role-4"} <= set(keys)
    assert keys[-1] not in {"role-1", "role-2"}


@pytest.mark.usefixtures("in_a_container")
async def test_what_is_given_goes_before_the_role(server: FaultyS3, role: RoleServer) -> None:
    keys = {"access_key_id": "given", "secret_access_key": "s3cr3t", "session_token": "of-given"}
    async with stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}", **keys) as stores:
        await stores.messages.add_message("c", {"n": 0})
    assert set(signed_with(server)) == {("given", "of-given")}
    assert role.asked == []


@pytest.mark.usefixtures("in_a_container")
async def test_a_role_that_is_refused_is_said_with_what_to_do(server: FaultyS3, role: RoleServer) -> None:
    role.authorization = "another"
    with pytest.raises(InvalidError, match="the machine's role") as caught:
        await stowfast.open(f"s3://bucket?endpoint_url={server.endpoint}", timeout=1)
    assert CONTAINER not in f"{caught.value}{caught.value.__cause__}"
    assert server.requests == []


async def test_a_machine_s_role_signs_every_request(
    server: FaultyS3, role: RoleServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", role.endpoint)
    monkeypatch.setenv("HTTP_PROXY", server.endpoint)  # only Amazon's own address makes the driver ask the machine
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    async with stowfast.open(f"s3://bucket?endpoint_url={AMAZON}&path_style=true") as stores:
        await stores.messages.add_message("c", {"n": 0})
        assert await stores.messages.get_messages("c") == [{"n": 0}]
    assert {key for key, _ in signed_with(server)} <= {f"role-{number}" for number in range(1, role.given + 1)}
    assert "PUT /latest/api/token" in role.asked
    assert role.given <= 3
