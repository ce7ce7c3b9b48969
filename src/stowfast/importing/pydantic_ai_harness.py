"""Pydantic AI harness: the tables of `SqliteConversationStore` and `SqliteStepStore`, release 0.62.0.

Messages are the JSON of Pydantic AI. A large part of one is a reference, `media+sha256://...`, and the artifact of this
id has its bytes.
"""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import MAX_ENTRY_BYTES
from stowfast.errors import InvalidError
from stowfast.importing.artifacts import artifact
from stowfast.importing.grouping import grouped
from stowfast.importing.streams import conversation, json_of, list_of, object_of, optional_text, text_of
from stowfast.importing.tasks import task
from stowfast.records import ArtifactInfo, TaskState

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from stowfast.importing.streams import Found, SourceStream
    from stowfast.importing.tables import Tables

__all__ = ["find_conversations"]

_CONVERSATIONS: Final = "SELECT id, metadata, messages FROM conversations ORDER BY id"
_RUNS: Final = (
    "SELECT run_id, conversation_id, parent_run_id, agent_name, metadata, started_at FROM runs ORDER BY run_id"
)
_END: Final = (
    "SELECT kind, timestamp, error FROM events WHERE run_id = ? AND kind IN ('run_completed', 'run_failed')"
    " ORDER BY seq DESC LIMIT 1"
)
_SNAPSHOTS: Final = "SELECT seq, step_index, timestamp, state, messages FROM snapshots WHERE run_id = ? ORDER BY seq"
_MESSAGES: Final = (
    "SELECT m.message FROM snapshot_message_refs r JOIN snapshot_messages m ON m.sha256 = r.sha256"
    " WHERE r.snapshot_seq = ? ORDER BY r.position"
)
_EFFECT: Final = ("tool_name", "status", "started_at", "ended_at", "idempotency_key", "effect_summary")
_EFFECTS: Final = (
    "SELECT tool_call_id, tool_name, status, started_at, ended_at, idempotency_key, effect_summary FROM tool_effects"
    " WHERE run_id = ? ORDER BY started_at DESC, tool_call_id"
)
_MEDIA: Final = "SELECT sha256, media_type, length(bytes) FROM media ORDER BY sha256"
_BYTES: Final = "SELECT bytes FROM media WHERE sha256 = ?"
_ENDS: Final = {"run_completed": "completed", "run_failed": "failed"}


def find_conversations(tables: Tables) -> Generator[Found]:
    """Yield the media as artifacts, each conversation, and each run as a task.

    Raises:
        InvalidError: these are no tables of the harness.
    """
    has_runs = tables.has("runs")
    if tables.has("conversations") or not has_runs:
        tables.check("conversations", ("id", "metadata", "messages"))
    if has_runs:
        tables.check("runs", ("run_id", "conversation_id", "parent_run_id", "agent_name", "metadata", "started_at"))
        tables.check("events", ("seq", "run_id", "kind", "timestamp", "error"))
        tables.check("snapshots", ("seq", "run_id", "step_index", "timestamp", "state", "messages"))
        tables.check("snapshot_messages", ("sha256", "message"))
        tables.check("snapshot_message_refs", ("snapshot_seq", "position", "sha256"))
        tables.check("tool_effects", ("run_id", "tool_call_id", *_EFFECT))
    if tables.has("media"):
        tables.check("media", ("sha256", "media_type", "bytes"))
        yield from grouped(tables.rows(_MEDIA), 1, lambda digest, rows: _media(tables, digest, *next(rows)))
    if tables.has("conversations"):
        yield from grouped(tables.rows(_CONVERSATIONS), 1, _conversation)
    if has_runs:
        yield from grouped(tables.rows(_RUNS), 1, lambda run, rows: _Run(tables, run, next(rows)).task())


def _media(tables: Tables, digest: str, media_type: object, size: object) -> SourceStream:
    if not isinstance(size, int) or size > MAX_ENTRY_BYTES:
        raise InvalidError(f"the media have over {MAX_ENTRY_BYTES:,} bytes")
    (content,) = tables.row(_BYTES, digest)
    if not isinstance(content, bytes) or sha256(content).hexdigest() != digest:
        raise InvalidError("the media are not the bytes of their SHA-256")
    info = ArtifactInfo(artifact_id=f"media+sha256://{digest}", mime_type=optional_text(media_type, "a media type"))
    return artifact(info, "bytes", content)


def _conversation(id: str, rows: Iterator[tuple[Any, ...]]) -> SourceStream:
    metadata, messages = next(rows)
    found = list_of(json_of(messages, "the messages"), "the messages")
    timed = [(one.get("timestamp") if isinstance(one, dict) else None, one) for one in found]
    return conversation(id, timed, object_of(metadata, "the metadata"))


class _Run:
    """A run. Each version is as it was then, so that the run can go on in the source."""

    def __init__(self, tables: Tables, id: str, row: tuple[Any, ...]) -> None:
        conversation_id, parent, agent, metadata, self._started_at = row
        self._tables = tables
        self._begun = TaskState(
            task_id=id,
            context_id=optional_text(conversation_id, "the id of a conversation"),
            parent_task_id=optional_text(parent, "the id of a parent"),
            agent_id=optional_text(agent, "the name of an agent"),
            metadata=object_of(metadata, "the metadata of a run"),
            data={"messages": []},
        )

    def task(self) -> SourceStream:
        """Return the task: the run as it began, each snapshot, and the end, if it has ended."""
        ends = list(self._rows(_END))
        newest = replace(self._begun, status=_ENDS[text_of(ends[0][0], "an event")]) if ends else self._begun
        return task(newest, self._versions(ends, newest.status), self._effects())

    def _versions(self, ends: list[tuple[Any, ...]], status: str) -> Iterator[tuple[object, TaskState]]:
        last = self._begun
        yield self._started_at, last
        for seq, step, moment, state, messages in self._rows(_SNAPSHOTS):
            if not isinstance(step, int):
                raise InvalidError("the index of a step is no integer")
            facts = {"step_index": step, "state": text_of(state, "the state of a snapshot")}
            last = replace(self._begun, data={**facts, "messages": self._history(seq, messages)})
            yield moment, last
        for _, moment, error in ends:
            told = {} if error is None else {"error": text_of(error, "an error")}
            yield moment, replace(last, status=status, data={**last.data, **told})

    def _history(self, seq: object, messages: object) -> list[Any]:
        """Return the messages of a snapshot: its own, or, if it has their number, those that it refers to."""
        own = json_of(messages, "the messages of a snapshot")
        if not isinstance(own, dict):
            return list_of(own, "the messages of a snapshot")
        found = [json_of(one, "a message") for (one,) in self._tables.rows(_MESSAGES, seq)]
        if len(found) != own.get("stored_messages"):
            raise InvalidError(f"a snapshot has {len(found):,} messages, not {own.get('stored_messages')!r}")
        return found

    def _effects(self) -> Iterator[tuple[str, Any]]:
        for call, *facts in self._rows(_EFFECTS):
            found = zip(_EFFECT, facts, strict=True)
            yield text_of(call, "the id of a call"), {name: optional_text(value, name) for name, value in found}

    def _rows(self, query: str) -> Iterator[tuple[Any, ...]]:
        return self._tables.rows(query, self._begun.task_id)
