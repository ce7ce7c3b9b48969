"""Broken messages: conversations as wholes, how they end, watching them."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC
from typing import Any

from stowfast import ContextRef, InvalidError, Messages, Page
from stowfast.abc import ALL, Change, Query, Slice, Window
from stowfast.stores.codec import decode
from stowfast.stores.labels import metadata_labels
from stowfast.stores.messages.head_note import ConversationNote
from stowfast.testing.messages import compaction, contexts, deletion, recency
from stowfast.testing.messages import watch as messages_watch
from stowfast.wrappers import Wrapper
from tests.mutants import breaks, ignores


@breaks(contexts.count_says_how_many_can_be_read)
class CountsPositions(Messages):
    async def count(self, context_id):
        info = await self.info(context_id)
        return info.next_position if info else 0


@breaks(contexts.count_says_how_many_can_be_read, compaction.a_summary_stands_for_the_older_messages)
class CountsWhatIsShown(Messages):
    async def count(self, context_id):
        return len(await self.get_messages(context_id))


@breaks(contexts.info_says_what_is_known)
class TakesTheCountForThePosition(Messages):
    async def info(self, context_id):
        info = await super().info(context_id)
        return info and replace(info, next_position=info.count)


@breaks(contexts.info_says_what_is_known)
class LivesForEver(Messages):
    async def info(self, context_id):
        info = await super().info(context_id)
        return info and replace(info, incarnation=context_id)


@breaks(contexts.metadata_is_replaced_and_returned_exactly)
class MergesMetadata(Messages):
    async def set_metadata(self, context_id, metadata, **_):
        info = await self.info(context_id)
        await super().set_metadata(context_id, {**(info.metadata if info else {}), **metadata})


@breaks(contexts.metadata_is_replaced_and_returned_exactly)
class LosesTheSummary(Messages):
    async def set_metadata(self, context_id, metadata, **_):
        note = ConversationNote(metadata, None).write()
        await self._backend.commit(f"messages/{context_id}", Change(note=note, labels=metadata_labels(metadata)))


@breaks(contexts.contexts_are_listed_by_id)
class SkipsTheFirstOfAPage(Messages):
    async def contexts(self, *, after=None, **options):
        page = await super().contexts(after=after, **options)
        return Page(page.items[1:], page.next) if after else page


@breaks(contexts.contexts_are_listed_by_id)
class IgnoresCase(Messages):
    async def contexts(self, **options):
        page = await super().contexts(**options)
        return Page(sorted(page.items, key=lambda one: one.context_id.casefold()), page.next)


@breaks(recency.contexts_are_listed_the_last_changed_first)
class TellsNoTime(Messages):
    async def contexts(self, **options):
        page = await super().contexts(**options)
        times = [one.updated_at for one in reversed(page.items)]
        return Page([ContextRef(one.context_id, time) for one, time in zip(page, times, strict=True)], page.next)


@breaks(contexts.contexts_are_found_by_metadata)
class TakesTextForNumbers(Wrapper):
    async def commit(self, stream, change):
        return await super().commit(stream, change._replace(labels=bare(change.labels)))

    async def streams(self, query):
        return await super().streams(query._replace(where=bare(query.where)))


def bare(labels: Any) -> Any:
    return labels and {key: value.strip('"') for key, value in labels.items()}


@breaks(contexts.a_listing_that_means_nothing_is_refused)
class TakesAnyOrder(Messages):
    async def contexts(self, *, order="recent", **options):
        return await super().contexts(order=order if order == "id" else "recent", **options)


@breaks(contexts.a_fork_begins_with_what_was_there)
class ForksMessagesAlone(Messages):
    async def fork(self, context_id, new_context_id, **options):
        count = await super().fork(context_id, new_context_id, **options)
        await self.set_metadata(new_context_id, {})
        return count


@breaks(contexts.a_fork_begins_with_what_was_there)
class ForksWhatIsShown(Messages):
    async def fork(self, context_id, new_context_id, **options):
        return len(await self.add_messages(new_context_id, await self.get_messages(context_id)))


@breaks(contexts.a_fork_may_end_before_a_position)
class IncludesTheEnd(Messages):
    async def fork(self, context_id, new_context_id, *, at=None, **options):
        return await super().fork(context_id, new_context_id, at=None if at is None else at + 1, **options)


@breaks(contexts.a_fork_needs_a_source_and_a_free_id)
class ForksOverWhatIsThere(Messages):
    async def fork(self, context_id, new_context_id, **options):
        if context_id != new_context_id:
            await self.delete(new_context_id)
        return await super().fork(context_id, new_context_id, **options)


@breaks(deletion.a_pop_removes_the_newest_message)
class Peeks(Messages):
    async def pop_message(self, context_id, *, op_id=None):
        found = await self.get_messages(context_id, last=1)
        return found[0] if found else None


@breaks(deletion.a_pop_removes_the_newest_message)
class GivesPositionsAgain(Messages):
    async def pop_message(self, context_id, *, op_id=None):
        found = await self.get_messages(context_id)
        await self.delete(context_id)
        await self.add_messages(context_id, found[:-1])
        return found[-1] if found else None


@breaks(deletion.two_callers_never_pop_the_same_message)
class PopsBlindly(Messages):
    async def pop_message(self, context_id, *, op_id=None):
        _, entries = await self._backend.read(f"messages/{context_id}", Window(limit=1, newest=True))
        await asyncio.sleep(0)
        if not entries:
            return None
        await self._backend.commit(f"messages/{context_id}", Change(cut_from=entries[0].position))
        return decode(entries[0].data, context_id)


ignores(Messages, "pop_message", "op_id", deletion.a_repeated_pop_returns_the_same_message)


@breaks(deletion.a_repeated_pop_returns_the_same_message)
class ForgetsPoppedMessages(Messages):
    async def set_metadata(self, context_id, metadata, **options):
        note = ConversationNote(metadata, None).write()
        await self._backend.commit(f"messages/{context_id}", Change(note=note))


@breaks(deletion.a_pop_that_cannot_be_repeated_is_refused)
class PopsAnySize(Messages):
    async def pop_message(self, context_id, *, op_id=None):
        try:
            return await super().pop_message(context_id, op_id=op_id)
        except InvalidError:
            return await super().pop_message(context_id)


@breaks(deletion.a_damaged_message_is_not_popped)
class PopsAndThenDecodes(Wrapper):
    async def read(self, stream, window=ALL):
        head, entries = await super().read(stream, window)
        if entries and entries[-1].data == b"{not JSON":
            await self.commit(stream, Change(cut_from=entries[-1].position))
        return Slice(head, entries)


@breaks(deletion.a_sweep_removes_what_has_expired)
class SweepsTheLiving(Wrapper):
    async def sweep(self, *, dry_run=False):
        for one in (await self.streams(Query("messages/check/"))).streams:
            await self.commit(one.name, Change(delete=True))
        return (await super().sweep(dry_run=dry_run))._replace(streams=3)


@breaks(deletion.an_expiry_that_means_nothing_is_refused)
class TakesNaiveMoments(Messages):
    async def set_expiry(self, context_id, expires_at):
        await super().set_expiry(context_id, expires_at.replace(tzinfo=UTC))


@breaks(deletion.a_moment_of_expiry_is_exact_and_can_be_taken_back)
class NeverTakesExpiryBack(Messages):
    async def set_expiry(self, context_id, expires_at):
        if expires_at is not None:
            await super().set_expiry(context_id, expires_at)


@breaks(messages_watch.a_watch_yields_messages_as_they_come)
class HearsNothing(Wrapper):
    async def wait(self, *args, **options):
        return await asyncio.Event().wait()


@breaks(messages_watch.a_watch_yields_messages_as_they_come)
class YieldsTwice(Messages):
    async def watch(self, context_id, **options):
        async for entry in super().watch(context_id, **options):
            yield entry
            yield entry


@breaks(messages_watch.a_watch_goes_on_behind_a_position)
class WatchesFromTheStart(Messages):
    def watch(self, context_id, *, after=None):
        return super().watch(context_id, after=-1)


@breaks(messages_watch.a_watch_follows_a_new_beginning)
class NeverLooksBack(Messages):
    async def watch(self, context_id, **options):
        last = -1
        async for entry in super().watch(context_id, **options):
            if entry.position > last:
                last = entry.position
                yield entry


@breaks(messages_watch.a_watch_may_begin_before_its_conversation)
class MissesTheFirst(Messages):
    async def watch(self, context_id, *, after=None):
        missed = await self.info(context_id) is not None
        async for entry in super().watch(context_id, after=after):
            if missed:
                yield entry
            missed = True
