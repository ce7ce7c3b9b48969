"""Folders of looopy, imported: our stores return the same values as its own. Hostile ones are refused, file by file."""

from __future__ import annotations

import json
import shutil
import time
from datetime import datetime
from itertools import product
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import importing, moving
from tests.unit.importing.looopy_files import (
    CHUNKS,
    FAR,
    MESSAGES,
    MOMENT,
    ROWS,
    add_artifact,
    add_message,
    made,
    write,
)
from tests.unit.importing.sources import artifact_of, messages, put_no_file

if TYPE_CHECKING:
    from pathlib import Path

    from stowfast.moving import Copied

STREAMS = 8


async def imported(folder: Path, stores: stowfast.Stores) -> Copied:
    return await importing.import_from("looopy", str(folder), stores)


@pytest.mark.slow
async def test_two_hundred_contexts(tmp_path: Path) -> None:
    named = {f"c{number}": messages(600 if number % 50 == 7 else 1 + number % 20) for number in range(200)}
    for name, items in named.items():
        for index, message in enumerate(items):
            add_message(tmp_path / "agent=a" / f"context={name}", index, message, number=index)
    async with stowfast.open(f"sqlite:///{tmp_path}/t.db") as stores:
        began = time.perf_counter()
        done = await imported(tmp_path, stores)
        print(f"looopy: {done.entries / (time.perf_counter() - began):,.0f} entries a second")
        assert (done.streams, done.entries, done.differences) == (200, sum(map(len, named.values())), [])
        again = await imported(tmp_path, stores)
        assert (again.streams, again.entries, again.already_there) == (0, 0, 200)
        for name, items in named.items():
            assert await stores.messages.get_messages(f"a/{name}") == items


async def refused(folder: Path) -> tuple[list[str], int]:
    """Return the names of refused streams, and the number of others."""
    async with stowfast.open("memory:") as stores:
        done = await imported(folder, stores)
        assert await stores.messages.get_messages("a/good") == MESSAGES
        return [str(one.stream) for one in done.differences], done.streams


async def test_a_context_with_everything(tmp_path: Path) -> None:
    made(tmp_path / "theirs")
    target = f"sqlite:///{tmp_path}/ours.db"
    async with stowfast.open(target) as stores:
        for repeat in range(2):
            done = await imported(tmp_path / "theirs", stores)
            assert (done.complete, done.streams) == (True, 0 if repeat else STREAMS)
        assert await stores.messages.get_messages("a/good") == MESSAGES
        entries = [entry async for entry in stores.messages.entries("a/good")]
        assert {one.created_at for one in entries} == {datetime.fromisoformat(MOMENT)}
        info = await stores.messages.info("a/good")
        assert info is not None
        assert (info.metadata["title"], info.metadata["ownerId"]) == ("T", "ada")
        document = await stores.documents.get("a/good")
        assert document is not None
        assert document.data["turnCount"] == 1
        for name, status in (("task_1", "completed"), ("child", "working")):
            task = await stores.tasks.load(f"a/good/{name}")
            assert task is not None
            assert (task.status, task.context_id, task.parent_task_id) == (status, "a/good", "a/good/task_1")
            assert (task.expires_at, task.data["messages"]) == (datetime.fromisoformat(FAR), MESSAGES)
            assert "_metadata" not in task.data
        await check_artifacts(stores)
    verified = await moving.verify(target)
    assert (verified.damaged, verified.blobs) == ([], 2)


async def check_artifacts(stores: stowfast.Stores) -> None:
    found = {name: await artifact_of(stores, f"a/good/{name}") for name in ("text", "picture", "data", "rows")}
    assert found["text"].content == "# ü😀\n" * 10_000
    assert (found["picture"].content, found["picture"].mime_type) == (b"".join(CHUNKS), "image/png")
    assert found["data"].content == {"a": [1.5, None]}
    assert [row async for row in stores.artifacts.rows("a/good/rows")] == ROWS
    assert found["rows"].schema == {"columns": {"n": "number?", "s": "string?"}}
    assert {one.task_id for one in found.values()} == {"a/good/task_1"}
    assert {one.created_at for one in found.values()} == {datetime.fromisoformat(MOMENT)}
    updated = await stores.artifacts.update(stowfast.Artifact(artifact_id="a/good/text", content="more"))
    assert updated.version == 2


async def test_growth_is_added_and_content_is_replaced_until_it_is_changed_here(tmp_path: Path) -> None:
    home = made(tmp_path)
    async with stowfast.open("memory:") as stores:
        await imported(tmp_path, stores)
        # Two processes gave one index, and looopy counts from a lower one after a compaction.
        for index, number, second in ((3, 0, 6), (3, 1, 6), (1, 2, 7)):
            add_message(home, index, {"role": "user", "content": str(number)}, number=number, second=second)
        (home / "artifacts" / "text" / "content.txt").write_text("more" * 20_000)
        (home / "artifacts" / "picture" / "content.txt").write_text("AAAA")
        task = json.loads((home / "task" / "child.json").read_text())
        write(home / "task" / "child.json", task | {"completed": True})
        done = await imported(tmp_path, stores)
        assert (done.complete, done.streams, done.already_there) == (True, 4, STREAMS - 4)
        found = await stores.messages.get_messages("a/good")
        assert [one["content"] for one in found[len(MESSAGES) :]] == ["0", "1", "2"]
        text = await artifact_of(stores, "a/good/text")
        assert (text.content, text.version) == ("more" * 20_000, 2)
        assert (await artifact_of(stores, "a/good/picture")).content == b"\0\0\0"
        state = await stores.tasks.load("a/good/child")
        assert state is not None
        assert (state.status, state.version) == ("completed", 2)
        await stores.tasks.save(state)
        write(home / "task" / "child.json", task)
        await stores.artifacts.update(stowfast.Artifact(artifact_id="a/good/text", content="own"))
        (home / "artifacts" / "text" / "content.txt").write_text("theirs")
        done = await imported(tmp_path, stores)
        assert [one.stream for one in done.differences] == ["tasks/a/good/child", "artifacts/a/good/text"]
        assert (await artifact_of(stores, "a/good/text")).content == "own"


async def test_expired_tasks_are_left_out(tmp_path: Path) -> None:
    home = made(tmp_path)
    write(home / "task" / "old.json", {"taskId": "old", "_metadata": {"expiresAt": MOMENT}})
    write(home / "task" / "kept.json", {"taskId": "kept", "_metadata": 7})
    async with stowfast.open("memory:") as stores:
        assert (await imported(tmp_path, stores)).complete
        assert await stores.tasks.load("a/good/old") is None
        kept = await stores.tasks.load("a/good/kept")
        assert kept is not None
        assert (kept.data, kept.expires_at) == ({"taskId": "kept"}, None)


PLACES = {
    "context.json": 0,
    "messages/2026-01-02T03-04-05_678Z-001-000001.json": STREAMS - 1,
    "task/child.json": STREAMS - 1,
    "artifacts/data/metadata.json": STREAMS - 1,
    "artifacts/data/data.json": STREAMS - 1,
    "artifacts/rows/rows.jsonl": STREAMS - 1,
    "artifacts/text/content.txt": STREAMS - 1,
}
"""Files, and the number of streams of their context that are imported without them."""
HOSTILE: dict[str, bytes] = {
    "no json": b"{",
    "pickle": b"\x80\x04N.",
    "bytes": b"\xff\xfe{}",
    "number": b'{"a": NaN}',
    "surrogate": b'{"a": "\\ud83d"}',
    "deep": b'{"a":' * 100_000,
    "deep and whole": b'{"a":' + b"[" * 300 + b"]" * 300 + b"}",
    "digits": b'{"a": ' + b"9" * 5_000 + b"}",
}
OTHER = ("link", "pipe", "large", "folder")


@pytest.mark.parametrize(
    ("kind", "place"), [*product(HOSTILE, list(PLACES)[:3]), *product(("no json", "bytes", *OTHER), list(PLACES)[3:])]
)
async def test_a_hostile_file_refuses_what_it_belongs_to(tmp_path: Path, kind: str, place: str) -> None:
    folder, outside = tmp_path / "theirs", tmp_path / "secret.json"
    made(folder)
    path = made(folder, "bad") / place
    path.rename(outside)
    match kind:
        case "link" | "pipe" | "large" | "folder":
            put_no_file(path, kind, outside)
        case _:
            path.write_bytes(HOSTILE[kind])
    if (kind, place) == ("no json", "artifacts/text/content.txt"):
        assert await refused(folder) == ([], 2 * STREAMS)  # it is a text as good as any other
        return
    names, streams = await refused(folder)
    assert len(names) == 1
    assert "bad" in names[0]
    assert streams == STREAMS + PLACES[place]


@pytest.mark.parametrize("place", ["", "messages", "task", "artifacts", "artifacts/data"])
async def test_linked_folders_are_not_followed(tmp_path: Path, place: str) -> None:
    folder, outside = tmp_path / "theirs", tmp_path / "outside"
    made(folder)
    path = made(folder, "bad") / place
    shutil.move(path, outside)
    path.symlink_to(outside)
    names, _ = await refused(folder)
    assert len(names) == 1
    async with stowfast.open("memory:") as stores:
        await imported(folder, stores)
        page = await stores.artifacts.list(context_id="a/bad", limit=10)
        assert "a/bad/data" not in [one.artifact_id for one in page]


@pytest.mark.parametrize(
    "name", ["x", "2026-01-02T03-04-05_678Z", "-001-000001", "2026-01-02T03-04-05_678Z-1-2", "2026-001-000001\n"]
)
async def test_a_message_with_another_name_is_refused(tmp_path: Path, name: str) -> None:
    made(tmp_path)
    write(made(tmp_path, "bad") / "messages" / f"{name}.json", {})
    assert await refused(tmp_path) == (["messages/a/bad"], 2 * STREAMS - 1)


RECORDS: list[dict[str, Any]] = [
    {"type": "program"},
    {"type": ["file"]},
    {"type": "file", "chunks": 7},
    {"type": "file", "chunks": [7]},
    {"type": "file", "encoding": "base64", "chunks": [{"data": "no base64!"}]},
    {"type": "dataset", "rows": [7]},
    {"type": "dataset", "rows": {}},
    {"type": "data", "name": ["a"]},
    {"type": "data", "taskId": 7},
    {"type": "data", "externalStorage": {"provider": "s3", "key": "k"}},
    {"type": "data", "more": "x" * 2**25},
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: repr(record)[:80])
async def test_a_hostile_record_refuses_its_artifact(tmp_path: Path, record: dict[str, Any]) -> None:
    add_artifact(made(tmp_path), "bad", record["type"], **{key: one for key, one in record.items() if key != "type"})
    names, streams = await refused(tmp_path)
    assert [one.rpartition("/")[2] for one in names] == ["bad"]
    assert streams == STREAMS


async def test_a_record_that_no_head_holds_is_imported_whole(tmp_path: Path) -> None:
    add_artifact(made(tmp_path), "large", "data", data=[7], more="x" * 70_000)
    async with stowfast.open("memory:") as stores:
        assert (await imported(tmp_path, stores)).complete
        found = await artifact_of(stores, "a/good/large")
        assert found.metadata["looopy"]["more"] == "x" * 70_000
        page = await stores.artifacts.list(prefix="a/good/large")
        assert [one.left_out for one in page] == [("metadata",)]


async def test_columns_that_do_not_fit_the_rows_are_left_out(tmp_path: Path) -> None:
    home = made(tmp_path)
    for name, schema in (
        ("wrong", {"columns": [{"name": "n", "type": "string"}]}),
        ("none", [7]),
        ("odd", {"columns": [7]}),
    ):
        add_artifact(home, name, "dataset", rows=ROWS, schema=schema)
    async with stowfast.open("memory:") as stores:
        assert (await imported(tmp_path, stores)).complete
        for name in ("wrong", "none", "odd"):
            found = await artifact_of(stores, f"a/good/{name}")
            assert (found.schema, found.rows) == (None, 2)


async def test_an_id_with_a_slash_is_named(tmp_path: Path) -> None:
    made(tmp_path)
    made(tmp_path, "b/x")
    write(tmp_path / "agent=a" / "context=good" / "artifacts" / "p" / "q" / "metadata.json", {"type": "data"})
    names, _ = await refused(tmp_path)
    assert [one.rpartition("/")[2] for one in names] == ["context=b", "p"]
