"""Broken messages: tokens, metadata beside messages, reads of one moment, replacements, reads from the end."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from stowfast import ConflictError, ConversationSlice, InvalidError, Messages, Page
from stowfast.testing.messages import adding, compaction, contexts, replacing, tokens
from tests.mutants import breaks


class WithToken(Messages):
    def token(self, token):
        raise NotImplementedError

    async def add_message(self, context_id, message, *, if_token=None, **options):
        return await super().add_message(context_id, message, if_token=self.token(if_token), **options)

    async def add_messages(self, context_id, messages, *, if_token=None, **options):
        return await super().add_messages(context_id, messages, if_token=self.token(if_token), **options)

    async def set_metadata(self, context_id, metadata, *, if_token=None):
        return await super().set_metadata(context_id, metadata, if_token=self.token(if_token))

    async def update_metadata(self, context_id, metadata, *, if_token=None):
        return await super().update_metadata(context_id, metadata, if_token=self.token(if_token))

    async def replace_messages(self, context_id, messages, *, if_token=None, **options):
        return await super().replace_messages(context_id, messages, if_token=self.token(if_token), **options)

    async def delete(self, context_id, *, if_token=None):
        return await super().delete(context_id, if_token=self.token(if_token))


@breaks(
    tokens.a_token_is_outdated_by_any_change,
    tokens.of_racers_with_one_token_one_wins,
    tokens.a_token_that_is_none_is_refused,
)
class IgnoresTokens(WithToken):
    def token(self, token):
        return None


@breaks(tokens.a_token_is_outdated_by_any_change)
class DeletesUnderAnyToken(Messages):
    async def delete(self, context_id, **_):
        await super().delete(context_id)


@breaks(tokens.a_token_of_now_lets_a_change_pass)
class RefusesEveryToken(WithToken):
    def token(self, token):
        if token is not None:
            raise ConflictError("outdated")


@breaks(tokens.messages_and_metadata_are_one_change)
class AddsAndThenSetsMetadata(Messages):
    async def add_message(self, context_id, message, *, metadata=None, **options):
        position = await super().add_message(context_id, message, **options)
        await asyncio.sleep(0)
        if metadata is not None:
            await self.set_metadata(context_id, metadata)
        return position


@breaks(tokens.a_read_is_of_one_moment)
class ReadsTwice(Messages):
    async def read(self, context_id, **window):
        found = await super().read(context_id, **window)
        await asyncio.sleep(0.001)
        return replace(found, info=await self.info(context_id))


@breaks(tokens.a_read_is_of_one_moment)
class ReadsWithoutTheSummary(Messages):
    async def read(self, context_id, **window):
        found = await super().read(context_id, **window)
        return ConversationSlice(found.info, None, found.entries)


@breaks(contexts.metadata_is_updated_key_by_key)
class ReadsAndThenSetsMetadata(Messages):
    async def update_metadata(self, context_id, metadata, **_):
        info = await self.info(context_id)
        await asyncio.sleep(0)
        whole = {**(info.metadata if info else {}), **metadata}
        await self.set_metadata(context_id, whole)
        return whole


@breaks(contexts.a_list_with_info_says_the_same_as_info)
class ListsPositionsAsCounts(Messages):
    async def contexts(self, *, info=False, **options):
        page = await super().contexts(info=info, **options)
        return Page([replace(one, count=one.next_position) for one in page], page.next) if info else page


@breaks(contexts.a_list_with_info_says_the_same_as_info)
class ListsInfosByIdAlone(Messages):
    async def contexts(self, *, info=False, order="recent", **options):
        return await super().contexts(info=info, order="id" if info else order, **options)


@breaks(replacing.messages_are_replaced_from_a_position_on)
class KeepsTheEnd(Messages):
    async def replace_messages(self, context_id, messages, *, start, **_):
        return await self.add_messages(context_id, messages)


@breaks(replacing.a_replacement_of_all_keeps_metadata_and_expiry, replacing.a_replacement_is_whole_for_every_reader)
class DeletesAndAdds(Messages):
    async def replace_messages(self, context_id, messages, *, start, **options):
        if start:
            return await super().replace_messages(context_id, messages, start=start, **options)
        await self.delete(context_id)
        await asyncio.sleep(0)
        return await self.add_messages(context_id, messages)


@breaks(replacing.a_replacement_inside_a_summary_is_refused)
class ReplacesBehindTheSummary(Messages):
    async def replace_messages(self, context_id, messages, *, start, **options):
        info = await self.info(context_id)
        start = max(start, info.compacted) if info and start else start
        return await super().replace_messages(context_id, messages, start=start, **options)


@breaks(replacing.a_repeated_replacement_replaces_nothing)
class ReplacesAgain(Messages):
    async def replace_messages(self, context_id, messages, *, op_id=None, **options):
        return await super().replace_messages(context_id, messages, **options)


@breaks(replacing.a_repeated_replacement_replaces_nothing)
class RefusesBeforeItRecalls(Messages):
    async def replace_messages(self, context_id, messages, *, start, **options):
        info = await self.info(context_id)
        if info and 0 < start < info.compacted:
            raise InvalidError("inside the compacted messages")
        return await super().replace_messages(context_id, messages, start=start, **options)


@breaks(compaction.older_messages_can_go_without_a_summary)
class SumsUpAsAnEmptyMessage(Messages):
    async def compact(self, context_id, *, summary, **options):
        return await super().compact(context_id, summary={} if summary is None else summary, **options)


@breaks(compaction.older_messages_can_go_without_a_summary)
class ShowsTheArchive(Messages):
    async def get_messages(self, context_id, *, after=None, **window):
        if after == -1:
            return await super().get_messages(context_id, originals=True)
        return await super().get_messages(context_id, after=after, **window)


@breaks(adding.entries_can_be_read_from_the_end)
class ReversesBeforeItTakesTheLast(Messages):
    async def entries(self, context_id, *, last=None, reverse=False, **window):
        found = [entry async for entry in super().entries(context_id, **window)]
        found = found[::-1] if reverse else found
        for entry in found if last is None else found[max(len(found) - last, 0) :]:
            yield entry


@breaks(adding.a_page_from_the_end_costs_a_page)
class ReadsToTheEnd(Messages):
    async def entries(self, context_id, *, last=None, reverse=False, **window):
        found = [entry async for entry in super().entries(context_id, **window)]
        found = found if last is None else found[max(len(found) - last, 0) :]
        for entry in found[::-1] if reverse else found:
            yield entry
