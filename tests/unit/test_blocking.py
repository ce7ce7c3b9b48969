"""Calls side by side."""

from __future__ import annotations

import asyncio

import pytest

from stowfast.blocking import outcomes


async def test_calls_that_were_cancelled_before_they_began_leave_no_warning() -> None:
    ended = []

    async def call() -> None:
        ended.append(1)

    calls = [call() for _ in range(3)]
    together = asyncio.create_task(outcomes(calls))
    await asyncio.sleep(0)
    together.cancel()
    with pytest.raises(asyncio.CancelledError):
        await together
    assert ended == []
