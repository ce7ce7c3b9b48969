"""Large metadata: an entry of the conversation that is no message, so that no head has to carry them.

Such an entry begins with `#`, which no JSON object does. The note tells its position, and those of earlier ones that
are still stored. All reads leave them out; counts and positions of messages are as without them, but for a gap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Change, Entry, Window
from stowfast.errors import DamagedError
from stowfast.stores.codec import decode, encode
from stowfast.stores.labels import metadata_labels
from stowfast.stores.messages.head_note import ConversationNote
from stowfast.stores.optimistic import Race

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from stowfast.abc import Backend, Head

__all__ = ["PLACEHOLDER", "change_of", "current", "is_message", "load_metadata", "messages_of", "moved"]

_MARK: Final = b"#"
PLACEHOLDER: Final = _MARK
"""An entry in the place of messages that a summary stands for."""
_MAX_NOTE_BYTES: Final = 48 * 2**10
"""Larger metadata are an entry. Every commit to a bucket uploads the note."""


def is_message(entry: Entry) -> bool:
    """Return True unless the entry holds metadata."""
    return not entry.data.startswith(_MARK)


def messages_of(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries that are messages."""
    # `is_message` written out: its call for each entry took a tenth of a load of 10,000.
    return [entry for entry in entries if not entry.data.startswith(_MARK)]


def change_of(
    metadata: dict[str, Any], head: Head | None, messages: Sequence[bytes] = (), expect: int | None = None
) -> Change:
    """Return the change that replaces the metadata of a conversation, if its head did not change meanwhile.

    Args:
        head: the head before it; None: there is no conversation.
        messages: come behind the metadata in the same change.
        expect: the next position; None: any for small metadata, else that of the head.
    """
    note, text = ConversationNote.read(head), encode(metadata, "metadata")
    change = Change(
        entries=messages,
        expect=expect,
        labels=metadata_labels(metadata),
        revision=head.revision if head else 0,
        incarnation=head.incarnation if head else None,
    )
    if len(text) <= _MAX_NOTE_BYTES:
        return change._replace(note=note._replace(metadata=metadata, spilled=None).write())
    following = head.next if head else 0
    last = note.spilled if note.spilled is not None and note.spilled == following - 1 else None
    position = following if expect is None else expect
    kept = tuple(one for one in note.hidden if one != last)
    note = note._replace(metadata={}, spilled=position, hidden=(*kept, position))
    return change._replace(entries=(_MARK + text, *messages), expect=position, cut_from=last, note=note.write())


async def load_metadata(backend: Backend, head: Head) -> dict[str, Any] | None:
    """Return the metadata of a conversation as of this head; None if they changed meanwhile.

    Raises:
        DamagedError: the entry that holds them is missing or damaged.
    """
    note = ConversationNote.read(head)
    if note.spilled is None:
        return note.metadata
    data = await _spilled(backend, head, note.spilled)
    if data is None:
        return None
    metadata: dict[str, Any] = decode(data.removeprefix(_MARK), head.name)
    return metadata


async def current(backend: Backend, stream: str) -> tuple[Head | None, dict[str, Any]]:
    """Return the head of a conversation with its metadata."""
    race = Race(stream)
    while True:
        (head,) = await backend.heads([stream])
        metadata = {} if head is None else await load_metadata(backend, head)
        if metadata is not None:
            return head, metadata
        race.lose()


async def moved(
    backend: Backend, head: Head, note: ConversationNote, *, start: int = 0, stop: int | None = None
) -> tuple[ConversationNote, tuple[bytes, ...]] | None:
    """Return the note after entries were removed, and the entry to add first in the same change, with `expect`.

    None: the metadata changed meanwhile.

    Args:
        start, stop: the positions that are removed; stop None: up to the end.
    """

    def goes(position: int) -> bool:
        return position >= start and (stop is None or position < stop)

    note = note._replace(hidden=tuple(position for position in note.hidden if not goes(position)))
    if note.spilled is None or not goes(note.spilled):
        return note, ()
    data = await _spilled(backend, head, note.spilled)
    if data is None:
        return None
    return note._replace(spilled=head.next, hidden=(*note.hidden, head.next)), (data,)


async def _spilled(backend: Backend, head: Head, position: int) -> bytes | None:
    now, entries = await backend.read(head.name, Window(start=position, stop=position + 1))
    if now is None or (now.incarnation, now.revision) != (head.incarnation, head.revision):
        return None
    if not entries or is_message(entries[0]):
        raise DamagedError(f"{head.name}: the entry with its metadata is missing")
    return entries[0].data
