"""A commit from a signal handler, inside a call of Python's own that holds the lock of all thread pools."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import stowfast.sync
from stowfast import InvalidError, blocking
from tests.services.faulty_s3.server import FaultyS3


def test_a_commit_inside_the_lock_of_all_pools_is_refused_though_its_stream_has_a_leader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with (
        FaultyS3() as server,
        stowfast.sync.open(f"s3://bucket?endpoint_url={server.endpoint}&anonymous=true") as stores,
    ):
        stores.messages.add_message("c", {"n": 0})
        line = stores._store.backend._lines._line("messages/c")

        def inside() -> None:
            """Stands for `ThreadPoolExecutor.submit`, in which no code of ours runs but that of a signal handler."""
            assert ThreadPoolExecutor.submit.__code__ in blocking._LOCKED_BY_PYTHON
            monkeypatch.setattr(blocking, "_LOCKED_BY_PYTHON", frozenset({inside.__code__}))
            line.led = True  # by a thread that needs a pool for its requests
            try:
                with pytest.raises(InvalidError, match="inside another call"):
                    stores.messages.add_message("c", {"n": 1})
            finally:
                line.led = False
            assert not line.jobs

        inside()
        assert stores.messages.add_message("c", {"n": 1}) == 1
