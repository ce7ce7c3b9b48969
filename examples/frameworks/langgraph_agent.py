"""An agent pays ten bills. Kill it at any moment and start it again: it goes on, and no bill is paid twice.

    pip install 'stowfast[langgraph]'
    python examples/frameworks/langgraph_agent.py [URL] [BANK]

The model is scripted and needs no network.
"""

import sqlite3
import sys
from typing import Any

from langchain_core.messages import AIMessage, ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from stowfast.adapters.langgraph import StowfastSaver

BILLS = 10


def scripted(state: MessagesState) -> dict[str, Any]:
    """Stands in the place of a model: it asks for one payment after the other."""
    paid = sum(isinstance(message, ToolMessage) for message in state["messages"])
    if paid == BILLS:
        return {"messages": [AIMessage(f"Paid {paid} bills.")]}
    call = {"name": "pay", "args": {"bill": paid}, "id": f"pay-{paid}", "type": "tool_call"}
    return {"messages": [AIMessage("", tool_calls=[call])]}


def main(place: str, bank_path: str) -> None:
    def pay(state: MessagesState) -> dict[str, Any]:
        call = state["messages"][-1].tool_calls[0]
        # A resumed run may call the tool again, with the same id. It is the idempotency key: the bank pays once for it.
        with sqlite3.connect(bank_path) as bank:
            bank.execute("CREATE TABLE IF NOT EXISTS payments (key TEXT PRIMARY KEY, bill INTEGER)")
            bank.execute("INSERT OR IGNORE INTO payments VALUES (?, ?)", (call["id"], call["args"]["bill"]))
        bank.close()
        return {"messages": [ToolMessage("paid", tool_call_id=call["id"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("model", scripted)
    builder.add_node("pay", pay)
    builder.add_edge(START, "model")
    builder.add_conditional_edges("model", lambda state: "pay" if state["messages"][-1].tool_calls else END)
    builder.add_edge("pay", "model")

    with StowfastSaver(place) as saver:
        graph = builder.compile(checkpointer=saver)
        config = {"configurable": {"thread_id": "bills"}, "recursion_limit": 100}
        # The thread has messages: None goes on where the last run stopped.
        prompt = None if graph.get_state(config).values else {"messages": [("user", "Pay my bills.")]}
        result = graph.invoke(prompt, config, durability="sync")
        print(result["messages"][-1].content)


if __name__ == "__main__":
    main(*[*sys.argv[1:], *["sqlite:///agent.db", "bank.db"][len(sys.argv) - 1 :]])
