"""Conversations as streams: conditional writes of a record with its entries, and lines of entries."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from stowfast.abc import Change, Query
from stowfast.adapters.extras import extra
from stowfast.adapters.pydantic_ai.encoding import write_entry, write_record
from stowfast.adapters.pydantic_ai.known import Known, Unsure
from stowfast.adapters.pydantic_ai.lines import read_back
from stowfast.adapters.pydantic_ai.records import ABSENT, PREFIX, RecordState, labels_of, look_at, stream_of
from stowfast.errors import ConflictError, DamagedError, UnavailableError
from stowfast.names import new_id

with extra("pydantic-ai"):
    from pydantic_ai.conversation_store import ConversationConflict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord

    from stowfast.abc import Backend
    from stowfast.adapters.opener import Opener
    from stowfast.adapters.pydantic_ai.lines import Linked

__all__ = ["ConversationStreams"]


class ConversationStreams:
    """The streams of conversations, and the knowledge of this process about them."""

    def __init__(self, opener: Opener) -> None:
        self._opener = opener
        self.known = Known()

    async def look(self, conversation_id: str) -> tuple[RecordState, ConversationRecord | None]:
        """Return the state and the record of a conversation, both of one moment."""
        state, record = await look_at(await self.backend(), stream_of(conversation_id))
        self.known.states.put(conversation_id, state)
        if record is not None:
            self.known.note(record)
        return state, record

    async def write(
        self,
        record: ConversationRecord,
        entries: Sequence[ConversationEntry],
        expected_revision: str | None,
        *,
        is_running: bool = False,
        replaces_head: bool = False,
    ) -> None:
        """Store a record and its new entries in one commit, as the state of a run if it is one.

        Args:
            is_running: the run goes on. `unfinished` lists the conversation until a save without this.
            replaces_head: remove the newest entry, which the save before has stored. The new ones come in its place.

        Raises:
            ConversationConflict: the stored revision is another one, or no conversation has an entry that the record
                needs. Nothing was stored.
        """

        async def attempt(state: RecordState) -> None:
            copied = [] if replaces_head else await self._missing(record, entries, state)
            note, large = write_record(record, is_running=is_running)
            removed = state.is_spilled + replaces_head
            change = Change(
                entries=[*copied, *map(write_entry, entries), *([] if large is None else [large])],
                op_id=new_id(),
                expect=state.next,
                incarnation=state.incarnation,
                revision=state.revision,
                cut_from=state.next - removed if removed else None,
                labels=labels_of(record.scope, is_running=is_running),
                note=note,
            )
            await self._commit(Unsure(change, record, entries, expected_revision, large is not None))

        await self._change(record.conversation_id, expected_revision, attempt)

    async def settle(self, conversation_id: str, expected_revision: str | None) -> Unsure | None:
        """Repeat a save of this state that had no answer, and return it if it is stored; None if there is none."""
        unsure = self.known.unsure.get(conversation_id)
        if unsure is None or unsure.expected_revision != expected_revision:
            return None
        try:
            await self._commit(unsure)
        except ConflictError:
            # It was not stored, and never will be: its conditions name a state that is over.
            self.known.unsure.pop(conversation_id)
            return None
        return unsure

    async def settle_last(self, conversation_id: str) -> None:
        """Repeat the save of a conversation that had no answer, if there is one."""
        unsure = self.known.unsure.get(conversation_id)
        if unsure is not None:
            await self.settle(conversation_id, unsure.expected_revision)

    async def line(self, entry_id: str, limit: int | None = None, hint: str | None = None) -> tuple[str, list[Linked]]:
        """Return the entries up to this one, and their stream. An unknown entry is searched everywhere.

        Raises:
            LookupError: no conversation has it.
        """
        backend = await self.backend()
        for stream in (hint, self.known.streams.get(entry_id)):
            if stream is not None:
                try:
                    return stream, await read_back(backend, stream, entry_id, limit)
                except LookupError:
                    continue
        after: str | None = None
        while True:
            page = await backend.streams(Query(PREFIX, after=after))
            for listed in page.streams:
                try:
                    line = await read_back(backend, listed.name, entry_id, limit)
                except (LookupError, DamagedError):
                    continue
                self.known.streams.put(entry_id, listed.name)
                return listed.name, line
            after = page.after
            if after is None:
                raise LookupError(entry_id)

    async def delete(self, conversation_id: str, expected_revision: str) -> None:
        """Erase a conversation.

        Raises:
            ConversationConflict: the stored revision is another one, or there is none.
        """

        async def attempt(state: RecordState) -> None:
            change = Change(delete=True, expect=state.next, incarnation=state.incarnation, revision=state.revision)
            await (await self.backend()).commit(stream_of(conversation_id), change)

        await self._change(conversation_id, expected_revision, attempt)
        self.known.states.pop(conversation_id)
        self.known.unsure.pop(conversation_id)

    async def backend(self) -> Backend:
        """Return the backend, opened at the first call."""
        return (await self._opener.open()).backend

    async def _change(
        self, conversation_id: str, expected_revision: str | None, attempt: Callable[[RecordState], Awaitable[None]]
    ) -> None:
        """Change a conversation in its expected state: first in the one that this process saw last, without a read."""
        state = self.known.states.get(conversation_id) or ABSENT
        is_guess = state.token == expected_revision
        while True:
            if not is_guess:
                state, _ = await self.look(conversation_id)
                if state.token != expected_revision:
                    raise ConversationConflict(conversation_id)
            try:
                return await attempt(state)
            except ConflictError as error:
                if not is_guess:
                    raise ConversationConflict(conversation_id) from error
                is_guess = False

    async def _commit(self, unsure: Unsure) -> None:
        """Commit a save. After a cancellation or without an answer it is remembered, so that it can be settled."""
        change, record = unsure.change, unsure.record
        conversation_id, stream = record.conversation_id, stream_of(record.conversation_id)
        try:
            receipt = await (await self.backend()).commit(stream, change)
        except (UnavailableError, asyncio.CancelledError):
            self.known.states.pop(conversation_id)
            self.known.unsure.put(conversation_id, unsure)
            raise
        self.known.unsure.pop(conversation_id)
        state = RecordState(
            token=record.revision,
            head_id=record.head_id,
            incarnation=receipt.incarnation,
            next=receipt.next,
            revision=(change.revision or 0) + 1,  # a wrong guess is a conflict, and read again
            is_spilled=unsure.is_spilled,
        )
        self.known.states.put(conversation_id, state)
        self.known.note(record)
        for entry in unsure.entries:
            self.known.streams.put(entry.id, stream)

    async def _missing(
        self, record: ConversationRecord, entries: Sequence[ConversationEntry], state: RecordState
    ) -> list[bytes]:
        """Return the entries of other conversations on which the record is built: those that a fork copies.

        Raises:
            ConversationConflict: no conversation has an entry that the record needs.
        """
        have = {state.head_id, *(entry.id for entry in entries)}
        backend, stream = await self.backend(), stream_of(record.conversation_id)
        for needed in (entries[0].parent_id if entries else None, record.head_id):
            if needed is None or needed in have:
                continue
            try:
                if state.token is not None:
                    await read_back(backend, stream, needed, 1)
                    continue
            except LookupError:
                pass
            source = None if record.forked_from is None else stream_of(record.forked_from)
            try:
                _, line = await self.line(needed, hint=source)
            except LookupError as error:
                raise ConversationConflict(record.conversation_id) from error
            return [linked.data for linked in line]
        return []
