"""Rewriting: threads copied, pruned, or without the checkpoints of a run.

A rewritten thread is one commit: it deletes the thread and begins it again with the remaining entries. So a reader sees
all of it or nothing, and the bytes of the others are really gone.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from stowfast.abc import Change
from stowfast.adapters.langgraph.entries import (
    StoredCheckpoint,
    StoredWrites,
    as_id,
    decode_metadata,
    encode_entry,
    encode_writes,
    id_of,
)
from stowfast.adapters.langgraph.threads import MAX_READS, stream_of, unsettled
from stowfast.blocking import alone
from stowfast.errors import ConflictError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stowfast.adapters.langgraph.runs import Runs
    from stowfast.adapters.langgraph.texts import ThreadTexts
    from stowfast.adapters.langgraph.threads import Threads

__all__ = ["copy_thread", "delete_runs", "delete_thread", "prune_thread"]

_COUNTERS = "counters_since_delta_snapshot"


async def delete_thread(threads: Threads, id: str) -> None:
    """Delete a thread with all its checkpoints and writes."""
    thread = threads.get(id)
    await (await threads.backend()).commit(thread.stream, Change(delete=True))
    threads.forget(thread, thread.texts)


async def copy_thread(threads: Threads, runs: Runs, source: str, target: str) -> None:
    """Copy all checkpoints and writes of a thread into a new one.

    Raises:
        ConflictError: the target exists.
    """
    stream_of(target)
    _, texts = await threads.whole(source)
    if texts is None:
        return
    backend = await threads.backend()
    with alone(texts.log.lock):
        stored = [texts.log.entries[position] for position in range(texts.log.next)]
        named = {_run_of(texts, position) for position in texts.log.positions()}
        entries = [encode_entry(texts.moved(entry, position, target)) for position, entry in enumerate(stored)]
    for run in named - {None}:
        await runs.note(backend, str(run), target)
    try:
        await backend.commit(stream_of(target), Change(entries, expect=0, revision=0))
    except ConflictError as error:
        raise ConflictError(f"thread {target!r} exists: delete it before a copy", current=error.current) from error


async def prune_thread(threads: Threads, id: str) -> None:
    """Keep the newest checkpoint of each namespace, and the ancestors for its delta channels."""
    await _rewrite(threads, id, _newest)


async def delete_runs(threads: Threads, runs: Runs, ids: Sequence[str]) -> None:
    """Delete the checkpoints of runs with their writes, in every thread."""
    unwanted = set(ids)

    def kept(texts: ThreadTexts) -> set[int]:
        return {position for position in texts.log.positions() if _run_of(texts, position) not in unwanted}

    backend = await threads.backend()
    for run in unwanted:
        found, incarnation, next = await runs.threads(backend, run)
        for thread in found:
            await _rewrite(threads, thread, kept)
        if incarnation is not None:
            await runs.forget(backend, run, found, incarnation, next)


async def _rewrite(threads: Threads, id: str, choose: Callable[[ThreadTexts], set[int]]) -> None:
    for _ in range(MAX_READS):
        thread, texts = await threads.whole(id)
        if texts is None:
            return
        with alone(texts.log.lock):
            kept = choose(texts)
            if kept == set(texts.log.positions()):
                return
            entries = _again(texts, threads.blank(thread), sorted(kept))
            change = Change(entries, delete=True, expect=texts.log.next, incarnation=texts.log.incarnation)
        try:
            await (await threads.backend()).commit(thread.stream, change)
        except ConflictError:
            continue
        finally:
            threads.forget(thread, texts)
        return
    raise unsettled(id)


def _again(old: ThreadTexts, new: ThreadTexts, kept: list[int]) -> list[bytes]:
    """Return the entries of a thread with these checkpoints alone."""
    for position in kept:
        stored, text, since = old.log.checkpoint(position), old.text(position), new.log.next
        blank = StoredCheckpoint(stored.ns, stored.id, stored.parent, stored.metadata, since, True, (), "", b"")
        new.log.append([new.checkpoint_entry(blank, text)])
        new.keep(since, text)
        writes = sorted(old.writes(stored.ns, id_of(stored.id)), key=lambda one: (one.path, one.task))
        for (path, task), group in itertools.groupby(writes, key=lambda one: (one.path, one.task)):
            empty = StoredWrites(stored.ns, stored.id, as_id(task), path, -1, "", b"")
            new.log.append([new.writes_entry(empty, encode_writes([one[2:] for one in group]))])
    for early, writes_before in old.early():
        new.log.append([new.writes_entry(early, encode_writes(writes_before))])
    return [encode_entry(new.log.entries[position]) for position in range(new.log.next)]


def _newest(texts: ThreadTexts) -> set[int]:
    log, kept = texts.log, set()
    for ns in log.namespaces():
        position = log.newest(ns)
        assert position is not None
        needed = set(_metadata(texts, position).get(_COUNTERS) or ())
        while position is not None and position not in kept:
            kept.add(position)
            needed -= {value.name for value in texts.parts(position).values}
            parent = log.checkpoint(position).parent
            position = log.position_of(ns, id_of(parent)) if needed and parent is not None else None
    return kept


def _run_of(texts: ThreadTexts, position: int) -> str | None:
    run = _metadata(texts, position).get("run_id")
    return None if run is None else str(run)


def _metadata(texts: ThreadTexts, position: int) -> dict[str, Any]:
    where = f"thread {texts.thread!r}, the entry at position {position}"
    return decode_metadata(texts.log.checkpoint(position).metadata, where)
