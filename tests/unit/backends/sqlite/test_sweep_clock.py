"""A sweep by a clock far ahead of the last write removes nothing for good."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

import stowfast
from stowfast.backends.sqlite import backend, sweep_clock, writer
from stowfast.names import clock

if TYPE_CHECKING:
    from pathlib import Path

DAYS = 400
KEPT = timedelta(days=30)


@pytest.fixture
def ahead(monkeypatch):
    """Set this machine's clock ahead by so many days."""

    def set_ahead(days: float) -> None:
        for module in (backend, sweep_clock, writer):
            monkeypatch.setattr(module, "clock", lambda: clock() + int(days * 86_400e6))

    return set_ahead


async def test_one_opening_by_a_clock_far_ahead_removes_nothing(tmp_path: Path, ahead) -> None:
    url = f"sqlite:///{tmp_path}/agent.db"
    async with stowfast.open(url) as stores:
        await stores.messages.add_message("c", {"text": "kept"})
        await stores.messages.set_expiry("c", datetime.now(UTC) + KEPT)
    ahead(DAYS)
    async with stowfast.open(url) as stores:
        assert await stores.messages.get_messages("c") == []
        assert await stores.sweep(dry_run=True) == (0, 0, 0, 0)
        assert await stores.sweep() == (0, 0, 0, 0)
    ahead(0)
    async with stowfast.open(url) as stores:
        assert await stores.messages.get_messages("c") == [{"text": "kept"}]


@pytest.mark.parametrize(("idle", "streams"), [(1, 1), (40, 0)])
async def test_a_file_is_swept_up_to_two_days_after_its_last_write(idle: int, streams: int, tmp_path: Path) -> None:
    file = tmp_path / "agent.db"
    async with stowfast.open(f"sqlite:///{file}") as stores:
        await stores.messages.add_message("c", {"text": "old"})
        await stores.messages.set_expiry("c", datetime.now(UTC) - timedelta(seconds=1))
    written = time.time() - idle * 86_400
    os.utime(file, (written, written))
    async with stowfast.open(f"sqlite:///{file}?sweep=false") as stores:
        assert (await stores.sweep()).streams == streams
        await stores.messages.add_message("d", {"text": "new"})
    async with stowfast.open(f"sqlite:///{file}?sweep=false") as stores:
        assert (await stores.sweep()).streams == 1 - streams
