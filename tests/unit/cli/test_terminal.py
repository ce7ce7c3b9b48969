"""Text on a terminal: it is shown and never acts, in any encoding. No secret is printed, nothing is cut in a pipe."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stowfast import Artifact, TaskState, UnavailableError, sync
from stowfast.cli import main, terminal
from stowfast.cli.urls import scrub

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    Call: TypeAlias = Callable[..., tuple[int, str, str]]
    Seen: TypeAlias = Callable[..., str]

STOWFAST = [sys.executable, "-m", "stowfast"]
URL = "sqlite:///agent.db"
ODD = "é 日本語 😀 → \x1b]0;title\x07 \x1b[2J \x7f \x9b31m \u200f \u2028 \u202e \u2066"
ACTS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
COMMANDS = [
    ("ls", URL),
    ("ls", URL, "--tasks"),
    ("ls", URL, "--artifacts"),
    ("show", URL, ODD),
    ("show", URL, ODD, "--full"),
    ("tasks", "ls", URL),
    ("tasks", "show", URL, ODD),
    ("tasks", "history", URL, ODD),
    ("tasks", "diff", URL, ODD, "1", "2"),
    ("tasks", "rewind", URL, ODD, "1"),
    ("export", URL, "out é \x1b[2J.jsonl"),
    ("get", URL, ODD, "out é \x1b[2J"),
    ("put", URL, ODD, "in"),
    ("gc", URL),
    ("doctor", URL),
    ("import", URL, "in"),
    # errors
    ("show", URL, f"none {ODD}"),
    ("ls", URL, ODD),
    ("nosuch" + ODD,),
    ("ls", f"nosuch:{ODD}"),
    ("ls", f"sqlite:///{ODD}.db"),
    ("ls", f"{ODD}.db"),
    ("import", URL, ODD),
    ("get", URL, ODD, f"{ODD}/out"),
    ("put", URL, "x", "in", "--metadata", ODD),
    ("tasks", "ls", URL, "--since", ODD),
]


@pytest.fixture(autouse=True)
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with sync.open(URL) as stores:
        call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": ODD}}
        stores.messages.add_messages(ODD, [{"role": ODD, "content": ODD}, {"role": "assistant", "tool_calls": [call]}])
        stores.messages.set_metadata(ODD, {ODD: ODD})
        for number in range(2):
            stores.tasks.save(TaskState(task_id=ODD, context_id=ODD, status=ODD, data={ODD: [ODD] * number}))
        stores.artifacts.create(Artifact(artifact_id=ODD, content=ODD, name=ODD, context_id=ODD))
    Path("in").write_text(json.dumps({"context_id": ODD, "messages": [{"other": ODD}]}) + "\n" + ODD + "\n")


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Call:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main.run(list(arguments))
        return (code, *capsys.readouterr())

    return run


@pytest.mark.parametrize("command", COMMANDS, ids=lambda one: " ".join(one)[:20].split(ODD)[0])
def test_nothing_that_is_stored_or_given_acts_on_a_terminal(command: tuple[str, ...], call: Call) -> None:
    _, out, err = call(*command)
    assert out or err
    assert [line for line in (out + err).splitlines() if ACTS.search(line)] == []
    assert [line for line in out.splitlines() if line.endswith(" ")] == []


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1"])
@pytest.mark.parametrize(
    "locale", [{}, {"LC_ALL": "C"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_any_encoding_is_fine(encoding: str, locale: dict[str, str]) -> None:
    commands = COMMANDS if not locale else [COMMANDS[3], COMMANDS[6], COMMANDS[-7]]
    script = "import sys, json; from stowfast.cli.main import run\nfor line in sys.stdin: run(json.loads(line))"
    environment = {**os.environ, "PYTHONIOENCODING": encoding, **locale}
    done = subprocess.run(
        [sys.executable, "-c", script],
        input="".join(json.dumps(command) + "\n" for command in commands),
        env=environment, capture_output=True, encoding=encoding, timeout=100, check=True,
    )  # fmt: skip
    assert "Traceback" not in done.stdout + done.stderr
    assert "?" in done.stdout
    assert ACTS.search(done.stdout.replace("\n", "").replace("\t", "")) is None
    for arguments in (("show", URL, ODD), ("tasks", "show", URL, ODD), ("show", URL, f"none {ODD}")):
        one = subprocess.run([*STOWFAST, *arguments], env=environment, capture_output=True, timeout=60, check=False)
        assert one.returncode == (1 if "none" in arguments[-1] else 0), one.stderr
        assert one.stderr.count(b"\n") == one.returncode
        assert b"surrogate" not in one.stderr


def test_json_for_a_terminal_is_escaped_as_json_allows(on_terminal: Seen) -> None:
    for arguments in (
        ("show", URL, ODD, "--json"),
        ("export", URL),
        ("ls", URL, "--json"),
        ("tasks", "ls", URL, "--json"),
    ):
        seen = on_terminal([*STOWFAST, *arguments], 80)
        assert ACTS.search(seen.replace("\n", "")) is None
        assert "\\u202e" in seen
        assert "\\u009b" in seen
        piped = subprocess.run([*STOWFAST, *arguments], capture_output=True, check=True).stdout.decode()
        assert "\u202e" in piped
        assert json.loads(seen) == json.loads(piped)


def test_an_artifact_on_a_terminal_is_shown_and_in_a_pipe_exact(on_terminal: Seen) -> None:
    assert ACTS.search(on_terminal([*STOWFAST, "get", URL, ODD, "-"], 80)) is None
    piped = subprocess.run([*STOWFAST, "get", URL, ODD, "-"], capture_output=True, check=True).stdout
    assert piped.decode() == ODD


def test_a_path_that_is_no_utf8_is_json_too(call: Call) -> None:
    name = os.fsdecode(b"out\xff")
    assert json.loads(call("get", URL, ODD, name, "--json")[1])["file"].endswith("out\udcff")
    assert json.loads(call("export", URL, name, "--json")[1])["file"] == name
    Path(name).write_bytes(b"x")
    code, _, err = call("put", URL, "x", name)
    assert (code, "the name of the file is not UTF-8: give --name" in err) == (2, True)
    assert call("put", URL, "x", name, "--name", "x")[0] == 0


@pytest.mark.parametrize("error", [RuntimeError, UnavailableError, OSError])
def test_foreign_text_of_any_error_is_harmless(
    error: type[Exception], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error(f"the server says {ODD} of hunter2-hunter2")

    monkeypatch.setattr("stowfast.cli.commands.reading._ls", fail)
    code, out, err = call("ls", f"{URL}?password=hunter2-hunter2")
    assert (code, out) == (1, "")
    assert ACTS.search(err.replace("\n", "")) is None
    assert "hunter2" not in err
    assert (err.count("\n") == 1) == (error is not RuntimeError), "a fault of ours has its traceback"


def test_warnings_and_logs_are_lines(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*_: object, **__: object) -> None:
        import logging
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.showwarning(f"odd {ODD}\nnews of hunter2-hunter2", UserWarning, "x.py", 1)
        logging.getLogger("x").warning("odd %s", ODD)
        raise UnavailableError("odd")

    monkeypatch.setattr("stowfast.cli.commands.reading._ls", warn)
    _, _, err = call("ls", f"{URL}?password=hunter2-hunter2")
    assert [line[:14] for line in err.splitlines()] == ["stowfast: odd ", "stowfast: odd ", "stowfast: odd"]
    assert ACTS.search(err.replace("\n", "")) is None
    assert "hunter2" not in err


SECRET = "aB3/dE5gH7+jK9lM1nO3pQ5rS7tU9vW1xY3zA5c="


@pytest.mark.parametrize(
    "url",
    [
        "s3://bucket/x?{}", "s3://bucket/x?profile={}", "s3://bucket/x?timeout={}", "s3://bucket/x?path_style={}",
        "s3://bucket/x?secret_access_key={}", "s3://bucket/x?{}=1", "s3://{}:k@bucket", "s3://k:{}@bucket/x",
        "sqlite:///a.db?durability={}", "sqlite:///a.db?{}", "nosuch:x?{}", "s3://bucket/{}?timeout=x",
    ],
)  # fmt: skip
def test_a_secret_in_the_wrong_place_is_not_printed(url: str, call: Call) -> None:
    from urllib.parse import quote, unquote_plus

    Path("a.db").write_bytes(Path("agent.db").read_bytes())
    safe = SECRET.replace("/", "")
    for given in (safe, quote(SECRET, safe=""), quote(safe)):
        for command in (["ls"], ["doctor"], ["put"]):
            code, out, err = call(*command, url.format(given), *(["x", "in"] if command == ["put"] else []))
            assert code != 0
            told = " ".join((out + err).split())
            assert not [form for form in (given, unquote_plus(given), safe, SECRET) if form in told], told


def test_words_and_addresses_stay_in_an_error() -> None:
    url = "s3://bucket/p?endpoint_url=http://127.0.0.1:9000&region=eu-central-1&timeout=3&ca_bundle=/etc/ssl/ca.pem"
    text = "s3://bucket/p at http://127.0.0.1:9000: region eu-central-1, 3 s, /etc/ssl/ca.pem"
    assert scrub(text, ["ls", url]) == text
    assert scrub("there is no file 01234567-89ab-cdef", ["sqlite:///01234567-89ab-cdef"]).endswith("cdef")


@pytest.mark.parametrize("command", COMMANDS[:10], ids=lambda one: " ".join(one)[:20].split(ODD)[0])
def test_nothing_is_cut_where_no_terminal_is(
    command: tuple[str, ...], piped: None, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "20")
    with sync.open(URL) as stores:
        long = " ".join(f"word{number}" for number in range(200))
        stores.messages.add_message(ODD, {"role": "tool", "content": f"{long}\n" * 20})
        stores.messages.set_metadata(ODD, {"title": long})
        state = stores.tasks.load(ODD)
        assert state is not None
        state.data = {f"key{number}": long for number in range(50)}
        stores.tasks.save(state)
    arguments = [*command[:-1], "3"] if "diff" in command else command
    code, out, err = call(*arguments)
    assert (code, err) == (0, "")
    assert "…" not in out
    assert " more" not in out
    assert "{" not in command[0]
    assert [line for line in out.splitlines() if line.endswith(" ")] == []
    if command[0] == "show" or "diff" in command or command == COMMANDS[6]:
        assert out.count("word199") >= 20


def test_an_answer_needs_no_conformance_kit() -> None:
    unneeded = [
        "stowfast.cli.check",
        "stowfast.cli.demo.demonstration",
        "obstore",
        "rich.progress",
        "rich.table",
        "jsonpatch",
    ]
    script = f"""
import sys
from stowfast.cli.main import run
run(sys.argv[1:])
print([name for name in sys.modules if name.startswith("stowfast.testing") or name in {unneeded}])
"""
    for arguments in (["--version"], ["ls", URL], ["--help"]):
        command = [sys.executable, "-c", script, *arguments]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()[-1] == "[]"


def test_a_closed_stdout_or_stderr_is_no_error() -> None:
    command = f"{' '.join(STOWFAST)} ls {URL}"
    for closed in (">&-", "2>&-", ">&- 2>&-"):
        done = subprocess.run(f"{command} {closed}", shell=True, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["version"], "did you mean stowfast --version?"),
        (["help"], "did you mean stowfast --help?"),
        (["show", URL, "-dash"], "an id or a file that begins with a dash stands after --"),
        (["import", URL, "."], "'.' is a folder: name a file in it"),
        (["ls", "agent.db"], "did you mean sqlite:///agent.db ?"),
        (["put", "/tmp/x y.db", "a", "in"], "did you mean sqlite:////tmp/x%20y.db ?"),
    ],
)
def test_a_slip_gets_a_hint(arguments: list[str], hint: str, call: Call) -> None:
    code, out, err = call(*arguments)
    assert code in {1, 2}
    assert out == ""
    assert hint in err
    assert err.count("\n") == 1


def test_a_look_at_an_empty_file_leaves_it_empty(call: Call) -> None:
    Path("empty.db").touch()
    for command in (["ls"], ["tasks", "ls"], ["export"], ["doctor"], ["gc"]):
        code, out, err = call(*command, "sqlite:///empty.db")
        assert code == 1
        assert "the file empty.db is empty: nothing is stored in it" in " ".join((out + err).split())
        assert os.path.getsize("empty.db") == 0


def test_sizes_are_as_people_say_them() -> None:
    assert [terminal.size(count) for count in (0, 1, 2, 1024)] == ["0 bytes", "1 byte", "2 bytes", "1.0 KiB"]
