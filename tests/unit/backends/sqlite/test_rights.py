"""Read-only files, closed folders, names outside UTF-8, empty files."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import stowfast.sqlite
import stowfast.sync
from stowfast.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.skipif(not hasattr(os, "setuid"), reason="no rights of this kind on this system")

# As a user without rights: loads everything first, since that user may not be able to read Python's own files.
USER = """
import os, sys, stowfast.sync.messages, stowfast.backends.sqlite.backend, stowfast.stores.retention.rules
from stowfast.errors import StowfastError
if os.geteuid() == 0:
    os.setgid(65534)
    os.setuid(65534)
url = sys.argv[1]
try:
    stores = stowfast.sync.open(url)
except StowfastError as error:
    print("open:", type(error).__name__, error)
    sys.exit()
calls = {
    "read": lambda: len(stores.messages.get_messages("c")),
    "write": lambda: stores.messages.add_message("c", {}),
    "delete": lambda: stores.messages.delete("c"),
    "sweep": stores.sweep,
}
for name, call in calls.items():
    try:
        print(f"{name}:", call())
    except StowfastError as error:
        print(f"{name}:", type(error).__name__, error)
stores.close()
"""

# Writes a message and waits until it is killed.
WRITER = """
import sys, stowfast.sync
stores = stowfast.sync.open(sys.argv[1])
stores.messages.add_message("c", {"n": 2})
print("done", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder below folders with entry for everybody."""
    made = Path(tempfile.mkdtemp(prefix="stowfast-rights-"))
    made.chmod(0o777)
    yield made
    for path in [made, *made.rglob("*")]:
        if path.is_dir():
            path.chmod(0o777)
    shutil.rmtree(made)


def as_user(path: Path, query: str = "", cwd: Path | None = None) -> str:
    url = f"sqlite:///{path}{query}"
    ran = subprocess.run(
        [sys.executable, "-c", USER, url], capture_output=True, text=True, timeout=60, check=False, cwd=cwd
    )
    assert ran.stderr == ""
    return ran.stdout


def file_in(folder: Path) -> Path:
    path = folder / "agent.db"
    with stowfast.sync.open(f"sqlite:///{path}") as stores:
        stores.messages.add_message("c", {"n": 1})
    path.chmod(0o644)
    return path


def refused_but_read(said: str, found: int, *words: str) -> None:
    lines = dict(line.split(": ", 1) for line in said.splitlines())
    assert lines["read"] == str(found)
    for verb in ("write", "sweep", "delete"):
        assert lines[verb].startswith("InvalidError"), lines
        for word in words:
            assert word in lines[verb]


def test_a_file_in_a_folder_without_the_right_to_write_is_read(folder: Path) -> None:
    path = file_in(folder)
    path.chmod(0o666)
    folder.chmod(0o555)
    refused_but_read(as_user(path), 1, "may only be read", "may not create files in the folder", str(folder))


def test_a_file_without_the_right_to_write_is_read(folder: Path) -> None:
    path = file_in(folder)
    path.chmod(0o444)
    refused_but_read(as_user(path), 1, "may not write to", str(path))
    folder.chmod(0o555)
    refused_but_read(as_user(path), 1, "may not write to", str(path))


def test_the_file_of_a_running_service_is_read(folder: Path) -> None:
    path = file_in(folder)
    with stowfast.sync.open(f"sqlite:///{path}") as stores:
        stores.messages.add_message("c", {"n": 2})
        folder.chmod(0o555)
        refused_but_read(as_user(path), 2, "may not write to")


def test_the_log_of_a_killed_service_is_read(folder: Path) -> None:
    path = file_in(folder)
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, f"sqlite:///{path}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"done\n"
        writer.kill()
    folder.chmod(0o555)
    refused_but_read(as_user(path), 2, "may not write to")
    folder.chmod(0o777)
    os.unlink(f"{path}-shm")
    folder.chmod(0o555)
    said = as_user(path)
    assert said.startswith("open: InvalidError"), said
    assert "copy" in said


def test_a_file_that_cannot_be_made_or_reached_is_refused(folder: Path) -> None:
    path = file_in(folder)
    folder.chmod(0o555)
    said = as_user(folder / "new.db")
    assert said.startswith("open: InvalidError")
    assert f"may not create files in the folder {folder}" in said
    folder.chmod(0o600)
    said = as_user(path)
    assert said.startswith("open: InvalidError"), said
    assert f"may not enter the folder {folder}" in said
    folder.chmod(0o777)
    path.chmod(0o200)
    said = as_user(path)
    assert said.startswith("open: InvalidError"), said
    assert f"may not read {path}" in said


def test_a_working_folder_that_is_gone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = folder / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(InvalidError, match="working folder is gone"):
        stowfast.sync.open("sqlite:///agent.db")


def test_names_that_cannot_be_files(folder: Path) -> None:
    (folder / "text").write_text("")
    os.symlink("loop", folder / "loop")
    deep = folder / "/".join(["x" * 99] * 5)
    deep.mkdir(parents=True)
    names = (f"{folder}/{'x' * 300}.db", f"{folder}/{'x' * 250}.db", f"{deep}/agent.db")
    for path in (*names, f"{folder}/text/agent.db", f"{folder}/loop", f"{folder}/loop/agent.db"):
        with pytest.raises(InvalidError):
            stowfast.sync.open(f"sqlite:///{path}")


def test_a_file_and_its_log_are_for_their_owner_alone(folder: Path) -> None:
    umask = os.umask(0o022)
    try:
        with stowfast.sync.open(f"sqlite:///{folder}/agent.db") as stores:
            stores.messages.add_message("c", {})
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert modes == {"agent.db": 0o600, "agent.db-wal": 0o600, "agent.db-shm": 0o600}
        (folder / "agent.db").chmod(0o660)  # somebody shares it with a group: that stays
        with stowfast.sync.open(f"sqlite:///{folder}/agent.db") as stores:
            stores.messages.add_message("c", {})
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
        assert modes == {"agent.db": 0o660, "agent.db-wal": 0o660, "agent.db-shm": 0o660}
    finally:
        os.umask(umask)


@pytest.mark.skipif(sys.platform != "linux", reason="file names are bytes on Linux")
def test_a_path_in_a_url_is_bytes(folder: Path) -> None:
    urls = {
        "%FF.db": b"\xff.db",
        "%FE.db": b"\xfe.db",
        "\udcfd.db": b"\xfd.db",
        "a%2541.db": b"a%41.db",
        "%C3%A9": b"\xc3\xa9",
    }
    for number, (quoted, name) in enumerate(urls.items()):
        with stowfast.sync.open(f"sqlite:///{folder}/{quoted}") as stores:
            stores.messages.add_message("c", {"n": number})
            assert name in os.listdir(os.fsencode(folder))
    for number, quoted in enumerate(urls):
        with stowfast.sync.open(f"sqlite:///{folder}/{quoted}") as stores:
            assert stores.messages.get_messages("c") == [{"n": number}]
    with pytest.raises(InvalidError, match="no file name"):
        stowfast.sync.open(f"sqlite:///{folder}/\ud800.db")
    with pytest.raises(InvalidError, match="%3F"):
        stowfast.sync.open(f"sqlite:///{folder}/is it?.db")


def test_reading_only_makes_and_changes_nothing(folder: Path) -> None:
    for name in ("absent.db", "empty.db"):
        if name == "empty.db":
            (folder / name).write_bytes(b"")
        with pytest.raises(NotFoundError, match="nothing was stored there"):
            stowfast.sync.open(f"sqlite:///{folder}/{name}?read_only=true")
    assert [path.stat().st_size for path in folder.iterdir()] == [0]
    path = file_in(folder)
    before = path.read_bytes()
    with stowfast.sync.open(f"sqlite:///{path}", read_only=True) as stores:
        assert stores.messages.count("c") == 1
        with pytest.raises(InvalidError, match="opened for reading only"):
            stores.messages.add_message("c", {})
    assert path.read_bytes() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="a medium can be mounted by root only")
def test_a_backup_on_a_medium_for_reading_only_is_read(folder: Path) -> None:
    path, medium = file_in(folder), folder / "medium"
    medium.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(medium)], check=False, capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        stowfast.sqlite.backup(path, medium / "ours.db")
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(medium / "theirs.db")) as copy:
            source.backup(copy)
        subprocess.run(["mount", "-o", "remount,ro", str(medium)], check=True)
        for name in ("ours.db", "theirs.db"):
            with stowfast.sync.open(f"sqlite:///{medium}/{name}") as stores:
                assert stores.messages.count("c") == 1
                with pytest.raises(InvalidError, match="mounted for reading only"):
                    stores.messages.add_message("c", {})
        with pytest.raises(InvalidError, match="mounted for reading only"):
            stowfast.sqlite.compact(medium / "ours.db")
        stowfast.sqlite.restore(medium / "ours.db", path, replace=True)
    finally:
        subprocess.run(["umount", str(medium)], check=True)


def test_a_change_under_a_reader_without_locks_is_noticed(folder: Path) -> None:
    path = file_in(folder)
    folder.chmod(0o555)
    script = USER.replace("calls =", "print('ready', flush=True)\nsys.stdin.readline()\ncalls =")
    command = [sys.executable, "-c", script, f"sqlite:///{path}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "ready\n"
        folder.chmod(0o777)
        with stowfast.sync.open(f"sqlite:///{path}") as stores:
            stores.messages.add_message("c", {"n": 2})
        said, _ = reader.communicate("go\n", timeout=60)
    assert said.startswith("read: UnavailableError"), said
    assert "open it again" in said
