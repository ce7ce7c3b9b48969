"""Backends with one law broken for one kind of change, and kept for every other."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.backends.memory import MemoryBackend
from stowfast.testing.backend.laws import CHANGES, LAWS
from tests.mutants import breaks

if TYPE_CHECKING:
    from stowfast.abc import Change

CONDITIONS = {"op_id": None, "expect": None, "revision": None}


class ForgetsOneKind(MemoryBackend):
    """Takes fields out of each change of one kind."""

    kind: Change
    fields: tuple[str, ...] = ()

    async def commit(self, stream, change):
        if change._replace(**CONDITIONS) == self.kind:
            change = change._replace(**dict.fromkeys(self.fields))
        return await super().commit(stream, change)


class ForgetsOneKindWithTheStream(ForgetsOneKind):
    """Forgets the op_id of each change of one kind once the stream was deleted."""

    async def commit(self, stream, change):
        if change._replace(**CONDITIONS) == self.kind and (await self.heads([stream])) == [None]:
            self._streams[stream].operations.clear()
        return await super().commit(stream, change)


FORGETS_OP_IDS: dict[str, Any] = {"fields": ("op_id",)}
FORGETS_CONDITIONS: dict[str, Any] = {"fields": ("expect", "revision")}
BROKEN: dict[str, tuple[type, dict[str, Any]]] = {
    "a_repeated_{}_changes_nothing": (ForgetsOneKind, FORGETS_OP_IDS),
    "a_lost_answer_doubles_no_{}": (ForgetsOneKind, FORGETS_OP_IDS),
    "of_racing_calls_one_makes_the_{}": (ForgetsOneKind, FORGETS_CONDITIONS),
    "a_repeated_{}_stays_deleted": (ForgetsOneKindWithTheStream, {}),
}
for (key, _), change in CHANGES.items():
    for law, (base, attributes) in BROKEN.items():
        if law.format(key) in LAWS:
            made = type(f"{base.__name__}_{key}", (base,), {"kind": change, **attributes})
            breaks(LAWS[law.format(key)])(made)
