"""Sources in buckets, through our own driver: as in a folder, with its options, time limits and word on forks."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

import stowfast
from stowfast import InvalidError, UnavailableError, importing
from stowfast.abc import MAX_ENTRY_BYTES
from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.protocol.requests import Put
from stowfast.registry import find
from tests.services.certificates import make_certificate, serving
from tests.services.faulty_s3.server import Fault, FaultyS3
from tests.unit.importing.looopy_files import MESSAGES, made
from tests.unit.importing.sources import artifact_of

if TYPE_CHECKING:
    from pathlib import Path

    from stowfast.moving import Copied
    from tests.services.s3 import S3Server

FOUND = 8


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def fill(server: FaultyS3, folder: Path, prefix: str = "theirs") -> None:
    for key, body in files_of(folder).items():
        server.put(f"{prefix}/{key}", body)


def url_of(server: FaultyS3, more: str = "", prefix: str = "theirs") -> str:
    return f"s3://bucket/{prefix}?endpoint_url={server.endpoint}&timeout=1{more or '&anonymous=true'}"


async def imported(url: str, context: str = "a/good") -> Copied:
    async with stowfast.open("memory:") as stores:
        done = await importing.import_from("looopy", url, stores)
        assert await stores.messages.get_messages(context) == MESSAGES
        return done


@pytest.mark.parametrize("name", ["good", "a+b", "with space", "%2F", "ü😀", "a=b&c"])
async def test_a_bucket_has_what_a_folder_has(tmp_path: Path, s3_server: S3Server, name: str) -> None:
    home = made(tmp_path, name, agent=name)
    (home / "artifacts" / "text" / "content.txt").write_bytes(b"")
    url = s3_server.url().replace("?", "/a%2Bb+c?", 1)
    _, address, options = find(url)
    with closing(open_store(address, **options)) as store:
        for key, body in files_of(tmp_path).items():
            store.perform(Put(key, body))
        store.perform(Put("other program/x", b""))
    assert "/a+b+c" in str(store.place)
    for _ in range(2):
        async with stowfast.open("memory:") as stores, stowfast.open("memory:") as others:
            done = await importing.import_from("looopy", url, stores)
            same = await importing.import_from("looopy", str(tmp_path), others)
            assert (done.differences, done.streams, done.entries) == ([], same.streams, same.entries)
            assert done.streams == FOUND
            context = (await others.messages.contexts())[0].context_id
            assert await stores.messages.get_messages(context) == MESSAGES
            assert (await artifact_of(stores, f"{context}/text")).content == ""


async def test_our_own_options_are_taken_and_others_refused(tmp_path: Path) -> None:
    made(tmp_path / "theirs")
    authority = make_certificate(tmp_path, "authority", authority=True)
    certificate = make_certificate(tmp_path, "server", issuer=authority)
    with FaultyS3(tls=serving(certificate)) as server:
        fill(server, tmp_path / "theirs")
        keys = "&access_key_id=canary1&secret_access_key=ca+na/ry&region=eu-central-1&path_style=true&connect_timeout=2"
        done = await imported(url_of(server, f"{keys}&ca_bundle={quote(str(authority.file))}"))
        assert done.streams == FOUND
        with pytest.raises(InvalidError, match="ca_bundle="):
            await imported(url_of(server))
    for option in ("bucket=x", "aws_region=x", "secret_access_key=canary-2"):
        with pytest.raises(InvalidError, match=r"has no option|come together") as refused:
            await imported(f"s3://bucket/x?{option}")
        assert "canary" not in str(refused.value)


async def test_a_source_that_is_no_bucket_and_no_folder() -> None:
    for source in ("https://bucket.example/x", "postgresql://127.0.0.1:1/x", "sqlite:///x.db"):
        with pytest.raises(InvalidError, match=r"no backend has this scheme|a folder, or a URL"):
            await importing.import_from("strands", source, "memory:")


async def test_keys_of_other_programs_are_not_looked_at(tmp_path: Path) -> None:
    made(tmp_path)
    with FaultyS3() as server:
        fill(server, tmp_path)
        for number in range(1_000 - 1):  # with the folder of the agent a whole page of a listing
            server.put(f"theirs/{number}//odd", b"")
        with server.counted() as made_requests:
            assert (await imported(url_of(server))).streams == FOUND
        assert {one.method for one in made_requests} == {"GET"}


async def test_an_object_over_the_limit_is_refused(tmp_path: Path) -> None:
    home = made(tmp_path, "large")
    made(tmp_path)
    (home / "context.json").write_bytes(b" " * (MAX_ENTRY_BYTES + 1))
    with FaultyS3() as server:
        fill(server, tmp_path)
        done = await imported(url_of(server))
        assert [one.reason for one in done.differences] == [f"context.json has over {MAX_ENTRY_BYTES:,} bytes"]


@pytest.mark.parametrize("operation", ["LIST", "GET"])
@pytest.mark.parametrize("fault", [Fault.DRIP, Fault.HANG, Fault.INTERNAL, Fault.RESET, Fault.PORTAL, Fault.TRUNCATE])
async def test_a_bucket_without_an_answer_is_given_up_in_time(tmp_path: Path, fault: Fault, operation: str) -> None:
    made(tmp_path)
    with FaultyS3() as server:
        fill(server, tmp_path)
        login_page = fault is Fault.PORTAL  # it answers every request
        server.fail(fault, operation=None if login_page else operation, times=None, skip=3 + (operation == "GET"))
        began = time.monotonic()
        with pytest.raises(UnavailableError, match="bucket"):
            await imported(url_of(server))
        assert time.monotonic() - began < 15
        server.heal()
        assert (await imported(url_of(server))).complete


FORK = """
import asyncio, os, sys, warnings
import stowfast
from stowfast import importing

warnings.simplefilter("ignore", DeprecationWarning)
url = sys.argv[1]
print(asyncio.run(importing.import_from("looopy", url, "memory:")).streams, flush=True)
child = os.fork()
if child == 0:
    code = 9
    try:
        asyncio.run(importing.import_from("looopy", url, "memory:"))
    except stowfast.InvalidError as error:
        print(error, flush=True)
        code = 3
    finally:
        os._exit(code)
print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_child_of_a_process_that_has_imported_is_told_so_at_once(tmp_path: Path) -> None:
    made(tmp_path)
    with FaultyS3() as server:
        fill(server, tmp_path)
        done = subprocess.run(
            [sys.executable, "-c", FORK, url_of(server)], capture_output=True, text=True, timeout=60, check=False
        )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{FOUND}\n")
    assert "spawn or forkserver" in done.stdout
    assert done.stdout.endswith("child 3\n")
