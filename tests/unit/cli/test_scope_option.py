"""`--scope` of each command that reads or writes an id, and the list of scopes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from stowfast import Artifact, TaskState, sync
from stowfast.cli import main as cli
from tests.services.faulty_s3.server import FaultyS3
from tests.unit.cli.test_messages import COMMANDS
from tests.unit.view.viewer import served

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from typing import TypeAlias

    Call: TypeAlias = Callable[..., tuple[int, str, str]]

HOSTILE = "org:7/a%b"
INNER = ("tenant-1", "project")
PLACES: dict[tuple[str, ...], str] = {(): "outside", ("tenant-1",): "one", INNER: "inner", (HOSTILE,): "hostile"}
"""Each scope with the word that all its content has."""


def options(scopes: tuple[str, ...]) -> list[str]:
    return [word for scope in scopes for word in ("--scope", scope)]


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/agent.db"
    with sync.open(url) as outer:
        for scopes, word in PLACES.items():
            stores = outer
            for scope in scopes:
                stores = stores.within(scope)
            stores.messages.add_message("chat", {"role": "user", "content": word}, metadata={"word": word})
            stores.artifacts.put(Artifact(artifact_id="report", content=word))
            for number in (1, 2):
                stores.tasks.save(TaskState(task_id="task", data={"word": f"{word} {number}"}))
    return url


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], piped: None) -> Call:
    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return (cli.run(list(arguments)), *capsys.readouterr())

    return run


READS = [
    ("ls",),
    ("show", "chat"),
    ("tasks show", "task"),
    ("tasks history", "task"),
    ("tasks diff", "task", "1", "2"),
    ("export",),
    ("get", "report", "-"),
]


@pytest.mark.parametrize("scopes", PLACES, ids=str)
@pytest.mark.parametrize("words", READS, ids=" ".join)
def test_a_command_reads_one_scope(words: tuple[str, ...], scopes: tuple[str, ...], url: str, call: Call) -> None:
    code, out, err = call(*words[0].split(), url, *words[1:], *options(scopes))
    assert (code, err) == (0, "")
    told = {word for word in PLACES.values() if word in out}
    assert told == {PLACES[scopes]}


def test_tasks_and_artifacts_are_those_of_the_scope(url: str, call: Call) -> None:
    with sync.open(url) as stores:
        stores.within(HOSTILE).tasks.save(TaskState(task_id="only here", data={}))
        stores.within(HOSTILE).artifacts.put(Artifact(artifact_id="only-here", content="x"))
    for words in (["tasks", "ls", url], ["ls", url, "--tasks"], ["ls", url, "--artifacts"]):
        assert "only" not in call(*words)[1]
        assert "only" in call(*words, "--scope", HOSTILE)[1]


def test_commands_write_into_the_scope(url: str, call: Call, tmp_path: Path) -> None:
    told = ["--scope", HOSTILE]
    file = tmp_path / "note.txt"
    file.write_text("new text")
    lines = tmp_path / "lines.jsonl"
    lines.write_text(json.dumps({"context_id": "brought", "messages": [{"role": "user", "content": "x"}]}))
    assert call("put", url, "note", str(file), *told)[0] == 0
    assert call("import", url, str(lines), *told)[0] == 0
    assert call("tasks", "rewind", url, "task", "1", "--yes", *told)[0] == 0
    with sync.open(url) as stores:
        inside = stores.within(HOSTILE)
        note, task, outside = inside.artifacts.get("note"), inside.tasks.load("task"), stores.tasks.load("task")
        assert note is not None
        assert note.content == b"new text"
        assert inside.messages.count("brought") == 1
        assert task is not None
        assert task.data == {"word": "hostile 1"}
        assert outside is not None
        assert outside.version == 2
        assert stores.artifacts.info("note") is None
        assert stores.messages.count("brought") == 0


def test_an_export_by_metadata_stays_in_the_scope(url: str, call: Call, tmp_path: Path) -> None:
    for word, there in (("hostile", True), ("one", False)):
        folder = tmp_path / word
        assert call("export", url, str(folder), "--where", f"word={word}", "--scope", HOSTILE)[0] == 0
        assert (folder / "messages.jsonl").exists() is there


def test_the_viewer_of_a_scope_names_it_and_shows_nothing_else(url: str) -> None:
    with (
        served(url, "--scope", "tenant-1", "--scope", "project") as address,
        httpx.Client(follow_redirects=True) as client,
    ):
        client.get(address)
        base = address.partition("/?")[0]
        pages = [client.get(base + path).text for path in ("/", "/conversation?id=chat", "/task?id=task")]
    for page in pages:
        assert {word for word in PLACES.values() if word in page} == {"inner"}
        assert "· tenant-1 · project · Stowfast</title>" in page
        assert "scope <b><bdi>tenant-1</bdi></b> · scope <b><bdi>project</bdi></b>" in page


def test_errors_name_the_id_without_its_scope(url: str, call: Call) -> None:
    for words in (
        ["show", url, "nothing"],
        ["tasks", "show", url, "nothing"],
        ["tasks", "history", url, "nothing"],
        ["tasks", "rewind", url, "nothing", "1"],
        ["get", url, "nothing", "-"],
    ):
        code, out, err = call(*words, "--scope", HOSTILE)
        assert (code, out) == (1, "")
        assert "'nothing'" in err
        assert "%" not in err
        assert "messages/" not in err
    for name, why in (("", "name of a scope"), ("x" * 200, "bytes")):
        code, _, err = call("ls", url, "--scope", name)
        assert (code, why in err) == (1, True), err


def test_scopes_are_listed_with_their_amounts(url: str, call: Call) -> None:
    code, out, err = call("ls", url, "--scopes")
    assert (code, err) == (0, "")
    assert [line.split() for line in out.splitlines()[1:]] == [
        [HOSTILE, "1", "1", "artifact,", "1", "task"],
        ["tenant-1", "1", "1", "artifact,", "1", "task"],
        ["project", "1", "1", "artifact,", "1", "task"],
    ]
    assert out.splitlines()[3].startswith("  project")
    found = json.loads(call("ls", url, "--scopes", "--json")[1])["scopes"]
    assert [one["scope"] for one in found] == [[HOSTILE], ["tenant-1"], ["tenant-1", "project"]]
    assert found[0]["streams"] == {"messages": 1, "artifacts": 1, "tasks": 1}
    assert "project  " in call("ls", url, "--scopes", "--scope", "tenant-1")[1]
    assert call("ls", url, "--scopes", "--scope", HOSTILE)[1] == "no scopes\n"
    for wrong in (["--tasks"], ["--prefix", "a"], ["--after", "x"], ["--order", "id"]):
        assert call("ls", url, "--scopes", *wrong)[0] == 2, wrong


def test_scopes_of_a_bucket_take_one_listing(call: Call) -> None:
    long = "x" * 150  # its name does not fit into a key
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        with sync.open(url) as stores:
            for scope in (HOSTILE, long):
                stores.within(scope).messages.add_message("chat", {"role": "user", "content": "inside"})
        begun = len(server.requests)
        found = json.loads(call("ls", url, "--scopes", "--json")[1])["scopes"]
        made = [record.operation for record in server.requests[begun:]]
        assert [one["scope"] for one in found] == [[HOSTILE], [long]]
        assert made.count("LIST") == 1
        assert len(made) <= 2  # the other one tells that this is a store
        for scope in (HOSTILE, long):
            assert "inside" in call("show", url, "chat", "--scope", scope)[1]


def test_an_empty_list_tells_of_scopes(tmp_path: Path, call: Call) -> None:
    url = f"sqlite:///{tmp_path}/tenants.db"
    with sync.open(url) as stores:
        stores.messages.add_message("gone", {"role": "user"})
        stores.messages.delete("gone")
        assert "scope" not in call("ls", url)[1]
        stores.within(HOSTILE).messages.add_message("chat", {"role": "user"})
    assert f"there are scopes, as {HOSTILE}" in call("ls", url)[1]
    assert "scope" not in call("ls", url, "--prefix", "x", "--json")[1]


def test_the_option_is_at_each_command_of_ids() -> None:
    having = {name for name, command in COMMANDS.items() if any("--scope" in one.opts for one in command.params)}
    assert having == {
        *("ls", "show", "view", "get", "put", "import", "export", "retention"),
        *(f"tasks {name}" for name in ("ls", "show", "history", "diff", "rewind")),
    }
