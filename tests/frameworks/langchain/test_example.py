"""The example is killed in the middle, goes on, and loses nothing."""

from __future__ import annotations

from pathlib import Path
from random import Random

from stowfast.adapters.langchain import StowfastChatMessageHistory
from tests.frameworks.children import KILLABLE, Child, race

EXAMPLE = (Path(__file__).parents[3] / "examples" / "frameworks" / "langchain_chat.py").read_text(encoding="utf-8")
KILLS, MOST_TURNS, TURNS = 3, 5, 40


async def texts_in(url: str) -> list[str]:
    async with StowfastChatMessageHistory("chat", url) as history:
        return [str(message.content) for message in await history.aget_messages()]


@KILLABLE
async def test_a_killed_chat_goes_on_where_it_was(tmp_path: Path) -> None:
    url, stored, chance = f"sqlite:///{tmp_path}/chat.db", 0, Random(1)
    for _ in range(KILLS):
        with Child(EXAMPLE, url) as child:
            told = len(child.kill(chance, MOST_TURNS))
        found = await texts_in(url)
        assert found == [f"{who} {number}" for number in range(len(found) // 2) for who in ("question", "answer")]
        assert len(found) // 2 - stored - told in {0, 1}  # one may be stored without an answer
        stored = len(found) // 2
    ((*_, last),) = race(EXAMPLE, [url])
    assert last == f"done {2 * TURNS}"
    assert len(await texts_in(url)) == 2 * TURNS
