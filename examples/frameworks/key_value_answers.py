"""An agent that keeps each answer of a dear tool. Kill it at any moment, and start it again: it asks nothing twice.

    pip install 'stowfast[key-value]'
    python examples/frameworks/key_value_answers.py [URL] [QUESTIONS]

The tool is scripted and needs no network. An answer counts as known once `put` has returned.
"""

from __future__ import annotations

import asyncio
import sys

from stowfast.adapters.key_value import StowfastKeyValueStore

DAY_SECONDS = 86_400


def ask(number: int) -> dict[str, int]:
    """Stand in the place of a tool that takes long and costs money."""
    return {"square": number * number}


async def main(url: str, questions: int) -> None:
    """Ask what is left to ask."""
    async with StowfastKeyValueStore(url) as store:
        for number in range(questions):
            key = f"{number:06}"
            if await store.get(key, collection="answers") is None:
                await store.put(key, ask(number), collection="answers", ttl=DAY_SECONDS)
                print("asked", number, flush=True)
        print("done", len(await store.keys("answers", limit=questions)), flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:2] or ["sqlite:///answers.db"], int((sys.argv[2:] or ["12"])[0])))
