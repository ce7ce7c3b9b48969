"""Generations of a backup: each is whole and never changed, and a restore takes the one of a time."""

from __future__ import annotations

import asyncio
import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import DamagedError, InvalidError, NotFoundError, Retention, UnavailableError, moving
from stowfast.backends.objects.driver.opening import open_store
from stowfast.backends.objects.driver.store import BucketClient
from stowfast.backends.objects.protocol.requests import ABSENT, Delete, Get, List, Put
from stowfast.cli.main import run
from stowfast.moving import bucket
from stowfast.moving.archive import stamp
from stowfast.registry import find
from tests.unit.moving.places import content, fill

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.s3 import S3Server

MOMENT = timedelta(microseconds=1)
ARCHIVES = ["folder", "s3"]


@pytest.fixture(params=ARCHIVES)
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "folder":
        return f"{tmp_path}/kept/"
    server: S3Server = request.getfixturevalue("s3_server")
    return bucket_archive(server)


def bucket_archive(server: S3Server) -> str:
    return server.url().replace("?", "/?", 1)


def opened_bucket(archive: str) -> BucketClient:
    _, address, options = find(archive)
    return open_store(address, **options)


def keys_of(archive: str) -> list[str]:
    with closing(opened_bucket(archive)) as store:
        return [one.key for one in store.perform(List("")).items]


async def messages_of(archive: str, one: moving.Generation) -> list[int]:
    async with moving.opened_generation(archive, one) as url, stowfast.open(f"{url}?read_only=true") as stores:
        return [message["n"] for message in await stores.messages.get_messages("c")]


async def kept(source: str, archive: str, count: int, keep: Retention | None = None) -> list[moving.Generation]:
    made = list[moving.Generation]()
    for number in range(count):
        async with stowfast.open(source) as stores:
            await stores.messages.add_message("c", {"n": number})
        generation, found = await moving.add_generation(source, archive, keep=keep)
        assert found.sound
        made.insert(0, generation)
    return made


async def test_a_time_finds_the_generation_before_it(tmp_path: Path, archive: str) -> None:
    made = await kept(f"sqlite:///{tmp_path}/one.db", archive, 3)
    assert await moving.generations(archive) == made, "the newest first"
    for number, one in enumerate(reversed(made)):
        assert await messages_of(archive, one) == list(range(number + 1))
        for moment in (one.moment, one.moment + MOMENT):
            assert await moving.generation_at(archive, moment) == one
    assert await moving.generation_at(archive) == made[0]
    with pytest.raises(NotFoundError, match="oldest"):
        await moving.generation_at(archive, made[-1].moment - MOMENT)
    with pytest.raises(InvalidError, match="zone"):
        await moving.generation_at(archive, datetime(2026, 1, 1))  # noqa: DTZ001 - the fault
    with pytest.raises(NotFoundError):
        await moving.generation_at(tmp_path)
    with pytest.raises(InvalidError, match="bucket"):
        await moving.generations("postgresql://127.0.0.1/agents")


async def test_generations_of_a_bucket_read_new_data_alone(tmp_path: Path, s3_server: S3Server, archive: str) -> None:
    source = s3_server.url()
    async with stowfast.open(source) as stores:
        await fill(stores)
        read: list[int] = []
        await moving.add_generation(source, archive, progress=lambda done: read.append(done.streams))
        before = await content(stores.backend)
        await stores.messages.add_message("c1", {"n": "new"})
        await stores.messages.delete("c2")
        later: list[int] = []
        await moving.add_generation(source, archive, progress=lambda done: later.append(done.streams))
        assert (read[-1] > 1, later[-1]) == (True, 1)
        wanted = [await content(stores.backend), before]
    for number, one in enumerate(await moving.generations(archive)):
        back = f"sqlite:///{tmp_path}/back-{number}.db"
        async with moving.opened_generation(archive, one) as url:
            assert (await moving.restore(url, back)).complete
        async with stowfast.open(back) as stores:
            assert await content(stores.backend) == wanted[number]


async def test_old_generations_go_and_the_newest_stays(tmp_path: Path, archive: str) -> None:
    source = f"sqlite:///{tmp_path}/one.db"
    made = await kept(source, archive, 3, Retention(versions=2))
    assert await moving.generations(archive) == made[:2]
    made = await kept(source, archive, 1, Retention(age=timedelta(days=1))) + made[:2]
    assert await moving.generations(archive) == made
    made = await kept(source, archive, 1, Retention(age=timedelta(0)))
    assert await moving.generations(archive) == made
    for wrong in (Retention(count=1), Retention(bytes=1), Retention(versions=0), Retention(age=-MOMENT)):
        with pytest.raises(InvalidError):
            await moving.add_generation(source, archive, keep=wrong)
    with pytest.raises(NotFoundError):
        await moving.add_generation(f"sqlite:///{tmp_path}/absent.db", archive, keep=Retention(versions=1))
    assert await moving.generations(archive) == made


async def test_files_of_others_stay_in_a_folder(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    made = await kept(f"sqlite:///{tmp_path}/one.db", str(folder), 1)
    (folder / "notes.db").write_bytes(b"")
    made = await kept(f"sqlite:///{tmp_path}/one.db", str(folder), 1, Retention(versions=1))
    assert sorted(path.name for path in folder.iterdir()) == [made[0].name, "notes.db"]


async def test_a_clock_that_went_back_makes_a_newer_generation(tmp_path: Path) -> None:
    source, folder = f"sqlite:///{tmp_path}/one.db", tmp_path / "kept"
    (first,) = await kept(source, str(folder), 1)
    ahead = datetime(2999, 1, 1, tzinfo=UTC)
    (folder / first.name).rename(folder / f"{stamp(ahead)}.db")
    (second,) = await kept(source, str(folder), 1)
    assert second.moment == ahead + MOMENT


class Ahead(datetime):
    """A clock that is 400 days ahead."""

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        return datetime.now(tz) + timedelta(days=400)


async def test_a_clock_that_is_ahead_once_removes_no_generation(
    tmp_path: Path, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, month = f"sqlite:///{tmp_path}/one.db", Retention(age=timedelta(days=30))
    made = await kept(source, archive, 3, month)
    with monkeypatch.context() as patched:
        patched.setattr("stowfast.moving.archiving.datetime", Ahead)
        await kept(source, archive, 1, month)
    await kept(source, archive, 1, month)
    found = await moving.generations(archive)
    assert len(found) == 5
    assert {one.name for one in made} <= {one.name for one in found}
    assert await moving.generation_at(archive, datetime.now(UTC)) == made[0]


async def test_backups_at_once_add_a_generation_each(
    tmp_path: Path, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = f"sqlite:///{tmp_path}/one.db"
    await kept(source, archive, 1)
    same = datetime(2999, 1, 1, tzinfo=UTC)
    monkeypatch.setattr("stowfast.moving.archiving.MOMENT", same - (await moving.generation_at(archive)).moment)
    made = await asyncio.gather(*(moving.add_generation(source, archive) for _ in range(4)))
    names = {one.name for one, found in made if found.sound}
    assert len(names) == 4
    assert names <= {one.name for one in await moving.generations(archive)}
    for one, _ in made:
        assert await messages_of(archive, one) == [0]


async def test_a_damaged_generation_is_no_base_of_the_next(tmp_path: Path, s3_server: S3Server) -> None:
    source, archive = s3_server.url(), bucket_archive(s3_server)
    made = await kept(source, archive, 2)
    with closing(opened_bucket(archive)) as store:
        body = store.perform(Get(f"generations/{made[0].name}")).body
        store.perform(Put(f"generations/{made[0].name}", body[:5_000] + b"?" + body[5_001:]))
    with pytest.raises(DamagedError, match="SHA-256"):
        await messages_of(archive, made[0])
    (third,) = await kept(source, archive, 1)
    assert len(await messages_of(archive, third)) == 3


async def test_no_half_of_a_generation_is_one(tmp_path: Path, s3_server: S3Server) -> None:
    archive = bucket_archive(s3_server)
    made = await kept(f"sqlite:///{tmp_path}/one.db", archive, 3)
    stems = [one.name.removesuffix(".db") for one in made]
    with closing(opened_bucket(archive)) as store:
        manifest = store.perform(Get(f"generations/{stems[1]}.json")).body
        store.perform(Delete((f"generations/{stems[0]}.json", f"generations/{stems[2]}.db")))
        assert await moving.generations(archive) == [made[1]]
        with pytest.raises(NotFoundError):
            await messages_of(archive, made[0])
        with pytest.raises(DamagedError, match="no content"):
            await messages_of(archive, made[2])
        for wrong, error in (
            (b"{", DamagedError),
            (manifest.replace(b'format":1', b'format":2'), stowfast.StowfastError),
        ):
            store.perform(Put(f"generations/{stems[1]}.json", wrong))
            with pytest.raises(error):
                await messages_of(archive, made[1])


async def test_content_of_killed_calls_goes_a_week_later_and_objects_of_others_stay(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, archive = f"sqlite:///{tmp_path}/one.db", bucket_archive(s3_server)
    rest = f"generations/{stamp(datetime.now(UTC))}-{'0' * 16}.db"
    others = ["a.db", "generations/notes.db", "generations/20261129T140000.000000Z.db", f"{rest}.db", f"x/{rest}"]
    with closing(opened_bucket(archive)) as store:
        for key in (rest, *others):
            store.perform(Put(key, b"theirs"))
    made = await kept(source, archive, 1, Retention(versions=1))
    assert rest in keys_of(archive), "an upload may be under way"
    monkeypatch.setattr(bucket, "_REST_MICROSECONDS", -1)
    made = await kept(source, archive, 1, Retention(versions=1))
    stem = made[0].name.removesuffix(".db")
    assert sorted(keys_of(archive)) == sorted([*others, f"generations/{stem}.db", f"generations/{stem}.json"])


async def test_an_archive_is_no_backend(tmp_path: Path, s3_server: S3Server) -> None:
    url = s3_server.url()
    archive = url.replace("?", "/?", 1)
    async with stowfast.open(url) as stores:
        await stores.messages.add_message("c", {"n": 0})
    for call in (moving.add_generation(f"sqlite:///{tmp_path}/one.db", archive), moving.generations(archive)):
        with pytest.raises(InvalidError, match="slash"):
            await call
    assert await asyncio.to_thread(run, ["restore", archive, f"sqlite:///{tmp_path}/back.db"]) == 1


@pytest.mark.parametrize("written", [True, False])
async def test_a_lost_answer_to_the_manifest(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch, *, written: bool
) -> None:
    archive, lost, perform = bucket_archive(s3_server), list[str](), BucketClient.perform

    def losing(store: BucketClient, request: Any) -> Any:
        if isinstance(request, Put) and request.condition is ABSENT and request.key.endswith(".json"):
            lost.append(request.key)
            if written:
                perform(store, request)
            return None
        return perform(store, request)

    monkeypatch.setattr(bucket, "_PAUSE", 0.0)
    monkeypatch.setattr(BucketClient, "perform", losing)
    if written:
        made = await kept(f"sqlite:///{tmp_path}/one.db", archive, 1)
        assert await moving.generations(archive) == made
        assert len(lost) == 1
    else:
        with pytest.raises(UnavailableError, match="may have been added"):
            await kept(f"sqlite:///{tmp_path}/one.db", archive, 1)
        assert await moving.generations(archive) == []
        assert len(set(lost)) == 1, "a late write of the manifest finds its content"
        assert len(keys_of(archive)) == 1


async def test_bytes_that_come_back_different_are_no_generation(
    tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = bucket_archive(s3_server)
    monkeypatch.setattr("stowfast.moving.bucket.download", lambda *_: iter([b"other"]))
    with pytest.raises(UnavailableError, match="nothing was added"):
        await kept(f"sqlite:///{tmp_path}/one.db", archive, 1)
    assert await moving.generations(archive) == []


def test_the_commands_keep_and_take_generations(
    tmp_path: Path, archive: str, capfd: pytest.CaptureFixture[str]
) -> None:
    url, back = f"sqlite:///{tmp_path}/one.db", f"sqlite:///{tmp_path}/back.db"
    with stowfast.sync.open(url) as stores:
        told = []
        for number in range(3):
            stores.messages.add_message("c", {"n": number})
            capfd.readouterr()
            assert run(["backup", url, archive, "--keep", "2", "--json"]) == 0
            told.append(json.loads(capfd.readouterr().out))
    assert [len(one["generations"]) for one in told] == [1, 2, 2]
    assert told[2]["generations"] == [told[2]["generation"], told[1]["generation"]]
    assert run(["restore", archive, back, "--dry-run", "--json"]) == 0
    plan = json.loads(capfd.readouterr().out)
    assert plan["generation"] == told[2]["generation"]
    assert [one["name"] for one in plan["generations"]] == told[2]["generations"]
    moment = plan["generations"][1]["moment"]
    assert run(["restore", archive, back, "--at", moment, "--dry-run"]) == 0
    assert capfd.readouterr().out.splitlines()[1].endswith("to restore")
    assert run(["restore", archive, back, "--at", "2001-01-01", "--dry-run"]) == 0
    out, err = capfd.readouterr()
    assert (len(out.splitlines()), "to restore" in out) == (2, False)
    assert "the oldest generation is of" in err
    assert run(["restore", archive, back, "--at", "2001-01-01", "--dry-run", "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {**plan, "generation": None}
    assert not (tmp_path / "back.db").exists()
    assert run(["restore", archive, back, "--at", moment]) == 0
    assert f"generation of {moment[:19]}" in capfd.readouterr().err
    with stowfast.sync.open(back) as stores:
        assert stores.messages.count("c") == 2
    assert run(["restore", archive, back]) == 1, "it holds data"
    assert "absent file" in capfd.readouterr().err
    assert run(["restore", archive, f"{back}2", "--at", "2001-01-01"]) == 1
    for wrong in ("--at=2001-01-01", "--dry-run"):
        assert run(["restore", url, f"{back}2", wrong]) == 2
    for wrong in ("--keep=2", "--keep-age=3d"):
        assert run(["backup", url, f"{back}2", wrong]) == 2
        assert run(["backup", url, "s3://bucket/without-a-slash", wrong]) == 2
