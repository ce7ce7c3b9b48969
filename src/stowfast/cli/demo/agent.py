"""The agent of the demonstration, a process to be killed: `python -m stowfast.cli.demo.agent FOLDER PAUSE`.

A loop as in every agent, with a script in place of a model: read the history, choose the next step, run a tool or
answer, store it, save the state of the run. Each step is reported on stdout, one JSON object a line, after Stowfast has
acknowledged it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
from pathlib import Path
from typing import Any, Final

import stowfast
from stowfast import TaskState
from stowfast.cli.demo.tools import LARGEST, Workbench
from stowfast.cli.urls import sqlite_url

__all__ = ["CONTEXT", "FILE", "STEPS", "TASK", "digest"]

FILE: Final = "agent.db"
CONTEXT: Final = "demo"
TASK: Final = "demo-run"

Message = dict[str, Any]
Results = list[dict[str, Any]]


_SYSTEM: Final = "You keep the inventory of a Python installation. Use your tools; never guess a number."
_SCRIPT: Final[tuple[tuple[str, str, Results, str], ...]] = (
    # a question, a tool, the arguments of each call (none: the largest modules), the answer made of the last result
    ("Which Python is this?", "list_modules", [{}], "Python {python}: {modules:,} modules, {bytes:,} bytes of source."),
    (f"Measure the {LARGEST} largest.", "measure", [], "Done. The last is {module}, with {functions:,} functions."),
    ("Keep the inventory.", "save_artifact", [{"name": "inventory.csv"}], "Kept as {artifact_id}, {size:,} bytes."),
    ("And write a report.", "save_artifact", [{"name": "report.md"}], "Written: {artifact_id}, {size:,} bytes."),
)
STEPS: Final = 1 + sum(3 + (len(arguments) or LARGEST) for _, _, arguments, _ in _SCRIPT)
"""Messages of the whole run: the system's, and for each turn a question, its calls, their results, an answer."""


def digest(message: Message) -> str:
    """Return the SHA-256 by which both processes recognize a message."""
    return hashlib.sha256(json.dumps(message, sort_keys=True).encode()).hexdigest()


def decide(history: list[Message]) -> Message:
    """Return the next step: all decisions of this agent. A pending result has the call as its content."""
    if not history:
        return {"role": "system", "content": _SYSTEM}
    calls = [call for message in history for call in message.get("tool_calls", ())]
    results: Results = [json.loads(message["content"]) for message in history if message["role"] == "tool"]
    if len(results) < len(calls):
        call = calls[len(results)]
        arguments = json.loads(call["function"]["arguments"])
        return {"role": "tool", "tool_call_id": call["id"], "name": call["function"]["name"], "content": arguments}
    turns = sum(message["role"] == "user" for message in history)
    if history[-1]["role"] == "assistant" or len(history) == 1:
        return {"role": "user", "content": _SCRIPT[turns][0]}
    _, tool, arguments, answer = _SCRIPT[turns - 1]
    if history[-1]["role"] == "tool":
        return {"role": "assistant", "content": answer.format(**results[-1])}
    wanted = arguments or [{"module": module} for module in results[0]["largest"]]
    functions = [{"name": tool, "arguments": json.dumps(one)} for one in wanted]
    made = [{"id": f"call_{n:03}", "type": "function", "function": one} for n, one in enumerate(functions, len(calls))]
    return {"role": "assistant", "content": None, "tool_calls": made}


async def run(folder: Path, pause: float) -> None:
    """Go on from where the task stands, to its end."""
    async with stowfast.open(sqlite_url(folder / FILE)) as stores:
        bench = Workbench(stores, folder, CONTEXT)
        state = await stores.tasks.load(TASK) or TaskState(task_id=TASK, context_id=CONTEXT, data={"step": 0})
        _tell("begins", step=state.data["step"])
        for step in range(state.data["step"], STEPS):
            op_id = f"{TASK}-step-{step}"  # the same whenever this step is tried
            history = await stores.messages.get_messages(CONTEXT)
            if len(history) == step:
                await asyncio.sleep(pause)  # the time of a model
                message = decide(history)
                if message["role"] == "tool":
                    result, again = await bench.call(message["name"], message["content"], op_id)
                    message["content"] = json.dumps(result)
                    _tell("ran", step=step, tool=message["name"], again=again)
                    await asyncio.sleep(2 * pause)  # the moment that matters most: done, and not yet written down
                position = await stores.messages.add_message(CONTEXT, message, op_id=op_id)
            else:
                # Stored, and then killed before the task state said so: the message is there, so the tool has run.
                position, message = step, history[step]
            _tell("stored", step=step, position=position, sha256=digest(message), message=message)
            await asyncio.sleep(pause)
            state.status = "completed" if step + 1 == STEPS else "working"
            state.data = {"step": step + 1}
            await stores.tasks.save(state, op_id=op_id)
            _tell("saved", step=step + 1)


def _tell(event: str, **facts: Any) -> None:
    print(json.dumps({"event": event, **facts}), flush=True)


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), float(sys.argv[2])))
