"""A dry run returns the numbers of a sweep, and changes nothing; the sweep then removes just those."""

from __future__ import annotations

import sqlite3
import time
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import Artifact, InvalidError
from stowfast.abc import Change, Swept
from stowfast.backends import memory
from stowfast.backends.memory import MemoryBackend
from stowfast.testing import LosesAnswers
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DAY = 86_400 * 10**6
BODY = bytes(range(256)) * 4_000


async def chunks() -> AsyncIterator[bytes]:
    yield BODY


async def litter(stores: stowfast.Stores) -> None:
    """An expired artifact, with a blob; an upload without a reference; and one artifact to stay."""
    await stores.artifacts.create(Artifact(artifact_id="stays", content=BODY))
    await stores.backend.write_blob("artifacts/stays", chunks())
    await stores.artifacts.create(Artifact(artifact_id="expires", content=BODY))
    await stores.backend.commit("artifacts/expires", Change(expires_at=1))


async def test_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    stores = stowfast.Stores(LosesAnswers(MemoryBackend(), 0))
    await litter(stores)
    # The orphan is not a day old yet, and what has expired is gone at once.
    young = await stores.sweep(dry_run=True)
    assert young[:2] == (1, 1)
    assert len(BODY) < young.bytes < len(BODY) + 2_000
    now = time.time_ns() // 1_000 + 2 * DAY
    monkeypatch.setattr(memory, "clock", lambda: now)
    found = await stores.sweep(dry_run=True)
    assert found == Swept(1, 2, young.bytes + len(BODY))
    assert await stores.sweep(dry_run=True) == found
    assert await stores.sweep() == found
    assert await stores.sweep() == await stores.sweep(dry_run=True) == (0, 0, 0, 0)
    kept = await stores.artifacts.get("stays")
    assert kept is not None
    assert kept.content == BODY
    await stores.close()


async def test_in_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "place.db"
    url = f"sqlite:///{path}"
    async with stowfast.open(url) as stores:
        await litter(stores)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE blobs SET written_at = 1 WHERE written_at > 0")
    connection.close()
    with sqlite3.connect(path, isolation_level=None) as watch:
        async with stowfast.open(url, sweep=False) as stores:
            version = watch.execute("PRAGMA data_version").fetchone()
            found = await stores.sweep(dry_run=True)
            assert watch.execute("PRAGMA data_version").fetchone() == version
            assert found[:2] == (1, 2)
            assert 2 * len(BODY) < found.bytes < 2 * len(BODY) + 2_000
            assert await stores.sweep() == found
            assert watch.execute("PRAGMA data_version").fetchone() != version
            assert await stores.sweep() == await stores.sweep(dry_run=True) == (0, 0, 0, 0)
            kept = await stores.artifacts.get("stays")
            assert kept is not None
            assert kept.content == BODY
    watch.close()


async def test_a_sqlite_file_is_swept_by_who_opens_it_unless_told_otherwise(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/place.db"
    async with stowfast.open(url) as stores:
        await litter(stores)
    for option in ({"sweep": False}, {"sweep": "false"}):
        async with stowfast.open(url, **option) as stores:
            assert (await stores.sweep(dry_run=True)).streams == 1
    async with stowfast.open(url):
        pass  # closing waits for one step of the sweep behind
    async with stowfast.open(url, sweep=False) as stores:
        assert (await stores.sweep(dry_run=True)).streams == 0
    with pytest.raises(InvalidError, match="sweep: it is true or false"):
        await stowfast.open(f"{url}?sweep=maybe")


async def test_on_object_storage() -> None:
    moment = [time.time()]
    with FaultyS3(clock=lambda: moment[0]) as server:
        options: dict[str, Any] = {"endpoint_url": server.endpoint, "anonymous": True}
        async with stowfast.open("s3://bucket", **options) as stores:
            moment[0] -= 2 * 86_400
            await litter(stores)
            await stores.messages.add_messages("sealed", [{"text": BODY.hex()[:2_000]}] * 600)
            await stores.backend.commit("messages/sealed", Change(expires_at=1))
        async with stowfast.open("s3://bucket", **options) as stores:
            before = server.objects
            with server.counted() as made:
                found = await stores.sweep(dry_run=True)
            # The store is asked for its time before a stream counts as expired: by an object that is removed again.
            asked = [record for record in made if "clock/" not in f"{record.keys}"]
            assert {record.operation for record in asked} == {"LIST", "GET"}
            assert server.objects == before
            assert found[:2] == (2, 2)
            with server.counted() as made:
                assert await stores.sweep() == found
            gone = {key: body for key, body in before.items() if key not in server.objects}
            assert sum(map(len, gone.values())) == found.bytes >= 2 * len(BODY)
            assert any("/b/" not in key for key in gone), "a segment was among them"
            assert await stores.sweep() == await stores.sweep(dry_run=True) == (0, 0, 0, 0)
            kept = await stores.artifacts.get("stays")
            assert kept is not None
            assert kept.content == BODY
