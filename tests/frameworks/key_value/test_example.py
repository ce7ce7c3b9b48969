"""The example is killed in the middle, goes on, and asks nothing twice."""

from __future__ import annotations

from pathlib import Path
from random import Random

from stowfast.adapters.key_value import StowfastKeyValueStore
from tests.frameworks.children import KILLABLE, Child, race

EXAMPLE = (Path(__file__).parents[3] / "examples" / "frameworks" / "key_value_answers.py").read_text(encoding="utf-8")
KILLS, MOST_ANSWERS, MORE = 3, 5, 4


@KILLABLE
async def test_a_killed_agent_asks_nothing_twice(tmp_path: Path) -> None:
    url, stored, chance = f"sqlite:///{tmp_path}/answers.db", 0, Random(1)
    for _ in range(KILLS):
        with Child(EXAMPLE, url, "100000") as child:
            told = child.kill(chance, MOST_ANSWERS)
        assert told == [f"asked {number}" for number in range(stored, stored + len(told))]
        async with StowfastKeyValueStore(url) as store:
            found = await store.keys("answers")
        assert found == [f"{number:06}" for number in range(len(found))]
        assert len(found) - stored - len(told) in {0, 1}  # one may be stored without an answer
        stored = len(found)
    ((*asked, last),) = race(EXAMPLE, [url, str(stored + MORE)])
    assert asked == [f"asked {number}" for number in range(stored, stored + MORE)]
    assert last == f"done {stored + MORE}"
