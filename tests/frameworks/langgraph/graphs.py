"""Small graphs, and checkpoints by hand, for the tests of the saver."""

from __future__ import annotations

import operator
import random
from typing import Annotated, Any, TypedDict

from langgraph.checkpoint.base import Checkpoint, empty_checkpoint
from langgraph.checkpoint.base.id import uuid6
from langgraph.graph import END, START, StateGraph
from langgraph.types import Command, Send, interrupt


class Log(TypedDict):
    log: Annotated[list[str], operator.add]
    n: int


class Inner(TypedDict):
    log: Annotated[list[str], operator.add]


def config(thread: str = "t", id: str | None = None, ns: str = "") -> Any:
    names = {"thread_id": thread, "checkpoint_ns": ns}
    return {"configurable": names if id is None else {**names, "checkpoint_id": id}}


def checkpoint(step: int, /, **values: Any) -> Checkpoint:
    made = empty_checkpoint()
    made["id"] = str(uuid6(clock_seq=step))
    made["channel_values"] = values
    made["channel_versions"] = dict.fromkeys(values, step + 1)
    return made


def text(seed: int, characters: int) -> str:
    chance = random.Random(seed)
    return " ".join(f"{chance.randrange(10**6)}" for _ in range(characters // 7 + 1))[:characters]


def line(saver: Any, who: str, steps: int = 5, node: Any = None) -> Any:
    """Return a graph of nodes one after the other; each adds its name to the log."""
    graph = StateGraph(Log)

    def adds(number: int) -> Any:
        async def run(state: Log) -> dict[str, Any]:
            if node is not None:
                await node(number)
            return {"log": [f"{who}{number}"]}

        return run

    for number in range(steps):
        graph.add_node(f"n{number}", adds(number))
        graph.add_edge(START if number == 0 else f"n{number - 1}", f"n{number}")
    graph.add_edge(f"n{steps - 1}", END)
    return graph.compile(checkpointer=saver)


def rich(saver: Any) -> Any:
    """Return a graph with a subgraph, an interrupt and four parallel tasks."""
    inner = StateGraph(Inner)
    inner.add_node("first", lambda _: {"log": ["first"]})
    inner.add_node("asks", lambda _: {"log": [f"asks:{interrupt({'ask': 'ok?'})}"]})
    inner.add_edge(START, "first")
    inner.add_edge("first", "asks")
    inner.add_edge("asks", END)
    graph = StateGraph(Log)
    graph.add_node("a", lambda state: {"log": ["a"], "n": state.get("n", 0) + 1})
    graph.add_node("sub", inner.compile())
    graph.add_node("par", lambda state: {"log": [f"p{state['n']}"]})
    graph.add_node("z", lambda _: {"log": ["z"]})
    graph.add_edge(START, "a")
    graph.add_edge("a", "sub")
    graph.add_conditional_edges("sub", lambda _: [Send("par", {"n": i, "log": []}) for i in range(4)], ["par"])
    graph.add_edge("par", "z")
    graph.add_edge("z", END)
    return graph.compile(checkpointer=saver)


def travelled(graph: Any, thread: str, durability: Any) -> list[Any]:
    """Run, interrupt, resume, go back in time, edit and resume again. Return all states on the way."""
    here = config(thread)
    found = [graph.invoke({"log": ["in"], "n": 0}, here, durability=durability)["log"]]
    found.append(graph.get_state(here, subgraphs=True).tasks[0].state.values["log"])
    found.append(graph.invoke(Command(resume="yes"), here, durability=durability)["log"])
    old = next(one for one in graph.get_state_history(here) if one.next == ("a",))
    graph.invoke(None, old.config, durability=durability)
    found.append(graph.invoke(Command(resume="no"), here, durability=durability)["log"])
    edited = graph.update_state(old.config, {"log": ["edited"]})
    graph.invoke(None, edited, durability=durability)
    found.append(graph.invoke(Command(resume="third"), here, durability=durability)["log"])
    return [*found, [one.values for one in graph.get_state_history(here)]]


async def atravelled(graph: Any, thread: str, durability: Any) -> list[Any]:
    """The same without a sync call."""
    here = config(thread)
    found = [(await graph.ainvoke({"log": ["in"], "n": 0}, here, durability=durability))["log"]]
    found.append((await graph.aget_state(here, subgraphs=True)).tasks[0].state.values["log"])
    found.append((await graph.ainvoke(Command(resume="yes"), here, durability=durability))["log"])
    history = [one async for one in graph.aget_state_history(here)]
    old = next(one for one in history if one.next == ("a",))
    await graph.ainvoke(None, old.config, durability=durability)
    found.append((await graph.ainvoke(Command(resume="no"), here, durability=durability))["log"])
    edited = await graph.aupdate_state(old.config, {"log": ["edited"]})
    await graph.ainvoke(None, edited, durability=durability)
    found.append((await graph.ainvoke(Command(resume="third"), here, durability=durability))["log"])
    return [*found, [one.values async for one in graph.aget_state_history(here)]]


def forks(listed: list[Any]) -> int:
    """Return the number of checkpoints with two children."""
    parents = [one.parent_config["configurable"]["checkpoint_id"] if one.parent_config else None for one in listed]
    return sum(parents.count(one) > 1 for one in set(parents))
