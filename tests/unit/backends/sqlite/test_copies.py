"""Backup, restore and compaction: of files in use, after kills, over old logs, and never over somebody else's file."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

import stowfast.sqlite
import stowfast.sync
from stowfast.errors import DamagedError, InvalidError, NotFoundError, UnavailableError

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import sys, stowfast.sync
stores = stowfast.sync.open(sys.argv[1])
for number in range(int(sys.argv[2])):
    stores.messages.add_message("c", {"n": number})
print("done", flush=True)
sys.stdin.read()
"""


def killed_writer(path: Path, messages: int) -> None:
    command = [sys.executable, "-c", WRITER, f"sqlite:///{path}", str(messages)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"done\n"
        writer.kill()


def count(path: Path, query: str = "") -> int:
    with stowfast.sync.open(f"sqlite:///{path}{query}") as stores:
        return stores.messages.count("c")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_backup_of_a_file_in_use_has_all_that_was_acknowledged(tmp_path: Path) -> None:
    path, saved = tmp_path / "agent.db", tmp_path / "saved.db"
    begun = acknowledged = 0
    over = threading.Event()

    def write() -> None:
        nonlocal begun, acknowledged
        while not over.is_set():
            begun += 1
            stores.messages.add_message("c", {"n": acknowledged})
            acknowledged += 1

    with stowfast.sync.open(f"sqlite:///{path}?durability=relaxed") as stores:
        writer = threading.Thread(target=write)
        writer.start()
        found = []
        for _ in range(8):
            before = acknowledged
            assert stowfast.sqlite.backup(path, saved, replace=True) == saved.stat().st_size
            found.append((before, count(saved, "?read_only=true"), begun))
        over.set()
        writer.join()
    print(f"backups: acknowledged before, found, begun after: {found}")
    assert all(before <= there <= after for before, there, after in found)
    assert stat.S_IMODE(saved.stat().st_mode) == 0o600
    assert names(tmp_path) == ["agent.db", "saved.db"]


def test_a_backup_after_a_kill_has_what_is_in_the_log(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    killed_writer(path, 50)
    stowfast.sqlite.backup(f"sqlite:///{path}", tmp_path / "saved.db")
    assert count(tmp_path / "saved.db") == 50
    assert count(path) == 50


def test_a_restore_replaces_the_file_and_its_log(tmp_path: Path) -> None:
    path, saved = tmp_path / "agent.db", tmp_path / "saved.db"
    killed_writer(path, 30)
    stowfast.sqlite.backup(path, saved)
    killed_writer(path, 700)
    assert "agent.db-wal" in names(tmp_path)
    assert stowfast.sqlite.restore(saved, path, replace=True) == path.stat().st_size
    assert names(tmp_path) == ["agent.db", "saved.db"]
    assert count(path) == 30
    path.unlink()
    killed_writer(path, 20)
    path.unlink()  # and the log of another file stays
    stowfast.sqlite.restore(saved, path)
    assert count(path) == 30


def test_a_backup_replaces_no_file_that_is_open(tmp_path: Path) -> None:
    path, used = tmp_path / "agent.db", tmp_path / "used.db"
    killed_writer(path, 30)
    with stowfast.sync.open(f"sqlite:///{used}") as stores:
        stores.messages.add_message("c", {})
        with pytest.raises(InvalidError, match="is open in this process"):
            stowfast.sqlite.backup(path, used, replace=True)
        backup = f"import stowfast.sqlite\nstowfast.sqlite.backup({str(path)!r}, {str(used)!r}, replace=True)"
        ran = subprocess.run([sys.executable, "-c", backup], capture_output=True, text=True, timeout=60, check=False)
        assert "UnavailableError" in ran.stderr
        stores.messages.add_message("c", {})
    assert count(used) == 2
    killed_writer(used, 700)  # its log would be left beside the new file
    stowfast.sqlite.backup(path, used, replace=True)
    assert count(used) == 30


def test_a_restore_that_was_killed_in_the_middle_is_repeated(tmp_path: Path) -> None:
    path, saved = tmp_path / "agent.db", tmp_path / "saved.db"
    killed_writer(path, 30)
    stowfast.sqlite.backup(path, saved)
    killed_writer(path, 700)
    shutil.copyfile(saved, tmp_path / "part")
    os.replace(tmp_path / "part", path)  # the new file is there, and the old log too
    with pytest.raises(InvalidError, match="was not made for"):
        count(path)
    stowfast.sqlite.restore(saved, path, replace=True)
    assert count(path) == 30


def test_a_restore_is_refused_while_the_file_is_open(tmp_path: Path) -> None:
    path, saved = tmp_path / "agent.db", tmp_path / "saved.db"
    with stowfast.sync.open(f"sqlite:///{path}") as stores:
        stores.messages.add_message("c", {})
        stowfast.sqlite.backup(path, saved)
        with pytest.raises(InvalidError, match="open in this process"):
            stowfast.sqlite.restore(saved, path, replace=True)
    command = [sys.executable, "-c", WRITER, f"sqlite:///{path}", "2"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        with pytest.raises(UnavailableError, match="another process has it open"):
            stowfast.sqlite.restore(saved, path, replace=True)
        writer.kill()
    assert count(path) == 3
    assert names(tmp_path) == ["agent.db", "saved.db"]


def test_a_damaged_file_is_replaced_by_its_backup(tmp_path: Path) -> None:
    path, saved = tmp_path / "agent.db", tmp_path / "saved.db"
    killed_writer(path, 300)
    stowfast.sqlite.backup(path, saved)
    pages = bytearray(path.read_bytes())
    pages[4096:] = os.urandom(len(pages) - 4096)
    path.write_bytes(pages)
    with pytest.raises(DamagedError):
        stowfast.sqlite.backup(path, tmp_path / "other.db")
    stowfast.sqlite.restore(saved, path, replace=True)
    assert count(path) == 300
    assert names(tmp_path) == ["agent.db", "saved.db"]


def test_nothing_but_a_stowfast_file_is_replaced(tmp_path: Path) -> None:
    path, text, foreign = tmp_path / "agent.db", tmp_path / "text", tmp_path / "foreign.db"
    text.write_text("mine")
    with closing(sqlite3.connect(foreign)) as other:
        other.execute("CREATE TABLE t (x)")
    with stowfast.sync.open(f"sqlite:///{path}") as stores:
        stores.messages.add_message("c", {})
        os.link(path, tmp_path / "same.db")
        os.symlink(path, tmp_path / "link.db")
        for target in (text, foreign, path, f"{path}-wal", tmp_path / "same.db", tmp_path / "link.db", tmp_path):
            before = names(tmp_path)
            with pytest.raises(InvalidError):
                stowfast.sqlite.backup(path, target, replace=True)
            assert names(tmp_path) == before
        with pytest.raises(InvalidError, match="exists"):
            stowfast.sqlite.backup(path, text)
        with pytest.raises(InvalidError, match="does not exist"):
            stowfast.sqlite.backup(path, tmp_path / "no" / "copy.db")
    for call in (stowfast.sqlite.backup, stowfast.sqlite.restore):
        with pytest.raises(NotFoundError):
            call(tmp_path / "absent.db", tmp_path / "copy.db")
    with pytest.raises(NotFoundError):
        stowfast.sqlite.compact(tmp_path / "absent.db")
    assert text.read_text() == "mine"
    assert count(path) == 1


def test_a_compacted_file_gives_its_space_back(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with stowfast.sync.open(f"sqlite:///{path}") as stores:
        stores.messages.add_messages("gone", [{"text": "x" * 1_000}] * 3_000)
        stores.messages.add_message("c", {"n": 1})
        stores.messages.delete("gone")
        stores.sweep()
        before, after = stowfast.sqlite.compact(path)
        assert before > 3_000_000
        assert after < 300_000
        stores.messages.add_message("c", {"n": 2})  # who has it open goes on
        assert stores.messages.get_messages("c") == [{"n": 1}, {"n": 2}]
    assert path.stat().st_size < 300_000
    assert count(path) == 2
