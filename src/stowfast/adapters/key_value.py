"""py-key-value: collections of keys with JSON values that may expire, as FastMCP and others store them."""

from __future__ import annotations

import asyncio
import json
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from stowfast.adapters.decoding import decoding
from stowfast.adapters.extras import extra
from stowfast.adapters.ids import joined
from stowfast.adapters.opener import Opener
from stowfast.errors import ConflictError, DamagedError, InvalidError, UnavailableError

with extra("key-value"):
    from key_value.aio.errors import DeserializationError, SerializationError, StoreConnectionError
    from key_value.aio.stores.base import (
        BaseContextManagerStore,
        BaseDestroyCollectionStore,
        BaseDestroyStore,
        BaseEnumerateCollectionsStore,
        BaseEnumerateKeysStore,
        ManagedEntry,
    )

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Iterable, Iterator, Sequence

    from stowfast import sync
    from stowfast.records import Document
    from stowfast.stores import Stores

__all__ = ["StowfastKeyValueStore"]

R = TypeVar("R")

_ROOT: Final = "key_value"
_PAGE: Final = 1_000
_AT_ONCE: Final = 16
"""Calls of one bulk call that run side by side."""


class StowfastKeyValueStore(
    BaseContextManagerStore,
    BaseEnumerateCollectionsStore,
    BaseEnumerateKeysStore,
    BaseDestroyCollectionStore,
    BaseDestroyStore,
):
    """An `AsyncKeyValue` store of py-key-value over Stowfast. A key is one document.

    After `put` returns, the value is stored: every process reads it, also after a crash. Of two deletes of a key one
    returns True. A time to live counts by the clock of the backend, so machines whose clocks differ agree on it. Bulk
    calls are many single calls side by side: after an error some are done. Collections and keys may be any
    Unicode text of any length.

    `keys` and `collections` are sorted by their stored form, whole without a `limit`, and hold no expired key.
    `collections` reads the names of all keys. Use encryption and limits of py-key-value around this store.

    Args:
        stores: a URL, or open stores.
        scope: the scope of these stores to use.
        default_collection: the collection of calls without one.
        seed: values to put when the store is first used, as `{collection: {key: value}}`.
        within: the time for repeats of a call without an answer; None: no repeats.
        options: options for the URL.

    Raises:
        SerializationError: JSON cannot store a value, or it has over 64 MiB. Nothing was stored.
        StoreConnectionError: no answer came. A write may be stored.
        DeserializationError: the stored bytes of a value do not decode.
    """

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        scope: str | None = None,
        default_collection: str | None = None,
        seed: dict[str, dict[str, dict[str, Any]]] | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        self._opener = Opener(stores, scope=scope, within=within, **options)
        super().__init__(default_collection=default_collection, seed=seed, stable_api=True)

    async def _setup(self) -> None:
        with _translated():
            await self._opener.open()
        self._exit_stack.push_async_callback(self._opener.close)

    async def _get_managed_entry(self, *, collection: str, key: str) -> ManagedEntry | None:
        with _translated():
            stores = await self._opener.open()
            document = await stores.documents.get(joined(_ROOT, collection, key))
            if document is None:
                return None
            expires_at = document.expires_at
            if expires_at is not None:
                # The base class asks this machine's clock. The backend's own has judged already.
                left = expires_at - datetime.fromtimestamp((await stores.backend.now()) / 1e6, UTC)
                expires_at = datetime.now(UTC) + max(left, timedelta(milliseconds=1))
            with decoding(f"the key {key!r}"):
                value = document.data["value"]
            return ManagedEntry(value=value, created_at=document.created_at, expires_at=expires_at)

    async def _get_managed_entries(self, *, collection: str, keys: Sequence[str]) -> list[ManagedEntry | None]:
        return await _side_by_side(self._get_managed_entry(collection=collection, key=key) for key in keys)

    async def _put_managed_entry(self, *, collection: str, key: str, managed_entry: ManagedEntry) -> None:
        begins, ends = managed_entry.created_at, managed_entry.expires_at
        ttl = None if begins is None or ends is None else ends - begins
        with _translated():
            documents = (await self._opener.open()).documents
            # A long id holds only the digest of the key, so the names stand beside the value.
            # Through their JSON, as all their stores: a tuple becomes a list.
            data = {"collection": collection, "key": key, "value": json.loads(managed_entry.value_as_json)}
            await documents.put(joined(_ROOT, collection, key), data, ttl=ttl)

    async def _put_managed_entries(
        self, *, collection: str, keys: Sequence[str], managed_entries: Sequence[ManagedEntry], **_: Any
    ) -> None:
        await _side_by_side(
            self._put_managed_entry(collection=collection, key=key, managed_entry=entry)
            for key, entry in zip(keys, managed_entries, strict=True)
        )

    async def _delete_managed_entry(self, *, key: str, collection: str) -> bool:
        with _translated():
            return await self._delete(joined(_ROOT, collection, key))

    async def _delete_managed_entries(self, *, keys: Sequence[str], collection: str) -> int:
        return sum(await _side_by_side(self._delete_managed_entry(key=key, collection=collection) for key in keys))

    async def _get_collection_keys(self, *, collection: str, limit: int | None = None) -> list[str]:
        if limit is not None and limit < 1:
            return []
        found: list[str] = []
        # A page of no more than is wanted: on a bucket each key of it is a request.
        async for document in self._below(_ROOT, collection, "", page=min(limit or _PAGE, _PAGE)):
            found.append(document.data["key"])
            if len(found) == limit:
                break
        return found

    async def _get_collection_names(self, *, limit: int | None = None) -> list[str]:
        found: dict[str, None] = {}
        async for document in self._below(_ROOT, ""):
            if limit is not None and len(found) >= limit:
                break
            found[document.data["collection"]] = None
        return list(found)

    async def _delete_collection(self, *, collection: str) -> bool:
        return await self._delete_below(_ROOT, collection, "") > 0

    async def _delete_store(self) -> bool:
        await self._delete_below(_ROOT, "")
        return True

    async def _delete(self, document_id: str) -> bool:
        documents = (await self._opener.open()).documents
        while (found := await documents.get(document_id)) is not None:
            try:
                await documents.delete(document_id, expect=found)
            except ConflictError:
                continue  # a put or another delete came first
            return True
        return False

    async def _below(self, *parts: str, page: int = _PAGE) -> AsyncIterator[Document]:
        """Yield the documents below an id, page by page."""
        documents, after = (await self._opener.open()).documents, None
        while True:
            with _translated():
                found = await documents.list(prefix=joined(*parts), order="id", after=after, limit=page)
            for document in found:
                yield document
            if (after := found.next) is None:
                return

    async def _delete_below(self, *parts: str) -> int:
        documents, count = (await self._opener.open()).documents, 0
        while found := [document.document_id async for document in self._below(*parts)]:
            with _translated():
                await _side_by_side(documents.delete(document_id) for document_id in found)
            count += len(found)
        return count


@contextmanager
def _translated() -> Iterator[None]:
    """Raise errors of Stowfast as those of py-key-value, with ours as the cause."""
    try:
        yield
    except InvalidError as error:
        raise SerializationError(str(error)) from error
    except UnavailableError as error:
        raise StoreConnectionError(str(error)) from error
    except DamagedError as error:
        raise DeserializationError(str(error)) from error


async def _side_by_side(calls: Iterable[Awaitable[R]]) -> list[R]:
    """Await calls, a bounded number at once. All of them end, then the first error is raised."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def alone(call: Awaitable[R]) -> R:
        async with free:
            return await call

    found = await asyncio.gather(*map(alone, calls), return_exceptions=True)
    for one in found:
        if isinstance(one, BaseException):
            raise one
    return [one for one in found if not isinstance(one, BaseException)]
