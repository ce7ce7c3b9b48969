"""The demonstration and the examples, run as a reader runs them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from stowfast import sync
from stowfast.cli.demo.agent import CONTEXT, STEPS, TASK
from stowfast.cli.demo.demonstration import Outcome, Run, verify

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]


def demo(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "stowfast.cli.main", "demo", *map(str, arguments)],
        env={**os.environ, "COLUMNS": "80"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_nothing_is_lost_whenever_the_agent_is_killed(tmp_path: Path) -> None:
    done = demo("--json", "--kills", "5", "--keep", tmp_path / "kept")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["passed"] is True
    assert found["kills"] >= 1
    assert found["acknowledged"] == found["found"] == STEPS
    assert [found[fault] for fault in ("lost", "doubled", "misplaced", "effects_doubled")] == [0, 0, 0, 0]
    assert found["task_status"] == "completed"
    assert [one["artifact_id"] for one in found["artifacts"] if one["intact"]] == ["inventory.csv", "report.md"]
    with sync.open(found["url"]) as stores:
        messages = stores.messages.get_messages(CONTEXT)
        state = stores.tasks.load(TASK)
    assert len(messages) == STEPS
    assert state is not None
    assert (state.status, state.data) == ("completed", {"step": STEPS})
    calls = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    assert calls == [message["tool_call_id"] for message in messages if message["role"] == "tool"]


@pytest.mark.parametrize("fault", ["lost", "changed", "doubled", "misplaced"])
def test_what_is_lost_doubled_or_moved_is_seen(fault: str, tmp_path: Path) -> None:
    outcome = Outcome(str(tmp_path), f"sqlite:///{tmp_path}/agent.db")
    run = Run(tmp_path, lambda _: None)
    run.once(None, 0)
    stored = [event for event in run.said if event["event"] == "stored"]
    if fault == "lost":  # acknowledged, and not in the file
        run.said.append({**stored[0], "position": STEPS, "sha256": "0" * 64})
    elif fault == "changed":
        stored[7]["sha256"] = "0" * 64
    elif fault == "misplaced":
        stored[0]["position"] = 98
    else:
        with sync.open(outcome.url) as stores:
            stores.messages.add_message(CONTEXT, stored[0]["message"])
    asyncio.run(verify(tmp_path, run.said, outcome))
    assert getattr(outcome, "lost" if fault == "changed" else fault) == 1
    assert not outcome.passed


def test_a_tool_that_did_its_work_twice_is_seen(tmp_path: Path) -> None:
    outcome = Outcome(str(tmp_path), f"sqlite:///{tmp_path}/agent.db")
    run = Run(tmp_path, lambda _: None)
    run.once(None, 0)
    with closing(sqlite3.connect(tmp_path / "workbench.db")) as database, database:
        database.execute("INSERT INTO measures SELECT 'another', module, lines, functions FROM measures LIMIT 1")
    asyncio.run(verify(tmp_path, run.said, outcome))
    assert outcome.effects_doubled == 1
    assert not outcome.passed


def test_it_is_readable_and_its_lines_can_be_pasted(tmp_path: Path, on_terminal: Callable[..., str]) -> None:
    command = [sys.executable, "-m", "stowfast", "demo", "--keep", "kept it", "--kills", "1"]
    out = on_terminal(command, 80, cwd=tmp_path)
    lines = out.splitlines()
    # A command is copied whole, so a path that is long makes a line that is.
    assert [line for line in lines if len(line) > 80 and str(tmp_path) not in line] == []
    assert [line for line in lines if line.endswith(" ")] == []
    assert "killed" in out
    assert "Nothing was lost" in out
    pasted = lines[lines.index("Look with") + 1 :]
    assert len(pasted) in {4, 5}
    for line in pasted:
        done = subprocess.run(line, shell=True, cwd="/", capture_output=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, b""), line
        assert done.stdout
    (tmp_path / "kept it").rename(tmp_path / "kept")
    with closing(sqlite3.connect(tmp_path / "kept" / "agent.db")) as database:
        assert database.execute("select count(*) from history where stream like 'messages/%'").fetchone() == (STEPS,)


def test_a_conversation_of_ones_own_is_kept_and_shown(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_text(
        json.dumps([{"role": "user", "content": "hello\nthere"}, {"role": "assistant", "content": "hi"}], indent=1)
    )
    done = demo("--kills", "0", "--keep", tmp_path / "kept", own)
    assert done.returncode == 0, done.stderr
    assert "imported 1 conversation with 2 messages" in done.stdout
    assert "hello" in done.stdout
    with sync.open(f"sqlite:///{tmp_path}/kept/agent.db") as stores:
        assert stores.messages.get_messages("own") == json.loads(own.read_text())


def test_conversations_with_keys_of_their_own_keep_them(tmp_path: Path) -> None:
    own = tmp_path / "own.jsonl"
    own.write_text('{"context_id": "a", "messages": [{"role": "user", "content": "x"}], "rating": 5}\nnonsense\n')
    done = demo("--json", "--kills", "0", "--keep", tmp_path / "kept", own)
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert found["passed"] is True
    assert (found["imported"]["conversations"], found["imported"]["bad_lines"]) == (1, 1)
    assert "line 2" in done.stderr
    with sync.open(found["url"]) as stores:
        info = stores.messages.info("a")
    assert info is not None
    assert info.metadata == {"rating": 5}


def test_a_demonstration_never_goes_into_the_file_of_another(tmp_path: Path) -> None:
    (tmp_path / "report.md").write_text("mine")
    done = demo("--keep", tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "is not empty: choose another directory" in done.stderr
    assert (tmp_path / "report.md").read_text() == "mine"


def test_the_loop_of_the_example_goes_on_after_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-u", str(ROOT / "examples" / "agent_loop.py"), f"sqlite:///{tmp_path}/trip.db"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as agent:
        assert agent.stdout is not None
        assert agent.stdout.readline() == "begins at step 0 of 4\n"
        with sync.open(f"sqlite:///{tmp_path}/trip.db") as stores:
            for _ in stores.messages.watch("trip-to-rome", after=-1):
                break
        agent.send_signal(signal.SIGKILL)
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    first, *messages = done.stdout.splitlines()
    assert first in {"begins at step 0 of 4", "begins at step 1 of 4"}
    assert len(messages) == 8


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_an_example_runs(example: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(example)], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
