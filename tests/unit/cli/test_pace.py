"""Long work says how far it is, also while one step of it takes long, and as JSON where that is asked for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

import stowfast.sync
from stowfast.cli import pace
from stowfast.cli.main import run
from stowfast.cli.pace import Amount, paced

if TYPE_CHECKING:
    from pathlib import Path

QUICKLY = 0.002


@pytest.fixture(autouse=True)
def quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "_REPORT_SECONDS", QUICKLY)


def line_with(capsys: pytest.CaptureFixture[str], text: str) -> str:
    """Wait for a line with a text on stderr, and return it."""
    told = ""
    while True:
        told += capsys.readouterr().err
        for line in told.splitlines()[: told.count("\n")]:
            if text in line:
                return line


def test_a_line_comes_before_the_first_step_ends_and_tells_the_rest(capsys: pytest.CaptureFixture[str]) -> None:
    with paced("copying") as tell:
        assert line_with(capsys, "so far").startswith("copying: ")
        tell(Amount(250, 1_000, 5_000, 2**20))
        line = line_with(capsys, "250 of 1,000, 5,000 entries, 1.0 MiB, ")
        assert line.endswith(" left")
        tell(Amount(250, None, 5_000, 2**20))
        assert not line_with(capsys, "copying: 250, 5,000").endswith("left")
        tell(Amount(0, None, 0, 2**20, 2**30))
        assert line_with(capsys, "1.0 MiB of 1.0 GiB").endswith(" left")


def test_lines_of_json_have_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    with paced("copying", as_json=True) as tell:
        assert json.loads(line_with(capsys, "copying"))["doing"] == "copying"
        tell(Amount(250, 1_000, 5_000, 2**20))
        found = json.loads(line_with(capsys, "1000"))
        assert (found["streams"], found["total"], found["entries"], found["bytes"]) == (250, 1_000, 5_000, 2**20)
        assert found["seconds_left"] >= 0
        tell(Amount(0, None, 0, 0))
        assert json.loads(line_with(capsys, '"total": null'))["seconds_left"] is None


def test_the_rest_is_reckoned_from_the_part_that_is_done() -> None:
    assert Amount(250, 1_000, 0, 0).left(10.0) == 30.0
    assert Amount(1_200, 1_000, 0, 0).left(10.0) == 0.0  # some came meanwhile
    assert Amount(0, 1_000, 0, 0).left(10.0) is None
    assert Amount(0, None, 0, 2**20, 2**22).left(1.0) == 3.0


def test_stdout_of_a_command_has_the_result_alone(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    url, target = f"sqlite:///{tmp_path}/a.db", f"sqlite:///{tmp_path}/b.db"
    with stowfast.sync.open(url) as stores:
        stores.artifacts.create(stowfast.Artifact(artifact_id="large", content=bytes(2**24)))
    for arguments in (["copy", url, target], ["verify", url], ["backup", url, f"sqlite:///{tmp_path}/c.db"]):
        capfd.readouterr()
        assert run([*arguments, "--json"]) == 0
        out, err = capfd.readouterr()
        assert "total" not in json.loads(out)
        assert all(json.loads(line)["doing"] in {"copying", "verifying"} for line in err.splitlines())
