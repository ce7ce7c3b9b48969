"""`StowfastStore`: LangGraph's long-term memory, items by namespace and key, in a Stowfast store."""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from stowfast.abc import READS_TOGETHER, Query
from stowfast.adapters.closing import WithBothCloses
from stowfast.adapters.extras import extra
from stowfast.adapters.langgraph.filters import matches
from stowfast.adapters.langgraph.items import (
    change_time,
    found_item,
    item_id,
    item_of,
    labels_in,
    lifetime,
    prefix_of,
    stored_item,
)
from stowfast.adapters.opener import Opener
from stowfast.blocking import outcomes
from stowfast.errors import ConflictError, InvalidError, StowfastError, UnsupportedError
from stowfast.stores.codec import encode, stream_name

with extra("langgraph"):
    from langgraph.store.base import (
        BaseStore,
        GetOp,
        ListNamespacesOp,
        PutOp,
        SearchOp,
        TTLConfig,
        validate_op_namespace,
    )

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable, Sequence

    from langgraph.store.base import Item, MatchCondition, Op, Result, SearchItem

    from stowfast import sync
    from stowfast.records import Document
    from stowfast.stores import Stores

__all__ = ["StowfastStore"]

_DOCUMENTS: Final = "documents/"
_FILTERED_PAGE: Final = 100
_LONGEST_PAGE: Final = 1_000

_Write: TypeAlias = "tuple[dict[str, Any], timedelta | None] | None"
"""The data and the TTL of a put; None: a delete."""

_logger: Final = logging.getLogger(__name__)


class StowfastStore(WithBothCloses, BaseStore):
    """LangGraph's store in memory, a SQLite file, a bucket or PostgreSQL.

    An item is a document; its value is any mapping with a JSON form. A put that returned is stored durably, and the
    last put of an item wins. A lost answer stays inside: a put is repeated under one idempotency key. Both faces work
    on the same object, in any thread and event loop, `batch` on a running loop included.

    A batch reads first, then writes: its reads see the state before its puts, and of two puts of one item the last
    one counts. A batch with a value that cannot be stored stores nothing. A batch is not atomic: after an error or a
    cancellation each of its puts is stored or not.

    A search returns the last changed items first. It has no vectors: `query` is left aside, as in LangGraph's stores
    without an index, and `index` of a put has no effect.

    An item with a TTL is gone for every reader once its time is over, by the clock of the backend; `Stores.sweep`
    removes its bytes. A read prolongs it only with `refresh_on_read=True` in `ttl`, as in `SqliteStore` and
    `PostgresStore` of LangGraph. Each such read is a write, too.

    Args:
        stores: a URL, or open stores of either face.
        index: refused.
        ttl: `default_ttl` in minutes for puts without one, and `refresh_on_read`. Its other settings have no effect:
            expired items are always omitted, and no thread sweeps.
        scope: the scope of these stores to use.
        within: the time for repeats of a call without an answer; None: no repeats.
        options: options for the URL.

    Raises:
        UnsupportedError: an `index` was given.
        InvalidError: `stores` is neither a URL nor open stores, or an option is wrong.
    """

    supports_ttl = True

    def __init__(
        self,
        stores: str | Stores | sync.Stores,
        *,
        index: object = None,
        ttl: TTLConfig | None = None,
        scope: str | None = None,
        within: timedelta | None = timedelta(seconds=30),
        **options: Any,
    ) -> None:
        if index is not None:
            raise UnsupportedError("StowfastStore has no vectors: leave index out, or use a store with vector search")
        self.ttl_config = ttl
        self._refreshes = bool(ttl and ttl.get("refresh_on_read"))
        self._opener = Opener(stores, scope=scope, within=within, **options)

    async def abatch(self, ops: Iterable[Op]) -> list[Result]:
        """Do reads, then puts, and return the result of each in the given order.

        Raises:
            InvalidNamespaceError: a label is empty, is no text, or has a period. Nothing was stored.
            InvalidError: a value has no JSON form, a filter has an unknown operator, a limit is negative, or namespace
                and key have over 1,024 bytes together. Nothing was stored.
            UnavailableError: no answer. Each put of the batch may be stored: repeat the batch.
        """
        given = list(ops)
        writes: dict[str, _Write] = {}
        reads: list[Callable[[], Coroutine[Any, Any, Result]]] = []
        for op in given:
            validate_op_namespace(op)
            if isinstance(op, PutOp):
                writes[item_id(op.namespace, op.key)] = (
                    None if op.value is None else (stored_item(op), lifetime(op.ttl))
                )
            else:
                reads.append(self._read(op))
        if len(writes) > 1:
            for document_id, checked in writes.items():
                _check_write(document_id, checked)
        answers = iter(await _together(reads))
        results: list[Result] = [None if isinstance(op, PutOp) else next(answers) for op in given]
        await _together([partial(self._write, *one) for one in writes.items()])
        return results

    def batch(self, ops: Iterable[Op]) -> list[Result]:
        """As `abatch`."""
        return self._opener.run(self.abatch(ops))

    async def _write(self, document_id: str, write: _Write) -> None:
        documents = (await self._opener.open()).documents
        if write is None:
            await documents.delete(document_id)
        else:
            await documents.put(document_id, write[0], ttl=write[1])

    def _read(self, op: Op) -> Callable[[], Coroutine[Any, Any, Result]]:
        if isinstance(op, GetOp):
            return lambda: self._get(op)
        if isinstance(op, SearchOp):
            _check_page(op.limit, op.offset)
            return lambda: self._search(op)
        if isinstance(op, ListNamespacesOp):
            _check_page(op.limit, op.offset)
            return lambda: self._namespaces(op)
        raise InvalidError(f"a {type(op).__name__} is no operation of a store")

    async def _get(self, op: GetOp) -> Item | None:
        stores = await self._opener.open()
        document = await stores.documents.get(item_id(op.namespace, op.key))
        if document is None:
            return None
        if op.refresh_ttl:
            await self._refresh(document)
        return item_of(document)

    async def _search(self, op: SearchOp) -> list[SearchItem]:
        if op.query:
            _logger.debug("a search without an index leaves its query aside")
        documents, wanted = (await self._opener.open()).documents, op.offset + op.limit
        size = min(_FILTERED_PAGE if op.filter else max(wanted, 1), _LONGEST_PAGE)
        found: dict[str, Document] = {}
        after: str | None = None
        while True:
            page = await documents.list(prefix=prefix_of(op.namespace_prefix), after=after, limit=size)
            if page.damaged:
                _logger.error("%d items are damaged, and the search leaves them out", len(page.damaged))
            found |= {one.document_id: one for one in page if not op.filter or matches(one.data["value"], op.filter)}
            after = page.next
            # A refresh moves an item to the front without a new time: no item behind this page has a later one than
            # the page's last change.
            last = page[-1].updated_at if len(page) else None
            settled = [one for one in found.values() if last is not None and change_time(one) >= last]
            if after is None or len(settled) >= wanted:
                break
        chosen = sorted(found.values(), key=change_time, reverse=True)[op.offset : wanted]
        if op.refresh_ttl:
            await _together([partial(self._refresh, one) for one in chosen])
        return [found_item(one) for one in chosen]

    async def _refresh(self, document: Document) -> None:
        minutes = document.data.get("ttl")
        if minutes is None or not self._refreshes:
            return
        data = {**document.data, "updated_at": change_time(document).isoformat()}
        # After another put or refresh this one has nothing to prolong.
        with suppress(ConflictError):
            stores = await self._opener.open()
            await stores.documents.put(document.document_id, data, ttl=lifetime(minutes), expect=document)

    async def _namespaces(self, op: ListNamespacesOp) -> list[tuple[str, ...]]:
        stores, conditions = await self._opener.open(), op.match_conditions or ()
        found: dict[str, tuple[str, ...]] = {}
        after: str | None = None
        while True:
            # Names alone: values would be read and thrown away.
            query = Query(f"{_DOCUMENTS}{prefix_of(_common_labels(conditions))}", after=after, limit=_LONGEST_PAGE)
            streams, after = await stores.backend.streams(query)
            for one in streams:
                document_id = one.name.removeprefix(_DOCUMENTS)
                text = document_id.rpartition("/")[0]
                if text in found:
                    continue
                labels = labels_in(document_id)
                if labels is None:
                    document = await stores.documents.get(document_id)
                    if document is None:
                        continue
                    labels = tuple(document.data["namespace"])
                found[text] = labels
            if after is None:
                break
        kept = {labels for labels in found.values() if all(_fits(labels, one) for one in conditions)}
        if op.max_depth is not None:
            kept = {labels[: op.max_depth] for labels in kept}
        return sorted(kept)[op.offset : op.offset + op.limit]


async def _together(calls: Sequence[Callable[[], Coroutine[Any, Any, Any]]]) -> list[Any]:
    """Make calls side by side, not too many at once, and raise the first error after all of a group have ended."""
    results: list[Any] = []
    for start in range(0, len(calls), READS_TOGETHER):
        for result in await outcomes(call() for call in calls[start : start + READS_TOGETHER]):
            if isinstance(result, StowfastError):
                raise result
            results.append(result)
    return results


def _check_write(document_id: str, write: _Write) -> None:
    """Refuse in advance a write that would fail beside others that are stored."""
    stream_name("documents", "namespace and key", document_id)
    if write is not None:
        encode(write[0], "an item")


def _check_page(limit: int, offset: int) -> None:
    if limit < 0 or offset < 0:
        raise InvalidError(f"limit={limit}, offset={offset}: neither may be negative")


def _common_labels(conditions: Iterable[MatchCondition]) -> list[str]:
    """Return the labels that every namespace of a listing begins with."""
    labels: list[str] = []
    for condition in conditions:
        if condition.match_type == "prefix":
            stop = condition.path.index("*") if "*" in condition.path else len(condition.path)
            labels = max(labels, list(condition.path[:stop]), key=len)
    return labels


def _fits(labels: tuple[str, ...], condition: MatchCondition) -> bool:
    path = condition.path
    if condition.match_type not in ("prefix", "suffix"):
        raise InvalidError(f"match_type={condition.match_type!r}: it is prefix or suffix")
    part = labels[: len(path)] if condition.match_type == "prefix" else labels[max(0, len(labels) - len(path)) :]
    return len(part) == len(path) and all(one in ("*", label) for one, label in zip(path, part, strict=True))
