"""Three workers share 50-step tasks and are killed or stopped a hundred times: each step has had its effect once."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

import stowfast
from examples.resumable_worker import send
from stowfast import sync
from tests.amount import part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.services.s3 import S3Server

ROOT = Path(__file__).parents[2]
KILLS, KILLS_S3 = part(100, 40), 20
CREWS = 5
"""The most crews that are tried until each of the situations below has come: their moments are random."""
SITUATIONS = ("taken over from a sleeper", "stopped: the lease of", "effects found, not done again")
WORKERS, STEPS, AT_ONCE = 3, 50, 4
STOPPED = ("the lease of", "a later owner has written", "UnavailableError")
SAVES = [[f"letter-{number}" for number in range(count)] for count in range(0, STEPS + 1, 5)]

# The worker of the example, as it is; only more hurried.
CHILD = """
import asyncio, sys
from datetime import timedelta
from examples import resumable_worker as worker

worker.TTL, worker.PAUSE = timedelta(seconds=float(sys.argv[2])), 0
asyncio.run(worker.main(sys.argv[1]))
"""


class Task(NamedTuple):
    """All reports of a task, by any worker. Each was made after an acknowledgement."""

    claims: dict[int, str]
    """Owners by token."""
    sent: dict[str, str]
    """The worker of the first record of each step."""
    saved: dict[int, str]
    """The worker of each version after the first."""


class Crew:
    """Workers on one backend, their killer, and all their reports."""

    def __init__(self, url: str, folder: Path, ttl: float, kills: int, seed: int) -> None:
        self.url, self.folder, self.ttl, self.kills, self.seed = url, folder, ttl, kills, seed
        self.tasks: dict[str, Task] = {}
        self.counts: Counter[str] = Counter()
        self.lock = threading.Lock()
        self.stopping = threading.Lock()

    def run(self) -> None:
        with sync.open(self.url) as self.stores, ThreadPoolExecutor(WORKERS) as threads:
            for ended in [threads.submit(self.employ, number) for number in range(WORKERS)]:
                ended.result()

    def employ(self, number: int) -> None:
        """One worker after the other, until all kills are made; then one more, to its end."""
        draw = random.Random(f"{self.seed} {number}")
        while self.another():
            with self.start() as worker:
                self.watch(worker, draw)
        with self.start() as worker:
            self.hear(worker.stdout or ())
            assert worker.wait(60) == 0

    def another(self) -> bool:
        """Whether a kill is left; if so there are tasks enough."""
        with self.lock:
            if self.counts["kills"] >= self.kills:
                return False
            for _ in range(len(self.stores.tasks.list(status="working")), AT_ONCE):
                names = ("spring", "summer", "autumn")  # which a worker would begin by itself, with fewer steps
                name = names[len(self.tasks)] if len(self.tasks) < len(names) else f"task-{len(self.tasks)}"
                self.stores.tasks.save(stowfast.TaskState(task_id=name, data={"letters": STEPS, "sent": []}))
                self.tasks[name] = Task({}, {}, {})
            return True

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", CHILD, self.url, str(self.ttl)],
            cwd=self.folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def watch(self, worker: subprocess.Popen[str], draw: random.Random) -> None:
        """Kill a worker some steps and a moment after it began; now and then it only sleeps first, for too long."""
        assert worker.stdout is not None
        wanted = 0 if draw.random() < 0.1 else draw.randrange(2, 30)
        self.hear(worker.stdout, min(wanted, 1))
        began = time.perf_counter()
        task = self.hear(worker.stdout, wanted - 1)
        step = (time.perf_counter() - began) / wanted if wanted else 0.2  # it has to start first, and says nothing
        if wanted and draw.random() < 0.4:  # a save comes once in five steps, and is hit as often as what they do
            task = self.hear(worker.stdout, before_a_save=True)
        time.sleep(draw.random() * 1.5 * step)  # so that it is hit at any point of what it does then
        if task is not None and draw.random() < 0.15 and self.stopping.acquire(blocking=False):
            try:
                self.stop(worker, task)
            finally:
                self.stopping.release()
            self.hear(worker.stdout, draw.randrange(1, 20))
        worker.kill()
        self.hear(worker.stdout)
        ended = worker.wait()
        assert ended in {0, -signal.SIGKILL}, "see its traceback"
        with self.lock:  # it ends by itself where the others have done all there was to do
            self.counts["kills"] += ended != 0

    def stop(self, worker: subprocess.Popen[str], task: str) -> None:
        """Let a worker sleep until another has its task; unless it sleeps inside a lock of SQLite."""
        worker.send_signal(signal.SIGSTOP)
        self.counts["stops"] += 1
        patience = time.monotonic() + 1.5 + self.ttl
        while time.monotonic() < patience:
            info = self.stores.tasks.info(task)
            if info is None or info.lease is None or info.lease.owner != f"worker-{worker.pid}":
                self.counts["taken over from a sleeper"] += 1
                break
            time.sleep(self.ttl / 20)
        worker.send_signal(signal.SIGCONT)

    def hear(self, lines: Iterable[str], limit: int | None = None, *, before_a_save: bool = False) -> str | None:
        """Keep the lines of a worker, so many or up to some moment, and return its current task."""
        task = None
        for count, line in enumerate(lines if limit is None or limit > 0 else (), 1):
            if not line.endswith("\n"):
                break  # killed while it spoke: that counts for nothing
            owner, name, what, *more = line.split()
            task = name if what not in {"completed", "stopped:"} else None
            with self.lock:
                self.keep(self.tasks[name], owner, what, more)
            if count == limit or (before_a_save and what == "sent" and more[0][-1] in "49"):
                break
        return task

    def keep(self, task: Task, owner: str, what: str, more: list[str]) -> None:
        """Note one line, and refuse a contradiction to an earlier one."""
        if what == "claimed":
            assert int(more[0]) not in task.claims, "a token was given twice"
            task.claims[int(more[0])] = owner
        elif what == "sent":
            assert more[0] not in task.sent, "a step was recorded twice"
            task.sent[more[0]] = owner
        elif what == "stopped:":
            why = next(why for why in STOPPED if why in " ".join(more))
            self.counts[f"stopped: {why}"] += 1
        else:
            assert int(more[0]) not in task.saved, "a version was saved twice"
            task.saved[int(more[0])] = owner

    def check(self) -> None:
        """Every task is finished, and its file has each line once, in order, as it was recorded and saved."""
        with sync.open(self.url) as stores:
            assert len(stores.tasks.list(status="working")) == 0
            for name, said in self.tasks.items():
                lines = (self.folder / f"{name}.txt").read_text().splitlines()
                found = [line.split() for line in lines]
                assert [key for key, _, _ in found] == SAVES[-1], "an effect is lost, there twice, or out of order"
                tokens = [int(token) for _, token, _ in found]
                assert tokens == sorted(tokens), "an owner has written after a later one"
                claims = {(int(token), owner) for _, token, owner in found}
                assert len(claims) == len(set(tokens))
                assert all(said.claims.get(token, owner) == owner for token, owner in claims)

                state = stores.tasks.load(name)
                assert state is not None
                assert (state.status, state.steps) == ("completed", {})
                assert state.data == {"letters": STEPS, "sent": lines}
                history = stores.tasks.history(name)
                assert [one.version for one in history] == list(range(len(SAVES), 0, -1))
                sent = [one.data["sent"] for one in reversed(history)]
                assert sent == [lines[: len(keys)] for keys in SAVES], "a version is lost or another"
                assert said.saved.keys() <= {one.version for one in history}

                self.count(said, {key: owner for key, _, owner in found}, len(history))
        self.counts["tasks"] = len(self.tasks)
        print(", ".join(f"{what}: {count:,}" for what, count in sorted(self.counts.items())))

    def count(self, said: Task, writers: dict[str, str], versions: int) -> None:
        self.counts["claims acknowledged"] += len(said.claims)
        self.counts["records acknowledged"] += len(said.sent)
        self.counts["saves acknowledged"] += len(said.saved)
        self.counts["saves found"] += versions - 1
        self.counts["effects"] += len(writers)
        # Their writer had no time to record them.
        self.counts["effects found, not done again"] += sum(writers[key] != who for key, who in said.sent.items())


@pytest.mark.soak
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_every_effect_once_though_workers_are_killed_a_hundred_times(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(CREWS):
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        crew = Crew(f"sqlite:///{folder}/tasks.db", folder, ttl=0.4, kills=KILLS, seed=seed)
        crew.run()
        crew.check()
        with closing(sqlite3.connect(folder / "tasks.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert crew.counts["kills"] >= KILLS
        seen += crew.counts
        if all(seen[what] for what in SITUATIONS):
            return
    pytest.fail(f"in {CREWS} crews these never came: {[what for what in SITUATIONS if not seen[what]]}")


@pytest.mark.soak
def test_every_effect_once_on_object_storage(s3_server: S3Server, tmp_path: Path) -> None:
    crew = Crew(s3_server.url(), tmp_path, ttl=2, kills=KILLS_S3, seed=1)
    crew.run()
    crew.check()
    assert crew.counts["kills"] >= KILLS_S3


def test_the_file_refuses_a_worker_that_was_only_asleep(tmp_path: Path) -> None:
    path = tmp_path / "letters.txt"
    with sync.open("memory:") as stores:
        stores.tasks.save(stowfast.TaskState(task_id="task"))
        leases = []
        for owner in ("first", "second"):
            leases.append(stores.tasks.claim("task", owner, timedelta(hours=1)))
            stores.tasks.release(leases[-1])
    first, second = leases
    line = send(str(path), "letter-0", first)
    with path.open("ab") as file:
        file.write(b"letter-1 5")  # so far came a worker that was killed
    assert send(str(path), "letter-0", second) == line
    send(str(path), "letter-1", second)
    for key in ("letter-0", "letter-1", "letter-2"):
        with pytest.raises(stowfast.ConflictError):
            send(str(path), key, first)
    assert [found.split()[0::2] for found in path.read_text().splitlines()] == [
        ["letter-0", "first"], ["letter-1", "second"],
    ]  # fmt: skip
