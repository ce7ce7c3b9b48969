"""Reading: checkpoints as LangGraph's tuples, lists of them, and the history of delta channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from stowfast.adapters.extras import extra
from stowfast.adapters.langgraph.entries import decode_metadata, id_of
from stowfast.adapters.langgraph.marks import mark
from stowfast.blocking import alone

with extra("langgraph"):
    from langgraph.checkpoint.base import CheckpointTuple, writes_sort_key

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from langchain_core.runnables import RunnableConfig
    from langgraph.checkpoint.base import CheckpointMetadata, DeltaChannelHistory
    from langgraph.checkpoint.serde.base import SerializerProtocol

    from stowfast.adapters.langgraph.entries import CheckpointText
    from stowfast.adapters.langgraph.texts import PendingWrite, ThreadTexts
    from stowfast.adapters.langgraph.threads import Threads

__all__ = ["config_of", "delta_history", "list_thread", "read_tuple"]

_TOGETHER: Final = 32
"""Texts of a list in memory at a time."""


def config_of(thread: Any, ns: str, id: str) -> RunnableConfig:
    """Return the config of a checkpoint."""
    return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id}}


async def read_tuple(
    threads: Threads, serde: SerializerProtocol, config: RunnableConfig, ns: str, id: str | None
) -> CheckpointTuple | None:
    """Return a checkpoint, or the newest of the namespace; None if there is none."""
    given = config["configurable"]["thread_id"]
    thread, texts, position = await threads.find(str(given), ns, id)
    if texts is None:
        mark([(threads.number, thread.id, ns, None)], None, 0)
        return None
    with alone(texts.log.lock):
        next, found = texts.log.next, None if position is None else _stored(texts, position)
    if found is None:
        if id is None:
            mark([(threads.number, thread.id, ns, None)], texts.log.incarnation, next)
        return None
    mark([(threads.number, thread.id, ns, found[0][1])], texts.log.incarnation, next)
    read = _tuple(serde, given, *found)
    return read._replace(config=config) if id is not None else read


async def list_thread(
    threads: Threads,
    serde: SerializerProtocol,
    given: Any,
    *,
    ns: str | None,
    id: str | None,
    filter: Mapping[str, Any] | None,
    before: str | None,
    limit: int | None,
) -> AsyncIterator[CheckpointTuple]:
    """Yield the matching checkpoints of a thread, the greatest id first, all as of one moment."""
    thread, texts = await threads.whole(str(given))
    if texts is None:
        if ns is not None:
            mark([(threads.number, thread.id, ns, None)], None, 0)
        return
    log = texts.log
    with alone(log.lock):
        next = log.next
        chosen = [
            (id_here, position)
            for position in log.positions()
            if (id_here := _matching(texts, position, ns, id, filter, before)) is not None
        ]
    chosen = sorted(chosen, reverse=True)[:limit]
    keys: list[tuple[int, str, str, str | None]] = []
    keys += [(threads.number, thread.id, log.checkpoint(position).ns, one) for one, position in reversed(chosen)]
    if not chosen and ns is not None:
        keys.append((threads.number, thread.id, ns, None))
    mark(keys, log.incarnation, next)
    for start in range(0, len(chosen), _TOGETHER):
        with alone(log.lock):
            # Oldest first: each text is one step from a text before it.
            found = [_stored(texts, position) for position in sorted(at for _, at in chosen[start : start + _TOGETHER])]
        for one in sorted(found, key=lambda one: one[0][1], reverse=True):
            yield _tuple(serde, given, *one)


async def delta_history(
    threads: Threads, serde: SerializerProtocol, thread: str, ns: str, id: str | None, channels: Sequence[str]
) -> dict[str, DeltaChannelHistory]:
    """Return the writes of channels on the way to a checkpoint, and the value before these writes."""
    writes: dict[str, list[tuple[str, str, Any]]] = {channel: [] for channel in channels}
    seeds: dict[str, Any] = {}
    _, texts = await threads.whole(thread)
    if texts is not None:
        with alone(texts.log.lock):
            for above, values in _ancestors(texts, ns, id, set(channels)):
                for write in reversed(above):
                    writes[write.channel].append(
                        (write.task, write.channel, serde.loads_typed((write.type, write.data)))
                    )
                seeds.update((name, serde.loads_typed(value)) for name, value in values.items())
    found: dict[str, DeltaChannelHistory] = {}
    for channel in channels:
        found[channel] = {"writes": writes[channel][::-1]}
        if channel in seeds:
            found[channel]["seed"] = seeds[channel]
    return found


def _ancestors(
    texts: ThreadTexts, ns: str, id: str | None, left: set[str]
) -> list[tuple[list[PendingWrite], dict[str, tuple[str, bytes]]]]:
    """Return the writes and values of ancestors, from the parent on, until each channel has a value."""
    log, found, passed = texts.log, [], set()
    position = log.newest(ns) if id is None else log.position_of(ns, id)
    while position is not None and left and position not in passed:
        passed.add(position)
        parent = log.checkpoint(position).parent
        position = log.position_of(ns, id_of(parent)) if parent is not None else None
        if position is None or parent is None:
            break
        above = [write for write in _in_order(texts.writes(ns, id_of(parent))) if write.channel in left]
        values = {value.name: (value.type, value.data) for value in texts.parts(position).values if value.name in left}
        found.append((above, values))
        left = left - values.keys()
    return found


def _matching(
    texts: ThreadTexts,
    position: int,
    ns: str | None,
    id: str | None,
    filter: Mapping[str, Any] | None,
    before: str | None,
) -> str | None:
    entry = texts.log.checkpoint(position)
    found = id_of(entry.id)
    # Ids, not positions: `before` may be of the graph above, whose checkpoint was put later than its id says.
    if (ns is not None and entry.ns != ns) or (id and found != id) or (before and found >= before):
        return None
    if filter:
        metadata = decode_metadata(entry.metadata, f"thread {texts.thread!r}, the entry at position {position}")
        if any(metadata.get(name) != value for name, value in filter.items()):
            return None
    return found


_Stored = tuple[tuple[str, str, "str | None"], bytes, "CheckpointText", "list[PendingWrite]"]


def _stored(texts: ThreadTexts, position: int) -> _Stored:
    entry = texts.log.checkpoint(position)
    id = id_of(entry.id)
    parent = id_of(entry.parent) if entry.parent is not None else None
    return (entry.ns, id, parent), entry.metadata, texts.parts(position), _in_order(texts.writes(entry.ns, id))


def _tuple(
    serde: SerializerProtocol,
    thread: Any,
    names: tuple[str, str, str | None],
    metadata: bytes,
    text: CheckpointText,
    writes: list[PendingWrite],
) -> CheckpointTuple:
    ns, id, parent = names
    checkpoint = serde.loads_typed((text.type, text.rest))
    checkpoint["channel_values"] = {one.name: serde.loads_typed((one.type, one.data)) for one in text.values}
    return CheckpointTuple(
        config_of(thread, ns, id),
        checkpoint,
        cast("CheckpointMetadata", decode_metadata(metadata, f"thread {thread!r}, checkpoint {id!r}")),
        config_of(thread, ns, parent) if parent is not None else None,
        [(write.task, write.channel, serde.loads_typed((write.type, write.data))) for write in writes],
    )


def _in_order(writes: list[PendingWrite]) -> list[PendingWrite]:
    return sorted(writes, key=lambda write: writes_sort_key(write.path, write.task, write.number))
