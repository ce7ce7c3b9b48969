"""Folders of Strands: links, pipes, large files and wrong names are refused, session by session."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import InvalidError, importing
from tests.unit.importing.sources import artifact_of, put_no_file

if TYPE_CHECKING:
    from pathlib import Path

    from stowfast.moving import Copied


def made(folder: Path, name: str, messages: int = 12) -> Path:
    """Make a session with one agent, and return its folder."""
    home = folder / f"session_{name}"
    (home / "agents" / "agent_a" / "messages").mkdir(parents=True)
    (home / "session.json").write_text(json.dumps({"session_id": name}))
    (home / "agents" / "agent_a" / "agent.json").write_text(json.dumps({"agent_id": "a", "state": {}}))
    for number in range(messages):
        path = home / "agents" / "agent_a" / "messages" / f"message_{number}.json"
        path.write_text(json.dumps({"message_id": number, "message": {}, "created_at": "2026-01-02T03:04:05+00:00"}))
    return home


async def imported(folder: Path) -> tuple[Copied, list[str], Any]:
    async with stowfast.open("memory:") as stores:
        done = await importing.import_from("strands", str(folder), stores)
        page = await stores.messages.contexts(limit=1_000, order="id")
        good = await stores.messages.get_messages("strands/good/a")
        return done, [one.context_id for one in page], [one["message_id"] for one in good]


async def test_messages_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    made(tmp_path, "good")
    made(tmp_path, "empty", 0)
    (tmp_path / "other").mkdir()
    done, found, numbers = await imported(tmp_path)
    assert (done.complete, found, numbers) == (True, ["strands/good/a"], [*range(12)])


@pytest.mark.parametrize(
    "kind", ["link", "pipe", "large", "folder", "no json", "no object", "bytes", "number", "deep", "missing"]
)
@pytest.mark.parametrize(
    "place", ["session.json", "agents/agent_a/agent.json", "agents/agent_a/messages/message_3.json"]
)
async def test_a_bad_file_refuses_what_it_belongs_to(tmp_path: Path, place: str, kind: str) -> None:
    folder, outside = tmp_path / "theirs", tmp_path / "secret.json"
    made(folder, "good")
    path = made(folder, "bad") / place
    path.rename(outside)
    match kind:
        case "link" | "pipe" | "large" | "folder":
            put_no_file(path, kind, outside)
        case "no json":
            path.write_text("{")
        case "no object":
            path.write_text("[]")
        case "bytes":
            path.write_bytes(b"\xff\xfe{}")
        case "number":
            path.write_text('{"message_id": NaN}')
        case "deep":
            path.write_text('{"a":' * 100_000)
    done, found, numbers = await imported(folder)
    assert numbers == [*range(12)]
    if kind == "missing" and "message_" in place:
        assert done.complete
        return
    assert len(done.differences) == 1
    assert found == (["strands/good/a"])


async def test_linked_folders_are_not_followed(tmp_path: Path) -> None:
    folder, outside = tmp_path / "theirs", tmp_path / "outside"
    made(folder, "good")
    (folder / "session_linked").symlink_to(made(outside, "secret"))
    agents = made(folder, "bad") / "agents"
    (agents / "agent_b").symlink_to(outside / "session_secret" / "agents" / "agent_a")
    done, found, _ = await imported(folder)
    assert [one.stream for one in done.differences] == ["session_bad", "session_linked"]
    assert found == ["strands/bad/a", "strands/good/a"]


@pytest.mark.parametrize(
    "name", ["message_x.json", "message_-1.json", "message_1e3.json", "message_01.json", "message_.json"]
)
async def test_names_without_a_number_are_refused(tmp_path: Path, name: str) -> None:
    made(tmp_path, "good")
    (made(tmp_path, "bad") / "agents" / "agent_a" / "messages" / name).write_text("{}")
    done, found, _ = await imported(tmp_path)
    assert [one.stream for one in done.differences] == ["session_bad"]
    assert found == ["strands/good/a"]


async def test_a_path_that_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "none", tmp_path / "file"):
        with pytest.raises(InvalidError, match="no folder"):
            await imported(path)


def snapshots(folder: Path, name: str) -> Path:
    """Make two snapshots of an agent and the newest state of a graph, and return their session's folder."""
    home = folder / "session" / name
    history = home / "scopes" / "agent" / "a" / "snapshots" / "immutable_history"
    history.mkdir(parents=True)
    for number in range(2):
        (history / f"snapshot_{number}.json").write_text(
            json.dumps({"created_at": "2026-01-02T03:04:05Z", "n": number})
        )
    graph = home / "scopes" / "multiAgent" / "g" / "snapshots"
    graph.mkdir(parents=True)
    for newest in (history.parent, graph):
        (newest / "snapshot_latest.json").write_text(json.dumps({"created_at": "2026-01-02T03:04:06Z"}))
        (newest / ".__strands_tmp_1").write_text("{")
    return home


async def test_snapshots_are_the_keys_of_a_storage(tmp_path: Path) -> None:
    snapshots(tmp_path, "s ü")
    (tmp_path / "session" / "empty").mkdir()
    async with stowfast.open("memory:") as stores:
        for streams in (4, 0):
            done = await importing.import_from("strands", str(tmp_path), stores)
            assert (done.streams, done.differences) == (streams, [])
        found = await artifact_of(
            stores, "strands_storage/session/s%20%C3%BC/scopes/agent/a/snapshots/snapshot_latest.json"
        )
        assert found.content == b'{"created_at": "2026-01-02T03:04:06Z"}'
        assert found.created_at is not None
        assert found.created_at.isoformat() == "2026-01-02T03:04:06+00:00"


@pytest.mark.parametrize("kind", ["link", "pipe", "large", "folder", "no json", "[]", "deep", "NaN", "bytes"])
async def test_a_bad_snapshot_is_refused_alone(tmp_path: Path, kind: str) -> None:
    folder, outside = tmp_path / "theirs", tmp_path / "secret.json"
    path = snapshots(folder, "s") / "scopes/agent/a/snapshots/immutable_history/snapshot_1.json"
    path.rename(outside)
    if kind in {"link", "pipe", "large", "folder"}:
        put_no_file(path, kind, outside)
    else:
        deep = {"deep": '{"a":' * 100_000, "NaN": '{"a": NaN}', "no json": "{"}
        path.write_bytes(b'{"a": "\xff"}' if kind == "bytes" else deep.get(kind, kind).encode())
    async with stowfast.open("memory:") as stores:
        done = await importing.import_from("strands", str(folder), stores)
        name = "session/s/scopes/agent/a/snapshots/immutable_history/snapshot_1.json"
        assert [one.stream for one in done.differences] == [name]
        assert done.streams == 3


async def test_linked_folders_of_snapshots_are_not_followed(tmp_path: Path) -> None:
    folder, secret = tmp_path / "theirs", snapshots(tmp_path / "outside", "secret")
    good = snapshots(folder, "good")
    (folder / "session" / "linked").symlink_to(secret)
    (good / "scopes" / "agent" / "b").symlink_to(secret / "scopes" / "agent" / "a")
    done, _, _ = await imported(folder)
    assert (len(done.differences), done.streams) == (3, 4)  # each of the two folders of the linked agent
