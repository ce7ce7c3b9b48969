"""Output files of commands: no database is replaced, no link of others followed, no file of the user taken."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import Artifact, InvalidError, sync
from stowfast.cli import files, main

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Call: TypeAlias = Callable[..., tuple[int, str, str]]

STOWFAST = [sys.executable, "-m", "stowfast"]
URL = "sqlite:///agent.db"
BODY = "# Report\n" * 50


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)
    with sync.open(URL) as stores:
        stores.messages.add_message("ctx", {"role": "user", "content": "hi"})
        for name in ("report.md", ".bashrc", "--help", "-rf", "sub/.profile"):
            stores.artifacts.create(Artifact(artifact_id=name, content=BODY))

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main.run(list(arguments))
        return (code, *capsys.readouterr())

    return run


def kept() -> Any:
    with sync.open(URL) as stores:
        report = stores.artifacts.get("report.md")
        assert report is not None
        return stores.messages.get_messages("ctx"), report.content


def everything() -> dict[str, tuple[bytes, int]]:
    return {str(path): (path.read_bytes(), path.lstat().st_mode) for path in Path().rglob("*") if path.is_file()}


def the_file() -> str:
    return "agent.db"


def through_a_link() -> str:
    Path("link").symlink_to("agent.db")
    return "link"


def through_a_hard_link() -> str:
    Path("hard").hardlink_to("agent.db")
    return "hard"


def another_database() -> str:
    with sqlite3.connect("other.db") as connection:
        connection.execute("CREATE TABLE t (a)")
    connection.close()
    return "other.db"


def the_log_of_another() -> str:
    return f"{another_database()}-wal"


@pytest.mark.parametrize("command", [("export", URL), ("get", URL, "report.md")], ids=["export", "get"])
@pytest.mark.parametrize(
    "make",
    [
        the_file, through_a_link, through_a_hard_link, another_database, the_log_of_another, lambda: "agent.db-wal",
        lambda: "agent.db-shm", lambda: "agent.db-journal", lambda: "./../" + Path.cwd().name + "/agent.db",
    ],
)  # fmt: skip
def test_a_database_is_never_replaced(command: tuple[str, ...], make: Callable[[], str], call: Call) -> None:
    target, before = make(), everything()
    code, out, err = call(*command, target)
    assert (code, out) == (1, "")
    assert "is a SQLite database or belongs to one, and is not replaced: name another file" in err
    assert everything() == before
    assert kept() == ([{"role": "user", "content": "hi"}], BODY)


@pytest.mark.parametrize("end", ["-wal", "-shm"])
def test_a_link_to_the_log_of_an_open_file_is_refused(end: str, call: Call) -> None:
    with sync.open(URL) as stores:
        stores.messages.add_message("ctx", {"role": "user", "content": "more"})
        Path("hard").hardlink_to(f"agent.db{end}")
        done = subprocess.run([*STOWFAST, "export", URL, "hard"], capture_output=True, text=True, check=False)
        assert done.returncode == 1
        assert "is not replaced" in done.stderr
        assert stores.messages.count("ctx") == 2


def test_a_file_that_becomes_a_database_meanwhile_is_not_replaced(call: Call) -> None:
    def meanwhile() -> None:
        with files.written_whole(Path("out.db"), URL) as out:
            out.write(b"lines")
            Path("agent.db").rename("out.db")

    with pytest.raises(InvalidError, match="is not replaced"):
        meanwhile()
    assert Path("out.db").read_bytes()[:15] == b"SQLite format 3"
    assert [path.name for path in Path().iterdir()] == ["out.db"]


@pytest.mark.parametrize("arguments", [("put", URL, "x", "agent.db"), ("put", URL, "x", "agent.db-wal")])
def test_a_database_is_not_put_into_itself(arguments: tuple[str, ...], call: Call) -> None:
    with sync.open(URL) as stores:  # so that there is a log
        stores.messages.add_message("ctx", {"role": "user", "content": "more"})
        done = subprocess.run([*STOWFAST, *arguments], capture_output=True, text=True, check=False)
        with Path(arguments[3]).open() as opened:
            redirected = subprocess.run(
                [*STOWFAST, *arguments[:3]], stdin=opened, capture_output=True, text=True, check=False
            )
    for one in (done, redirected):
        assert (one.returncode, one.stdout) == (1, "")
        assert "is the database itself, or belongs to it" in one.stderr


def test_stdout_into_the_database_is_refused(call: Call) -> None:
    before = everything()["agent.db"]
    for arguments in (("export", URL), ("get", URL, "report.md", "-")):
        with Path("agent.db").open("ab") as out:
            done = subprocess.run([*STOWFAST, *arguments], stdout=out, stderr=subprocess.PIPE, text=True, check=False)
        assert "stdout is the database itself" in done.stderr
        assert everything()["agent.db"] == before


def test_a_database_is_not_imported_as_lines(call: Call) -> None:
    code, _, err = call("import", "sqlite:///new.db", "agent.db")
    assert code == 2
    assert "agent.db is a SQLite database: import reads JSON lines" in err
    assert not Path("new.db").exists()


@pytest.mark.parametrize("name", [".bashrc", "--help", "-rf", "sub/.profile"])
def test_an_artifact_gives_no_name_that_hides_or_is_an_option(name: str, call: Call) -> None:
    before = everything()
    code, out, err = call("get", URL, "--", name)
    assert (code, out) == (1, "")
    assert "hides, or begins with a dash: give FILE" in err
    assert everything() == before
    last = Path(name).name
    assert call("get", URL, "--", name, f"./{last}")[0] == 0
    assert Path(last).read_text() == BODY


def test_a_link_that_leads_nowhere_is_there_already(call: Call) -> None:
    Path("report.md").symlink_to("planted")
    assert "is there already: give FILE" in call("get", URL, "report.md")[2]
    assert not Path("planted").exists()


def test_a_file_of_the_user_survives_and_a_planted_link_is_not_followed(call: Call) -> None:
    Path("victim").write_text("precious")
    digest = sha256(BODY.encode()).hexdigest()
    planted = [f"out.{digest[:16]}.{number:08x}.part" for number in range(3)]
    Path(planted[0]).symlink_to("victim")
    Path(planted[1]).hardlink_to("victim")
    os.mkfifo(planted[2])
    for name in ("mine.part", "out.part", ".out.part"):
        Path(name).write_text("mine")
    assert call("get", URL, "report.md", "out")[0] == 0
    assert call("get", URL, "report.md", "mine")[0] == 0
    assert Path("out").read_text() == Path("mine").read_text() == BODY
    assert Path("victim").read_text() == "precious"
    assert [Path(name).read_text() for name in ("mine.part", "out.part", ".out.part")] == ["mine"] * 3
    assert Path(planted[0]).is_symlink()


@pytest.mark.skipif(os.geteuid() != 0, reason="a link of another user is made by root")
@pytest.mark.parametrize("command", [("export", URL), ("get", URL, "report.md")], ids=["export", "get"])
def test_a_link_of_another_user_is_refused(command: tuple[str, ...], call: Call) -> None:
    Path("victim").write_text("precious")
    for name, goal in (("planted", "victim"), ("nowhere", "new")):
        Path(name).symlink_to(goal)
        os.lchown(name, 12_345, 12_345)
        code, _, err = call(*command, name)
        assert (code, "is a link of another user" in err) == (1, True)
    assert Path("victim").read_text() == "precious"
    assert not Path("new").exists()


@pytest.mark.parametrize("command", [("export", URL), ("get", URL, "report.md")], ids=["export", "get"])
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664, 0o755])
def test_the_mode_of_a_replaced_file_stays(command: tuple[str, ...], mode: int, call: Call) -> None:
    Path("out").write_text("before")
    Path("out").chmod(mode)
    assert call(*command, "out")[0] == 0
    assert stat.S_IMODE(Path("out").stat().st_mode) == mode
    assert Path("out").read_text() != "before"


def test_a_new_file_has_the_mode_of_any_new_file(call: Call) -> None:
    Path("plain").touch()
    for command in (("export", URL), ("get", URL, "report.md")):
        assert call(*command, "out-" + command[0])[0] == 0
        assert Path("out-" + command[0]).stat().st_mode == Path("plain").stat().st_mode


def test_a_long_name_has_a_temporary_name(call: Call) -> None:
    for name in ("x" * 255, "é" * 127):
        for command in (("export", URL), ("get", URL, "report.md")):
            assert call(*command, name)[0] == 0
    code, _, err = call("get", URL, "report.md", "x" * 256)
    assert (code, err.count("\n")) == (1, 1)
    assert not list(Path().glob("*.part"))


def test_a_folder_that_may_not_be_written_is_named_and_no_hidden_file(call: Call, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        folder = Path("/proc/self")  # where root may make no file either
    else:
        folder = tmp_path / "shut"
        folder.mkdir(mode=0o500)
    for command in (("export", URL), ("get", URL, "report.md")):
        code, _, err = call(*command, str(folder / "out"))
        assert code == 1
        assert "no file can be made in " in err
        assert ".part" not in err


def test_a_pipe_and_a_device_are_written_to(call: Call) -> None:
    for arguments in (("export", URL), ("get", URL, "report.md")):
        done = subprocess.run([*STOWFAST, *arguments, "/dev/stdout"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert "hi" in done.stdout or "# Report" in done.stdout
        assert call(*arguments, "/dev/null")[0] == 0
        assert "is a folder: name a file in it" in call(*arguments, ".")[2]
        with Path("agent.db").open("ab") as out:
            done = subprocess.run([*STOWFAST, *arguments, "/dev/stdout"], stdout=out, stderr=-1, text=True, check=False)
        assert "is not replaced" in done.stderr
    assert call("import", URL, "/dev/null")[1] == "imported 0 conversations with 0 messages\n"


# --- check


def test_check_leaves_the_file_of_the_user_at_its_size_also_when_killed(call: Call, tmp_path: Path) -> None:
    def scratch() -> set[Path]:
        return set(tmp_path.glob("agent.db.check-*/check.db"))

    before = everything()
    kills = 0
    for stop in (signal.SIGKILL, signal.SIGTERM, signal.SIGINT):
        earlier = scratch()
        with subprocess.Popen([*STOWFAST, "check", URL], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as child:
            patience = time.monotonic() + 60
            while not [path for path in scratch() - earlier if path.stat().st_size > 100_000]:
                assert time.monotonic() < patience
                assert child.poll() is None
                time.sleep(0.01)
            child.send_signal(stop)
        kills += 1
        left = list(tmp_path.glob("agent.db.check-*"))
        assert len(left) == (1 if stop is signal.SIGKILL else 0), "what a SIGKILL left is removed by the next check"
        ours = {name: found for name, found in everything().items() if not name.startswith("agent.db.check-")}
        assert ours == before
    print(f"{kills} kills, 3 acknowledged writes before, all found: {kept() is not None}")


def test_check_takes_no_folder_that_is_not_its_own(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stowfast.cli.check.groups", list)
    for name in ("agent.db.check-notes", "agent.db.check-abcd1234"):
        Path(name).mkdir()
        (Path(name) / "mine").write_text("mine")
    code, out, _ = call("check", URL)
    assert code == 0
    assert "the test had a file of its own, which was removed" in out
    assert sorted(path.name for path in Path().glob("agent.db.check-*")) == [
        "agent.db.check-abcd1234",
        "agent.db.check-notes",
    ]
    assert "the folder" in call("check", "sqlite:///none/agent.db")[2]
