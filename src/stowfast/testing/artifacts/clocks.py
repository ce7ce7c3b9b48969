"""Clauses of live artifacts after a clock was ahead: a heartbeat in the future is none."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from stowfast.errors import ConflictError
from stowfast.stores.codec import to_time
from stowfast.testing.artifacts.followers import write_live
from stowfast.testing.clause import clauses, raises, same, unique
from stowfast.testing.faults import At

if TYPE_CHECKING:
    from stowfast.stores import Artifacts, Stores
    from stowfast.testing.clause import Make

_YEARS: Final = timedelta(days=4_400)


async def a_live_writer_from_a_clock_ahead_counts_as_dead(make: Make[Stores]) -> None:
    """A live writer whose last heartbeat lies over a minute in the future counts as dead: the next one may begin."""
    async with make() as stores, make() as other:
        now = to_time(await stores.backend.now())
        name, context = unique("artifact"), unique("context")
        writer = type(stores)(At(stores.backend, now + timedelta(seconds=50))).artifacts
        async with writer.open_live(name, context_id=context) as live:
            await live.write(b"half")
            await live.flush()
            same(await _states(other.artifacts, name, context), {"building"}, "its state, seconds ahead")
            second = write_live(other.artifacts, name, b"mine")
            await raises(ConflictError, second, "a second writer, seconds behind")
        name, context = unique("artifact"), unique("context")
        first = _taken_over(type(stores)(At(stores.backend, now + _YEARS)).artifacts, other.artifacts, name, context)
        await raises(ConflictError, first, "a writer whose artifact was taken over")
        found = await stores.artifacts.get(name)
        same(found and found.content, b"mine", "the version")


async def _taken_over(ahead: Artifacts, right: Artifacts, name: str, context: str) -> None:
    async with ahead.open_live(name, context_id=context) as live:
        await live.write(b"half")
        await live.flush()
        same(await _states(right, name, context), {"failed"}, "its state, years ahead")
        await write_live(right, name, b"mine", context_id=context)
        await live.write(b" and half")


async def _states(artifacts: Artifacts, name: str, context: str) -> set[str | None]:
    info = await artifacts.info(name)
    return {info.state if info else None, *(line.state for line in await artifacts.list(context_id=context))}


CLAUSES: Final = clauses(__name__)
