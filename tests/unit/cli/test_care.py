"""The commands for the care of a place."""

from __future__ import annotations

import json
import re
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

import stowfast.sync
from stowfast import moving
from stowfast.cli import pace
from stowfast.cli.main import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/one.db"
    with stowfast.sync.open(url) as stores:
        for number in range(5):
            stores.messages.add_messages(f"c{number}", [{"n": n} for n in range(10)])
            stores.messages.set_metadata(f"c{number}", {"user": "ada" if number < 2 else "bob"})
        stores.artifacts.put(stowfast.Artifact(artifact_id="a", content=b"x" * 100_000, context_id="c0"))
    return url


def emitted(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capfd.readouterr()
    assert run([*arguments, "--json"]) == code
    return json.loads(capfd.readouterr().out)


def test_a_file_is_backed_up_while_it_is_written_and_restored(
    place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept, back = f"sqlite:///{tmp_path}/kept.db", f"sqlite:///{tmp_path}/back.db"
    with stowfast.sync.open(place) as stores:
        stores.messages.add_message("c0", {"n": "in the log"})
        first = emitted(capfd, "backup", place, kept)
        stores.messages.add_message("c0", {"n": "later"})
        second = emitted(capfd, "backup", place, kept)
    assert second["entries"] == first["entries"] + 1
    assert emitted(capfd, "restore", kept, back)["digest"] == emitted(capfd, "verify", place)["digest"]
    assert run(["restore", kept, back]) == 1
    assert "exists" in capfd.readouterr().err


def test_a_log_left_by_an_earlier_file_does_no_harm(
    place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    kept, back = f"sqlite:///{tmp_path}/kept.db", tmp_path / "back.db"
    digest = emitted(capfd, "backup", place, kept)["digest"]
    with stowfast.sync.open(f"sqlite:///{tmp_path}/other.db") as stores:
        for number in range(50):
            stores.messages.add_message("other", {"n": number})
        for suffix in ("-wal", "-shm"):
            shutil.copy(f"{tmp_path}/other.db{suffix}", f"{back}{suffix}")
    assert (tmp_path / "back.db-wal").stat().st_size > 0
    assert emitted(capfd, "restore", kept, f"sqlite:///{back}")["digest"] == digest
    assert emitted(capfd, "verify", f"sqlite:///{back}")["digest"] == digest


def test_removal_asks_first(place: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["rm", place]) == 2
    capfd.readouterr()
    assert run(["rm", place, "--prefix", "no-such"]) == 0
    assert capfd.readouterr().out == "there is no such stream\n"
    found = emitted(capfd, "rm", place, "--where", "user=ada", "--related")
    assert (sorted(found["streams"]), found["deleted"]) == (["artifacts/a", "messages/c0", "messages/c1"], 0)
    assert emitted(capfd, "rm", place, "--where", "user=ada", "--related", "--yes")["deleted"] == 3
    assert emitted(capfd, "stats", place)["streams"] == {"messages": 3}
    assert "size_after" not in emitted(capfd, "compact", place)


def test_counts_and_bytes(place: str, capfd: pytest.CaptureFixture[str]) -> None:
    found = emitted(capfd, "stats", place)
    assert (found["streams"], found["entries"]) == ({"messages": 5, "artifacts": 1}, {"messages": 50, "artifacts": 1})
    usage = emitted(capfd, "du", place)
    assert usage["artifacts"]["blob_bytes"] == 100_000
    assert {user: one["streams"] for user, one in emitted(capfd, "du", place, "--by", "user").items()} == {
        "ada": 2, "bob": 3, "": 1,
    }  # fmt: skip
    for command in ("stats", "du", "health"):
        assert run([command, place]) == 0


def test_a_probe_tells_whether_a_place_answers(place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert emitted(capfd, "health", place)["healthy"]
    missing = emitted(capfd, "health", f"sqlite:///{tmp_path}/none.db", code=1)
    assert (missing["healthy"], "no file" in missing["error"]) == (False, True)
    assert not (tmp_path / "none.db").exists()


def test_work_without_a_count_says_that_it_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "_REPORT_SECONDS", 0.01)
    told = ""
    with pace.waited("counting"):
        while told.count("so far") < 2:
            told += capsys.readouterr().err
    assert re.match(r"counting: \d+ ms so far\n", told)
    with pace.waited("counting") as tell:
        tell(1)
        tell(12_345)
        while "streams" not in told:
            told += capsys.readouterr().err
    assert re.search(r"counting: 12,345 streams, \d+ ms so far\n", told)
    threads = threading.active_count()
    with pytest.raises(KeyboardInterrupt), pace.waited("counting"):
        raise KeyboardInterrupt
    assert threading.active_count() == threads


async def test_work_over_all_streams_says_how_far_it_is(place: str) -> None:
    seen: dict[str, list[int]] = {name: [] for name in ("statistics", "measure", "find", "remove", "erase")}
    await moving.statistics(place, progress=seen["statistics"].append)
    await moving.measure(place, lambda head: head.name, progress=seen["measure"].append)
    selection = moving.Selection(where={"user": "bob"})
    found = await moving.find(place, selection, progress=seen["find"].append)
    await moving.remove(place, moving.Selection(where={"user": "ada"}), progress=seen["remove"].append)
    await moving.erase(place, selection, progress=seen["erase"].append)
    looked_at = [*range(1, len(seen["statistics"]) + 1)]
    assert looked_at
    assert seen["statistics"] == seen["measure"] == seen["find"] == looked_at
    assert seen["remove"] == [1, 2]
    assert seen["erase"] == [*range(1, len(found) + 1)]
