"""The note in the head of a conversation: its metadata, its summary and its last popped messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from stowfast.abc import MAX_HEAD_BYTES
from stowfast.errors import DamagedError, InvalidError
from stowfast.stores.codec import decode, encode_head

if TYPE_CHECKING:
    from stowfast.abc import Head

__all__ = ["ConversationNote"]

MAX_POPPED: Final = 8
"""The number of popped messages that a conversation remembers."""
MAX_POPPED_BYTES: Final = 32 * 2**10
"""The size of all popped messages that a conversation remembers."""


class ConversationNote(NamedTuple):
    """The metadata as given, the summary of the messages below `Head.base`, and popped messages by op_id."""

    metadata: dict[str, Any]
    summary: dict[str, Any] | None
    base: int = 0
    popped: tuple[tuple[str, Any], ...] = ()
    """The op_id of a pop, and its message; the newest last. A repeated pop returns it."""
    spilled: int | None = None
    """The position of the entry that holds the metadata; None: they are here."""
    hidden: tuple[int, ...] = ()
    """The positions of the stored entries that are no messages."""

    @classmethod
    def read(cls, head: Head | None) -> ConversationNote:
        """Decode the note of a head; an empty note if there is none."""
        if head is None or not head.note:
            return cls({}, None)
        found = decode(head.note, head.name)
        try:
            popped = tuple((op_id, message) for op_id, message in found.get("popped", ()))
            hidden = tuple(position for position in found.get("hidden", ()) if position >= head.first)
            return cls(found["metadata"], found["summary"], head.base, popped, found.get("spilled"), hidden)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DamagedError(f"{head.name}: the note is not one of a conversation") from error

    def write(self) -> bytes:
        """Return the bytes for `Change.note`. Metadata and summary displace popped messages, the oldest first.

        Raises:
            InvalidError: metadata and summary are over 64 KiB.
        """
        fields: dict[str, Any] = {"metadata": self.metadata, "summary": self.summary}
        if self.hidden:
            fields |= {"spilled": self.spilled, "hidden": [*self.hidden]}
        for first in range(len(self.popped)):
            # Unchecked: a popped message was stored, and is nested deeper here than a message may be.
            data = msgspec.json.encode({**fields, "popped": self.popped[first:]})
            if len(data) <= MAX_HEAD_BYTES:
                return data
        if not self.metadata and self.summary is None and not self.hidden:
            return b""
        return encode_head(fields, "metadata with the summary")

    def after_pop(self, op_id: str, message: Any) -> bytes:
        """Return the bytes for `Change.note` with one more popped message.

        Raises:
            InvalidError: there is no room for the message.
        """
        popped = (*self.popped, (op_id, message))[-MAX_POPPED:]
        sizes = [len(msgspec.json.encode(one)) for one in popped]
        while len(popped) > 1 and sum(sizes) > MAX_POPPED_BYTES:
            popped, sizes = popped[1:], sizes[1:]
        used = len(msgspec.json.encode({"metadata": self.metadata, "summary": self.summary, "popped": []}))
        if sizes[-1] > MAX_POPPED_BYTES or used + sizes[-1] > MAX_HEAD_BYTES:
            raise InvalidError(
                f"the newest message has {sizes[-1]:,} bytes: a pop with an op_id keeps its message for a repeat, "
                f"beside metadata and summary, at most {MAX_POPPED_BYTES:,} bytes: read it, and pop it without an op_id"
            )
        return self._replace(popped=popped).write()

    def standing_for(self, start: int | None, stop: int | None) -> list[dict[str, Any]]:
        """Return the summary, if the window includes a summarized message."""
        reaches = (start or 0) < self.base and (stop is None or stop > 0)
        return [self.summary] if self.summary is not None and reaches else []
