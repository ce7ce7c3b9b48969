"""`stowfast demo`: an agent at work, killed again and again, and a look afterwards at whether anything was lost."""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import stowfast
from stowfast.cli.demo.agent import CONTEXT, FILE, STEPS, TASK, digest
from stowfast.cli.demo.tools import BENCH, LARGEST
from stowfast.cli.urls import sqlite_url
from stowfast.errors import StowfastError

if TYPE_CHECKING:
    from collections.abc import Callable

    Watch = Callable[[dict[str, Any]], None]

__all__ = ["Outcome", "Run", "demonstrate", "verify"]

PAUSE: Final = 0.02
"""Seconds of rest at each point of a step: the time of a model, and the target of a kill."""
_SECONDS: Final = 120.0
_KILLED: Final = -9


@dataclass
class Outcome:
    """The acknowledged steps, and the steps found afterwards."""

    folder: str
    url: str
    kills: int = 0
    acknowledged: int = 0
    found: int = 0
    lost: int = 0
    doubled: int = 0
    misplaced: int = 0
    effects: int = 0
    effects_doubled: int = 0
    effects_answered: int = 0
    """Calls repeated after a kill and answered from their op_id instead of done again."""
    task_status: str = ""
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether nothing was lost, doubled, moved or changed."""
        faults = (self.lost, self.doubled, self.misplaced, self.effects_doubled)
        whole = self.task_status == "completed" and self.found == STEPS and self.effects == LARGEST + 2
        return not any(faults) and whole and all(artifact["intact"] for artifact in self.artifacts)

    def as_json(self) -> dict[str, Any]:
        """Return it for `--json`."""
        return {"passed": self.passed, **asdict(self)}


class Run:
    """The agent's processes, one after the other, and everything they said."""

    def __init__(self, folder: Path, watch: Watch) -> None:
        self._folder = folder
        self._watch = watch
        self.said: list[dict[str, Any]] = []

    def once(self, kill_after: int | None, delay: float) -> bool:
        """Run the agent, and kill it so long after it has acknowledged a step. Returns whether the kill struck."""
        command = [sys.executable, "-m", "stowfast.cli.demo.agent", str(self._folder), str(PAUSE)]
        struck = False
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, encoding="utf-8") as agent:  # noqa: S603
            assert agent.stdout is not None
            patience = threading.Timer(_SECONDS, agent.kill)
            patience.start()
            try:
                for line in agent.stdout:
                    if not line.endswith("\n"):
                        break  # cut off in the middle: it was not said, and counts for nothing
                    event = {**json.loads(line), "pid": agent.pid}
                    self.said.append(event)
                    self._watch(event)
                    stored = event["event"] == "stored" and kill_after is not None and event["step"] >= kill_after
                    if stored and not struck:
                        time.sleep(delay)
                        agent.kill()
                        struck = True  # lines that it said until then are still in the pipe, and were acknowledged
                agent.wait()
            finally:
                patience.cancel()
                agent.kill()
        if agent.returncode != 0 and not (struck and agent.returncode == _KILLED):
            raise StowfastError(f"the agent ended with {agent.returncode}, within {_SECONDS:.0f} seconds")
        if agent.returncode == _KILLED:
            self._watch({"event": "killed", "pid": agent.pid, "last": self.said[-1]})
        return agent.returncode == _KILLED


async def demonstrate(folder: Path, *, kills: int, seed: int | None, watch: Watch) -> Outcome:
    """Let the agent work in a folder, kill it so often, let it finish, and look."""
    began = time.monotonic()
    chance = random.Random(seed)  # noqa: S311 - it picks moments, not secrets
    folder = folder.resolve()  # noqa: ASYNC240 - nothing else runs here
    run = Run(folder, watch)
    outcome = Outcome(str(folder), sqlite_url(folder / FILE))
    for turn in range(kills):
        # One in each stretch of the run, so that the kills do not crowd together; each anywhere within a step.
        step = 1 + int(chance.uniform(turn, turn + 1) * (STEPS - 2) / kills)
        outcome.kills += run.once(step, chance.uniform(0, 6 * PAUSE))
    run.once(None, 0)
    await verify(folder, run.said, outcome)
    outcome.seconds = round(time.monotonic() - began, 3)
    return outcome


async def verify(folder: Path, said: list[dict[str, Any]], outcome: Outcome) -> None:
    """Open the file like any user, and compare it with the acknowledged steps."""
    stored = [event for event in said if event["event"] == "stored"]
    acknowledged = {event["position"]: event["sha256"] for event in stored}
    results = [json.loads(event["message"]["content"]) for event in stored if event["message"]["role"] == "tool"]
    versions = 0
    async with stowfast.open(outcome.url) as stores:
        entries = {entry.position: digest(entry.message) async for entry in stores.messages.entries(CONTEXT)}
        state = await stores.tasks.load(TASK)
        for name, expected in {one["artifact_id"]: one["sha256"] for one in results if "artifact_id" in one}.items():
            artifact = await stores.artifacts.get(name)
            if artifact is not None:
                intact = artifact.sha256 == expected == hashlib.sha256(artifact.content.encode()).hexdigest()
                outcome.artifacts.append({"artifact_id": name, "size": artifact.size, "intact": intact})
                versions += len(await stores.artifacts.versions(name))
    digests = list(entries.values())
    outcome.acknowledged = len(acknowledged)
    outcome.found = len(entries)
    outcome.lost = sum(one not in digests for one in acknowledged.values())
    outcome.doubled = len(digests) - len(set(digests))
    outcome.misplaced = sum(one in digests and entries.get(at) != one for at, one in acknowledged.items())
    outcome.task_status = state.status if state is not None else "lost"
    with closing(sqlite3.connect(folder / BENCH)) as database:
        measures, modules = database.execute("SELECT count(*), count(DISTINCT module) FROM measures").fetchone()
    outcome.effects = measures + versions
    # A tool that ran again after its result was acknowledged did its work twice, too.
    done = {event["step"]: at for at, event in reversed(list(enumerate(said))) if event["event"] == "stored"}
    again = sum(event["event"] == "ran" and done.get(event["step"], at) < at for at, event in enumerate(said))
    outcome.effects_doubled = measures - modules + versions - len(outcome.artifacts) + again
    outcome.effects_answered = sum(event.get("again", False) for event in said)
