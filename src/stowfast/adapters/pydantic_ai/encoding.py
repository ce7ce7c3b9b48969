"""Records and entries of Pydantic AI as bytes, and back.

A conversation is one stream. Each message is an entry with the ids of itself and of the message before it. The record
is the note; a large record is the last entry of the stream instead, and each save replaces it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from stowfast.adapters.extras import extra
from stowfast.errors import DamagedError, InvalidError

with extra("pydantic-ai"):
    from pydantic import ConfigDict, TypeAdapter, ValidationError
    from pydantic_ai.conversation_store import ConversationEntry, ConversationRecord
    from pydantic_ai.messages import ModelMessagesTypeAdapter
    from pydantic_core import PydanticSerializationError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "NOTHING",
    "RecordNote",
    "StoredEntry",
    "read_entries",
    "read_line",
    "read_note",
    "read_record",
    "write_entry",
    "write_record",
]

MAX_NOTE_RECORD: Final = 32 * 2**10
"""Bytes of a record in the head. A bucket uploads the head with each commit, so a head stays small."""

NOTHING: Final = msgspec.Raw(b"null")
_MESSAGE: Final = "message"
# A list, because a dataclass takes no configuration of its own. The configuration is that of the messages.
_records: Final = TypeAdapter(
    list[ConversationRecord], config=ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
)


class StoredEntry(msgspec.Struct):
    """One entry of the stream: a message with its ids, or a large record, which has no id."""

    id: str | None = None
    parent_id: str | None = None
    kind: str = _MESSAGE
    message: msgspec.Raw = NOTHING
    record: msgspec.Raw = NOTHING


class RecordNote(msgspec.Struct):
    """The note of a conversation. `record` is NOTHING where the last entry holds it."""

    record: msgspec.Raw = NOTHING
    is_running: bool = False
    """A run has saved, and has not ended yet."""


_entries: Final = msgspec.json.Decoder(StoredEntry)
_notes: Final = msgspec.json.Decoder(RecordNote)


def write_entry(entry: ConversationEntry) -> bytes:
    """Return an entry as bytes.

    Raises:
        InvalidError: the message has no JSON form.
    """
    try:
        message = ModelMessagesTypeAdapter.dump_json([entry.message])[1:-1]
        return msgspec.json.encode(StoredEntry(entry.id, entry.parent_id, entry.kind, msgspec.Raw(message)))
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise InvalidError(f"a message has no JSON form: {error}") from error


def write_record(record: ConversationRecord, *, is_running: bool) -> tuple[bytes, bytes | None]:
    """Return the note of a record, and the entry that holds the record if it is large.

    Raises:
        InvalidError: the record has no JSON form.
    """
    try:
        data = msgspec.Raw(_records.dump_json([record])[1:-1])
    except (PydanticSerializationError, UnicodeEncodeError) as error:
        raise InvalidError(f"the record has no JSON form: {error}") from error
    if len(data) <= MAX_NOTE_RECORD:
        return msgspec.json.encode(RecordNote(data, is_running)), None
    return msgspec.json.encode(RecordNote(NOTHING, is_running)), msgspec.json.encode(StoredEntry(record=data))


def read_note(note: bytes, stream: str) -> RecordNote:
    """Return the note of a stream.

    Raises:
        DamagedError: the bytes are no such note.
    """
    try:
        return _notes.decode(note)
    except msgspec.MsgspecError as error:
        raise DamagedError(f"{stream}: the note holds no record of a conversation") from error


def read_record(data: msgspec.Raw, stream: str) -> ConversationRecord:
    """Return a record from its JSON.

    Raises:
        DamagedError: there is none, it does not decode, or a newer release of the framework wrote it.
    """
    try:
        return _records.validate_json(b"[" + bytes(data) + b"]")[0]
    except ValidationError as error:
        raise DamagedError(f"{stream}: the record does not decode with this release of Pydantic AI") from error


def read_line(data: bytes, stream: str) -> StoredEntry:
    """Return an entry of a stream. Its message is not decoded yet.

    Raises:
        DamagedError: the bytes are no entry of a conversation.
    """
    try:
        return _entries.decode(data)
    except msgspec.MsgspecError as error:
        raise DamagedError(f"{stream}: an entry is no message of a conversation") from error


def read_entries(lines: Sequence[StoredEntry], stream: str) -> list[ConversationEntry]:
    """Return the entries of these lines, all messages decoded in one pass.

    Raises:
        DamagedError: one does not decode, or a newer release of the framework wrote it.
    """
    if any(line.kind != _MESSAGE for line in lines):
        raise DamagedError(f"{stream}: an entry has a kind that this release of Pydantic AI does not know")
    try:
        messages = ModelMessagesTypeAdapter.validate_json(
            b"[" + b",".join(bytes(line.message) for line in lines) + b"]"
        )
        return [
            ConversationEntry(id=line.id or "", parent_id=line.parent_id, message=message)
            for line, message in zip(lines, messages, strict=True)
        ]
    except ValueError as error:
        raise DamagedError(f"{stream}: a message does not decode with this release of Pydantic AI") from error
