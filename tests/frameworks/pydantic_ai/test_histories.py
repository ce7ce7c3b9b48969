"""Our store gives the answers of the framework's own, in random histories on every backend."""

from __future__ import annotations

import asyncio
import os

import stowfast
from stowfast.adapters.pydantic_ai import StowfastConversationStore
from tests.frameworks.pydantic_ai.histories import History

HISTORIES = int(os.environ.get("STOWFAST_HISTORIES", "25"))
STEPS = 60


AT_ONCE = 8


async def test_random_histories_have_the_answers_of_the_framework_s_own_store(url: str) -> None:
    async with stowfast.open(url) as stores:
        turn = asyncio.Semaphore(AT_ONCE)

        async def run(seed: int) -> int:
            async with turn:
                ours = [StowfastConversationStore(stores, scope=f"h{seed}") for _ in range(2)]
                history = History(seed, ours[0])
                try:
                    await history.run(STEPS, ours[1])
                except Exception as error:
                    error.add_note(f"seed {seed}, step {history.calls}")
                    raise
                return history.calls

        calls = await asyncio.gather(*map(run, range(HISTORIES)))
    print(f"{HISTORIES} histories, {sum(calls)} calls: no difference")
