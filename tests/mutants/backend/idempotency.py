from __future__ import annotations

import asyncio

from stowfast.abc import KEEP, OPERATIONS_REMEMBERED, Receipt
from stowfast.backends.memory import MemoryBackend
from stowfast.errors import ConflictError, InvalidError
from stowfast.semantics import apply
from stowfast.testing.backend import idempotency
from stowfast.testing.backend.laws import LAWS
from tests.mutants import breaks


@breaks(
    LAWS["a_repeat_adds_nothing"],
    LAWS["a_lost_answer_is_no_lost_and_no_doubled_entry"],
    LAWS["a_repeat_in_the_next_life_is_still_one"],
)
class IgnoresOpIds(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(op_id=None))


@breaks(LAWS["a_repeat_adds_nothing"])
class DoesNotSayThatItRepeats(MemoryBackend):
    async def commit(self, stream, change):
        return (await super().commit(stream, change))._replace(repeated=False)


@breaks(idempotency.a_repeat_is_known_after_reopening, idempotency.concurrent_repeats_add_once)
class EachOpeningRemembersItsOwn(MemoryBackend):
    def __init__(self):
        super().__init__()
        self.known = {}

    async def commit(self, stream, change):
        call = (stream, change.op_id)
        if change.op_id is None or call not in self.known:
            self.known[call] = await super().commit(stream, change._replace(op_id=None))
            return self.known[call]
        return self.known[call]._replace(repeated=True)


@breaks(idempotency.concurrent_repeats_add_once)
class LooksForTheOpIdThenWrites(MemoryBackend):
    async def commit(self, stream, change):
        kept = self._streams.get(stream)
        known = kept and kept.operations.get(change.op_id)
        await asyncio.sleep(0)
        if known:
            return known._replace(repeated=True)
        receipt = await super().commit(stream, change._replace(op_id=None))
        self._streams[stream].operations[change.op_id] = receipt
        return receipt


@breaks(idempotency.a_repeat_is_not_held_to_its_conditions)
class HoldsRepeatsToTheirConditions(MemoryBackend):
    async def commit(self, stream, change):
        apply(stream, (await self.heads([stream]))[0], change, now=0, incarnation=str)
        return await super().commit(stream, change)


@breaks(
    idempotency.a_repeat_after_a_cut_brings_nothing_back,
    idempotency.a_repeat_after_a_drop_brings_nothing_back,
    idempotency.a_repeat_after_a_delete_brings_nothing_back,
    idempotency.a_repeat_after_expiry_brings_nothing_back,
    LAWS["a_repeat_in_the_next_life_is_still_one"],
    idempotency.the_newest_op_ids_outlive_their_entries,
)
class ForgetsCallsWithTheirEntries(MemoryBackend):
    async def commit(self, stream, change):
        receipt = await super().commit(stream, change)
        if change.delete or change.cut_from is not None or change.drop_before or change.expires_at not in (None, KEEP):
            self._streams[stream].operations.clear()
        return receipt


@breaks(LAWS["a_repeat_without_entries_is_still_one"], LAWS["a_repeated_delete_spares_what_came_after"])
class RemembersAppendsOnly(MemoryBackend):
    async def commit(self, stream, change):
        return await super().commit(stream, change if change.entries else change._replace(op_id=None))


@breaks(LAWS["a_repeated_delete_of_nothing_changes_nothing"])
class ForgetsDeletesOfNothing(MemoryBackend):
    async def commit(self, stream, change):
        there = (await self.heads([stream]))[0]
        return await super().commit(stream, change if there or change.entries else change._replace(op_id=None))


@breaks(idempotency.an_op_id_names_one_call)
class AnswersAnotherCall(MemoryBackend):
    async def commit(self, stream, change):
        kept = self._streams.get(stream)
        known = kept and kept.operations.get(change.op_id)
        return known._replace(repeated=True) if known else await super().commit(stream, change)


@breaks(idempotency.an_op_id_belongs_to_its_stream)
class OpIdsOfThePlace(MemoryBackend):
    def __init__(self):
        super().__init__()
        self.known = {}

    async def commit(self, stream, change):
        if change.op_id not in self.known:
            self.known[change.op_id] = await super().commit(stream, change)
            return self.known[change.op_id]
        return self.known[change.op_id]._replace(repeated=True)


@breaks(idempotency.an_op_id_has_bounds)
class TakesAnyOpId(MemoryBackend):
    async def commit(self, stream, change):
        try:
            return await super().commit(stream, change)
        except InvalidError:
            return await super().commit(stream, change._replace(op_id=ascii(change.op_id)[:99]))


@breaks(idempotency.a_refused_call_does_not_use_up_its_op_id)
class RemembersRefusals(MemoryBackend):
    async def commit(self, stream, change):
        try:
            return await super().commit(stream, change)
        except ConflictError:
            self._streams[stream].operations[change.op_id] = Receipt("", 0, len(change.entries), 0)
            raise


@breaks(idempotency.an_op_id_lives_as_long_as_its_entries)
class RemembersOnlyTheNewest(MemoryBackend):
    async def commit(self, stream, change):
        receipt = await super().commit(stream, change)
        operations = self._streams[stream].operations
        for op_id in list(operations)[:-OPERATIONS_REMEMBERED]:
            del operations[op_id]
        return receipt


@breaks(idempotency.the_newest_op_ids_outlive_their_entries)
class RemembersTheFirstByName(MemoryBackend):
    async def commit(self, stream, change):
        known = self._streams[stream].operations.copy() if stream in self._streams else {}
        receipt = await super().commit(stream, change)
        if not change.entries:
            by_name = sorted(known)[:OPERATIONS_REMEMBERED]
            self._streams[stream].operations = {op_id: known[op_id] for op_id in by_name}
        return receipt
