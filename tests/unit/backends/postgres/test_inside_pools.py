"""The committing thread asks for no lock of Python's thread pools: a caller may hold it and wait for this thread."""

from __future__ import annotations

import threading
from concurrent.futures import thread as pools
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from stowfast.abc import Change
from tests.unit.backends.postgres.test_faults import opened

if TYPE_CHECKING:
    from tests.services.postgres import PostgresServer


async def test_a_commit_ends_while_another_thread_holds_the_locks_of_pools_and_threads(
    postgres_server: PostgresServer,
) -> None:
    async with opened(postgres_server) as backend:
        await backend.commit("c", Change([b"x"] * 2_000))
        works: SimpleQueue[tuple[str, Change]] = SimpleQueue()
        outcomes: SimpleQueue[Any] = SimpleQueue()

        def caller() -> None:
            for _ in range(2):
                outcomes.put(backend._group._line_up(works.get()))

        lined_up = threading.Thread(target=caller)
        lined_up.start()
        works.put(("d", Change([b"x"])))
        assert outcomes.get(timeout=30).first == 0
        with pools._global_shutdown_lock, threading._active_limbo_lock:  # type: ignore[attr-defined]
            works.put(("c", Change(delete=True)))
            outcomes.get(timeout=30)
        lined_up.join(30)
        left = backend._committer.left_garbage
        await backend.commit("d", Change([b"y"]))
        assert (left, backend._committer.left_garbage) == (True, False)
        assert (await backend.read("c")).head is None
