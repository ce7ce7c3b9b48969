"""Options of the URL in requests: encryption, storage class, and the time of a connection."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.protocol.requests import ABSENT, Put
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services.faulty_s3.server import Record

KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234"
WRITES = {"PUT", "MULTIPART_CREATE"}
LARGE = "x" * 200_000


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


async def writes(server: FaultyS3, **options: str) -> dict[str, list[Record]]:
    """All objects of messages and artifacts, small and large: heads, segments, blobs, uploads in parts."""
    url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
    async with stowfast.open("&".join([url, *(f"{name}={value}" for name, value in options.items())])) as stores:
        await stores.messages.add_messages("c", [{"text": LARGE}] * 4)
        await stores.messages.add_message("c", {})
        for name, size in (("blob", 100_000), ("parts", 9 * 2**20)):
            await stores.artifacts.create(stowfast.Artifact(artifact_id=name, content=bytes(size)))
            found = await stores.artifacts.get(name)
            assert found is not None
            assert len(found.content) == size
        assert await stores.messages.count("c") == 5
    made: dict[str, list[Record]] = {}
    for record in server.requests:
        if record.operation in WRITES:
            made.setdefault(_kind(record), []).append(record)
    assert made.keys() >= {"head", "segment", "blob", "upload"}
    return made


def _kind(record: Record) -> str:
    if record.operation == "MULTIPART_CREATE":
        return "upload"
    if not record.key.startswith("d/"):
        return record.key.partition("/")[0].replace("h", "head")
    return "blob" if "/b/" in record.key else "segment"


async def test_everything_is_encrypted_with_the_key_that_was_given(server: FaultyS3) -> None:
    made = await writes(server, sse_kms_key_id=KEY)
    for kind, records in made.items():
        for record in records:
            assert record.headers.get("x-amz-server-side-encryption") == "aws:kms", kind
            assert record.headers.get("x-amz-server-side-encryption-aws-kms-key-id") == KEY, kind
    assert all(record.conditions for record in made["head"])


async def test_without_a_key_the_bucket_decides(server: FaultyS3) -> None:
    made = await writes(server)
    assert [record for records in made.values() for record in records if "kms" in str(record.headers)] == []


async def test_heads_keep_the_bucket_s_storage_class_and_all_else_has_the_one_that_was_given(server: FaultyS3) -> None:
    made = await writes(server, storage_class="STANDARD_IA")
    told = {kind: {one.headers.get("x-amz-storage-class") for one in records} for kind, records in made.items()}
    assert told["head"] == {None}
    assert [told[kind] for kind in ("segment", "blob", "upload")] == [{"STANDARD_IA"}] * 3


@pytest.fixture
def nobody_accepts() -> Iterator[str]:
    """The address of a port whose queue is full: a connection is neither made nor refused."""
    with ExitStack() as stack:
        listening = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(8):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(listening.getsockname())
        with socket.socket() as late:
            late.settimeout(0.2)
            if late.connect_ex(listening.getsockname()) == 0:
                pytest.skip("this system lets everybody wait in a full queue as if it were connected")
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize("patience", [0.3, 2.0])
def test_a_connection_may_take_as_long_as_it_was_given(nobody_accepts: str, patience: float) -> None:
    store = open_store("s3://bucket", endpoint_url=nobody_accepts, anonymous=True, connect_timeout=patience)
    try:
        began = time.monotonic()
        assert store.perform(Put("h/a", b"1", ABSENT)) is None  # a request that is made once
        assert patience <= time.monotonic() - began < 4.5  # unasked, it would be five seconds
    finally:
        store.close()
