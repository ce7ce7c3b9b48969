"""The commands for whole places."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

import stowfast.sync
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
    return url


def emitted(capfd: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> Any:
    capfd.readouterr()
    assert run([*arguments, "--json"]) == code
    return json.loads(capfd.readouterr().out)


def test_a_copy_and_its_digest(place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = f"sqlite:///{tmp_path}/two.db"
    assert emitted(capfd, "copy", place, target, "--dry-run")["streams"] == 5
    assert not (tmp_path / "two.db").exists()
    assert emitted(capfd, "copy", place, target, "--where", "user=ada")["entries"] == 20
    assert emitted(capfd, "copy", place, target)["already_there"] == 2
    one, two = emitted(capfd, "verify", place), emitted(capfd, "verify", target)
    assert one["sound"]
    assert one == two
    run(["copy", place, target])
    assert "5 already there" in capfd.readouterr().out
    run(["verify", target])
    assert one["digest"] in capfd.readouterr().out


def test_a_stream_of_others_fails_the_command(place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = f"sqlite:///{tmp_path}/two.db"
    with stowfast.sync.open(target) as stores:
        stores.messages.add_message("c1", {"mine": True})
    assert run(["copy", place, target]) == 1
    out, err = capfd.readouterr()
    assert "messages/c1: another stream of this name lives there" in err
    assert "1 NOT copied" in out
    found = emitted(capfd, "copy", place, target, code=1)
    assert [one["stream"] for one in found["differences"]] == ["messages/c1"]


def test_a_move_leaves_nothing_behind(place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    target = f"sqlite:///{tmp_path}/two.db"
    digest = emitted(capfd, "verify", place)["digest"]
    assert run(["copy", "--move", "--dry-run", place, target]) == 2
    assert emitted(capfd, "copy", "--move", place, target)["streams"] == 5
    assert emitted(capfd, "verify", target)["digest"] == digest
    assert emitted(capfd, "verify", place)["streams"] == 0
    both = f"moving:?from={quote(place, safe='')}&to={quote(target, safe='')}"
    with stowfast.sync.open(both) as stores:
        assert stores.messages.add_message("c1", {"n": "later"}) == 10


@pytest.mark.parametrize(
    "wrong", [["--where", "user"], ["--since", "yesterday"], ["--where", "=x"]], ids=lambda given: given[-1]
)
def test_a_wrong_selection_is_refused(place: str, wrong: list[str]) -> None:
    assert run(["verify", place, *wrong]) == 2


@pytest.mark.parametrize("command", [["copy"], ["copy", "--move"], ["backup"], ["restore"]], ids=" ".join)
def test_memory_that_ends_with_the_command_is_no_target(
    place: str, command: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert run([*command, place, "memory:"]) == 1
    out, err = capfd.readouterr()
    assert (out, "ends with the command" in err) == ("", True)
    assert emitted(capfd, "verify", place)["streams"] == 5


def test_a_dry_run_foresees_the_difference_and_the_bytes(
    place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    target = f"sqlite:///{tmp_path}/two.db"
    would = emitted(capfd, "copy", place, target, "--dry-run")
    done = emitted(capfd, "copy", place, target)
    assert 0 < would["bytes"] == done["bytes"]
    with stowfast.sync.open(target) as stores:
        stores.messages.add_message("c0", {"n": "by itself"})
    assert run(["copy", place, target, "--dry-run"]) == 1
    out, err = capfd.readouterr()
    assert "1 would NOT be copied" in out
    assert "messages/c0: the stream went on there by itself" in err
    assert run(["copy", place, target]) == 1
    assert "messages/c0: the stream went on there by itself" in capfd.readouterr().err


def test_a_kind_that_nobody_has_is_refused(place: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["copy", place, f"sqlite:///{tmp_path}/two.db", "--kind", "messagez"]) == 1
    assert "no kind 'messagez': the kinds here are artifacts, documents" in capfd.readouterr().err


def test_streams_are_told_by_their_nouns(place: str, capfd: pytest.CaptureFixture[str]) -> None:
    with stowfast.sync.open(place) as stores:
        stores.tasks.save(stowfast.TaskState(task_id="t", data={}))
    for command, told in (
        ("verify", "5 conversations, 1 task: 51 entries"),
        ("stats", "5 conversations with 50 entries\n1 task with 1 entry"),
        ("du", "messages: 5 conversations, 50 entries"),
    ):
        capfd.readouterr()
        assert run([command, place]) == 0
        assert told in capfd.readouterr().out
