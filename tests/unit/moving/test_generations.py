"""Generations of a backup: each is whole and never changed, and a restore takes the one of a time."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import InvalidError, NotFoundError, Retention, moving
from stowfast.cli.main import run
from tests.unit.moving.places import content, fill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.s3 import S3Server

MOMENT = timedelta(microseconds=1)


async def messages_of(url: str) -> list[int]:
    async with stowfast.open(url) as stores:
        return [message["n"] for message in await stores.messages.get_messages("c")]


async def kept(source: str, folder: Path, count: int, keep: Retention | None = None) -> list[moving.Generation]:
    made = []
    for number in range(count):
        async with stowfast.open(source) as stores:
            await stores.messages.add_message("c", {"n": number})
        generation, found = await moving.add_generation(source, folder, keep=keep)
        assert found.sound
        made.append(generation)
    return made


async def test_a_time_finds_the_generation_before_it(tmp_path: Path) -> None:
    source, folder = f"sqlite:///{tmp_path}/one.db", tmp_path / "kept"
    made = await kept(source, folder, 3)
    assert moving.generations(folder) == made
    for number, one in enumerate(made):
        assert await messages_of(f"{one.url}?read_only=true") == list(range(number + 1))
        for moment in (one.moment, one.moment + MOMENT):
            assert moving.generation_at(folder, moment) == one
    assert moving.generation_at(folder) == made[-1]
    with pytest.raises(NotFoundError, match="oldest"):
        moving.generation_at(folder, made[0].moment - MOMENT)
    with pytest.raises(InvalidError, match="zone"):
        moving.generation_at(folder, datetime(2026, 1, 1))  # noqa: DTZ001 - the fault
    with pytest.raises(NotFoundError):
        moving.generation_at(tmp_path)


async def test_generations_of_a_bucket_read_new_data_alone(tmp_path: Path, s3_server: S3Server) -> None:
    source, folder = s3_server.url(), tmp_path / "kept"
    async with stowfast.open(source) as stores:
        await fill(stores)
        read: list[int] = []
        await moving.add_generation(source, folder, progress=lambda done: read.append(done.streams))
        before = await content(stores.backend)
        await stores.messages.add_message("c1", {"n": "new"})
        await stores.messages.delete("c2")
        later: list[int] = []
        await moving.add_generation(source, folder, progress=lambda done: later.append(done.streams))
        assert (read[-1] > 1, later[-1]) == (True, 1)
        wanted = [before, await content(stores.backend)]
    for number, one in enumerate(moving.generations(folder)):
        back = f"sqlite:///{tmp_path}/back-{number}.db"
        assert (await moving.restore(one.url, back)).complete
        async with stowfast.open(back) as stores:
            assert await content(stores.backend) == wanted[number]


async def test_old_generations_go_and_the_newest_stays(tmp_path: Path) -> None:
    source, folder = f"sqlite:///{tmp_path}/one.db", tmp_path / "kept"
    made = await kept(source, folder, 3, Retention(versions=2))
    assert moving.generations(folder) == made[1:]
    made += await kept(source, folder, 1, Retention(age=timedelta(days=1)))
    assert moving.generations(folder) == made[1:]
    made += await kept(source, folder, 1, Retention(age=timedelta(0)))
    assert moving.generations(folder) == made[-1:]
    for wrong in (Retention(count=1), Retention(bytes=1), Retention(versions=0), Retention(age=-MOMENT)):
        with pytest.raises(InvalidError):
            await moving.add_generation(source, folder, keep=wrong)
    (folder / "notes.db").write_bytes(b"")  # a file of somebody else
    with pytest.raises(NotFoundError):
        await moving.add_generation(f"sqlite:///{tmp_path}/absent.db", folder, keep=Retention(versions=1))
    assert moving.generations(folder) == made[-1:]
    assert sorted(path.name for path in folder.iterdir()) == [made[-1].path.name, "notes.db"]


async def test_a_clock_that_went_back_makes_a_newer_generation(tmp_path: Path) -> None:
    source, folder = f"sqlite:///{tmp_path}/one.db", tmp_path / "kept"
    (first,) = await kept(source, folder, 1)
    ahead = datetime(2999, 1, 1, tzinfo=UTC)
    first.path.rename(folder / f"{ahead:%Y%m%dT%H%M%S.%fZ}.db")
    (second,) = await kept(source, folder, 1)
    assert second.moment == ahead + MOMENT


def test_the_commands_keep_and_take_generations(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    url, folder, back = f"sqlite:///{tmp_path}/one.db", f"{tmp_path}/kept/", f"sqlite:///{tmp_path}/back.db"
    with stowfast.sync.open(url) as stores:
        told = []
        for number in range(3):
            stores.messages.add_message("c", {"n": number})
            capfd.readouterr()
            assert run(["backup", url, folder, "--keep", "2", "--json"]) == 0
            told.append(json.loads(capfd.readouterr().out))
    assert [len(one["generations"]) for one in told] == [1, 2, 2]
    moment = datetime.strptime(told[1]["generation"], "%Y%m%dT%H%M%S.%fZ.db").replace(tzinfo=UTC)
    assert run(["restore", folder, back, "--at", moment.isoformat()]) == 0
    assert f"generation of {moment:%Y-%m-%dT%H:%M:%S}" in capfd.readouterr().err
    with stowfast.sync.open(back) as stores:
        assert stores.messages.count("c") == 2
    assert run(["restore", folder, back]) == 1, "it holds data"
    assert run(["restore", folder, f"{back}2", "--at", "2001-01-01"]) == 1
    assert run(["restore", url, f"{back}2", "--at", "2001-01-01"]) == 2
    assert run(["backup", url, f"{back}2", "--keep", "2"]) == 2
