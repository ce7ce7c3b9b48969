"""The log beside a file: removed, replaced, left by a killed process or beside a backup. Nothing is lost unseen."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
import stowfast.sqlite
import stowfast.sync
from stowfast.backends.sqlite.opening import find_mark
from stowfast.errors import InvalidError, UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Copier = Callable[[Path, Path], None]

KILLS = 30

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")

# Is in the middle of its first transaction, with a part of it in the file.
CREATOR = """
import sqlite3, sys
file = sqlite3.connect(sys.argv[1], isolation_level=None)
file.execute("PRAGMA cache_size=1")
file.execute("BEGIN EXCLUSIVE")
file.execute("CREATE TABLE t (x)")
for _ in range(200):
    file.execute("INSERT INTO t VALUES (randomblob(4000))")
print("done", flush=True)
sys.stdin.read()
"""

# Does what each line says, and answers with a line.
WORKER = """
import sys, sqlite3, threading, stowfast.sync
from stowfast.errors import StowfastError
url = sys.argv[1]
def read():
    try:
        while True:
            stores.messages.get_messages("c")
    except StowfastError:
        pass
for line in sys.stdin:
    verb, _, text = line.strip().partition(" ")
    try:
        if verb == "open":
            stores = stowfast.sync.open(url)
        elif verb == "plain":  # a connection of the same process that is none of ours
            plain = sqlite3.connect(text)
            plain.execute("SELECT count(*) FROM streams").fetchall()
        elif verb == "readers":  # which keep a part of the log for themselves, again and again
            for _ in range(2):
                threading.Thread(target=read, daemon=True).start()
        elif verb == "add":
            for number in range(int(text)):
                stores.messages.add_message("c", {"text": "x" * 200})
        elif verb == "delete":
            stores.messages.delete("c")
            stores.sweep()
        elif verb == "close":
            stores.close()
        print("done", flush=True)
    except StowfastError as error:
        print(type(error).__name__, error, flush=True)
"""


class Worker:
    """Another process. It does one thing at a time."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WORKER, f"sqlite:///{path}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def say(self, line: str) -> str:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def do(self, *lines: str) -> None:
        for line in lines:
            assert self.say(line) == "done", line

    def end(self) -> None:
        """End the process in order."""
        self.process.communicate(timeout=60)

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()


@contextmanager
def worker(path: Path) -> Iterator[Worker]:
    started = Worker(path)
    try:
        yield started
    finally:
        started.kill()


def count(path: Path, **options: Any) -> int:
    with stowfast.sync.open(f"sqlite:///{path}", **options) as stores:
        return stores.messages.count("c")


def remove(path: Path, *suffixes: str) -> None:
    for suffix in suffixes:
        os.unlink(f"{path}{suffix}")


def contents(path: Path) -> list[bytes]:
    return [beside.read_bytes() for beside in sorted(path.parent.iterdir())]


COMPANIONS = [("-wal",), ("-wal", "-shm"), ("-shm",)]


@pytest.mark.parametrize("beside", [(), ("readers",)], ids=["alone", "beside readers"])
@pytest.mark.parametrize("removed", COMPANIONS, ids="".join)
def test_a_log_that_was_removed_takes_no_more_writes(
    tmp_path: Path, removed: tuple[str, ...], beside: tuple[str, ...]
) -> None:
    path = tmp_path / "agent.db"
    with worker(path) as writer:
        writer.do("open", *beside, "add 20")
        remove(path, *removed)
        answer = writer.say("add 1")
        assert answer.startswith("UnavailableError")
        writer.kill()
        assert "removed or replaced" in answer
    found = count(path)
    print(f"1 kill, 20 acknowledged, {found} found")
    assert found in {20, 21}


@pytest.mark.parametrize("removed", COMPANIONS, ids="".join)
def test_an_opening_is_refused_while_another_process_holds_a_log_without_a_name(
    tmp_path: Path, removed: tuple[str, ...]
) -> None:
    path = tmp_path / "agent.db"
    with worker(path) as writer:
        writer.do("open", "add 20")
        remove(path, *removed)
        with pytest.raises(UnavailableError, match="no log lies beside it"):
            count(path, timeout=0.3)
        for _ in range(2):
            assert "removed or replaced" in writer.say("add 1")
        assert count(path) in {20, 21}
        writer.do("open", "add 5", "close")
    assert count(path) in {25, 26}


@pytest.mark.parametrize("removed", COMPANIONS, ids="".join)
def test_a_second_opening_of_the_same_process_sees_a_removed_log(tmp_path: Path, removed: tuple[str, ...]) -> None:
    path = tmp_path / "agent.db"
    with stowfast.sync.open(f"sqlite:///{path}") as stores:
        stores.messages.add_message("c", {})
        remove(path, *removed)
        with pytest.raises(UnavailableError, match="removed or replaced"):
            count(path)
        with pytest.raises(UnavailableError, match="removed or replaced"):
            stores.messages.get_messages("c")
    assert count(path) == 1


def test_a_file_that_is_moved_away_takes_no_more_writes_whatever_the_clock_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "agent.db"
    with stowfast.sync.open(f"sqlite:///{path}") as stores:
        stores.messages.add_message("c", {})
        monkeypatch.setattr("stowfast.backends.sqlite.backend.clock", lambda: 0)
        os.rename(path, tmp_path / "moved.db")
        with pytest.raises(UnavailableError, match="removed or replaced"):
            stores.messages.add_message("c", {})


@pytest.mark.parametrize("put", ["nothing", "a backup"])
@pytest.mark.parametrize("end", ["close", "add 1"])
def test_a_file_beside_the_log_of_one_that_was_moved_away_is_refused(tmp_path: Path, put: str, end: str) -> None:
    path, moved, saved = tmp_path / "agent.db", tmp_path / "moved.db", tmp_path / "saved.db"
    with worker(path) as writer:
        writer.do("open", "add 20")
        stowfast.sqlite.backup(path, saved)
        with stowfast.sync.open(f"sqlite:///{path}") as stores:
            stores.sweep()  # an empty log fits every file
        if put == "nothing":
            writer.do("add 20")
        os.rename(path, moved)
        if put == "a backup":
            shutil.copyfile(saved, path)
        with pytest.raises(UnavailableError, match="moved away"):
            count(path)
        assert path.exists() == (put == "a backup")
        with pytest.raises(UnavailableError):
            stowfast.sqlite.restore(saved, path, replace=True)
        writer.say(end)
        writer.kill()
    acknowledged, found = 40 if put == "nothing" else 20, count(moved)
    print(f"1 kill, {acknowledged} acknowledged, {found} found")
    assert found - acknowledged in {0, 1}


def test_a_new_file_is_refused_where_this_process_has_the_moved_one(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with stowfast.sync.open(f"sqlite:///{path}") as stores:
        stores.messages.add_message("c", {})
        os.rename(path, tmp_path / "moved.db")
        with pytest.raises(UnavailableError, match="moved away"):
            count(path)
    assert count(tmp_path / "moved.db") == 1


def test_a_file_moved_while_its_mark_is_read_is_not_taken_for_a_replaced_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, moved = tmp_path / "agent.db", tmp_path / "moved.db"

    def read_late(*given: Any) -> int | None:
        monkeypatch.undo()
        os.rename(path, moved)
        return find_mark(*given)

    with stowfast.sync.open(f"sqlite:///{path}?sweep=false") as stores:
        stores.messages.add_message("c", {})
        monkeypatch.setattr("stowfast.backends.sqlite.file.find_mark", read_late)
        os.utime(path)
        with pytest.raises(UnavailableError, match="was removed or replaced"):
            stores.messages.count("c")
    assert count(moved) == 1


@pytest.mark.parametrize("suffix", ["-journal", "-wal", "-shm"])
@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda name: os.symlink("mine", name)], ids=["pipe", "folder", "link"]
)
def test_a_log_that_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, suffix: str, make: Callable[[str], None]
) -> None:
    path = tmp_path / "agent.db"
    with worker(path) as writer:
        writer.do("open", "add 1", "close")
    (tmp_path / "mine").write_text("mine")
    make(f"{path}{suffix}")
    with pytest.raises(InvalidError, match="no regular file"):
        count(path)
    assert (tmp_path / "mine").read_text() == "mine"


def backup(path: Path, target: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(target)) as copy:
        source.backup(copy)


def vacuum_into(path: Path, target: Path) -> None:
    with closing(sqlite3.connect(path)) as source:
        source.execute("VACUUM INTO ?", (str(target),))


def in_place(backup: Path, path: Path) -> None:
    shutil.copyfile(backup, path)


def by_name(backup: Path, path: Path) -> None:
    os.replace(backup, path)


@pytest.mark.parametrize("put", [in_place, by_name])
@pytest.mark.parametrize("taken", [backup, vacuum_into])
@pytest.mark.parametrize("goes_on", [("add 300",), ("add 3",), ("delete", "add 2"), ("delete", "add 2000")], ids=str)
def test_a_backup_over_the_log_of_a_killed_process_is_refused(
    tmp_path: Path, taken: Copier, put: Copier, goes_on: tuple[str, ...]
) -> None:
    path, saved = tmp_path / "agent.db", tmp_path / "saved.db"
    with worker(path) as writer:
        writer.do("open", "add 300")
        taken(path, saved)
        writer.do(*goes_on)
        writer.kill()
    put(saved, path)
    before = contents(path)
    with pytest.raises(InvalidError, match="was not made for"):
        count(path)
    assert contents(path) == before
    remove(path, "-wal", "-shm")
    assert count(path) == 300


@pytest.mark.parametrize("put", [in_place, by_name])
def test_a_copy_of_the_last_clean_state_over_the_log_of_a_killed_process_is_refused(
    tmp_path: Path, put: Copier
) -> None:
    path, saved = tmp_path / "agent.db", tmp_path / "saved.db"
    with worker(path) as writer:
        writer.do("open", "add 300", "close")
        shutil.copyfile(path, saved)
        writer.do("open", "add 300")
        writer.kill()
    put(saved, path)
    with pytest.raises(InvalidError, match="was not made for"):
        count(path)
    remove(path, "-wal", "-shm")
    assert count(path) == 300


def test_the_log_of_a_killed_process_is_played(tmp_path: Path) -> None:
    path, moved = tmp_path / "agent.db", tmp_path / "moved"
    moved.mkdir()
    total = 0
    for batch in (1, 300, 5, 1, 700):
        with worker(path) as writer:
            writer.do("open", f"add {batch}")
            writer.kill()
        total += batch
        for beside in tmp_path.glob("agent.db*"):  # also where the file and its log are copied together
            shutil.copyfile(beside, moved / beside.name)
        assert count(moved / "agent.db") == total
    assert count(path) == total
    print(f"5 kills, {total} acknowledged, {total} found")


@pytest.mark.parametrize("taken", [backup, vacuum_into])
@pytest.mark.parametrize("last", [("add 1", "close"), ("close",)], ids=str)
def test_a_backup_over_a_file_in_use_is_not_damaged_by_the_log(
    tmp_path: Path, taken: Copier, last: tuple[str, ...]
) -> None:
    path, saved = tmp_path / "agent.db", tmp_path / "saved.db"
    with worker(path) as writer:
        writer.do("open", "add 300")
        taken(path, saved)
        writer.do("add 300")
        in_place(saved, path)
        for line in last:
            if line == "close":
                writer.do(line)
            else:
                assert "was replaced" in writer.say(line)
        writer.end()
    with pytest.raises(InvalidError, match="was not made for"):
        count(path)
    remove(path, "-wal", "-shm")
    assert count(path) == 300


def test_another_file_over_a_file_in_use_is_not_overwritten_by_the_log(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with worker(path) as writer:
        writer.do("open", "add 30")
        path.write_text("mine\n" * 5_000)
        writer.do("close")
        writer.end()
    assert path.read_text() == "mine\n" * 5_000


def test_a_backup_over_the_journal_of_a_killed_first_transaction_is_refused(tmp_path: Path) -> None:
    path, saved = tmp_path / "agent.db", tmp_path / "saved.db"
    with worker(saved) as writer:
        writer.do("open", "add 30", "close")
    command = [sys.executable, "-c", CREATOR, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as creator:
        assert creator.stdout is not None
        assert creator.stdout.readline() == b"done\n"
        creator.kill()
    in_place(saved, path)
    before = contents(path)
    with pytest.raises(InvalidError, match=r"agent.db-journal would empty"):
        count(path)
    assert contents(path) == before
    remove(path, "-journal")
    assert count(path) == 30


def test_a_link_leads_to_the_same_log_and_a_hard_link_is_refused(tmp_path: Path) -> None:
    path, folder = tmp_path / "agent.db", tmp_path / "elsewhere"
    folder.mkdir()
    with worker(path) as writer:
        writer.do("open", "add 5")
        os.symlink(path, folder / "link.db")
        os.link(path, folder / "hard.db")
        assert count(folder / "link.db") == 5
        with stowfast.sync.open(f"sqlite:///{folder}/link.db") as stores:
            stores.messages.add_message("c", {})
        with pytest.raises(UnavailableError, match="no log lies beside it"):
            count(folder / "hard.db", timeout=0.2)
        writer.do("add 5")
    assert count(path) == 11
    assert sorted(os.listdir(folder)) == ["hard.db", "link.db"]


def test_an_opening_may_be_killed_at_any_moment(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    script = (
        "import sys, stowfast.sync\nprint('ready', flush=True)\nwhile True:\n"
        "    with stowfast.sync.open(sys.argv[1]) as stores:\n"
        "        if '-w' in sys.argv: print(stores.messages.add_message('c', {}), flush=True)"
    )
    moments = random.Random(5)
    acknowledged = 0
    for kill in range(KILLS):
        arguments = [sys.executable, "-c", script, f"sqlite:///{path}", *["-w"] * (kill % 2)]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as opener:
            assert opener.stdout is not None
            assert opener.stdout.readline() == "ready\n"
            moment = time.perf_counter() + moments.uniform(0, 0.08)
            while time.perf_counter() < moment:
                pass
            opener.kill()
            acknowledged += len(opener.stdout.readlines())
    found = count(path)
    print(f"{KILLS} kills, {acknowledged} acknowledged, {found} found")
    assert acknowledged <= found <= acknowledged + KILLS


def test_a_schema_that_others_changed_meanwhile_fits_its_log(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    for _ in range(3):
        with worker(path) as writer:
            writer.do("open", "add 10")
            with closing(sqlite3.connect(path)) as other:
                other.executescript("CREATE TABLE IF NOT EXISTS mine (x); DROP TABLE mine; CREATE TABLE mine (x)")
                other.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            writer.do("add 10")
            writer.kill()
    assert count(path) == 60


def test_a_plain_connection_of_the_same_process_keeps_its_locks(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    with worker(path) as first:
        first.do("open", "add 50", f"plain {path}", "close")
    with worker(path) as writer:
        writer.do(f"plain {path}", "open")
        with worker(path) as other:
            other.do("open", "add 3", "close")
        writer.do("add 150")
        writer.kill()
    found = count(path)
    print(f"1 kill, 203 acknowledged, {found} found")
    assert found == 203
