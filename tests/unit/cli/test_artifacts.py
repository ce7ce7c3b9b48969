"""The commands for artifacts: content comes back as given, a killed get goes on, and gc removes only with its flag."""

from __future__ import annotations

import asyncio
import io
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import Artifact, sync
from stowfast.abc import Change
from stowfast.cli import files as cli_files
from stowfast.cli import main
from tests.services.faulty_s3.server import Fault, FaultyS3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Call: TypeAlias = Callable[..., tuple[int, str, str]]

STOWFAST = [sys.executable, "-m", "stowfast.cli.main"]
URL = "sqlite:///agent.db"
MIB = 2**20
BODY = Random(1).randbytes(8 * MIB + 12_345)
SHA256 = sha256(BODY).hexdigest()


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main.run(list(arguments))
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def server() -> Iterator[FaultyS3]:
    with FaultyS3() as server:
        yield server


def url_of(server: FaultyS3) -> str:
    return f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"


def fits(text: str) -> bool:
    return all(len(line) <= 80 for line in text.splitlines())


LEFT = f"out.{SHA256[:16]}.0123abcd.part"
"""The name of the file of an interrupted get of BODY."""


def parts() -> list[Path]:
    return sorted(Path().glob("out.*.part"))


def files() -> list[str]:
    return sorted(path.name for path in Path().iterdir() if not path.name.startswith("agent.db"))


# --- put and get


def test_what_is_put_is_what_one_gets(call: Call) -> None:
    Path("report.pdf").write_bytes(BODY)
    code, out, err = call("put", URL, "reports/q3", "report.pdf", "--context", "c1", "--metadata", '{"by": "ann"}')
    assert (code, err) == (0, "")
    assert out == f"reports/q3: version 1, 8.0 MiB, application/pdf\nsha256 {SHA256}\n"
    with sync.open(URL) as stores:
        found = stores.artifacts.get("reports/q3")
    assert found is not None
    assert (found.name, found.mime_type, found.context_id) == ("report.pdf", "application/pdf", "c1")
    assert (found.metadata, found.content) == ({"by": "ann"}, BODY)
    code, out, err = call("get", URL, "reports/q3")
    assert (code, out, err) == (0, f"reports/q3: version 1, 8.0 MiB, in q3\nsha256 {SHA256}\n", "")
    assert Path("q3").read_bytes() == BODY
    assert files() == ["q3", "report.pdf"]


def test_a_program_is_told_everything(call: Call) -> None:
    Path("in").write_bytes(b"hi")
    put = json.loads(call("put", URL, "a", "in", "--json", "--name", "x.txt", "--mime-type", "text/x-note")[1])
    assert (put["version"], put["size"], put["sha256"]) == (1, 2, sha256(b"hi").hexdigest())
    assert (put["name"], put["mime_type"]) == ("x.txt", "text/x-note")
    got = json.loads(call("get", URL, "a", "out", "--json")[1])
    assert got == {**put, "file": str(Path("out").resolve()), "resumed_from": 0}


def test_a_version_is_asked_for_and_a_file_replaced(call: Call) -> None:
    for body in (b"one", b"two"):
        Path("in").write_bytes(body)
        assert call("put", URL, "a", "in")[0] == 0
    assert call("get", URL, "a", "out")[0] == 0
    assert Path("out").read_bytes() == b"two"
    assert call("get", URL, "a", "out", "--version", "1")[0] == 0
    assert Path("out").read_bytes() == b"one"
    Path("link").symlink_to("out")
    assert call("get", URL, "a", "link")[0] == 0
    assert Path("link").is_symlink()
    assert Path("out").read_bytes() == b"two"


@pytest.mark.slow
def test_stdin_goes_in_and_stdout_comes_out(call: Call, tmp_path: Path) -> None:
    command = f"cat > in; {' '.join(STOWFAST)} put {URL} a - < in && {' '.join(STOWFAST)} get {URL} a - > out"
    done = subprocess.run(command, shell=True, cwd=tmp_path, input=BODY, capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert Path("out").read_bytes() == BODY
    command = f"{' '.join(STOWFAST)} get {URL} a - | head -c 10"
    done = subprocess.run(command, shell=True, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert (done.stdout, done.stderr) == (BODY[:10], b"")
    assert call("get", URL, "a", "/dev/null")[0] == 0


def test_nothing_and_little_are_artifacts_too(call: Call) -> None:
    for body in (b"", b"x"):
        Path("in").write_bytes(body)
        assert call("put", URL, "a", "in")[0] == 0
        assert call("get", URL, "a", "out")[0] == 0
        assert Path("out").read_bytes() == body
    assert files() == ["in", "out"]


def test_what_it_says_fits_the_screen(call: Call) -> None:
    Path("in").write_bytes(b"x")
    name = "a-long-name-" * 12
    for arguments in (("put", URL, name, "in"), ("get", URL, name, "out"), ("get", URL, name, "out.txt")):
        code, out, _ = call(*arguments)
        assert code == 0
        assert fits(out)
        assert name in out.replace("\n", "")
        assert not [line for line in out.splitlines() if line.endswith(" ")]
    assert "␛" in call("put", URL, "a\x1b[2J", "in", "--mime-type", "a/b")[1]


@pytest.mark.slow
def test_who_watches_sees_how_far_it_is(call: Call, tmp_path: Path) -> None:
    Path("in").write_bytes(BODY)
    call("put", URL, "a", "in")
    ours, theirs = pty.openpty()
    try:
        environment = {**os.environ, "COLUMNS": "80", "TERM": "xterm"}
        done = subprocess.run(
            [*STOWFAST, "get", URL, "a", "out"], cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=theirs,
            timeout=60, check=False,
        )  # fmt: skip
        shown = os.read(ours, 65_536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0
    assert "MiB" in shown


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (
            ["get", URL, "none", "out"],
            1,
            "there is no artifact 'none': `stowfast ls --artifacts` shows which there are",
        ),
        (["get", URL, "a", "out", "--version", "9"], 1, "artifact 'a' has no version 9"),
        (["get", "sqlite:///none.db", "a", "out"], 1, "there is no file none.db"),
        (["get", URL, "a", "no/out"], 1, "no does not exist: create it first"),
        (["get", URL, "a", "."], 1, "is a folder: name a file in it"),
        (["get", URL, "in"], 1, "in is there already: give FILE, which is replaced"),
        (["get", URL, "a/.."], 1, "'a/..' is no name for a file: give FILE"),
        (["get", URL, "a", "-", "--json"], 2, "--json needs a FILE: stdout has the content"),
        (["put", URL, "a", "none"], 2, "there is no file none"),
        (["put", URL, "a", "in", "--metadata", "{"], 2, "--metadata is no JSON"),
        (["put", URL, "a", "in", "--metadata", "[1]"], 2, "--metadata is a JSON object"),
        (["gc", "sqlite:///none.db"], 1, "there is no file none.db"),
    ],
)
def test_an_error_is_one_line_and_leaves_nothing(arguments: list[str], code: int, line: str, call: Call) -> None:
    Path("in").write_bytes(b"x")
    assert call("put", URL, "a", "in")[0] == 0
    found, out, err = call(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith("stowfast: ")
    assert line in err
    assert err.count("\n") == 1
    assert files() == ["in"]


def test_damage_never_gets_a_name(call: Call) -> None:
    Path("in").write_bytes(BODY)
    call("put", URL, "a", "in")
    with sqlite3.connect("agent.db") as connection:
        connection.execute("UPDATE chunks SET data = zeroblob(length(data)) WHERE start >= ?", (5 * MIB,))
    connection.close()
    Path("out").write_bytes(b"before")
    code, out, err = call("get", URL, "a", "out")
    assert (code, out) == (1, "")
    assert "do not match their checksum" in err
    assert Path("out").read_bytes() == b"before"
    assert [part.read_bytes() for part in parts()] == [BODY[: 5 * MIB]]


# --- a get that was stopped


def wait_until(true: Callable[[], Any]) -> None:
    patience = time.monotonic() + 60
    while not true():
        assert time.monotonic() < patience
        time.sleep(0.01)


@pytest.mark.slow
def test_a_get_that_was_killed_goes_on_where_it_was(call: Call, server: FaultyS3, tmp_path: Path) -> None:
    url = url_of(server)
    with sync.open(url) as stores:
        stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
    server.fail(Fault.TRUNCATE, operation="GET", key="d/", where=0.6)
    server.fail(Fault.HOLD, operation="GET", key="d/", times=None)
    with subprocess.Popen([*STOWFAST, "get", url, "a", "out"], cwd=tmp_path) as child:
        wait_until(lambda: [part for part in parts() if part.stat().st_size >= 2 * MIB])
        child.send_signal(signal.SIGKILL)
    server.heal()
    server.release()
    (part,) = parts()
    have = part.stat().st_size
    assert part.read_bytes() == BODY[:have]
    assert files() == [part.name]
    with server.counted() as made:
        code, out, err = call("get", url, "a", "out", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["resumed_from"] == have
    again = sum(record.sent for record in made if record.key.startswith("d/")) - (len(BODY) - have)
    assert 0 <= again < MIB
    assert Path("out").read_bytes() == BODY
    assert files() == ["out"]


def test_a_get_that_has_everything_reads_nothing(call: Call, server: FaultyS3) -> None:
    url = url_of(server)
    with sync.open(url) as stores:
        stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
    Path(LEFT).write_bytes(BODY)
    with server.counted() as made:
        code, out, _ = call("get", url, "a", "out")
    assert code == 0
    assert "of which 8.0 MiB were there" in " ".join(out.split())
    assert [record for record in made if record.key.startswith("d/")] == []
    assert Path("out").read_bytes() == BODY


@pytest.mark.parametrize("left", [b"x" * MIB, BODY + b"x", BODY[: 3 * MIB] + b"x"], ids=["other", "longer", "spoilt"])
def test_what_is_left_of_something_else_is_not_believed(left: bytes, call: Call) -> None:
    Path("in").write_bytes(BODY)
    call("put", URL, "a", "in")
    Path(LEFT).write_bytes(left)
    code, out, err = call("get", URL, "a", "out", "--json")
    assert code == 0
    assert json.loads(out)["resumed_from"] == 0
    assert ("was of something else" in err) == (len(left) <= len(BODY))
    assert Path("out").read_bytes() == BODY
    assert files() == ["in", "out"]


@pytest.mark.slow
def test_of_two_gets_into_one_file_one_is_refused(call: Call, server: FaultyS3, tmp_path: Path) -> None:
    url = url_of(server)
    with sync.open(url) as stores:
        stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
    server.fail(Fault.TRUNCATE, operation="GET", key="d/", where=0.6)
    server.fail(Fault.HOLD, operation="GET", key="d/", times=None)
    with subprocess.Popen([*STOWFAST, "get", url, "a", "out"], cwd=tmp_path) as first:
        wait_until(lambda: [part for part in parts() if part.stat().st_size >= 2 * MIB])
        (part,) = parts()
        code, out, err = call("get", url, "a", "out")
        assert (code, out) == (1, "")
        assert f"{part.name} is being written by another process" in " ".join(err.split())
        assert part.read_bytes() == BODY[: part.stat().st_size]
        server.heal()
        server.release()
        assert first.wait(60) == 0
    assert Path("out").read_bytes() == BODY
    assert files() == ["out"]


def test_a_get_that_waited_for_another_leaves_its_file_alone(tmp_path: Path) -> None:
    file = tmp_path / "out"
    with cli_files.partial(file, SHA256) as (part, out):
        out.write(b"whole")
        out.flush()
        with part.open("rb") as late:  # opened before it was finished, and locked after
            cli_files.put_in_place(out, part, file, URL)
            assert late.read() == b"whole"
    with cli_files.partial(file, SHA256) as (later, out):
        assert later != part
        assert out.read() == b"", "what comes next is written to a file of its own"
    assert file.read_bytes() == b"whole"


def test_a_damaged_artifact_is_mended_by_the_same_file(call: Call) -> None:
    Path("in").write_bytes(BODY)
    assert call("put", URL, "a", "in")[0] == 0
    with sqlite3.connect("agent.db") as connection:
        connection.execute("UPDATE chunks SET data = zeroblob(length(data)) WHERE start = ?", (3 * MIB,))
    connection.close()
    code, _, err = call("get", URL, "a", "out")
    assert code == 1
    assert "do not match their checksum" in err
    assert call("put", URL, "a", "in")[0] == 0
    assert call("get", URL, "a", "out")[0] == 0
    assert Path("out").read_bytes() == BODY
    assert call("get", URL, "a", "out", "--version", "1")[0] == 1, "the version that was damaged stays so"


def test_a_list_says_how_a_live_artifact_goes(call: Call) -> None:
    def told() -> list[str]:
        return call("ls", URL, "--artifacts")[1].splitlines()[1].split()

    for ends, version in ((ZeroDivisionError, "failed"), (None, "1")):
        with sync.open(URL) as stores, suppress(ZeroDivisionError), stores.artifacts.open_live("essay") as writer:
            writer.write("a text of 19 bytes\n")
            writer.flush()
            assert (*told()[:3], *told()[5:]) == ("essay", "19", "bytes", "building")
            code, _, err = call("get", URL, "essay", "out")
            assert code == 1
            assert "has no version yet" in err
            if ends is not None:
                raise ends
        assert told()[5] == version


@pytest.mark.slow
def test_a_put_that_was_killed_left_nothing_to_see(call: Call, tmp_path: Path) -> None:
    Path("in").write_bytes(b"x")
    call("put", URL, "other", "in")
    with subprocess.Popen([*STOWFAST, "put", URL, "a"], cwd=tmp_path, stdin=subprocess.PIPE) as child:
        assert child.stdin is not None
        child.stdin.write(BODY)
        child.stdin.flush()
        wait_until(lambda: chunks() > 0)
        child.send_signal(signal.SIGKILL)
    assert "there is no artifact 'a'" in call("get", URL, "a", "out")[2]
    assert call("gc", URL)[1] == "nothing to remove\n"  # it is not a day old
    with sqlite3.connect("agent.db") as connection:
        connection.execute("UPDATE blobs SET written_at = 1 WHERE written_at > 0")
    connection.close()
    code, out, err = call("gc", URL)
    assert (code, err) == (0, "")
    assert out.startswith("would free ")
    assert out.endswith("MiB: 0 streams, 1 blob\nnothing was removed: give --yes\n")
    assert chunks() > 0
    told = json.loads(call("gc", URL, "--json")[1])
    assert (told["removed"], told["streams"], told["blobs"]) == (False, 0, 1)
    assert call("gc", URL, "--yes")[1].startswith("freed ")
    assert chunks() == 0
    assert call("gc", URL, "--yes")[1] == "nothing to remove\n"


def chunks() -> int:
    connection = sqlite3.connect("file:agent.db?mode=ro", uri=True)
    try:
        found: int = connection.execute("SELECT count(*) FROM chunks").fetchone()[0]
    finally:
        connection.close()
    return found


def test_gc_says_what_it_frees_on_object_storage(call: Call, server: FaultyS3) -> None:
    url = url_of(server)

    async def litter() -> None:
        async with stowfast.open(url) as stores:
            await stores.artifacts.create(Artifact(artifact_id="a", content=BODY))
            await stores.backend.commit("artifacts/a", Change(expires_at=1))

    asyncio.run(litter())
    before = server.objects
    assert call("gc", url)[1] == "would free 8.0 MiB: 1 stream, 1 blob\nnothing was removed: give --yes\n"
    assert server.objects == before
    told = json.loads(call("gc", url, "--yes", "--json")[1])
    assert told == {"url": "s3://bucket", "removed": True, "streams": 1, "blobs": 1, "bytes": len(BODY), "entries": 0}
    assert [key for key in server.objects if key.startswith("d/")] == []
    assert call("gc", url)[1] == "nothing to remove\n"


def test_without_a_file_it_is_stdin(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"from stdin")))
    assert call("put", URL, "a")[0] == 0
    assert call("get", URL, "a", "out")[0] == 0
    assert Path("out").read_bytes() == b"from stdin"


def test_gc_gives_the_space_back_when_told_to(call: Call) -> None:
    Path("in").write_bytes(BODY)
    for name in ("a", "b"):
        call("put", URL, name, "in")
    with sync.open(URL) as stores:
        stores.artifacts.delete("a")
        stores.artifacts.delete("b")
        stores.messages.add_message("kept", {"k": 1})
    for arguments in (["--compact"], ["--compact", "--json"]):
        code, _, err = call("gc", URL, *arguments)
        assert (code, "--compact is for a SQLite file, together with --yes" in err) == (2, True)
    assert call("gc", "memory:", "--yes", "--compact")[0] == 2
    with sqlite3.connect("agent.db") as connection:
        connection.execute("UPDATE blobs SET written_at = 1 WHERE written_at > 0")
    connection.close()
    assert call("gc", URL, "--yes")[0] == 0
    before = Path("agent.db").stat().st_size
    code, out, err = call("gc", URL, "--yes", "--compact")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"nothing to remove\nthe file had [\d.]+ MiB and has [\d.]+ KiB\n", out)
    assert before > len(BODY)
    assert Path("agent.db").stat().st_size < MIB
    found = json.loads(call("gc", URL, "--yes", "--compact", "--json")[1])
    assert found["size_after"] == Path("agent.db").stat().st_size
    with sync.open(URL) as stores:
        assert stores.messages.get_messages("kept") == [{"k": 1}]
