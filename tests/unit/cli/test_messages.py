"""The command line: each command, for a person and for a program, when all is well and when it is not."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import typer

import stowfast
from stowfast import Artifact, InvalidError, TaskState, sync
from stowfast.cli import check
from stowfast.cli import main as cli
from stowfast.cli.commands import root
from stowfast.cli.lines import parse
from stowfast.cli.urls import scrub, shown
from tests.amount import mostly_soak
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    Call: TypeAlias = Callable[..., tuple[int, str, str]]

ROOT = Path(__file__).parents[3]


def commands_of(group: Any, path: str = "") -> dict[str, Any]:
    """Every command by its words, subcommands included."""
    found: dict[str, Any] = {}
    for name in group.list_commands(None):
        command = group.get_command(None, name)
        below = commands_of(command, f"{path}{name} ") if hasattr(command, "commands") else {f"{path}{name}": command}
        found.update(below)
    return found


COMMANDS = commands_of(typer.main.get_command(root.app))
STOWFAST = [sys.executable, "-m", "stowfast.cli.main"]

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "What is the weather in Rome and in Oslo, and what should I wear? " * 30},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}},
            {"id": "c2", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "name": "weather", "content": '{"sky": "clear", "degrees": 21.0}'},
    {"role": "tool", "tool_call_id": "c2", "name": "weather", "content": '{"sky": "snow", "degrees": -3}'},
    {"role": "assistant", "content": "\n".join(f"{line}. wear a coat" for line in range(40))},
    {"role": "user", "content": [{"type": "text", "text": "thanks"}, {"type": "image_url", "image_url": {"url": "x"}}]},
    {"role": "assistant", "content": "\x1b[2Jgone\x07 日本語 \u202eright to left"},
]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = cli.run(list(arguments))
        return (code, *capsys.readouterr())

    return run


@pytest.fixture
def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A place with three conversations, two tasks and an artifact."""
    monkeypatch.chdir(tmp_path)
    with sync.open("sqlite:///agent.db") as stores:
        stores.messages.add_messages("rome", MESSAGES)
        stores.messages.add_message("support/" + "a-long-name-" * 8, {"role": "user", "content": "hi"})
        stores.messages.add_message("bare", {"k": 1})
        stores.messages.set_metadata("rome", {"user": "ann", "note": "x" * 300})
        stores.tasks.save(TaskState(task_id="t1", context_id="rome", status="completed"))
        stores.tasks.save(TaskState(task_id="t2", agent_id="a"))
        stores.artifacts.create(Artifact(artifact_id="report.md", content="# hi", context_id="rome"))
    return "sqlite:///agent.db"


def too_wide(text: str) -> list[str]:
    return [line for line in text.splitlines() if len(line) > 80]


# --- help, errors, exit codes


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, call: Call) -> None:
    code, out, _ = call(*name.split(), "--help")
    assert code == 0
    assert f"stowfast {name}" in COMMANDS[name].epilog
    assert "Example:" in out
    assert "--json" in out
    assert COMMANDS[name].short_help
    assert [option.name for option in COMMANDS[name].params if not option.help] == []
    assert too_wide(out) == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented_with_all_its_options(name: str) -> None:
    page = (ROOT / "docs" / "reference" / "cli.md").read_text(encoding="utf-8")
    match = re.search(rf"^##+ stowfast {name}$(.*?)(?=^##+ |\Z)", page, re.MULTILINE | re.DOTALL)
    assert match, f"docs/reference/cli.md does not describe stowfast {name}"
    assert f"$ stowfast {name} " in match[1]
    told = {option for command in COMMANDS[name].params for option in command.opts if option.startswith("--")}
    assert told - set(re.findall(r"--[a-z-]+", page)) - {"--help"} == set()


def test_without_a_command_it_says_what_there_is(call: Call) -> None:
    code, out, err = call()
    assert (code, err) == (0, "")
    assert [name for name in COMMANDS if f"  {name.partition(' ')[0]} " not in out] == []
    code, out, err = call("tasks")
    assert (code, err) == (0, "")
    assert [name for name in COMMANDS if name.startswith("tasks ") and f"  {name[6:]} " not in out] == []
    assert call("--version")[:2] == (0, f"stowfast {stowfast.__version__}\n")


@pytest.mark.parametrize(
    ("arguments", "code", "line"),
    [
        (["nope"], 2, "No such command 'nope' (see stowfast --help)"),
        (["shwo"], 2, "No such command 'shwo'. Did you mean 'show'? (see stowfast --help)"),
        (["tasks", "sqlite:///x.db"], 2, "a URL stands behind a command, as in stowfast ls URL, or stowfast tasks ls"),
        (["sqlite:///x.db"], 2, "a URL stands behind a command"),
        (["ls", "memory:", "--limt", "3"], 2, "No such option: --limt (Possible options: --limit) (see stowfast ls"),
        (["ls", "memory:", "--zzz"], 2, "an id or a file that begins with a dash stands after --"),
        (["ls", "postgres://host/db"], 1, "as in postgresql://host/db"),
        (["ls"], 2, "Missing argument 'URL' (see stowfast ls --help)"),
        (["ls", "memory:", "--order", "size"], 2, "'size' is not one of"),
        (["ls", "memory:", "--limit", "0"], 2, "--limit"),
        (["ls", "memory:", "--tasks", "--artifacts"], 2, "give one of --tasks, --artifacts and --scopes"),
        (["ls", "memory:", "--tasks", "--prefix", "x"], 2, "--prefix and --order are for conversations"),
        (["import", "memory:", "no-such-file"], 2, "no-such-file"),
        (["ls", "agent.db"], 1, "'agent.db' is a path, no URL: did you mean sqlite:///agent.db ?"),
        (["ls", "nosuch:x"], 1, "nosuch: no backend has this scheme: there are"),
        (["ls", "sqlite:///no-such.db"], 1, "there is no file no-such.db"),
        (["show", "memory:", "x\x1b"], 1, "there is no conversation 'x\\x1b'"),
        (["export", "memory:", "no-such-folder/x.jsonl"], 1, "no-such-folder does not exist: create it first"),
        (["ls", "memory:", "--after", "x"], 1, "--after 'x' is no"),
        (["ls", "nosuch://ann:hunter2@host/x?token=abcdef", "hunter2"], 2, "unexpected extra argument"),
    ],
)
def test_an_error_is_one_line_and_a_code(arguments, code, line, call, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    found, out, err = call(*arguments)
    assert (found, out) == (code, "")
    assert err.startswith("stowfast: ")
    assert line in err
    assert err.count("\n") == 1
    assert "hunter2" not in err
    assert list(tmp_path.iterdir()) == []


def test_a_secret_of_a_url_is_never_printed() -> None:
    url = "postgresql://ann:hun%40ter2@db.example/agents?sslpassword=geheim1&a=b"
    assert shown(url) == "postgresql://db.example/agents"
    assert shown("s3://key:se/cret@bucket/prefix") == "s3://bucket/prefix"
    assert shown("s3://bucket/a@b") == "s3://bucket/a@b"
    assert shown("ann:hunter2") == "ann:"
    assert shown("sqlite:////tmp/a@b.db?x=1") == "sqlite:////tmp/a@b.db"
    text = "no answer from hun@ter2 at postgresql://ann:hun%40ter2@db.example/agents?sslpassword=geheim1&a=b"
    assert not {"hun@ter2", "hun%40ter2", "geheim1"} & set(re.findall(r"[\w%@]+", scrub(text, ["ls", url])))
    assert scrub("a.db: at pw@x, :pw@x", ["s3://k:pw@x"]) == "a.db: at pw@x, :***@x"


def test_without_typer_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "typer.py").write_text("raise ModuleNotFoundError('No module named typer', name='typer')")
    done = subprocess.run(
        STOWFAST,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "the stowfast command needs typer and rich: pip install 'stowfast[cli]'\n"


@pytest.mark.slow
def test_a_reader_who_leaves_is_no_error(url: str) -> None:
    with sync.open(url) as stores:
        stores.messages.add_messages("long", [{"text": "x" * 1000}] * 1000)
    command = f"{sys.executable} -m stowfast.cli.main export {url} | head -c 10"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60, check=False)
    assert done.stderr == ""


# --- ls and show


def test_ls_shows_ids_whole_and_fits(url: str, call: Call) -> None:
    code, out, err = call("ls", url)
    assert (code, err) == (0, "")
    long = "support/" + "a-long-name-" * 8
    assert too_wide(out) == [long], "the terminal folds it, so that it is copied as one line"
    assert out.splitlines()[0].split() == ["conversation", "messages", "updated", "metadata"]
    assert [line.split()[0] for line in out.splitlines()[1:5]] == ["bare", long, "1", "rome"]
    assert not [line for line in out.splitlines() if line.endswith(" ")]
    assert "2 tasks, 1 artifact" in out
    for kind, expected in (
        ("--tasks", ["t1", "t2", "completed", "working"]),
        ("--artifacts", ["report.md", "4 bytes"]),
    ):
        code, out, _ = call("ls", url, kind)
        assert code == 0
        assert [word for word in expected if word not in out] == []
        assert too_wide(out) == []


def test_ls_goes_page_by_page(url: str, call: Call) -> None:
    for order in ("id", "recent"):
        seen: list[str] = []
        after: list[str] = []
        while after != ["--after", None] and len(seen) < 10:
            code, out, err = call("ls", url, "--json", "--limit", "1", "--order", order, *after)
            assert (code, err) == (0, "")
            page = json.loads(out)
            seen += [one["context_id"] for one in page["conversations"]]
            after = ["--after", page["next"]]
        assert sorted(seen) == ["bare", "rome", "support/" + "a-long-name-" * 8]
    _, out, _ = call("ls", url, "--limit", "1")
    hint = re.search(r"--after ([\w-]+)", out.replace("\n", ""))
    assert hint
    assert call("ls", url, "--limit", "1", "--after", hint[1])[1] != out


def test_ls_says_the_same_to_a_program(url: str, call: Call) -> None:
    page = json.loads(call("ls", url, "--json", "--prefix", "ro")[1])
    assert [(one["context_id"], one["count"], one["metadata"]["user"]) for one in page["conversations"]] == [
        ("rome", len(MESSAGES), "ann")
    ]
    assert (page["tasks"], page["artifacts"], page["next"]) == (2, 1, None)
    tasks = json.loads(call("ls", url, "--json", "--tasks")[1])["tasks"]
    assert {(task["task_id"], task["status"]) for task in tasks} == {("t1", "completed"), ("t2", "working")}
    artifacts = json.loads(call("ls", url, "--json", "--artifacts")[1])["artifacts"]
    assert [(one["artifact_id"], one["size"]) for one in artifacts] == [("report.md", 4)]
    assert call("ls", "memory:")[:2] == (0, "no conversations\n")


def test_show_is_readable_and_fits(url: str, call: Call) -> None:
    code, out, err = call("show", url, "rome")
    assert (code, err) == (0, "")
    assert too_wide(out) == []
    said = " ".join(out.split())
    wanted = ("#0 system", "→ weather", "#3 tool weather", "32 more lines", "more characters", "thanks", "user: ann")
    assert [words for words in wanted if words not in said] == []
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert "␛[2Jgone␇ 日本語" in out
    code, out, _ = call("show", url, "rome", "--full")
    assert "39. wear a coat" in out
    assert "more line" not in out
    assert too_wide(out) == []
    assert "#7" in call("show", url, "rome", "--last", "1")[1]
    assert "#6" not in call("show", url, "rome", "--last", "1")[1]
    assert '{"k": 1}' in call("show", url, "bare")[1]


def test_show_gives_a_program_everything(url: str, call: Call) -> None:
    found = json.loads(call("show", url, "rome", "--json")[1])
    assert [entry["message"] for entry in found["messages"]] == MESSAGES
    assert [entry["position"] for entry in found["messages"]] == list(range(len(MESSAGES)))
    assert (found["context_id"], found["summary"]) == ("rome", None)


def test_show_finds_the_newest_across_gaps(url: str, call: Call) -> None:
    with sync.open(url) as stores:
        for number in range(30):
            stores.messages.add_message("gaps", {"n": number})
        for _ in range(20):
            stores.messages.pop_message("gaps")
        stores.messages.add_message("gaps", {"n": 30})
    found = json.loads(call("show", url, "gaps", "--json", "--last", "3")[1])
    assert [entry["message"]["n"] for entry in found["messages"]] == [8, 9, 30]


def test_show_begins_a_compacted_conversation_with_its_summary(url: str, call: Call) -> None:
    with sync.open(url) as stores:
        stores.messages.compact("rome", keep_last=2, summary={"role": "system", "content": "In short: a coat."})
    _, out, _ = call("show", url, "rome")
    assert "the summary of everything before #6" in out
    assert "In short: a coat." in out
    assert "#5" not in out
    assert "In short" not in call("show", url, "rome", "--last", "2")[1]
    found = json.loads(call("show", url, "rome", "--json", "--originals")[1])
    assert (found["summary"], len(found["messages"])) == (None, len(MESSAGES))


# --- import and export


def lines(conversations: list[dict[str, Any]]) -> str:
    return "".join(json.dumps(one) + "\n" for one in conversations)


def everything(url: str) -> dict[str, Any]:
    with sync.open(url) as stores:
        ids = [ref.context_id for ref in stores.messages.contexts(order="id", limit=1000)]
        infos = {one: stores.messages.info(one) for one in ids}
        return {
            one: (stores.messages.get_messages(one, originals=True), info.metadata)
            for one, info in infos.items()
            if info
        }


@pytest.mark.slow
def test_real_conversations_survive_the_round_trip(airline, tmp_path: Path, call: Call, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.jsonl").write_text(lines(airline), encoding="utf-8")
    code, out, err = call("import", "sqlite:///a.db", "in.jsonl")
    assert (code, err) == (0, "")
    assert out == "imported 100 conversations with 2,658 messages\n"
    assert everything("sqlite:///a.db") == {one["context_id"]: (one["messages"], {}) for one in airline}
    assert call("export", "sqlite:///a.db", "out.jsonl")[:2] == (0, "100 conversations, 2,658 messages in out.jsonl\n")
    assert json.loads(call("import", "sqlite:///b.db", "out.jsonl", "--json")[1])["messages"] == 2658
    assert everything("sqlite:///b.db") == everything("sqlite:///a.db")
    code, out, _ = call("import", "sqlite:///b.db", "in.jsonl")
    assert (code, out) == (0, "imported 0 conversations with 0 messages, 100 already there\n")
    assert call("export", "sqlite:///b.db")[1] == Path("out.jsonl").read_text(encoding="utf-8")
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["in.jsonl", "out.jsonl"]


@pytest.mark.slow
def test_an_import_that_was_killed_is_given_again(tmp_path: Path, call: Call) -> None:
    given = [{"context_id": f"c{n:03}", "messages": [{"n": n, "m": m} for m in range(5)], "k": n} for n in range(120)]
    url, file = f"sqlite:///{tmp_path}/a.db", tmp_path / "in.jsonl"
    file.write_text(lines(given))
    with subprocess.Popen([*STOWFAST, "import", url, "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as child:
        assert child.stdin is not None
        # Half of the file, and half of a line: it is in the middle of its work when it is killed.
        child.stdin.write(lines(given[:60]).encode() + lines(given[60:])[:40].encode())
        child.stdin.flush()
        patience = time.monotonic() + 60
        while not (tmp_path / "a.db").exists() or len(everything(url)) < 20:
            assert time.monotonic() < patience, "nothing was imported"
        child.send_signal(signal.SIGKILL)
    assert child.returncode == -signal.SIGKILL
    before = everything(url)
    assert 20 <= len(before) <= 60
    assert all(messages in ([], given[int(one[1:])]["messages"]) for one, (messages, _) in before.items())
    code, out, err = call("import", url, str(file))
    assert (code, err) == (0, "")
    assert f"{len(before)} already there" in out
    assert everything(url) == {one["context_id"]: (one["messages"], {"k": one["k"]}) for one in given}


def test_what_is_there_already_is_known_by_its_content(url: str, call: Call, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    line = '{"messages":[ {"content":"h\\u00e9", "role":"user"} ],"context_id":"x"}\n'
    file.write_text('{"context_id": "x", "messages": [{"role": "user", "content": "hé"}]}\n', encoding="utf-8")
    assert call("import", url, str(file))[0] == 0
    file.write_text(line)
    assert json.loads(call("import", url, str(file), "--json")[1])["already_there"] == 1
    with sync.open(url) as stores:
        stores.messages.add_message("x", {"role": "assistant", "content": "it went on"})
    assert json.loads(call("import", url, str(file), "--json")[1])["already_there"] == 1
    with sync.open(url) as stores:
        assert stores.messages.count("x") == 2
        stores.messages.delete("x")
    # A place remembers the calls of a deleted conversation: that must not keep it from coming back.
    assert json.loads(call("import", url, str(file), "--json")[1])["conversations"] == 1
    with sync.open(url) as stores:
        assert stores.messages.count("x") == 1


def test_a_conflict_is_left_as_it_is_and_the_others_go_on(url: str, call: Call, tmp_path: Path) -> None:
    before = everything(url)
    file = tmp_path / "in.jsonl"
    others = [{"context_id": "bare", "messages": [{"k": 1.0}]}, {"context_id": "new", "messages": [{"k": 1}]}]
    file.write_text(lines(others))
    code, out, err = call("import", url, str(file))
    assert code == 1
    assert out == "imported 1 conversation with 1 message, 1 in conflict\n"
    assert err == "line 1: conflict: 'bare' exists with other messages: left as it is\n"
    assert everything(url) == before | {"new": ([{"k": 1}], {})}


def test_metadata_is_taken_where_there_is_none(url: str, call: Call, tmp_path: Path) -> None:
    file = tmp_path / "in.jsonl"
    given: list[dict[str, Any]] = [
        {"context_id": "rome", "messages": MESSAGES, "metadata": {"user": "bob"}},
        {"context_id": "bare", "messages": [{"k": 1}], "metadata": {"a": 1}, "rating": None},
        {"context_id": "odd", "messages": [], "metadata": 5},
    ]
    file.write_text(lines(given))
    found = json.loads(call("import", url, str(file), "--json")[1])
    assert (found["complete"], found["metadata_kept"], found["already_there"]) == (True, 1, 2)
    kept = everything(url)
    assert kept["rome"][1]["user"] == "ann"
    assert kept["bare"][1] == {"a": 1, "rating": None}
    assert kept["odd"] == ([], {"metadata": 5})
    exported = tmp_path / "out.jsonl"
    assert call("export", url, str(exported))[0] == 0
    assert call("import", "sqlite:///copy.db", str(exported))[0] == 0
    assert everything("sqlite:///copy.db") == kept


SEARCHED = b"".join(b', "k%d": "%b"' % (number, b"x" * 100) for number in range(700))

BAD = {
    "not JSON": b'{"context_id": "x", "messages": [}',
    "a key twice": b'{"context_id": "x", "messages": [{"a": 1, "a": 2}]}',
    "NaN": b'{"context_id": "x", "messages": [{"a": NaN}]}',
    "infinite": b'{"context_id": "x", "messages": [{"a": 1e999}]}',
    "a lone surrogate": b'{"context_id": "x", "messages": [{"a": "\\ud800"}]}',
    "a lone surrogate in the id": b'{"context_id": "\\udfff", "messages": [{"a": 1}]}',
    "a lone surrogate in the metadata": b'{"context_id": "x", "messages": [{"a": 1}], "m": "\\ud800"}',
    "not UTF-8": b'{"context_id": "x", "messages": [{"a": "\xff"}]}',
    "a list": b'[{"role": "user"}]',
    "a number": b"5",
    "no context_id": b'{"messages": [{"a": 1}]}',
    "context_id a number": b'{"context_id": 5, "messages": [{"a": 1}]}',
    "an empty id": b'{"context_id": "", "messages": [{"a": 1}]}',
    "no messages": b'{"context_id": "x"}',
    "messages an object": b'{"context_id": "x", "messages": {}}',
    "a message is text": b'{"context_id": "x", "messages": [{"a": 1}, "b"]}',
    "nothing to keep": b'{"context_id": "x", "messages": []}',
    "too deep for Python": b'{"context_id": "x", "messages": [{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}]}",
    "too deep for us": b'{"context_id": "x", "messages": [{"a": ' + b"[" * 300 + b"]" * 300 + b"}]}",
    "metadata too deep": b'{"context_id": "x", "messages": [{"a": 1}], "m": ' + b"[" * 300 + b"]" * 300 + b"}",
    "metadata too large": b'{"context_id": "x", "messages": [{"a": 1}]' + SEARCHED + b"}",
    "a number too long": b'{"context_id": "x", "messages": [{"a": ' + b"1" * 5_000 + b"}]}",
    "metadata in two places": b'{"context_id": "x", "messages": [{"a": 1}], "metadata": {"b": 1}, "b": 2}',
    "two values": b'{"context_id": "x", "messages": [{"a": 1}]} {}',
}


@pytest.mark.parametrize("line", BAD.values(), ids=BAD)
def test_nothing_of_a_bad_line_is_stored_and_the_others_go_on(line: bytes, tmp_path: Path, call: Call) -> None:
    url, file = f"sqlite:///{tmp_path}/a.db", tmp_path / "in.jsonl"
    good = b'{"context_id": "%b", "messages": [{"a": "\xe2\x80\xa8"}]}\r\n'
    file.write_bytes(b"\xef\xbb\xbf" + good % b"one" + b"\n" + line + b"\n" + good % b"two")
    code, out, err = call("import", url, str(file))
    assert code == 1
    assert out == "imported 2 conversations with 2 messages, 1 not understood\n"
    assert err.startswith("line 3: ")
    assert err.count("\n") == 1
    assert len(err) < 300
    assert everything(url) == {"one": ([{"a": "\u2028"}], {}), "two": ([{"a": "\u2028"}], {})}
    found = json.loads(call("import", url, str(file), "--json")[1])
    assert [(problem["line"], problem["kind"]) for problem in found["problems"]] == [(3, "bad line")]


def test_numbers_and_key_order_come_back_as_they_were() -> None:
    text = '{"context_id": "x", "messages": [{"b": 1.0, "a": [1, -0.0, 12345678901234567890123, 1e-7]}]}'
    assert parse(text.encode()).line() == text.replace("1e-7", "1e-07") + "\n"
    with pytest.raises(InvalidError, match="column 4"):
        parse(b"[1 2]")


def test_an_export_appears_whole_or_not_at_all(url: str, call: Call, monkeypatch, tmp_path: Path) -> None:
    target = tmp_path / "kept" / "out.jsonl"
    target.parent.mkdir()
    target.write_text("what was there before")

    def fail(*_: Any, **__: Any) -> Iterator[Any]:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr("stowfast.cli.transfer.read_conversations", fail)
        code, out, err = call("export", url, str(target))
    assert (code, out, err) == (1, "", "stowfast: [Errno 28] No space left on device\n")
    assert target.read_text() == "what was there before"
    link = tmp_path / "link.jsonl"
    link.symlink_to(target)
    assert call("export", url, str(link), "--json")[0] == 0
    assert link.is_symlink()
    assert [path.name for path in target.parent.iterdir()] == ["out.jsonl"]
    assert len(target.read_text().splitlines()) == 3
    assert call("export", url, os.devnull)[0] == 0
    assert not Path(os.devnull).is_file()


def test_an_export_says_what_it_left_out(url: str, call: Call) -> None:
    with sync.open(url) as stores:
        stores.messages.compact("rome", keep_last=2, summary={"role": "system", "content": "In short"}, drop=True)
    code, out, err = call("export", url, "--prefix", "rome", "-")
    assert code == 0
    assert json.loads(out)["messages"] == MESSAGES[-2:]
    assert "1 conversation compacted" in err


def test_an_export_holds_no_line_that_import_refuses(call: Call, tmp_path: Path) -> None:
    url, target = f"sqlite:///{tmp_path}/emptied.db", str(tmp_path / "out.jsonl")
    with sync.open(url) as stores:
        stores.messages.add_message("emptied", {"role": "user"})
        stores.messages.pop_message("emptied")
        stores.messages.set_metadata("named", {"user": "ada"})
        stores.messages.add_message("summed-up", {"role": "user"})
        stores.messages.compact("summed-up", keep_last=0, summary={"role": "system"}, drop=True)
    code, _, err = call("export", url, target)
    assert (code, err) == (0, "1 conversation compacted: exported as far as kept, without the summary\n")
    assert [json.loads(line)["context_id"] for line in Path(target).read_text().splitlines()] == ["named"]
    assert call("import", f"sqlite:///{tmp_path}/copy.db", target)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize("command", [["export"], ["show", "--full"]])
def test_a_reader_who_leaves_ends_it_without_a_word(command: list[str], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/long.db"
    with sync.open(url) as stores:
        for number in range(200):
            stores.messages.add_messages(f"ctx-{number}", [{"role": "user", "content": "x" * 1_000}] * 5)
        stores.messages.add_messages("ctx", [{"role": "user", "content": "x" * 1_000}] * 1_000)
    context = ["ctx"] if command[0] == "show" else []
    arguments = [sys.executable, "-m", "stowfast.cli.main", command[0], url, *context, *command[1:]]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert (process.stderr.read(), process.wait(30)) == (b"", 141)


# --- check


@pytest.mark.slow
@pytest.mark.timeout(400)  # every clause there is, on a machine that may be busy
@pytest.mark.parametrize(
    ("place", "step"),
    mostly_soak(
        [(place, step) for place in ("memory:", "sqlite:///agent.db") for step in (5, 1)], lambda one: one[1] > 1
    ),
)
def test_check_reports_and_leaves_nothing_behind(
    place: str, step: int, url: str, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [(clauses[::step], face) for clauses, face in check.groups()]
    monkeypatch.setattr(check, "groups", lambda: asked)
    before = everything(url)
    code, out, err = call("check", place, "--json")
    found = json.loads(out)
    assert re.fullmatch(r"(checking: \d+ of \d+\n)*", err)
    assert [(one["name"], one["error"]) for one in found["clauses"] if not one["passed"]] == []
    assert (code, found["passed"], found["url"]) == (0, True, place)
    assert len(found["clauses"]) > 50
    assert found["removed"] > 0
    assert everything(url) == before
    with sync.open(url) as stores:
        assert (len(stores.tasks.list()), len(stores.artifacts.list())) == (2, 1)


def test_check_says_what_stays_in_a_bucket(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stowfast.cli.check.groups", list)
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        code, out, _ = call("check", url)
        traces = json.loads(call("check", url, "--json")[1])["traces"]
    assert (code, " ".join(out.split()).endswith(traces)) == (0, True)
    assert "stay for a day" in traces
    assert "stays for good" in traces
    assert "give check a prefix of its own" in traces
    assert json.loads(call("check", "memory:", "--json")[1])["traces"] == "removed what it wrote: 0 streams"


def test_check_says_which_sentence_is_not_kept(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing_is_ever_kept(make: Any) -> None:
        """Nothing is ever kept, and this is a sentence that is so long that it does not fit on one line."""
        async with make():
            raise AssertionError("it was, \x1b[31mreally: " + "x" * 500)

    async def something_is_kept(make: Any) -> None:
        """Something is kept."""
        async with make():
            pass

    clauses = (nothing_is_ever_kept, something_is_kept)
    monkeypatch.setattr("stowfast.cli.check.groups", lambda: [(clauses, lambda backend: backend)])
    code, out, err = call("check", "memory:")
    assert (code, err) == (1, "")
    assert "2 clauses, 1 FAILED" in out
    assert "AssertionError: it was, ␛[31mreally" in out
    assert "nothing_is_ever_kept" in out
    assert too_wide(out) == []
