"""Broken messages: reading windows of them, and letting a summary stand for the older ones."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from stowfast import Links, Messages, NotFoundError
from stowfast.abc import Change, Window
from stowfast.stores.codec import decode, encode, stream_name
from stowfast.stores.messages.formats import read_links
from stowfast.stores.messages.head_note import ConversationNote
from stowfast.testing.messages import compaction, pairs
from stowfast.testing.messages import windows as messages_windows
from tests.mutants import breaks, ignores


@breaks(messages_windows.a_window_is_cut_by_position_and_count)
class IncludesAfter(Messages):
    async def get_messages(self, context_id, *, after=None, **window):
        return await super().get_messages(context_id, after=None if after is None else after - 1, **window)


@breaks(messages_windows.a_window_is_cut_by_position_and_count)
class LimitsFromTheNewest(Messages):
    async def get_messages(self, context_id, *, limit=None, last=None, **window):
        return await super().get_messages(context_id, last=last if limit is None else limit, **window)


ignores(Messages, "get_messages", "limit", messages_windows.a_window_that_means_nothing_is_refused)


@breaks(messages_windows.a_window_that_means_nothing_is_refused)
class TakesNegativeCounts(Messages):
    async def get_messages(self, context_id, **window):
        counts = {name: value for name, value in window.items() if name not in ("last", "limit") or value >= 0}
        return await super().get_messages(context_id, **counts)


@breaks(
    messages_windows.tokens_are_counted_from_the_newest_message_back,
    messages_windows.tokens_are_estimated_where_nobody_counts,
)
class AllowsOneTokenMore(Messages):
    async def get_messages(self, context_id, *, max_tokens=None, **window):
        return await super().get_messages(context_id, max_tokens=max_tokens and max_tokens + 1, **window)


@breaks(messages_windows.tokens_are_estimated_where_nobody_counts)
class EstimatesByCharacters(Messages):
    async def get_messages(self, context_id, *, count_tokens=None, **window):
        counts = count_tokens or (lambda message: len(json.dumps(message, ensure_ascii=False)) // 4 + 1)
        return await super().get_messages(context_id, count_tokens=counts, **window)


def tool_calls(message: Any) -> set[Any]:
    return {key for event in read_links(message).events if not event.answers for key in event.keys or (None,)}


def tool_results(message: Any) -> set[Any]:
    return {key for event in read_links(message).events if event.answers for key in event.keys or (None,)}


class KeepsTheNewest(Messages):
    def whole(self, messages: list[Any]) -> list[Any]:
        raise NotImplementedError

    async def get_messages(self, context_id, *, max_tokens=None, count_tokens=None, belongs_to=None, **window):
        found = await super().get_messages(context_id, **window)
        return found if max_tokens is None else self.whole(found[max(len(found) - max_tokens, 0) :])


@breaks(
    messages_windows.a_tool_call_is_never_torn_from_its_results,
    messages_windows.a_result_is_left_out_with_all_before_it,
    pairs.the_pair_of_every_maker_stays_whole,
    pairs.a_function_names_the_pairs_of_other_formats,
)
class TearsCallsApart(KeepsTheNewest):
    def whole(self, messages):
        return messages


@breaks(messages_windows.a_result_is_left_out_with_all_before_it)
class LeavesOutResultsAlone(KeepsTheNewest):
    def whole(self, messages):
        calls = set().union(*map(tool_calls, messages), ())
        return [message for message in messages if tool_results(message) <= calls]


@breaks(
    messages_windows.a_tool_call_is_never_torn_from_its_results,
    pairs.a_call_id_that_comes_again_is_told_apart,
    pairs.parallel_calls_and_results_in_parts_stay_whole,
)
class ForgetsTheCallsItCutOff(KeepsTheNewest):
    def whole(self, messages):
        calls = set().union(*map(tool_calls, messages), ())
        torn = [index for index, message in enumerate(messages, 1) if tool_results(message) - calls]
        return messages[max(torn, default=0) :]


class CompactsAs(Messages):
    def instead(self, message: Any) -> Any:
        raise NotImplementedError

    async def compact(self, context_id, *, belongs_to=None, **options):
        return await super().compact(context_id, belongs_to=self.instead, **options)


@breaks(pairs.the_pair_of_every_maker_stays_whole, pairs.a_call_that_waits_for_its_result_is_kept)
class CompactsWithoutPairs(CompactsAs):
    def instead(self, message):
        return Links()


@breaks(pairs.a_call_id_that_comes_again_is_told_apart, pairs.parallel_calls_and_results_in_parts_stay_whole)
class CompactsByOrderAlone(CompactsAs):
    def instead(self, message):
        return Links(answers=[None] * bool(tool_results(message)))


@breaks(pairs.a_call_that_waits_for_its_result_is_kept)
class KeepsEveryOpenCall(Messages):
    async def compact(self, context_id, *, keep_last, **options):
        found = await self.get_messages(context_id)
        calls = [len(found) - at for at, message in enumerate(found) if tool_calls(message)]
        return await super().compact(context_id, keep_last=max([keep_last, *calls]), **options)


@breaks(pairs.a_result_without_its_call_is_left_out_behind_a_summary)
class LooksAtTheBudgetAlone(Messages):
    async def get_messages(self, context_id, *, max_tokens=None, **window):
        every = await super().get_messages(context_id)
        fits = max_tokens is not None and len(every) <= max_tokens
        return every if fits else await super().get_messages(context_id, max_tokens=max_tokens, **window)


@breaks(pairs.a_function_names_the_pairs_of_other_formats)
class TakesAnyAnswerForLinks(Messages):
    async def get_messages(self, context_id, *, belongs_to=None, **window):
        def tolerant(message):
            links = belongs_to(message)
            return links if isinstance(links, Links) else None

        return await super().get_messages(context_id, belongs_to=belongs_to and tolerant, **window)


@breaks(compaction.a_summary_stands_for_the_older_messages)
class ForgetsToShowSummaries(Messages):
    async def get_messages(self, context_id, *, originals=False, **window):
        return await super().get_messages(context_id, originals=True, **window)


@breaks(compaction.a_summary_stands_for_the_older_messages)
class AlwaysDrops(Messages):
    async def compact(self, context_id, *, drop=False, **options):
        return await super().compact(context_id, drop=True, **options)


ignores(Messages, "compact", "drop", compaction.older_messages_can_be_dropped_for_good)


@breaks(compaction.older_messages_can_be_dropped_for_good)
class DropsOnlyTheFirstTime(Messages):
    async def compact(self, context_id, *, drop=False, **options):
        info = await self.info(context_id)
        return await super().compact(context_id, drop=drop and not (info and info.compacted), **options)


@breaks(compaction.a_window_over_a_summary_begins_with_it)
class CountsBesideTheSummary(Messages):
    async def get_messages(self, context_id, *, limit=None, **window):
        return await super().get_messages(context_id, limit=limit and limit + 1, **window)


@breaks(compaction.a_window_over_a_summary_begins_with_it)
class SpendsTheLimitOnOriginals(Messages):
    async def get_messages(self, context_id, *, limit=None, after=None, **window):
        if limit is None or after is None:
            return await super().get_messages(context_id, limit=limit, after=after, **window)
        return (await super().get_messages(context_id, after=after, **window))[: 1 if after < 7 else limit]


@breaks(compaction.a_summary_may_be_made_by_a_function)
class LeavesOutTheEarlierSummary(Messages):
    async def compact(self, context_id, *, summary, **options):
        made = summary
        if callable(summary):
            made = lambda older: summary([message for message in older if "sum" not in message])  # noqa: E731
        return await super().compact(context_id, summary=made, **options)


@breaks(compaction.a_summary_may_be_made_by_a_function)
class NeverAwaits(Messages):
    async def compact(self, context_id, *, summary, **options):
        made = summary
        if asyncio.iscoroutinefunction(summary):

            def made(older):
                summary(older).close()
                return {}

        return await super().compact(context_id, summary=made, **options)


@breaks(compaction.nothing_older_is_nothing_to_sum_up)
class SumsUpNothing(Messages):
    async def compact(self, context_id, *, keep_last, summary, **options):
        if callable(summary) and await self.count(context_id) <= keep_last:
            summary([])
        return await super().compact(context_id, keep_last=keep_last, summary=summary, **options)


@breaks(compaction.a_compaction_that_means_nothing_is_refused)
class CompactsTheUnknown(Messages):
    async def compact(self, context_id, **options):
        try:
            return await super().compact(context_id, **options)
        except NotFoundError:
            return 0


@breaks(
    compaction.a_compaction_keeps_calls_and_results_together,
    compaction.messages_added_during_a_compaction_are_not_lost,
    compaction.of_two_compactions_one_wins,
    compaction.a_compaction_never_reaches_a_successor,
)
class CompactsBlindly(Messages):
    async def compact(self, context_id, *, keep_last, summary, drop=False, **_):
        stream = stream_name("messages", "context_id", context_id)
        head, entries = await self._backend.read(stream)
        older = [decode(entry.data, stream) for entry in entries[:-keep_last]]
        made = summary(older) if callable(summary) else summary
        made = await made if asyncio.iscoroutine(made) else made
        base = entries[-keep_last].position
        note = ConversationNote.read(head)._replace(summary=made).write()
        await self._backend.commit(stream, Change(note=note, base=base, drop_before=base if drop else None))
        return base


@breaks(compaction.messages_added_during_a_compaction_are_not_lost)
class WritesTheConversationAnew(Messages):
    async def compact(self, context_id, *, keep_last, summary, drop=False, **_):
        found = await self.get_messages(context_id)
        made = await summary(found[:-keep_last])
        kept = [encode(message, "a message") for message in [made, *found[-keep_last:]]]
        await self._backend.commit(stream_name("messages", "context_id", context_id), Change(kept, delete=True))
        return len(found) - keep_last


@breaks(compaction.a_summary_is_not_popped)
class PopsWhatIsSummedUp(Messages):
    async def pop_message(self, context_id, *, op_id=None):
        stream = stream_name("messages", "context_id", context_id)
        _, entries = await self._backend.read(stream, Window(start=0, limit=1, newest=True))
        for entry in entries:
            await self._backend.commit(stream, Change(cut_from=entry.position))
            return decode(entry.data, stream)
        return None
