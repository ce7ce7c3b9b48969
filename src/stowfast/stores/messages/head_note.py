"""The note of a conversation: its metadata and its summary, kept in the head of the stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from stowfast.errors import DamagedError, InvalidError
from stowfast.stores.codec import decode, encode, encode_head

if TYPE_CHECKING:
    from stowfast.abc import Head

__all__ = ["ConversationNote"]

_LONGEST_LABEL: Final = 500


class ConversationNote(NamedTuple):
    """The metadata as given, and the summary of the messages below `Head.base`."""

    metadata: dict[str, Any]
    summary: dict[str, Any] | None
    base: int = 0

    @classmethod
    def read(cls, head: Head | None) -> ConversationNote:
        """Decode the note of a head; an empty note if there is none."""
        if head is None or not head.note:
            return cls({}, None)
        found = decode(head.note, head.name)
        try:
            return cls(found["metadata"], found["summary"], head.base)
        except (KeyError, TypeError) as error:
            raise DamagedError(f"{head.name}: the note is not one of a conversation") from error

    def write(self) -> bytes:
        """Return the bytes for `Change.note`.

        Raises:
            InvalidError: they are over 64 KiB.
        """
        if not self.metadata and self.summary is None:
            return b""
        return encode_head({"metadata": self.metadata, "summary": self.summary}, "metadata with the summary")

    def standing_for(self, start: int | None, stop: int | None) -> list[dict[str, Any]]:
        """Return the summary, if the window includes a summarized message."""
        reaches = (start or 0) < self.base and (stop is None or stop > 0)
        return [self.summary] if self.summary is not None and reaches else []

    @staticmethod
    def labels(metadata: dict[str, Any], *, strict: bool = False) -> dict[str, str]:
        """Return the short scalars of the metadata as JSON, as labels for listings.

        Raises:
            InvalidError: with `strict`, for a value that is not a short scalar.
        """
        found = {}
        for key, value in metadata.items():
            if not isinstance(value, dict | list):
                label = encode({key: value}, "metadata")
                if len(label) <= _LONGEST_LABEL:
                    found[key] = encode(value, "metadata").decode()
                    continue
            if strict:
                raise InvalidError(f"where: {key!r} is not a short text, a number, a boolean or None")
        return found
