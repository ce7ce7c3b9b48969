"""The example: killed in the middle again and again, it pays each bill once."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[3] / "examples" / "frameworks" / "langgraph_agent.py"
BILLS = 10


def paid(bank: Path) -> list[int]:
    connection = sqlite3.connect(bank)
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS payments (key TEXT PRIMARY KEY, bill INTEGER)")
        return [bill for (bill,) in connection.execute("SELECT bill FROM payments ORDER BY rowid")]
    finally:
        connection.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL on this system")
def test_the_example_is_killed_and_pays_each_bill_once(tmp_path: Path) -> None:
    bank, chance = tmp_path / "bank.db", random.Random(1)
    command = [sys.executable, "-W", "ignore", str(EXAMPLE), f"sqlite:///{tmp_path}/agent.db", str(bank)]
    # A kill before the end of the second and the fifth bill, in a run that has paid at least one more than before.
    for least in (1, 4):
        child = subprocess.Popen(command)
        deadline = time.monotonic() + 60
        while len(paid(bank)) < least and child.poll() is None and time.monotonic() < deadline:
            pass
        moment = time.perf_counter_ns() + chance.randrange(0, 3_000_000)
        while time.perf_counter_ns() < moment:
            pass
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        assert paid(bank) == list(range(len(paid(bank))))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"Paid {BILLS} bills.\n", done.stderr
    assert paid(bank) == list(range(BILLS))
