"""An agent pays bills. Kill it at any moment and start it again: it goes on, and no bill is paid twice.

    pip install 'stowfast[pydantic-ai]'
    python examples/frameworks/pydantic_ai_agent.py [URL] [BANK] [BILLS]

The model is scripted and needs no network.
"""

import asyncio
import sqlite3
import sys

from pydantic_ai import Agent, RunContext
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart, ToolReturnPart
from pydantic_ai.models.function import AgentInfo, FunctionModel

from stowfast.adapters.pydantic_ai import StowfastConversationStore, run_saved

PLACE, BANK, BILLS = [*sys.argv[1:], *["sqlite:///agent.db", "bank.db", "45"][len(sys.argv) - 1 :]]


def scripted(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Stands in the place of a model: it asks for one payment after the other."""
    paid = sum(isinstance(part, ToolReturnPart) for message in messages for part in message.parts)
    if paid == int(BILLS):
        return ModelResponse(parts=[TextPart(f"Paid {paid} bills.")])
    return ModelResponse(parts=[ToolCallPart("pay", {"bill": paid}, tool_call_id=f"pay-{paid}")])


agent = Agent(FunctionModel(scripted), deps_type=sqlite3.Connection, instructions="Pay all bills.")


@agent.tool
async def pay(context: RunContext[sqlite3.Connection], bill: int) -> str:
    # A resumed run may call the tool again, with the same id. It is the idempotency key: the bank pays once for it.
    with context.deps as bank:
        bank.execute("INSERT OR IGNORE INTO payments VALUES (?, ?)", (context.tool_call_id, bill))
    return f"Bill {bill} is paid."


async def main(place: str, bank_path: str) -> None:
    bank = sqlite3.connect(bank_path)
    bank.execute("CREATE TABLE IF NOT EXISTS payments (key TEXT PRIMARY KEY, bill INTEGER)")
    async with StowfastConversationStore(place) as store:
        prompt = None if await store.is_unfinished("bills") else "Pay my bills."
        result = await run_saved(agent, prompt, store=store, conversation_id="bills", deps=bank)
        print(result.output)
    bank.close()


if __name__ == "__main__":
    asyncio.run(main(PLACE, BANK))
