"""Streams of a source, in the form in which the stores keep them, and the checks of foreign values on their way."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from operator import eq
from typing import TYPE_CHECKING, Any, Final, NoReturn, TypeAlias

from stowfast.abc import Change
from stowfast.errors import InvalidError
from stowfast.stores.codec import from_time, stream_name
from stowfast.stores.documents.body import KIND as DOCUMENTS
from stowfast.stores.documents.body import write_document
from stowfast.stores.labels import check_metadata
from stowfast.stores.messages.contexts import KIND as MESSAGES
from stowfast.stores.messages.encoding import encode_message
from stowfast.stores.messages.metadata import change_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stowfast.moving import Difference

__all__ = [
    "Found",
    "Reader",
    "SourceEntry",
    "SourceStream",
    "conversation",
    "document",
    "json_of",
    "list_of",
    "moment_of",
    "object_of",
    "optional_list",
    "optional_text",
    "text_of",
]

SourceEntry: TypeAlias = tuple[int | None, bytes]
"""The time of an entry, in microseconds since 1970, and its bytes. None: the source has no time."""
Found: TypeAlias = "SourceStream | Difference"
"""A stream; or a name, and the reason against an import."""
Reader: TypeAlias = "Callable[[dict[str, Any], str], dict[str, Any]]"
"""Makes the message of a JSON object of the source. The text names the message, for errors."""

_MICROSECONDS: Final = 1_000_000
_ID_BYTES: Final = 16
_SHOWN: Final = 80
_PLAIN: Final = Change()


@dataclass(frozen=True)
class SourceStream:
    """One stream of a source. Its entries are read once, and each may be an InvalidError."""

    name: str
    entries: Iterator[SourceEntry]
    change: Change = _PLAIN
    """Labels, note and base of the head."""
    newest_only: bool = False
    """A document: its one entry replaces the entry before it, as a `put` does."""
    equal: Callable[[bytes, bytes], bool] = eq
    """Whether two entries are the same one."""
    content: bytes | None = None
    """The content of an artifact whose one entry names a blob: each place has an id of its own for it."""

    @property
    def incarnation(self) -> str:
        """The incarnation of the imported stream, the same in each import."""
        return sha256(b"import\0" + self.name.encode()).digest()[:_ID_BYTES].hex()


def conversation(
    context_id: str,
    messages: Iterable[tuple[object, object]],
    metadata: dict[str, Any] | None = None,
    *,
    read: Reader | None = None,
) -> SourceStream:
    """Return a conversation.

    Args:
        context_id: its id.
        messages: a time, as for `moment_of`, and JSON text or a JSON object, each.
        metadata: its metadata.
        read: makes the message of a JSON object of the source, and takes its name for errors.

    Raises:
        InvalidError: JSON cannot store the metadata.
    """
    change = _PLAIN if metadata is None else change_of(check_metadata(metadata), None)

    def entries() -> Iterator[SourceEntry]:
        yield from ((None, data) for data in change.entries)
        for number, (moment, message) in enumerate(messages):
            what = f"message {number:,}"
            found = message if isinstance(message, dict) else json_of(message, what)
            if read is not None and isinstance(found, dict):
                found = read(found, what)
            yield moment_of(moment), encode_message(found, what)

    return SourceStream(stream_name(MESSAGES, "context_id", context_id), entries(), change)


def document(document_id: str, data: Any, moment: object = None) -> SourceStream:
    """Return a document.

    Raises:
        InvalidError: JSON cannot store it.
    """
    change = write_document(data, {})
    entries = ((moment_of(moment), entry) for entry in change.entries)
    return SourceStream(stream_name(DOCUMENTS, "document_id", document_id), entries, change, newest_only=True)


def object_of(value: object, what: str) -> dict[str, Any]:
    """Return the JSON object of JSON text.

    Raises:
        InvalidError: it is none.
    """
    found = json_of(value, what)
    if not isinstance(found, dict):
        raise InvalidError(f"{what} is no JSON object")
    return found


def list_of(value: object, what: str) -> list[Any]:
    """Return a list as it is.

    Raises:
        InvalidError: it is none.
    """
    if not isinstance(value, list):
        raise InvalidError(f"{what} are no list")
    return value


def optional_list(value: object, what: str) -> list[Any]:
    """Return a list as `list_of` does, and an empty one for None."""
    return [] if value is None else list_of(value, what)


def optional_text(value: object, what: str) -> str | None:
    """Return a text as `text_of` does, and None as it is."""
    return None if value is None else text_of(value, what)


def json_of(value: object, what: str) -> Any:
    """Return the value of JSON text, as Python reads it.

    Raises:
        InvalidError: it is no JSON, such as pickled bytes.
    """
    try:
        return json.loads(text_of(value, what), parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidError(f"{what} is no JSON: {error}") from error


def text_of(value: object, what: str) -> str:
    """Return the text of a database's text or bytes.

    Raises:
        InvalidError: it is no text, or no UTF-8.
    """
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        raise InvalidError(f"{what} is no text, but {type(value).__name__}")
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise InvalidError(f"{what} is no UTF-8 text") from error


def moment_of(value: object) -> int | None:
    """Return a time as microseconds since 1970; None: it cannot be read.

    Args:
        value: seconds since 1970, a datetime, or its ISO text. Without a time zone it is UTC.
    """
    try:
        if isinstance(value, bytes | str):
            value = datetime.fromisoformat(text_of(value, "a time"))
        if isinstance(value, datetime):
            return from_time(value if value.tzinfo else value.replace(tzinfo=UTC), "a time")
        return round(value * _MICROSECONDS) if isinstance(value, int | float) else None
    except (ValueError, OverflowError, InvalidError):
        return None


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text[:_SHOWN]} is no number of JSON")
