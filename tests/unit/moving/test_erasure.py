"""After an erasure no byte of a person is left; an export has everything of a person."""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast import InvalidError, Stores, moving
from stowfast.cli.main import run
from stowfast.moving import Selection
from tests.services.faulty_s3.server import FaultyS3
from tests.unit.moving.places import content

if TYPE_CHECKING:
    from pathlib import Path

CANARY = "canary-7f3a9c51e2-of-ada"
ADA = Selection(where={"user": "ada"})


async def fill(stores: Stores) -> None:
    for user, secret in (("ada", CANARY), ("bob", "of-bob")):
        for number in range(10):
            name, told = f"{user[0]}{number}", f"{secret} {number}"
            metadata = {"user": user, "title": secret}
            await stores.messages.add_messages(name, [{"text": told * 5, "n": n} for n in range(30)])
            await stores.messages.set_metadata(name, metadata)
            for size in (10, 10_000):
                body = told.encode() * size
                artifact = stowfast.Artifact(artifact_id=f"../{name}/{size}", content=body, context_id=name)
                await stores.artifacts.put(artifact)
            await stores.tasks.save(stowfast.TaskState(task_id=name, data={"told": told}, context_id=name))
            await stores.documents.put(name, {"told": told}, metadata=metadata)


def names(folder: Path) -> list[str]:
    return [one.name for one in folder.iterdir()]


async def test_no_byte_is_left_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "place.db"
    url = f"sqlite:///{path}"
    async with stowfast.open(url) as stores:
        await fill(stores)
    assert CANARY.encode() in path.read_bytes()
    done = await moving.erase(url, ADA)
    assert (done.streams, done.left, done.proved) == (50, [], True)
    left = b"".join((tmp_path / name).read_bytes() for name in names(tmp_path))
    assert CANARY.encode() not in left
    async with stowfast.open(url) as stores:
        assert len(await content(stores.backend)) == 50


def test_the_command_lists_asks_and_proves(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url = f"sqlite:///{tmp_path}/place.db"
    with stowfast.sync.open(url) as stores:
        stores.messages.add_message("c", {"text": CANARY * 20})
        stores.messages.set_metadata("c", {"user": "ada"})
        stores.messages.add_message("d", {"text": CANARY * 20})
    assert run(["erase", url]) == 2
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert run(["erase", url, "--where", "user=ada"]) == 130  # nobody answers the question
    assert run(["erase", url, "--where", "user=ada", "--yes"]) == 0
    said = capfd.readouterr().out
    assert "deleted 1 stream; a second search found 0" in said
    assert "searched for in the file, 0 found" in said


async def test_no_byte_is_left_in_a_bucket() -> None:
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        async with stowfast.open(url) as stores:
            await fill(stores)
        assert server.holding(CANARY.encode())
        assert (await moving.erase(url, ADA)).proved
        assert server.holding(CANARY.encode()) == []


@pytest.mark.parametrize("of", ["note", "metadata", "content", "short entry", "nothing"])
async def test_a_byte_that_stays_is_no_proof(of: str, tmp_path: Path) -> None:
    """A table of others beside ours keeps what was erased: the search by default finds it, whatever it was."""
    path = tmp_path / "place.db"
    url = f"sqlite:///{path}"
    content = hashlib.sha512(b"seed").hexdigest().encode() * 2_000
    note = f'{{"metadata":{{"user":"ada","title":"{CANARY}"'.encode()
    kept = {
        "note": note,
        "metadata": f'"{CANARY}"'.encode(),
        "content": content[:4_000],
        "short entry": b'{"a":12}',
        "nothing": b"",
    }
    async with stowfast.open(url) as stores:
        await stores.messages.add_message("c", {"a": 12})
        await stores.messages.set_metadata("c", {"user": "ada", "title": CANARY})
        artifact = stowfast.Artifact(artifact_id="a", content=content, context_id="c")
        await stores.artifacts.put(artifact)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE theirs (data BLOB)")
        connection.execute("INSERT INTO theirs VALUES (?)", (kept[of],))
    done = await moving.erase(url, ADA)
    assert (done.streams, done.left, done.searched) == (2, [], True)
    assert (done.found > 0, done.proved) == (of != "nothing", of == "nothing")


async def test_what_another_person_has_too_does_not_count(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/place.db"
    async with stowfast.open(url) as stores:
        for user in ("ada", "bob"):
            await stores.messages.set_metadata(user, {"user": user, "title": CANARY})
            artifact = stowfast.Artifact(artifact_id=user, content=CANARY.encode() * 10_000, context_id=user)
            await stores.artifacts.put(artifact)
    done = await moving.erase(url, ADA)
    assert (done.streams, done.searched, done.found, done.proved) == (2, True, 0, True)


async def test_a_file_that_is_open_here_is_not_searched(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/place.db"
    async with stowfast.open(url) as stores:
        await fill(stores)
        done = await moving.erase(url, ADA)
        assert (done.streams, done.searched) == (50, False)
        assert len(await content(stores.backend)) == 50


async def test_what_belongs_to_a_task_goes_with_it() -> None:
    def task(id: str, parent: str | None = None) -> stowfast.TaskState:
        return stowfast.TaskState(task_id=id, data={}, parent_task_id=parent)

    async with stowfast.open("memory:") as stores:
        await stores.messages.set_metadata("c", {"user": "ada"})
        await stores.tasks.save(stowfast.TaskState(task_id="m", data={}, context_id="c"))
        for id, parent in (("k", "m"), ("a", "k"), ("z", "a"), ("other", "another")):
            await stores.tasks.save(task(id, parent))
        for id, of in (("1", "m"), ("2", "z"), ("3", "other")):
            await stores.artifacts.put(stowfast.Artifact(artifact_id=id, content=b"x", task_id=of))
        await stores.documents.put("d", {}, metadata={"task_id": "m"})
        done = await moving.erase(stores, ADA)
        assert (done.streams, done.searched) == (7, False)
        assert sorted(await content(stores.backend)) == ["artifacts/3", "documents/d", "tasks/other"]


async def test_an_erasure_needs_a_person_and_names_damage() -> None:
    async with stowfast.open("memory:") as stores:
        await fill(stores)
        for selection in (Selection(), Selection(prefix="a")):
            with pytest.raises(InvalidError):
                await moving.erase(stores, selection)
        assert len(await content(stores.backend)) == 100


async def test_an_export_has_everything_and_stays_in_its_folder(tmp_path: Path) -> None:
    async with stowfast.open("memory:") as stores:
        await fill(stores)
        manifest = await moving.export(stores, tmp_path / "ada", ADA)
        with pytest.raises(InvalidError):
            await moving.export(stores, tmp_path / "ada", ADA)
    assert names(tmp_path) == ["ada"]
    assert json.loads((tmp_path / "ada" / "manifest.json").read_text()) == manifest
    files = {one["path"]: one for one in manifest["files"]}
    assert len(files) == 3 + 20
    for path, told in files.items():
        data = (tmp_path / "ada" / path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (told["size"], told["sha256"])
        assert b"of-bob" not in data
    lines = (tmp_path / "ada" / "messages.jsonl").read_text().splitlines()
    assert [len(json.loads(line)["messages"]) for line in lines] == [30] * 10


async def test_an_export_has_summaries_positions_and_times_and_is_imported(tmp_path: Path) -> None:
    async with stowfast.open("memory:") as stores:
        said = [{"role": "user", "content": f"{n}"} for n in range(6)]
        for name in ("dropped", "kept", "plain"):
            await stores.messages.add_messages(name, said)
            await stores.messages.pop_message(name)
            await stores.messages.add_message(name, said[5])
            await stores.messages.set_metadata(name, {"user": "ada", "summary": "of the user"})
        summary = {"role": "system", "content": "the talk so far"}
        for name in ("dropped", "kept"):
            await stores.messages.compact(name, keep_last=2, summary=summary, drop=name == "dropped")
        await moving.export(stores, tmp_path / "ada", ADA)
        text = (tmp_path / "ada" / "messages.jsonl").read_text()
        lines = {one["context_id"]: one for one in map(json.loads, text.splitlines())}
        for name, one in lines.items():
            assert one["summary"] == (None if name == "plain" else summary)
            kept = [entry async for entry in stores.messages.entries(name)]
            assert one["messages"] == [entry.message for entry in kept]
            assert one["entries"] == [
                {"position": entry.position, "created_at": entry.created_at.isoformat()} for entry in kept
            ]
        assert [one["position"] for one in lines["kept"]["entries"]] == [0, 1, 2, 3, 4, 6]
        assert [one["position"] for one in lines["dropped"]["entries"]] == [4, 6]
    url = f"sqlite:///{tmp_path}/again.db"
    assert await asyncio.to_thread(run, ["import", url, str(tmp_path / "ada" / "messages.jsonl")]) == 0
    async with stowfast.open(url) as again:
        assert await again.messages.get_messages("kept") == said
        info = await again.messages.info("kept")
        assert info is not None
        assert info.metadata == {"user": "ada", "summary": "of the user"}
