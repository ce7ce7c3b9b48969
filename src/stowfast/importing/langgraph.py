"""LangGraph: checkpoints of `SqliteSaver` 3.1.2 and of `PostgresSaver` 3.2.0, as threads of our saver.

The messages of the newest checkpoint of a thread are a conversation, too.

Values stay the MessagePack bytes of LangGraph's serializer, also those of its extension types: they are split at the
channels, and never made into objects.
"""

from __future__ import annotations

import json
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from stowfast.adapters.ids import joined
from stowfast.adapters.langgraph.entries import (
    CheckpointText,
    StoredCheckpoint,
    StoredWrites,
    Value,
    as_id,
    decode_entry,
    encode_entry,
    encode_text,
    encode_writes,
)
from stowfast.adapters.langgraph.log import ThreadLog
from stowfast.adapters.langgraph.texts import TextCache, ThreadTexts
from stowfast.adapters.langgraph.threads import stream_of
from stowfast.errors import InvalidError
from stowfast.importing.grouping import grouped
from stowfast.importing.langgraph_messages import dumps_of
from stowfast.importing.streams import SourceStream, conversation, json_of, moment_of, text_of
from stowfast.moving import Difference

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from stowfast.importing.streams import Found, SourceEntry
    from stowfast.importing.tables import Tables

__all__ = ["find_conversations"]

_NAMED: Final = ("thread_id", "checkpoint_ns", "checkpoint_id")
_CHECKPOINTS: Final = (
    "SELECT thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, type, checkpoint, metadata"
    " FROM checkpoints ORDER BY thread_id, checkpoint_id, checkpoint_ns"
)
_NEWEST: Final = (
    "SELECT c.thread_id, c.checkpoint_ns, c.checkpoint_id, c.parent_checkpoint_id, c.type, c.checkpoint, c.metadata"
    " FROM checkpoints c WHERE c.checkpoint_ns = '' AND c.checkpoint_id ="
    " (SELECT max(m.checkpoint_id) FROM checkpoints m WHERE m.thread_id = c.thread_id AND m.checkpoint_ns = '')"
    " ORDER BY c.thread_id"
)
_SQLITE_WRITES: Final = (
    "SELECT task_id, task_path, idx, channel, type, value FROM writes"
    " WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY task_id, idx"
)
_POSTGRES_WRITES: Final = (
    "SELECT task_id, task_path, idx, channel, type, blob FROM checkpoint_writes"
    " WHERE thread_id = ? AND checkpoint_ns = ? AND checkpoint_id = ? ORDER BY task_id, idx"
)
_BLOBS: Final = (
    "SELECT b.channel, b.type, b.blob FROM checkpoints c"
    " CROSS JOIN LATERAL jsonb_each_text(c.checkpoint -> 'channel_versions') v"
    " JOIN checkpoint_blobs b ON b.thread_id = c.thread_id AND b.checkpoint_ns = c.checkpoint_ns"
    " AND b.channel = v.key AND b.version = v.value"
    " WHERE c.thread_id = ? AND c.checkpoint_ns = ? AND c.checkpoint_id = ? AND b.type <> 'empty'"
)
_TYPES: Final = frozenset({"null", "bytes", "bytearray", "json", "msgpack"})
_CACHE_BYTES: Final = 2**26
_VALUES: Final = "channel_values"
_CHANNEL: Final = "messages"
_DELTAS: Final = "counters_since_delta_snapshot"
"""The metadata with the channels of which a checkpoint may have only the difference to an earlier one."""
_ROOT: Final = "langgraph"
_NOTHING: Final = b"\x80"
_decode: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_decode_any: Final = msgspec.msgpack.Decoder().decode


class _Checkpoint(NamedTuple):
    """A row of the checkpoints of one thread."""

    ns: str
    id: str
    parent: str | None
    moment: int | None
    metadata: dict[str, Any]
    text: CheckpointText


class _Plain:
    """A seal that encrypts nothing."""

    def closed(self, thread: str, entry: Any) -> Any:
        """Return the entry."""
        return entry

    def body(self, thread: str, entry: Any, where: str) -> bytes:
        """Return the body of an entry."""
        body: bytes = entry.body
        return body


def find_conversations(tables: Tables) -> Generator[Found]:
    """Yield each thread, then the conversation of each thread that has messages.

    Raises:
        InvalidError: these are no tables of LangGraph.
    """
    tables.check("checkpoints", (*_NAMED, "parent_checkpoint_id", "type", "checkpoint", "metadata"))
    task = ("task_id", "task_path", "idx", "channel", "type")
    if tables.has("checkpoint_blobs"):
        tables.check("checkpoint_blobs", ("thread_id", "checkpoint_ns", "channel", "version", "type", "blob"))
        tables.check("checkpoint_writes", (*_NAMED, *task, "blob"))
        yield from grouped(tables.rows(_CHECKPOINTS), 1, partial(_thread, tables, _POSTGRES_WRITES))
    else:
        tables.check("writes", (*_NAMED, *task, "value"))
        yield from grouped(tables.rows(_CHECKPOINTS), 1, partial(_thread, tables, _SQLITE_WRITES))
    for row in tables.rows(_NEWEST):
        yield from _conversation(tables, row)


def _conversation(tables: Tables, row: tuple[Any, ...]) -> Iterator[Found]:
    """Yield the conversation of a newest checkpoint, if it has messages. A bad checkpoint was named with its thread."""
    try:
        thread = text_of(row[0], "an id")
        one = _checkpoint(tables, thread, row[1:])
    except InvalidError:
        return
    context_id = joined(_ROOT, thread)
    data = next((value.data for value in one.text.values if value.name == _CHANNEL), None)
    try:
        if data is None and _CHANNEL in (one.metadata.get(_DELTAS) or ()):
            raise InvalidError("its messages are stored as differences, by a DeltaChannel: only the thread is imported")
        dumps = None if data is None else dumps_of(data, "its messages")
        if dumps:
            yield conversation(context_id, ((one.moment, dump) for dump in dumps), {"thread_id": thread})
    except InvalidError as error:
        yield Difference(f"messages/{context_id}", str(error))


def _thread(tables: Tables, writes: str, thread: str, rows: Iterator[tuple[Any, ...]]) -> SourceStream:
    return SourceStream(stream_of(thread), _entries(tables, writes, thread, rows), equal=_is_same)


def _entries(tables: Tables, query: str, thread: str, rows: Iterator[tuple[Any, ...]]) -> Iterator[SourceEntry]:
    """Yield each checkpoint, with the writes of its tasks behind it, as our saver stores them."""
    log = ThreadLog("", 0)
    texts = ThreadTexts(thread, log, _Plain(), TextCache(_CACHE_BYTES))
    for row in rows:
        one = _checkpoint(tables, thread, row)
        parent = None if one.parent is None else as_id(one.parent)
        metadata = json.dumps(one.metadata, separators=(",", ":")).encode()
        # All of them count, and the order of the ids is that of the source. So nothing before it is needed to tell.
        stored = StoredCheckpoint(one.ns, as_id(one.id), parent, metadata, log.next, True, (), "", b"")
        text = encode_text(one.text)
        entry = texts.checkpoint_entry(stored, text)
        texts.keep(log.next, text)
        log.append([entry])
        yield one.moment, encode_entry(entry)
        for (task, path), group in groupby(tables.rows(query, thread, one.ns, one.id), lambda found: found[:2]):
            writes = [_write(*found[2:]) for found in group]
            blank = StoredWrites(
                *(one.ns, as_id(one.id), as_id(text_of(task, "the id of a task")), text_of(path, "the path of a task")),
                *(-1, "", b""),
            )
            made = texts.writes_entry(blank, encode_writes(writes))
            log.append([made])
            yield one.moment, encode_entry(made)


def _checkpoint(tables: Tables, thread: str, row: tuple[Any, ...]) -> _Checkpoint:
    ns, id, parent, kind, checkpoint, metadata = row
    ns, id = text_of(ns, "a namespace"), text_of(id, "the id of a checkpoint")
    what = f"checkpoint {id}"
    facts = {} if metadata is None else json_of(metadata, f"{what}: its metadata")
    if not isinstance(facts, dict):
        raise InvalidError(f"{what}: its metadata is no JSON object")
    if tables.has("checkpoint_blobs"):
        text, moment = _joined(json_of(checkpoint, what), tables.rows(_BLOBS, thread, ns, id), what)
    else:
        if kind not in {b"msgpack", "msgpack"}:
            raise InvalidError(f"{what}: its type is {kind!r}, and only msgpack is imported: encrypted, or pickle?")
        text, moment = _split(checkpoint, what)
    return _Checkpoint(
        ns,
        id,
        text_of(parent, "the id of a parent") if parent else None,
        moment,
        facts,
        text,
    )


def _split(checkpoint: object, what: str) -> tuple[CheckpointText, int | None]:
    """Return the text of a checkpoint in MessagePack, and its time."""
    try:
        if not isinstance(checkpoint, bytes):
            raise InvalidError(f"{what} is no MessagePack")
        whole = _decode(checkpoint)
        found = _decode(whole.pop(_VALUES, _NOTHING))
        moment = moment_of(_decode_any(whole["ts"])) if "ts" in whole else None
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidError(f"{what} is no MessagePack: {error}") from error
    values = [Value(name, "msgpack", bytes(data)) for name, data in sorted(found.items())]
    return CheckpointText(values, "msgpack", msgspec.msgpack.encode(whole)), moment


def _joined(checkpoint: object, blobs: Iterator[tuple[Any, ...]], what: str) -> tuple[CheckpointText, int | None]:
    """Return the text of a checkpoint in JSON, with its values from their table."""
    inline = checkpoint.pop(_VALUES, {}) if isinstance(checkpoint, dict) else None
    if not isinstance(checkpoint, dict) or not isinstance(inline, dict):
        raise InvalidError(f"{what} is no JSON object")
    found = {name: Value(name, "msgpack", msgspec.msgpack.encode(value)) for name, value in inline.items()}
    for channel, kind, blob in blobs:
        name = text_of(channel, "a channel")
        found[name] = Value(name, *_typed(kind, blob))
    values = [found[name] for name in sorted(found)]
    rest = msgspec.msgpack.encode(checkpoint)
    return CheckpointText(values, "msgpack", rest), moment_of(checkpoint.get("ts"))


def _write(number: object, channel: object, kind: object, value: object) -> tuple[int, str, str, bytes]:
    if not isinstance(number, int):
        raise InvalidError("the number of a write is no integer")
    return number, text_of(channel, "a channel"), *_typed(kind, value)


def _typed(kind: object, value: object) -> tuple[str, bytes]:
    name = text_of(kind, "a type")
    if name not in _TYPES:
        raise InvalidError(f"a value has the type {name[:40]!r}: only {', '.join(sorted(_TYPES))} are imported")
    if value is not None and not isinstance(value, bytes):
        raise InvalidError("a value is no bytes")
    return name, value or b""


def _is_same(one: bytes, other: bytes) -> bool:
    """Compare names: a body may differ with the release of the compressor."""
    ours, theirs = decode_entry(one, "the source"), decode_entry(other, "the target")
    return type(ours) is type(theirs) and all(
        getattr(ours, name, None) == getattr(theirs, name, None) for name in ("ns", "id", "parent", "task", "metadata")
    )
