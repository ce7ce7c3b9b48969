"""The command `import-from`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import stowfast.sync
from stowfast.cli.main import run
from tests.unit.importing.sources import messages, sessions

if TYPE_CHECKING:
    from pathlib import Path


def test_an_import_its_repeat_and_a_difference(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    source, url = sessions(tmp_path / "s.db", {"a": messages(3), "b": messages(1)}), f"sqlite:///{tmp_path}/t.db"
    command = ["import-from", "openai-agents", str(source), url]
    assert run(command) == 0
    assert "imported 2 streams with 4 entries" in capfd.readouterr().out
    assert run([*command, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["already_there"] == 2
    assert run([*command, "--into", "tenant-1"]) == 0
    sessions(source, {"a": ["no json"]})
    assert run(command) == 1
    seen = capfd.readouterr()
    assert "messages/a: message 3 is no JSON" in seen.err
    assert "1 NOT imported" in seen.out
    with stowfast.sync.open(url) as stores:
        assert stores.messages.get_messages("a") == messages(3)
        assert stores.within("tenant-1").messages.get_messages("b") == messages(1)


@pytest.mark.parametrize("arguments", [["pickle", "s.db", "memory:"], ["langchain", "none.db", "memory:"]])
def test_a_wrong_call(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["import-from", *arguments]) in {1, 2}
    assert "pickle" in (seen := capfd.readouterr().err) or "no such file" in seen


@pytest.mark.parametrize(("kind", "prefix"), [("looopy", "agent="), ("strands", "session_")])
def test_a_folder_of_other_files_is_refused(
    kind: str, prefix: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "passwd").write_text("root")
    assert run(["import-from", kind, str(tmp_path), f"sqlite:///{tmp_path}/t.db"]) == 1
    out, err = capfd.readouterr()
    assert (out, f"is no folder of {kind}: no name in it begins with {prefix!r}" in err) == ("", True)
