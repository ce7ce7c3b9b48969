"""A sweep asks a store for no more changes of a key than its pace allows either."""

from __future__ import annotations

import stowfast
from tests.services.faulty_s3.server import Fault, FaultyS3
from tests.unit.backends.objects.maintained import maintained
from tests.unit.backends.objects.test_pace import PACE, SEALS, add, pauses, server, url

__all__ = ["server"]


async def test_a_sweep_keeps_the_pace(server: FaultyS3) -> None:
    async with stowfast.open(url(server) + "&timeout=2") as stores:
        for number in range(6):
            await add(stores, number, size=SEALS)
        stays = server.fail(Fault.INTERNAL, operation="DELETE", times=None)
        await stores.messages.delete("c")
        await add(stores, 6)
        # Nobody deletes them behind our back any more: that is left to the sweep.
        await maintained(stores, "messages/c")
        stays.times = 0
        with server.counted() as made:
            await stores.sweep()
        await add(stores, 7)
    assert "h/messages/c!.sfh" in [record.key for record in made if record.operation == "PUT"]
    assert min(pauses(server)) >= PACE
