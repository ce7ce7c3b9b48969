"""Texts of checkpoints and of writes: rebuilt from a thread's log, and made into entries of it."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from stowfast import deltas
from stowfast.adapters.langgraph.entries import (
    StoredCheckpoint,
    StoredWrites,
    decode_text,
    decode_writes,
    id_of,
)
from stowfast.blocking import alone
from stowfast.errors import DamagedError
from stowfast.lru import LRU

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stowfast.adapters.langgraph.entries import CheckpointText, Write
    from stowfast.adapters.langgraph.log import LogEntry, ThreadLog
    from stowfast.adapters.langgraph.seal import Seal

__all__ = ["PendingWrite", "TextCache", "ThreadTexts"]

_EXTRA_BYTES: Final = 2**16
"""Bytes of a text's end. They help to compress writes."""
_NEAR_STEPS: Final = (32, 8)
"""The text is that of the last version whose number is a multiple of the first of these, if it has so many bytes; else
of the second. Few texts are then rebuilt for many writes."""
_RULE: Final = deltas.SpanRule(steps=(1, 8, 32, 512), free_bytes=48 * 2**10)
"""A delta over 32 versions needs no writes, so a resume needs those of 31 versions at most."""
_MAX_STEP: Final = 8
"""Versions from a base to its successor with writes as extra bytes: farther ones would need too many of them."""
_MAX_USED: Final = 64
_MAX_USED_BYTES: Final = 2**22
"""Writes as extra bytes of one checkpoint, and bytes of their values."""
_numbers: Final = itertools.count()
_NONE: Final[Mapping[int, Sequence[Write]]] = {}


class PendingWrite(NamedTuple):
    """One write with its task."""

    path: str
    task: str
    number: int
    channel: str
    type: str
    data: bytes


class TextCache:
    """The texts and deltas used last, of all threads of a saver, each up to a number of bytes."""

    def __init__(self, most: int) -> None:
        self._lock = threading.RLock()
        self._texts: LRU[tuple[int, int], bytes] = LRU(most, len)
        self._deltas: LRU[tuple[int, int], deltas.Delta] = LRU(most, lambda delta: len(delta.body) + 256)

    def get(self, key: tuple[int, int]) -> bytes | None:
        """Return a text; None if it is not kept."""
        with alone(self._lock):
            return self._texts.get(key)

    def put(self, key: tuple[int, int], text: bytes) -> None:
        """Keep a text."""
        with alone(self._lock):
            self._texts.put(key, text)

    def delta(self, key: tuple[int, int]) -> deltas.Delta | None:
        """Return a delta; None if it is not kept."""
        with alone(self._lock):
            return self._deltas.get(key)

    def put_delta(self, key: tuple[int, int], delta: deltas.Delta) -> None:
        """Keep a delta."""
        with alone(self._lock):
            self._deltas.put(key, delta)


class ThreadTexts:
    """The texts of one log. Callers hold the log's lock, and have read down to `needed_from` of a position."""

    def __init__(self, thread: str, log: ThreadLog, seal: Seal, cache: TextCache) -> None:
        self.thread = thread
        self.log = log
        self._seal = seal
        self._cache = cache
        self._number = next(_numbers)

    def needed_from(self, position: int) -> int:
        """Return the lowest position needed for the verdict, the text and the writes of a checkpoint."""
        entry = self.log.checkpoint(position)
        delta = self._delta(position)
        return min(self.log.judged_from(position), entry.since, delta.whole)

    def text(self, position: int) -> bytes:
        """Return the text of a checkpoint.

        Raises:
            DamagedError: it cannot be rebuilt. A text is never wrong.
        """
        found = self._cache.get((self._number, position))
        if found is None:
            found = self._rebuilt(position)
            self.keep(position, found)
        return found

    def keep(self, position: int, text: bytes) -> None:
        """Keep the text of a checkpoint, or of writes, as stored at a position."""
        self._cache.put((self._number, position), text)

    def parts(self, position: int) -> CheckpointText:
        """Return the parts of a checkpoint's text."""
        return decode_text(self.text(position), self._where(position))

    def writes(self, ns: str, id: str) -> list[PendingWrite]:
        """Return the writes for a checkpoint in no order.

        Of the writes with one task and number, the first one stays if the number is 0 or more, else the last one.
        """
        found: dict[tuple[str, int], PendingWrite] = {}
        for position in self.log.writes_of(ns, id):
            entry = self._stored_writes(position)
            task = id_of(entry.task)
            for number, channel, type, data in self.writes_at(position):
                write = PendingWrite(entry.path, task, number, channel, type, data)
                if number < 0:
                    found[task, number] = write
                else:
                    found.setdefault((task, number), write)
        return list(found.values())

    def checkpoint_entry(
        self, entry: StoredCheckpoint, text: bytes, *, beside: Mapping[int, Sequence[Write]] = _NONE
    ) -> StoredCheckpoint:
        """Return the entry of a new checkpoint with its body.

        Args:
            entry: its other fields.
            text: its text.
            beside: writes for its parent in the same commit, by their distances from it, below 0.
        """
        parent = None if entry.parent is None else self.log.position_of(entry.ns, id_of(entry.parent))
        before = self.log.newest(entry.ns) if parent is None else parent
        delta: deltas.Delta | None = None
        using: tuple[int, ...] = ()
        if before is not None and self._delta(before).whole >= self.log.floor:
            chain = self._chain(before)
            base, step = deltas.next_base(chain, _RULE)
            known: dict[int, Sequence[Write]] = {}
            if parent is not None and step <= _MAX_STEP:
                known = self._writes_between(base, parent, chain.delta.whole)
            extra = b"".join(data for _, _, _, data in itertools.chain(*known.values(), *beside.values()))
            using = (self.log.next, *(self.log.next - position for position in known), *beside)
            # Its own writes came before it: the run is ahead of its checkpoints. In a new span they would help none.
            ahead = bool(self.log.writes_of(entry.ns, id_of(entry.id)))
            delta = deltas.follow(chain, text, extra=extra, text_at=self.text, rule=_RULE, postpone=ahead)
        if delta is None:
            delta = deltas.begin(text)
        using = using if delta.extra else ()
        entry = msgspec.structs.replace(entry, using=using, body=deltas.encode(delta))
        return self._seal.closed(self.thread, entry)

    def writes_entry(self, entry: StoredWrites, text: bytes) -> StoredWrites:
        """Return the entry of new writes with its body: their text."""
        position, extra, near = self.log.position_of(entry.ns, id_of(entry.id)), b"", -1
        if position is None:  # it is under way
            position = self.log.newest(entry.ns)
        if position is not None and self._delta(position).whole >= self.log.floor:
            # Not the text of the checkpoint itself: each of these texts would need the writes before it, and so all.
            near = self._near(position)
            extra = self._end_of(near) if near >= 0 else b""
        delta = deltas.begin(text, extra=extra)
        near = near if delta.extra else -1
        return self._seal.closed(self.thread, msgspec.structs.replace(entry, near=near, body=deltas.encode(delta)))

    def early(self) -> list[tuple[StoredWrites, list[Write]]]:
        """Return the writes whose checkpoint is not there yet, with their entries as they were before a commit."""
        blank = ((position, self._stored_writes(position)) for position in self.log.early())
        return [
            (msgspec.structs.replace(entry, near=-1, cipher="", body=b""), self.writes_at(position))
            for position, entry in blank
        ]

    def moved(self, entry: LogEntry, position: int, thread: str) -> LogEntry:
        """Return an entry as one of another thread, at the same position."""
        body = self._seal.body(self.thread, entry, self._where(position))
        return self._seal.closed(thread, msgspec.structs.replace(entry, cipher="", body=body))

    def _writes_between(self, base: int, parent: int, whole: int) -> dict[int, Sequence[Write]]:
        """Return the writes on the way from a base to the checkpoint after a parent, by position, the newest first.

        Only those that need no text before the span, so that a read of the span is enough.
        """
        found: dict[int, Sequence[Write]] = {}
        size = 0
        position: int | None = parent
        for _ in range(_MAX_STEP):
            if position is None or position < base:
                break
            for at in reversed(self.log.writes_for(position)):
                near = self._stored_writes(at).near
                if at < whole or 0 <= near < whole:
                    continue
                writes = self.writes_at(at)
                size += sum(len(data) for _, _, _, data in writes)
                if size > _MAX_USED_BYTES or len(found) == _MAX_USED:
                    return found
                found[at] = writes
            position = self.log.parent_of(position)
        return found

    def _near(self, position: int) -> int:
        far, close = _NEAR_STEPS
        chain = self._deltas(position)
        for at, delta in chain.items():
            if delta.number % far == 0 and delta.size >= _EXTRA_BYTES:
                return at
        # A small text, stored whole, may end the chain before such a version.
        return next((at for at, delta in chain.items() if delta.number % close == 0), -1)

    def _chain(self, position: int) -> deltas.DeltaChain:
        links = deltas.chain_of(position, self._deltas(position), self._where(position))
        return deltas.DeltaChain(position, self.text(position), links)

    def _rebuilt(self, position: int) -> bytes:
        chain = self._deltas(position)
        known: dict[int, bytes] = {}
        extras: dict[int, bytes] = {}
        for at, delta in chain.items():
            found = self._cache.get((self._number, at))
            if found is not None:
                known[at] = found
                break
            if delta.extra:
                extras[at] = self._extra(at)
        return deltas.rebuild(position, chain, self._where(position), texts=known, extras=extras)

    def _deltas(self, position: int) -> dict[int, deltas.Delta]:
        chain: dict[int, deltas.Delta] = {}
        while position not in chain:
            chain[position] = self._delta(position)
            position = chain[position].base
        return chain

    def _delta(self, position: int) -> deltas.Delta:
        known = self._cache.delta((self._number, position))
        if known is not None:
            return known
        entry, where = self.log.entries.get(position), self._where(position)
        if entry is None:
            raise DamagedError(f"{where}: it is missing")
        found = deltas.decode(self._seal.body(self.thread, entry, where), position, where)
        self._cache.put_delta((self._number, position), found)
        return found

    def _extra(self, position: int) -> bytes:
        using = self.log.checkpoint(position).using
        used = [(position if back < 0 else using[0]) - abs(back) for back in using[1:]]
        if any(not 0 <= at < position for at in used):
            raise DamagedError(f"{self._where(position)}: the writes that it uses are not before it")
        return b"".join(data for at in used for _, _, _, data in self.writes_at(at))

    def writes_at(self, position: int) -> list[Write]:
        """Return the writes of the entry at a position."""
        entry, where = self._stored_writes(position), self._where(position)
        text = self._cache.get((self._number, position))
        if text is None:
            delta = self._delta(position)
            extra = None
            if delta.extra:
                if entry.near >= position:
                    raise DamagedError(f"{where}: the text that it was made with is not before it")
                extra = {position: self._end_of(entry.near)}
            text = deltas.rebuild(position, {position: delta}, where, extras=extra)
            self.keep(position, text)
        return decode_writes(text, where)

    def _stored_writes(self, position: int) -> StoredWrites:
        entry = self.log.entries.get(position)
        if not isinstance(entry, StoredWrites):
            raise DamagedError(f"{self._where(position)}: writes are missing")
        return entry

    def _end_of(self, position: int) -> bytes:
        return self.text(position)[-_EXTRA_BYTES:]

    def _where(self, position: int) -> str:
        return f"thread {self.thread!r}, the entry at position {position}"
