"""Broken messages: adding them, repeating a call, streaming entries."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from stowfast import InvalidError, MessageEntry, Messages
from stowfast.abc import ALL, Window
from stowfast.stores.codec import decode, to_time
from stowfast.testing.messages import adding as messages
from stowfast.testing.messages import contexts
from stowfast.wrappers import Wrapper
from tests.mutants import breaks

if TYPE_CHECKING:
    from stowfast.abc import Receipt


class Rewrites(Messages):
    def rewritten(self, message: Any) -> Any:
        raise NotImplementedError

    async def add_message(self, context_id, message, **options):
        return await super().add_message(context_id, self.rewritten(message), **options)

    async def add_messages(self, context_id, messages, **options):
        return await super().add_messages(context_id, list(map(self.rewritten, messages)), **options)


@breaks(messages.a_message_of_any_maker_comes_back_exactly)
class SortsKeys(Rewrites):
    def rewritten(self, message):
        return dict(sorted(message.items()))


@breaks(messages.a_message_of_any_maker_comes_back_exactly)
class DropsNulls(Rewrites):
    def rewritten(self, message):
        return {key: value for key, value in message.items() if value is not None}


@breaks(messages.a_message_of_any_maker_comes_back_exactly)
class RoundsNumbers(Rewrites):
    def rewritten(self, message):
        return json.loads(json.dumps(message), parse_float=lambda number: int(float(number)) or float(number))


@breaks(messages.what_json_cannot_carry_is_refused)
class WritesWhatIsLikeIt(Rewrites):
    def rewritten(self, message):
        try:
            return json.loads(json.dumps(message, default=str).encode())
        except (ValueError, RecursionError, TypeError):
            return message


@breaks(messages.what_json_cannot_carry_is_refused, contexts.metadata_that_cannot_be_kept_is_refused)
class TakesAnyMetadata(Messages):
    async def set_metadata(self, context_id, metadata, **_):
        try:
            await super().set_metadata(context_id, metadata)
        except InvalidError:
            await super().set_metadata(context_id, {})


@breaks(messages.a_message_is_a_json_object)
class WrapsWhatIsNoObject(Rewrites):
    def rewritten(self, message):
        return message if isinstance(message, dict) else {"content": repr(message)}


@breaks(
    messages.what_json_cannot_carry_is_refused,
    messages.a_message_is_a_json_object,
    messages.messages_added_together_stay_together,
)
class AddsOneByOne(Messages):
    async def add_messages(self, context_id, messages, *, expect=None, op_id=None, **_):
        first = None
        for message in messages:
            position = await self.add_message(context_id, message)
            first = position if first is None else first
            await asyncio.sleep(0)
        return range(first or 0, (first or 0) + len(messages))


@breaks(messages.a_message_gets_the_next_position)
class CountsFromOne(Messages):
    async def add_message(self, context_id, message, **options):
        return await super().add_message(context_id, message, **options) + 1


@breaks(messages.a_message_gets_the_next_position, messages.a_repeated_op_id_adds_no_message)
class TellsNoRange(Messages):
    async def add_messages(self, context_id, messages, **options):
        return range(len(messages)) if await super().add_messages(context_id, messages, **options) else range(0)


@breaks(messages.a_repeated_op_id_adds_no_message)
class RemembersFewOpIds(Wrapper):
    seen: dict[str, list[str]] = {}  # noqa: RUF012 - shared by all openings

    async def commit(self, stream, change):
        if change.op_id is None:
            return await super().commit(stream, change)
        seen = self.seen.setdefault(stream, [])
        known = change.op_id in seen[-64:]
        seen.append(change.op_id)
        return await super().commit(stream, change if known else change._replace(op_id=f"{change.op_id}{len(seen)}"))


@breaks(messages.a_repeated_op_id_adds_no_message)
class SharesOpIdsBetweenConversations(Wrapper):
    seen: dict[str, Receipt] = {}  # noqa: RUF012 - shared by all openings

    async def commit(self, stream, change):
        if change.op_id not in self.seen:
            receipt = await super().commit(stream, change)
            if change.op_id is None:
                return receipt
            self.seen[change.op_id] = receipt._replace(first=receipt.first + 7 * (change.op_id == "one"))
        return self.seen[change.op_id]


@breaks(messages.entries_say_where_when_and_by_which_call)
class HidesOpIds(Messages):
    async def entries(self, context_id, **window):
        async for entry in super().entries(context_id, **window):
            yield replace(entry, op_id=None)


@breaks(messages.entries_say_where_when_and_by_which_call)
class TellsTimesWithoutAZone(Messages):
    async def entries(self, context_id, **window):
        async for entry in super().entries(context_id, **window):
            yield replace(entry, created_at=entry.created_at.replace(tzinfo=None))


@breaks(messages.entries_say_where_when_and_by_which_call)
class EntriesToTheEnd(Messages):
    async def entries(self, context_id, *, after=None, before=None, **_):
        async for entry in super().entries(context_id, after=after):
            yield entry


@breaks(messages.entries_stream_in_constant_memory)
class ReadsAllAtOnce(Wrapper):
    async def read(self, stream, window=ALL):
        return await super().read(stream, window._replace(max_bytes=None))


@breaks(messages.a_conversation_deleted_while_it_is_read_conflicts)
class GoesOnWithWhatComes(Messages):
    async def entries(self, context_id, **window):
        stream, position = f"messages/{context_id}", -1
        while (found := await self._backend.read(stream, Window(start=position + 1, limit=1))).entries:
            for entry in found.entries:
                position = entry.position
                yield MessageEntry(position, decode(entry.data, stream), to_time(entry.created_at), entry.op_id)


@breaks(messages.what_messages_give_out_are_copies)
class KeepsTheMetadataItself(Messages):
    given: dict[str, Any] = {}  # noqa: RUF012 - shared by all openings

    async def set_metadata(self, context_id, metadata, **_):
        self.given[context_id] = metadata
        await super().set_metadata(context_id, metadata)

    async def info(self, context_id):
        info = await super().info(context_id)
        return info and replace(info, metadata=self.given[context_id])
