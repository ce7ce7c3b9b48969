"""Changes of the messages of a conversation: additions, pops, replacements, forks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from stowfast.abc import Change, Window
from stowfast.errors import ConflictError, InvalidError, NotFoundError
from stowfast.names import check_name
from stowfast.stores.codec import check_counts, check_integers, decode, from_duration, stream_name
from stowfast.stores.labels import check_metadata
from stowfast.stores.messages.contexts import KIND
from stowfast.stores.messages.head_note import ConversationNote
from stowfast.stores.messages.metadata import PLACEHOLDER, change_of, is_message, load_metadata, messages_of, moved
from stowfast.stores.messages.token import conditions_of
from stowfast.stores.optimistic import Race

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import timedelta

    from stowfast.abc import Backend

__all__ = ["add", "fork", "pop", "replace"]


async def add(
    backend: Backend,
    context_id: str,
    entries: list[bytes],
    op_id: str | None,
    *,
    expect: int | None,
    metadata: Mapping[str, Any] | None,
    if_token: str | None,
    ttl: timedelta | None,
) -> range:
    """Add entries, with metadata in the same commit, and return their positions."""
    stream = stream_name(KIND, "context_id", context_id)
    if expect is not None:
        check_integers(expect=expect)
    held = conditions_of(if_token)
    if held and expect is not None:
        raise InvalidError("give expect or if_token: a token says the position, too")
    lasts = None if ttl is None else from_duration(ttl, "ttl")
    if metadata is None:
        change = Change(entries=entries, op_id=op_id, expect=expect, ttl=lasts)
        receipt = await backend.commit(stream, change._replace(**held) if held else change)
        return range(receipt.first, receipt.next)
    made = check_metadata(metadata)
    race = Race(f"conversation {context_id!r}")
    while True:
        head = (await backend.heads([stream]))[0]
        whole = change_of(made, head, entries, held.get("expect", expect))._replace(op_id=op_id, ttl=lasts)
        whole = whole._replace(**held)
        try:
            receipt = await backend.commit(stream, whole)
        except ConflictError as error:
            # The next attempt may win a race for the head; it cannot meet a condition of the caller that fails.
            if held or (expect is not None and error.current != expect):
                raise
            race.lose()
            continue
        return range(receipt.next - len(entries), receipt.next)


async def pop(backend: Backend, context_id: str, op_id: str | None) -> Any:
    """Remove and return the newest message; None: there is none."""
    stream = stream_name(KIND, "context_id", context_id)
    if op_id is not None:
        check_name(op_id, "an op_id")
    race, is_known = Race(f"conversation {context_id!r}"), False
    while True:
        head, entries = await backend.read(stream, Window(limit=1, newest=True))
        newest = head
        while entries and not is_message(entries[0]) and head == newest:
            head, entries = await backend.read(stream, Window(stop=entries[0].position, limit=1, newest=True))
        if head != newest:
            race.lose()
            continue
        note = ConversationNote.read(head)
        if op_id is not None and op_id in dict(note.popped):
            return dict(note.popped)[op_id]
        if is_known:
            raise InvalidError(f"op_id {op_id!r} named an earlier pop, and its message is not kept any more")
        if head is None or not entries:
            return None
        message = decode(entries[0].data, context_id)  # before it is removed: a damaged one stays
        after = await moved(backend, head, note, start=entries[0].position)
        if after is None:
            race.lose()
            continue
        note, spilled = after
        is_same = note.hidden == ConversationNote.read(head).hidden
        change = Change(
            entries=spilled,
            cut_from=entries[0].position,
            op_id=op_id,
            note=(None if is_same else note.write()) if op_id is None else note.after_pop(op_id, message),
            expect=head.next,
            revision=head.revision,
            incarnation=head.incarnation,
        )
        receipt = await race.commit(backend, stream, change)
        # Without an op_id, only a wrapper below can have repeated it: this very commit.
        if receipt is not None and (op_id is None or not receipt.repeated):
            return message
        is_known = receipt is not None


async def replace(backend: Backend, context_id: str, made: Change, start: int, if_token: str | None) -> range:
    """Put the entries of a change in the place of all from a position on, in one commit, and return their positions."""
    stream = stream_name(KIND, "context_id", context_id)
    check_counts(start=start)
    if start is None:
        raise InvalidError("start must be an int, not None")
    held = conditions_of(if_token)
    race = Race(f"conversation {context_id!r}")
    while True:
        head = (await backend.heads([stream]))[0]
        note = ConversationNote.read(head)
        after = (note, ()) if head is None else await moved(backend, head, note, start=start)
        if after is None:
            race.lose()
            continue
        changed, spilled = after
        change = made._replace(
            entries=[*spilled, *made.entries],
            cut_from=start,
            ttl=made.ttl if head or made.entries else None,  # alone it would begin a conversation
            expect=head.next if head and spilled else None,
            revision=head.revision if head else 0,
            incarnation=head.incarnation if head else None,
        )._replace(**held)
        base = head.base if head else 0
        if 0 < start < base:
            change = change._replace(expect=-1)  # holds for no stream, so only a repeat is answered
        elif base and not start:
            change = change._replace(base=0, note=changed._replace(summary=None).write())
        elif changed != note:
            change = change._replace(note=changed.write())
        try:
            receipt = await backend.commit(stream, change)
        except ConflictError as error:
            if 0 < start < base:
                raise InvalidError(
                    f"start={start} is inside the compacted messages: give 0 to replace all, or at least {base}"
                ) from error
            if held:
                raise
            race.lose()
            continue
        return range(receipt.next - len(made.entries), receipt.next)


async def fork(backend: Backend, context_id: str, new_context_id: str, at: int | None, op_id: str | None) -> int:
    """Begin a conversation with the messages of another, in one commit, and return their number."""
    stream = stream_name(KIND, "context_id", context_id)
    new_stream = stream_name(KIND, "new_context_id", new_context_id)
    check_integers(at=at)
    race = Race(f"conversation {context_id!r}")
    while True:
        head, found = await backend.read(stream, Window(start=0, stop=at))
        if head is None:
            raise NotFoundError(f"there is no conversation {context_id!r}")
        metadata = await load_metadata(backend, head)
        if metadata is not None:
            break
        race.lose()
    entries = [entry.data for entry in messages_of(found)]
    summed_up = sum(entry.position < head.base for entry in messages_of(found))
    note = ConversationNote.read(head)._replace(popped=(), spilled=None, hidden=())
    if at is not None and at < head.base:
        note, summed_up = note._replace(summary=None), 0
    change = change_of(metadata, None, entries)
    if note.summary is not None and not summed_up and len(change.entries) == len(entries):
        change = change._replace(entries=(PLACEHOLDER, *entries))  # the summary stands for messages that were dropped
    if front := len(change.entries) - len(entries):
        is_metadata = change.entries[0] != PLACEHOLDER
        note = note._replace(metadata={} if is_metadata else metadata, spilled=0 if is_metadata else None, hidden=(0,))
    change = change._replace(
        op_id=op_id,
        expect=0,
        note=note.write(),
        base=front + summed_up if summed_up or note.summary is not None else 0,
    )
    try:
        receipt = await backend.commit(new_stream, change)
    except ConflictError as error:
        raise ConflictError(f"{new_context_id!r} exists: choose another id, or delete it first") from error
    return receipt.next - receipt.first - front
