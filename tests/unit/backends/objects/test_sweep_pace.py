"""A sweep asks a store for no more changes of a key than its pace allows either."""

from __future__ import annotations

import asyncio

import stowfast
from tests.services.faulty_s3.server import Fault, FaultyS3
from tests.unit.backends.objects.test_pace import PACE, SEALS, add, pauses, server, url

__all__ = ["server"]


async def test_a_sweep_keeps_the_pace(server: FaultyS3) -> None:
    async with stowfast.open(url(server) + "&timeout=0.6") as stores:
        for number in range(6):
            await add(stores, number, size=SEALS)
        stays = server.fail(Fault.INTERNAL, operation="DELETE", times=None)
        await stores.messages.delete("c")
        await add(stores, 6)
        maintenance = stores.backend._lines._line("messages/c").maintenance  # type: ignore[attr-defined]
        for _ in range(1_000):  # until nobody tries to delete them behind our back any more: that is left to the sweep
            if maintenance.idle:
                break
            await asyncio.sleep(0.01)
        stays.times = 0
        with server.counted() as made:
            await stores.sweep()
        await add(stores, 7)
    assert "h/messages/c!.sfh" in [record.key for record in made if record.operation == "PUT"]
    assert min(pauses(server)) >= PACE
