"""The example of the store is killed in the middle, goes on, and loses nothing."""

from __future__ import annotations

from pathlib import Path
from random import Random

from stowfast.adapters.langgraph import StowfastStore
from tests.frameworks.children import KILLABLE, Child, race

EXAMPLE = (Path(__file__).parents[3] / "examples" / "frameworks" / "langgraph_memory.py").read_text(encoding="utf-8")
KILLS, MOST_FACTS, FACTS = 3, 3, 12


@KILLABLE
def test_a_killed_agent_remembers_what_it_learned(tmp_path: Path) -> None:
    url, chance, stored = f"sqlite:///{tmp_path}/memory.db", Random(1), 0
    for _ in range(KILLS):
        with Child(EXAMPLE, url) as child:
            learned = len(child.kill(chance, MOST_FACTS))
        with StowfastStore(url) as store:
            found = len(store.search(("users", "ada"), limit=100))
        assert found - stored - learned in {0, 1}  # one may have been stored and not told
        stored = found
    ((*learning, last),) = race(EXAMPLE, [url])
    assert (len(learning), last) == (FACTS - stored, f"done {FACTS} facts")
