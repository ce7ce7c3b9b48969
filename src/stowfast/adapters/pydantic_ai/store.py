"""The conversation store of Pydantic AI over any backend."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.adapters.closing import WithClose
from stowfast.adapters.extras import extra
from stowfast.adapters.opener import Opener
from stowfast.adapters.pydantic_ai.encoding import read_entries
from stowfast.adapters.pydantic_ai.records import labels_of, recent_records
from stowfast.adapters.pydantic_ai.streams import ConversationStreams

with extra("pydantic-ai"):
    from pydantic_ai import AgentRunResult, Conversation
    from pydantic_ai.conversation_store import (
        ConversationEntry,
        ConversationRecord,
        ConversationStore,
    )

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stowfast import sync
    from stowfast.stores import Stores

__all__ = ["StowfastConversationStore"]


class StowfastConversationStore(WithClose, ConversationStore):
    """Conversations of Pydantic AI in any backend of Stowfast, for many processes.

    A save is one commit: its messages and its record are stored together, or neither. An acknowledged save is never
    lost. Of two saves of one state one succeeds, and the other is a ConversationConflict. A call without an answer is
    repeated inside; a save that is called again after an UnavailableError or a cancellation is no conflict with itself.

    A fork is a copy of its messages. So `delete` erases all messages of a conversation at once, those of its branches
    too, and no other conversation loses one. A large record (over 32 KiB, such as an approval with long arguments or
    hundreds of branches) is stored beside the head, and costs a read more.

    An entry has no conversation id in this interface. An id that this process has not met is searched in all
    conversations: `read_entry` of an old id is slow.

    Args:
        stores: a URL, or open stores of either face.
        scope: the scope of these stores to use. It is a wall between tenants; the `scope` of the methods is a label.
        within: the time for repeats after a lost answer; see `stowfast.wrappers.Patient`.
        options: options for the URL.

    Raises:
        InvalidError: `stores` is neither a URL nor open stores, or an option is wrong; of a save: a message or the
            record has no JSON form, or over 64 MiB. Nothing was stored.
        UnavailableError: no answer. A save may be stored: call it again with the same conversation.
        DamagedError: stored bytes do not decode with this release.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._opener = Opener(stores, scope=scope, within=within, **options)
        self.streams: Final = ConversationStreams(self._opener)
        """The part below the framework's interface, for `run_saved`."""

    async def save(
        self, conversation: Conversation | AgentRunResult[Any], *, scope: str | None = None
    ) -> list[ConversationEntry]:
        """As the framework's `save`. A repeat after a lost answer returns the entries of the first call, too."""
        kept = conversation.conversation if isinstance(conversation, AgentRunResult) else conversation
        settled = await self.streams.settle(kept.conversation_id, kept.revision)
        if settled is None:
            return await super().save(conversation, scope=scope)
        entries = list(settled.entries)
        if isinstance(conversation, AgentRunResult):
            conversation._conversation_saved(settled.record.revision)  # noqa: SLF001 - as the framework's own save does
            return entries
        conversation.revision = settled.record.revision
        if entries:
            stored = [message is entries[-1].message for message in conversation.messages]
            conversation.new_message_index = stored.index(True) + 1 if any(stored) else None
        if conversation.new_message_index != len(conversation.messages):
            entries += await super().save(conversation, scope=scope)
        return entries

    async def branch(
        self,
        conversation_id: str,
        *,
        at: int | None = None,
        from_entry: str | None = None,
        expected_revision: str | None,
        scope: str | None = None,
    ) -> Conversation:
        """As the framework's `branch`."""
        settled = await self.streams.settle(conversation_id, expected_revision)
        if settled is not None:
            expected_revision = settled.record.revision
        return await super().branch(
            conversation_id, at=at, from_entry=from_entry, expected_revision=expected_revision, scope=scope
        )

    async def fork(
        self,
        conversation_id: str,
        *,
        at: int | None = None,
        from_entry: str | None = None,
        new_conversation_id: str | None = None,
        scope: str | None = None,
        source_scope: str | None = None,
    ) -> Conversation:
        """As the framework's `fork`, with a copy of the messages."""
        if new_conversation_id is not None:
            settled = await self.streams.settle(new_conversation_id, None)
            if settled is not None and settled.record.forked_from == conversation_id:
                forked = await self.load(new_conversation_id)
                if forked is not None:
                    return forked
        return await super().fork(
            conversation_id,
            at=at,
            from_entry=from_entry,
            new_conversation_id=new_conversation_id,
            scope=scope,
            source_scope=source_scope,
        )

    async def unfinished(self, *, scope: str | None = None, limit: int | None = None) -> list[ConversationRecord]:
        """Return the conversations with a run that `run_saved` began and that has not ended, the last saved first.

        Their process was killed, their run raised an error, or it still runs: give each conversation to one worker.
        """
        return await recent_records(await self.streams.backend(), labels_of(scope, is_running=True), limit)

    async def is_unfinished(self, conversation_id: str) -> bool:
        """Return True if a run that `run_saved` began has not ended: `run_saved` without a prompt goes on with it.

        A save of this process that had no answer is repeated first.
        """
        await self.streams.settle_last(conversation_id)
        state, _ = await self.streams.look(conversation_id)
        return state.is_running

    async def read_record(self, conversation_id: str) -> ConversationRecord | None:
        """Return the record of a conversation; None for an unknown one. One read, two for a large record."""
        _, record = await self.streams.look(conversation_id)
        return record

    async def read_records(self, *, scope: str | None = None, limit: int | None = None) -> list[ConversationRecord]:
        """Return the records, the newest `updated_at` first. A damaged one is left out, and raises where it is read."""
        if limit is not None and limit <= 0:
            return []
        found = await recent_records(await self.streams.backend(), labels_of(scope, is_running=False), limit)
        for record in found:
            self.streams.known.note(record)
        return found

    async def write_record(
        self,
        record: ConversationRecord,
        *,
        new_entries: Sequence[ConversationEntry] = (),
        expected_revision: str | None,
    ) -> None:
        """Store a record and its new entries in one commit."""
        await self.streams.write(record, new_entries, expected_revision)

    async def delete_record(self, conversation_id: str, *, expected_revision: str) -> None:
        """Erase a conversation: its record and all of its entries, those of branches too."""
        await self.streams.delete(conversation_id, expected_revision)

    async def read_history(self, head_id: str | None, *, limit: int | None = None) -> list[ConversationEntry]:
        """Return the entries up to `head_id`, oldest first, or only the last `limit` of them, in pages of 4 MiB."""
        if head_id is None or limit == 0:
            return []
        stream, line = await self.streams.line(head_id, limit)
        return read_entries([linked.entry for linked in line], stream)

    async def read_entry(self, entry_id: str) -> ConversationEntry:
        """Return one entry. One that this process has not met is searched in all conversations.

        Raises:
            LookupError: no conversation has it.
        """
        return (await self.read_history(entry_id, limit=1))[0]
