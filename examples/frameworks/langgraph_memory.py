"""An agent that learns facts and remembers them in every thread. Kill it at any moment, and start it again.

    pip install 'stowfast[langgraph]'
    python examples/frameworks/langgraph_memory.py [URL]

The model is scripted and needs no network. Each start is a new thread; the facts are in the store, which all threads
share. A fact is stored under a key of its own, so to learn it again after a kill stores nothing twice.
"""

from __future__ import annotations

import sys
from typing import Any

from langgraph.graph import END, START, MessagesState, StateGraph
from langgraph.store.base import BaseStore  # noqa: TC002 - LangGraph reads it from the annotation

from stowfast.adapters.langgraph import StowfastStore

FACTS = ["tea", "Rome", "trains", "chess", "rain", "jazz", "figs", "dogs", "maps", "snow", "bread", "Oslo"]
ADA = ("users", "ada", "facts")


def learn(state: MessagesState, *, store: BaseStore) -> dict[str, Any]:
    """Stand in the place of a model with a memory tool: store the next fact."""
    known = {item.key for item in store.search(ADA, limit=100)}
    fact = next(one for one in FACTS if one not in known)
    store.put(ADA, fact, {"likes": fact})
    print("learned", fact, flush=True)
    return {"messages": [("assistant", f"You like {fact}.")]}


def more(_: MessagesState, *, store: BaseStore) -> str:
    return END if len(store.search(ADA, filter={"likes": {"$gt": ""}}, limit=100)) == len(FACTS) else "learn"


def main(url: str) -> None:
    """Learn what is left to learn."""
    builder = StateGraph(MessagesState)
    builder.add_node("learn", learn)
    builder.add_conditional_edges(START, more)
    builder.add_conditional_edges("learn", more)
    with StowfastStore(url) as store:
        graph = builder.compile(store=store)
        graph.invoke({"messages": [("user", "What do I like?")]}, {"recursion_limit": 100})
        print("done", len(store.search(ADA, limit=100)), "facts", flush=True)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "sqlite:///memory.db")
