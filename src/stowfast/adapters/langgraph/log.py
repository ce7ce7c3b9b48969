"""A thread as a log. Its order decides about each checkpoint: it counts, or it does not.

A checkpoint at position p counts, unless another one of its namespace, no ancestor, counts too and stands at
`since <= position < p`: the writer of the checkpoint had not seen it. So of two runs that go on from one
checkpoint the first one counts. Every reader folds the same log and finds the same, without a lock.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, TypeAlias

from stowfast.adapters.langgraph.entries import StoredCheckpoint, as_id
from stowfast.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from stowfast.adapters.langgraph.entries import StoredWrites

__all__ = ["LogEntry", "ThreadLog"]

LogEntry: TypeAlias = "StoredCheckpoint | StoredWrites"
_Key: TypeAlias = "tuple[str, bytes]"


class ThreadLog:
    """The entries of one incarnation of a thread's stream at `floor <= position < next`, without gaps.

    The place of a checkpoint is the position where its id first counted; put again, it keeps its place. Callers hold
    `lock`.
    """

    def __init__(self, incarnation: str, start: int) -> None:
        self.lock = threading.RLock()
        self.incarnation = incarnation
        self.floor = self.next = start
        self.entries: dict[int, LogEntry] = {}
        self.memory = 0
        """Bytes of the entries."""
        self._clear()

    def _clear(self) -> None:
        self._checkpoints: dict[str, list[int]] = {}
        """Positions of a namespace, of all checkpoints, whether they count or not."""
        self._places: dict[str, list[int]] = {}
        self._current: dict[_Key, int] = {}
        self._place: dict[_Key, int] = {}
        self._writes: dict[_Key, list[int]] = {}

    def append(self, entries: Iterable[LogEntry]) -> None:
        """Take the entries at `next` and behind."""
        for entry in entries:
            self.entries[self.next] = entry
            self.memory += len(entry.body) + 256
            self._fold(self.next, entry)
            self.next += 1

    def prepend(self, entries: list[LogEntry]) -> None:
        """Take the entries below `floor`, down to a new one."""
        self.floor -= len(entries)
        self.memory += sum(len(entry.body) + 256 for entry in entries)
        self.entries.update(enumerate(entries, self.floor))
        self._clear()
        for position in range(self.floor, self.next):
            self._fold(position, self.entries[position])

    def checkpoint(self, position: int) -> StoredCheckpoint:
        """Return the checkpoint at a position.

        Raises:
            DamagedError: there is none.
        """
        entry = self.entries.get(position)
        if not isinstance(entry, StoredCheckpoint):
            raise DamagedError(f"the entry at position {position} of a thread is no checkpoint")
        return entry

    def counts(self, position: int) -> bool:
        """Tell whether a checkpoint counts."""
        entry = self.checkpoint(position)
        return self._current.get((entry.ns, entry.id), -1) >= position

    def position_of(self, ns: str, id: str) -> int | None:
        """Return the position of the checkpoint with this id; None if none counts."""
        return self._current.get((ns, as_id(id)))

    def place_of(self, ns: str, id: str) -> int | None:
        """Return the place of the checkpoint with this id."""
        return self._place.get((ns, as_id(id)))

    def newest(self, ns: str) -> int | None:
        """Return the position of the newest checkpoint of a namespace: the last to count, by place."""
        places = self._places.get(ns)
        return self._current[ns, self.entries[places[-1]].id] if places else None

    def positions(self) -> Iterator[int]:
        """Yield the positions of all counting checkpoints, namespace by namespace, in the order of their places."""
        for ns, places in self._places.items():
            for place in places:
                yield self._current[ns, self.entries[place].id]

    def namespaces(self) -> list[str]:
        """Return the namespaces with a checkpoint."""
        return list(self._places)

    def writes_of(self, ns: str, id: str) -> list[int]:
        """Return the positions of the writes for a checkpoint."""
        return self._writes.get((ns, as_id(id)), [])

    def writes_for(self, position: int) -> list[int]:
        """Return the positions of the writes for the checkpoint at a position."""
        entry = self.checkpoint(position)
        return self._writes.get((entry.ns, entry.id), [])

    def parent_of(self, position: int) -> int | None:
        """Return the position of the parent of the checkpoint at a position; None if none counts."""
        entry = self.checkpoint(position)
        return None if entry.parent is None else self._current.get((entry.ns, entry.parent))

    def early(self) -> list[int]:
        """Return the positions of writes whose checkpoint is not there yet."""
        known = {(ns, self.entries[position].id) for ns, found in self._checkpoints.items() for position in found}
        return sorted(position for key, found in self._writes.items() if key not in known for position in found)

    def judged_from(self, position: int) -> int:
        """Return the lowest position with an influence on whether a checkpoint counts."""
        entry = self.checkpoint(position)
        low = position if entry.free else entry.since
        for other in reversed(self._checkpoints[entry.ns]):
            if other < low:
                break
            before = self.checkpoint(other)
            if other < position and not before.free:
                low = min(low, before.since)
        return low

    def candidates(self, ns: str) -> Iterator[int]:
        """Yield the positions of all checkpoints of a namespace, newest first."""
        return reversed(self._checkpoints.get(ns, []))

    def _fold(self, position: int, entry: LogEntry) -> None:
        key = (entry.ns, entry.id)
        if not isinstance(entry, StoredCheckpoint):
            self._writes.setdefault(key, []).append(position)
            return
        self._checkpoints.setdefault(entry.ns, []).append(position)
        if not self._has_way(entry):
            return
        self._current[key] = position
        if key not in self._place:
            self._place[key] = position
            self._places.setdefault(entry.ns, []).append(position)

    def _has_way(self, entry: StoredCheckpoint) -> bool:
        if entry.free:
            return True
        ancestors, parent = set(), entry.parent
        for place in reversed(self._places.get(entry.ns, [])):
            if place < entry.since:
                break
            other = self.entries[place].id
            if other == entry.id:
                continue
            while parent is not None and (at := self._place.get((entry.ns, parent))) is not None and at >= place:
                if parent in ancestors:  # ids that were put again may have made a circle
                    return False
                ancestors.add(parent)
                parent = self.checkpoint(self._current[entry.ns, parent]).parent
            if other not in ancestors:
                return False
        return True
