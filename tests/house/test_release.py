"""The release workflow: built once, checked on every Python, and no job may do more than it needs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "release.yml"
TEXT = WORKFLOW.read_text(encoding="utf-8")
JOBS: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["jobs"]
PERMISSIONS = {
    "build": {"contents": "read"},
    "check": {"contents": "read"},
    "attest": {"id-token": "write", "attestations": "write"},
    "publish": {"id-token": "write"},
}


def steps(job: str) -> list[str]:
    return [step.get("uses", "").partition("@")[0] or step["run"] for step in JOBS[job]["steps"]]


def test_every_action_is_pinned_by_its_commit_and_names_its_version() -> None:
    used = re.findall(r"uses: (.*)", TEXT)
    pinned = re.compile(r"[\w.-]+/[\w.-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+")
    assert len(used) >= 9
    assert [line for line in used if not pinned.fullmatch(line)] == []


def test_an_action_has_one_pin() -> None:
    pins = {tuple(line.split("@")) for line in re.findall(r"uses: (.*)", TEXT)}
    assert len(pins) == len({name for name, _ in pins})


@pytest.mark.parametrize("job", PERMISSIONS)
def test_a_job_may_do_no_more_than_it_needs(job: str) -> None:
    assert yaml.safe_load(TEXT)["permissions"] == {}
    assert set(JOBS) == set(PERMISSIONS)
    assert JOBS[job]["permissions"] == PERMISSIONS[job]


@pytest.mark.parametrize("job", ["attest", "publish"])
def test_a_job_with_a_token_runs_no_code_of_the_repository(job: str) -> None:
    assert "actions/checkout" not in steps(job)
    assert [step for step in JOBS[job]["steps"] if "run" in step] == []


def test_it_is_built_once_and_checked_before_it_is_published() -> None:
    assert [job for job in JOBS if any("-m build" in step for step in steps(job))] == ["build"]
    assert [JOBS[job].get("needs") for job in ("build", "check", "attest", "publish")] == [
        None,
        "build",
        "check",
        "attest",
    ]


def test_it_is_checked_on_every_python_that_is_supported() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    supported = [line.rpartition(" ")[2] for line in project["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert JOBS["check"]["strategy"]["matrix"]["python"] == supported


def test_no_secret_is_stored() -> None:
    assert "secrets." not in TEXT
    assert "password" not in TEXT
