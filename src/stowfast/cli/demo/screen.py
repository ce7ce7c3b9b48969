"""The demonstration as a person watches it: each step, each kill, and the sum."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from stowfast.cli.demo.agent import CONTEXT, FILE, STEPS, TASK
from stowfast.cli.demo.tools import LARGEST
from stowfast.cli.terminal import many, plain, size

if TYPE_CHECKING:
    from stowfast.cli.demo.demonstration import Outcome
    from stowfast.cli.terminal import Screen

__all__ = ["print_begin", "print_commands", "print_outcome", "watcher"]

_WHEN: Final = {
    "begins": "it had only just begun",
    "ran": "the tool had run, its result was not acknowledged",
    "stored": "the message was acknowledged, the task state was not",
    "saved": "message and task state were acknowledged",
}


def print_begin(screen: Screen, kills: int) -> None:
    """Print the first lines."""
    screen.print("An agent at work, and killed at it", "bold")
    screen.print(f"{STEPS} messages, {many(kills, 'kill')} with SIGKILL. A script for a model, but real tools.", "dim")


def watcher(screen: Screen) -> Any:
    """Return a function that prints each event of the run, and each step once."""
    shown = -1

    def watch(event: dict[str, Any]) -> None:
        nonlocal shown
        process = (f"process {event['pid']} ", "bold")
        if event["event"] == "begins":
            verb = "begins" if event["step"] == 0 else f"goes on, its task state says: step {event['step']}"
            screen.print()
            screen.print(Text.assemble(process, (verb, "green")))
        elif event["event"] == "ran" and event["again"]:
            screen.print("     this call had been done: its op_id answers, no second effect", "yellow")
        elif event["event"] == "stored" and event["step"] > shown:
            shown = event["step"]
            _print_step(screen, shown, event["message"])
        elif event["event"] == "killed":
            screen.print(Text.assemble(process, ("killed", "bold red"), (f": {_WHEN[event['last']['event']]}", "red")))

    return watch


def _print_step(screen: Screen, step: int, message: dict[str, Any]) -> None:
    role, calls = message["role"], message.get("tool_calls")
    said = f"{message['name']}: {message['content']}" if role == "tool" else message["content"]
    if calls:
        more = f", and {len(calls) - 1} more" if len(calls) > 1 else ""
        said = f"{calls[0]['function']['name']} {calls[0]['function']['arguments']}{more}"
    line = Text.assemble((f"{step:4} ", "dim"), (f"{role:<9} ", "cyan" if role == "user" else "dim"))
    style = "" if role in {"user", "assistant"} and not calls else "dim"
    screen.print(line.append(screen.short(said, max(screen.width - 15, 20)), style))


def print_outcome(screen: Screen, outcome: Outcome) -> None:
    """Print the findings."""
    screen.print()
    if outcome.passed:
        screen.print("Nothing was lost, nothing is there twice.", "bold green")
    else:
        screen.print("NOT everything is as it was acknowledged.", "bold red")
    misplaced = outcome.doubled + outcome.misplaced
    for name, number, remark in (
        ("kills", outcome.kills, "SIGKILL, each at a random moment"),
        ("messages acknowledged", outcome.acknowledged, ""),
        ("messages found", outcome.found, "" if misplaced else "each once, in order"),
        ("lost", outcome.lost, ""),
        ("doubled or misplaced", misplaced, ""),
        ("tool effects", outcome.effects, f"{LARGEST} measurements, 2 artifacts"),
        ("tool calls repeated", outcome.effects_answered, "answered by op_id, not done again"),
        ("tool effects doubled", outcome.effects_doubled, ""),
    ):
        fault = name.startswith(("lost", "doubled", "tool effects doubled")) and number
        style = "bold red" if fault else "bold"
        screen.print(Text.assemble((f"{name:<21}  ", "dim"), (f"{number:>2,}", style), (f"  {remark}", "dim")))
    for artifact in outcome.artifacts:
        verdict = "SHA-256 as acknowledged" if artifact["intact"] else "NOT what was acknowledged"
        screen.print(f"{artifact['artifact_id']}: {size(artifact['size'])}, {verdict}", "dim")
    screen.print(f"task state: {outcome.task_status}", "dim")


def print_commands(screen: Screen, outcome: Outcome, context: str | None) -> None:
    """Print commands to inspect the files, each on one line, ready to be pasted from any folder."""
    screen.print()
    screen.print("Look with", "bold")
    stowfast, url = _command(), shlex.quote(outcome.url)
    looks = [f"ls {url}", f"show {url} {CONTEXT}", f"tasks history {url} {TASK}", f"get {url} report.md -"]
    commands = [f"{stowfast} {look}" for look in looks]
    if context is not None:
        commands.append(f"{stowfast} show {url} {shlex.quote(plain(context))}")
    if shutil.which("sqlite3"):
        commands.append(f"sqlite3 {shlex.quote(str(Path(outcome.folder) / FILE))} 'select * from history'")  # noqa: S608
    for command in commands:
        screen.print(f"  {command}", whole=True)


def _command() -> str:
    """Return the words that run this command from any folder: its name, its path, or a module of this Python."""
    running = Path(sys.argv[0])
    found = shutil.which("stowfast")
    if running.name != "stowfast":
        return f"{shlex.quote(sys.executable)} -m stowfast"
    if found is not None and Path(found).resolve() == running.resolve():
        return "stowfast"
    return shlex.quote(str(running.absolute()))
