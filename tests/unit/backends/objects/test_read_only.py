"""Reading without the right to write: nothing is written, and a role that only reads is enough."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import Artifact, InvalidError
from stowfast.backends.objects.driver import probe
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

MANY = 40  # enough for an index
WRITES = {"PUT", "DELETE"}
LINES = ["verify", "health", "stats", "du", "rm --prefix c", "copy --dry-run", "ls", "show c07", "tasks ls"]


@pytest.fixture
async def server() -> AsyncIterator[FaultyS3]:
    with FaultyS3() as server:
        async with stowfast.open(url_of(server)) as stores:
            for number in range(MANY):
                await stores.messages.add_message(f"c{number:02}", {"n": number})
            await stores.artifacts.create(Artifact(artifact_id="a", content=b"x" * 100_000))
        probe._passed.clear()
        yield server


def url_of(server: FaultyS3, more: str = "") -> str:
    return f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true{more}"


async def read_everything(stores: stowfast.Stores) -> None:
    assert len((await stores.messages.contexts(limit=MANY, info=True)).items) == MANY
    assert await stores.messages.get_messages("c07") == [{"n": 7}]
    artifact = await stores.artifacts.get("a")
    assert artifact is not None
    assert len(artifact.content) == 100_000
    assert (await stores.sweep(dry_run=True)).streams == 0


async def test_an_opening_for_reading_writes_nothing(server: FaultyS3) -> None:
    with server.counted() as made:
        async with stowfast.open(url_of(server, "&read_only=true")) as stores:
            await read_everything(stores)
            for call in (
                stores.messages.add_message("c00", {}),
                stores.artifacts.put(Artifact(artifact_id="b", content=b"x" * 100_000)),
                stores.sweep(),
            ):
                with pytest.raises(InvalidError, match="was opened for reading only"):
                    await call
    assert not WRITES & {record.operation for record in made}


async def test_a_role_that_only_reads_is_enough_to_read(server: FaultyS3) -> None:
    for operation in WRITES:
        server.fail(Fault.DENIED, operation=operation, times=None)
    async with stowfast.open(url_of(server, "&read_only=true")) as stores:
        await read_everything(stores)
    with pytest.raises(InvalidError, match=r"403 AccessDenied.*with read_only=true"):
        await stowfast.open(url_of(server))


@pytest.mark.parametrize(
    "line", ["verify", "health", "stats", "du", "rm --prefix c", "copy --dry-run", "ls", "show c07", "tasks ls"]
)
def test_a_command_that_only_looks_writes_nothing(server: FaultyS3, line: str, tmp_path: Path) -> None:
    name, *options = line.replace("tasks ls", "tasks_ls").split()
    target = [f"sqlite:///{tmp_path}/copy.db"] if name == "copy" else []
    # In a process of its own: here a test of the store is remembered.
    with server.counted() as made:
        command = [sys.executable, "-m", "stowfast", *name.split("_"), url_of(server), *target, *options]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert not WRITES & {record.operation for record in made}
