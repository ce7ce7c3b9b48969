"""Clauses of documents: values as given, versions, races, lost answers, expiry."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from stowfast.errors import ConflictError, InvalidError, NotFoundError, UnavailableError
from stowfast.records import Document
from stowfast.stores import Stores
from stowfast.testing.clause import clauses, either, holds, raises, same, unique
from stowfast.testing.data.messages import MESSAGES, exactly, refused
from stowfast.testing.faults import LosesAnswers
from stowfast.testing.protocols import AS_GIVEN, LOOK_ALIKES
from stowfast.testing.tasks.states import noise
from stowfast.wrappers import Shared

if TYPE_CHECKING:
    from stowfast.testing.clause import Make

_LARGE: Final = noise(100_000)
_HOUR: Final = timedelta(hours=1)
_TEN_THOUSAND_YEARS: Final = timedelta(days=3_652_000)
_LAST_MOMENT: Final = datetime.max.replace(tzinfo=UTC)
_LONG_AGO: Final = datetime(2001, 9, 9, tzinfo=UTC)


async def a_document_is_returned_as_given(make: Make[Stores]) -> None:
    """A document is any JSON value, small or large, and is returned exactly as put, with its metadata."""
    values: list[Any] = [*MESSAGES, [], "", "text", 0, 1.0, None, False, [AS_GIVEN], _LARGE, {"large": _LARGE}]
    document = unique("document")
    async with make() as stores:
        same(await stores.documents.get(document), None, "an unknown document")
        for version, value in enumerate(values, 1):
            metadata = {"n": version, "large": _LARGE} if version % 3 == 0 else {"n": version}
            same(await stores.documents.put(document, value, metadata=metadata), version, "the version of a put")
            found = await _there(stores, document)
            exactly((found.data, found.metadata), (value, metadata), "a document")
            same((found.version, found.document_id, found.expires_at), (version, document, None), "its facts")
            holds(found.created_at and found.updated_at and found.created_at <= found.updated_at, "its times in order")
    async with make() as stores:
        exactly((await _there(stores, document)).data, values[-1], "a document after reopening")
        await stores.documents.put(document, "new")
        exactly((await _there(stores, document)).metadata, {}, "metadata of a put without any")


async def a_document_outside_json_is_refused(make: Make[Stores]) -> None:
    """Data or metadata that JSON cannot return is an InvalidError, and the earlier document stays."""
    async with make() as stores:
        document = unique("document")
        await stores.documents.put(document, {"n": 1}, metadata={"n": 1})
        for name, value in refused():
            await raises(InvalidError, stores.documents.put(document, value), f"{name} as data")
            await raises(InvalidError, stores.documents.put(document, 1, metadata={"k": value}), f"{name} in metadata")
        no_object: Any = ["n"]
        await raises(InvalidError, stores.documents.put(document, 1, metadata=no_object), "metadata that is a list")
        found = await _there(stores, document)
        exactly((found.data, found.metadata, found.version), ({"n": 1}, {"n": 1}, 1), "the earlier document")


async def look_alike_documents_are_different(make: Make[Stores]) -> None:
    """Ids that look alike name different documents, and no document is a conversation or a task."""
    token = unique("document")
    async with make() as stores:
        for name in LOOK_ALIKES:
            await stores.documents.put(f"{token}{name}", name)
        for name in LOOK_ALIKES:
            exactly((await _there(stores, f"{token}{name}")).data, name, f"document {name!r}")
            same(await stores.messages.info(f"{token}{name}"), None, "a conversation with the id of a document")
            same(await stores.tasks.info(f"{token}{name}"), None, "a task with the id of a document")


async def a_put_replaces_the_version_it_expects(make: Make[Stores]) -> None:
    """`expect` is a version, 0 for none, or a document of `get`; another one is a ConflictError with the `current`."""
    async with make() as stores:
        document, documents = unique("document"), stores.documents
        error = await raises(ConflictError, documents.put(document, 1, expect=1), "a version of an unknown document")
        same(error.current, 0, "`current`")
        same(await documents.put(document, 1, expect=0), 1, "the first version")
        error = await raises(ConflictError, documents.put(document, 2, expect=0), "a document that exists")
        same(error.current, 1, "`current`")
        first = await _there(stores, document)
        same(await documents.put(document, 2, expect=first), 2, "the version after a document of `get`")
        await raises(ConflictError, documents.put(document, 3, expect=first), "an earlier document")
        await raises(ConflictError, documents.delete(document, expect=first), "a delete of an earlier document")
        exactly((await _there(stores, document)).data, 2, "a document after refused calls")
        await documents.delete(document)
        await documents.put(document, "next life")
        await raises(ConflictError, documents.put(document, 3, expect=first), "a document of an earlier life")
        await documents.delete(document, expect=1)
        same(await documents.get(document), None, "a deleted document")


async def of_racing_puts_that_expect_the_same_one_wins(make: Make[Stores]) -> None:
    """Of concurrent puts over one version, through any opening, one wins, and the others are ConflictErrors."""
    async with make() as one, make() as other:
        document = unique("document")
        for version in range(4):
            racing = [(one, other)[n % 2].documents.put(document, [version, n], expect=version) for n in range(8)]
            results = await asyncio.gather(*(either(put, ConflictError) for put in racing))
            won = [n for n, result in enumerate(results) if result == version + 1]
            same(len(won), 1, "winners")
            exactly((await _there(one, document)).data, [version, won[0]], "the document of the winner")


async def updates_of_a_document_all_count(make: Make[Stores]) -> None:
    """Concurrent updates are each applied once, from the default on: a counter counts them all."""
    async with make() as one, make() as other:
        document = unique("document")

        def count(found: Document) -> None:
            found.data["count"] += 1
            found.metadata["even"] = found.data["count"] % 2 == 0

        async def count_later(found: Document) -> Document:
            await asyncio.sleep(0)
            count(found)
            return Document(document_id=document, data=found.data, metadata=found.metadata)

        await raises(NotFoundError, one.documents.update(document, count), "an update without a default")
        racing = [
            (one, other)[n % 2].documents.update(document, count_later if n % 3 else count, default={"count": 0})
            for n in range(18)
        ]
        versions = sorted(found.version for found in await asyncio.gather(*racing))
        same(versions, list(range(1, 19)), "versions of concurrent updates")
        found = await _there(other, document)
        exactly((found.data, found.metadata), ({"count": 18}, {"even": True}), "a counter")


async def an_update_returns_the_stored_document(make: Make[Stores]) -> None:
    """An update returns the document as `get` does; an error of its function stores nothing."""
    async with make() as stores:
        document = unique("document")

        def grow(found: Document) -> None:
            found.data.append(len(found.data))
            found.expires_at = datetime(2100, 1, 1, tzinfo=UTC)

        def fail(_: Document) -> None:
            raise ZeroDivisionError

        for _ in range(3):
            same(await stores.documents.update(document, grow, default=[]), await _there(stores, document), "an update")
        await raises(ZeroDivisionError, stores.documents.update(document, fail), "a failing function")
        found = await _there(stores, document)
        exactly((found.data, found.version), ([0, 1, 2], 3), "a document")


async def a_lost_answer_doubles_no_put(make: Make[Stores]) -> None:
    """A put or update repeated under its op_id after a lost answer is made once, and returns the first result."""
    async with make() as stores:
        document, lossy = unique("document"), LosesAnswers(Shared(stores.backend), count=0)
        lost = Stores(lossy).documents
        for number in range(1, 4):
            lossy.lose = 1
            await raises(UnavailableError, lost.put(document, number, op_id=f"put {number}"), "a lost answer")
            version = await lost.put(document, number, op_id=f"put {number}")
            lossy.lose = 1
            await raises(UnavailableError, lost.update(document, _more, op_id=f"more {number}"), "a lost answer")
            found = await lost.update(document, _more, op_id=f"more {number}")
            same((version, found.version), (2 * number - 1, 2 * number), "versions")
            exactly(found.data, number + 1, "the document after an update that was repeated")


async def a_deleted_document_leaves_nothing(make: Make[Stores]) -> None:
    """A deleted document is unknown; the next put begins at version 1, without any metadata or expiry of the past."""
    async with make() as stores:
        document = unique("document")
        for data in ("small", _LARGE):
            await stores.documents.put(document, data, metadata={"k": document}, ttl=_HOUR)
            await stores.documents.delete(document)
            same(await stores.documents.get(document), None, "a deleted document")
            same((await stores.documents.list(prefix=document)).items, [], "a list after a delete")
            await raises(NotFoundError, stores.documents.set_expiry(document, None), "an expiry of nothing")
        same(await stores.documents.put(document, "new", expect=0), 1, "the version of the next put")
        found = await _there(stores, document)
        exactly((found.data, found.metadata, found.expires_at), ("new", {}, None), "the next life")
        await stores.documents.delete(unique("never there"))


async def a_document_expires(make: Make[Stores]) -> None:
    """`ttl` counts from each put, `expires_at` is a moment, a put without both never expires, and gone is gone."""
    async with make() as stores:
        document, documents = unique("document"), stores.documents
        for _ in range(2):
            await documents.put(document, 1, ttl=_HOUR)
            found = await _there(stores, document)
            same(found.expires_at, found.updated_at and found.updated_at + _HOUR, "an expiry by ttl")
        moment = datetime(2100, 1, 1, 12, 30, 15, 123456, tzinfo=UTC)
        await documents.put(document, 1, expires_at=moment)
        same((await _there(stores, document)).expires_at, moment, "an expiry by a moment")
        await documents.set_expiry(document, moment + _HOUR)
        found = await _there(stores, document)
        same((found.expires_at, found.version), (moment + _HOUR, 3), "an expiry set later")
        await documents.put(document, 1)
        same((await _there(stores, document)).expires_at, None, "the expiry of a put without one")
        await raises(InvalidError, documents.put(document, 1, ttl=_HOUR, expires_at=moment), "both at once")
        changed = await documents.update(document, lambda found: None, ttl=_TEN_THOUSAND_YEARS)
        same(changed.expires_at, _LAST_MOMENT, "the expiry by a ttl beyond the year 9999")
        same((await _there(stores, document)).expires_at, _LAST_MOMENT, "the same expiry, as stored")
        await documents.set_expiry(document, _LONG_AGO)
        same(await documents.get(document), None, "an expired document")
        same((await documents.list(prefix=document)).items, [], "a list after the expiry")
        same(await documents.put(document, 2, expect=0), 1, "the version of the next put")


def _more(found: Document) -> None:
    found.data += 1


async def _there(stores: Stores, document: str) -> Document:
    found = await stores.documents.get(document)
    if found is None:
        raise AssertionError(f"{document} is not there")
    return found


CLAUSES = clauses(__name__)
