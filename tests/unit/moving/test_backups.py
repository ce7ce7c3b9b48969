"""A backup mirrors its source, and a restore makes an empty place of it alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import InvalidError, Stores, UnavailableError, moving
from stowfast.moving import Selection
from stowfast.moving.backups import BACKUP, RESTORE
from stowfast.wrappers import Shared, Wrapper
from tests.unit.moving.places import content, fill

if TYPE_CHECKING:
    from pathlib import Path

    from stowfast.abc import Backend, Change, Receipt
    from tests.services.postgres import PostgresServer
    from tests.services.s3 import S3Server

MARKS = {BACKUP, RESTORE}


async def told(stores: Stores) -> dict[str, object]:
    return {name: what for name, what in (await content(stores.backend)).items() if name not in MARKS}


async def test_a_backup_and_a_restore_between_places(
    tmp_path: Path, s3_server: S3Server, postgres_server: PostgresServer
) -> None:
    source, kept, back = s3_server.url(), f"sqlite:///{tmp_path}/kept.db", postgres_server.url()
    async with stowfast.open(source) as stores:
        await fill(stores)
        assert (await moving.backup(stores, kept)).complete
        await stores.messages.delete("c0")
        await stores.artifacts.delete("a1")
        await stores.messages.add_message("c1", {"n": "new"})
        await stores.messages.delete("c2")
        await stores.messages.add_message("c2", {"n": "begun again"})
        done = await moving.backup(stores, kept)
        assert (done.complete, done.deleted, done.streams) == (True, 2, 2)
        wanted = await told(stores)
    assert (await moving.restore(kept, back)).complete
    async with stowfast.open(back) as stores, stowfast.open(kept) as backup:
        assert await content(stores.backend) == wanted
        assert await told(backup) == wanted
    assert (await moving.verify(back)).digest == (await moving.verify(source)).digest


async def test_places_with_other_data_are_refused() -> None:
    async with stowfast.open("memory:") as source, stowfast.open("memory:") as target:
        await source.messages.add_message("c", {"n": 1})
        await target.messages.add_message("mine", {"n": 1})
        before = await content(target.backend)
        for move in (moving.backup, moving.restore):
            with pytest.raises(InvalidError):
                await move(source, target)
        assert await content(target.backend) == before


async def test_an_empty_source_empties_no_backup() -> None:
    async with stowfast.open("memory:") as source, stowfast.open("memory:") as kept:
        await source.messages.add_message("c", {"n": 1})
        await moving.backup(source, kept)
        async with stowfast.open("memory:") as mistyped:
            with pytest.raises(InvalidError, match="empty"):
                await moving.backup(mistyped, kept)
        assert len(await kept.messages.get_messages("c")) == 1


class FailsAfter(Wrapper):
    """Makes a number of commits, then fails every one."""

    def __init__(self, backend: Backend, count: int) -> None:
        super().__init__(backend)
        self.left = count

    async def commit(self, stream: str, change: Change) -> Receipt:
        self.left -= 1
        if self.left < 0:
            raise UnavailableError("gone")
        return await super().commit(stream, change)


async def test_an_interrupted_restore_goes_on() -> None:
    async with stowfast.open("memory:") as source, stowfast.open("memory:") as target:
        await fill(source)
        for count in range(5):
            with pytest.raises(UnavailableError):
                await moving.restore(source, Stores(FailsAfter(Shared(target.backend), count)))
        assert 0 < len(await content(target.backend)) < len(await content(source.backend))
        assert (await moving.restore(source, target)).complete
        assert await content(target.backend) == await content(source.backend)
        with pytest.raises(InvalidError):
            await moving.restore(source, target)


async def test_removal_is_by_selection_and_takes_what_is_related() -> None:
    async with stowfast.open("memory:") as stores:
        await fill(stores)
        before = await content(stores.backend)
        ada = Selection(where={"user": "ada"})
        assert await moving.find(stores, ada) == ["messages/c1"]
        assert set(await moving.find(stores, ada, related=True)) == {"messages/c1", "artifacts/a1", "tasks/t1"}
        assert await content(stores.backend) == before
        assert await moving.remove(stores, ada, related=True) == 3
        left = await content(stores.backend)
        assert before.keys() - left.keys() == {"messages/c1", "artifacts/a1", "tasks/t1"}
        assert await moving.remove(stores, ada, related=True) == 0


async def test_measures_add_up() -> None:
    async with stowfast.open("memory:") as stores:
        await fill(stores)
        verified, counted = await moving.verify(stores), await moving.statistics(stores)
        assert counted.streams == verified.kinds
        assert sum(counted.entries.values()) == verified.entries
        assert counted.changed_today == verified.streams
        usage = await moving.measure(stores, lambda head: head.name.partition("/")[0])
        assert sum(one.entries for one in usage.values()) == verified.entries
        assert usage["artifacts"].blob_bytes == 3 * (len(b"first") + len(b"second")) * 100_000
