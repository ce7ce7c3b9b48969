"""looopy: the files of its filesystem stores, release 3.1.3 of `@looopy-ai/core`.

A name of a folder is that of looopy: an id with other characters than its letters, digits, `-` and `_` has a `_` for
each of them, but for artifacts.
"""

from __future__ import annotations

import re
from base64 import b64decode
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.ids import joined
from stowfast.errors import InvalidError
from stowfast.importing.artifacts import artifact
from stowfast.importing.grouping import named
from stowfast.importing.streams import (
    conversation,
    document,
    json_of,
    moment_of,
    object_of,
    optional_list,
    optional_text,
    text_of,
)
from stowfast.importing.tasks import task
from stowfast.records import ArtifactInfo, TaskState
from stowfast.stores.artifacts.datasets.columns import Columns
from stowfast.stores.codec import encode, encode_lines, to_time

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from stowfast.importing.buckets import Bucket
    from stowfast.importing.folders import Folder
    from stowfast.importing.streams import Found, SourceStream

__all__ = ["find_sessions"]

_MESSAGE: Final = re.compile(r"[0-9][0-9TZ_:-]{0,40}-[0-9]{3,15}(-[0-9]{6,15})?", re.ASCII)
_OWN: Final = ("id", "contextId", "index", "timestamp", "tokens", "tags", "compacted", "summarizedRange")
"""Fields that the store of looopy adds to a message."""
_KNOWN: Final = frozenset({"context.json", "context.lock", "agent-state.json", "messages", "task", "artifacts"})
_CONTENTS: Final = frozenset({"chunks", "data", "rows", "operations"})
"""Fields of an artifact that are its content, or grow with it."""
_TYPES: Final = {"string": "string", "date": "string", "number": "number", "boolean": "boolean"}
_WORDS: Final = ("name", "description", "mimeType")


def find_sessions(folder: Folder | Bucket) -> Generator[Found]:
    """Yield each context: its conversation, the state of its agent, its tasks and its artifacts."""
    for agent in folder.names("agent="):
        yield from named(f"agent={agent}", _contexts(folder, agent))


def _contexts(folder: Folder | Bucket, agent: str) -> Iterator[Found]:
    home = folder.below(f"agent={agent}")
    for context in home.names("context="):
        yield from named(f"agent={agent}/context={context}", _Context(home, agent, context).streams())


class _Context:
    """A context of an agent. The ids of its tasks and artifacts begin with its own."""

    def __init__(self, home: Folder | Bucket, agent: str, context: str) -> None:
        self._home = home
        self._ids = (agent, context)
        self._id = joined(*self._ids)

    def streams(self) -> Iterator[Found]:
        here = self._home.below(f"context={self._ids[1]}")
        names = {*here.names("")}
        if names.isdisjoint(_KNOWN) and names:
            raise InvalidError("it has no file of looopy: an id with a slash?")
        facts = object_of(here.read("context.json"), "context.json") if here.has("context.json") else None
        messages = here.below("messages") if here.has("messages") else None
        if facts is not None or messages is not None:
            yield conversation(self._id, _messages(messages) if messages else (), facts)
        if here.has("agent-state.json"):
            state = object_of(here.read("agent-state.json"), "agent-state.json")
            yield document(self._id, state, state.get("lastActivity"))
        for kind, suffix, make in (("task", ".json", self._task), ("artifacts", "", self._artifact)):
            if here.has(kind):
                folder = here.below(kind)
                for name in folder.names("", suffix):
                    yield from named(f"{folder.name}/{name}", make(folder, name))

    def _task(self, folder: Folder | Bucket, name: str) -> Iterator[SourceStream]:
        data = object_of(folder.read(f"{name}.json"), f"{name}.json")
        facts = data.pop("_metadata", None)
        told = facts if isinstance(facts, dict) else {}
        until = moment_of(optional_text(told.get("expiresAt"), "expiresAt"))
        expires_at = None if until is None else to_time(until)
        if expires_at is not None and expires_at <= datetime.now(UTC):
            return  # looopy removes it when it is next read
        parent = _safe(optional_text(data.get("parentTaskId"), "parentTaskId") or "")
        state = TaskState(
            task_id=joined(*self._ids, name),
            context_id=self._id,
            agent_id=optional_text(data.get("agentId"), "agentId"),
            # The task of another agent lies in another folder, and nothing tells in which.
            parent_task_id=joined(*self._ids, _safe(parent))
            if parent and folder.has(f"{_safe(parent)}.json")
            else None,
            status="completed" if data.get("completed") is True else "working",
            data=data,
            expires_at=expires_at,
        )
        yield task(state, [(told.get("savedAt", data.get("lastActivity")), state)], newest_only=True)

    def _artifact(self, folder: Folder | Bucket, name: str) -> Iterator[SourceStream]:
        here = folder.below(name)
        record = object_of(here.read("metadata.json"), "metadata.json")
        if record.get("externalStorage") is not None:
            raise InvalidError("its content is in another storage")
        task_id = optional_text(record.get("taskId"), "taskId")
        texts = {one: optional_text(record.get(one), one) for one in _WORDS}
        info = ArtifactInfo(
            artifact_id=joined(*self._ids, name),
            context_id=self._id,
            task_id=joined(*self._ids, _safe(task_id)) if task_id else None,
            name=texts["name"],
            description=texts["description"],
            mime_type=texts["mimeType"],
            metadata={"looopy": {key: value for key, value in record.items() if key not in _CONTENTS}},
        )
        encoding, body = _CONTENT[_kind(record)](here, record, info)
        yield artifact(info, encoding, body, record.get("updatedAt"))


def _messages(folder: Folder | Bucket) -> Iterator[tuple[object, dict[str, Any]]]:
    # In order of their names, which begin with the time: two writers may give one index, and after a compaction looopy
    # counts from a lower one.
    for name in folder.names("", ".json"):
        if not _MESSAGE.fullmatch(name):
            raise InvalidError(f"{name[:80]}.json: its name has no time and no number")
        message = object_of(folder.read(f"{name}.json"), f"{name}.json")
        moment = message.get("timestamp")
        yield moment, {key: value for key, value in message.items() if key not in _OWN}


def _file(here: Folder | Bucket, record: dict[str, Any], info: ArtifactInfo) -> tuple[str, bytes]:
    chunks = [_chunk(one) for one in optional_list(record.get("chunks"), "chunks")]
    text = text_of(here.read("content.txt"), "content.txt") if here.has("content.txt") else "".join(chunks)
    if record.get("encoding", "utf-8") != "base64":
        return "text", text.encode()
    # Each chunk is base64 of its own, so the text has padding in the middle.
    parts = chunks if "".join(chunks) == text else [text]
    try:
        return "bytes", b"".join(b64decode(one, validate=True) for one in parts)
    except ValueError as error:
        raise InvalidError("its content is no base64") from error


def _data(here: Folder | Bucket, record: dict[str, Any], info: ArtifactInfo) -> tuple[str, bytes]:
    data = json_of(here.read("data.json"), "data.json") if here.has("data.json") else record.get("data")
    return "json", encode(data, "data.json")


def _dataset(here: Folder | Bucket, record: dict[str, Any], info: ArtifactInfo) -> tuple[str, bytes]:
    if here.has("rows.jsonl"):
        lines = text_of(here.read("rows.jsonl"), "rows.jsonl").split("\n")
        rows = [object_of(line, "a row") for line in lines if line.strip()]
    else:
        rows = optional_list(record.get("rows"), "rows")
        if not all(isinstance(row, dict) for row in rows):
            raise InvalidError("a row is no JSON object")
    info.rows = len(rows)
    with suppress(InvalidError):  # looopy holds no row to them
        columns = _columns(record.get("schema"))
        columns.check(rows, 0)
        info.schema = {"columns": columns.declared}
    return "rows", encode_lines(rows, 0, "row")


_CONTENT: Final[dict[str, Callable[[Folder | Bucket, dict[str, Any], ArtifactInfo], tuple[str, bytes]]]] = {
    "file": _file,
    "data": _data,
    "dataset": _dataset,
}


def _kind(record: dict[str, Any]) -> str:
    kind = record.get("type")
    if not isinstance(kind, str) or kind not in _CONTENT:
        raise InvalidError(f"its type is none of {', '.join(_CONTENT)}")
    return kind


def _columns(schema: object) -> Columns:
    found = schema.get("columns") if isinstance(schema, dict) else None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise InvalidError("there are no columns")
    return Columns({str(one.get("name")): f"{_TYPES.get(str(one.get('type')), 'any')}?" for one in found})


def _chunk(one: object) -> str:
    return text_of(one.get("data") if isinstance(one, dict) else one, "a chunk")


def _safe(text: str) -> str:
    """Return the name of an id. JavaScript counts a character beyond 16 bits twice."""
    return re.sub(r"[^a-zA-Z0-9_-]", lambda found: "_" * (1 + (ord(found[0]) > 0xFFFF)), text)
