"""The stored form of an item: a document whose id is made of the namespace and the key."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.errors import DamagedError, InvalidError, shown
from stowfast.plain_json import to_json

with extra("langgraph"):
    from langgraph.store.base import Item, SearchItem

if TYPE_CHECKING:
    from collections.abc import Sequence

    from langgraph.store.base import PutOp

    from stowfast.records import Document

__all__ = ["change_time", "found_item", "item_id", "item_of", "labels_in", "lifetime", "prefix_of", "stored_item"]

_ROOT: Final = "langgraph-store"
_HASHED: Final = "%-"
"""The mark of a label that was too long for an id: see `stowfast.adapters.ids`."""


def item_id(namespace: Sequence[str], key: str) -> str:
    """Return the id of an item's document. Labels are never empty, so the first `//` ends the namespace."""
    return joined(_ROOT, *namespace, "", key)


def prefix_of(namespace: Sequence[str]) -> str:
    """Return the prefix of the ids of a namespace and of all namespaces in it."""
    return joined(_ROOT, *namespace, "")


def labels_in(document_id: str) -> tuple[str, ...] | None:
    """Return the namespace of an id; None if only the document tells it, as the id has a label's hash."""
    before, _, _ = f"/{document_id.removeprefix(f'{_ROOT}/')}".partition("//")
    if _HASHED in before:
        return None
    return tuple(unquote(label, errors="surrogatepass") for label in before.split("/")[1:])


def stored_item(op: PutOp) -> dict[str, Any]:
    """Return the data of a document for a put.

    Raises:
        InvalidError: the value has no JSON form, or is no mapping.
    """
    value = to_json(op.value)
    if not isinstance(value, dict):
        raise InvalidError(f"the value of an item must be a mapping, not a {type(op.value).__name__}")
    stored = {"namespace": list(op.namespace), "key": op.key, "value": value}
    return stored if op.ttl is None else {**stored, "ttl": op.ttl}


def lifetime(minutes: float | None) -> timedelta | None:
    """Return minutes as a duration.

    Raises:
        InvalidError: they are no number, none or less, or too many.
    """
    if minutes is None:
        return None
    try:
        duration = timedelta(minutes=minutes)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidError(f"ttl={shown(minutes)}: it must be a number of minutes") from error
    if duration <= timedelta(0):
        raise InvalidError(f"ttl={shown(minutes)}: it must be more than 0 minutes")
    return duration


def change_time(document: Document) -> datetime:
    """Return the time of the last put. A refresh stores a document anew, with that time in it."""
    kept = document.data.get("updated_at")
    if kept is not None:
        return datetime.fromisoformat(kept)
    if document.updated_at is None:
        raise DamagedError(f"document {document.document_id!r} has no time")
    return document.updated_at


def item_of(document: Document) -> Item:
    """Return the item of a document."""
    return Item(**_fields(document))


def found_item(document: Document) -> SearchItem:
    """Return the item of a document as a search finds it, without a score."""
    return SearchItem(**_fields(document))


def _fields(document: Document) -> dict[str, Any]:
    data = document.data
    return {
        "value": data["value"],
        "key": data["key"],
        "namespace": tuple(data["namespace"]),
        "created_at": document.created_at,
        "updated_at": change_time(document),
    }
