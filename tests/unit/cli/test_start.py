"""What a command loads before it works, and the completion of shells."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from stowfast.cli import main
from tests.unit.cli.test_messages import COMMANDS, STOWFAST

HEAVY = {
    "obstore", "psycopg", "starlette", "uvicorn", "jinja2", "markdown_it", "pyarrow", "jsonschema", "stowfast.testing",
    "stowfast.moving", "stowfast.importing", "stowfast.view.server", "stowfast.backends.objects",
    "stowfast.backends.postgres", "stowfast.cli.demo",
}  # fmt: skip


def loaded(*arguments: str) -> set[str]:
    """Return the modules that a command has loaded at its end."""
    script = f"""
import json, sys
from stowfast.cli.main import run
code = run({list(arguments)!r})
print(json.dumps([code, *sys.modules]))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, *modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    return set(modules)


def test_a_list_loads_no_other_command_and_no_other_backend(tmp_path) -> None:
    assert not HEAVY & loaded("put", f"sqlite:///{tmp_path}/a.db", "a", __file__)
    # Typer's own way to convert a value needs pydantic, which takes longer to import than all of ours.
    for options in [], ["--limit", "5", "--order", "id", "--prefix", "x", "--json"]:
        assert not {*HEAVY, "pydantic", "stowfast.view"} & loaded("ls", f"sqlite:///{tmp_path}/a.db", *options)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--limit", "0"], "'--limit'"),
        (["--limit", "1001"], "'--limit'"),
        (["--limit", "x"], "'--limit'"),
        (["--limit", "9" * 30], "'--limit'"),
        (["--order", "none"], "'recent', 'id'"),
    ],
    ids=str,
)
def test_a_wrong_value_is_refused(options: list[str], told: str, tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["ls", f"sqlite:///{tmp_path}/a.db", *options]) == 2
    assert told in capsys.readouterr().err


def test_the_version_loads_no_library() -> None:
    assert not {*HEAVY, "typer", "rich", "msgspec", "sqlite3"} & loaded("--version")


@pytest.mark.parametrize("words", [("",), ("ex",), ("tasks", ""), ("ls", "--")], ids=" ".join)
def test_bash_is_offered_the_commands_and_options(words: tuple[str, ...]) -> None:
    line = {"COMP_WORDS": " ".join(("stowfast", *words)), "COMP_CWORD": str(len(words))}
    environment = {**os.environ, "_STOWFAST_COMPLETE": "complete_bash", **line}
    done = subprocess.run([*STOWFAST], env=environment, capture_output=True, text=True, check=False)
    offered = set(done.stdout.split())
    assert done.stderr == ""
    if words[0] == "tasks":
        assert offered == {name.split()[1] for name in COMMANDS if name.startswith("tasks ")}
    elif words[0] == "ls":
        assert {"--prefix", "--limit", "--json"} <= offered
    else:
        assert offered == {name.split()[0] for name in COMMANDS if name.startswith(words[0])}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_its_completion(shell: str) -> None:
    environment = {**os.environ, "_STOWFAST_COMPLETE": f"source_{shell}"}
    done = subprocess.run([*STOWFAST], env=environment, capture_output=True, text=True, check=False)
    assert f"complete_{shell}" in done.stdout
    assert "_STOWFAST_COMPLETE" in done.stdout
