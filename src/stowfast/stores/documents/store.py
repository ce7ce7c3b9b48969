"""Documents: small shared JSON values by id, such as settings, the state of a user, or push configurations.

A document is a stream with its newest version only. Use tasks for a history of versions and for leases.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, Literal

from stowfast.abc import KEEP, Change, Slice, Window
from stowfast.errors import ConflictError, DamagedError, InvalidError, NotFoundError, StowfastError
from stowfast.names import check_call
from stowfast.records import Document, Page
from stowfast.stores.codec import check_integers, from_duration, from_time, stream_name
from stowfast.stores.documents.body import KIND, in_head, read_document, stored_document, write_document
from stowfast.stores.labels import wanted_labels
from stowfast.stores.listing import list_query
from stowfast.stores.optimistic import Race

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime, timedelta

    from stowfast.abc import Backend

__all__ = ["Documents"]

_NEWEST: Final = Window(limit=1, newest=True)
_ABSENT: Final = object()


class Documents:
    """The documents of a backend. A put replaces a document whole, in one commit."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    async def get(self, document_id: str) -> Document | None:
        """Return a document; None for an unknown or expired one."""
        head, entries = await self._backend.read(stream_name(KIND, "document_id", document_id), _NEWEST)
        return None if head is None else read_document(head, entries)

    async def put(
        self,
        document_id: str,
        data: Any,
        *,
        metadata: Mapping[str, Any] | None = None,
        expect: Document | int | None = None,
        expires_at: datetime | None = None,
        ttl: timedelta | None = None,
        op_id: str | None = None,
    ) -> int:
        """Store a document, new or in place of the whole earlier one, and return its version.

        Without `expect` the last put wins.

        Args:
            document_id: 1 to 1,024 bytes of text.
            data: any JSON value, up to 64 MiB. Up to 32 KiB a listing returns it without a request of its own.
            metadata: a JSON object. `list(where=...)` selects by its texts, numbers, booleans and None.
            expect: the document that this put replaces, as `get` returned it, or its version; 0: it must not exist.
            expires_at: the document is gone after this time.
            ttl: the document is gone so long after this put, by the backend's clock. Not together with `expires_at`.
            op_id: the idempotency key of this put. A repeat after a lost answer stores nothing and returns the
                version of the first call.

        Raises:
            ConflictError: the document has another version, its `current`: get it again, then decide.
            InvalidError: JSON cannot store the data or the metadata. Nothing was stored.
            UnavailableError: it may be stored. Repeat the call with the same op_id.
        """
        stream = stream_name(KIND, "document_id", document_id)
        version = expect.version if isinstance(expect, Document) else expect
        check_integers(expect=version)
        change = write_document(data, {} if metadata is None else metadata)._replace(
            op_id=op_id,
            expect=version,
            incarnation=expect.incarnation if isinstance(expect, Document) else None,
            **_expiry(expires_at, ttl),
        )
        try:
            return (await self._backend.commit(stream, change)).next
        except ConflictError as error:
            raise ConflictError(
                f"document {document_id!r} is at version {error.current}, not at {version}: get it again, then decide",
                current=error.current,
            ) from error

    async def update(
        self,
        document_id: str,
        change: Callable[[Document], Document | Awaitable[Document | None] | None],
        *,
        default: Any = _ABSENT,
        ttl: timedelta | None = None,
        op_id: str | None = None,
    ) -> Document:
        """Read a document, let `change` change it, and store it over exactly the version that was read.

        After a racing change `change` runs again with the newer document, so it should have no other effect. An error
        of `change` ends the update, and nothing is stored.

        Args:
            document_id: the document.
            change: changes data, metadata or `expires_at` of the document, or returns another one. It may be async,
                but not in `stowfast.sync`.
            default: the data to start from if there is no such document.
            ttl: as for `put`; without it `expires_at` of the document holds.
            op_id: the idempotency key of this update. A repeat after a lost answer stores nothing and returns the
                document as it is now.

        Raises:
            NotFoundError: there is no such document, and no `default`.
            InvalidError: JSON cannot store the new data. Nothing was stored.
            UnavailableError: it may be stored. Repeat the call with the same op_id.
        """
        stream = stream_name(KIND, "document_id", document_id)
        check_call(change, "change")
        race = Race(f"document {document_id!r}")
        while True:
            head, entries = await self._backend.read(stream, _NEWEST)
            if head is None and default is _ABSENT:
                raise NotFoundError(f"there is no document {document_id!r}: put it first, or give a default")
            found = read_document(head, entries) if head else Document(document_id=document_id, data=default)
            changed = change(found)
            if inspect.isawaitable(changed):
                changed = await changed
            document = found if changed is None else changed
            if not isinstance(document, Document):
                raise InvalidError(f"an update returns a stowfast.Document or None, not {type(document).__name__}")
            write = write_document(document.data, document.metadata)._replace(
                op_id=op_id,
                expect=head.next if head else 0,
                revision=head.revision if head else 0,
                incarnation=head.incarnation if head else None,
                **_expiry(None if ttl is not None else document.expires_at, ttl),
            )
            receipt = await race.commit(self._backend, stream, write)
            if receipt is not None and not receipt.repeated:
                return stored_document(document, receipt, write, head)
            if receipt is not None:
                return await self._after_repeat(document_id)

    async def _after_repeat(self, document_id: str) -> Document:
        found = await self.get(document_id)
        if found is None:
            raise NotFoundError(f"document {document_id!r} was stored under this op_id, and is gone since")
        return found

    async def delete(self, document_id: str, *, expect: Document | int | None = None) -> None:
        """Remove a document for good. Deleting an unknown document does nothing.

        Args:
            document_id: the document.
            expect: remove exactly this version.

        Raises:
            ConflictError: the document has another version, its `current`.
        """
        stream = stream_name(KIND, "document_id", document_id)
        version = expect.version if isinstance(expect, Document) else expect
        check_integers(expect=version)
        incarnation = expect.incarnation if isinstance(expect, Document) else None
        await self._backend.commit(stream, Change(delete=True, expect=version, incarnation=incarnation))

    async def list(
        self,
        *,
        prefix: str = "",
        where: Mapping[str, Any] | None = None,
        order: Literal["recent", "id"] = "recent",
        after: str | None = None,
        limit: int = 100,
    ) -> Page[Document]:
        """List documents with their data, one page at a time, the last changed first or by id (in code points).

        While documents change, a page by recency may miss or repeat one; pages by id show every document that existed
        throughout. A document over 32 KiB costs a read of its own. One with damaged data is left out, and `damaged` of
        the page names it.

        Args:
            prefix: the start of the ids.
            where: metadata that the documents must have: text of at most 500 bytes, numbers, booleans or None.
            order: by the last change or by id.
            after: the `next` of the page before.
            limit: the most documents of a page.
        """
        found, following = await self._backend.streams(
            list_query(KIND, prefix, wanted_labels(where), order, after, limit)
        )
        large = [one.name for one in found if one.damaged or (one.head is not None and not in_head(one.head))]
        slices = await self._backend.read_many([(name, _NEWEST) for name in large])
        read = dict(zip(large, slices, strict=True))
        documents, damaged = [], []
        for listed in found:
            try:
                document = _document(read.get(listed.name, Slice(listed.head, [])))
            except DamagedError:
                damaged.append(listed.name.partition("/")[2])
                continue
            if document is not None:  # removed since the listing
                documents.append(document)
        return Page(documents, following, damaged)

    async def set_expiry(self, document_id: str, expires_at: datetime | None) -> None:
        """Let a document end at a moment, or with None never. Its version stays.

        Raises:
            NotFoundError: there is no such document.
        """
        stream = stream_name(KIND, "document_id", document_id)
        moment = None if expires_at is None else from_time(expires_at, "expires_at")
        (head,) = await self._backend.heads([stream])
        if head is None:
            raise NotFoundError(f"there is no document {document_id!r}")
        await self._backend.commit(stream, Change(expires_at=moment, incarnation=head.incarnation))


def _document(found: Slice | StowfastError) -> Document | None:
    if isinstance(found, StowfastError):
        raise found
    return None if found.head is None else read_document(found.head, found.entries)


def _expiry(expires_at: datetime | None, ttl: timedelta | None) -> dict[str, Any]:
    """Return the fields of a change for an expiry."""
    if ttl is None:
        return {"expires_at": None if expires_at is None else from_time(expires_at, "expires_at")}
    if expires_at is not None:
        raise InvalidError("expires_at and ttl: give one of them")
    return {"expires_at": KEEP, "ttl": from_duration(ttl, "ttl")}
