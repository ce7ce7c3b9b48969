"""Records of conversations in a backend: the conditions of a commit, one record, and their list."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final, NamedTuple

from stowfast.abc import Query, Window
from stowfast.adapters.ids import joined
from stowfast.adapters.pydantic_ai.encoding import NOTHING, read_line, read_note, read_record
from stowfast.errors import DamagedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic_ai.conversation_store import ConversationRecord

    from stowfast.abc import Backend, Head, Listed

__all__ = ["RecordState", "labels_of", "look_at", "recent_records", "stream_of"]

PREFIX: Final = "pydantic-ai/"
_PAGE: Final = 100
_SLACK: Final = 2_000_000
"""Microseconds. A bucket's clock counts seconds, and a record has its time before its commit."""
_NEWEST: Final = Window(start=0, limit=1, newest=True)


class RecordState(NamedTuple):
    """The state of a stream, for the conditions of the next commit."""

    token: str | None
    """The revision of the record; None: there is no record."""
    head_id: str | None = None
    incarnation: str | None = None
    next: int = 0
    revision: int = 0
    is_spilled: bool = False
    """The last entry is the record."""
    is_running: bool = False


ABSENT: Final = RecordState(None)


def stream_of(conversation_id: str) -> str:
    """Return the name of the stream of a conversation."""
    return PREFIX + joined(conversation_id)


def labels_of(scope: str | None, *, is_running: bool) -> dict[str, str]:
    """Return the labels that select a conversation in a list."""
    labels = {} if scope is None else {"scope": joined(scope)}
    return labels | {"running": "yes"} if is_running else labels


async def look_at(backend: Backend, stream: str) -> tuple[RecordState, ConversationRecord | None]:
    """Return the state and the record of a stream, both of one moment.

    Raises:
        DamagedError: the record does not decode.
    """
    (head,) = await backend.heads([stream])
    return await _opened(backend, stream, head)


async def _opened(backend: Backend, stream: str, head: Head | None) -> tuple[RecordState, ConversationRecord | None]:
    if head is None:
        return ABSENT, None
    note = read_note(head.note, stream)
    record = note.record
    if record == NOTHING:
        # The head may have changed since: the entry and its head come with one read.
        head, page = await backend.read(stream, _NEWEST)
        if head is None:
            return ABSENT, None
        note = read_note(head.note, stream)
        record = note.record
        if record == NOTHING and page:
            record = read_line(page[-1].data, stream).record
    found = read_record(record, stream)
    state = RecordState(
        token=found.revision,
        head_id=found.head_id,
        incarnation=head.incarnation,
        next=head.next,
        revision=head.revision,
        is_spilled=note.record == NOTHING,
        is_running=note.is_running,
    )
    return state, found


async def recent_records(backend: Backend, where: Mapping[str, str], limit: int | None) -> list[ConversationRecord]:
    """Return the records with these labels, the newest `updated_at` first. A damaged one is left out.

    A backend orders by the time of the commit. So with a limit the list goes on until that time differs clearly.
    """
    found: list[ConversationRecord] = []
    after, since = None, None
    while True:
        page = await backend.streams(Query(PREFIX, where=where, order="recent", after=after, limit=_PAGE, heads=True))
        for listed in page.streams:
            if since is not None and listed.updated_at < since:
                break
            record = await _listed(backend, listed)
            if record is not None:
                found.append(record)
            if since is None and len(found) == limit:
                since = listed.updated_at - _SLACK
        else:
            after = page.after
            if after is not None:
                continue
        return sorted(found, key=lambda record: record.updated_at, reverse=True)[:limit]


async def _listed(backend: Backend, listed: Listed) -> ConversationRecord | None:
    if listed.damaged or listed.head is None:
        return None
    with suppress(DamagedError):
        _, record = await _opened(backend, listed.name, listed.head)
        return record
    return None
