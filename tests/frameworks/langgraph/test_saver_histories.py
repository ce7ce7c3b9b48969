"""Random histories of several savers on one thread: every reader finds the same, from wherever it begins to read."""

from __future__ import annotations

import random
from typing import Any

import pytest

import stowfast
from stowfast import ConflictError
from stowfast.adapters.langgraph import StowfastSaver, threads
from tests.frameworks.langgraph.graphs import checkpoint, config, forks

SPACES = ("", "inner")


class History:
    """Three savers with their runs. A run goes on from the checkpoint that it saw last."""

    def __init__(self, stores: stowfast.sync.Stores, seed: int) -> None:
        self.stores, self.chance = stores, random.Random(seed)
        self.savers = [StowfastSaver(stores) for _ in range(3)]
        self.here: dict[tuple[int, str], Any] = {}
        self.values: dict[str, Any] = {}
        self.writes: dict[str, list[int]] = {}
        self.refused = 0

    def step(self, number: int) -> None:
        who, ns = self.chance.randrange(3), self.chance.choice(SPACES)
        saver, act = self.savers[who], self.chance.random()
        if act < 0.2 or (who, ns) not in self.here:
            found = saver.get_tuple(config(ns=ns))
            self.here[who, ns] = config(ns=ns) if found is None else found.config
            return
        here = self.here[who, ns]
        id = here["configurable"].get("checkpoint_id")
        if act < 0.5 and id is not None:
            saver.put_writes(here, [("it", number)], f"task-{number}")
            self.writes.setdefault(id, []).append(number)
            return
        old = list(self.values.get(id, []))
        made = checkpoint(number, it=[*old, f"{number} " * self.chance.randrange(1, 200)])
        source = "fork" if act > 0.97 else "loop"
        try:
            self.here[who, ns] = saver.put(here, made, {"source": source, "step": number}, {"it": number})  # type: ignore[typeddict-item]
            self.values[made["id"]] = made["channel_values"]["it"]
        except ConflictError:
            self.refused += 1
            del self.here[who, ns]

    def check(self) -> None:
        """Compare a reader of the end with a reader of everything, and both with what was acknowledged."""
        for ns in SPACES:
            whole = StowfastSaver(self.stores)
            listed = list(whole.list(config(ns=ns)))
            newest = StowfastSaver(self.stores).get_tuple(config(ns=ns))
            assert newest == whole.get_tuple(config(ns=ns))
            for one in listed:
                id = one.checkpoint["id"]
                assert one.checkpoint["channel_values"]["it"] == self.values[id]
                assert [value for _, _, value in one.pending_writes or ()] == sorted(
                    self.writes.get(id, []), key=lambda number: f"task-{number}"
                )
            if listed:
                chosen = self.chance.choice(listed)
                assert StowfastSaver(self.stores).get_tuple(chosen.config) == chosen


@pytest.mark.parametrize("seed", range(12))
def test_every_reader_finds_the_same(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "_FIRST_PAGE_BYTES", 500)
    monkeypatch.setattr(threads, "_FIRST_STEP", 2)
    with stowfast.sync.open("memory:") as stores:
        history = History(stores, seed)
        for number in range(120):
            history.step(number)
            if number % 20 == 19:
                history.check()
        found = [len(list(StowfastSaver(stores).list(config(ns=ns)))) for ns in SPACES]
        assert sum(found) == len(history.values)
        assert history.refused


def test_without_time_travel_a_thread_is_a_line() -> None:
    with stowfast.sync.open("memory:") as stores:
        history = History(stores, 1)
        history.chance.random = lambda: history.chance.randrange(97) / 100  # type: ignore[method-assign]
        for number in range(300):
            history.step(number)
        assert history.refused > 10
        for ns in SPACES:
            assert forks(list(StowfastSaver(stores).list(config(ns=ns)))) == 0
