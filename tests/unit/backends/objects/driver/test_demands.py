"""Buckets with demands on each request: without the option the error names it, with it all is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import stowfast
from tests.services.faulty_s3.server import FaultyS3, Quirks

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

KEY = "arn:aws:kms:eu-central-1:111122223333:key/1234"
LARGE = "x" * 200_000
NAMES = "server_side_encryption= or request_payer=true"

DEMANDS = {
    "AES256": (Quirks(demands_encryption="AES256"), "server_side_encryption=AES256", NAMES),
    "own key": (Quirks(demands_encryption="aws:kms"), "server_side_encryption=aws:kms", NAMES),
    "a key": (Quirks(demands_encryption="aws:kms", demands_kms_key=KEY), f"sse_kms_key_id={KEY}", NAMES),
    "two layers": (
        Quirks(demands_encryption="aws:kms:dsse", demands_kms_key=KEY),
        f"server_side_encryption=aws:kms:dsse&sse_kms_key_id={KEY}", NAMES,
    ),
    "Object Lock": (Quirks(demands_checksums=True), "checksum_algorithm=SHA256", "checksum_algorithm=SHA256"),
    "CRC": (Quirks(demands_checksums=True), "checksum_algorithm=CRC64NVME", "checksum_algorithm=SHA256"),
    "payer": (Quirks(requester_pays=True), "request_payer=true", NAMES),
    "all": (
        Quirks(demands_encryption="AES256", demands_checksums=True, requester_pays=True),
        "server_side_encryption=AES256&checksum_algorithm=SHA256&request_payer=true", NAMES,
    ),
}  # fmt: skip


def open_at(server: FaultyS3, *options: str) -> AbstractAsyncContextManager[stowfast.Stores]:
    keys = "access_key_id=me&secret_access_key=s3cr3t-of-the-tests"
    return stowfast.open("&".join([f"s3://bucket/p?endpoint_url={server.endpoint}&timeout=3&{keys}", *options]))


@pytest.mark.parametrize("demand", DEMANDS)
async def test_what_a_bucket_demands_is_an_option(demand: str) -> None:
    quirks, option, says = DEMANDS[demand]
    with FaultyS3(quirks) as server:
        with pytest.raises(stowfast.InvalidError, match=says):
            await open_at(server).__aenter__()
        assert server.objects == {}
        async with open_at(server, option) as stores:
            for number in range(6):  # heads and segments
                await stores.messages.add_message("c", {"n": number, "text": LARGE})
            for name, size in (("blob", 100_000), ("parts", 9 * 2**20)):
                await stores.artifacts.create(stowfast.Artifact(artifact_id=name, content=bytes(size)))
        async with open_at(server, option) as stores:
            assert [message["n"] for message in await stores.messages.get_messages("c")] == list(range(6))
            found = await stores.artifacts.get("parts")
            assert found is not None
            assert found.content == bytes(9 * 2**20)
            assert len((await stores.artifacts.list()).items) == 2
            await stores.messages.delete("c")
            await stores.artifacts.delete("parts")
            await stores.sweep()
        assert [key for key in server.objects if "messages/c/" in key] == []


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"server_side_encryption": "AES128"}, "server_side_encryption: it is AES256, aws:kms or aws:kms:dsse"),
        ({"checksum_algorithm": "MD5"}, "checksum_algorithm: it is SHA256 or CRC64NVME"),
        ({"request_payer": "me"}, "request_payer: it is true or false"),
        ({"server_side_encryption": "AES256", "sse_kms_key_id": KEY}, "sse_kms_key_id= is of KMS"),
    ],
)
async def test_a_demand_that_nobody_makes_is_refused(options: dict[str, str], says: str) -> None:
    with pytest.raises(stowfast.InvalidError, match=says):
        await stowfast.open("s3://bucket", anonymous=True, **options)
