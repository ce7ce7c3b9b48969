"""`stowfast import` of large and odd files: bounded time and memory, and a count whenever it stops."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from stowfast import sync
from stowfast.cli import main, terminal
from stowfast.cli.lines import Line, LineSource

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Call: TypeAlias = Callable[..., tuple[int, str, str]]

STOWFAST = [sys.executable, "-m", "stowfast"]
URL = "sqlite:///agent.db"
GOOD = b'{"context_id": "x", "messages": [{"a": 1}]}\n'


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Call:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main.run(list(arguments))
        return (code, *capsys.readouterr())

    return run


def stored() -> dict[str, list[dict[str, Any]]]:
    with sync.open(URL) as stores:
        ids = [ref.context_id for ref in stores.messages.contexts(order="id", limit=1000)]
        return {one: stores.messages.get_messages(one) for one in ids}


def read(data: bytes, most: int = 2**20, name: str | None = None, stem: str | None = "file") -> list[Line | None]:
    return list(LineSource(io.BytesIO(data), name=name, stem=stem, most=most))


def least(function: Callable[[], Any]) -> float:
    times = []
    for _ in range(3):
        began = time.process_time()
        function()
        times.append(time.process_time() - began)
    return min(times)


def test_keys_and_blank_lines_take_linear_time() -> None:
    def of_keys(count: int) -> bytes:
        keys = ", ".join(f'"k{number}": 1' for number in range(count))
        return b'{"context_id": "x", "messages": [{%b, "k%d": 1}]}' % (keys.encode(), count - 1)

    short, long = of_keys(10_000), of_keys(160_000)
    (line,) = read(long, 2**24)
    assert line is not None
    assert line.problem == "the key 'k159999' comes twice in an object"
    assert least(lambda: read(long, 2**24)) < 100 * least(lambda: read(short, 2**24)), (
        "16 times the keys, not 256 times"
    )
    few, many = b"\n" * 50_000 + GOOD, b"\n" * 1_600_000 + GOOD
    assert [line and line.number for line in read(many)] == [1_600_001]
    assert least(lambda: read(many)) < 100 * least(lambda: read(few)), "32 times the lines, not 1,024 times"


@pytest.mark.parametrize("begin", [b'{"context_id": "x", "messages": [{"a": "', b'[{"a": "'], ids=["line", "list"])
def test_a_line_has_a_bound_of_memory(begin: bytes, tmp_path: Path) -> None:
    with (tmp_path / "long").open("wb") as file:
        file.write(begin)
        for _ in range(64):
            file.write(b"x" * 2**20)
        file.write(b'"}]}\n' + (GOOD if begin.startswith(b"{") else b""))
    tracemalloc.start()
    with (tmp_path / "long").open("rb") as file:
        found = list(LineSource(file, name=None, stem="s", most=2**20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert next(line and line.problem for line in found) == "longer than 1 MiB: give --max-line 65"
    assert [line and line.number for line in found] == ([1, 2] if begin.startswith(b"{") else [1])
    assert peak < 8 * 2**20


def test_the_bound_is_an_option_and_the_other_lines_go_on(call: Call) -> None:
    long = b'{"context_id": "long", "messages": [{"a": "%b"}]}\n' % (b"x" * 2**20)
    Path("in").write_bytes(long + GOOD)
    code, _, err = call("import", URL, "in", "--max-line", "1")
    assert (code, err) == (1, "line 1: longer than 1 MiB: give --max-line 2\n")
    assert list(stored()) == ["x"]
    assert call("import", URL, "in", "--max-line", "2")[:2] == (
        0,
        "imported 1 conversation with 1 message, 1 already there\n",
    )


def test_an_export_says_what_import_will_need(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stowfast.cli.commands.lines.MAX_LINE_MIB", 1)
    with sync.open(URL) as stores:
        stores.messages.add_message("long", {"a": "x" * 3 * 2**20})
    code, _, err = call("export", URL, "out")
    assert (code, err) == (0, "the longest line has 3 MiB: import needs --max-line 4\n")


def test_gzip_is_read_and_written(call: Call) -> None:
    Path("in.jsonl.gz").write_bytes(gzip.compress(GOOD + GOOD.replace(b'"x"', b'"y"')))
    assert call("import", URL, "in.jsonl.gz")[0] == 0
    assert list(stored()) == ["x", "y"]
    assert call("export", URL, "out.jsonl.gz")[0] == 0
    assert gzip.decompress(Path("out.jsonl.gz").read_bytes()).count(b"\n") == 2
    assert "2 already there" in call("import", URL, "out.jsonl.gz")[1]
    done = subprocess.run(
        [*STOWFAST, "import", URL, "-"], input=Path("out.jsonl.gz").read_bytes(), capture_output=True, check=True
    )
    assert b"2 already there" in done.stdout


@pytest.mark.slow
def test_what_is_whole_of_a_damaged_gzip_file_is_stored(call: Call) -> None:
    given = b"".join(GOOD.replace(b'"x"', b'"%d"' % number) for number in range(20_000))
    Path("in.gz").write_bytes(gzip.compress(given, 1)[:-2000])
    code, _, err = call("import", URL, "in.gz", "--json")
    assert code == 1
    *reports, last = err.splitlines()
    assert all(line.startswith("importing: ") for line in reports)
    assert re.match(r"line \d+: the gzip file is damaged behind this line: ", last)
    with sync.open(URL) as stores:
        assert stores.messages.get_messages("0") == [{"a": 1}]


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_of_messages_is_a_conversation(indent: int | None, call: Call) -> None:
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "a\nb"}]
    Path("chat.json").write_text("\n\n" + json.dumps(messages, indent=indent))
    assert call("import", URL, "chat.json")[:2] == (0, "imported 1 conversation with 2 messages\n")
    assert call("import", URL, "chat.json", "--name", "other")[0] == 0
    assert stored() == {"chat": messages, "other": messages}
    Path("all.json").write_text(json.dumps([{"context_id": "a", "messages": messages}, {"messages": messages}]))
    code, _, err = call("import", URL, "all.json")
    assert code == 1
    assert err == "line 2: it has no context_id, or one that is not text: --name gives an id to those without\n"
    assert call("import", URL, "all.json", "--name", "n")[0] == 0
    assert list(stored()) == ["a", "chat", "n-2", "other"]


def test_lines_without_an_id_get_one_by_their_number(call: Call) -> None:
    Path("tune.jsonl").write_bytes(b'{"messages": [{"role": "user"}]}\n\n{"messages": [{"role": "system"}]}\n' + GOOD)
    code, _, err = call("import", URL, "tune.jsonl")
    assert (code, err.count("--name gives an id")) == (1, 2)
    for _ in range(2):
        assert call("import", URL, "tune.jsonl", "--name", "tune")[0] == 0
        assert stored() == {"tune-1": [{"role": "user"}], "tune-3": [{"role": "system"}], "x": [{"a": 1}]}


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf", b"[]", b"[", b"[1]", b"[{]", b'["a\nb"]'])
def test_odd_files_say_what_they_are(data: bytes, call: Call) -> None:
    Path("in").write_bytes(data)
    code, out, err = call("import", URL, "in")
    assert code == (1 if data.strip().startswith(b"[") else 0)
    assert err.count("\n") == code
    assert out.startswith("imported 0 conversations")


def test_of_lines_with_one_id_the_first_counts(call: Call) -> None:
    Path("in").write_bytes(b"".join(GOOD.replace(b"1", b"%d" % number) for number in range(5)))
    code, out, err = call("import", URL, "in")
    assert (code, out) == (1, "imported 1 conversation with 1 message, 4 in conflict\n")
    assert [line[:7] for line in err.splitlines()] == [f"line {number}:" for number in range(2, 6)]
    assert stored() == {"x": [{"a": 0}]}


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_import_says_how_far_it_came(stop: signal.Signals, call: Call, tmp_path: Path) -> None:
    given = [b'{"context_id": "c%03d", "messages": [{"n": %d}, {"m": 1}]}\n' % (n, n) for n in range(200)]
    with subprocess.Popen(
        [*STOWFAST, "import", URL, "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as child:
        assert child.stdin is not None
        assert child.stderr is not None
        child.stdin.write(b"".join(given[:100]) + given[100][:20])
        child.stdin.flush()
        patience = time.monotonic() + 60
        while not (tmp_path / "agent.db").exists() or len(stored()) < 100:
            assert time.monotonic() < patience
        child.send_signal(stop)  # it waits for a line: nothing more is coming, and stdin stays open
        lines = child.stderr.read().decode().splitlines()
        first, last = [line for line in lines if not line.startswith("importing: ")]  # on a busy machine
    assert child.returncode == 130
    told = re.fullmatch(
        r"stopped behind line (\d+): imported (\d+) conversations with (\d+) messages. Give the command again to go on",
        first,
    )
    assert told
    assert int(told[2]) == 100 == len(stored())
    assert last == "stowfast: interrupted: acknowledged writes are kept"
    Path("in").write_bytes(b"".join(given))
    assert call("import", URL, "in")[:2] == (0, "imported 100 conversations with 200 messages, 100 already there\n")


def test_a_background_job_that_ignores_interrupts_can_be_terminated(call: Call, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        child = subprocess.Popen([*STOWFAST, "import", URL, "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    finally:
        signal.signal(signal.SIGINT, before)
    with child:
        assert child.stdin is not None
        child.stdin.write(b"".join(GOOD.replace(b'"x"', b'"%d"' % number) for number in range(100)) + GOOD[:3])
        child.stdin.flush()
        patience = time.monotonic() + 60
        while not (tmp_path / "agent.db").exists() or len(stored()) < 100:
            assert time.monotonic() < patience
        child.terminate()
        assert child.wait(30) == 130


def test_who_pipes_it_is_told_how_far_it_is(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "_REPORT_SECONDS", 0.0)
    Path("in").write_bytes(GOOD * 3)
    err = call("import", URL, "in")[2]
    assert f"importing: {len(GOOD) * 3} bytes of {len(GOOD) * 3} bytes\n" in err


def test_many_conversations_are_in_flight(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    from stowfast.stores.messages.store import Messages

    now = most = 0
    add = Messages.add_messages

    async def counted(self: Messages, *given: Any, **options: Any) -> Any:
        nonlocal now, most
        now += 1
        most = max(most, now)
        try:
            return await add(self, *given, **options)
        finally:
            now -= 1

    monkeypatch.setattr(Messages, "add_messages", counted)
    Path("in").write_bytes(b"".join(GOOD.replace(b'"x"', b'"%d"' % number) for number in range(300)))
    assert call("import", URL, "in")[1] == "imported 300 conversations with 300 messages\n"
    assert most == 64
    large = b'{"context_id": "%d", "messages": [{"a": "%b"}]}\n'
    Path("in").write_bytes(b"".join(large % (number, b"y" * 9 * 2**20) for number in range(1000, 1004)))
    most = 0
    assert call("import", URL, "in")[0] == 0
    assert most == 1, "16 MiB at a time"
    assert os.path.getsize("in") > 2**25
