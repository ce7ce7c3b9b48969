"""The example is killed in the middle, goes on, and loses nothing."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from a2a.server.context import ServerCallContext
from a2a.types import a2a_pb2

from stowfast.adapters.a2a import StowfastVersionedTaskStore
from tests.frameworks.children import KILLABLE, Child, race

EXAMPLE = (Path(__file__).parents[3] / "examples" / "frameworks" / "a2a_agent.py").read_text(encoding="utf-8")
KILLS, CHAPTERS = 3, 12


async def task_in(url: str) -> a2a_pb2.Task:
    async with StowfastVersionedTaskStore(url) as store:
        (task,) = (await store.list(a2a_pb2.ListTasksRequest(), ServerCallContext())).tasks
    return task


def killed(url: str) -> int:
    """Start the agent, kill it after three lines, and return the number of chapters that it told."""
    with Child(EXAMPLE, url) as child:
        child.read(3)
        assert child.kill_now() == -signal.SIGKILL
        return sum(line.startswith("wrote") for line in child.lines)


def finished(url: str) -> str:
    """Start the agent, and return its last line."""
    ((*_, last),) = race(EXAMPLE, [url])
    return last


def names(count: int) -> list[str]:
    return [f"chapter-{number}" for number in range(count)]


@KILLABLE
async def test_a_killed_agent_goes_on_where_it_was(tmp_path: Path) -> None:
    url, stored = f"sqlite:///{tmp_path}/report.db", 0
    for _ in range(KILLS):
        told = await asyncio.to_thread(killed, url)
        task = await task_in(url)
        assert [one.artifact_id for one in task.artifacts] == names(len(task.artifacts))
        assert len(task.artifacts) >= stored + told  # more may have been stored and not told
        stored = len(task.artifacts)
    assert KILLS <= stored < CHAPTERS
    assert await asyncio.to_thread(finished, url) == "TASK_STATE_COMPLETED"
    task = await task_in(url)
    assert [one.artifact_id for one in task.artifacts] == names(CHAPTERS)
