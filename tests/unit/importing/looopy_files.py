"""A folder of looopy: its library is in no package index, so the layout is that of its source, release 3.1.3."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

MOMENT = "2026-01-02T03:04:05.678Z"
FAR = "2999-01-01T00:00:00.000Z"
CHUNKS = [b"\x89PNG\0", b"\xff" * 40_000]
ROWS: list[dict[str, Any]] = [{"n": 1, "s": "ü😀"}, {"n": 2.5, "s": None}]
MESSAGES: list[dict[str, Any]] = [
    {"role": "user", "content": "ü😀"},
    {"role": "assistant", "content": "", "toolCalls": [{"id": "t", "function": {"name": "w", "arguments": {}}}]},
    {"role": "tool", "content": "{}", "toolCallId": "t"},
]


def write(path: Path, value: Any) -> None:
    """Write JSON as looopy does."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False))


def add_message(home: Path, index: int, message: dict[str, Any], *, number: int = 0, second: int = 5) -> Path:
    """Add a message as `FileSystemMessageStore` does; `number` counts those of its process."""
    moment = f"2026-01-02T03:04:{second:02}.678Z"
    name = f"{moment.replace(':', '-').replace('.', '_')}-{index:03}-{number:06}.json"
    facts = {"id": f"{home.name}-{index}", "contextId": home.name, "index": index, "timestamp": moment}
    write(home / "messages" / name, message | facts)
    return home / "messages" / name


def add_artifact(home: Path, artifact_id: str, kind: str, **fields: Any) -> Path:
    """Add an artifact as `FileSystemArtifactStore` does, without its content."""
    facts = {
        "artifactId": artifact_id,
        "taskId": "task 1",
        "contextId": home.name,
        "createdAt": MOMENT,
        "updatedAt": MOMENT,
    }
    record = {"type": kind, "status": "complete", "version": 1, "operations": [], **facts, **fields}
    write(home / "artifacts" / artifact_id / "metadata.json", record)
    return home / "artifacts" / artifact_id


def made(root: Path, context: str = "good", agent: str = "a") -> Path:
    """Make a context with everything in it, and return its folder."""
    home = root / f"agent={agent}" / f"context={context}"
    for index, message in enumerate(MESSAGES):
        add_message(home, index, message, number=index)
    write(home / "context.json", {"contextId": context, "agentId": agent, "title": "T", "ownerId": "ada"})
    write(home / "agent-state.json", {"agentId": agent, "turnCount": 1, "lastActivity": MOMENT})
    for name, completed in (("task_1", True), ("child", False)):
        facts = {"taskId": name, "agentId": agent, "contextId": context, "completed": completed}
        until = {"_metadata": {"savedAt": MOMENT, "expiresAt": FAR}}
        write(home / "task" / f"{name}.json", {**facts, "parentTaskId": "task 1", "messages": MESSAGES, **until})
    text = add_artifact(home, "text", "file", name="a.md", encoding="utf-8", chunks=[])
    (text / "content.txt").write_text("# ü😀\n" * 10_000)
    parts = [b64encode(one).decode() for one in CHUNKS]
    chunks = [{"index": number, "data": one} for number, one in enumerate(parts)]
    picture = add_artifact(home, "picture", "file", name="a.png", encoding="base64", chunks=chunks)
    (picture / "content.txt").write_text("".join(parts))
    write(add_artifact(home, "data", "data", data={}) / "data.json", {"a": [1.5, None]})
    schema = {"columns": [{"name": "n", "type": "number"}, {"name": "s", "type": "string"}]}
    rows = add_artifact(home, "rows", "dataset", rows=ROWS, schema=schema)
    (rows / "rows.jsonl").write_text("".join(f"{json.dumps(one)}\n" for one in ROWS))
    return home
