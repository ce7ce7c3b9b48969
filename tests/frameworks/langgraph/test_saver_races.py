"""Runs on one thread, lost answers, deleted threads, cancelled callers, and killed processes."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import stowfast
from stowfast import ConflictError, Stores
from stowfast.adapters.langgraph import StowfastSaver
from stowfast.testing import LosesAnswers
from tests.frameworks.children import KILLABLE, check_writers, kill_writers, race_from_ready
from tests.frameworks.langgraph.graphs import checkpoint, config, forks, line

if TYPE_CHECKING:
    from tests.frameworks.losing import LosingBucket

ROUNDS, KILLS = 3, 6

# Waits for a line, runs the graph on one thread, and tells its end.
RUNS = """
import asyncio, sys
from stowfast.adapters.langgraph import StowfastSaver
from tests.frameworks.langgraph.graphs import config, line

url, scope, who, durability = sys.argv[1:]

async def main():
    async with StowfastSaver(url, scope=scope) as saver:
        graph = line(saver, who, node=lambda _: asyncio.sleep(0.02))
        await saver.aget_tuple(config("warm"))
        print("ready", flush=True)
        sys.stdin.readline()
        try:
            await graph.ainvoke({"log": [who]}, config(), durability=durability)
            print("finished")
        except Exception as error:
            print(type(error).__name__)

asyncio.run(main())
"""

# Puts writes and checkpoints on a thread, and tells each number after its answer.
PUTS = """
import os, sys
from stowfast.adapters.langgraph import StowfastSaver
from tests.frameworks.langgraph.graphs import checkpoint, config

url, scope, thread = sys.argv[1:]
with StowfastSaver(url, scope=scope) as saver:
    assert saver.get_tuple(config(thread)) is None
    here, values = config(thread), []
    os.write(1, b"opened\\n")
    while True:
        number = len(values)
        if number:
            saver.put_writes(here, [("it", number)], f"task-{number}")
        values = [*values, number]
        here = saver.put(here, checkpoint(number, it=values), {"source": "loop", "step": number}, {"it": number})
        os.write(1, f"{number}\\n".encode())
"""


async def listed(saver: StowfastSaver, thread: str = "t") -> list[Any]:
    return [one async for one in saver.alist(config(thread))]


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.filterwarnings("ignore")
async def test_of_two_processes_on_a_thread_one_is_told(shared_url: str, durability: str) -> None:
    scope = uuid.uuid4().hex
    async with StowfastSaver(shared_url, scope=scope) as saver:
        await line(saver, "0").ainvoke({"log": ["start"]}, config())
        length = 6
        for _ in range(ROUNDS):
            told = race_from_ready(RUNS, *[(shared_url, scope, who, durability) for who in "AB"])
            ends = Counter(end for (end,) in told)
            assert set(ends) <= {"finished", "ConflictError"}
            assert forks(await listed(saver)) == 0
            state = (await line(saver, "0").aget_state(config())).values["log"]
            # Both finished: one after the other, and each log has its six. A run that was told may have left a part.
            assert len(state) == length + 12 or ends["finished"] < 2
            length = len(state)


@pytest.mark.filterwarnings("ignore")
async def test_of_two_runs_in_a_process_one_is_told(url: str) -> None:
    async with StowfastSaver(url, scope=uuid.uuid4().hex) as saver:
        await line(saver, "0").ainvoke({"log": ["start"]}, config())
        both = asyncio.Barrier(2)
        graphs = [
            line(saver, who, node=lambda number: both.wait() if number == 0 else asyncio.sleep(0)) for who in "AB"
        ]
        runs = [asyncio.ensure_future(graph.ainvoke({"log": ["go"]}, config())) for graph in graphs]
        done, left = await asyncio.wait(runs, timeout=60, return_when=asyncio.FIRST_EXCEPTION)
        for run in left:
            run.cancel()
        await asyncio.gather(*runs, return_exceptions=True)
        # The engine leaves its saves behind.
        await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
        assert ConflictError in {type(run.exception()) for run in done}
        assert forks(await listed(saver)) == 0


async def test_an_observer_does_not_hide_another_run(url: str) -> None:
    """A look at the thread after another run went on is no permission to go on from the old checkpoint."""
    scope = uuid.uuid4().hex
    async with StowfastSaver(url, scope=scope) as mine, StowfastSaver(url, scope=scope) as other:
        root = await mine.aput(config(), checkpoint(0, it=0), {"source": "input"}, {"it": 1})
        assert (await other.aget_tuple(config())) is not None
        await other.aput(root, checkpoint(1, it=1), {"source": "loop"}, {"it": 2})
        assert (await mine.aget_tuple(config())) is not None
        with pytest.raises(ConflictError, match="another run"):
            await mine.aput(root, checkpoint(2, it=2), {"source": "loop"}, {"it": 2})
        found = await mine.aget_tuple(config())
        assert found is not None
        assert found.checkpoint["channel_values"] == {"it": 1}
        await mine.aput(root, checkpoint(3, it=3), {"source": "fork"}, {"it": 2})
        assert len(await listed(other)) == 3


async def test_a_deleted_thread_stays_deleted(every_url: str) -> None:
    scope = uuid.uuid4().hex
    async with StowfastSaver(every_url, scope=scope) as mine, StowfastSaver(every_url, scope=scope) as other:
        for deletes in (mine, other):
            here = await mine.aput(config(), checkpoint(0, it=0), {"source": "input"}, {"it": 1})
            await deletes.adelete_thread("t")
            with pytest.raises(ConflictError, match="deleted"):
                await mine.aput_writes(here, [("it", 1)], "task")
            with pytest.raises(ConflictError, match="deleted"):
                await mine.aput(here, checkpoint(1, it=1), {"source": "loop"}, {"it": 2})
            assert await other.aget_tuple(config()) is None
            assert await listed(mine) == []


async def test_a_run_goes_on_in_a_pruned_thread(url: str) -> None:
    scope = uuid.uuid4().hex
    async with StowfastSaver(url, scope=scope) as mine, StowfastSaver(url, scope=scope) as other:
        here = await mine.aput(config(), checkpoint(0, it=[0]), {"source": "input"}, {"it": 1})
        for step in range(1, 40):
            await mine.aput_writes(here, [("it", step)], f"task-{step}")
            here = await mine.aput(here, checkpoint(step, it=list(range(step))), {"source": "loop"}, {"it": step})
            if step % 10 == 0:
                await mine.aput_writes(here, [("early", step)], "early")
                await other.aprune(["t"])
                assert len(await listed(other)) == 1
        assert (await listed(other))[0].checkpoint["channel_values"]["it"] == list(range(39))
        early = await mine.aput(config("new"), checkpoint(0, it=0), {"source": "input"}, {"it": 1})
        await mine.aput(early, checkpoint(1, it=1), {"source": "loop"}, {"it": 2})
        later = config("new", checkpoint(2)["id"])
        await mine.aput_writes(later, [("it", 5)], "task")
        await other.aprune(["new"])
        made = checkpoint(2, it=2)
        made["id"] = later["configurable"]["checkpoint_id"]
        newest = await other.aget_tuple(config("new"))
        assert newest is not None
        await other.aput(newest.config, made, {"source": "loop"}, {"it": 3})
        found = await mine.aget_tuple(later)
        assert found is not None
        assert found.pending_writes == [("task", "it", 5)]


async def test_a_lost_answer_adds_nothing_twice(url: str) -> None:
    async with stowfast.open(url) as stores:
        loses = LosesAnswers(stores.backend, 0)
        saver = StowfastSaver(Stores(loses))
        here = config()
        for step in range(6):
            loses.lose = 1 + step % 3
            here = await saver.aput(here, checkpoint(step, it=step), {"source": "loop"}, {"it": step})
            loses.lose = 1
            await saver.aput_writes(here, [("it", step)], "task")
        assert [len(one.pending_writes or ()) for one in await listed(saver)] == [1] * 6
        assert (await stores.backend.heads(["langgraph/t"]))[0].length == 12  # type: ignore[union-attr]


async def test_a_bucket_that_loses_answers_adds_nothing_twice(losing_bucket: LosingBucket) -> None:
    async with StowfastSaver(losing_bucket.url) as saver:
        here = config()
        for step in range(6):
            losing_bucket.lose_answer()
            here = await saver.aput(here, checkpoint(step, it=step), {"source": "loop"}, {"it": step})
            losing_bucket.lose_answer()
            await saver.aput_writes(here, [("it", step)], "task")
        found = await listed(saver)
        assert [one.checkpoint["channel_values"]["it"] for one in found] == [5, 4, 3, 2, 1, 0]
        assert [one.pending_writes for one in found] == [[("task", "it", step)] for step in range(5, -1, -1)]


async def test_a_cancelled_caller_takes_no_other_with_it(url: str) -> None:
    """At any moment: a checkpoint is whole or absent, and the writes of others are stored."""
    async with StowfastSaver(url, scope=uuid.uuid4().hex) as saver:
        chance = random.Random(1)
        for number in range(30):
            thread = f"t{number}"
            here = await saver.aput(config(thread), checkpoint(0, it=0), {"source": "input"}, {"it": 1})
            made: list[Any] = [saver.aput_writes(here, [("it", task)], f"{task}") for task in range(4)]
            made.append(saver.aput(here, checkpoint(1, it=1), {"source": "loop"}, {"it": 2}))
            calls = [asyncio.ensure_future(call) for call in made]
            victim = chance.randrange(5)
            for _ in range(chance.randrange(8)):
                await asyncio.sleep(0)
            calls[victim].cancel()
            await asyncio.gather(*calls, return_exceptions=True)
            found = await saver.aget_tuple(here)
            assert found is not None
            tasks = {task for task, _, _ in found.pending_writes or ()}
            assert tasks >= {str(task) for task in range(4) if task != victim}
            assert len(await listed(saver, thread)) in ({1, 2} if victim == 4 else {2})


@KILLABLE
async def test_an_acknowledged_checkpoint_outlives_a_kill(shared_url: str) -> None:
    scope = uuid.uuid4().hex
    told = kill_writers(PUTS, KILLS, lambda name: [shared_url, scope, name], 12)
    stored = dict[str, list[int]]()
    async with StowfastSaver(shared_url, scope=scope) as saver:
        for name in told:
            found = await listed(saver, name)
            values = found[0].checkpoint["channel_values"]["it"] if found else []
            assert [len(one.checkpoint["channel_values"]["it"]) for one in found] == list(range(len(values), 0, -1))
            for one in found[1:]:
                assert one.pending_writes == [
                    (f"task-{len(one.checkpoint['channel_values']['it'])}", "it", 1 + one.metadata["step"])
                ]
            stored[name] = values
    check_writers(shared_url, told, stored)


async def test_a_sync_call_on_an_event_loop_waits_for_no_task(url: str) -> None:
    async with StowfastSaver(url, scope=uuid.uuid4().hex, linger=timedelta(seconds=0.5)) as saver:
        here = await saver.aput(config(), checkpoint(0, it=0), {"source": "input"}, {"it": 1})
        task = asyncio.ensure_future(saver.aput_writes(here, [("it", 1)], "one"))
        for _ in range(5):
            await asyncio.sleep(0)
        saver.put_writes(here, [("it", 2)], "two")
        saver.put(here, checkpoint(1, it=1), {"source": "loop"}, {"it": 2})
        await task
        found = await saver.aget_tuple(here)
        assert found is not None
        assert {name for name, _, _ in found.pending_writes or ()} == {"one", "two"}
        assert len(await listed(saver)) == 2


async def test_a_parent_of_another_process_is_looked_for(url: str) -> None:
    """A put under a parent that this process never read: it is no permission to fork."""
    scope = uuid.uuid4().hex
    async with StowfastSaver(url, scope=scope) as mine, StowfastSaver(url, scope=scope) as other:
        root = await mine.aput(config(), checkpoint(0, it=0), {"source": "input"}, {"it": 1})
        child = await other.aput(root, checkpoint(1, it=1), {"source": "loop"}, {"it": 2})
        await other.aput(child, checkpoint(2, it=2), {"source": "loop"}, {"it": 3})
        with pytest.raises(ConflictError, match="another run"):
            await mine.aput(child, checkpoint(3, it=3), {"source": "loop"}, {"it": 3})
        assert forks(await listed(mine)) == 0
