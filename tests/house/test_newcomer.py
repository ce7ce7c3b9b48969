"""The README as a newcomer types it: the wheel in an empty environment, in a folder without the project."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from release.lock import closure, extras, pins
from tests.house.test_docs import ROOT, blocks_of, commands_of
from tests.house.test_package import dist, only, run

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["dist"]

README = ROOT / "README.md"
INSTALL = re.compile(r"pip install '?stowfast(?:\[([\w,-]+)\])?'?")
SECONDS = 120

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]


@pytest.fixture
def newcomer(dist: Path, tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """Return an empty folder, and the environment of a shell whose `python` and `stowfast` are those of the wheel."""
    home, env = tmp_path / "home", tmp_path / "env"
    home.mkdir()
    run(sys.executable, "-m", "venv", "--without-pip", env)
    wanted = sorted(
        {name for named in INSTALL.findall(README.read_text(encoding="utf-8")) for name in named.split(",")}
    )
    assert {"cli", "view"} <= set(wanted)
    lock = tmp_path / "requirements.txt"
    names = [name for extra in wanted if extra for name in extras()[extra]]
    lock.write_text("".join(pin.text for pin in closure(names, pins())), encoding="utf-8")
    install = [sys.executable, "-m", "pip", "--python", str(env / "bin" / "python"), "install", "--quiet"]
    done = subprocess.run(
        [*install, "--only-binary", ":all:", "--require-hashes", "-r", str(lock)],
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )
    if done.returncode != 0 and not os.environ.get("CI"):
        pytest.skip(f"the packages cannot be installed here: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    # Each package is there, so this fails if an extra of the wheel names one that the lock does not know.
    run(*install, "--no-index", f"{only(dist, '*.whl')}[{','.join(filter(None, wanted))}]")
    path = os.pathsep.join([str(env / "bin"), os.environ["PATH"]])
    kept = {name: os.environ[name] for name in ("LANG", "LC_ALL", "TMPDIR") if name in os.environ}
    return home, {**kept, "PATH": path, "HOME": str(home)}


def test_each_line_of_the_readme_works_in_order(newcomer: tuple[Path, dict[str, str]]) -> None:
    folder, environment = newcomer
    typed = 0
    for block in blocks_of(README):
        if block.language == "python":  # a file of its own: it needs nothing of the blocks before
            commands = [["python", "-c", block.text]]
        else:
            commands = [["bash", "-c", line] for _, line in commands_of(block)]
        for command in commands:
            typed += 1
            if "stowfast view" in command[-1]:
                assert_it_serves(command, folder, environment)
                continue
            done = subprocess.run(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=SECONDS, check=False,
            )  # fmt: skip
            assert done.returncode == 0, f"README.md:{block.line}: {command[-1]}\n{done.stdout}{done.stderr}"
    assert typed >= 8
    left = {path.name for path in folder.iterdir()}
    assert {name for name in left if not name.startswith("agent.db-")} == {"agent.db", "conversations.jsonl"}


def assert_it_serves(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    line = command[-1].partition("#")[0].replace("stowfast view", "exec stowfast view --no-browser")
    with subprocess.Popen(["bash", "-c", line], cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as view:
        try:
            assert view.stdout is not None
            assert view.stdout.readline().startswith("http://127.0.0.1:")
        finally:
            view.terminate()
            view.communicate(timeout=SECONDS)
