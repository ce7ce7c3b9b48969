"""The stored form of a document: data and metadata in the head if they are small, else in the newest entry."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from stowfast.abc import Change
from stowfast.errors import DamagedError
from stowfast.names import moment_after
from stowfast.records import Document
from stowfast.stores.codec import decode, encode, to_time
from stowfast.stores.labels import check_metadata, metadata_labels

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stowfast.abc import Entry, Head, Receipt

__all__ = ["KIND", "in_head", "read_document", "stored_document", "write_document"]

KIND: Final = "documents"

_MAX_NOTE_BYTES: Final = 32 * 2**10
"""A larger document is an entry, which listings read with a request of its own. Every commit to a bucket uploads the
head, so a head stays small."""
_EVERY_ENTRY: Final = 2**62


def write_document(data: Any, metadata: Mapping[str, Any]) -> Change:
    """Return the change that replaces a document: without conditions, expiry and op_id.

    Each put appends an entry, so positions count versions. An entry without bytes stands for a document in the head.

    Raises:
        InvalidError: JSON cannot store the data or the metadata, or they have over 64 MiB.
    """
    body = encode({"data": data, "metadata": check_metadata(metadata)}, "the document")
    small = len(body) <= _MAX_NOTE_BYTES
    return Change(
        entries=(b"" if small else body,),
        note=body if small else b"",
        labels=metadata_labels(metadata),
        drop_before=_EVERY_ENTRY,
    )


def in_head(head: Head) -> bool:
    """Return True if the head holds the document."""
    return bool(head.note)


def read_document(head: Head, entries: Sequence[Entry] = ()) -> Document:
    """Return a document from its head, and from its newest entry if the head does not hold it.

    Raises:
        DamagedError: there is no such entry, or the bytes are no document.
    """
    document_id = head.name.partition("/")[2]
    where = f"document {document_id!r}"
    if not (in_head(head) or entries):
        raise DamagedError(f"{where}: it has no entry")
    found = decode(head.note or entries[-1].data, where)
    try:
        data, metadata = found["data"], found["metadata"]
    except (KeyError, TypeError) as error:
        raise DamagedError(f"{where}: the stored bytes are no document") from error
    return Document(
        document_id=document_id,
        data=data,
        metadata=metadata,
        version=head.next,
        created_at=to_time(head.created_at),
        updated_at=to_time(head.updated_at),
        expires_at=None if head.expires_at is None else to_time(head.expires_at),
        incarnation=head.incarnation,
    )


def stored_document(document: Document, receipt: Receipt, change: Change, before: Head | None) -> Document:
    """Return a document as a commit stored it.

    Args:
        document: its data and metadata.
        receipt: of the commit.
        change: of the commit.
        before: the head before the commit.
    """
    same = before is not None and before.incarnation == receipt.incarnation
    expires_at = change.expires_at if change.ttl is None else moment_after(receipt.committed_at, change.ttl)
    return replace(
        document,
        version=receipt.next,
        created_at=to_time(before.created_at if before is not None and same else receipt.committed_at),
        updated_at=to_time(receipt.committed_at),
        expires_at=None if expires_at is None else to_time(expires_at),
        incarnation=receipt.incarnation,
    )
