"""The costs of the saver: requests on a bucket, and bytes in a file."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from stowfast.adapters.langgraph import StowfastSaver
from tests.frameworks.langgraph.graphs import checkpoint, config, line, text
from tests.services.faulty_s3.server import FaultyS3

if TYPE_CHECKING:
    from pathlib import Path

STEPS = 60


def counts(records: list[Any]) -> Counter[str]:
    return Counter(one.operation for one in records)


@pytest.mark.parametrize("durability", ["sync", "async"])
@pytest.mark.filterwarnings("ignore")
async def test_a_superstep_is_one_put(durability: Any) -> None:
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        # A long linger: the test counts requests, and a busy machine may be slow.
        async with StowfastSaver(url, linger=timedelta(seconds=1)) as saver:
            graph = line(saver, "a", STEPS)
            await saver.aget_tuple(config("other"))
            with server.counted() as records:
                here = {**config(), "recursion_limit": 2 * STEPS}
                await graph.ainvoke({"log": ["go"]}, here, durability=durability)
        puts = counts(records)["PUT"]
        print(f"{durability}: {puts / STEPS:.2f} PUT a superstep, {dict(counts(records))}")
        assert puts <= 1.2 * STEPS


def test_a_filtered_list_of_400_checkpoints_is_five_requests() -> None:
    with FaultyS3() as server:
        url = f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true"
        with StowfastSaver(url, linger=timedelta(0)) as saver, server.counted() as written:
            here = config()
            for step in range(400):
                made = checkpoint(step, it=text(step, 440))
                here = saver.put(here, made, {"source": "loop", "step": step}, {"it": step})
                saver.put_writes(here, [("it", text(step, 440))], f"task-{step}")
        with StowfastSaver(url) as other:
            other.get_tuple(config("other"))  # the opening
            with server.counted() as records:
                assert other.get_tuple(here) is not None
            resume = counts(records)
        with StowfastSaver(url) as other:
            other.get_tuple(config("other"))
            with server.counted() as records:
                assert [one.metadata["step"] for one in other.list(config(), filter={"step": 77})] == [77]
        print(f"{counts(written)['PUT'] / 400:.2f} PUT a step; resume {dict(resume)}; list {dict(counts(records))}")
        assert counts(written)["PUT"] <= 2.1 * 400
        assert sum(resume.values()) <= 4
        assert sum(counts(records).values()) <= 5


def test_a_thread_of_300_steps_is_small(tmp_path: Path) -> None:
    path, values, payload = tmp_path / "a.db", list[str](), 0
    with StowfastSaver(f"sqlite:///{path}", linger=timedelta(0)) as saver:
        here = saver.put(config(), checkpoint(0, it=values), {"source": "input", "step": -1}, {"it": 1})
        for step in range(1, 301):
            added = text(step, 440)
            payload += len(added)
            values = [*values, added]
            saver.put_writes(here, [("it", added)], f"task-{step}", "~__pregel_pull, agent")
            here = saver.put(here, checkpoint(step, it=values), {"source": "loop", "step": step}, {"it": step + 1})
    print(f"{path.stat().st_size / payload:.2f} x the payload")
    assert path.stat().st_size <= 3.5 * payload


def test_a_run_ahead_of_its_checkpoints_is_small_too(tmp_path: Path) -> None:
    path, texts, ahead = tmp_path / "a.db", [text(step, 440) for step in range(1, 301)], 150
    made = [checkpoint(step, it=texts[:step]) for step in range(301)]
    with StowfastSaver(f"sqlite:///{path}", linger=timedelta(0)) as saver:
        for step in range(-ahead, 301):
            written = step + ahead
            if written < 300:
                saver.put_writes(config(id=made[written]["id"]), [("it", texts[written])], f"task-{written}")
            if step >= 0:
                parent = config(id=made[step - 1]["id"]) if step else config()
                saver.put(parent, made[step], {"source": "loop", "step": step}, {"it": step + 1})
    with StowfastSaver(f"sqlite:///{path}") as other:
        found = other.get_tuple(config())
    assert found is not None
    assert found.checkpoint["channel_values"] == {"it": texts}
    payload = sum(map(len, texts))
    print(f"{path.stat().st_size / payload:.2f} x the payload")
    assert path.stat().st_size <= 4 * payload
