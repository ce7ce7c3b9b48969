"""The example: killed in the middle again and again, it pays each bill once."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

from tests.frameworks.children import KILLABLE, Child, race

EXAMPLE = (Path(__file__).parents[3] / "examples" / "frameworks" / "langgraph_agent.py").read_text(encoding="utf-8")
BILLS = 10


def paid(bank: Path) -> list[int]:
    connection = sqlite3.connect(bank)
    try:
        connection.execute("CREATE TABLE IF NOT EXISTS payments (key TEXT PRIMARY KEY, bill INTEGER)")
        return [bill for (bill,) in connection.execute("SELECT bill FROM payments ORDER BY rowid")]
    finally:
        connection.close()


@KILLABLE
def test_the_example_is_killed_and_pays_each_bill_once(tmp_path: Path) -> None:
    bank, chance = tmp_path / "bank.db", random.Random(1)
    arguments = [f"sqlite:///{tmp_path}/agent.db", str(bank)]
    # A kill before the end of the second and the fifth bill, in a run that has paid at least one more than before.
    for least in (1, 4):
        with Child(EXAMPLE, *arguments) as child:
            deadline = time.monotonic() + 60
            while len(paid(bank)) < least and not child.has_ended and time.monotonic() < deadline:
                pass
            child.kill_within(chance, 3_000_000)
        assert paid(bank) == list(range(len(paid(bank))))
    assert race(EXAMPLE, arguments) == [[f"Paid {BILLS} bills."]]
    assert paid(bank) == list(range(BILLS))
