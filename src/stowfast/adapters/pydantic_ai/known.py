"""Knowledge of one process about its conversations, for threads and event loops that share a store."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from stowfast.adapters.pydantic_ai.records import stream_of
from stowfast.lru import LRU

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord

    from stowfast.abc import Change
    from stowfast.adapters.pydantic_ai.records import RecordState

__all__ = ["Known", "Unsure"]

_ENTRIES: Final = 20_000
_STATES: Final = 1_000
_UNSURE: Final = 100

V = TypeVar("V")


class Unsure(NamedTuple):
    """A save that was cancelled or had no answer. Its op_id is in the change, so a repeat stores it once."""

    change: Change
    record: ConversationRecord
    entries: Sequence[ConversationEntry]
    expected_revision: str | None
    is_spilled: bool


class _Locked(Generic[V]):
    def __init__(self, most: int) -> None:
        self._lock = threading.Lock()
        self._values: LRU[str, V] = LRU(most)

    def get(self, key: str) -> V | None:
        with self._lock:
            return self._values.get(key)

    def put(self, key: str, value: V) -> None:
        with self._lock:
            self._values.put(key, value)

    def pop(self, key: str) -> V | None:
        with self._lock:
            return self._values.pop(key)


class Known:
    """The stream of each entry, the state of each conversation, and the saves without an answer."""

    def __init__(self) -> None:
        self.streams: _Locked[str] = _Locked(_ENTRIES)
        self.states: _Locked[RecordState] = _Locked(_STATES)
        self.unsure: _Locked[Unsure] = _Locked(_UNSURE)

    def note(self, record: ConversationRecord) -> None:
        """Remember the stream of the entries that a record names, that of its newest entry as the last."""
        stream = stream_of(record.conversation_id)
        for entry_id in (*record.branches, record.forked_at, record.head_id):
            if entry_id is not None:
                self.streams.put(entry_id, stream)
