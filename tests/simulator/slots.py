"""Another protocol, which looks right and is not: every entry an object of its own, numbered, created if absent.

Whoever compacts writes what the oldest slots hold into a checkpoint and deletes them. But then their numbers are free
again: a writer that was asleep creates one of them, is told that it succeeded, and nobody will ever read it.
"""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Receipt
from stowfast.backends.objects.protocol.requests import ABSENT, All, Delete, Get, List, Put
from stowfast.errors import UnavailableError
from tests.simulator.bucket import Bucket
from tests.simulator.history import Append, History, Seen
from tests.simulator.scheduler import CALM, SPEEDS, Scheduler, Weather

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Generator

__all__ = ["play_slots"]

_CHECKPOINT: Final = "c/checkpoint"
_LIFE: Final = "the only one"


class _Worker:
    def __init__(self, scheduler: Scheduler, history: History, number: int) -> None:
        self.speed = scheduler.random.choice(SPEEDS)
        self._scheduler = scheduler
        self._history = history
        self._number = number

    def work(self) -> Generator[Any, Any, None]:
        for turn in range(5):
            began = self._scheduler.step
            try:
                if self._scheduler.random.random() < 0.6:
                    value = f"<{self._number}.{turn}>".encode()
                    position = yield from self._append(value)
                    receipt = Receipt(_LIFE, position, position + 1, 0)
                    self._history.appends.append(Append("slots", began, self._scheduler.step, receipt, (value,)))
                elif self._scheduler.random.random() < 0.5:
                    yield from self._compact()
                else:
                    yield from self.read()
            except UnavailableError:
                pass

    def read(self) -> Generator[Any, Any, None]:
        began = self._scheduler.step
        _, entries = yield from self._look()
        self._history.reads.append(Seen("slots", began, self._scheduler.step, _LIFE, 0, entries))

    def _append(self, value: bytes) -> Generator[Any, Any, int]:
        _, entries = yield from self._look()
        position = max(entries, default=-1) + 1
        while True:
            token = yield Put(_slot(position), value, ABSENT)
            found = None if token else (yield Get(_slot(position)))
            if token or (found is not None and found.body == value):
                return position
            if found is not None:
                position += 1

    def _compact(self) -> Generator[Any, Any, None]:
        token, entries = yield from self._look()
        written = yield Put(_CHECKPOINT, json.dumps({at: one.decode() for at, one in entries.items()}).encode(), token)
        if written is not None and entries:
            yield Delete(tuple(map(_slot, entries)))

    def _look(self) -> Generator[Any, Any, tuple[Any, dict[int, bytes]]]:
        while True:
            checkpoint = yield Get(_CHECKPOINT)
            entries = {int(at): one.encode() for at, one in json.loads(checkpoint.body).items()} if checkpoint else {}
            behind = max(entries, default=-1)
            keys = [item.key for item in (yield List("s/")).items if int(item.key[2:]) > behind]
            found = (yield All([Get(key) for key in keys])) if keys else []
            if all(found):
                entries.update((int(key[2:]), one.body) for key, one in zip(keys, found, strict=True))
                return checkpoint.token if checkpoint else ABSENT, entries


def _slot(position: int) -> str:
    return f"s/{position:06}"


def play_slots(seed: int) -> Counter[str]:
    """Play one history of that protocol.

    Raises:
        Violation: it has lost something.
    """
    random = Random(seed)
    scheduler, history = Scheduler(random, Weather.of(random), Bucket()), History()
    for number in range(4):
        worker = _Worker(scheduler, history, number)
        scheduler.spawn(worker, worker.work())
    scheduler.run()
    scheduler.flush()
    scheduler.weather = CALM
    worker = _Worker(scheduler, history, 4)
    scheduler.spawn(worker, worker.read())
    scheduler.run()
    history.check()
    return scheduler.counts
