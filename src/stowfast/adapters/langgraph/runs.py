"""The threads with checkpoints of a run: a stream for each run.

A thread is noted before its first checkpoint of the run. So a note may be of a thread without one, but none is missing.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

from stowfast.abc import Change
from stowfast.blocking import alone
from stowfast.errors import ConflictError
from stowfast.lru import LRU
from stowfast.names import check_name

if TYPE_CHECKING:
    from stowfast.abc import Backend

__all__ = ["Runs"]

_STREAMS: Final = "langgraph-run/"
_MAX_ID_BYTES: Final = 1_024
_REMEMBERED: Final = 10_000


class Runs:
    """The index of runs."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._noted: LRU[tuple[str, str], bool] = LRU(_REMEMBERED)

    async def note(self, backend: Backend, run: str, thread: str) -> None:
        """Note a thread with checkpoints of a run."""
        with alone(self._lock):
            if self._noted.get((run, thread)):
                return
        await backend.commit(_stream(run), Change((thread.encode(),)))
        with alone(self._lock):
            self._noted.put((run, thread), True)

    async def threads(self, backend: Backend, run: str) -> tuple[list[str], str | None, int]:
        """Return the threads of a run, and the incarnation and `next` of its stream."""
        head, entries = await backend.read(_stream(run))
        found = [entry.data.decode(errors="replace") for entry in entries]
        return list(dict.fromkeys(found)), head.incarnation if head else None, head.next if head else 0

    async def forget(self, backend: Backend, run: str, threads: list[str], incarnation: str, next: int) -> None:
        """Delete the notes of a run, unless there are new ones."""
        with alone(self._lock):
            for thread in threads:
                self._noted.pop((run, thread))
        try:
            await backend.commit(_stream(run), Change(delete=True, expect=next, incarnation=incarnation))
        except ConflictError:
            return


def _stream(run: str) -> str:
    check_name(run, "a run_id", max_bytes=_MAX_ID_BYTES)
    return _STREAMS + run
