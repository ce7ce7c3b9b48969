"""A process killed in the middle of a large deletion: the deletion holds, and the next opening removes the rest."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import stowfast.sync

if TYPE_CHECKING:
    from pathlib import Path

KILLS = 12
MESSAGES = 30_000

DELETER = """
import sys, stowfast.sync
with stowfast.sync.open(sys.argv[1]) as stores:
    print("ready", flush=True)
    n = 0
    for line in sys.stdin:
        stores.messages.delete(line.strip())
        print("deleted", flush=True)
        while True:
            stores.messages.add_message("beside", {"n": n})
            n += 1
            print(f"added {n}", flush=True)
"""


def test_a_killed_deletion_goes_on_with_the_next_opening(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    url = f"sqlite:///{path}"
    chance = random.Random(1)
    acknowledged = left = 0
    for kill in range(KILLS):
        with stowfast.sync.open(url) as stores:
            for _ in range(3):
                stores.messages.add_messages(f"c{kill}", [{"n": n} for n in range(MESSAGES // 3)])
        with subprocess.Popen(
            [sys.executable, "-c", DELETER, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.stdin.write(f"c{kill}\n")
            process.stdin.flush()
            assert process.stdout.readline() == "deleted\n"
            time.sleep(chance.uniform(0, 0.05))  # anywhere in the deletion
            process.kill()
            acknowledged += sum(line.startswith("added") and line.endswith("\n") for line in process.stdout)
        with closing(sqlite3.connect(path)) as file:
            left += file.execute("SELECT count(*) > 0 FROM garbage").fetchone()[0]
        with stowfast.sync.open(url, sweep=False) as stores:
            assert stores.messages.get_messages(f"c{kill}") == []
            assert stores.messages.add_message(f"c{kill}", {"new": kill}) == 0
            stores.sweep()
            assert stores.messages.get_messages(f"c{kill}") == [{"new": kill}]
        with closing(sqlite3.connect(path)) as file:
            assert file.execute("SELECT count(*) FROM garbage").fetchone() == (0,)
    with stowfast.sync.open(url) as stores:
        found = stores.messages.count("beside")
    with closing(sqlite3.connect(path)) as file:
        assert file.execute("SELECT count(*) FROM entries").fetchone() == (found + KILLS,)
        assert file.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    print(f"{KILLS} kills, {left} of them in a deletion, {acknowledged} acknowledged beside it, {found} found")
    assert acknowledged <= found <= acknowledged + KILLS
    assert left > 0
