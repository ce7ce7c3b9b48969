"""The demonstration as a person watches it: each step, each kill, and the sum."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from stowfast.cli.demo.agent import CONTEXT, FILE, STEPS, TASK
from stowfast.cli.demo.tools import LARGEST
from stowfast.cli.terminal import brief, many, plain, size

if TYPE_CHECKING:
    from rich.console import Console

    from stowfast.cli.demo.demonstration import Outcome

__all__ = ["Screen", "print_outcome"]

_WHEN: Final = {
    "begins": "it had only just begun",
    "ran": "the tool had run, its result was not acknowledged",
    "stored": "the message was acknowledged, the task state was not",
    "saved": "message and task state were acknowledged",
}


class Screen:
    """Prints the steps as they happen."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._shown = -1

    def begin(self, kills: int) -> None:
        """Print the next step."""
        self._console.print(Text("An agent at work, and killed at it", style="bold"))
        self._console.print(
            f"{STEPS} messages, {many(kills, 'kill')} with SIGKILL. A script for a model, but real tools.",
            style="dim",
        )

    def watch(self, event: dict[str, Any]) -> None:
        """Print one event."""
        if event["event"] == "begins":
            verb = "begins" if event["step"] == 0 else f"goes on, its task state says: step {event['step']}"
            self._console.print()
            self._console.print(Text.assemble((f"process {event['pid']} ", "bold"), (verb, "green")))
        elif event["event"] == "ran" and event["again"]:
            self._console.print(
                Text("     this call had been done: its op_id answers, no second effect", style="yellow")
            )
        elif event["event"] == "stored" and event["step"] > self._shown:
            self._shown = event["step"]
            self._print_step(event["step"], event["message"])
        elif event["event"] == "killed":
            line = Text(f"process {event['pid']} ", style="bold")
            line.append("killed", style="bold red").append(f": {_WHEN[event['last']['event']]}", style="red")
            self._console.print(line)

    def _print_step(self, step: int, message: dict[str, Any]) -> None:
        role = message["role"]
        if calls := message.get("tool_calls"):
            said = ", ".join(f"{call['function']['name']}(…)" for call in calls[:2])
            said += f" and {len(calls) - 2} more" if len(calls) > 2 else ""
        elif role == "tool":
            result = json.loads(message["content"])
            said = f"{message['name']}: " + ", ".join(f"{key} {_value(value)}" for key, value in result.items())
        else:
            said = message["content"]
        room = max(self._console.width - 17, 20)
        style = "" if role in {"user", "assistant"} and not calls else "dim"
        self._console.print(
            Text.assemble(
                (f"{step:4} ", "dim"), (f"{role:<9} ", "cyan" if role == "user" else "dim"), (brief(said, room), style)
            )
        )


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Print the findings, the place of the files, and the commands to inspect them."""
    console.print()
    if outcome.passed:
        console.print(Text("Nothing was lost, nothing is there twice.", style="bold green"))
    else:
        console.print(Text("NOT everything is as it was acknowledged.", style="bold red"))
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column(style="dim")
    for name, number, remark in (
        ("kills", outcome.kills, "SIGKILL, each at a random moment"),
        ("messages acknowledged", outcome.acknowledged, ""),
        ("messages found", outcome.found, "each once, in order" if not (outcome.doubled or outcome.misplaced) else ""),
        ("lost", outcome.lost, ""),
        ("doubled or misplaced", outcome.doubled + outcome.misplaced, ""),
        ("tool effects", outcome.effects, f"{LARGEST} measurements, 2 artifacts"),
        ("tool calls repeated", outcome.effects_answered, "answered by op_id, not done again"),
        ("tool effects doubled", outcome.effects_doubled, ""),
    ):
        fault = name.startswith(("lost", "doubled", "tool effects doubled")) and number
        table.add_row(name, Text(f"{number:,}", style="bold red" if fault else "bold"), remark)
    console.print(table)
    console.print(Text(f"task state: {plain(outcome.task_status)}", style="dim"))
    console.print()
    console.print(Text("Kept for you to look at", style="bold"))
    console.print(Text(f"  {plain(outcome.folder)}/", overflow="fold"))
    files = Table.grid(padding=(0, 2))
    files.add_row(f"    {FILE}", "everything: messages, artifacts, task state")
    for artifact in outcome.artifacts:
        verdict = "SHA-256 as acknowledged" if artifact["intact"] else "NOT what was acknowledged"
        files.add_row(f"    {Path(artifact['path']).name}", f"{size(artifact['size'])}, {verdict}")
    console.print(files)


def print_commands(console: Console, outcome: Outcome, context: str | None) -> None:
    """Print commands to inspect the files, each on one line, ready to copy."""
    console.print()
    console.print(Text("Look with", style="bold"))
    for command in (
        f"cd {_quoted(outcome.folder)}",
        f"stowfast ls sqlite:///{FILE}",
        f"stowfast show sqlite:///{FILE} {CONTEXT}",
        f"stowfast tasks history sqlite:///{FILE} {TASK}",
        *([f"stowfast show sqlite:///{FILE} {_quoted(plain(context))}"] if context is not None else []),
        f'sqlite3 {FILE} "select * from history"',  # noqa: S608 - it is printed
    ):
        console.print(Text(f"  {command}", overflow="fold"), soft_wrap=True)


def _value(value: Any) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return str(value) if isinstance(value, str) else json.dumps(value)


def _quoted(path: str) -> str:
    return path if path.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum() else f"'{path}'"
