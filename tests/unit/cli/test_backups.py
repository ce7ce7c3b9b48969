"""The commands for backups, from file to file: a live file is never replaced, and a killed call is repeated."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import pytest

import stowfast.sqlite
import stowfast.sync
from stowfast import moving
from stowfast.cli.main import run
from stowfast.moving import files

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def live(tmp_path: Path) -> str:
    return filled(tmp_path, "live", 3)


def filled(folder: Path, name: str, count: int) -> str:
    url = f"sqlite:///{folder}/{name}.db"
    with stowfast.sync.open(url) as stores:
        for number in range(count):
            stores.messages.add_message(f"{name}-{number}", {"n": number})
    return url


def ids(url: str) -> list[str]:
    with stowfast.sync.open(url) as stores:
        return sorted(one.context_id for one in stores.messages.contexts())


def test_a_live_file_is_no_target_of_a_backup(live: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    other, kept = filled(tmp_path, "other", 1), f"sqlite:///{tmp_path}/kept.db"
    assert run(["backup", other, live]) == 1
    assert "is no backup and holds data" in capfd.readouterr().err
    assert run(["backup", live, kept]) == 0
    assert run(["backup", kept, live]) == 1, "the arguments are swapped"
    assert ids(live) == ids(kept) == ["live-0", "live-1", "live-2"]
    assert not list(tmp_path.glob(".*part*"))


def test_an_empty_file_empties_no_backup(live: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    empty, kept = filled(tmp_path, "empty", 0), f"sqlite:///{tmp_path}/kept.db"
    assert run(["backup", empty, kept]) == 0
    assert run(["backup", live, kept]) == 0
    assert run(["backup", empty, kept]) == 1
    assert "live.db" not in (told := capfd.readouterr().err)
    assert "is empty, and the backup" in told
    assert len(ids(kept)) == 3


def test_backups_by_command_and_by_python_take_turns(live: str, tmp_path: Path) -> None:
    kept = f"sqlite:///{tmp_path}/kept.db"
    for turn in range(4):
        with stowfast.sync.open(live) as stores:
            stores.messages.add_message(f"turn-{turn}", {"n": turn})
        if turn % 2:
            assert asyncio.run(moving.backup(live, kept)).complete
        else:
            assert run(["backup", live, kept]) == 0
        assert ids(kept) == ids(live)


def test_a_restored_file_is_no_backup(live: str, tmp_path: Path) -> None:
    kept, back = f"sqlite:///{tmp_path}/kept.db", f"sqlite:///{tmp_path}/back.db"
    assert run(["backup", live, kept]) == 0
    assert run(["restore", kept, back]) == 0
    other = filled(tmp_path, "other", 1)
    assert run(["backup", other, back]) == 1
    assert ids(back) == ids(live)


async def test_a_file_restored_by_python_is_no_backup_either(live: str, tmp_path: Path) -> None:
    kept, back = f"sqlite:///{tmp_path}/kept.db", f"sqlite:///{tmp_path}/back.db"
    assert await asyncio.to_thread(run, ["backup", live, kept]) == 0
    stowfast.sqlite.restore(kept, back)  # within an event loop, too
    other = await asyncio.to_thread(filled, tmp_path, "other", 1)
    assert await asyncio.to_thread(run, ["backup", other, back]) == 1
    assert (await moving.verify(back)).digest == (await moving.verify(live)).digest
    assert not (tmp_path / "back.db-wal").exists()


def test_a_killed_restore_is_repeated(live: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, back = f"sqlite:///{tmp_path}/kept.db", f"sqlite:///{tmp_path}/back.db"
    assert run(["backup", live, kept]) == 0

    async def killed(*_: object, **__: object) -> moving.Verified:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files, "verify", killed)
        assert run(["restore", kept, back]) not in (0, 1)
    made = (tmp_path / "back.db").stat().st_ino
    assert run(["restore", kept, back]) == 0
    assert (tmp_path / "back.db").stat().st_ino == made, "it is read, and not made again"
    assert ids(back) == ids(live)
    assert run(["restore", kept, back]) == 1, "it is in use now"


def test_a_restored_file_that_was_written_to_is_not_replaced(
    live: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, back = f"sqlite:///{tmp_path}/kept.db", f"sqlite:///{tmp_path}/back.db"
    assert run(["backup", live, kept]) == 0

    async def killed(*_: object, **__: object) -> moving.Verified:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(files, "verify", killed)
        run(["restore", kept, back])
    with stowfast.sync.open(back) as stores:
        stores.messages.add_message("mine", {"n": 1})
    assert run(["restore", kept, back]) == 1
    assert "mine" in ids(back)


def test_an_empty_file_is_restored_into(live: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    kept, back = f"sqlite:///{tmp_path}/kept.db", filled(tmp_path, "back", 0)
    assert run(["backup", live, kept]) == 0
    capfd.readouterr()
    assert run(["restore", kept, back, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["streams"] == 3
    assert ids(back) == ids(live)


def test_a_damaged_file_is_not_taken_for_a_backup(live: str, tmp_path: Path) -> None:
    kept = tmp_path / "kept.db"
    assert run(["backup", live, f"sqlite:///{kept}"]) == 0
    content = kept.read_bytes()
    kept.write_bytes(content[:100] + b"\xff" * (len(content) - 100))
    damaged = kept.read_bytes()
    assert run(["backup", live, f"sqlite:///{kept}"]) == 1
    assert kept.read_bytes() == damaged
