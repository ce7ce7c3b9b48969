"""Stores with something of everything, hostile strings included."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import stowfast
from stowfast import Artifact, TaskState

if TYPE_CHECKING:
    from collections.abc import Iterator

RUN = "document.documentElement.dataset.hit='1'"
HOSTILE = [
    f"<script>{RUN}</script>",
    f'"><script>{RUN}</script>',
    f"'><img src=x onerror={RUN}>",
    f"<svg onload={RUN}>",
    f"<body onload={RUN}>",
    f"<iframe srcdoc='<script>parent.{RUN}</script>'>",
    f"<a href=javascript:{RUN}>x</a>",
    f"[x](javascript:{RUN})",
    f"![x](javascript:{RUN})",
    "![x](http://evil.example/p.png)",
    "<img src=http://evil.example/p.png>",
    "<link rel=stylesheet href=http://evil.example/x.css>",
    "<meta http-equiv=refresh content='0;url=http://evil.example'>",
    "<base href=http://evil.example>",
    "<form action=http://evil.example><button>x</button></form>",
    f"<details open ontoggle={RUN}>",
    f"<input autofocus onfocus={RUN}>",
    f"<video><source onerror={RUN}></video>",
    f"<math><mtext><script>{RUN}</script>",
    f"</title><script>{RUN}</script>",
    f"</pre></textarea></style><script>{RUN}</script>",
    f"{{{{ {RUN} }}}}",
    "{% raw %}{{ 7 * 7 }}",
    f"data:text/html,<script>{RUN}</script>",
    "\u202eevil\u2066\u200f",
    "\x1b]0;title\x07\x1b[31m\x00\x85",
    "a\r\nid: 9\r\ndata: forged\r\n\r\n",
    "../../etc/passwd?x=1&id=2#f%2e%2e",
    "\\u003cscript\\u003e\u2028\u2029",
    "\ufeff" + "\U0001d54f" * 20 + "\u0000",
]
"""Each is tried in each of the places of `fill_hostile`."""


def fill_hostile(stores: stowfast.sync.Stores) -> Iterator[str]:
    """Store each hostile string in twelve places, and yield the paths of the lists."""
    columns = {"text": "string"}
    with stores.artifacts.open_dataset("rows", columns=columns, name="rows") as dataset:
        dataset.append([{"text": bad} for bad in HOSTILE])
    for n, bad in enumerate(HOSTILE):
        fit = bad.replace("\x00", "")  # ids hold any character but this one
        call: dict[str, Any] = {"id": bad, "type": "function", "function": {"name": bad, "arguments": bad}}
        parts = [{"type": "text", "text": bad}, {"type": "image_url", "image_url": {"url": bad}}]
        messages: list[dict[str, Any]] = [
            {"role": bad, "name": bad, "content": bad},
            {"role": "assistant", "content": parts, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": bad, "content": bad},
            {"role": "assistant", "reasoning": bad, "unknown": {bad: bad}},
        ]
        stores.messages.add_messages(f"{n}{fit}", messages, metadata={"title": bad, bad or "x": bad})
        for kind in ("text/markdown", "text/plain", fit[:200]):
            stores.artifacts.create(
                Artifact(artifact_id=f"{n}{kind}{fit}", name=bad, description=bad, content=bad, mime_type=kind,
                         metadata={"k": bad}),
            )  # fmt: skip
        tree = [{bad: [bad, {"deep": bad}]}]
        stores.artifacts.create(Artifact(artifact_id=f"{n}tree{fit}", content=tree))
        task = TaskState(task_id=f"{n}{fit}", status=fit[:60] or "working", data={bad: bad}, agent_id=fit)
        task.data["more"] = stores.tasks.save(task).version
        stores.tasks.record(task.task_id, f"step{fit}", {bad: bad})
        stores.tasks.claim(task.task_id, f"owner{fit}", timedelta(minutes=5))
    yield from ("/", "/artifacts", "/tasks", "/place", "/artifact?id=rows")


def fill_plain(stores: stowfast.sync.Stores, airline: list[dict[str, Any]]) -> None:
    """Store a few real conversations, an artifact of some kinds, and a task in the middle of its work."""
    for record in airline[:12]:
        stores.messages.add_messages(record["context_id"], record["messages"], metadata={"user": "ada"})
    for text in ("# Report\n\n* one\n* two\n", "# Report\n\n* one\n* three\n"):
        stores.artifacts.put(Artifact(artifact_id="report", content=text, mime_type="text/markdown"))
    with stores.artifacts.open_dataset("scores", columns={"name": "string", "score": "number"}) as dataset:
        dataset.append([{"name": f"row {n}", "score": n / 2} for n in range(30)])
    seats = {"flight": "HAT-1", "seats": [{"row": 1, "free": True}, {"row": 2, "free": None}]}
    stores.artifacts.put(Artifact(artifact_id="seats", content=seats))
    state = TaskState(task_id="booking", context_id=airline[0]["context_id"], data={"step": 0, "seats": []})
    for step in range(1, 5):
        state.data = {"step": step, "seats": [f"{n}A" for n in range(step)]}
        state = stores.tasks.save(state)
    stores.tasks.record("booking", "charge-card", {"charged": 120})
    stores.tasks.claim("booking", "worker-1", timedelta(minutes=5))
